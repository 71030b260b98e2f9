"""`cookie-udp`: the place is a bucket and the cookies of the sockets in it that were captured and not yet shown.

Models bpf_iter_udp_batch, bpf_iter_udp_resume, bpf_iter_udp_realloc_batch and bpf_iter_udp_put_batch of net/ipv4/udp.c,
Linux 6.16 on: what was merged instead of the RFC's proposal. The walk goes on with the first remembered socket, in the
order in which they were captured, that is still in the bucket; with none of them left, nothing more comes from it. So what
is not remembered hangs on what is: sockets that did not fit into the batch when the larger one was allocated, or refused.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import known_failure
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, ONE_TABLE, Between, Done, Grow, Show, Where
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table

Cookies: TypeAlias = tuple[str, ...]


class State(NamedTuple):
    """`cookies`: of the sockets still to be shown, none where `bucket` is done with. `slots`: the batch."""

    bucket: int
    cookies: Cookies
    slots: int


class Looking(NamedTuple):
    """`bucket` is about to be locked, for the sockets from the first of `cookies` on; None: for all of them."""

    bucket: int
    cookies: Cookies | None
    slots: int

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Growing(NamedTuple):
    """A batch of `want` slots is being allocated, `captured` being all that fitted into the old one."""

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
    """Claims: nothing stale, always an end, and an error only where an allocation is refused. Exactly once for every socket
    that stays where it is, as long as none is moved, and none is removed while others wait for a larger batch that was
    refused: tests/cases/cookie-udp-skip-remove-enomem.case. Where sockets are moved into a bucket that is half shown, what
    is remembered of it is lost to a larger batch: tests/cases/cookie-udp-skip-rehash-realloc.case."""

    name = "cookie-udp"
    summary = f"bucket and cookies of the sockets not yet shown ({mainline('cookie-udp')})"
    progress = "Unseen Cookies"
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
        # In a bucket that this read has entered, nothing is remembered from before. While the bucket stays locked, the first
        # cookie still stands for the same socket.
        if cookies is not None and not locked:
            cookies = captured
        return _look(bucket, cookies, want, table, has_grown=True)

    def canonical(self, at: State | Looking | Growing | Showing | None, table: Table, where: Where) -> Hashable:
        match at:
            case State(bucket, cookies, slots):
                # Every read behind the last bucket goes one further.
                return min(bucket, len(table.buckets)), where.left(cookies), where.slots(slots)
            case Looking(bucket, cookies, slots):
                return bucket, cookies and where.left(cookies), where.slots(slots)
            case Growing(bucket, cookies, captured, slots, want, locked):
                # Where the bucket is sought anew, that is done by what was captured.
                sought = cookies and (where.left(cookies) if locked else ())
                return bucket, sought, where.left(captured), where.slots(slots), where.slots(want), locked
            case Showing(bucket, batch, slots):
                # Each socket of the batch has its turn, be it gone or not.
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
        # The first time without the lock, so that more sockets may come; then with it, for exactly as many as there are.
        want = len(unseen) if has_grown else len(unseen) * 3 // 2
        return Growing(bucket, cookies, names(unseen[:slots]), slots, want, has_grown)
    if unseen:
        return Showing(bucket, unseen, slots)
    return _onwards(bucket + 1, None, slots, table)


def from_first(cookies: Cookies, bucket: tuple[Socket, ...]) -> tuple[Socket, ...]:
    """The bucket from the first remembered socket on that is still in it; nothing where none is."""
    present = names(bucket)
    for cookie in cookies:
        if cookie in present:
            return bucket[present.index(cookie) :]
    return ()


def names(sockets: tuple[Socket, ...]) -> Cookies:
    """The cookies of some sockets. A name is given once and for ever, as a cookie is."""
    return tuple([name for name, _ in sockets])
