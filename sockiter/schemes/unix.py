"""`unix`: the place is a bucket, an offset in it from 1, and a flag that its last batch held the whole bucket.

Models bpf_iter_unix_batch, unix_get_first, bpf_iter_unix_seq_next and bpf_iter_unix_seq_stop of net/unix/af_unix.c, Linux
6.1 to 7.1. The offset and its failures are those of `offset-udp`. But the flag stays set when a read stops. The next read
considers the bucket finished, and skips the unshown part of its batch, without any change to the table.

Not modelled: the kernel's bucket number has 10 bits and keeps rising behind the end. So after about 512 reads that return
nothing, the walk starts again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, ONE_TABLE, Between, Done, Grow, Show, Where, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`done`: the last batch held all of its bucket from its offset on, even if not all of it was shown."""

    bucket: int
    offset: int
    done: bool
    slots: int


class Looking(NamedTuple):
    """`bucket` is about to be locked. `grown`: the current batch has grown."""

    bucket: int
    offset: int
    done: bool
    slots: int
    grown: bool

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple):
    """A larger batch for `want` sockets is being allocated. `batch`: the sockets that fitted into the old one."""

    bucket: int
    offset: int
    done: bool
    slots: int
    want: int
    batch: tuple[Socket, ...]

    @property
    def waits_for(self) -> Grow:
        return Grow(self.want * 3 // 2)


class Showing(NamedTuple):
    """`batch[0]` is about to be shown; its position was `offset` at the capture."""

    bucket: int
    offset: int
    done: bool
    slots: int
    batch: tuple[Socket, ...]

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


Step: TypeAlias = Looking | Growing | Showing | Done[State]


class Unix:
    """Claims: no stale socket, always an end, no error."""

    name = "unix"
    summary = f"bucket, offset, and a flag that is never cleared ({mainline('unix')})"
    progress = "Bucket Offset"
    costs = Costs(iterator=8, slot=8)
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    known_failures = (
        known_failure("skip"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "add-head", "realloc"),
        known_failure("repeat", "add-head", "enomem"),
        known_failure("repeat", "reinsert", "enomem"),
        known_failure("repeat", "rehash", "enomem"),
        known_failure("repeat", "add-tail", "reinsert", "realloc"),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "reinsert", "enomem", moved=True),
        known_failure("repeat", "add-head", "reinsert", "realloc", moved=True),
        known_failure("repeat", "add-tail", "reinsert", "realloc", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, 1, False, slots)

    def begin(self, state: State, table: Table) -> Step:
        return _next_batch(*state, table)

    def resume(self, waiting: Looking | Growing | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Showing):
            bucket, offset, done, slots, batch = waiting
            if not granted:
                return Done(State(bucket, offset, done, slots))
            if len(batch) > 1:
                return Showing(bucket, offset + 1, done, slots, batch[1:])
            return _next_batch(bucket, offset + 1, done, slots, table)
        if isinstance(waiting, Looking):
            return _look(*waiting, table)
        bucket, offset, done, slots, want, batch = waiting
        if granted:
            return _look(bucket, offset, done, want * 3 // 2, True, table)
        return Showing(bucket, offset, done, slots, batch)  # continues with the small batch, without an error

    def canonical(self, at: State | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        return at and by_position(at._replace(slots=where.slots(at.slots)), table, where)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"


def _next_batch(bucket: int, offset: int, done: bool, slots: int, table: Table) -> Looking | Done[State]:
    if done:
        bucket, offset = bucket + 1, 1
    return _onwards(bucket, offset, done, slots, False, table)


def _onwards(bucket: int, offset: int, done: bool, slots: int, grown: bool, table: Table) -> Looking | Done[State]:
    filled = table.first_filled(bucket)
    if filled < len(table.buckets):
        return Looking(filled, offset if filled == bucket else 1, done, slots, grown)
    return Done(State(len(table.buckets), 1, done, slots))


def _look(bucket: int, offset: int, done: bool, slots: int, grown: bool, table: Table) -> Step:
    unseen = table.buckets[bucket][offset - 1 :]
    if not unseen:
        return _onwards(bucket + 1, 1, done, slots, grown, table)
    if len(unseen) <= slots:
        return Showing(bucket, offset, True, slots, unseen)
    if not grown:
        return Growing(bucket, offset, done, slots, len(unseen), unseen[:slots])
    return Showing(bucket, offset, done, slots, unseen[:slots])
