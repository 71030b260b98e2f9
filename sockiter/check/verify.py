"""Verifies that a scheme's canonical form merges only equivalent states, by three comparisons in small scopes.

The search with the canonical form is compared with the search without it, and with every sequence of a few lines on the
real frame and oracle. And all pairs of merged states are explored separately: both states must have the same transitions,
to states that are equivalent in turn. For a wrong merge, the report names the fields in which the two states differ.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import combinations, groupby, islice, zip_longest
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

from sockiter.backend import Target
from sockiter.check import everything
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.check.transitions import SystemState, Transition, TransitionSystem, Turns
from sockiter.claims import CHANGES, Hazard, in_order
from sockiter.errors import SockiterError, Unsound
from sockiter.guard import text
from sockiter.operations import Add, Rehash, Reinsert, Remove
from sockiter.schemes.scheme import AnyScheme, Where, known_failures_of
from sockiter.simulation import SchemeTarget
from sockiter.table import Socket, Table
from sockiter.targets import target_named
from sockiter.verdict import Signature
from sockiter.workers import Workers, serving

SEARCHES: tuple[tuple[tuple[Hazard, ...], Scope], ...] = (
    (("add-head", "remove", "reinsert", "show"), Scope(2, 1, 1, 5)),
    (("add-head", "remove", "realloc", "enomem"), Scope(2, 1, 1, 5)),
    (("add-tail", "reinsert", "realloc", "enomem"), Scope(2, 1, 1, 5)),
    (("remove", "rehash", "show"), Scope(2, 2, 1, 4)),
    (("remove", "reinsert", "between"), Scope(2, 2, 1, 4)),
)
"""The hazards and scopes of the comparisons between the searches and every sequence."""
MERGES: tuple[tuple[tuple[Hazard, ...], Scope], ...] = (
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 1, 1)),
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 2, 1)),
    ((*CHANGES, "show", "realloc", "enomem"), Scope(3, 1, 1)),
    (("reinsert", "rollover"), Scope(2, 1, 1)),
)
"""The hazards and scopes of the comparisons of merged states."""
MERGED_MAX = 500
"""The number of merged states that are compared in each of two rounds, drawn with a fixed seed."""
STATES_MAX = 10_000
"""The most states of a scope. A form that merges too little has unboundedly many; later states are left out."""
# Pairs that are tried for the smallest difference, from so many groups of so many merged states, and states that each
# pair leads to.
_PAIRS_MAX = 20
_GROUPS_MAX = 30
_OF_A_GROUP_MAX = 40
_FOLLOWED_MAX = 400
_TEXT_MAX = 2000
_SECONDS = 0.1

Edges: TypeAlias = list[tuple[object, object, int]]
Progress: TypeAlias = Callable[[str], None]


class Side(NamedTuple):
    """One of two merged states: the scheme's value, and the table."""

    at: str
    table: str


@dataclass(frozen=True, slots=True)
class WrongMerge:
    """Two states that the canonical form merges although they are not equivalent.

    `fields`: the fields of the state or waiting value in which the two differ; if there is none, those of the table.
    `after`: the operations from both states; the last operation has different effects, which are in `does`.
    """

    fields: tuple[str, ...]
    sides: tuple[Side, Side]
    after: tuple[str, ...]
    does: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Merged:
    """The comparison of merged states in one scope. `complete`: all states of the scope were reached."""

    hazards: frozenset[Hazard]
    scope: Scope
    states: int
    merged: int
    compared: int
    complete: bool
    wrong: WrongMerge | None = None

    @property
    def agrees(self) -> bool:
        return self.wrong is None


@dataclass(frozen=True, slots=True)
class Compare:
    """The violations in one scope, with the lengths of shortest cases, by each of the three searches.

    The search with the canonical form has None if the scheme has no form, or if the search with the form reports a false
    violation, as `why` explains.
    """

    hazards: frozenset[Hazard]
    scope: Scope
    canonical: dict[Signature, int] | None
    literal: dict[Signature, int]
    everything: dict[Signature, int]
    why: str = ""

    @property
    def agrees(self) -> bool:
        return not self.why and self.canonical in (None, self.literal) and self.literal == self.everything


