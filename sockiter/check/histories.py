"""The shortest histories of the violations that a search has found.

A search moves whole sets of fates, and keeps for each number of lines the fates that it reached. Here these layers are gone
through twice. Backwards: which fates are on a way to a violation that is as short as any? Forwards, one fate at a time, in a
fixed order: from which fate was each of these first reached? A fate that is on no such way leads to none that is. So it
changes neither the order of the others nor their first histories, and leaving it out is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from sockiter.check.counterexample import PathStep, Unmerged, named_by_key, to_operations
from sockiter.check.edges import Edge, Edges
from sockiter.check.fates import NOT_FOLLOWED, Fates, Ways
from sockiter.check.monitor import monitor_states
from sockiter.check.transitions import TransitionSystem
from sockiter.operations import Operation
from sockiter.readers import Reader
from sockiter.verdict import Signature

# The most histories of one violation that are compared.
ENDS_MAX = 256
STUCK = (Signature("stuck"),)

Layer: TypeAlias = Mapping[int, Fates]
"""The fates that were first reached with a number of lines, by system state."""
Node: TypeAlias = tuple[int, int]
"""A system state and a fate, by their numbers."""


class Histories:
    """The shortest histories of violations, from the layers of a search.

    `internal` and `labelled`: the internal edges of each system state, and its edges that are lines of a case. `found`: the
    number of lines of each violation. `unmerged`: makes the same system without merged states; for a scheme with keys.
    """

    def __init__(
        self,
        system: TransitionSystem,
        edges: Edges,
        layers: Sequence[Layer],
        internal: Mapping[int, Ways],
        labelled: Mapping[int, Ways],
        found: Mapping[Signature, int],
        reader: Reader | None = None,
        unmerged: Callable[[], Unmerged] | None = None,
    ) -> None:
        self._system, self._edges, self._found, self._reader = system, edges, found, reader
        self._internal, self._labelled, self._unmerged = internal, labelled, unmerged
        # By node: the node from which it was first reached, and the edge.
        self._reached: dict[Node, tuple[Node, Edge] | None] = {}
        self._ends: dict[Signature, list[tuple[Node, Edge | None]]] = {signature: [] for signature in found}
        if found:
            self._forwards(self._on_the_way(layers))

    def of(self, signature: Signature) -> Iterator[tuple[Operation, ...]]:
        """The operations of some shortest histories that end in this violation."""
        for node, last in self._ends[signature]:
            yield self._operations(node, last)

    def _on_the_way(self, layers: Sequence[Layer]) -> dict[int, Fates]:
        # By system state: the fates that lead to one of the violations with its number of lines.
        on_the_way: dict[int, Fates] = {}
        behind: dict[int, Fates] = {}
        for lines in range(min(len(layers), max(self._found.values()) + 1) - 1, -1, -1):
            behind = self._backwards(layers[lines], behind, lines)
            for number, fates in behind.items():
                on_the_way[number] = on_the_way.get(number, 0) | fates
        return on_the_way

    def _backwards(self, layer: Layer, behind: Mapping[int, Fates], lines: int) -> dict[int, Fates]:
        # The fates of a layer that end in a violation, or lead to one of these in the next layer, by system state.
        leading: dict[int, Fates] = {}
        for number, fates in layer.items():
            origin = self._violating(self._internal[number], lines) | self._stuck(number, lines)
            if (labelled := self._labelled.get(number)) is not None:
                origin |= self._violating(labelled, lines + 1) | _origin(labelled, behind)
            if origin := fates & origin:
                leading[number] = origin
        is_more = bool(leading)
        while is_more:
            is_more = False
            for number in reversed(layer):
                before = leading.get(number, 0)
                origin = layer[number] & _origin(self._internal[number], leading) & ~before
                if origin:
                    leading[number] = before | origin
                    is_more = True
        return leading

    def _violating(self, ways: Ways, lines: int) -> Fates:
        violating = 0
        for fates, signatures, late in ways.violations:
            if any(self._found.get(signature) == lines + late for signature in signatures):
                violating |= fates
        return violating

    def _stuck(self, number: int, lines: int) -> Fates:
        stuck = self._found.get(STUCK[0])
        return NOT_FOLLOWED if stuck in (lines, lines + 1) and not self._edges.terminates(number) else 0

    def _forwards(self, on_the_way: Mapping[int, Fates]) -> None:
        # Breadth first: the nodes of no line, then those of one line, and so on.
        self._reached[0, 0] = None
        layer: list[Node] = [(0, 0)]
        lines = 0
        while layer:
            here: list[Node] = []
            while layer:
                node = layer.pop()
                here.append(node)
                self._end_stuck(node, lines)
                for edge in self._edges.internal(node[0]):
                    self._take(node, edge, on_the_way, layer, lines)
            for node in here:
                for edge in self._edges.labelled(node[0]):
                    self._take(node, edge, on_the_way, layer, lines + 1)
            layer.reverse()
            lines += 1

    def _take(self, node: Node, edge: Edge, on_the_way: Mapping[int, Fates], layer: list[Node], lines: int) -> None:
        fate, started, violations = edge.monitor_step[node[1]]
        if fate < 0:
            return
        for signature in violations:
            self._end(signature, node, edge, lines + edge.is_late)
        to = edge.transition.to
        fates = on_the_way.get(to, 0)
        for after in (fate, *started):
            if fates >> after & 1 and (to, after) not in self._reached:
                self._reached[to, after] = node, edge
                layer.append((to, after))

    def _end_stuck(self, node: Node, lines: int) -> None:
        number, fate = node
        if fate < NOT_FOLLOWED.bit_length() and not self._edges.terminates(number):
            self._end(STUCK[0], node, None, lines + (not monitor_states(1)[fate].in_all))

    def _end(self, signature: Signature, node: Node, edge: Edge | None, lines: int) -> None:
        if self._found.get(signature) == lines and len(self._ends[signature]) < ENDS_MAX:
            self._ends[signature].append((node, edge))

    def _operations(self, node: Node, last: Edge | None) -> tuple[Operation, ...]:
        states = self._system.states
        path = [] if last is None else [PathStep(states[node[0]], last.transition, last.mode)]
        here = self._reached[node]
        while here is not None:
            node, edge = here
            path.append(PathStep(states[node[0]], edge.transition, edge.mode))
            here = self._reached[node]
        path.reverse()
        if self._unmerged is None:
            return to_operations(path, self._reader)
        unmerged = self._unmerged()
        followed = list(unmerged.followed(path, states))
        return named_by_key(to_operations(followed, self._reader), unmerged.names(followed))


def _origin(ways: Ways, fates_of: Mapping[int, Fates]) -> Fates:
    origin = 0
    for way in ways.ways:
        if fates := fates_of.get(way.to):
            origin |= way.origin(fates)
    return origin
