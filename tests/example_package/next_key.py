"""`next-key`: the place is the key of the element shown last, and the first of all comes next where that is gone.

Models a walk over a BPF hash map from user space: htab_map_get_next_key of kernel/bpf/hashtab.c (Linux 6.1 to 7.1), and for
each key a lookup of its element, in which nothing is shown of one that was deleted meanwhile. A socket here is an element
there, and its name the key. New elements enter their bucket at the head. An update puts a new element there and takes the
old one out, which is a `reinsert` at the head; one at the tail, as no map has it, is what it takes to skip an element that
stays where it is. There is no batch, and no lock from one key to the next.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.claims import Hazard, harm
from sockiter.schemes.scheme import ONE_TABLE, Reading, by_position
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`key`: of the element shown last; None before the first."""

    key: str | None


class NextKey:
    """Claims: nothing stale, always an end, no error; no skip without an update, and no repeat without one or a removal."""

    name = "next-key"
    summary = "key of the element shown last; from the start where it is gone (BPF hash maps)"
    progress = "Last Key"
    tables = ONE_TABLE
    hazards: frozenset[Hazard] = frozenset({"add-head", "remove", "reinsert", "show"})
    harms = (
        harm("skip", "reinsert"),
        harm("skip", "reinsert", moved=True),
        harm("repeat", "remove"),
        harm("repeat", "reinsert"),
        harm("repeat", "reinsert", moved=True),
    )

    canonical = staticmethod(by_position)

    def open(self, slots: int, table: Table) -> State:
        return State(None)

    def read(self, state: State, table: Table) -> Reading[State]:
        key = state.key
        while (socket := after(key, table)) is not None:
            shown, table = yield socket
            if not shown:
                break
            key = socket.name
        return State(key), None

    def place(self, state: State) -> str:
        return state.key or "-"


def after(key: str | None, table: Table) -> Socket | None:
    """The socket behind the one of that name, or the first where there is none of that name; None at the end."""
    sockets = [socket for bucket in table.buckets for socket in bucket]
    names = [socket.name for socket in sockets]
    position = names.index(key) + 1 if key in names else 0
    return sockets[position] if position < len(sockets) else None
