"""The limits of drawn sequences: slots at open, buckets, and a target's room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sockiter.backend import SLOTS, Shape, Target
from sockiter.claims import INSERTIONS_MAX, Hazard
from sockiter.kernel.target import KernelTarget
from sockiter.operations import LISTENING, Bucket, has_tail
from sockiter.readers import Feature
from sockiter.schemes.scheme import has_keys
from sockiter.simulation import SchemeTarget

# Small batches make growth and partial batches likely; the kernels' 16 slots keep the draw realistic.
SLOTS_DRAWN = (1, 2, 3, 4, SLOTS)
MESSAGE_MAX = 1_200
"""The most records of a message in drawn sequences."""
BUCKETS_DRAWN = 3
"""The number of buckets of each table that sequences use, where a target has as many."""


@dataclass(frozen=True, slots=True)
class Room:
    """A target's limits for drawn sequences: its tables, its slots at open, its insertions, and its features.

    `slots`: the only supported number, None for any. `insertions`: the most insertions without a rollover, None for any.
    `has_tail`: whether sockets can be reinserted at the tail. `features`: those of sequences that the target supports.
    `buckets_drawn`: the buckets of each table that sequences use. `message`: of a kernel's dump, the records of the smallest
    message, else 0; `largest`: of the largest one, 0 if the size of a message is not chosen. `holds`: the most sockets in a
    bucket, None for any number. `has_keys`: the names of sockets are keys, so that their order counts.
    """

    tables: tuple[str, ...] = ("",)
    slots: int | None = None
    insertions: int | None = None
    has_tail: bool = True
    features: frozenset[Feature] = frozenset()
    buckets_drawn: int = BUCKETS_DRAWN
    message: int = 0
    largest: int = 0
    holds: int | None = None
    has_keys: bool = False

    @classmethod
    def of(cls, target: Target) -> Room:
        """The room of a target."""
        insertions = INSERTIONS_MAX if "rollover" in target.hazards else None
        buckets = min(BUCKETS_DRAWN, target.buckets_max or BUCKETS_DRAWN)
        message, largest, holds = 0, 0, None
        if isinstance(target, KernelTarget):
            message, largest, holds = target.message_records, target.message_of(MESSAGE_MAX), target.bucket_holds
            if holds is not None and target.buckets_max is not None:
                buckets = target.buckets_max
                largest = min(largest, buckets * holds // 2)
        keys = isinstance(target, SchemeTarget) and has_keys(target.scheme)
        features = target.features
        return cls(
            target.tables, target.slots, insertions, target.has_tail, features, buckets, message, largest, holds, keys
        )

    @property
    def slots_drawn(self) -> tuple[int, ...]:
        """The possible slots at open."""
        if self.slots is not None:
            return (self.slots,)
        if not self.message:
            return SLOTS_DRAWN
        # Messages of 4 KB, mostly; of 8 KB and 32 KB, if user space has received with such a buffer.
        small = self.message
        larger = (min(2 * small, self.largest), min(8 * small, self.largest)) if self.largest else ()
        return (small, small, small, *larger)

    @property
    def sockets_max(self) -> int:
        """More sockets than a drawn sequence has."""
        return 2 * max(self.slots_drawn) + 128

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
