"""`cookie-udp`: the place is a bucket and the cookies of the sockets in it that are captured and not yet shown.

Models bpf_iter_udp_batch, bpf_iter_udp_resume, bpf_iter_udp_realloc_batch and bpf_iter_udp_put_batch of net/ipv4/udp.c,
Linux 6.16 on. Linux merged this scheme instead of the RFC's proposal. The walk resumes at the first remembered socket, in
the order of capture, that is still in the bucket. If no remembered socket is left, the rest of the bucket is skipped. So
the sockets that did not fit into the batch, when the larger batch was allocated or refused, depend on the remembered
ones.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, ONE_TABLE, Between, Done, Grow, Show, Where
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table

Cookies: TypeAlias = tuple[str, ...]


class State(NamedTuple):
    """`cookies`: of the sockets still to be shown; empty if `bucket` is finished. `slots`: the size of the batch."""

    bucket: int
    cookies: Cookies
    slots: int


class Looking(NamedTuple):
    """`bucket` is about to be locked, to capture the sockets from the first of `cookies` on; None: all of them."""

    bucket: int
    cookies: Cookies | None
    slots: int

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple):
    """A batch of `want` slots is being allocated. `captured`: the sockets that fitted into the old batch."""

    bucket: int
    cookies: Cookies | None
    captured: Cookies
    slots: int
    want: int
    locked: bool

    @property
    def waits_for(self) -> Grow:
        return Grow(self.want, self.locked)


class Showing(NamedTuple):
    """`batch[0]` is about to be shown."""

    bucket: int
    batch: tuple[Socket, ...]
    slots: int

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


Step: TypeAlias = Looking | Growing | Showing | Done[State]


class CookieUdp:
    """Claims: no stale socket, always an end, and an error only for a refused allocation. Exactly once for every socket that
    stays in place, under two conditions: no socket moves, and no socket is removed while others wait for a larger batch that
    was refused (tests/cases/cookie-udp-skip-remove-enomem.case). If sockets move into a half-shown bucket, a larger batch
    loses the remembered sockets of that bucket (tests/cases/cookie-udp-skip-rehash-realloc.case)."""

    name = "cookie-udp"
    summary = f"bucket and cookies of the sockets not yet shown ({mainline('cookie-udp')})"
    progress = "Unseen Cookies"
    costs = Costs(iterator=8, slot=8)
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    known_failures = (
        known_failure("skip", "reinsert"),
        known_failure("skip", "remove", "enomem"),
        known_failure("skip", "rehash", "enomem"),
        known_failure("skip", "rehash", "realloc"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("refused", "enomem"),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(-1, (), slots)

    def begin(self, state: State, table: Table) -> Step:
        bucket, cookies, slots = state
        return _onwards(bucket, cookies, slots, table) if cookies else _onwards(bucket + 1, None, slots, table)

    def resume(self, waiting: Looking | Growing | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Showing):
            bucket, batch, slots = waiting
            if not granted:
                return Done(State(bucket, names(batch), slots))
            return Showing(bucket, batch[1:], slots) if len(batch) > 1 else _onwards(bucket + 1, None, slots, table)
        if isinstance(waiting, Looking):
            return _look(*waiting, table, has_grown=False)
        bucket, cookies, captured, slots, want, locked = waiting
        if not granted:
            return Done(State(bucket, captured, slots), "ENOMEM")
        # For a bucket that this read has entered, there are no earlier cookies. While the bucket stays locked, the first
        # cookie still names the same socket.
        if cookies is not None and not locked:
            cookies = captured
        return _look(bucket, cookies, want, table, has_grown=True)

    def canonical(self, at: State | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        match at:
            case State(bucket, cookies, slots):
                # Every read behind the last bucket advances by one bucket.
                return min(bucket, len(table.buckets)), where.left(cookies), where.slots(slots)
            case Looking(bucket, cookies, slots):
                return bucket, cookies and where.left(cookies), where.slots(slots)
            case Growing(bucket, cookies, captured, slots, want, locked):
                # A search that starts again uses the captured cookies.
                sought = cookies and (where.left(cookies) if locked else ())
                return bucket, sought, where.left(captured), where.slots(slots), where.slots(want), locked
            case Showing(bucket, batch, slots):
                # Each socket of the batch gets its turn, whether it has left the table or not.
                return bucket, where.of(batch), where.slots(slots)
        return None

    def place(self, state: State) -> str:
        return f"{state.bucket}:{','.join(state.cookies) or '-'}"


def _onwards(bucket: int, cookies: Cookies | None, slots: int, table: Table) -> Looking | Done[State]:
    filled = table.first_filled(bucket)
    if filled < len(table.buckets):
        return Looking(filled, cookies if filled == bucket else None, slots)
    return Done(State(filled, (), slots))


def _look(bucket: int, cookies: Cookies | None, slots: int, table: Table, *, has_grown: bool) -> Step:
    unseen = table.buckets[bucket]
    if cookies is not None:
        unseen = from_first(cookies, unseen)
    if len(unseen) > slots:
        # The first allocation is unlocked, so that more sockets may enter. The second one is locked and has the exact size.
        want = len(unseen) if has_grown else len(unseen) * 3 // 2
        return Growing(bucket, cookies, names(unseen[:slots]), slots, want, has_grown)
    if unseen:
        return Showing(bucket, unseen, slots)
    return _onwards(bucket + 1, None, slots, table)


def from_first(cookies: Cookies, bucket: tuple[Socket, ...]) -> tuple[Socket, ...]:
    """The bucket from the first remembered socket on that is still in it; empty if no remembered socket is."""
    present = names(bucket)
    for cookie in cookies:
        if cookie in present:
            return bucket[present.index(cookie) :]
    return ()


def names(sockets: tuple[Socket, ...]) -> Cookies:
    """The cookies of some sockets. A name is never used twice, just as a cookie."""
    return tuple([name for name, _ in sockets])
