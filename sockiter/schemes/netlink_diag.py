"""`netlink-diag`: the dump of the netlink sockets of one protocol by sock_diag, as `ss -f netlink` requests it of each.

Models __netlink_diag_dump of net/netlink/diag.c, Linux 4.10 to 7.1, over rhashtable_walk_start and rhashtable_walk_next of
lib/rhashtable.c. The walk is kept from message to message: it remembers the last socket, and the number of sockets of its
chain that it has passed. If the socket is still in its chain, the walk goes on behind it, else behind as many sockets as it
has passed. A new socket enters a chain at its head. The walk has taken a socket whose record does not fit, and goes on
behind it, too: so each message but the last one loses the socket behind it.

Not modelled: a resize of the table, which moves every socket and begins the walk anew; and mc_list, which dumps every socket
that is subscribed to a group a second time.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.one_by_one import Found, Looking, OneByOne, Showing, State
from sockiter.schemes.scheme import Done, FrameName
from sockiter.schemes.versions import mainline
from sockiter.table import Table


class Place(NamedTuple):
    """Behind the socket `last` in a chain, or, if that is gone, behind so many sockets. `last` is empty before a chain."""

    bucket: int
    passed: int
    last: str


class NetlinkDiag(OneByOne[Place]):
    """Claims: no stale socket, always an end, no error; no repeat without an addition at the head and a removal."""

    name = "netlink-diag"
    summary = f"chain, last socket, and count of sockets passed in the chain ({mainline('netlink-diag')})"
    progress = "Chain Passed"
    hazards: frozenset[Hazard] = frozenset({"add-head", "remove"})
    frame: FrameName = "netlink"
    known_failures = (known_failure("skip"), known_failure("repeat", "add-head", "remove"))
    start = Place(0, 0, "")

    def after(self, place: Place, table: Table) -> Found[Place] | None:
        bucket, passed, last = place
        while bucket < len(table.buckets):
            chain = table.buckets[bucket]
            passed = next((nth for nth, (name, _) in enumerate(chain, 1) if name == last), passed)
            if passed < len(chain):
                return Found(chain[passed], Place(bucket, passed + 1, chain[passed].name))
            bucket, passed, last = table.first_filled(bucket + 1), 0, ""
        return None

    def end(self, place: Place, table: Table) -> Place:
        return Place(len(table.buckets), 0, "")

    def resume(
        self, waiting: Showing[Place] | Looking[Place], granted: bool, table: Table
    ) -> Showing[Place] | Looking[Place] | Done[State[Place]]:
        if isinstance(waiting, Showing) and not granted:
            return self._done(waiting.behind)
        return super().resume(waiting, granted, table)

    def place(self, state: State[Place]) -> str:
        return f"{state.place.bucket}:{state.place.passed}"
