"""`rank`: the place is one number, of the sockets shown so far in the whole table.

Models udp_seq_start, udp_seq_next and udp_get_idx of net/ipv4/udp.c, as the BPF iterator used them before Linux 6.5, and
/proc/net/udp does to this day. There is no batch, and every start steps over so many sockets from the first bucket on. The
lock of the bucket is held from there to the end of the read, so that nothing happens in it while a socket is shown.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import HAZARDS, harm
from sockiter.schemes.scheme import ONE_TABLE, Reading, by_position
from sockiter.table import Table


class State(NamedTuple):
    """`rank`: how many sockets are stepped over."""

    rank: int


class Rank:
    """Claims: nothing stale, always an end, no error; and no skip without a removal or a move. It counts across buckets, so
    that an insertion at the tail of one that is done with makes a seen socket come again, as one at the head does."""

    name = "rank"
    summary = "count of sockets seen in the whole table (UDP before Linux 6.5, /proc/net/udp)"
    progress = "Rank"
    tables = ONE_TABLE
    hazards = frozenset(HAZARDS) - {"show", "realloc", "enomem", "rollover"}
    harms = (
        harm("skip", "remove"),
        harm("skip", "reinsert"),
        harm("skip", "rehash"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "add-head"),
        harm("repeat", "add-tail"),
        harm("repeat", "reinsert"),
        harm("repeat", "rehash"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0)

    def read(self, state: State, table: Table) -> Reading[State]:
        (rank,) = state
        for socket in [socket for bucket in table.buckets for socket in bucket][rank:]:
            shown, table = yield socket
            if not shown:
                return State(rank), None
            rank += 1
        return State(rank), None

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return str(state.rank)
