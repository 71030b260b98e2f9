"""The state graph of a scope: every state that sequences in it lead to, and the operations from each.

A state here is a state of table and iterator together with what became of every socket in the table. Decided here: which
states are equal, in which order they are numbered, and where a graph is cut off. Not known here: what a transition does
(`check.transitions`), what it means for a socket (`check.monitor`), and what a page shows. Before a graph is returned, the
shortest history of every state between two reads is carried out by the simulation and judged by the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, TypeAlias

from sockiter.backend import Shape
from sockiter.cases import spell
from sockiter.check.counterexample import OperationsBuilder, PathStep
from sockiter.check.effects import Opening, Turns
from sockiter.check.monitor import NEAR, OWED, Mode, MonitorState, monitor_states
from sockiter.check.result import Scope
from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import Hazard
from sockiter.errors import Unsearchable, Unsound
from sockiter.explore.outlook import Edge, Edges, outlook, reduced
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import READS_MAX, Operation
from sockiter.oracle import judge
from sockiter.schemes.scheme import AnyScheme, frame_name
from sockiter.simulation import Simulation
from sockiter.verdict import Kind

# States between two calls of `progress`.
REPORT = 256
# For each state of a graph, so many nodes of the outlook are looked at.
NODES_PER_STATE, NODES_LEAST = 8, 2_000

Violation: TypeAlias = tuple[Kind, int]
"""A kind, and the position of the socket that it befalls before the step; -1: it befalls the iteration."""


class Taken(NamedTuple):
    """A step from a state: the state that it leads to, its edge, and the violations that happen with it."""

    to: int
    edge: Edge
    violations: tuple[Violation, ...]


@dataclass(slots=True)
class GraphState:
    """A state of the graph, in and between reads.

    `system`: the number of the system state; `monitor`: the monitor state that tracks no socket, None before open;
    `sockets`: that of each socket, by position. `before`: the state before it on its shortest history, and the number of the
    step from there; None at the start. `lines`: the lines of that history. `is_cut`: the graph is cut off here, and has no
    steps that are lines of a case. `outlook`: of the iteration and of each socket. `place`: how far the iterator has come on
    the shortest history, on which the sockets have these `names`, by position. `is_stuck`: a `read all` from here gives up.
    """

    number: int
    system: int
    monitor: int | None
    sockets: tuple[int, ...]
    before: tuple[int, int] | None
    lines: int
    steps: list[Taken] = field(default_factory=list)
    is_cut: bool = True
    outlook: tuple[int, ...] = ()
    place: str = ""
    names: tuple[str, ...] = ()
    is_stuck: bool = False


@dataclass(slots=True)
class StateGraph:
    """Every state of a scope, by number from 0, the empty table. `cut`: where it is cut off, in words, "" if it is not.

    `sees_all`: whether the outlooks are those of the whole scope, whatever of it is in the graph.
    """

    scheme: AnyScheme
    hazards: frozenset[Hazard]
    scope: Scope
    system: TransitionSystem
    states: list[GraphState] = field(default_factory=list)
    cut: str = ""
    sees_all: bool = True

    @property
    def left_out(self) -> frozenset[Hazard]:
        """The hazards of the scheme that no graph has."""
        return self.scheme.hazards & LEFT_OUT

    def system_state(self, state: GraphState) -> SystemState:
        return self.system.states[state.system]

    def path(self, number: int) -> list[int]:
        """The numbers of the steps of the shortest history of a state."""
        path = []
        before = self.states[number].before
        while before is not None:
            number, step = before
            path.append(step)
            before = self.states[number].before
        return path[::-1]

    def read_all(self, state: GraphState) -> frozenset[Kind] | None:
        """The violations that happen with a `read all` from a state between two reads, with nothing inside it.

        None before open, and where the graph is cut off before such a read is over.
        """
        if state.monitor is None:
            return None
        found: set[Kind] = set()
        records = False
        for _ in range(READS_MAX):
            for _ in range(RECORDS_MAX + 2):
                if not state.steps:
                    return None
                to, edge, violations = state.steps[-1]
                found.update(kind for kind, _ in violations)
                effect = edge.transition.effect
                assert isinstance(effect, Turns)
                records = records or bool(effect.shown)
                state = self.states[to]
                if effect.over:
                    break
            else:
                raise Unsearchable(
                    f"{self.scheme.name} never ends a read: its canonical form merges different states, "
                    "or `resume` leads in a circle"
                )
            if is_end(effect, has_records=records):
                return frozenset(found)
            records = False
        return frozenset({*found, "stuck"})

    @property
    def steps_count(self) -> int:
        return sum(len(state.steps) for state in self.states)


class Walk:
    """A path through a graph: the state that it has come to, and what has happened.

    A record counts as delivered when a read hands it out, and a repeat happens then: before, it is certain. `operations` and
    `verdict` are those of a path that ends between two reads.
    """

    def __init__(self, graph: StateGraph) -> None:
        self.graph = graph
        self.state = graph.states[0]
        self.delivered: list[str] = []
        self.ended = False
        # Whether the step before this one was the end of a walk.
        self.is_end = False
        self._builder = OperationsBuilder()
        self._happened: dict[tuple[Kind, str | None], None] = {}
        # Records that no read has handed out, and the repeats that come with them.
        self._records: list[str] = []
        self._repeats: dict[tuple[Kind, str | None], None] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(self._builder.operations)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sockets in the table, by position."""
        return tuple(self._builder.names)

    @property
    def verdict(self) -> set[tuple[Kind, str | None]]:
        found = set(self._happened)
        return found if self.ended or found - {("refused", None)} else found | {("incomplete", None)}

    def take(self, number: int, *, mode: Mode | None = None) -> None:
        """Take a step from the state that the walk has come to; `mode` where it is a part of a `read all`."""
        to, edge, violations = self.state.steps[number]
        names = self.names
        self._builder.add(*PathStep(self.graph.system_state(self.state), edge.transition, mode or edge.mode))
        happened = {(kind, names[position] if position >= 0 else None): None for kind, position in violations}
        self._repeats |= {one: None for one in happened if one[0] == "repeat"}
        self._happened |= {one: None for one in happened if one[0] != "repeat"}
        if isinstance(edge.transition.effect, Turns):
            self._read(edge.transition.effect, names)
        self.state = self.graph.states[to]

    def _read(self, effect: Turns, names: Sequence[str]) -> None:
        self._records += [names[position] for position in effect.shown]
        self.is_end = is_end(effect, has_records=bool(self._records))
        self.ended = self.ended or self.is_end
        if effect.over and not effect.refused:
            self.delivered += self._records
            self._records = []
            self._happened |= self._repeats
            self._repeats = {}

    def read_all(self) -> bool:
        """Read until the end, or until a `read all` gives up, with nothing in between.

        False where the graph is cut off before; the walk is then somewhere on the way.
        """
        mode: Mode = "all"
        for _ in range(READS_MAX):
            is_over = False
            while not is_over:
                if not self.state.steps:
                    return False
                effect = self.state.steps[-1].edge.transition.effect
                assert isinstance(effect, Turns)
                is_over = effect.over
                self.take(-1, mode=mode)
                mode = "on"
            if self.is_end:
                return True
        self._builder.finish()
        self._happened["stuck", None] = None
        return True


