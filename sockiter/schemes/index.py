"""`index`: the RFC's proposal. The place is a bucket and the index of the last socket shown in it.

Models "Proposal" of the RFC (bpf-next, 2025-03-13), never merged. Insertions are numbered by the table's version, negative
at the head and positive at the tail, so that indexes rise from head to tail: what is above the remembered one is unseen.
The batch is made, grown and dropped as in `offset-udp`. It holds references, so an index is read from the socket itself
when the iterator steps behind it: one that is moved while it is being shown takes the remembered place along with it.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, Grow, Reading
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`prev_idx`: None where nothing of `bucket` was shown yet. `done`, `slots`: as in `offset-udp`."""

    bucket: int
    prev_idx: int | None
    done: bool
    slots: int


class Index:
    """Claims: exactly once for every socket that stays where it is, unless another is moved while it is being shown;
    nothing stale, always an end, no error. A socket that is moved gets a new index, and so may be missed or met again."""

    name = "index"
    summary = "bucket and index of the last socket shown in it (the RFC's proposal)"
    progress = "Previous Index"
    hazards = ANY_HAZARD
    harms = (
        harm("skip", "reinsert", "show"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("skip", "reinsert", "realloc", "enomem"),
        harm("repeat", "reinsert", "show"),
        harm("repeat", "rehash", "show"),
        harm("repeat", "reinsert", "realloc", "enomem"),
        harm("repeat", "rehash", "realloc", "enomem"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
    )

    def open(self, slots: int) -> State:
        return State(0, None, False, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, prev_idx, done, slots = state
        while True:
            resume_bucket, resume_idx = bucket, prev_idx
            if done:
                bucket += 1
            grown = False
            while True:
                made = table
                batch: tuple[Socket, ...] = ()
                want = 0
                while bucket < len(table.buckets):
                    if sockets := table.buckets[bucket]:
                        prev_idx = resume_idx if bucket == resume_bucket else None
                        unseen = tuple(s for s in sockets if prev_idx is None or s.idx > prev_idx)
                        want = len(unseen)
                        if batch := unseen[:slots]:
                            break
                    bucket += 1
                if not batch:
                    return State(bucket, prev_idx, False, slots), None
                done = len(batch) == want
                if done or grown:
                    break
                granted, table = yield Grow(want * 3 // 2)
                if not granted:
                    break
                slots = want * 3 // 2
                grown = True
            for socket in batch:
                shown, table = yield socket
                if not shown:
                    return State(bucket, prev_idx, False, slots), None
                prev_idx = socket.idx if table is made else table.now(socket).idx

    def place(self, state: State) -> str:
        return f"{state.bucket}:{'-' if state.prev_idx is None else state.prev_idx}"
