"""A base class for dumps of hash tables: the place is a bucket, and a count of the sockets that were looked at in it.

A callback of such a dump starts at the bucket of its last message, steps over as many sockets there as it has counted, and
goes on until a record does not fit. No case changes the table while a message is filled.

A reader can destroy the socket of each record (`ss -K`). It does so when it has received the message, and by then the kernel
has filled the next one: so the count is wrong from the third message on, and sockets survive although nothing else changed.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import Hazard, KnownFailure, known_failure
from sockiter.schemes.one_by_one import Found, Further, OneByOne, State
from sockiter.schemes.scheme import FrameName
from sockiter.table import Table


class Place(NamedTuple):
    """`bucket`: its position in the walk. `seen`: the sockets to step over in it."""

    bucket: int
    seen: int


class Dump(OneByOne[Place]):
    """Claims: no stale socket, always an end, no error; no skip without a removal or a move; no repeat without an insertion
    at the head or a move."""

    progress = "Bucket Seen"
    hazards: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash", "destroy", "destroying"})
    frame: FrameName = "netlink"
    known_failures: tuple[KnownFailure, ...] = (
        known_failure("skip", "remove"),
        known_failure("skip", "reinsert"),
        known_failure("skip", "rehash"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("skip", "rehash", moved=True),
        known_failure("repeat", "add-head"),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "rehash"),
        known_failure("repeat", "reinsert", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )
    start = Place(0, 0)

    def after(self, place: Place, table: Table) -> Found[Place] | Further[Place] | None:
        bucket, seen = place
        sockets = table.buckets[bucket] if bucket < len(table.buckets) else ()
        if seen < len(sockets):
            return Found(sockets[seen], Place(bucket, seen + 1))
        following = table.first_filled(bucket + 1)
        return Further(Place(following, 0)) if following < len(table.buckets) else None

    def end(self, place: Place, table: Table) -> Place:
        return Place(len(table.buckets), 0)

    def place(self, state: State[Place]) -> str:
        bucket, seen = state.place
        return f"{bucket}:{seen}"
