"""`rank`: the place is one number, the count of the sockets shown so far in the whole table.

Models udp_seq_start, udp_seq_next and udp_get_idx of net/ipv4/udp.c, as the BPF iterator used them before Linux 6.5, and
as /proc/net/udp uses them today. There is no batch. Every read starts at the first bucket and steps over the counted
sockets. A bucket is locked from its first socket to its last, so it cannot change while a socket is shown. The lock is
released between two buckets.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.one_by_one import Found, Further, OneByOne, State
from sockiter.schemes.scheme import ANY_HAZARD
from sockiter.schemes.versions import mainline
from sockiter.table import Table


class Place(NamedTuple):
    """`rank`: the number of shown sockets. The walk has locked `bucket` and still has to step over `left` sockets there;
    with None, over `left` sockets of the whole table."""

    rank: int
    bucket: int | None
    left: int


class Rank(OneByOne[Place]):
    """Claims: no stale socket, always an end, no error; no skip without a removal or a move. The count covers all
    buckets. So an insertion at the tail of a finished bucket causes a repeat, just as an insertion at the head does."""

    name = "rank"
    summary = f"count of sockets seen in the whole table ({mainline('rank')})"
    progress = "Rank"
    costs = Costs(iterator=8)
    hazards = ANY_HAZARD - {"show", "realloc", "enomem"}
    known_failures = (
        known_failure("skip", "remove", elsewhere=True),
        known_failure("skip", "reinsert"),
        known_failure("skip", "rehash", elsewhere=True),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "add-head", elsewhere=True),
        known_failure("repeat", "add-tail", elsewhere=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash", elsewhere=True),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )
    start = Place(0, None, 0)

    def after(self, place: Place, table: Table) -> Found[Place] | Further[Place] | None:
        rank, bucket, left = place
        following = 0
        if bucket is not None:
            sockets = table.buckets[bucket]
            if left < len(sockets):
                return Found(sockets[left], Place(rank + 1, bucket, left + 1))
            left -= len(sockets)
            following = bucket + 1
        filled = table.first_filled(following)
        return Further(Place(rank, filled, left)) if filled < len(table.buckets) else None

    def between_reads(self, place: Place) -> Place:
        return Place(place.rank, None, place.rank)

    def place(self, state: State[Place]) -> str:
        return str(state.place.rank)
