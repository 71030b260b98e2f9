"""`index`: the RFC's proposal. The place is a bucket and the index of the last socket shown in it.

Models "Proposal" of the RFC (bpf-next, 2025-03-13), never merged. The table's version numbers the insertions, negative at
the head and positive at the tail. So indexes rise from head to tail, and a socket with an index above the remembered one
is unseen. The batch is filled, grown and dropped as in `offset-udp`. The batch holds references, so the iterator reads an
index from the socket itself when it steps behind that socket. A socket that moves while it is being shown takes the
remembered place along (tests/cases/index-skip-reinsert-show.case). Versions never roll over here, as if they had the 128
bits that the RFC offers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

from sockiter.claims import KnownFailure, known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS
from sockiter.table import Socket, Table

PrevIdx: TypeAlias = int | None
"""None: no socket of the bucket was shown yet."""


class Index(PartialBatch[PrevIdx]):
    """Claims: exactly once for every socket that stays in place, unless another socket moves while it is being shown; no
    stale socket, always an end, no error. A moved socket gets a new index, and so may be skipped or repeated."""

    name = "index"
    summary = "bucket and index of the last socket shown in it (the RFC's proposal)"
    progress = "Previous Index"
    costs = Costs(iterator=16, slot=8, element=8, table=8, insert="a version", move="a version")
    hazards = ANY_HAZARD | SUCCESSIONS
    known_failures: tuple[KnownFailure, ...] = (
        known_failure("skip", "reinsert", "show"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("skip", "reinsert", "realloc", "enomem"),
        known_failure("repeat", "reinsert", "show"),
        known_failure("repeat", "rehash", "show"),
        known_failure("repeat", "reinsert", "realloc", "enomem"),
        known_failure("repeat", "rehash", "realloc", "enomem"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )
    start = None

    def unseen(self, table: Table, bucket: int, place: PrevIdx) -> tuple[tuple[Socket, ...], PrevIdx]:
        return tuple(socket for socket in table.buckets[bucket] if place is None or socket.idx > place), place

    def behind(self, place: PrevIdx, socket: Socket, table: Table) -> PrevIdx:
        return table.now(socket).idx

    def matters(self, table: Table, bucket: int, place: PrevIdx, waiting: int) -> Hashable:
        # A bucket is always sorted by index. So only the number of sockets up to the remembered index matters.
        return None if place is None else len([idx for _, idx in table.buckets[bucket] if idx <= place])

    def place(self, state: State[PrevIdx]) -> str:
        return f"{state.bucket}:{'-' if state.place is None else state.place}"
