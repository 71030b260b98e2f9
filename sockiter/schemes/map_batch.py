"""`map-batch`: a loop of BPF_MAP_LOOKUP_BATCH over a BPF hash map. The place is a bucket, and a call takes whole buckets.

Models __htab_map_lookup_and_delete_batch of kernel/bpf/hashtab.c, Linux 5.6 to 7.1, without deletion. A bucket is copied
under its lock, and the place that the call hands out is the number of the next bucket. A call ends before a bucket for
which it has no room. If that is the first one, the error is ENOSPC, and user space has to call again with more room.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.map_next_key import MAP, MAP_HAZARDS
from sockiter.schemes.scheme import Done, FrameName, Room, Show, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`bucket`: the next one."""

    bucket: int


class Looking(NamedTuple):
    """The call is about to copy all `size` elements of `bucket`. `first`: it has copied none yet."""

    bucket: int
    size: int
    first: bool

    @property
    def waits_for(self) -> Room:
        return Room(self.size)


class Returning(NamedTuple):
    """The call returns these elements, the last ones of `bucket`."""

    bucket: int
    sockets: tuple[Socket, ...]

    @property
    def waits_for(self) -> Show:
        return Show(self.sockets[0])


Step: TypeAlias = Looking | Returning | Done[State]


class MapBatch:
    """Claims: every element exactly once, no stale element, always an end. A call with too little room is refused."""

    name = "map-batch"
    summary = f"next bucket, in calls for whole buckets ({mainline('map-batch')})"
    progress = "Bucket"
    hazards = MAP_HAZARDS
    tables = MAP
    frame: FrameName = "loop"
    known_failures = (known_failure("refused"),)

    def open(self, slots: int, table: Table) -> State:
        return State(0)

    def begin(self, state: State, table: Table) -> Step:
        return _from(state.bucket, table, first=True)

    def resume(self, waiting: Looking | Returning, granted: bool, table: Table) -> Step:
        bucket = waiting.bucket
        if isinstance(waiting, Looking):
            if not granted:
                return Done(State(bucket), "ENOSPC" if waiting.first else None)
            return Returning(bucket, table.buckets[bucket])
        rest = waiting.sockets[1:]
        return Returning(bucket, rest) if rest else _from(bucket + 1, table, first=False)

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return str(state.bucket)


def _from(bucket: int, table: Table, *, first: bool) -> Step:
    filled = table.first_filled(bucket)
    if filled == len(table.buckets):
        return Done(State(filled))
    return Looking(filled, len(table.buckets[filled]), first)
