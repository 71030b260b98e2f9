"""`index-snapshot`: as `index`, without the sockets that were inserted after open.

Models the RFC's second note: the iterator remembers the version at open, and for a consistent view omits sockets with a
larger index, regardless of the sign. A moved socket gets a larger index, so it is omitted in its new place. It is never
repeated, but it is skipped even if it moves ahead of the walk.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.index import Index, PrevIdx
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS, Where
from sockiter.table import Socket, Table


class Place(NamedTuple):
    """`prev_idx`: as in `index`. `opened`: the table's version at open."""

    prev_idx: PrevIdx
    opened: int


class IndexSnapshot(PartialBatch[Place]):
    """Claims: as `index`, and no socket that was added after open."""

    name = "index-snapshot"
    summary = "as index, without what was inserted after open (the RFC's consistent snapshot)"
    progress = Index.progress
    costs = Costs(iterator=24, slot=8, element=8, table=8, insert="a version", move="a version")
    hazards = ANY_HAZARD | SUCCESSIONS
    known_failures = (
        known_failure("skip", "reinsert", "show"),
        known_failure("skip", "reinsert", "realloc", "enomem"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "reinsert", "show"),
        known_failure("repeat", "rehash", "show"),
        known_failure("repeat", "reinsert", "realloc", "enomem"),
        known_failure("repeat", "rehash", "realloc", "enomem"),
        known_failure("repeat", "reinsert", "show", moved=True),
        known_failure("repeat", "rehash", "show", moved=True),
        known_failure("repeat", "reinsert", "realloc", "enomem", moved=True),
        known_failure("repeat", "rehash", "realloc", "enomem", moved=True),
    )

    start = Place(None, 0)

    def open(self, slots: int, table: Table) -> State[Place]:
        return State(0, Place(None, table.ver), slots)

    def entering(self, place: Place) -> Place:
        return Place(None, place.opened)

    def unseen(self, table: Table, bucket: int, place: Place) -> tuple[tuple[Socket, ...], Place]:
        prev_idx, opened = place
        unseen = (s for s in table.buckets[bucket] if prev_idx is None or s.idx > prev_idx)
        return tuple(socket for socket in unseen if abs(socket.idx) <= opened), place

    def behind(self, place: Place, socket: Socket, table: Table) -> Place:
        return Place(table.now(socket).idx, place.opened)

    def matters(self, table: Table, bucket: int, place: Place, waiting: int) -> Hashable:
        # As in `index`.
        prev_idx = place.prev_idx
        return None if prev_idx is None else len([idx for _, idx in table.buckets[bucket] if idx <= prev_idx])

    def canonical(self, at: Any, table: Table, where: Where) -> Hashable:
        # Of an insertion, only its time matters: before or after open.
        old = () if at is None else tuple(abs(s.idx) <= at.place.opened for bucket in table.buckets for s in bucket)
        return super().canonical(at, table, where), old

    def place(self, state: State[Place]) -> str:
        prev_idx = state.place.prev_idx
        return f"{state.bucket}:{'-' if prev_idx is None else prev_idx}"