LEFT_OUT: frozenset[Hazard] = frozenset({"close", "accept", "destroy", "destroying"})
"""The hazards that a graph never has: its states do not tell a successor, or a read that destroys, from others."""


def is_end(effect: Turns, *, has_records: bool) -> bool:
    """Whether a read returns the end with this: it is over, and has neither a record nor an error."""
    return effect.over and not (has_records or effect.refused or effect.handed)


def explore(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    states_max: int,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> StateGraph:
    """The graph of a scheme under some hazards in a scope, or of the part of it that the first states are.

    The hazards in `LEFT_OUT` are not explored. States are expanded in the order of their shortest histories, until there
    are so many. `progress` is called with the
    states so far and those that wait, after every few hundred. Raises `Unsearchable` for a scheme whose states have no
    canonical form or that is dumped in messages, `Unsound` where a state is not what the oracle says of its shortest
    history.
    """
    if frame_name(scheme) == "netlink":
        raise Unsearchable("it is dumped in messages, which the page cannot show")
    within = (frozenset(hazards) & scheme.hazards) - LEFT_OUT
    # A page names sockets in the order of their additions, so that is also the order of their keys.
    system = TransitionSystem(scheme, within, scope.sockets, scope.buckets, scope.batch, any_key=False)
    graph = StateGraph(scheme, within, scope, system)
    _Exploration(graph, states_max, progress).run()
    return graph


_Key: TypeAlias = tuple[int, int | None, tuple[int, ...]]


class _Exploration:
    def __init__(self, graph: StateGraph, states_max: int, progress: Callable[[int, int], None]) -> None:
        self.graph, self.states_max, self.progress = graph, states_max, progress
        sockets = graph.scope.sockets
        self.edges = Edges(graph.system, sockets)
        self.monitor_states = monitor_states(sockets)
        self.stands_for = reduced(sockets)
        self.numbers: dict[_Key, int] = {}
        # States that wait to be expanded, by the lines of their histories.
        self.layers: list[list[int]] = []

    def run(self) -> None:
        self._state((0, None, ()), None, 0)
        self._expand()
        self._look_ahead()
        for state in self.graph.states:
            if self.graph.system_state(state).inside is None:
                state.is_stuck = "stuck" in (self.graph.read_all(state) or ())
                self._judge(state)

    def _state(self, key: _Key, before: tuple[int, int] | None, lines: int) -> int:
        # The number of a state, which waits from now on if it is new, or if there is a shorter history of it.
        states = self.graph.states
        number = self.numbers.setdefault(key, len(states))
        if number == len(states):
            states.append(GraphState(number, *key, before, lines))
        elif lines < states[number].lines:
            states[number].before, states[number].lines = before, lines
        else:
            return number
        self.layers += [[] for _ in range(lines + 1 - len(self.layers))]
        self.layers[lines].append(number)
        return number

    def _expand(self) -> None:
        graph = self.graph
        expanded = 0
        lines = 0
        while lines < len(self.layers):
            # A step that is no line leads to a state of the same layer, which comes after those that are there.
            for number in self.layers[lines]:
                state = graph.states[number]
                if state.lines < lines or not state.is_cut:
                    continue
                if not graph.cut and graph.scope.ops is not None and lines >= graph.scope.ops:
                    graph.cut = f"at {_lines(lines)}; every sequence of that length is here, and none that is longer"
                if not graph.cut and len(graph.states) >= self.states_max:
                    graph.cut = (
                        f"at {self.states_max:,} states; every sequence of at most {_lines(lines)} is here, "
                        "and some of the longer ones"
                    )
                self._steps(state, is_cut=bool(graph.cut))
                expanded += 1
                if expanded % REPORT == 0:
                    self.progress(len(graph.states), len(graph.states) - expanded)
            lines += 1

    def _steps(self, state: GraphState, *, is_cut: bool) -> None:
        # Where the graph is cut off, a read that is under way still comes to its end.
        state.is_cut = is_cut
        for edge in self.edges[state.system]:
            if not (is_cut and edge.lines) and (key := self._after(state, edge)) is not None:
                to = self._state(key, (state.number, len(state.steps)), state.lines + edge.lines)
                state.steps.append(Taken(to, edge, self._violations(state, edge)))

    def _after(self, state: GraphState, edge: Edge) -> _Key | None:
        # None: the edge is not for this state, which has records that a refused read leaves, or has none.
        to = edge.transition.to
        if state.monitor is None:
            if isinstance(edge.transition.effect, Opening):
                there = range(len(self.graph.system.states[to].where))
                return to, MonitorState().number, tuple(MonitorState(position, OWED, NEAR).number for position in there)
            return to, None, ()
        step = edge.monitor_step
        if (monitor := step[state.monitor].to) < 0:
            return None
        found = [step[socket].to for socket in state.sockets]
        found += [self.stands_for[number] for number in step[state.monitor].started]
        sockets = {self.monitor_states[number].position: self.stands_for[number] for number in found if number >= 0}
        return to, monitor, tuple(sockets[position] for position in range(len(sockets)))

    def _violations(self, state: GraphState, edge: Edge) -> tuple[Violation, ...]:
        if state.monitor is None:
            return ()
        found: list[Violation] = [(one.kind, -1) for one in edge.monitor_step[state.monitor].violations]
        for position, socket in enumerate(state.sockets):
            found += [(one.kind, position) for one in edge.monitor_step[socket].violations if one.kind != "refused"]
        return tuple(dict.fromkeys(found))

    def _look_ahead(self) -> None:
        states = self.graph.states
        nodes = {(state.system, one) for state in states if state.monitor is not None for one in _tracked(state)}
        found, self.graph.sees_all = outlook(
            self.edges,
            nodes,
            nodes_max=max(NODES_PER_STATE * len(states), NODES_LEAST),
            progress=lambda: self.progress(len(states), 0),
        )
        for state in states:
            state.outlook = tuple(found[state.system, one] for one in _tracked(state))

    def _judge(self, state: GraphState) -> None:
        # The shortest history of a state, carried out: the judge is the oracle, and the place is as it is then.
        graph = self.graph
        walk = Walk(graph)
        for step in graph.path(state.number):
            walk.take(step)
        state.names = walk.names
        if state.monitor is None:
            return
        scope = graph.scope
        shape = Shape(tuple((name, scope.buckets) for name in graph.scheme.tables), scope.batch)
        simulation = Simulation(graph.scheme, shape)
        for operation in walk.operations:
            simulation.apply(operation)
        verdict = {(finding.kind, finding.socket) for finding in judge(simulation.history)}
        delivered = [name for read in simulation.history.reads for name in read.delivered]
        names = tuple(chain.from_iterable(simulation.state()))
        if (verdict, delivered, names) != (walk.verdict, walk.delivered, walk.names):
            raise Unsound(
                f"{graph.scheme.name}: the graph says {_words(walk.verdict)} of what the oracle says {_words(verdict)} of: "
                f"{'; '.join(chain.from_iterable(map(spell, walk.operations)))}; "
                f"`sockiter check --verify {graph.scheme.name}` says more"
            )
        state.place = simulation.place()


def _tracked(state: GraphState) -> tuple[int, ...]:
    # The monitor states of a state: that of the iteration, and those of its sockets.
    return () if state.monitor is None else (state.monitor, *state.sockets)


def _lines(number: int) -> str:
    return f"{number} operation{'s' if number != 1 else ''}"


def _words(verdict: Iterable[tuple[Kind, str | None]]) -> str:
    return ", ".join(sorted(" ".join(filter(None, one)) for one in verdict)) or "ok"
