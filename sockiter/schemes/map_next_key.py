"""`map-next-key`: a loop of BPF_MAP_GET_NEXT_KEY over a BPF hash map keeps the last key, as `bpftool map dump` does.

Models htab_map_get_next_key of kernel/bpf/hashtab.c, Linux 4.11 to 7.1. The last key is looked up, and the element behind
it in its bucket is the next one, or else the first of a later bucket. If the last key is gone, the call returns the first
key of the map. An insertion is at the head of a bucket. An update of a present key is an insertion and a removal: the
element moves to the head (`reinsert`). A key determines its bucket, so no element changes it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.scheme import Done, FrameName, Room, Show, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table

MAP_HAZARDS: frozenset[Hazard] = frozenset({"add-head", "remove", "reinsert"})
"""The changes of a BPF hash map."""
MAP = ("map",)
"""Its table, whose buckets have no tail."""


class State(NamedTuple):
    """`key`: the last key, None before the first. `ended`: a call reported the end, which ends the loop."""

    key: str | None = None
    ended: bool = False


class Calling(NamedTuple):
    """The program is about to ask for the key behind `key`."""

    key: str | None

    @property
    def waits_for(self) -> Room:
        return Room(1)


class Returning(NamedTuple):
    """A call returns the key of `socket`."""

    socket: Socket

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


Step: TypeAlias = Calling | Returning | Done[State]


class MapNextKey:
    """Claims: no stale element, always an end, no error; no skip of an element that was not updated, no repeat without a
    removal or an update."""

    name = "map-next-key"
    summary = f"last key, or else the first of the map ({mainline('map-next-key')})"
    progress = "Key"
    hazards = MAP_HAZARDS
    tables = MAP
    frame: FrameName = "loop"
    known_failures = (
        known_failure("skip", "reinsert", moved=True),
        known_failure("repeat", "remove", elsewhere=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "reinsert", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State()

    def begin(self, state: State, table: Table) -> Step:
        return Done(state) if state.ended else Calling(state.key)

    def resume(self, waiting: Calling | Returning, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Returning):
            return Calling(waiting.socket.name)
        if not granted:
            return Done(State(waiting.key))
        following = 0
        if waiting.key is not None and table.has(waiting.key):
            bucket, position = table.where(waiting.key)
            if position + 1 < len(table.buckets[bucket]):
                return Returning(table.buckets[bucket][position + 1])
            following = bucket + 1
        filled = table.first_filled(following)
        return Returning(table.buckets[filled][0]) if filled < len(table.buckets) else Done(State(ended=True))

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return "-" if state.ended else state.key or "first"
