"""Every history in a scope, shortest first: a proof that a violation cannot happen there, or a shortest counterexample.

A violation concerns one socket, and a scheme never learns which sockets were delivered. So one socket is tracked at a time,
any of them from any state of the system on. A state of the search is a system state with a monitor state: a few for each
system state, and not one for each combination of the fates of all sockets. Of the other sockets only the positions matter.

Decided here: the order of the search, and when it is over. Not known here: how a scheme gets from one state to the next
(`transitions`), which part of a socket's past can still matter (`monitor`), and what is claimed (`claims`). A case that is
found is run and judged as any other before it is returned: a case in which the violation does not happen is an error.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from sockiter.backend import run
from sockiter.cases import Case, dumps
from sockiter.check.counterexample import PathStep, to_operations
from sockiter.check.monitor import MONITORED, Mode, MonitorState, MonitorStep, monitor_states, monitor_step, relevant
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.check.transitions import Shift, SystemState, Transition, TransitionSystem, Turns
from sockiter.claims import Hazard
from sockiter.errors import Unsearchable, Unsound
from sockiter.operations import READS_MAX, Operation
from sockiter.oracle import judge
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.order import sort_key
from sockiter.simulation import RECORDS_MAX, SchemeTarget
from sockiter.verdict import Signature

# States between two reports of progress.
REPORT = 4096
INTERRUPTED = "interrupted"
# So many cases of the same length are compared.
ENDS_MAX = 256


class StopSearch(Exception):
    """Raised by `progress` to stop a search; the message is the reason in one line."""


def search(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    signatures: Collection[Signature] = MONITORED,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> SearchResult:
    """Search everything that can happen to a scheme under some hazards in a scope, or until all `signatures` have happened.

    `read until error` is left out: whatever it does, single reads do. `progress` gets the states so far and those that
    wait, after every few thousand, and may raise `StopSearch`; the search then is incomplete, as it is after a
    KeyboardInterrupt. Raises `Unsearchable` for a scheme whose states have no canonical form.
    """
    # All that a search makes stays until it is over, and none of it refers to itself: to look for what does, again and
    # again, would take half of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Search(scheme, frozenset(hazards) & scheme.hazards, scope, frozenset(signatures)).run(progress)
    finally:
        if collects:
            gc.enable()


class _Edge(NamedTuple):
    # A transition in the search: the first search state of the system state that it leads to, its step of the monitor, and
    # how it is read.
    base: int
    monitor_step: MonitorStep
    transition: Transition
    mode: Mode


class _Search:
    def __init__(
        self, scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, signatures: frozenset[Signature]
    ) -> None:
        self.scheme, self.hazards, self.scope, self.signatures = scheme, hazards, scope, signatures
        self.system = TransitionSystem(scheme, hazards, scope.sockets, scope.buckets, scope.batch)
        self.monitor_states = monitor_states(scope.sockets)
        # By system state: the edges that are a line each, and the internal ones.
        self.edges: dict[int, tuple[list[_Edge], list[_Edge]]] = {}
        # By state, which is a system state and a monitor state: the state from which it was first reached, and the edge.
        self.reached: dict[int, tuple[int, _Edge] | None] = {0: None}
        self.transitions = 0
        # Of each signature that has happened: the lines it takes, and the states and edges that lead to it in so many.
        self.found: dict[Signature, tuple[int, list[tuple[int, _Edge | None]]]] = {}
        self.relevant: tuple[bool, ...] = ()
        self.terminates: dict[int, bool] = {}

    def run(self, progress: Callable[[int, int], None]) -> SearchResult:
        started = time.perf_counter()
        incomplete = ""
        try:
            self._breadth_first(progress)
        except StopSearch as stop:
            incomplete = str(stop)
        except KeyboardInterrupt:
            incomplete = INTERRUPTED
        found = sorted(self.found.items(), key=lambda item: (item[1][0], MONITORED.index(item[0])))
        violations = tuple(
            Counterexample(signature.kind, signature.moved, self._shortest_case(signature, ends), signature.elsewhere)
            for signature, (_, ends) in found
        )
        return SearchResult(
            self.scheme.name,
            self.hazards,
            self.scope,
            len(self.reached),
            self.transitions,
            time.perf_counter() - started,
            violations,
            incomplete,
        )

    def _breadth_first(self, progress: Callable[[int, int], None]) -> None:
        # All states that take no line, then all that take one, and so on; an internal transition stays in its layer.
        layer = [0]
        lines = popped = 0
        while layer and not self.signatures <= self.found.keys():
            moves = bool(self.hazards & {"reinsert", "rehash"})
            # Monitor states that can lead to nothing new are dropped, but only between layers: in one, all is as short.
            self.relevant = relevant(self.scope.sockets, self.signatures.difference(self.found), moves=moves)
            may_go_on = self.scope.ops is None or lines < self.scope.ops
            # Internal transitions first, so that no state takes a line that is reached without.
            here: list[int] = []
            while layer:
                state = layer.pop()
                popped += 1
                if popped % REPORT == 0:
                    progress(len(self.reached), len(layer))
                number, monitor = divmod(state, len(self.monitor_states))
                if not self.relevant[monitor]:
                    continue
                here.append(state)
                if self.monitor_states[monitor].position < 0 and not self._terminates(number):
                    self._record((Signature("stuck"),), lines + (not self.monitor_states[monitor].in_all), state, None)
                for edge in self._edges(number)[1]:
                    self._take(state, monitor, edge, layer, lines)
            following: list[int] = []
            if may_go_on:
                for state in here:
                    number, monitor = divmod(state, len(self.monitor_states))
                    for edge in self._edges(number)[0]:
                        self._take(state, monitor, edge, following, lines + 1)
            following.reverse()
            layer = following
            lines += 1

    def _take(self, state: int, monitor: int, edge: _Edge, layer: list[int], lines: int) -> None:
        base = edge.base
        next_monitor, started, violations = edge.monitor_step[monitor]
        if next_monitor < 0:
            return
        self.transitions += 1
        if violations:
            self._record(violations, lines, state, edge)
        reached = self.reached
        if self.relevant[next_monitor] and base + next_monitor not in reached:
            reached[base + next_monitor] = (state, edge)
            layer.append(base + next_monitor)
        for initial in started:
            self.transitions += 1
            if self.relevant[initial] and base + initial not in reached:
                reached[base + initial] = (state, edge)
                layer.append(base + initial)

    def _record(self, violations: tuple[Signature, ...], lines: int, state: int, edge: _Edge | None) -> None:
        if edge is not None and isinstance(edge.transition.effect, Shift) and not self._system_state(state).inside:
            lines += 1  # for the read that a case ends in
        if self.scope.ops is None or lines <= self.scope.ops:
            for signature in violations:
                if signature in self.signatures:
                    before, ends = self.found.get(signature, (lines + 1, []))
                    if lines < before:
                        self.found[signature] = (lines, [(state, edge)])
                    elif lines == before and len(ends) < ENDS_MAX:
                        ends.append((state, edge))

    def _system_state(self, state: int) -> SystemState:
        return self.system.states[state // len(self.monitor_states)]

    def _terminates(self, number: int) -> bool:
        # Whether reads with nothing between them, and nothing in their way, come to the end.
        system_state = self.system.states[number]
        if system_state.inside or not system_state.is_open:
            return True
        path: list[int] = []
        monitor = MonitorState(in_all=True).number
        while number not in self.terminates:
            if len(path) == READS_MAX:
                # Here a `read all` gives up. That does not show whether it would from the others on the path.
                for after in path[1:]:
                    del self.terminates[after]
                return False
            path.append(number)
            self.terminates[number] = False
            for _ in range(RECORDS_MAX + 2):
                edge = [edge for edge in self._edges(number)[1] if edge.monitor_step[monitor].to >= 0][-1]
                number, monitor = edge.base // len(self.monitor_states), edge.monitor_step[monitor].to
                if isinstance(edge.transition.effect, Turns) and edge.transition.effect.over:
                    break
            else:
                # No read asks for so much: this one returned to an earlier state.
                raise Unsearchable(
                    f"{self.scheme.name} never ends a read: its canonical form merges different states, "
                    "or `resume` leads in a circle"
                )
            if self.monitor_states[monitor].ended:
                self.terminates[path[-1]] = True
                number = path[-1]
        for before in path:
            self.terminates[before] = self.terminates[number]
        return self.terminates[number]

    def _edges(self, number: int) -> tuple[list[_Edge], list[_Edge]]:
        edges = self.edges.get(number)
        if edges is None:
            system_state = self.system.states[number]
            labelled = self._edges_of(system_state, "on", self.system.labelled(number))
            internal = self.system.internal(number)
            if system_state.is_open and not system_state.inside:
                labelled += self._edges_of(system_state, "one", internal) + self._edges_of(system_state, "all", internal)
            edges = self.edges[number] = labelled, self._edges_of(system_state, "on", internal)
        return edges

    def _edges_of(self, system_state: SystemState, mode: Mode, transitions: Iterable[Transition]) -> list[_Edge]:
        sockets_max, sockets, paused = self.scope.sockets, len(system_state.where), bool(system_state.inside)
        return [
            _Edge(
                transition.to * len(self.monitor_states),
                monitor_step(transition.effect, sockets_max, sockets, mode, paused=paused),
                transition,
                mode,
            )
            for transition in transitions
        ]

    def _shortest_case(self, signature: Signature, ends: Iterable[tuple[int, _Edge | None]]) -> Case:
        # The simplest of the shortest ones.
        operations = min(
            (self._operations(*end) for end in ends), key=lambda operations: sort_key((operations, self.scope.batch))
        )
        case = Case(operations, self.scope.batch)
        target = SchemeTarget(self.scheme)
        verdict = judge(run(target, target, case.operations, slots=case.slots))
        if not any(finding.signature == signature for finding in verdict):
            raise Unsound(
                f"{self.scheme.name}: the search says {tuple(signature)} of what the oracle does not: "
                f"{'; '.join(dumps(case).splitlines()[2:])}; `sockiter check --verify {self.scheme.name}` says more"
            )
        return case

    def _operations(self, state: int, last: _Edge | None) -> tuple[Operation, ...]:
        path = [] if last is None else [PathStep(self._system_state(state), last.transition, last.mode)]
        here = self.reached[state]
        while here is not None:
            state, edge = here
            path.append(PathStep(self._system_state(state), edge.transition, edge.mode))
            here = self.reached[state]
        return to_operations(reversed(path))
