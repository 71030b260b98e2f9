"""The successors of a state, from a scheme's own code: for model checkers written in Python.

Three definitions of a state. The first draft: sockets have names, and the lines are counted. By position: each socket has a
status, and sequences have any length. As in the project's search: one socket is tracked. An iteration has one bucket, and a
violation shows in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple, TypeAlias

from sockiter.check.edges import Edges
from sockiter.check.monitor import MONITORED, can_violate, monitor_states
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import Hazard
from sockiter.operations import Add, End, Remove
from sockiter.schemes.scheme import AnyScheme, Between, Done, Grow, Show
from sockiter.table import Socket, Table, empty

HAZARDS: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "enomem"})
SLOTS = 2
ENDS: tuple[End, ...] = ("head", "tail")

Following: TypeAlias = Callable[[Any], list[tuple[str, Any]]]
"""From a state to its possible events, each with the state after it."""


class Reading(NamedTuple):
    """One read: the shown sockets, the resulting state, and the number of refused allocations."""

    shown: tuple[str, ...]
    state: Any
    refused: int


def readings(scheme: AnyScheme, state: Any, table: Table) -> Iterator[Reading]:
    """Every read that there can be, for any number of records: the scheme's code is run with every script of replies."""
    scripts: list[tuple[bool, ...]] = [()]
    while scripts:
        script = scripts.pop()
        shown: list[str] = []
        replies: list[bool] = []
        refused = 0
        at = scheme.begin(state, table)
        while not isinstance(at, Done):
            request = at.waits_for
            reply = True
            if not isinstance(request, Between):
                if len(replies) < len(script):
                    reply = script[len(replies)]
                # A read is for one record at least.
                elif isinstance(request, Grow) or shown:
                    scripts.append((*replies, False))
                replies.append(reply)
            if isinstance(request, Grow):
                refused += not reply
            elif isinstance(request, Show) and reply:
                shown.append(request.socket.name)
            at = scheme.resume(at, reply, table)
        yield Reading(tuple(shown), at.state, refused)


class Named(NamedTuple):
    """Sockets by name, from head to tail; `state`: None before open. `lines`: so far."""

    bucket: tuple[Socket, ...]
    ver: int
    state: Any
    owed: frozenset[str]
    delivered: frozenset[str]
    lines: int


def named(scheme: AnyScheme, sockets: int, ops: int) -> tuple[Named, Callable[[Named], list[Named]]]:
    """The first state and the successor function, for sequences of a given length; a new socket takes the first free name.

    Without the sequences that go on after the end, or after a violation.
    """
    nothing = empty((("", 1),))
    start = Named((), 0, None, frozenset(), frozenset(), 0)
    numbered = scheme.name == "index"

    def after(here: Named, table: Table) -> Named:
        bucket = table.buckets[0]
        if numbered:
            return here._replace(bucket=bucket, ver=table.ver, lines=here.lines + 1)
        return here._replace(bucket=tuple(Socket(s.name, 0) for s in bucket), lines=here.lines + 1)

    def following(here: Named) -> list[Named]:
        if here.lines >= ops:
            return []
        table = nothing._replace(buckets=(here.bucket,), ver=here.ver)
        names = [socket.name for socket in here.bucket]
        made: list[Named] = []
        if len(names) < sockets:
            new = min(set(map(str, range(sockets))) - set(names))
            made += [after(here, table.after(Add(new, end))) for end in ENDS]
        for name in names:
            less = here._replace(owed=here.owed - {name}, delivered=here.delivered - {name})
            made.append(after(less, table.after(Remove(name))))
        if here.state is None:
            opened = scheme.open(SLOTS, table)
            made.append(here._replace(state=opened, owed=frozenset(names), lines=here.lines + 1))
            return made
        for shown, state, refused in readings(scheme, here.state, table):
            lines = here.lines + 1 + refused
            if shown and lines <= ops:
                made.append(here._replace(state=state, delivered=here.delivered | set(shown), lines=lines))
        return made

    return start, following


FREE, OWED, ONCE = range(3)


class Placed(NamedTuple):
    """The status of the socket at each position from the head, and where the iterator stands among them."""

    statuses: tuple[int, ...]
    place: int | None
    slots: int
    opened: bool
    over: bool
    repeated: bool = False

    @property
    def skipped(self) -> bool:
        """Whether a read can say the end with a socket owed."""
        return self.over and OWED in self.statuses


