"""`offset-tcp`: the place is a table, a bucket in it, and a count of the sockets seen there.

Models bpf_iter_tcp_batch, tcp_seek_last_pos, bpf_iter_tcp_seq_next and bpf_iter_tcp_seq_stop of net/ipv4/tcp_ipv4.c, Linux
5.15 to 6.16, except for stable branches that have the cookies (`versions`). The walk covers the listening sockets (lhash2)
and then the established ones (ehash). The search for the place starts at the first socket at or behind the bucket, and
steps forward by the count while it is in the remembered bucket.

This scheme has the failures of `offset-udp` and one more: bucket and count are used for both tables. If no listening
socket is left from the remembered bucket on, the rest of the count is spent in the established table. It is spent in the
bucket of the same number, if that is the first one with sockets. If no count was left either, the count is then -1, never
becomes 0, and uses up that whole bucket, although nothing ever changed. The remembered bucket is then the one behind the
last bucket with a listening socket, or 0 without listening sockets.

Not modelled: behind the last bucket of lhash2, the kernel changes to the second table without a search. The model assumes
that a table is larger than its named buckets.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, SUCCESSIONS, Between, Done, Grow, Show, Where, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table

TABLES = ("listening", "established")


class State(NamedTuple):
    """`phase`: an index of `TABLES`. `bucket`: counted within that table. `slots`: as in `offset-udp`."""

    phase: int
    bucket: int
    offset: int
    slots: int


class Seeking(NamedTuple):
    """`bucket` is about to be locked. If it is `remembered`, the place is `left` steps behind its first socket.

    `grown`: the current batch has grown.
    """

    phase: int
    bucket: int
    left: int
    remembered: int
    slots: int
    grown: bool

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple):
    """A larger batch for `want` sockets is being allocated. `batch`: the sockets that fitted into the old one."""

    phase: int
    bucket: int
    offset: int
    slots: int
    want: int
    batch: tuple[Socket, ...]

    @property
    def waits_for(self) -> Grow:
        return Grow(self.want * 3 // 2)


class Showing(NamedTuple):
    """`batch[0]` is about to be shown. `done`: the batch has all sockets of the bucket behind `offset`."""

    phase: int
    bucket: int
    offset: int
    slots: int
    batch: tuple[Socket, ...]
    done: bool

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


Step: TypeAlias = Seeking | Growing | Showing | Done[State]


class OffsetTcp:
    """Claims: no stale socket, always an end, no error; no repeat without an insertion at the head or a move."""

    name = "offset-tcp"
    summary = f"table, bucket, and count of sockets seen in it ({mainline('offset-tcp')})"
    progress = "Bucket Offset"
    hazards = ANY_HAZARD | SUCCESSIONS
    tables = TABLES
    known_failures = (
        known_failure("skip"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "close", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, 0, 0, slots)

    def begin(self, state: State, table: Table) -> Step:
        phase, bucket, offset, slots = state
        return _onwards(Seeking(phase, bucket, offset, bucket, slots, False), table)

    def resume(self, waiting: Seeking | Growing | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Showing):
            phase, bucket, offset, slots, batch, done = waiting
            if not granted:
                return Done(State(phase, bucket, offset, slots))
            if len(batch) > 1:
                return Showing(phase, bucket, offset + 1, slots, batch[1:], done)
            bucket, offset = (bucket + 1, 0) if done else (bucket, offset + 1)
            return _onwards(Seeking(phase, bucket, offset, bucket, slots, False), table)
        if isinstance(waiting, Seeking):
            return _look(waiting, table)
        phase, bucket, offset, slots, want, batch = waiting
        if granted:
            return _look(Seeking(phase, bucket, offset, bucket, want * 3 // 2, True), table)
        return Showing(phase, bucket, offset, slots, batch, False)  # continues with the small batch, without an error

    def canonical(self, at: State | Seeking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        return at and by_position(at._replace(slots=where.slots(at.slots)), table, where)

    def place(self, state: State) -> str:
        return f"{TABLES[state.phase]}:{state.bucket}:{state.offset}" if state.phase < len(TABLES) else "-"


def _onwards(seeking: Seeking, table: Table) -> Seeking | Done[State]:
    phase, bucket, left, remembered, slots, grown = seeking
    while phase < len(TABLES):
        buckets = table.buckets_of(phase)
        while bucket < len(buckets) and not buckets[bucket]:
            bucket += 1
        if bucket < len(buckets):
            return Seeking(phase, bucket, left, remembered, slots, grown)
        # The kernel decrements the count also in the test that ends its loop.
        phase, bucket, left = phase + 1, 0, left - 1
    return Done(State(phase, 0, 0, slots))


def _look(seeking: Seeking, table: Table) -> Step:
    phase, bucket, left, remembered, slots, grown = seeking
    sockets = table.buckets_of(phase)[bucket]
    offset = 0
    if sockets and left and bucket == remembered:
        if not 0 < left < len(sockets):
            # The count runs on to the end of the bucket, and may be larger than the bucket; a negative count never
            # becomes 0.
            return _onwards(seeking._replace(bucket=bucket + 1, left=left - len(sockets)), table)
        offset, left = left, 0
    unseen = sockets[offset:]
    if not unseen:
        return _onwards(seeking._replace(bucket=bucket + 1), table)
    if len(unseen) <= slots:
        return Showing(phase, bucket, offset, slots, unseen, True)
    if not grown:
        return Growing(phase, bucket, offset, slots, len(unseen), unseen[:slots])
    return Showing(phase, bucket, offset, slots, unseen[:slots], False)
