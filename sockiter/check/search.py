"""Every history in a scope, shortest first: a proof that a harm cannot happen there, or the least case in which it does.

A harm befalls one socket, and a scheme never learns which were delivered. So one socket is followed at a time, any of them
from any moment on, and a state is a moment of the skeleton with what has become of this one: a few states for each moment,
and not one for each way in which all sockets can have fared. The others are known by their places alone: their names, and
how they came there, cannot matter.

Decided here: the order of the search, and when it is over. Not known here: how a scheme gets from one moment to the next
(`transitions`), what of a socket's past can still matter (`monitor`), and what is claimed (`claims`). A case that is found
is run and judged as any other before it is returned: if it did not do what the search says of it, that would be an error,
and no find.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from sockiter.backend import run
from sockiter.cases import Case, dumps
from sockiter.check.counterexample import Told, retold
from sockiter.check.monitor import HARMED, Effect, Label, Mode, alive, effect, labels
from sockiter.check.result import Scope, Searched, Violation
from sockiter.check.transitions import Moment, Shift, Skeleton, Step, Turns
from sockiter.claims import Hazard
from sockiter.errors import Unsearchable, Unsound
from sockiter.operations import READS_MAX, Operation
from sockiter.oracle import judge
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.order import cost
from sockiter.simulation import RECORDS_MAX, SchemeTarget
from sockiter.verdict import Signature

# States between two reports of progress.
REPORT = 4096
INTERRUPTED = "interrupted"
# As many cases that are as short are compared.
ENDS_MAX = 256


class Enough(Exception):
    """Raised by `progress` to stop a search; says why in one line."""


def search(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    wanted: Collection[Signature] = HARMED,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> Searched:
    """Search everything that can happen to a scheme under some hazards in a scope, or until all that is wanted has happened.

    `read until error` is left out: whatever it does, single reads do. `progress` is told the states so far and those that
    wait, after every few thousand, and may raise `Enough`; the search then is incomplete, as it is after a
    KeyboardInterrupt. Raises `Unsearchable` for a scheme whose states have no canonical form.
    """
    # All that a search makes stays until it is over, and none of it refers to itself: to look for what does, again and
    # again, would take half of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Search(scheme, frozenset(hazards) & scheme.hazards, scope, frozenset(wanted)).run(progress)
    finally:
        if collects:
            gc.enable()


class _Way(NamedTuple):
    # A step as the search takes it: the first state of the moment that it leads to, its effect, and how it is read.
    base: int
    effect: Effect
    step: Step
    mode: Mode


class _Search:
    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, wanted: frozenset[Signature]) -> None:
        self.scheme, self.hazards, self.scope, self.wanted = scheme, hazards, scope, wanted
        self.skeleton = Skeleton(scheme, hazards, scope.sockets, scope.buckets, scope.batch)
        self.labels = labels(scope.sockets)
        # By moment: the ways that are a line each, and those that are none.
        self.ways: dict[int, tuple[list[_Way], list[_Way]]] = {}
        # By state, which is a moment and a label: from which it was reached first, and by which way.
        self.reached: dict[int, tuple[int, _Way] | None] = {0: None}
        self.transitions = 0
        # What has happened, in how many lines, and from which states by which ways, of the first that came to it so soon.
        self.found: dict[Signature, tuple[int, list[tuple[int, _Way | None]]]] = {}
        self.alive: tuple[bool, ...] = ()
        self.drains: dict[int, bool] = {}

    def run(self, progress: Callable[[int, int], None]) -> Searched:
        started = time.perf_counter()
        incomplete = ""
        try:
            self._layers(progress)
        except Enough as enough:
            incomplete = str(enough)
        except KeyboardInterrupt:
            incomplete = INTERRUPTED
        found = sorted(self.found.items(), key=lambda item: (item[1][0], HARMED.index(item[0])))
        violations = tuple(
            Violation(harmed.kind, harmed.moved, self._case(harmed, ends), harmed.elsewhere) for harmed, (_, ends) in found
        )
        return Searched(
            self.scheme.name,
            self.hazards,
            self.scope,
            len(self.reached),
            self.transitions,
            time.perf_counter() - started,
            violations,
            incomplete,
        )

    def _layers(self, progress: Callable[[int, int], None]) -> None:
        # All states that take no line, then all that take one, and so on; a step that is no line stays in its layer.
        layer = [0]
        lines = popped = 0
        while layer and not self.wanted <= self.found.keys():
            moves = bool(self.hazards & {"reinsert", "rehash"})
            # What is followed to no end any more is dropped, but only between layers: in one, all is as short.
            self.alive = alive(self.scope.sockets, self.wanted.difference(self.found), moves=moves)
            may_go_on = self.scope.ops is None or lines < self.scope.ops
            # Steps that are no line first, so that no state is met by a line that is met without.
            here: list[int] = []
            while layer:
                state = layer.pop()
                popped += 1
                if popped % REPORT == 0:
                    progress(len(self.reached), len(layer))
                number, label = divmod(state, len(self.labels))
                if not self.alive[label]:
                    continue
                here.append(state)
                if self.labels[label].position < 0 and not self._drains(number):
                    self._happened((Signature("stuck"),), lines + (not self.labels[label].in_all), state, None)
                for way in self._ways(number)[1]:
                    self._go(state, label, way, layer, lines)
            following: list[int] = []
            if may_go_on:
                for state in here:
                    number, label = divmod(state, len(self.labels))
                    for way in self._ways(number)[0]:
                        self._go(state, label, way, following, lines + 1)
            following.reverse()
            layer = following
            lines += 1

    def _go(self, state: int, label: int, way: _Way, layer: list[int], lines: int) -> None:
        base = way.base
        after, others, harms = way.effect[label]
        if after < 0:
            return
        self.transitions += 1
        if harms:
            self._happened(harms, lines, state, way)
        reached = self.reached
        if self.alive[after] and base + after not in reached:
            reached[base + after] = (state, way)
            layer.append(base + after)
        for other in others:
            self.transitions += 1
            if self.alive[other] and base + other not in reached:
                reached[base + other] = (state, way)
                layer.append(base + other)

    def _happened(self, harms: tuple[Signature, ...], lines: int, state: int, way: _Way | None) -> None:
        if way is not None and isinstance(way.step.effect, Shift) and not self._moment(state).inside:
            lines += 1  # for the read that a case ends in
        if self.scope.ops is None or lines <= self.scope.ops:
            for harmed in harms:
                if harmed in self.wanted:
                    before, ends = self.found.get(harmed, (lines + 1, []))
                    if lines < before:
                        self.found[harmed] = (lines, [(state, way)])
                    elif lines == before and len(ends) < ENDS_MAX:
                        ends.append((state, way))

    def _moment(self, state: int) -> Moment:
        return self.skeleton.moments[state // len(self.labels)]

    def _drains(self, number: int) -> bool:
        # Whether reads with nothing between them, and nothing in their way, come to the end.
        moment = self.skeleton.moments[number]
        if moment.inside or not moment.is_open:
            return True
        path: list[int] = []
        label = Label(in_all=True).number
        while number not in self.drains:
            if len(path) == READS_MAX:
                # Here a `read all` gives up. Whether it would from the others on the path is not known by that.
                for after in path[1:]:
                    del self.drains[after]
                return False
            path.append(number)
            self.drains[number] = False
            for _ in range(RECORDS_MAX + 2):
                way = [way for way in self._ways(number)[1] if way.effect[label].to >= 0][-1]
                number, label = way.base // len(self.labels), way.effect[label].to
                if isinstance(way.step.effect, Turns) and way.step.effect.over:
                    break
            else:
                # No read asks for so much: this one came back to where it had been.
                raise Unsearchable(
                    f"{self.scheme.name} never ends a read: its canonical form takes unlike moments for one, "
                    "or `resume` leads in a circle"
                )
            if self.labels[label].ended:
                self.drains[path[-1]] = True
                number = path[-1]
        for before in path:
            self.drains[before] = self.drains[number]
        return self.drains[number]

    def _ways(self, number: int) -> tuple[list[_Way], list[_Way]]:
        ways = self.ways.get(number)
        if ways is None:
            moment = self.skeleton.moments[number]
            lines = self._taken(moment, "on", self.skeleton.lines(number))
            onwards = self.skeleton.onwards(number)
            if moment.is_open and not moment.inside:
                lines += self._taken(moment, "one", onwards) + self._taken(moment, "all", onwards)
            ways = self.ways[number] = lines, self._taken(moment, "on", onwards)
        return ways

    def _taken(self, moment: Moment, mode: Mode, steps: Iterable[Step]) -> list[_Way]:
        most, sockets, paused = self.scope.sockets, len(moment.where), bool(moment.inside)
        return [
            _Way(step.to * len(self.labels), effect(step.effect, most, sockets, mode, paused=paused), step, mode)
            for step in steps
        ]

    def _case(self, harmed: Signature, ends: Iterable[tuple[int, _Way | None]]) -> Case:
        # The simplest of those that are as short.
        operations = min((self._operations(*end) for end in ends), key=lambda one: cost((one, self.scope.batch)))
        case = Case(operations, self.scope.batch)
        target = SchemeTarget(self.scheme)
        verdict = judge(run(target, target, case.operations, slots=case.slots))
        if not any(finding.signature == harmed for finding in verdict):
            raise Unsound(
                f"{self.scheme.name}: the search says {tuple(harmed)} of what the oracle does not: "
                f"{'; '.join(dumps(case).splitlines()[2:])}; `sockiter check --verify {self.scheme.name}` says more"
            )
        return case

    def _operations(self, state: int, last: _Way | None) -> tuple[Operation, ...]:
        path = [] if last is None else [Told(self._moment(state), last.step, last.mode)]
        here = self.reached[state]
        while here is not None:
            state, way = here
            path.append(Told(self._moment(state), way.step, way.mode))
            here = self.reached[state]
        return retold(reversed(path))
