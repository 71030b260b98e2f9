"""`offset-tcp`: the place is a table, a bucket of it, and a count of the sockets seen there.

Models bpf_iter_tcp_batch, tcp_seek_last_pos, bpf_iter_tcp_seq_next and bpf_iter_tcp_seq_stop of net/ipv4/tcp_ipv4.c, Linux
5.15 to 6.16. The walk goes through the listening sockets (lhash2) and then the established ones (ehash). The place is
sought step by step: from the first socket at or behind the bucket, so many steps forward as the count says, for as long as
that is the remembered bucket. What goes wrong with `offset-udp` goes wrong here, and one thing more: bucket and count are
used for both tables. Where no listening socket is left from the remembered bucket on, the rest of the count is spent in the
established bucket of the same number, if that is the first with sockets; and where nothing was left, the count is -1 by
then, never comes to 0, and takes all of that bucket, although nothing ever changed. The remembered bucket is then the one
behind the last that had a listening socket, or 0 where nobody listens.

Not modelled: the last bucket of lhash2 has none behind it, and from there the kernel goes over without a search. A table is
taken here to be larger than the buckets that are named.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, Grow, Reading, by_position
from sockiter.table import Buckets, Table

TABLES = ("listening", "established")


class State(NamedTuple):
    """`phase`: which of `TABLES`. `bucket`: in that table. `done`, `slots`: as in `offset-udp`."""

    phase: int
    bucket: int
    offset: int
    done: bool
    slots: int


class OffsetTcp:
    """Claims: nothing stale, always an end, no error; no repeat without an insertion at the head or a move."""

    name = "offset-tcp"
    summary = "table, bucket, and count of sockets seen in it (TCP, Linux 5.15 to 6.16)"
    progress = "Bucket Offset"
    hazards = ANY_HAZARD
    tables = TABLES
    harms = (
        harm("skip"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "add-head"),
        harm("repeat", "reinsert"),
        harm("repeat", "rehash"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, 0, 0, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        phase, bucket, offset, done, slots = state
        while True:
            if done:
                bucket, offset = bucket + 1, 0
            grown = False
            while True:
                phase, bucket, offset = sought(table, phase, bucket, offset)
                unseen = table.buckets_of(phase)[bucket][offset:] if phase < len(TABLES) else ()
                if not unseen:
                    return State(phase, bucket, offset, False, slots), None
                batch = unseen[:slots]
                done = len(batch) == len(unseen)
                if done or grown:
                    break
                want = len(unseen) * 3 // 2
                granted, table = yield Grow(want)
                if not granted:
                    break  # goes on with what it has, and says nothing
                slots = want
                grown = True
            for socket in batch:
                shown, table = yield socket
                if not shown:
                    return State(phase, bucket, offset, False, slots), None
                offset += 1

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return f"{TABLES[state.phase]}:{state.bucket}:{state.offset}" if state.phase < len(TABLES) else "-"


def sought(table: Table, phase: int, bucket: int, offset: int) -> tuple[int, int, int]:
    """The phase, bucket and offset of the socket that a place stands for by now; behind the last phase: there is none."""
    remembered, left = bucket, offset
    for here in range(phase, len(TABLES)):
        buckets = table.buckets_of(here)
        bucket, offset = _first(buckets, bucket), 0
        while left and bucket < len(buckets) and bucket == remembered:
            left -= 1
            offset += 1
            if offset == len(buckets[bucket]):
                bucket, offset = _first(buckets, bucket + 1), 0
        if bucket < len(buckets):
            return here, bucket, offset
        left -= 1  # the test that ended the count-down counted, too
        bucket = 0
    return len(TABLES), 0, 0


def _first(buckets: Buckets, bucket: int) -> int:
    while bucket < len(buckets) and not buckets[bucket]:
        bucket += 1
    return bucket
