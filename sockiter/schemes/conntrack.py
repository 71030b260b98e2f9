"""`conntrack`: the dump of tracked connections by ctnetlink, as `conntrack -L` requests it.

Models ctnetlink_dump_table of net/netfilter/nf_conntrack_netlink.c, Linux 5.3 to 7.1: a bucket in cb->args[0], and the id
of its first entry that was not sent yet in cb->args[1]. If no entry of the bucket has that id any more, the whole bucket is
sent again. An entry enters at the head. The addresses of a connection determine its bucket, so no entry moves. A bucket is
locked while its entries are put into a message.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.one_by_one import Found, Further, Looking, OneByOne, Showing, State
from sockiter.schemes.scheme import Done, FrameName
from sockiter.schemes.versions import mainline
from sockiter.table import Table


class Place(NamedTuple):
    """`entry`: the first one of `bucket` that was not sent; None for the first of all."""

    bucket: int
    entry: str | None


class Conntrack(OneByOne[Place]):
    """Claims: no skip, no stale entry, always an end, no error; no repeat without a removal."""

    name = "conntrack"
    summary = f"bucket, and its first entry not sent yet ({mainline('conntrack')})"
    progress = "Bucket Entry"
    hazards: frozenset[Hazard] = frozenset({"add-head", "remove"})
    frame: FrameName = "netlink"
    known_failures = (known_failure("repeat", "remove"),)
    start = Place(0, None)

    def after(self, place: Place, table: Table) -> Found[Place] | Further[Place] | None:
        bucket, entry = place
        entries = table.buckets[bucket] if bucket < len(table.buckets) else ()
        if not entries:
            filled = table.first_filled(bucket)
            return Further(Place(filled, None)) if filled < len(table.buckets) else None
        position = next((nth for nth, (name, _) in enumerate(entries) if name == entry), 0)
        rest = entries[position + 1 :]
        return Found(entries[position], Place(bucket, rest[0].name) if rest else Place(bucket + 1, None))

    def resume(
        self, waiting: Showing[Place] | Looking[Place], granted: bool, table: Table
    ) -> Showing[Place] | Looking[Place] | Done[State[Place]]:
        if isinstance(waiting, Showing) and not granted:
            return self._done(Place(waiting.place.bucket, waiting.socket.name))
        return super().resume(waiting, granted, table)

    def end(self, place: Place, table: Table) -> Place:
        return Place(len(table.buckets), None)

    def place(self, state: State[Place]) -> str:
        bucket, entry = state.place
        return f"{bucket}:{entry or 'first'}"
