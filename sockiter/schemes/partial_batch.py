"""The batch of `offset-udp`, shared with the RFC's proposal and two of its alternatives.

Models bpf_iter_udp_batch, bpf_iter_udp_seq_next and bpf_iter_udp_seq_stop of net/ipv4/udp.c, Linux 6.8 to 6.15. The batch
takes unseen sockets of the first bucket that has some, as many as fit. If they do not all fit, the batch grows once. If
that allocation is refused, or is still too small, the walk continues with a partial batch. The batch is dropped when a
read stops.

Decided here: the batch. Not known here: the unseen sockets of a bucket, and the place among them. These two are the whole
of a scheme with such a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, ONE_TABLE, Between, Done, Grow, Show, Where
from sockiter.table import Socket, Table

P = TypeVar("P", bound=Hashable)


class State(NamedTuple, Generic[P]):
    """`place`: in `bucket`, in the scheme's terms. `slots`: the size of the batch, which never shrinks."""

    bucket: int
    place: P
    slots: int


class Looking(NamedTuple, Generic[P]):
    """`bucket` is about to be locked, to capture the sockets behind `place`. `grown`: the current batch has grown."""

    bucket: int
    place: P
    slots: int
    grown: bool

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple, Generic[P]):
    """A larger batch for the `want` sockets behind `place` is being allocated. If refused: `batch`, from `found` on."""

    bucket: int
    place: P
    slots: int
    want: int
    batch: tuple[Socket, ...]
    found: P

    @property
    def waits_for(self) -> Grow:
        return Grow(self.want * 3 // 2)


class Showing(NamedTuple, Generic[P]):
    """`batch[0]` is about to be shown. `is_whole`: the batch has all unseen sockets of the bucket."""

    bucket: int
    place: P
    slots: int
    batch: tuple[Socket, ...]
    is_whole: bool

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


Step: TypeAlias = Looking[P] | Growing[P] | Showing[P] | Done[State[P]]


class PartialBatch(ABC, Generic[P]):
    """A scheme with a partial batch; `start` is its place before the first socket of a bucket."""

    hazards = ANY_HAZARD
    tables = ONE_TABLE
    start: P

    @abstractmethod
    def unseen(self, table: Table, bucket: int, place: P) -> tuple[tuple[Socket, ...], P] | None:
        """The sockets of a non-empty bucket behind a place in it, and the place before the first of these sockets.

        None: the unseen sockets are unknown. The read then returns ESTALE, and the iterator restarts.
        """

    @abstractmethod
    def behind(self, place: P, socket: Socket, table: Table) -> P:
        """The place behind a shown socket, which may have left the table by now."""

    def entering(self, place: P) -> P:
        """The place before the first socket of the next bucket, behind a place in this bucket."""
        return self.start

    def open(self, slots: int, table: Table) -> State[P]:
        return State(0, self.start, slots)

    def begin(self, state: State[P], table: Table) -> Step[P]:
        return self._onwards(state.bucket, state.place, state.slots, table)

    def resume(self, waiting: Looking[P] | Growing[P] | Showing[P], granted: bool, table: Table) -> Step[P]:
        if isinstance(waiting, Showing):
            bucket, place, slots, batch, is_whole = waiting
            if not granted:
                return Done(State(bucket, place, slots))
            place = self.behind(place, batch[0], table)
            if len(batch) > 1:
                return Showing(bucket, place, slots, batch[1:], is_whole)
            return self._onwards(bucket, place, slots, table, leaving=is_whole)
        if isinstance(waiting, Looking):
            return self._look(*waiting, table)
        bucket, place, slots, want, batch, found = waiting
        if granted:
            return self._look(bucket, place, want * 3 // 2, True, table)
        return Showing(bucket, found, slots, batch, False)  # continues with the small batch, without an error

    def _onwards(
        self, bucket: int, place: P, slots: int, table: Table, *, leaving: bool = False, grown: bool = False
    ) -> Step[P]:
        filled = table.first_filled(bucket + leaving)
        if filled < len(table.buckets):
            return Looking(filled, self.entering(place) if leaving or filled > bucket else place, slots, grown)
        # As in the kernel, the place is reset only where a bucket is locked.
        return Done(State(filled, place, slots))

    def _look(self, bucket: int, place: P, slots: int, grown: bool, table: Table) -> Step[P]:
        if table.buckets[bucket]:
            found = self.unseen(table, bucket, place)
            if found is None:
                return Done(State(0, self.start, slots), "ESTALE")
            unseen, place_found = found
            if batch := unseen[:slots]:
                if len(batch) == len(unseen) or grown:
                    return Showing(bucket, place_found, slots, batch, len(batch) == len(unseen))
                return Growing(bucket, place, slots, len(unseen), batch, place_found)
            place = place_found
        return self._onwards(bucket, place, slots, table, leaving=True, grown=grown)

    def matters(self, table: Table, bucket: int, place: P, waiting: int) -> Hashable:
        """The part of a place in a bucket that still matters, if `waiting` sockets of a batch are shown before the next
        look at the bucket."""
        return place

    def canonical(self, at: State[P] | Looking[P] | Growing[P] | Showing[P] | None, table: Table, where: Where) -> Hashable:
        if at is None:
            return ()
        bucket, slots = at.bucket, where.slots(at.slots)
        if bucket >= len(table.buckets):
            return bucket, slots  # at the end of the walk, the place does not matter
        match at:
            case State(_, place, _):
                return bucket, slots, self.matters(table, bucket, place, 0)
            case Looking(_, place, _, grown):
                return bucket, slots, grown, self.matters(table, bucket, place, 0)
            case Growing(_, place, _, want, batch, found):
                waiting = self._waiting(bucket, found, batch, table, where)
                return bucket, slots, want, self.matters(table, bucket, place, 0), waiting
        _, place, _, batch, is_whole = at
        # The current socket will be shown for certain.
        behind = self.behind(place, batch[0], table)
        return bucket, slots, is_whole, self._waiting(bucket, behind, batch[1:], table, where)

    def _waiting(self, bucket: int, place: P, batch: tuple[Socket, ...], table: Table, where: Where) -> Hashable:
        # A place, and the sockets that are shown before the next look at the bucket. Behind each of them there is a place of
        # its own, which follows from the position of the socket only if the socket is in the bucket.
        first = sum(map(len, table.buckets[:bucket]))
        here = range(first, first + len(table.buckets[bucket]))
        behind = [
            None if where.position(s) in here else self.matters(table, bucket, self.behind(place, s, table), len(batch))
            for s in batch
        ]
        return self.matters(table, bucket, place, len(batch)), where.of(batch), tuple(behind)
