"""`cookie-tcp`: the place is a table, a bucket in it, and the cookies of the captured sockets that are not yet shown.

Models bpf_iter_tcp_batch, bpf_iter_tcp_resume and bpf_iter_tcp_put_batch of net/ipv4/tcp_ipv4.c, Linux 6.17 on (and
6.1.183, 6.6.152, 6.12.104 and later of their series). The idea is that of `cookie-udp`; the details differ. After the
allocation of a larger batch, the iterator searches for the captured sockets, even in a bucket that it just entered. If
all of these sockets close meanwhile, the rest of the bucket is skipped. A batch has one unlocked allocation, however many
buckets are searched. If that allocation is refused, the iterator remembers only the bucket, so its shown sockets are
repeated.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.cookie_udp import Cookies, Growing, Showing, from_first, names
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, SUCCESSIONS, Between, Done, Where
from sockiter.schemes.versions import mainline
from sockiter.table import Table


class State(NamedTuple):
    """`bucket`: counted through both tables. `cookies`: of the sockets still to be shown; empty if no socket was
    captured."""

    bucket: int
    cookies: Cookies
    slots: int


class Looking(NamedTuple):
    """`bucket` is about to be locked, to capture the sockets from the first of `cookies` on, or all if `cookies` is empty.

    `has_grown`: the current batch has grown. It can grow only once more, with the bucket locked.
    """

    bucket: int
    cookies: Cookies
    slots: int
    has_grown: bool

    @property
    def waits_for(self) -> Between:
        return BETWEEN


Step: TypeAlias = Looking | Growing | Showing | Done[State]


class CookieTcp:
    """Claims: no stale socket, always an end, and an error only for a refused allocation. Exactly once for every socket that
    stays in place, as long as no socket moves, no socket leaves during the allocation of a larger batch, and no allocation
    is refused."""

    name = "cookie-tcp"
    summary = f"table, bucket and cookies of the sockets not yet shown ({mainline('cookie-tcp')})"
    progress = "Unseen Cookies"
    hazards = ANY_HAZARD | SUCCESSIONS
    tables = ("listening", "established")
    known_failures = (
        known_failure("skip", "reinsert"),
        known_failure("skip", "remove", "realloc"),
        known_failure("skip", "rehash", "realloc"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "add-tail", "enomem"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "close", moved=True),
        known_failure("refused", "enomem"),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, (), slots)

    def begin(self, state: State, table: Table) -> Step:
        return _onwards(*state, table, has_grown=False)

    def resume(self, waiting: Looking | Growing | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Showing):
            bucket, batch, slots = waiting
            if not granted:
                return Done(State(bucket, names(batch), slots))
            if len(batch) > 1:
                return Showing(bucket, batch[1:], slots)
            return _onwards(bucket + 1, (), slots, table, has_grown=False)
        if isinstance(waiting, Looking):
            return _look(*waiting, table)
        bucket, sought, captured, slots, want, locked = waiting
        if not granted:
            return Done(State(bucket, captured if locked else (), slots), "ENOMEM")
        return _look(bucket, (sought or ()) if locked else captured, want, True, table)

    def canonical(self, at: State | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        match at:
            case State(bucket, cookies, slots):
                return bucket, where.left(cookies), where.slots(slots)
            case Looking(bucket, cookies, slots, has_grown):
                return bucket, where.left(cookies), where.slots(slots), has_grown
            case Growing(bucket, cookies, captured, slots, want, locked):
                sought = where.left(cookies or ()) if locked else ()
                return bucket, sought, where.left(captured), where.slots(slots), where.slots(want), locked
            case Showing(bucket, batch, slots):
                # Each socket of the batch gets its turn, whether it has left the table or not.
                return bucket, where.of(batch), where.slots(slots)
        return None

    def place(self, state: State) -> str:
        return f"{state.bucket}:{','.join(state.cookies) or '-'}"


def _onwards(bucket: int, cookies: Cookies, slots: int, table: Table, *, has_grown: bool) -> Looking | Done[State]:
    filled = table.first_filled(bucket)
    if filled < len(table.buckets):
        return Looking(filled, cookies if filled == bucket else (), slots, has_grown)
    return Done(State(filled, (), slots))


def _look(bucket: int, cookies: Cookies, slots: int, has_grown: bool, table: Table) -> Step:
    unseen = table.buckets[bucket]
    if cookies:
        unseen = from_first(cookies, unseen)
    if not unseen:
        return _onwards(bucket + 1, (), slots, table, has_grown=has_grown)
    if len(unseen) > slots:
        want = len(unseen) if has_grown else len(unseen) * 3 // 2
        return Growing(bucket, cookies, names(unseen[:slots]), slots, want, has_grown)
    return Showing(bucket, unseen, slots)
