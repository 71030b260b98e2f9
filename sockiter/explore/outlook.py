"""The outlook of a socket: whether it can still be delivered, skipped or repeated, whatever follows in a scope.

Decided here: when a skip is certain. It is, from a state on, if the socket is owed and no continuation in the scope, however
long, delivers it: a walk that comes to its end skips it, unless it is closed before. Not known here: which transitions there
are (`check.transitions`), and what each one means for a socket (`check.monitor`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from sockiter.check.effects import Transition
from sockiter.check.monitor import NEAR, ONCE, OWED, Mode, MonitorState, MonitorStep, monitor_states, monitor_step
from sockiter.check.transitions import TransitionSystem

DELIVERED, SKIPPED, REPEATED, REFUSED = 1, 2, 4, 8
"""Of a node, what can still become of its socket, or of the iteration where it tracks none; these are added up."""
ANYTHING = DELIVERED | SKIPPED | REPEATED | REFUSED

# Nodes between two calls of `progress`.
REPORT = 1024

Node: TypeAlias = tuple[int, int]
"""The number of a system state, and that of a monitor state."""


class Edge(NamedTuple):
    """A transition, what it means for each monitor state, and its lines in a case: 1, or 0 where a read goes on."""

    transition: Transition
    monitor_step: MonitorStep
    mode: Mode
    lines: int


class Edges:
    """The edges of each system state, computed when they are asked for.

    Of an open iterator, the last one is that of a read with nothing in its way.
    """

    def __init__(self, system: TransitionSystem, sockets_max: int) -> None:
        self.system = system
        self.sockets_max = sockets_max
        self._of: dict[int, tuple[Edge, ...]] = {}

    def __getitem__(self, number: int) -> tuple[Edge, ...]:
        edges = self._of.get(number)
        if edges is None:
            state = self.system.states[number]
            is_inside = state.inside is not None
            mode: Mode = "on" if is_inside else "one"
            edges = self._of[number] = (
                *(self._edge(number, transition, "on", 1) for transition in self.system.labelled(number)),
                *(self._edge(number, transition, mode, not is_inside) for transition in self.system.internal(number)),
            )
        return edges

    def _edge(self, number: int, transition: Transition, mode: Mode, lines: int) -> Edge:
        state = self.system.states[number]
        sockets, paused = len(state.where), state.inside is not None
        step = monitor_step(transition.effect, self.sockets_max, sockets, mode, paused=paused)
        return Edge(transition, step, mode, lines)


def reduced(sockets_max: int) -> tuple[int, ...]:
    """By number of a monitor state, that of the one that stands for it here.

    A second delivery is as good as the first, since the next one repeats the socket again; and where the changes were does
    not matter for the kind of a violation.
    """
    return tuple(_reduced(state).number for state in monitor_states(sockets_max))


def _reduced(state: MonitorState) -> MonitorState:
    return state if state.position < 0 else state._replace(status=min(state.status, ONCE), changed=NEAR)


def outlook(
    edges: Edges, nodes: Iterable[Node], *, nodes_max: int, progress: Callable[[], None] = lambda: None
) -> tuple[dict[Node, int], bool]:
    """What can still become of the sockets of these nodes and of those that they lead to, and whether that is all of it.

    After so many nodes the rest is not looked at: there, anything can be. `progress` is called now and then.
    """
    states = monitor_states(edges.sockets_max)
    stands_for = reduced(edges.sockets_max)
    found: dict[Node, int] = dict.fromkeys(nodes, 0)
    # By node, those that lead to it, and whether its socket is owed there and here.
    before: dict[Node, list[tuple[Node, bool]]] = {node: [] for node in found}
    waiting = deque(found)
    looked = 0
    while waiting and looked < nodes_max:
        node = waiting.popleft()
        looked += 1
        if looked % REPORT == 0:
            progress()
        number, monitor = node
        is_owed = states[monitor].status == OWED
        for transition, step, _, _ in edges[number]:
            to, _, violations = step[monitor]
            if to < 0:
                continue
            for violation in violations:
                found[node] |= {"skip": SKIPPED, "repeat": REPEATED, "refused": REFUSED}[violation.kind]
            if is_owed and states[to].status >= ONCE:
                found[node] |= DELIVERED
            after = (transition.to, stands_for[to])
            if after not in found:
                found[after] = 0
                before[after] = []
                waiting.append(after)
            before[after].append((node, is_owed and states[to].status == OWED))
    is_whole = not waiting
    found.update(dict.fromkeys(waiting, ANYTHING))
    changed = deque(node for node, of in found.items() if of)
    while changed:
        node = changed.popleft()
        for earlier, still_owed in before[node]:
            more = found[node] & (ANYTHING if still_owed else REPEATED | REFUSED)
            if more & ~found[earlier]:
                found[earlier] |= more
                changed.append(earlier)
    return found, is_whole
