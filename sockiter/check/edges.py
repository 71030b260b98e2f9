"""The edges of a search: the transitions of a system state, each with the mode of its read.

Also decides whether reads from a system state reach the end, if nothing changes and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sockiter.check.effects import Effect, Shift, Transition, Turns
from sockiter.check.fates import Fates, FateStep, fate_step
from sockiter.check.monitor import Judged, Mode, MonitorState, MonitorStep, monitor_states, monitor_step
from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.errors import Unsearchable
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import READS_MAX


def _stops(transition: Transition) -> bool:
    return isinstance(transition.effect, Turns) and transition.effect.stops


class Steps:
    """What transitions mean for fates, in reads of one mode and pass, from system states with some sockets."""

    def __init__(
        self, sockets_max: int, sockets: int, mode: Mode, judged: Judged, *, paused: bool, relevant: Fates | None
    ) -> None:
        self.sockets_max, self.sockets, self.mode, self.judged, self.paused = sockets_max, sockets, mode, judged, paused
        self._relevant = relevant
        self._known: dict[Effect, FateStep] = {}

    def of_one(self, effect: Effect) -> MonitorStep:
        """The step of one fate."""
        return monitor_step(effect, self.sockets_max, self.sockets, self.mode, self.judged, paused=self.paused)

    def of_a_set(self, effect: Effect) -> FateStep:
        """The step of a set of fates."""
        step = self._known.get(effect)
        if step is None:
            of = effect, self.sockets_max, self.sockets, self.mode, self.judged
            step = self._known[effect] = fate_step(*of, paused=self.paused, relevant=self._relevant)
        return step


class Edge(NamedTuple):
    """A transition, and what it means for fates."""

    transition: Transition
    steps: Steps

    @property
    def mode(self) -> Mode:
        return self.steps.mode

    @property
    def monitor_step(self) -> MonitorStep:
        """What the transition means for one fate."""
        return self.steps.of_one(self.transition.effect)

    @property
    def is_late(self) -> bool:
        """Whether a violation here takes one more line: a last read. That is a `read all`, and so always has room."""
        effect = self.transition.effect
        if isinstance(effect, Shift):
            return not self.steps.paused
        return isinstance(effect, Turns) and effect.stops and effect.refused


class Edges:
    """The edges of all states of a system with at most `sockets_max` sockets.

    `joins`: the reader makes two passes, and joins their records. `relevant`: no other fates are wanted; None: all.
    """

    def __init__(self, system: TransitionSystem, sockets_max: int, *, joins: bool, relevant: Fates | None = None) -> None:
        self._system, self._sockets_max, self._joins, self._relevant = system, sockets_max, joins, relevant
        self._steps: dict[tuple[int, Mode, Judged, bool], Steps] = {}
        self._labelled: dict[int, list[Edge]] = {}
        self._internal: dict[int, list[Edge]] = {}
        self._terminates: dict[int, bool] = {}

    def labelled(self, number: int) -> list[Edge]:
        """The edges from a system state that are lines of a case."""
        edges = self._labelled.get(number)
        if edges is None:
            state = self._system.states[number]
            edges = self._of(state, "on", self._system.labelled(number))
            if state.is_open and not state.inside:
                begun = self._system.begun(number)
                edges += self._of(state, "one", begun)
                # A `read all` never stops for the number of its records.
                edges += self._of(state, "all", [one for one in begun if not _stops(one)])
            self._labelled[number] = edges
        return edges

    def internal(self, number: int) -> list[Edge]:
        """The other edges, the read with nothing in its way last."""
        edges = self._internal.get(number)
        if edges is None:
            edges = self._of(self._system.states[number], "on", self._system.internal(number))
            self._internal[number] = edges
        return edges

    def _of(self, state: SystemState, mode: Mode, transitions: Iterable[Transition]) -> list[Edge]:
        judged: Judged = "alone" if not self._joins else "last" if state.second else "first"
        # At open, all present sockets are owed. From then on, it does not matter how many there are.
        key = self._sockets_max if state.is_open else len(state.where), mode, judged, bool(state.inside)
        steps = self._steps.get(key)
        if steps is None:
            sockets, _, _, paused = key
            of = self._sockets_max, sockets, mode, judged
            steps = self._steps[key] = Steps(*of, paused=paused, relevant=self._relevant)
        return [Edge(transition, steps) for transition in transitions]

    def terminates(self, number: int) -> bool:
        """Whether reads without changes and refusals reach the end."""
        state = self._system.states[number]
        if state.inside or not state.is_open:
            return True
        known = self._terminates
        path: list[int] = []
        while number not in known:
            if len(path) == READS_MAX:
                # Here a `read all` gives up. The other states on the path may still terminate.
                for after in path[1:]:
                    del known[after]
                return False
            path.append(number)
            known[number] = False
            to, is_end = self._after_a_read(number)
            if is_end:
                known[number] = True
            else:
                number = to
        for before in path:
            known[before] = known[number]
        return known[number]

    def _after_a_read(self, number: int) -> tuple[int, bool]:
        # The system state behind an undisturbed read(2) of a `read all`, and whether that read returned the end.
        monitor = MonitorState(in_all=True).number
        for _ in range(RECORDS_MAX + 2):
            taken = [edge for edge in self.internal(number) if edge.monitor_step[monitor].to >= 0][-1]
            number, monitor = taken.transition.to, taken.monitor_step[monitor].to
            effect = taken.transition.effect
            if isinstance(effect, Turns) and effect.over:
                return number, monitor_states(self._sockets_max)[monitor].ended
        # No read makes so many requests: this read returned to an earlier state.
        raise Unsearchable(
            f"{self._system.scheme.name} never ends a read: its canonical form merges different states, "
            "or `resume` leads in a circle"
        )
