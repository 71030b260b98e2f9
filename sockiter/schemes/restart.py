"""`restart`: the RFC's third alternative. As `offset-udp`, with an error where a socket may have been skipped.

Models "Some alternatives", 3, of the RFC. If a bucket has lost a socket since its last look and the walk continues in it,
the read returns ESTALE, and the iterator restarts. A reader that continues sees all sockets again.
"""

from __future__ import annotations

from collections.abc import Hashable

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.removal_count import Place
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS
from sockiter.table import Socket, Table


class Restart(PartialBatch[Place]):
    """Claims: no stale socket, always an end, and an error only if a socket left its bucket. A reader that continues
    after the error misses no socket that stays in its bucket."""

    name = "restart"
    summary = "bucket and count of sockets seen in it; an error, and back to the start (the RFC's alternative 3)"
    progress = "Bucket Offset"
    costs = Costs(iterator=12, slot=8, bucket=4, remove="a count", move="a count")
    hazards = ANY_HAZARD | SUCCESSIONS
    known_failures = (
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", "show", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "remove", elsewhere=True),
        known_failure("repeat", "reinsert", elsewhere=True),
        known_failure("repeat", "rehash", elsewhere=True),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "close", elsewhere=True),
        known_failure("repeat", "close", moved=True),
        known_failure("refused", "remove"),
        known_failure("refused", "reinsert"),
        known_failure("refused", "rehash"),
        known_failure("refused", "close"),
    )
    start = Place(0, 0)

    def unseen(self, table: Table, bucket: int, place: Place) -> tuple[tuple[Socket, ...], Place] | None:
        removals = table.removals[bucket]
        if place.offset and removals != place.removals:
            return None
        return table.buckets[bucket][place.offset :], Place(place.offset, removals)

    def behind(self, place: Place, socket: Socket, table: Table) -> Place:
        return Place(place.offset + 1, place.removals)

    def matters(self, table: Table, bucket: int, place: Place, waiting: int) -> Hashable:
        # At the head of a bucket, its removals make no difference.
        return place.offset, bool(place.offset or waiting) and place.removals == table.removals[bucket]

    def place(self, state: State[Place]) -> str:
        return f"{state.bucket}:{state.place.offset}"
