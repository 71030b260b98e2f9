"""What sequences are drawn from: slots at open, buckets, and the room that a target leaves."""

from __future__ import annotations

from dataclasses import dataclass

from sockiter.backend import SLOTS, Shape, Target
from sockiter.claims import INSERTIONS_MAX
from sockiter.operations import Bucket

# Small batches make growth and partial batches cheap to reach; the kernels' 16 slots keep it honest.
SLOTS_DRAWN = (1, 2, 3, 4, SLOTS)
BUCKETS_DRAWN = 3
"""The buckets of each table that are drawn from."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a target leaves to draw from: its tables, its slots at open, and the insertions until its versions roll over.

    `slots`: the only number that it can have, None for any. `insertions`: the most that roll nothing over, None for any.
    `has_tail`: whether sockets can be put in again at the tail.
    """

    tables: tuple[str, ...] = ("",)
    slots: int | None = None
    insertions: int | None = None
    has_tail: bool = True

    @classmethod
    def of(cls, target: Target) -> Room:
        """The room that a target leaves."""
        insertions = INSERTIONS_MAX if "rollover" in target.hazards else None
        return cls(target.tables, target.slots, insertions, target.has_tail)

    @property
    def slots_drawn(self) -> tuple[int, ...]:
        """The slots at open to choose from."""
        return SLOTS_DRAWN if self.slots is None else (self.slots,)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The buckets to choose from, the first of each table before the second of any, the first table without a name."""
        return tuple(Bucket(nth, table) for nth in range(BUCKETS_DRAWN) for table in ("", *self.tables[1:]))

    def shape(self, slots: int) -> Shape:
        """What a backend must be laid out for, whichever sequence is drawn."""
        return Shape(tuple((table, BUCKETS_DRAWN) for table in ("", *self.tables[1:])), slots)
