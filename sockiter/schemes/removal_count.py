"""`removal-count`: the RFC's first alternative. As `offset-udp`, and the offset is walked back by the removals since.

Models "Some alternatives", 1, of the RFC: every bucket counts the sockets that were removed from it, the iterator remembers
that number with its place, and where it has risen, it goes back by so much. That skips nobody who stays where he is, and
repeats where those that were removed had not been seen yet, besides where `offset-udp` does.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from sockiter.claims import known_failure
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.table import Socket, Table


class Place(NamedTuple):
    """`removals`: those from the bucket when the offset was right."""

    offset: int
    removals: int


class RemovalCount(PartialBatch[Place]):
    """Claims: nothing stale, always an end, no error, and no socket that stays where it is is skipped."""

    name = "removal-count"
    summary = "bucket and count of sockets seen in it, less those removed from it (the RFC's alternative 1)"
    progress = "Bucket Offset"
    known_failures = (
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "remove"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )
    start = Place(0, 0)

    def unseen(self, table: Table, bucket: int, place: Place) -> tuple[tuple[Socket, ...], Place]:
        sockets, removals = table.buckets[bucket], table.removals[bucket]
        offset = max(place.offset - (removals - place.removals), 0)
        return sockets[offset:], Place(min(offset, len(sockets)), removals)

    def behind(self, place: Place, socket: Socket, table: Table) -> Place:
        return Place(place.offset + 1, place.removals)

    def matters(self, table: Table, bucket: int, place: Place, waiting: int) -> Hashable:
        # Walked back to the head or further is all the same, once it is looked at.
        return max(place.offset - (table.removals[bucket] - place.removals), -waiting)

    def place(self, state: State[Place]) -> str:
        return f"{state.bucket}:{state.place.offset}"
