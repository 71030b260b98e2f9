"""`offset-udp`: the place is a bucket and a count of the sockets seen in it.

Models bpf_iter_udp_batch, bpf_iter_udp_seq_next and bpf_iter_udp_seq_stop of net/ipv4/udp.c, Linux 6.8 to 6.15. The RFC's
"The problem" is about this scheme: the count is right only as long as nothing changes in front of it. A seen socket that
leaves (tests/cases/rfc_skip.case) shifts an unseen one into the counted part, one that enters at the head
(tests/cases/rfc_repeat.case) shifts a seen one out of it. Moving a socket does both.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, Grow, Reading
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`done`: the whole of `bucket` was in the last batch, and was walked. `slots`: the batch, which never shrinks."""

    bucket: int
    offset: int
    done: bool
    slots: int


class OffsetUdp:
    """Claims: nothing stale, always an end, no error; no skip without a removal or a move, no repeat without an insertion
    at the head or a move."""

    name = "offset-udp"
    summary = "bucket and count of sockets seen in it (UDP, Linux 6.8 to 6.15)"
    progress = "Bucket Offset"
    hazards = ANY_HAZARD
    harms = (
        harm("skip", "remove"),
        harm("skip", "reinsert"),
        harm("skip", "rehash"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "add-head"),
        harm("repeat", "reinsert"),
        harm("repeat", "rehash"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
    )

    def open(self, slots: int) -> State:
        return State(0, 0, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, offset, done, slots = state
        while True:
            resume_bucket, resume_offset = bucket, offset
            if done:
                bucket += 1
            grown = False
            while True:
                batch: tuple[Socket, ...] = ()
                want = 0
                while bucket < len(table.buckets):
                    if sockets := table.buckets[bucket]:
                        # The count is taken anew from the list: it ends at what is left there, if that is less.
                        offset = min(resume_offset, len(sockets)) if bucket == resume_bucket else 0
                        want = len(sockets) - offset
                        if batch := sockets[offset : offset + slots]:
                            break
                    bucket += 1
                if not batch:
                    return State(bucket, offset, False, slots), None
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
                    return State(bucket, offset, False, slots), None
                offset += 1

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"
