"""`proc-tcp`: /proc/net/tcp keeps a table, a bucket and an offset in it, and falls back to a count over all buckets.

Models tcp_seq_start, tcp_seek_last_pos, tcp_get_idx and tcp_seq_next of net/ipv4/tcp_ipv4.c, Linux 6.1 to 7.1. The walk
covers the listening sockets (lhash2) and then the established ones (ehash). The place is sought as `offset-tcp` seeks it.
Where that search finds no socket, as behind the end, the walk counts from the first bucket on, over as many sockets as it
has shown. So its failures reach buckets in which nothing changed.

There is no batch. A bucket is locked from its first shown socket to its last, so it cannot change while a socket is shown.
The lock is released between two buckets.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Literal, NamedTuple, TypeAlias

from sockiter.claims import HAZARDS, known_failure
from sockiter.schemes.offset_tcp import TABLES
from sockiter.schemes.scheme import BETWEEN, Between, Done, FrameName, Show, Where, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`shown`: the number of shown sockets. `phase`: an index of `TABLES`. `bucket`: counted within that table."""

    shown: int
    phase: int
    bucket: int
    offset: int


class Looking(NamedTuple):
    """`bucket` is about to be locked.

    `mode`: "seek", if it is `remembered`, the place is `left` steps behind its first socket; "count", the walk still has to
    step over `left` sockets; "on", it takes the first socket.
    """

    shown: int
    phase: int
    bucket: int
    left: int
    remembered: int
    mode: Literal["seek", "count", "on"]

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Showing(NamedTuple):
    """`socket`, at `offset` in the locked bucket, is about to be shown."""

    shown: int
    phase: int
    bucket: int
    offset: int
    socket: Socket

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


Step: TypeAlias = Looking | Showing | Done[State]


class ProcTcp:
    """Claims: no stale socket, always an end, no error; no skip without a removal or a move, no repeat without a change of
    the table."""

    name = "proc-tcp"
    summary = f"table, bucket and offset, or else a count over all buckets ({mainline('proc-tcp')})"
    progress = "Bucket Offset"
    hazards = frozenset(HAZARDS) - {"show", "realloc", "enomem", "rollover", "destroying"}
    tables = TABLES
    frame: FrameName = "seq_file"
    line_bytes = 150
    known_failures = (
        known_failure("skip", "remove", elsewhere=True),
        known_failure("skip", "reinsert"),
        known_failure("skip", "rehash", elsewhere=True),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "add-head", elsewhere=True),
        known_failure("repeat", "add-tail", elsewhere=True),
        known_failure("repeat", "remove", elsewhere=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash", elsewhere=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "close", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, 0, 0, 0)

    def begin(self, state: State, table: Table) -> Step:
        shown, phase, bucket, offset = state
        if not shown:
            return _onwards(_counting(0), table)
        return _onwards(Looking(shown, phase, bucket, offset, bucket, "seek"), table)

    def resume(self, waiting: Looking | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Looking):
            return _look(waiting, table)
        shown, phase, bucket, offset, _ = waiting
        if not granted:
            return Done(State(shown, phase, bucket, offset))
        sockets = table.buckets_of(phase)[bucket]
        if offset + 1 < len(sockets):
            return Showing(shown + 1, phase, bucket, offset + 1, sockets[offset + 1])
        return _onwards(Looking(shown + 1, phase, bucket + 1, 0, -1, "on"), table)

    def canonical(self, at: State | Looking | Showing | None, table: Table, where: Where) -> Hashable:
        if at is None:
            return None
        # A count over more sockets than all buckets can ever have finds nothing.
        most = where.slots(sys.maxsize) * len(table.buckets)
        at = at._replace(shown=min(at.shown, most))
        return by_position(at._replace(left=min(at.left, most)) if isinstance(at, Looking) else at, table, where)

    def place(self, state: State) -> str:
        return f"{TABLES[state.phase]}:{state.bucket}:{state.offset}" if state.phase < len(TABLES) else "-"


def _counting(shown: int) -> Looking:
    return Looking(shown, 0, 0, shown, -1, "count")


def _onwards(looking: Looking, table: Table) -> Looking | Done[State]:
    shown, phase, bucket, left, remembered, mode = looking
    while phase < len(TABLES):
        buckets = table.buckets_of(phase)
        while bucket < len(buckets) and not buckets[bucket]:
            bucket += 1
        if bucket < len(buckets):
            return Looking(shown, phase, bucket, left, remembered, mode)
        # A search decrements its count also in the test that ends its loop.
        phase, bucket, left = phase + 1, 0, left - (mode == "seek")
    return _onwards(_counting(shown), table) if mode == "seek" else Done(State(shown, phase, 0, 0))


def _look(looking: Looking, table: Table) -> Step:
    shown, phase, bucket, left, remembered, mode = looking
    sockets = table.buckets_of(phase)[bucket]
    index = left if mode == "count" or bucket == remembered else 0
    if 0 <= index < len(sockets):
        return Showing(shown, phase, bucket, index, sockets[index])
    # The count runs on to the end of the bucket. A negative count of a search never becomes 0.
    return _onwards(looking._replace(bucket=bucket + 1, left=left - len(sockets) if index else left), table)
