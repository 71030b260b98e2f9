"""The limits of drawn sequences: slots at open, buckets, and a target's room."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sockiter.backend import SLOTS, Shape, Target
from sockiter.claims import INSERTIONS_MAX
from sockiter.operations import Bucket, has_tail

# Small batches make growth and partial batches likely; the kernels' 16 slots keep the draw realistic.
SLOTS_DRAWN = (1, 2, 3, 4, SLOTS)
BUCKETS_DRAWN = 3
"""The number of buckets of each table that sequences use."""


@dataclass(frozen=True, slots=True)
class Room:
    """A target's limits for drawn sequences: its tables, its slots at open, and its insertions.

    `slots`: the only supported number, None for any. `insertions`: the most insertions without a rollover, None for any.
    `has_tail`: whether sockets can be reinserted at the tail.
    """

    tables: tuple[str, ...] = ("",)
    slots: int | None = None
    insertions: int | None = None
    has_tail: bool = True

    @classmethod
    def of(cls, target: Target) -> Room:
        """The room of a target."""
        insertions = INSERTIONS_MAX if "rollover" in target.hazards else None
        return cls(target.tables, target.slots, insertions, target.has_tail)

    @property
    def slots_drawn(self) -> tuple[int, ...]:
        """The possible slots at open."""
        return SLOTS_DRAWN if self.slots is None else (self.slots,)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The possible buckets: the first bucket of each table before all second ones; the first table has no name."""
        return _buckets(self.tables)

    @property
    def buckets_with_tail(self) -> tuple[Bucket, ...]:
        """The possible buckets for an addition at the tail."""
        return tuple(bucket for bucket in self.buckets if has_tail(bucket.table))

    def reinserts_at_tail(self, table: str) -> bool:
        """Whether the sockets of a table can be reinserted at the tail."""
        return self.has_tail and has_tail(table)

    def shape(self, slots: int) -> Shape:
        """The dimensions of a backend for every drawn sequence."""
        return Shape(tuple((table, BUCKETS_DRAWN) for table in ("", *self.tables[1:])), slots)


@cache
def _buckets(tables: tuple[str, ...]) -> tuple[Bucket, ...]:
    return tuple(Bucket(nth, table) for nth in range(BUCKETS_DRAWN) for table in ("", *tables[1:]))
