"""The batch of `offset-udp`, which the RFC's proposal and two of its alternatives leave as it is: what they share.

Models bpf_iter_udp_batch, bpf_iter_udp_seq_next and bpf_iter_udp_seq_stop of net/ipv4/udp.c, Linux 6.8 to 6.15: of the first
bucket that has unseen sockets, as many as there is room for are taken; where that is not all, the batch grows once, and is
gone on with as it is where that is refused or still not enough. It is dropped when a read stops. Decided here: all of that.
Not known here, and all that a scheme with such a batch has to tell: what is unseen in a bucket, and where it is then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from sockiter.schemes.scheme import ANY_HAZARD, GONE, ONE_TABLE, Grow, Hand, Reading, Where
from sockiter.table import Socket, Table

P = TypeVar("P", bound=Hashable)


class State(NamedTuple, Generic[P]):
    """`place`: in `bucket`, in the scheme's terms. `done`: the whole of `bucket` was in the last batch, and was walked.
    `slots`: the batch, which never shrinks. `opened`: the table's version at open, for a scheme that asks for it."""

    bucket: int
    place: P
    done: bool
    slots: int
    opened: int = 0


class PartialBatch(ABC, Generic[P]):
    """A scheme with such a batch; `start` is its place before the first socket of a bucket."""

    hazards = ANY_HAZARD
    tables = ONE_TABLE
    start: P

    @abstractmethod
    def unseen(self, table: Table, bucket: int, place: P, opened: int) -> tuple[tuple[Socket, ...], P] | None:
        """The sockets of a bucket, which is not empty, behind a place in it, and the place before the first of them.

        None: this cannot be told any more. The read then returns ESTALE, and the iterator stands at the start again.
        """

    @abstractmethod
    def behind(self, place: P, socket: Socket) -> P:
        """The place behind a socket that was shown, given as it is by then."""

    def open(self, slots: int, table: Table) -> State[P]:
        return State(0, self.start, False, slots)

    def read(self, state: State[P], table: Table) -> Reading[State[P]]:
        bucket, place, done, slots, opened = state
        while True:
            resume_bucket, resume_place = bucket, place
            if done:
                bucket += 1
            grown = False
            while True:
                batch: tuple[Socket, ...] = ()
                want = 0
                while bucket < len(table.buckets):
                    if table.buckets[bucket]:
                        found = self.unseen(table, bucket, resume_place if bucket == resume_bucket else self.start, opened)
                        if found is None:
                            return State(0, self.start, False, slots, opened), "ESTALE"
                        unseen, place = found
                        want = len(unseen)
                        if batch := unseen[:slots]:
                            break
                    bucket += 1
                if not batch:
                    return State(bucket, place, False, slots, opened), None
                done = len(batch) == want
                if done or grown:
                    break
                granted, table = yield Grow(want * 3 // 2)
                if not granted:
                    break  # goes on with what it has, and says nothing
                slots = want * 3 // 2
                grown = True
            for socket in batch:
                shown, table = yield socket
                if not shown:
                    return State(bucket, place, False, slots, opened), None
                place = self.behind(place, table.now(socket))

    def matters(self, table: Table, bucket: int, place: P, waiting: int) -> Hashable:
        """What of a place in a bucket can still make a difference, where so many sockets in hand are to be shown before it
        is looked at."""
        return place

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        if not hand:
            return ()
        bucket = hand["bucket"]
        if bucket >= len(table.buckets):
            return bucket, hand["slots"]  # at the end of the walk, any place is as good
        place = hand["place"]
        first = sum(map(len, table.buckets[:bucket]))
        here = range(first, first + len(table.buckets[bucket]))

        def coming(sockets: tuple[Socket, ...]) -> Hashable:
            # Those that are to be shown, and where the walk is to go on behind each: there, where it is in the bucket.
            behind = []
            for socket in sockets:
                position = where.get(socket.name, GONE)
                after = None
                if position not in here:
                    after = self.matters(table, bucket, self.behind(place, table.now(socket)), len(sockets))
                behind.append((position, after))
            return tuple(behind)

        if "socket" in hand:
            # The place is that behind the socket whose turn it is, in a moment.
            now = self.behind(place, table.now(hand["socket"]))
            sockets = hand["loop 1"]
            return bucket, hand["slots"], hand["done"], self.matters(table, bucket, now, len(sockets)), coming(sockets)
        batch = hand.get("batch", ())
        matters = self.matters(table, bucket, place, len(batch))
        if "resume_place" not in hand:
            return bucket, hand["slots"], hand["done"], matters
        resume = hand["resume_bucket"]
        resume_matters = self.matters(table, resume, hand["resume_place"], 0) if resume < len(table.buckets) else None
        return bucket, hand["slots"], hand["want"], matters, resume, resume_matters, coming(batch)
