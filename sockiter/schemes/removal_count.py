"""`removal-count`: the RFC's first alternative. As `offset-udp`, with the offset reduced by the removals since.

Models "Some alternatives", 1, of the RFC. Every bucket counts the sockets that were removed from it. The iterator
remembers that number with its place, and goes back by its increase. So it never skips a socket that stays in place. It
repeats where `offset-udp` does, and also where unseen sockets were removed.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS
from sockiter.table import Socket, Table


class Place(NamedTuple):
    """`removals`: the number of removals from the bucket when the offset was right."""

    offset: int
    removals: int


class RemovalCount(PartialBatch[Place]):
    """Claims: no stale socket, always an end, no error, and no skip of a socket that stays in place."""

    name = "removal-count"
    summary = "bucket and count of sockets seen in it, less those removed from it (the RFC's alternative 1)"
    progress = "Bucket Offset"
    costs = Costs(iterator=12, slot=8, bucket=4, remove="a count", move="a count")
    hazards = ANY_HAZARD | SUCCESSIONS
    known_failures = (
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "remove"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "close", moved=True),
    )
    start = Place(0, 0)

    def unseen(self, table: Table, bucket: int, place: Place) -> tuple[tuple[Socket, ...], Place]:
        sockets, removals = table.buckets[bucket], table.removals[bucket]
        offset = max(place.offset - (removals - place.removals), 0)
        return sockets[offset:], Place(min(offset, len(sockets)), removals)

    def behind(self, place: Place, socket: Socket, table: Table) -> Place:
        return Place(place.offset + 1, place.removals)

    def matters(self, table: Table, bucket: int, place: Place, waiting: int) -> Hashable:
        # Going back to the head and going back further have the same result at the next look.
        return max(place.offset - (table.removals[bucket] - place.removals), -waiting)

    def place(self, state: State[Place]) -> str:
        return f"{state.bucket}:{state.place.offset}"
