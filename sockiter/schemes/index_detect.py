"""`index-detect`: as `index`, with versions of a few bits, and rollover detected.

Models the RFC's first note, on rollover, with the detection that it offers, and defines a reaction. When all versions of
the width are used up, the table renumbers its sockets in order, restarts its version, and counts an epoch. An iterator
that finds a new epoch knows that its index is invalid, and walks the bucket again. So a rollover may cause repeats, as
the RFC says, but no skips. A comparison of the old indexes would not be enough: without new indexes, a bucket stays out
of order long after the rollover, as in `index-narrow`. The model has no explicit new indexes, since unbounded versions
keep the same order. Every epoch is as long as the width allows.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

from sockiter.claims import HAZARDS, VERSION_BITS, known_failure
from sockiter.schemes.index import Index, PrevIdx
from sockiter.schemes.partial_batch import PartialBatch, State
from sockiter.schemes.scheme import Where
from sockiter.table import Socket, Table

EPOCH = 1 << VERSION_BITS - 1
"""The number of insertions in an epoch."""


class Place(NamedTuple):
    """`prev_idx`: as in `index`. `epoch`: the epoch of the last look at the bucket."""

    prev_idx: PrevIdx
    epoch: int


class IndexDetect(PartialBatch[Place]):
    """Claims: as `index`, except for repeats after a rollover."""

    name = "index-detect"
    summary = f"as index, with versions of {VERSION_BITS} bits, and buckets walked again after a rollover"
    progress = Index.progress
    hazards = frozenset(HAZARDS)
    known_failures = (
        *Index.known_failures,
        known_failure("repeat", "add-head", "rollover", elsewhere=True),
        known_failure("repeat", "add-tail", "rollover", elsewhere=True),
        known_failure("repeat", "reinsert", "rollover", elsewhere=True),
        known_failure("repeat", "rehash", "rollover", elsewhere=True),
        known_failure("repeat", "close", "rollover", elsewhere=True),
        known_failure("repeat", "close", "rollover", moved=True),
    )
    start = Place(None, 0)

    def unseen(self, table: Table, bucket: int, place: Place) -> tuple[tuple[Socket, ...], Place]:
        now = epoch(table)
        prev_idx = place.prev_idx if place.epoch == now else None
        return tuple(s for s in table.buckets[bucket] if prev_idx is None or s.idx > prev_idx), Place(prev_idx, now)

    def behind(self, place: Place, socket: Socket, table: Table) -> Place:
        return Place(table.now(socket).idx, place.epoch)

    def matters(self, table: Table, bucket: int, place: Place, waiting: int) -> Hashable:
        # A past epoch never returns, and its indexes are invalid.
        if place.epoch != epoch(table):
            return "over"
        return None if place.prev_idx is None else len([idx for _, idx in table.buckets[bucket] if idx <= place.prev_idx])

    def canonical(self, at: Any, table: Table, where: Where) -> Hashable:
        return super().canonical(at, table, where), table.ver % EPOCH

    def place(self, state: State[Place]) -> str:
        return f"{state.bucket}:{'-' if state.place.prev_idx is None else state.place.prev_idx}"


def epoch(table: Table) -> int:
    """The number of rollovers of a table's versions."""
    return table.ver // EPOCH
