"""The edges of a search: the transitions of a system state, each with the mode of its read.

Also decides whether reads from a system state reach the end, if nothing changes and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sockiter.check.fates import FateStep, fate_step
from sockiter.check.monitor import Judged, Mode, MonitorState, MonitorStep, monitor_states, monitor_step
from sockiter.check.transitions import Shift, SystemState, Transition, TransitionSystem, Turns
from sockiter.errors import Unsearchable
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import READS_MAX


class Edge(NamedTuple):
    """A transition and the mode of its read; the other fields are parameters of a `monitor_step`."""

    transition: Transition
    mode: Mode
    sockets_max: int
    sockets: int
    judged: Judged
    paused: bool

    @property
    def monitor_step(self) -> MonitorStep:
        """What the transition means for one fate."""
        return monitor_step(
            self.transition.effect, self.sockets_max, self.sockets, self.mode, self.judged, paused=self.paused
        )

    @property
    def fate_step(self) -> FateStep:
        """What the transition means for a set of fates."""
        return fate_step(self.transition.effect, self.sockets_max, self.sockets, self.mode, self.judged, paused=self.paused)

    @property
    def is_late(self) -> bool:
        """Whether a violation here takes one more line: a last read. That is a `read all`, and so always has room."""
        effect = self.transition.effect
        if isinstance(effect, Shift):
            return not self.paused
        return isinstance(effect, Turns) and effect.stops and effect.refused


class Edges:
    """The edges of all states of a system with at most `sockets_max` sockets.

    `joins`: the reader makes two passes, and joins their records.
    """

    def __init__(self, system: TransitionSystem, sockets_max: int, *, joins: bool) -> None:
        self._system, self._sockets_max, self._joins = system, sockets_max, joins
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
                edges += [*self._of(state, "one", begun), *self._of(state, "all", begun)]
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
        sockets, paused = len(state.where), bool(state.inside)
        judged: Judged = "alone" if not self._joins else "last" if state.second else "first"
        return [Edge(transition, mode, self._sockets_max, sockets, judged, paused) for transition in transitions]

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
