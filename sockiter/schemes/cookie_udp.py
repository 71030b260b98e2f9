"""`cookie-udp`: the place is a bucket and the cookies of the sockets in it that were captured and not yet shown.

Models bpf_iter_udp_batch, bpf_iter_udp_resume, bpf_iter_udp_realloc_batch and bpf_iter_udp_put_batch of net/ipv4/udp.c,
Linux 6.16 on: what was merged instead of the RFC's proposal. The walk goes on with the first remembered socket, in the
order in which they were captured, that is still in the bucket; with none of them left, nothing more comes from it. So what
is not remembered hangs on what is: sockets that did not fit into the batch when the larger one was allocated, or refused.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from sockiter.claims import harm
from sockiter.schemes.scheme import ANY_HAZARD, GONE, ONE_TABLE, Grow, Hand, Reading, Where, left
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`cookies`: of the sockets still to be shown, none where `bucket` is done with. `slots`: the batch."""

    bucket: int
    cookies: tuple[str, ...]
    slots: int


class CookieUdp:
    """Claims: nothing stale, always an end, and an error only where an allocation is refused. Exactly once for every socket
    that stays where it is, as long as none is moved, and none is removed while others wait for a larger batch that was
    refused: tests/cases/cookie-udp-skip-remove-enomem.case. Where sockets are moved into a bucket that is half shown, what
    is remembered of it is lost to a larger batch: tests/cases/cookie-udp-skip-rehash-realloc.case."""

    name = "cookie-udp"
    summary = "bucket and cookies of the sockets not yet shown (UDP, Linux 6.16 on)"
    progress = "Unseen Cookies"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    harms = (
        harm("skip", "reinsert"),
        harm("skip", "remove", "enomem"),
        harm("skip", "rehash", "enomem"),
        harm("skip", "rehash", "realloc"),
        harm("skip", "reinsert", moved=True),
        harm("skip", "rehash", moved=True),
        harm("repeat", "reinsert"),
        harm("repeat", "rehash"),
        harm("repeat", "reinsert", moved=True),
        harm("repeat", "rehash", moved=True),
        harm("refused", "enomem"),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(-1, (), slots)

    def read(self, state: State, table: Table) -> Reading[State]:
        bucket, cookies, slots = state
        while True:
            resume_bucket = bucket
            if not cookies:
                bucket += 1
            tries = 0
            batch: tuple[Socket, ...] = ()
            while bucket < len(table.buckets):
                unseen = table.buckets[bucket]
                if bucket == resume_bucket:
                    unseen = resume(unseen, cookies)
                batch = unseen[:slots]
                if len(batch) < len(unseen):
                    tries += 1
                    if tries > 1:
                        # The bucket stays locked, so that what did not fit is taken as it is.
                        granted, _ = yield Grow(len(unseen), locked=True)
                        if not granted:
                            return State(bucket, names(batch), slots), "ENOMEM"
                        slots, batch = len(unseen), unseen
                        break
                    want = len(unseen) * 3 // 2
                    granted, table = yield Grow(want)
                    if not granted:
                        return State(bucket, names(batch), slots), "ENOMEM"
                    slots = want
                    cookies, batch = names(batch), ()
                elif batch:
                    break
                else:
                    tries = 0
                    bucket += 1
            if not batch:
                return State(bucket, (), slots), None
            for shown, socket in enumerate(batch):
                go, table = yield socket
                if not go:
                    return State(bucket, names(batch[shown:]), slots), None
            cookies = ()

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        if "shown" in hand:
            # What was shown of the batch is done with; what was not has its turn, be it gone or not.
            rest = names(hand["batch"][hand["shown"] :])
            return hand["bucket"], hand["slots"], tuple([where.get(name, GONE) for name in rest])
        # Every read behind the last bucket goes one further.
        end = len(table.buckets)
        numbers = [min(value, end) if "bucket" in name else value for name, value in hand.items() if isinstance(value, int)]
        remembered = (hand.get("cookies", ()), names(hand.get("batch", ())), names(hand.get("unseen", ())))
        return tuple(numbers), *(left(cookies, where) for cookies in remembered)

    def place(self, state: State) -> str:
        return f"{state.bucket}:{','.join(state.cookies) or '-'}"


def resume(bucket: tuple[Socket, ...], cookies: tuple[str, ...]) -> tuple[Socket, ...]:
    """The bucket from the first remembered socket on that is still in it; nothing where none is."""
    present = names(bucket)
    for cookie in cookies:
        if cookie in present:
            return bucket[present.index(cookie) :]
    return ()


def names(sockets: tuple[Socket, ...]) -> tuple[str, ...]:
    """The cookies of some sockets. A name is given once and for ever, as a cookie is."""
    return tuple(socket.name for socket in sockets)
