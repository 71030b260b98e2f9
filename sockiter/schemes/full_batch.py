"""`full-batch` and `full-batch-held`: the RFC's second alternative. No partial batches.

Models "Some alternatives", 2, of the RFC, in both readings. `full-batch` puts its references between reads, as the kernel
does, and seeks its place by the count of sockets seen, as `offset-udp` does. `full-batch-held` keeps the batch across reads,
and never looks at a bucket twice. Both grow like `cookie-udp`: first without the lock, then with it, so that the second time
is enough; where either is refused, the read returns ENOMEM.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, Grow, Hand, Reading, Reply, Where, by_position
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`done`: all of `bucket` was walked."""

    bucket: int
    offset: int
    done: bool
    slots: int


class FullBatch:
    """Claims: as `offset-udp`, but for an error where an allocation is refused. That the batch is whole helps nobody, since
    it is put between reads."""

    name = "full-batch"
    summary = "bucket and count of sockets seen in it, captured whole (the RFC's alternative 2)"
    progress = "Bucket Offset"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    harms = (*OffsetUdp.harms, harm("refused", "enomem"))

    def open(self, slots: int, table: Table) -> State:
        return State(0, 0, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, offset, done, slots = state
        while True:
            if done:
                bucket, offset = bucket + 1, 0
            bucket, offset, slots, batch, table = yield from _captured(bucket, offset, slots, table)
            if batch is None:
                return State(bucket, offset, False, slots), "ENOMEM"
            if not batch:
                return State(bucket, offset, False, slots), None
            done = True
            for socket in batch:
                shown, table = yield socket
                if not shown:
                    return State(bucket, offset, False, slots), None
                offset += 1

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"


class Held(NamedTuple):
    """`bucket`: the next to be captured. `batch`: the sockets still to be shown, held by reference."""

    bucket: int
    batch: tuple[Socket, ...]
    slots: int


class FullBatchHeld:
    """Claims: exactly once for every socket that stays in its bucket, whatever else is done; nothing stale, always an end,
    and an error only where an allocation is refused."""

    name = "full-batch-held"
    summary = "the sockets of a bucket that are still to be shown, captured whole and held (the RFC's alternative 2)"
    progress = "Held"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    harms = (
        harm("skip", "rehash", moved=True),
        harm("repeat", "rehash", moved=True),
        harm("refused", "enomem"),
    )

    def open(self, slots: int, table: Table) -> Held:
        return Held(0, (), slots)

    def read(self, state: Held, table: Table) -> Reading[Held]:
        bucket, batch, slots = state
        while True:
            for nth, socket in enumerate(batch):
                shown, table = yield socket
                if not shown:
                    return Held(bucket, batch[nth:], slots), None
            bucket, _, slots, captured, table = yield from _captured(bucket, 0, slots, table)
            if captured is None:
                return Held(bucket, (), slots), "ENOMEM"
            if not captured:
                return Held(bucket, (), slots), None
            bucket, batch = bucket + 1, captured

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        if "nth" in hand:
            # What was shown of the batch is done with.
            hand = {"bucket": hand["bucket"], "slots": hand["slots"], "rest": hand["batch"][hand["nth"] :]}
        return by_position(hand, table, where)

    def place(self, state: Held) -> str:
        return f"{state.bucket}:{','.join(socket.name for socket in state.batch) or '-'}"


def _captured(
    bucket: int, offset: int, slots: int, table: Table
) -> Generator[Grow, Reply, tuple[int, int, int, tuple[Socket, ...] | None, Table]]:
    # The first bucket with a socket behind the offset, and all of those; None where a larger batch was refused.
    tries = 0
    while bucket < len(table.buckets):
        unseen = table.buckets[bucket][offset:]
        if len(unseen) > slots:
            tries += 1
            want = len(unseen) if tries > 1 else len(unseen) * 3 // 2
            granted, table = yield Grow(want, locked=tries > 1)
            if not granted:
                return bucket, offset, slots, None, table
            slots = want
        elif unseen:
            return bucket, offset, slots, unseen, table
        else:
            bucket, offset, tries = bucket + 1, 0, 0
    return bucket, offset, slots, (), table
