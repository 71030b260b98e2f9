"""Compares the states that a canonical form merges, each explored separately.

Two merged states must have the same transitions, to states that are equivalent in turn.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

from sockiter.check.effects import Transition
from sockiter.check.result import Scope
from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import Hazard
from sockiter.guard import text
from sockiter.schemes.scheme import AnyScheme, Where
from sockiter.table import Socket, Table

MERGED_MAX = 500
"""The number of merged states that are compared in each of two rounds, drawn with a fixed seed."""
STATES_MAX = 10_000
"""The most states of a scope. A form that merges too little has unboundedly many; later states are left out."""
# The most groups of merged states in which pairs are compared, and the most states of a group.
_GROUPS_MAX = 30
_OF_A_GROUP_MAX = 40
TEXT_MAX = 2000
"""The most characters of a state's text."""

Edges: TypeAlias = list[tuple[object, object, int]]


class Compared(NamedTuple):
    """The number of states, of merged states, and of compared merged states; and the pairs that are not equivalent."""

    states: int
    merged: int
    compared: int
    differences: tuple[tuple[SystemState, SystemState], ...]
    complete: bool


class Merging(TransitionSystem):
    """A transition system that keeps every merged state, by the number of the state that it was merged into."""

    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> None:
        self.merged: dict[Hashable, tuple[int, SystemState]] = {}
        self.edges: list[Edges] = []
        super().__init__(scheme, hazards, scope.sockets, scope.buckets, scope.batch)

    def _number(self, state: SystemState) -> int:
        number = super()._number(state)
        if (concrete := _concrete(state)) != _concrete(self.states[number]):
            self.merged.setdefault((number, concrete), (number, state))
        return number

    def keep(self, state: SystemState) -> int:
        """The number of an unmerged state, to which no transition leads."""
        self.states.append(state)
        return len(self.states) - 1

    def close(self, most: int = STATES_MAX) -> bool:
        """Explore all states up to a maximum; whether these are all states."""
        while len(self.edges) < min(len(self.states), most):
            self.edges.append(self.edges_of(len(self.edges)))
        return len(self.edges) == len(self.states)

    def edges_of(self, number: int) -> Edges:
        """The transitions from a state."""
        state = self.states[number]
        # Between two reads, the next operation may destroy or not; a `read all` that goes on is one of the two.
        reads = self.begun if state.is_open and state.inside is None else self.internal
        transitions: list[Transition] = [*self.labelled(number), *reads(number)]
        return [(transition.label, transition.effect, transition.to) for transition in transitions]


def _concrete(state: SystemState) -> Hashable:
    return state.table, state.at, state.left, state.fresh, state.inside, state.messages


def compared(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    most: int = MERGED_MAX,
    rounds: int = 2,
    states_max: int = STATES_MAX,
) -> Compared:
    """Explore a scope, and compare every merged state with the state that it was merged into.

    Further rounds compare the merged states to which these lead. In each round, `most` of them, drawn with a fixed seed.

    Two states are equivalent if their transitions have the same labels and effects, and lead to equivalent states. The
    partition starts with one class and is refined until it is stable: a canonical form may also separate equivalent
    states.
    """
    merging = Merging(scheme, frozenset(hazards) & scheme.hazards, scope)
    complete = merging.close(states_max)
    states = len(merging.edges)
    draw = random.Random(1)
    merged = 0
    members: dict[int, list[int]] = {}
    left: dict[int, list[SystemState]] = {}
    count = 0

    def keep(chosen: Iterable[tuple[int, SystemState]]) -> None:
        nonlocal complete, count
        before = count
        for number, state in chosen:
            members.setdefault(number, [number]).append(merging.keep(state))
            count += 1
        # The successors of these states may be new.
        complete = merging.close(len(merging.edges) + count - before + states_max)

    for _ in range(rounds):
        waiting = list(merging.merged.values())
        merging.merged = {}
        merged += len(waiting)
        draw.shuffle(waiting)
        varied = _varied(waiting)
        for number, state in varied[most:]:
            left.setdefault(number, []).append(state)
        keep(varied[:most])
    if wrong := _wrong(members, divided(merging.edges)):
        # The smallest difference may be in a pair that was not drawn.
        keep((number, state) for number in wrong[:_GROUPS_MAX] for state in left.get(number, [])[:_OF_A_GROUP_MAX])
    alike = divided(merging.edges)
    differences = [
        (merging.states[first], merging.states[second])
        for number in _wrong(members, alike)[:_GROUPS_MAX]
        for first, second in combinations(members[number][:1] + members[number][-_OF_A_GROUP_MAX:], 2)
        if first < len(alike) > second and alike[first] != alike[second]
    ]
    return Compared(states, merged, count, tuple(differences), complete)


def _wrong(members: dict[int, list[int]], alike: Sequence[int]) -> list[int]:
    # The states that were merged with a state that is not equivalent.
    return [number for number, of in members.items() if len({alike[member] for member in of if member < len(alike)}) > 1]


def _varied(merged: Iterable[tuple[int, SystemState]]) -> list[tuple[int, SystemState]]:
    # First the states whose scheme value differs from all earlier ones, then those that differ in the table as well.
    met: set[Hashable] = set()
    ranked: tuple[list[tuple[int, SystemState]], ...] = ([], [], [])
    for number, state in merged:
        by_at = number, _shape(state.at, state)
        by_table = *by_at, state.table.removals, gone(state)
        ranked[0 if by_at not in met else 1 if by_table not in met else 2].append((number, state))
        met |= {by_at, by_table}
    return [numbered for rank in ranked for numbered in rank]


def _shape(value: Any, state: SystemState) -> Hashable:
    # A value with positions in place of names.
    if isinstance(value, (str, Socket)):
        return position(value, state.where, state.table)
    if isinstance(value, tuple):
        return tuple([_shape(part, state) for part in value])
    shape: Hashable = value
    return shape


def divided(edges: Sequence[Edges]) -> list[int]:
    """The number of a class for each state, equal for equivalent states; all unexplored states form one class."""
    alike = [0] * len(edges)
    classes = 1
    while True:
        numbers: dict[Hashable, int] = {}
        alike = [numbers.setdefault((alike[at], _seen(own, alike)), len(numbers)) for at, own in enumerate(edges)]
        if len(numbers) == classes:
            return alike
        classes = len(numbers)


def _seen(edges: Edges, alike: Sequence[int]) -> tuple[tuple[object, object, int], ...]:
    return tuple((label, effect, alike[to] if to < len(alike) else -1) for label, effect, to in edges)


def position(value: str | Socket, where: Where, table: Table) -> Hashable:
    """A socket's position instead of its name; -1 for every removed socket."""
    name = value.name if isinstance(value, Socket) else value
    if name in where:
        return where[name]
    return -1 if any(name == gone for gone, _ in table.gone) else value


def gone(state: SystemState) -> frozenset[Socket]:
    """The removed sockets that the scheme still holds. No other removed socket can matter."""
    held = text(state.at, TEXT_MAX)
    return frozenset(Socket("", idx) for name, idx in state.table.gone if f"'{name}'" in held)
