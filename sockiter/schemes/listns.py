"""`listns`: listns(2) lists the ids of namespaces behind a given one. The place is the last id.

Models do_listns, lookup_ns_id_at and their callers of kernel/nstree.c, Linux 6.19 to 7.1. A namespace has an id that grows
with every new one and is never given again, and new ones come last. A call takes as many ids as it has room for. If nothing
is behind the given id, the call returns ENOENT, which ends the loop as a result of 0 would.

Not modelled: a namespace that is inactive, since no process is in it any more, but not gone, since a socket or an open file
still refers to it. A call leaves it out, unless it is the first one behind the given id: then the call returns ENOENT too,
although other namespaces follow.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from sockiter.claims import Hazard, KnownFailure
from sockiter.schemes.scheme import ONE_TABLE, Done, FrameName, Room, Show, Where
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`last`: the last id, which is the index of a namespace; None before the first. `ended`: a call reported the end."""

    last: int | None = None
    ended: bool = False


class Looking(NamedTuple):
    """The call is about to take one more id."""

    last: int | None

    @property
    def waits_for(self) -> Room:
        return Room(1)


class Returning(NamedTuple):
    """The call returns the id of `socket`."""

    socket: Socket

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


Step: TypeAlias = Looking | Returning | Done[State]


class Listns:
    """Claims: every namespace exactly once, no stale one, always an end, no error."""

    name = "listns"
    summary = f"last id of ever-growing ones ({mainline('listns')})"
    progress = "Last Id"
    hazards: frozenset[Hazard] = frozenset({"add-tail", "remove"})
    tables = ONE_TABLE
    buckets_max = 1
    frame: FrameName = "loop"
    known_failures: tuple[KnownFailure, ...] = ()

    def open(self, slots: int, table: Table) -> State:
        return State()

    def begin(self, state: State, table: Table) -> Step:
        return Done(state) if state.ended else Looking(state.last)

    def resume(self, waiting: Looking | Returning, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Returning):
            return Looking(waiting.socket.idx)
        last = waiting.last
        if not granted:
            return Done(State(last))
        following = next((socket for socket in table.buckets[0] if last is None or socket.idx > last), None)
        return Returning(following) if following is not None else Done(State(ended=True))

    def canonical(self, at: State | Looking | Returning | None, table: Table, where: Where) -> Hashable:
        # A list is always sorted by index. So only the number of ids up to the last one matters.
        if at is None:
            return None
        if isinstance(at, Returning):
            return where.position(at.socket)
        return at._replace(last=None if at.last is None else sum(idx <= at.last for _, idx in table.buckets[0]))

    def place(self, state: State) -> str:
        return "-" if state.ended else "first" if state.last is None else str(state.last)
