"""`offset-tcp`: the place is a table, a bucket of it, and a count of the sockets seen there.

Models bpf_iter_tcp_batch, tcp_seek_last_pos, bpf_iter_tcp_seq_next and bpf_iter_tcp_seq_stop of net/ipv4/tcp_ipv4.c, Linux
5.15 to 6.16. The walk goes through the listening sockets (lhash2) and then the established ones (ehash). The place is
sought step by step: from the first socket at or behind the bucket, so many steps forward as the count says, for as long as
that is the remembered bucket. What goes wrong with `offset-udp` goes wrong here, and one thing more: the remembered bucket
and what is left of the count are used for both tables. Where no listening socket is left from the remembered bucket on, the
rest of the count is spent in the established bucket of the same number; and where nothing was left, the count is -1 by
then, never comes to 0, and takes all of that bucket. It does so with nobody listening at all.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, Grow, Reading
from sockiter.table import Phase, Table


class State(NamedTuple):
    """`bucket`: in the walk through both tables. `done`, `slots`: as in `offset-udp`."""

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
    tables = ("listening", "established")
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
        return State(0, 0, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, offset, done, slots = state
        while True:
            if done:
                bucket, offset = bucket + 1, 0
            grown = False
            while True:
                bucket, offset = sought(table, bucket, offset)
                if bucket >= len(table.buckets):
                    return State(bucket, offset, False, slots), None
                unseen = table.buckets[bucket][offset:]
                batch = unseen[:slots]
                done = len(batch) == len(unseen)
                if done or grown:
                    break
                granted, table = yield Grow(len(unseen) * 3 // 2)
                if not granted:
                    break  # goes on with what it has, and says nothing
                slots = len(unseen) * 3 // 2
                grown = True
            for socket in batch:
                shown, table = yield socket
                if not shown:
                    return State(bucket, offset, False, slots), None
                offset += 1

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"


def sought(table: Table, bucket: int, offset: int) -> tuple[int, int]:
    """The bucket and offset of the socket that a place stands for by now; no bucket of the table: there is none."""
    start = table.phase_of(bucket)
    # Numbers of buckets are those in their own table, also where they are of different tables.
    remembered = bucket - start.first
    left = offset
    for phase in table.phases[table.phases.index(start) :]:
        bucket, offset = _first(table, max(bucket, phase.first), phase), 0
        while left and bucket < phase.end and bucket - phase.first == remembered:
            left -= 1
            offset += 1
            if offset == len(table.buckets[bucket]):
                bucket, offset = _first(table, bucket + 1, phase), 0
        if bucket < phase.end:
            break
        left -= 1  # the test that ended the count-down counted, too
    return bucket, offset


def _first(table: Table, bucket: int, phase: Phase) -> int:
    while bucket < phase.end and not table.buckets[bucket]:
        bucket += 1
    return bucket
