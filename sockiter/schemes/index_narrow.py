"""`index-narrow`: as `index`, with versions of a few bits that wrap around.

Models the RFC's first note, on rollover, at a width at which rollover happens. The largest positive number is followed by
the smallest negative one. Then a socket that is inserted at the tail sorts before the present sockets, and the bucket is
out of order.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sockiter.claims import HAZARDS, VERSION_BITS, known_failure
from sockiter.schemes.index import Index, PrevIdx
from sockiter.schemes.scheme import Where
from sockiter.table import Socket, Table


class IndexNarrow(Index):
    """Claims: as `index`, as long as no version rolls over; no stale socket, always an end, no error."""

    name = "index-narrow"
    summary = f"as index, with versions of {VERSION_BITS} bits that wrap around"
    hazards = frozenset(HAZARDS)
    known_failures = (
        *Index.known_failures,
        known_failure("skip", "rollover", elsewhere=True),
        known_failure("repeat", "rollover", elsewhere=True),
        known_failure("repeat", "close", "rollover", moved=True),
    )

    def unseen(self, table: Table, bucket: int, place: PrevIdx) -> tuple[tuple[Socket, ...], PrevIdx]:
        return tuple(socket for socket in table.buckets[bucket] if place is None or wrapped(socket.idx) > place), place

    def behind(self, place: PrevIdx, socket: Socket, table: Table) -> PrevIdx:
        return wrapped(table.now(socket).idx)

    def matters(self, table: Table, bucket: int, place: PrevIdx, waiting: int) -> Hashable:
        return place

    def canonical(self, at: Any, table: Table, where: Where) -> Hashable:
        # Buckets are out of order, so every index matters as it is, and so do the kept bits of the version.
        indexes = tuple(wrapped(socket.idx) for bucket in table.buckets for socket in bucket)
        return super().canonical(at, table, where), indexes, wrapped(table.ver)

    def canonical_in_order(self, at: Any, table: Table, where: Where) -> Hashable:
        return Index().canonical(at, table, where)


def wrapped(idx: int) -> int:
    """An index reduced to this number of bits, in two's complement."""
    half = 1 << VERSION_BITS - 1
    return (idx + half) % (2 * half) - half
