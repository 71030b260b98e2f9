"""`next-key`: the place is the key of the element shown last; if that element is gone, the walk starts again.

Models a walk over a BPF hash map from user space: htab_map_get_next_key of kernel/bpf/hashtab.c (Linux 6.1 to 7.1), and a
lookup for each key, which shows nothing if the element was deleted meanwhile. A socket stands for an element, and its name
for the key. New elements enter their bucket at the head. An update inserts a new element at the head and removes the old
one: a `reinsert` at the head. Only a `reinsert` at the tail, which no map does, can skip an element that stays in place.
There is no batch, and no lock from one key to the next.
"""

from __future__ import annotations

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.one_by_one import Found, OneByOne, State
from sockiter.table import Table


class NextKey(OneByOne[str | None]):
    """Claims: nothing stale, always an end, no error; no skip without an update, and no repeat without one or a removal."""

    name = "next-key"
    summary = "key of the element shown last; from the start where it is gone (BPF hash maps)"
    progress = "Last Key"
    hazards: frozenset[Hazard] = frozenset({"add-head", "remove", "reinsert", "show"})
    known_failures = (
        known_failure("skip", "reinsert"),
        known_failure("skip", "reinsert", moved=True),
        known_failure("repeat", "remove", elsewhere=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "reinsert", moved=True),
    )

    start = None

    def after(self, place: str | None, table: Table) -> Found[str | None] | None:
        """The element behind the one of that key, or the first where there is none of that key; None at the end."""
        sockets = [socket for bucket in table.buckets for socket in bucket]
        keys = [socket.name for socket in sockets]
        position = keys.index(place) + 1 if place in keys else 0
        return Found(sockets[position], keys[position]) if position < len(sockets) else None

    def place(self, state: State[str | None]) -> str:
        return state.place or "-"