@dataclass(frozen=True, slots=True)
class Verified:
    """All comparisons for one scheme. `has_form`: it has a canonical form."""

    scheme: str
    has_form: bool
    searches: tuple[Compare, ...]
    merges: tuple[Merged, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        return all(compare.agrees for compare in self.searches) and all(merged.agrees for merged in self.merges)


def verify(scheme: AnyScheme, progress: Progress = lambda doing: None) -> Verified:
    """Make all comparisons; `progress` is called with the current step from time to time.

    Raises a TypeError for a scheme whose states cannot be searched.
    """
    started = time.perf_counter()
    has_form = hasattr(scheme, "canonical")
    searches = [_compare(scheme, hazards, scope, progress) for hazards, scope in _within(SEARCHES, scheme)]
    merges = [_merged(scheme, hazards, scope, progress) for hazards, scope in _within(MERGES, scheme) if has_form]
    return Verified(scheme.name, has_form, tuple(searches), tuple(merges), time.perf_counter() - started)


def _within(
    scopes: Iterable[tuple[tuple[Hazard, ...], Scope]], scheme: AnyScheme
) -> Iterator[tuple[frozenset[Hazard], Scope]]:
    # Versions roll over only under the hazard "rollover".
    possible = [(hazards, scope) for hazards, scope in scopes if "rollover" not in hazards or "rollover" in scheme.hazards]
    yield from dict.fromkeys((frozenset(hazards) & scheme.hazards, scope) for hazards, scope in possible)


class Formless:
    """A scheme without its canonical form."""

    def __init__(self, scheme: AnyScheme) -> None:
        self.name = scheme.name
        self.summary = scheme.summary
        self.progress = scheme.progress
        self.known_failures = known_failures_of(scheme)
        self.hazards = scheme.hazards
        self.tables = scheme.tables
        self.open = scheme.open
        self.begin = scheme.begin
        self.resume = scheme.resume
        self.place = scheme.place


# The searches, with each other and with every sequence


def _compare(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, progress: Progress) -> Compare:
    under = f"{scheme.name} under {', '.join(in_order(hazards)) or 'no hazard'}"
    progress(f"{under}: searches")
    canonical = None
    why = ""
    if hasattr(scheme, "canonical"):
        try:
            canonical = _searched(scheme, hazards, scope)
        except Unsound as unsound:
            why = str(unsound)
    literal = _searched(Formless(scheme), hazards, scope)
    every = everything.shortest(scheme, hazards, scope, lambda sequences: progress(f"{under}: {sequences:,} sequences"))
    return Compare(hazards, scope, canonical, literal, every, why)


def _searched(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> dict[Signature, int]:
    return {violation.signature: violation.operations for violation in search(scheme, hazards, scope).violations}


# Merged states, each explored separately


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
        transitions: list[Transition] = [*self.labelled(number), *self.internal(number)]
        return [(transition.label, transition.effect, transition.to) for transition in transitions]


def _concrete(state: SystemState) -> Hashable:
    return state.table, state.at, state.left, state.fresh, state.inside


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
        by_table = *by_at, state.table.removals, _gone(state)
        ranked[0 if by_at not in met else 1 if by_table not in met else 2].append((number, state))
        met |= {by_at, by_table}
    return [numbered for rank in ranked for numbered in rank]


def _shape(value: Any, state: SystemState) -> Hashable:
    # A value with positions in place of names.
    if isinstance(value, (str, Socket)):
        return _position(value, state.where, state.table)
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


def _merged(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, progress: Progress) -> Merged:
    progress(f"{scheme.name} under {', '.join(in_order(hazards)) or 'no hazard'}: merged states")
    result = compared(scheme, hazards, scope)
    wrong = None
    if result.differences:
        wrong = _smallest(Merging(Formless(scheme), hazards, scope), result)
    return Merged(hazards, scope, result.states, result.merged, result.compared, result.complete, wrong)


def _smallest(literal: Merging, result: Compared) -> WrongMerge | None:
    # Of the pairs that diverge when each state is explored separately, the pair with the fewest differing fields. If only
    # the successors of a merged state were merged wrongly, the pair does not diverge. If some states are unknown, a pair
    # that does not diverge proves nothing.
    pairs = [(differing(first, second), first, second) for first, second in result.differences]
    sized = sorted(pairs, key=lambda pair: (*_size(pair[0]), pair[0]))
    for _, alike in groupby(sized, key=lambda pair: pair[0]):
        parted = []
        for names, first, second in islice(alike, _PAIRS_MAX):
            if (parting := _parting(literal, first, second)) is not None:
                parted.append(WrongMerge(_named(names), (_side(first), _side(second)), *parting))
        if parted:
            return min(parted, key=lambda wrong: len(wrong.after))
    if not result.complete:
        return None
    names, first, second = sized[0]
    return WrongMerge(_named(names), (_side(first), _side(second)), (), ("", ""))


class Differing(NamedTuple):
    """The names of the fields in which two states differ: of the state or waiting value, and of the table."""

    at: tuple[str, ...]
    table: tuple[str, ...]


def differing(first: SystemState, second: SystemState) -> Differing:
    """The fields in which two states differ. Positions of sockets count, and names do not."""
    pair = (first.where, first.table), (second.where, second.table)
    at = dict.fromkeys(_differences(first.at, second.at, pair, type(first.at).__name__))
    here, there = first.table, second.table
    table = {
        "table.ver": here.ver == there.ver,
        "table.removals": here.removals == there.removals,
        "table.buckets.idx": _indexes(here) == _indexes(there),
        "table.gone": _gone(first) == _gone(second),
    }
    return Differing(tuple(at), tuple([name for name, same in table.items() if not same]))


_Places: TypeAlias = tuple[tuple[Where, Table], tuple[Where, Table]]


def _differences(first: Any, second: Any, places: _Places, path: str) -> Iterator[str]:
    if type(first) is not type(second):
        yield path
    elif isinstance(first, (str, Socket)):
        if _position(first, *places[0]) != _position(second, *places[1]):
            yield path
    elif isinstance(first, tuple):
        if len(first) != len(second):
            yield path
        names = getattr(first, "_fields", None)
        for nth, (left, right) in enumerate(zip(first, second, strict=False)):
            yield from _differences(left, right, places, f"{path}.{names[nth]}" if names else path)
    elif is_dataclass(first):
        for field in fields(first):
            yield from _differences(getattr(first, field.name), getattr(second, field.name), places, f"{path}.{field.name}")
    elif first != second:
        yield path


def _position(value: str | Socket, where: Where, table: Table) -> Hashable:
    # Removed sockets are all equal.
    name = value.name if isinstance(value, Socket) else value
    if name in where:
        return where[name]
    return -1 if any(name == gone for gone, _ in table.gone) else value


def _indexes(table: Table) -> tuple[int, ...]:
    return tuple([idx for bucket in table.buckets for _, idx in bucket])


def _gone(state: SystemState) -> frozenset[Socket]:
    # The removed sockets that the scheme still holds. No other removed socket can matter.
    held = text(state.at, _TEXT_MAX)
    return frozenset(Socket("", idx) for name, idx in state.table.gone if f"'{name}'" in held)


def _size(names: Differing) -> tuple[int, int]:
    return len(names.at), len(names.table)


def _named(names: Differing) -> tuple[str, ...]:
    return names.at or tuple([name for name in names.table if name != "table.ver"]) or names.table


def _parting(literal: Merging, first: SystemState, second: SystemState) -> tuple[tuple[str, ...], tuple[str, str]] | None:
    # The shortest path on which the two states diverge, and their different effects; None if no path was found.
    start = literal.keep(first), literal.keep(second)
    waiting: deque[tuple[tuple[int, int], tuple[str, ...]]] = deque([(start, ())])
    met = {start}
    while waiting and len(met) < _FOLLOWED_MAX:
        (here, there), path = waiting.popleft()
        inside = literal.states[here].inside
        for left, right in zip_longest(literal.edges_of(here), literal.edges_of(there)):
            if left is None or right is None or left[:2] != right[:2]:
                label = (left or right)[0]
                does = _does(left, label), _does(right, label)
                return (*path, _label_text(label, inside)), does
            after = left[2], right[2]
            if after not in met:
                met.add(after)
                waiting.append((after, (*path, _label_text(left[0], inside))))
    return None


# Texts


def _side(state: SystemState) -> Side:
    table = state.table
    buckets = " ".join(f"[{', '.join(f'{name} idx={idx}' for name, idx in bucket)}]" for bucket in table.buckets)
    gone = ", ".join(f"{name} idx={idx}" for name, idx in table.gone)
    return Side(text(state.at, _TEXT_MAX), f"{buckets} ver={table.ver} removals={table.removals} gone=[{gone}]")


def _label_text(label: object, inside: str | None) -> str:
    match label:
        case Add(_, end, bucket):
            return f"add a socket at the {end} of bucket {bucket}"
        case Remove(name):
            return f"remove the socket at position {name}"
        case Reinsert(name, end):
            return f"reinsert the socket at position {name} at the {end}"
        case Rehash(name, bucket):
            return f"rehash the socket at position {name} to bucket {bucket}"
        case "fail":
            return "the allocation is refused"
        case None:
            waits = {"show": "the socket is shown", "bucket": "the bucket is locked", "realloc": "the allocation is granted"}
            return f"{waits[str(inside)]}, and the read continues"
    return str(label)


def _does(edge: tuple[object, object, int] | None, label: object) -> str:
    if edge is None or edge[0] != label:
        return "not possible"
    if not isinstance(turns := edge[1], Turns):
        return text(turns)
    words = [f"shows the sockets at positions {', '.join(map(str, turns.shown))}" if turns.shown else "shows nothing"]
    words += [f"{turns.turns} turns"] if turns.turns != len(turns.shown) else []
    words += [f"{turns.looks} buckets locked"] if turns.looks else []
    words += [f"{turns.allocations} allocations"] if turns.allocations else []
    words += ["returns an error"] if turns.refused else []
    words += ["full" if turns.stops else "over" if turns.over else "waits again"]
    return ", ".join(words)


# Parallel verification, each scheme in its own process


@dataclass(slots=True)
class Trial:
    """A scheme to verify. `result`: the comparisons; without a result, `trouble` is the reason."""

    target: Target
    result: Verified | None = None
    trouble: str = "not verified"
    doing: str = ""


class Trials(Workers[Trial, str]):
    """Verifies schemes on several workers; a KeyboardInterrupt in `run` keeps the results so far."""

    def __init__(self, targets: Iterable[Target], *, workers: int) -> None:
        self.trials = [Trial(target) for target in targets]
        super().__init__(self.trials, workers=workers, work=work)

    def _job(self, lot: Trial, /) -> str:
        return lot.target.name

    def _on_message(self, lot: Trial, message: tuple[str, str] | Verified, /) -> None:
        match message:
            case Verified():
                lot.result, lot.trouble = message, ""
            case "doing", doing:
                lot.doing = doing
            case _:
                lot.trouble = message[1]

    def _is_end(self, message: tuple[str, str] | Verified | None, /) -> bool:
        return isinstance(message, Verified) or (message is not None and message[0] == "trouble")

    def _on_death(self, lot: Trial, why: str, /) -> None:
        lot.trouble = f"the worker that verified {lot.target.name} {why}"


def work(job: str, connection: Connection) -> None:
    """Verify the scheme of that name and send the result; stop early at a message, or when the connection is closed."""
    last = 0.0

    def report(doing: str) -> None:
        nonlocal last
        if connection.poll():
            raise KeyboardInterrupt
        if (now := time.monotonic()) - last >= _SECONDS:
            last = now
            connection.send(("doing", doing))

    with serving(connection):
        connection.send(outcome(job, report))


def outcome(name: str, progress: Progress) -> Verified | tuple[str, str]:
    """The result of a scheme's verification, or the reason why there is none, in words."""
    try:
        target = target_named(name)
        assert isinstance(target, SchemeTarget)
        return verify(target.scheme, progress)
    except SockiterError as error:
        return "trouble", str(error)
    except TypeError as error:
        return "trouble", f"{name} cannot be verified: {error}"
    except KeyboardInterrupt:
        return "trouble", "interrupted"
