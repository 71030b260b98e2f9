"""`cookie-tcp`: the place is a table, a bucket of it, and the cookies of the sockets that were captured and not yet shown.

Models bpf_iter_tcp_batch, bpf_iter_tcp_resume and bpf_iter_tcp_put_batch of net/ipv4/tcp_ipv4.c, Linux 6.17 on (and 6.1.183,
6.6.152, 6.12.104 and later of their series). The idea of `cookie-udp`, in other details. After a larger batch was allocated,
the place is sought by what had been captured before, in a bucket that was just entered as well: where all of that closes
meanwhile, the rest of the bucket is passed over. There is one unlocked allocation in making a batch, however many buckets
are looked at. Where it is refused, nothing is remembered but the bucket, so that what was shown of it comes again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.cookie_udp import names, resume
from sockiter.schemes.scheme import ANY_HAZARD, GONE, Grow, Hand, Reading, Where, left
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`bucket`: in the walk through both tables. `cookies`: of the sockets still to be shown; empty where all that were
    captured have been, None where none were captured yet."""

    bucket: int
    cookies: tuple[str, ...] | None
    slots: int


class CookieTcp:
    """Claims: nothing stale, always an end, and an error only where an allocation is refused. Exactly once for every socket
    that stays where it is, as long as none is moved, nothing leaves while a larger batch is being allocated, and no
    allocation is refused."""

    name = "cookie-tcp"
    summary = "table, bucket and cookies of the sockets not yet shown (TCP, Linux 6.17 on)"
    progress = "Unseen Cookies"
    hazards = ANY_HAZARD
    tables = ("listening", "established")
    harms = (
        harm("skip", "reinsert"),
        harm("skip", "remove", "realloc"),
        harm("skip", "rehash", "realloc"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "reinsert"),
        harm("repeat", "rehash"),
        harm("repeat", "add-tail", "enomem"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
        harm("refused", "enomem"),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, None, slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, cookies, slots = state
        while True:
            bucket, unseen = resumed(table, bucket, cookies)
            if len(unseen) > slots:
                captured = names(unseen[:slots])
                want = len(unseen) * 3 // 2
                granted, table = yield Grow(want)
                if not granted:
                    return State(bucket, None, slots), "ENOMEM"
                slots = want
                bucket, unseen = resumed(table, bucket, captured)
                if len(unseen) > slots:
                    # The bucket stays locked, so that what did not fit is taken as it is.
                    granted, _ = yield Grow(len(unseen), locked=True)
                    if not granted:
                        return State(bucket, names(unseen[:slots]), slots), "ENOMEM"
                    slots = len(unseen)
            if not unseen:
                return State(bucket, None, slots), None
            for shown, socket in enumerate(unseen):
                go, table = yield socket
                if not go:
                    return State(bucket, names(unseen[shown:]), slots), None
            cookies = ()

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        if "shown" in hand:
            rest = names(hand["unseen"][hand["shown"] :])
            return hand["bucket"], hand["slots"], tuple([where.get(name, GONE) for name in rest])
        remembered = hand.get("captured", hand.get("cookies"))
        numbers = tuple([value for value in hand.values() if isinstance(value, int)])
        unseen = left(names(hand.get("unseen", ())), where)
        return numbers, unseen, None if remembered is None else left(remembered, where)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{','.join(state.cookies or ()) or '-'}"


def resumed(table: Table, bucket: int, cookies: tuple[str, ...] | None) -> tuple[int, tuple[Socket, ...]]:
    """The bucket and the sockets of it to go on with; none at the end of the walk."""
    resume_bucket = bucket
    if cookies == ():
        bucket += 1
    for number in range(bucket, len(table.buckets)):
        unseen = table.buckets[number]
        if cookies and number == resume_bucket:
            unseen = resume(unseen, cookies)
        if unseen:
            return number, unseen
    return len(table.buckets), ()
