"""Exhaustive search in a scope, shortest histories first: a proof or a shortest counterexample.

A violation concerns one socket, and a scheme does not know which sockets were delivered. So the search tracks one socket
at a time: any socket, from any state of the system on. A search state is a system state with a monitor state. There are a
few search states for each system state, and not one for each combination of all sockets' statuses. For the other sockets,
only their positions matter.

Every counterexample is run and judged like any other case before it is returned. A case without the violation is an error.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from sockiter.backend import run
from sockiter.cases import Case, dumps
from sockiter.check.counterexample import PathStep, Unmerged, named_by_key, to_operations
from sockiter.check.monitor import MONITORED, Judged, Mode, MonitorState, MonitorStep, monitor_states, monitor_step, relevant
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.check.transitions import Shift, SystemState, Transition, TransitionSystem, Turns
from sockiter.claims import MOVES, Hazard
from sockiter.errors import Unsearchable, Unsound
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import READS_MAX, Operation
from sockiter.oracle import judge
from sockiter.readers import Reader
from sockiter.schemes.scheme import AnyScheme, has_keys
from sockiter.shrink.order import sort_key
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature

# The number of states between two progress reports.
REPORT = 4096
INTERRUPTED = "interrupted"
# The most cases of the same length that are compared.
ENDS_MAX = 256


class StopSearch(Exception):
    """Raised by `progress` to stop a search; the message is the reason in one line."""


def at_most(states_max: int) -> Callable[[int, int], None]:
    """A `progress` of `search` that stops it when it has come to some more states."""

    def progress(states: int, waiting: int) -> None:
        if states > states_max:
            raise StopSearch("given up")

    return progress


def search(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    reader: Reader | None = None,
    signatures: Collection[Signature] = MONITORED,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> SearchResult:
    """Search all histories of a scheme under some hazards in a scope, or until all `signatures` have happened.

    `reader`: how all reads are made; None for reads of any size. `read until error` is left out, since single reads have
    the same effects. `progress` gets the numbers of reached and of waiting states after every few thousand states, and may
    raise `StopSearch`. After that, or after a KeyboardInterrupt, the search is incomplete. Raises `Unsearchable` for a
    scheme whose states have no canonical form.
    """
    # A search keeps all its objects to its end, and they have no reference cycles. The garbage collector would take half of
    # the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Search(scheme, frozenset(hazards) & scheme.hazards, scope, reader, frozenset(signatures)).run(progress)
    finally:
        if collects:
            gc.enable()


class _Edge(NamedTuple):
    # A transition in the search: the first search state of its target system state, the step of the monitor, and the mode of
    # the read.
    base: int
    monitor_step: MonitorStep
    transition: Transition
    mode: Mode


class _Search:
    def __init__(
        self,
        scheme: AnyScheme,
        hazards: frozenset[Hazard],
        scope: Scope,
        reader: Reader | None,
        signatures: frozenset[Signature],
    ) -> None:
        self.reader = reader
        self.joins = reader is not None and reader.passes > 1
        if self.joins:
            signatures = frozenset(signature for signature in signatures if signature.kind != "repeat")
        self.scheme, self.hazards, self.scope, self.signatures = scheme, hazards, scope, signatures
        self.system = TransitionSystem(scheme, hazards, scope.sockets, scope.buckets, scope.batch, reader)
        self.monitor_states = monitor_states(scope.sockets)
        # By system state: the edges that are lines of a case, and the internal edges.
        self.edges: dict[int, tuple[list[_Edge], list[_Edge]]] = {}
        # By search state: the state from which it was first reached, and the edge.
        self.reached: dict[int, tuple[int, _Edge] | None] = {0: None}
        self.transitions = 0
        # By signature: its length in lines, and the states and edges that end in a violation of this length.
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
        # The states of no line, then those of one line, and so on. An internal transition stays in its layer.
        layer = [0]
        lines = popped = 0
        while layer and not self.signatures <= self.found.keys():
            moves = bool(self.hazards & MOVES)
            # Monitor states that lead to no new violation are dropped, but only between layers: within one, all lengths
            # are equal.
            wanted = self.signatures.difference(self.found)
            self.relevant = relevant(self.scope.sockets, wanted, moves=moves, twice=self.joins)
            may_go_on = self.scope.ops is None or lines < self.scope.ops
            # Internal transitions come first, so that each state gets its smallest number of lines.
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
        effect = None if edge is None else edge.transition.effect
        if (isinstance(effect, Shift) and not self._system_state(state).inside) or (
            isinstance(effect, Turns) and effect.stops and effect.refused
        ):
            lines += 1  # for the last read of the case, which is a `read all`: that always has room
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
        # Whether reads without changes and refusals reach the end.
        system_state = self.system.states[number]
        if system_state.inside or not system_state.is_open:
            return True
        path: list[int] = []
        monitor = MonitorState(in_all=True).number
        while number not in self.terminates:
            if len(path) == READS_MAX:
                # Here a `read all` gives up. The other states on the path may still terminate.
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
                # No read makes so many requests: this read returned to an earlier state.
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
            if system_state.is_open and not system_state.inside:
                begun = self.system.begun(number)
                labelled += self._edges_of(system_state, "one", begun) + self._edges_of(system_state, "all", begun)
            edges = self.edges[number] = labelled, self._edges_of(system_state, "on", self.system.internal(number))
        return edges

    def _edges_of(self, system_state: SystemState, mode: Mode, transitions: Iterable[Transition]) -> list[_Edge]:
        sockets_max, sockets, paused = self.scope.sockets, len(system_state.where), bool(system_state.inside)
        judged: Judged = "alone" if not self.joins else "last" if system_state.second else "first"
        return [
            _Edge(
                transition.to * len(self.monitor_states),
                monitor_step(transition.effect, sockets_max, sockets, mode, judged, paused=paused),
                transition,
                mode,
            )
            for transition in transitions
        ]

    def _shortest_case(self, signature: Signature, ends: Iterable[tuple[int, _Edge | None]]) -> Case:
        # The simplest of the shortest cases.
        operations = min(
            (self._operations(*end) for end in ends), key=lambda operations: sort_key((operations, self.scope.batch))
        )
        case = Case(operations, self.scope.batch)
        target = SchemeTarget(self.scheme)
        verdict = judge(run(target, target, case.operations, slots=case.slots))
        if not any(finding.signature == signature for finding in verdict):
            raise Unsound(
                f"{self.scheme.name}: the search reports {tuple(signature)}, but the oracle does not: "
                f"{'; '.join(dumps(case).splitlines()[2:])}; run `sockiter check --verify {self.scheme.name}` for details"
            )
        return case

    def _operations(self, state: int, last: _Edge | None) -> tuple[Operation, ...]:
        path = [] if last is None else [PathStep(self._system_state(state), last.transition, last.mode)]
        here = self.reached[state]
        while here is not None:
            state, edge = here
            path.append(PathStep(self._system_state(state), edge.transition, edge.mode))
            here = self.reached[state]
        path.reverse()
        if not has_keys(self.scheme):
            return to_operations(path, self.reader)
        scope = self.scope
        unmerged = Unmerged(self.scheme, self.hazards, scope.sockets, scope.buckets, scope.batch, self.reader)
        followed = list(unmerged.followed(path, self.system.states))
        return named_by_key(to_operations(followed, self.reader), unmerged.names(followed))