FIELDS = Placed._fields
# A socket was delivered again. The search continues as if it had not been.
REPEATED = Placed((), None, 0, True, True, True)


def placed(scheme: AnyScheme, sockets: int) -> tuple[Placed, Following]:
    """The first state and the successor function, for sequences of any length.

    What is remembered is made anew for every state: a place is a number of sockets, the index remembered is 0, and those of
    the sockets are what they have to be. Slots beyond what the table can hold are as good as none, and once the walk is over
    all that matters is what is owed.
    """
    nothing = empty((("", 1),))
    by_idx = scheme.name == "index"
    start = Placed((), scheme.open(SLOTS, nothing).place, SLOTS, False, False)

    def table_of(here: Placed) -> Table:
        first = 1 - (here.place or 0)
        bucket = tuple(Socket(str(position), first + position) for position in range(len(here.statuses)))
        return nothing._replace(buckets=(bucket,), ver=2 * sockets)

    def moved(here: Placed, table: Table, statuses: tuple[int, ...]) -> Placed:
        if by_idx and here.place is not None:
            return here._replace(statuses=statuses, place=sum(socket.idx <= 0 for socket in table.buckets[0]))
        return here._replace(statuses=statuses)

    def following(here: Placed) -> list[tuple[str, Placed]]:
        statuses = here.statuses
        table = table_of(here)
        made: list[tuple[str, Placed]] = []
        if len(statuses) < sockets:
            made.append(("add head", moved(here, table.after(Add("new", "head")), (FREE, *statuses))))
            made.append(("add tail", moved(here, table.after(Add("new", "tail")), (*statuses, FREE))))
        for position in range(len(statuses)):
            rest = statuses[:position] + statuses[position + 1 :]
            made.append(("remove", moved(here, table.after(Remove(str(position))), rest)))
        if here.repeated:
            return []
        if not here.opened:
            made.append(("open", here._replace(statuses=(OWED,) * len(statuses), opened=True)))
        elif not here.over:
            for reading in readings(scheme, state_of(here, table), table):
                made.append(("read", after(here, table, reading)))
                if any(statuses[int(name)] == ONCE for name in reading.shown):
                    made.append(("repeat", REPEATED))
        return made

    def state_of(here: Placed, table: Table) -> Any:
        fresh = scheme.open(here.slots, table)
        return fresh._replace(place=0 if by_idx and here.place is not None else here.place)

    def after(here: Placed, table: Table, reading: Reading) -> Placed:
        statuses = list(here.statuses)
        for name in reading.shown:
            statuses[int(name)] = ONCE
        if reading.state.bucket > 0:
            left = tuple(OWED if status == OWED else FREE for status in statuses)
            return Placed(left, start.place, 0, True, True)
        place = reading.state.place
        if by_idx:
            place = sum(socket.idx <= place for socket in table.buckets[0])
        return Placed(tuple(statuses), place, min(reading.state.slots, sockets), True, False)

    return start, following


VIOLATED = (-1, 0)


def followed(scheme: AnyScheme, sockets: int) -> tuple[tuple[int, int], Following]:
    """The first state and the successors of a state as in the project's search: a system state and a monitor state.

    A violation leads to a state of its own, whose system state is -1.
    """
    edges = Edges(TransitionSystem(scheme, HAZARDS, sockets, 1, SLOTS), sockets, joins=False)
    can_matter = [can_violate(monitor, frozenset(MONITORED), moves=False) for monitor in monitor_states(sockets)]

    def following(here: tuple[int, int]) -> list[tuple[str, tuple[int, int]]]:
        system_state, monitor = here
        made: list[tuple[str, tuple[int, int]]] = []
        if system_state < 0:
            return made
        for edge in (*edges.labelled(system_state), *edges.internal(system_state)):
            after, started, violations = edge.monitor_step[monitor]
            if after < 0:
                continue
            number = edge.transition.to
            if violations:
                made.append(("violation", VIOLATED))
            if can_matter[after]:
                made.append(("way", (number, after)))
            made += [("way", (number, other)) for other in started if can_matter[other]]
        return made

    return (0, 0), following


def reachable(start: Hashable, following: Callable[[Any], list[Any]]) -> set[Any]:
    """All states that there are."""
    seen = {start}
    waiting = [start]
    while waiting:
        for after in following(waiting.pop()):
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return seen
