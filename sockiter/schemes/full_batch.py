"""`full-batch` and `full-batch-held`: the RFC's second alternative, without partial batches.

Models "Some alternatives", 2, of the RFC, in both readings. `full-batch` releases its references between reads, as the
kernel does, and finds its place by the count of seen sockets, as `offset-udp` does. `full-batch-held` keeps the batch
across reads, and never visits a bucket twice. Both grow like `cookie-udp`: first without the lock, then with it, so that
the second batch is large enough. If either allocation is refused, the read returns ENOMEM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import (
    ANY_HAZARD,
    BETWEEN,
    ONE_TABLE,
    SUCCESSIONS,
    Between,
    Done,
    Grow,
    Show,
    Where,
    by_position,
)
from sockiter.table import Socket, Table


class Looking(NamedTuple):
    """`bucket` is about to be locked, to capture the sockets behind the first `offset`."""

    bucket: int
    offset: int
    slots: int

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple):
    """A batch of `want` slots is being allocated."""

    bucket: int
    offset: int
    slots: int
    want: int
    locked: bool

    @property
    def waits_for(self) -> Grow:
        return Grow(self.want, self.locked)


class Showing(NamedTuple):
    """`batch[0]` is about to be shown; its position was `offset` at the capture."""

    bucket: int
    offset: int
    slots: int
    batch: tuple[Socket, ...]

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


class State(NamedTuple):
    """The next socket is the first one behind the first `offset` sockets of `bucket`."""

    bucket: int
    offset: int
    slots: int


class Held(NamedTuple):
    """`bucket`: the next bucket to capture. `batch`: the sockets still to be shown, held by reference."""

    bucket: int
    batch: tuple[Socket, ...]
    slots: int


S = TypeVar("S", State, Held)
Step: TypeAlias = Looking | Growing | Showing | Done[S]


class WholeBatch(ABC, Generic[S]):
    """A scheme whose batch always has all unseen sockets of a bucket."""

    hazards = ANY_HAZARD | SUCCESSIONS
    tables = ONE_TABLE

    @abstractmethod
    def before(self, bucket: int, offset: int, slots: int) -> S:
        """The state just before a bucket is captured from an offset on."""

    @abstractmethod
    def stopped(self, showing: Showing) -> S:
        """The state in which the first socket of the batch is the next one."""

    def open(self, slots: int, table: Table) -> S:
        return self.before(0, 0, slots)

    def resume(self, waiting: Looking | Growing | Showing, granted: bool, table: Table) -> Step[S]:
        if isinstance(waiting, Showing):
            bucket, offset, slots, batch = waiting
            if not granted:
                return Done(self.stopped(waiting))
            if len(batch) > 1:
                return Showing(bucket, offset + 1, slots, batch[1:])
            return self.onwards(bucket + 1, 0, slots, table)
        if isinstance(waiting, Looking):
            return self._look(*waiting, table, has_grown=False)
        bucket, offset, slots, want, _ = waiting
        if granted:
            return self._look(bucket, offset, want, table, has_grown=True)
        return Done(self.before(bucket, offset, slots), "ENOMEM")

    def onwards(self, bucket: int, offset: int, slots: int, table: Table) -> Step[S]:
        """Continue the walk with a bucket, or end the walk."""
        filled = table.first_filled(bucket)
        if filled < len(table.buckets):
            return Looking(filled, offset if filled == bucket else 0, slots)
        return Done(self.before(filled, 0, slots))

    def _look(self, bucket: int, offset: int, slots: int, table: Table, *, has_grown: bool) -> Step[S]:
        unseen = table.buckets[bucket][offset:]
        if len(unseen) > slots:
            # The first allocation is unlocked, so that more sockets may enter. The second one is locked and has the exact
            # size.
            want = len(unseen) if has_grown else len(unseen) * 3 // 2
            return Growing(bucket, offset, slots, want, has_grown)
        if unseen:
            return Showing(bucket, offset, slots, unseen)
        return self.onwards(bucket + 1, 0, slots, table)


class FullBatch(WholeBatch[State]):
    """Claims: as `offset-udp`, except for an error when an allocation is refused. The complete batch brings no advantage,
    since its references are released between reads."""

    name = "full-batch"
    summary = "bucket and count of sockets seen in it, captured whole (the RFC's alternative 2)"
    progress = "Bucket Offset"
    costs = Costs(iterator=8, slot=8)
    known_failures = (
        *OffsetUdp.known_failures,
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "close", moved=True),
        known_failure("refused", "enomem"),
    )

    def begin(self, state: State, table: Table) -> Step[State]:
        return self.onwards(*state, table)

    def before(self, bucket: int, offset: int, slots: int) -> State:
        return State(bucket, offset, slots)

    def stopped(self, showing: Showing) -> State:
        return State(showing.bucket, showing.offset, showing.slots)

    def canonical(self, at: State | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        return at and by_position(at._replace(slots=where.slots(at.slots)), table, where)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"


class FullBatchHeld(WholeBatch[Held]):
    """Claims: exactly once for every socket that stays in its bucket, under all operations; no stale socket, always an
    end, and an error only for a refused allocation."""

    name = "full-batch-held"
    summary = "the sockets of a bucket that are still to be shown, captured whole and held (the RFC's alternative 2)"
    progress = "Held"
    costs = Costs(iterator=8, slot=8, holds_references=True)
    known_failures = (
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("refused", "enomem"),
    )

    def begin(self, state: Held, table: Table) -> Step[Held]:
        bucket, batch, slots = state
        return Showing(bucket - 1, 0, slots, batch) if batch else self.onwards(bucket, 0, slots, table)

    def before(self, bucket: int, offset: int, slots: int) -> Held:
        return Held(bucket, (), slots)

    def stopped(self, showing: Showing) -> Held:
        return Held(showing.bucket + 1, showing.batch, showing.slots)

    def canonical(self, at: Held | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        match at:
            case Held(bucket, batch, slots):
                return bucket, where.of(batch), where.slots(slots)
            case Showing(bucket, _, slots, batch):
                return bucket, where.of(batch), where.slots(slots)
            case _:
                return at and by_position(at._replace(slots=where.slots(at.slots)), table, where)

    def place(self, state: Held) -> str:
        return f"{state.bucket}:{','.join(socket.name for socket in state.batch) or '-'}"
