"""`offset-udp`: the place is a bucket and a count of the sockets seen in it.

Models the iterator of net/ipv4/udp.c, Linux 6.8 to 6.15 (`partial_batch` names the functions). The RFC's "The problem"
describes this scheme: the count is right only as long as nothing changes in front of it. If a seen socket leaves
(tests/cases/rfc_skip.case), an unseen socket shifts into the counted part. If a socket enters at the head
(tests/cases/rfc_repeat.case), a seen socket shifts out of the counted part. A move does both.
"""

from __future__ import annotations

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class OffsetUdp(PartialBatch[int]):
    """Claims: no stale socket, always an end, no error; no skip without a removal or a move, no repeat without an
    insertion at the head or a move."""

    name = "offset-udp"
    summary = f"bucket and count of sockets seen in it ({mainline('offset-udp')})"
    progress = "Bucket Offset"
    costs = Costs(iterator=8, slot=8)
    known_failures = (
        known_failure("skip", "remove"),
        known_failure("skip", "reinsert"),
        known_failure("skip", "rehash"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )
    start = 0

    def unseen(self, table: Table, bucket: int, place: int) -> tuple[tuple[Socket, ...], int]:
        sockets = table.buckets[bucket]
        # The kernel counts along the list, so the count is at most the number of sockets that are left.
        return sockets[place:], min(place, len(sockets))

    def behind(self, place: int, socket: Socket, table: Table) -> int:
        return place + 1

    def place(self, state: State[int]) -> str:
        return f"{state.bucket}:{state.place}"
