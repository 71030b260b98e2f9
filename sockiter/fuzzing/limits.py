"""The limits of drawn sequences: slots at open, buckets, and a target's room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sockiter.backend import SLOTS, Shape, Target
from sockiter.claims import INSERTIONS_MAX, Hazard
from sockiter.operations import LISTENING, Bucket, has_tail
from sockiter.readers import Feature

# Small batches make growth and partial batches likely; the kernels' 16 slots keep the draw realistic.
SLOTS_DRAWN = (1, 2, 3, 4, SLOTS)
BUCKETS_DRAWN = 3
"""The number of buckets of each table that sequences use, where a target has as many."""


@dataclass(frozen=True, slots=True)
class Room:
    """A target's limits for drawn sequences: its tables, its slots at open, its insertions, and its features.

    `slots`: the only supported number, None for any. `insertions`: the most insertions without a rollover, None for any.
    `has_tail`: whether sockets can be reinserted at the tail. `features`: those of sequences that the target supports.
    `buckets_drawn`: the buckets of each table that sequences use.
    """

    tables: tuple[str, ...] = ("",)
    slots: int | None = None
    insertions: int | None = None
    has_tail: bool = True
    features: frozenset[Feature] = frozenset()
    buckets_drawn: int = BUCKETS_DRAWN

    @classmethod
    def of(cls, target: Target) -> Room:
        """The room of a target."""
        insertions = INSERTIONS_MAX if "rollover" in target.hazards else None
        buckets = min(BUCKETS_DRAWN, target.buckets_max or BUCKETS_DRAWN)
        return cls(target.tables, target.slots, insertions, target.has_tail, target.features, buckets)

    @property
    def slots_drawn(self) -> tuple[int, ...]:
        """The possible slots at open."""
        return SLOTS_DRAWN if self.slots is None else (self.slots,)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The possible buckets: the first bucket of each table before all second ones; the first table has no name."""
        return _buckets(self.tables, self.buckets_drawn)

    @property
    def buckets_with_tail(self) -> tuple[Bucket, ...]:
        """The possible buckets for an addition at the tail."""
        return tuple(bucket for bucket in self.buckets if has_tail(bucket.table))

    def reinserts_at_tail(self, table: str) -> bool:
        """Whether the sockets of a table can be reinserted at the tail."""
        return self.has_tail and has_tail(table)

    def shape(self, slots: int) -> Shape:
        """The dimensions of a backend for every drawn sequence."""
        return Shape(tuple((table, self.buckets_drawn) for table in ("", *self.tables[1:])), slots)

    def connects(self, table: str) -> bool:
        """Whether the sockets of a table can be connections."""
        return (table or self.tables[0]) != LISTENING

    def drawable(self, hazards: Iterable[Hazard]) -> frozenset[Hazard]:
        """The hazards that sequences for this target can use: close and accept need a table of connections, and accept
        needs request sockets."""
        left_out: set[Hazard] = set()
        if not any(map(self.connects, self.tables)):
            left_out |= {"close", "accept"}
        if "request" not in self.features:
            left_out.add("accept")
        return frozenset(hazards) - left_out


@cache
def _buckets(tables: tuple[str, ...], number: int) -> tuple[Bucket, ...]:
    return tuple(Bucket(nth, table) for nth in range(number) for table in ("", *tables[1:]))
