"""`unix`: the place is a bucket, an offset in it from 1, and a flag that its last batch held all of the bucket.

Models bpf_iter_unix_batch, unix_get_first, bpf_iter_unix_seq_next and bpf_iter_unix_seq_stop of net/unix/af_unix.c, Linux
6.1 to 7.1. The offset is that of `offset-udp`, and so is what goes wrong with it. But the flag stays up when a read stops:
the next one takes the bucket for done, and loses all of its batch that was not shown, with no change to the table at all.
(Not modelled: the kernel's bucket number has 10 bits and goes on rising behind the end, so that after some 512 reads that
returned nothing the walk begins again.)
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, Grow, Reading, by_position
from sockiter.table import Table


class State(NamedTuple):
    """`done`: the last batch held all of its bucket from its offset on, whether or not all of that was shown."""

    bucket: int
    offset: int
    done: bool
    slots: int


class Unix:
    """Claims: nothing stale, always an end, no error."""

    name = "unix"
    summary = "bucket, offset, and a flag that is never taken down (UNIX, Linux 6.1 to 7.1)"
    progress = "Bucket Offset"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    harms = (
        harm("skip"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "add-head", "realloc"),
        harm("repeat", "add-head", "enomem"),
        harm("repeat", "reinsert", "enomem"),
        harm("repeat", "rehash", "enomem"),
        harm("repeat", "add-tail", "reinsert", "realloc"),
        harm("repeat", "rehash", moved=True),
        harm("repeat", "reinsert", "enomem", moved=True),
        harm("repeat", "add-head", "reinsert", "realloc", moved=True),
        harm("repeat", "add-tail", "reinsert", "realloc", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, 1, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, offset, done, slots = state
        while True:
            if done:
                bucket, offset = bucket + 1, 1
            grown = False
            while True:
                while bucket < len(table.buckets) and offset > len(table.buckets[bucket]):
                    bucket, offset = bucket + 1, 1
                if bucket >= len(table.buckets):
                    return State(len(table.buckets), 1, done, slots), None
                unseen = table.buckets[bucket][offset - 1 :]
                batch = unseen[:slots]
                if len(batch) == len(unseen):
                    done = True
                    break
                if grown:
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
                    return State(bucket, offset, done, slots), None
                offset += 1

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.offset}"
