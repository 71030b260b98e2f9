"""`index-snapshot`: as `index`, and sockets that were inserted after open are left out.

Models the RFC's second note: the iterator remembers the version at open, and for a consistent view leaves out what has a
larger index, whatever its sign. A socket that moves gets a larger index, so that it is left out wherever it is put: it is
not met again, and it is missed even where it moves ahead of the walk.
"""

from __future__ import annotations

from collections.abc import Hashable

from sockiter.claims import harm
from sockiter.schemes.index import Index, PrevIdx
from sockiter.schemes.partial_batch import State
from sockiter.schemes.scheme import Hand, Where
from sockiter.table import Socket, Table


class IndexSnapshot(Index):
    """Claims: as `index`, and nothing that was added after open."""

    name = "index-snapshot"
    summary = "as index, without what was inserted after open (the RFC's consistent snapshot)"
    harms = (
        harm("skip", "reinsert", "show"),
        harm("skip", "reinsert", "realloc", "enomem"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "reinsert", "show"),
        harm("repeat", "rehash", "show"),
        harm("repeat", "reinsert", "realloc", "enomem"),
        harm("repeat", "rehash", "realloc", "enomem"),
        harm("repeat", "reinsert", "show", moved=True),
        harm("repeat", "rehash", "show", moved=True),
        harm("repeat", "reinsert", "realloc", "enomem", moved=True),
        harm("repeat", "rehash", "realloc", "enomem", moved=True),
    )

    def open(self, slots: int, table: Table) -> State[PrevIdx]:
        return State(0, self.start, False, slots, table.ver)

    def unseen(self, table: Table, bucket: int, place: PrevIdx, opened: int) -> tuple[tuple[Socket, ...], PrevIdx]:
        sockets, place = super().unseen(table, bucket, place, opened)
        return tuple(socket for socket in sockets if abs(socket.idx) <= opened), place

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        # Who was inserted when matters only in that: before open, or after.
        old = tuple(abs(socket.idx) <= hand["opened"] for bucket in table.buckets for socket in bucket) if hand else ()
        return super().canonical(hand, table, where), old
