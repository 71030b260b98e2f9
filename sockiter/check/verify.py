"""Whether a scheme's canonical form merges only moments that lead on alike: three comparisons in small scopes.

The search with the canonical form is compared with the search without it, and with every sequence of a few lines on the real
frame and oracle. And every two moments that the form merges are followed by themselves: both have to have the same steps, to
moments that do the same in turn. Where they do not, the fields are named in which the two differ. Not known here: how a
scheme comes to its form, and how the comparisons are printed.
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
from sockiter.check.transitions import Moment, Skeleton, Step, Turns
from sockiter.claims import CHANGES, Hazard, in_order
from sockiter.errors import SockiterError, Unsound
from sockiter.guard import text
from sockiter.operations import Add, Rehash, Reinsert, Remove
from sockiter.schemes.scheme import AnyScheme, Where
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
"""The hazards and the scopes in which searches are compared with each other and with every sequence."""
MERGES: tuple[tuple[tuple[Hazard, ...], Scope], ...] = (
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 1, 1)),
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 2, 1)),
    ((*CHANGES, "show", "realloc", "enomem"), Scope(3, 1, 1)),
    (("reinsert", "rollover"), Scope(2, 1, 1)),
)
"""Those in which merged moments are compared."""
MERGED_MAX = 500
"""The merged moments that are compared in each of two rounds, drawn with a fixed seed."""
MOMENTS_MAX = 10_000
"""A form that merges too little leads to no end of moments; later ones are left out."""
# Pairs that are tried for the smallest difference, from so many groups of so many that were merged, and moments that each
# pair is followed to.
_PAIRS_MAX = 20
_GROUPS_MAX = 30
_OF_A_GROUP_MAX = 40
_FOLLOWED_MAX = 400
_TEXT_MAX = 2000
_SECONDS = 0.1

Ways: TypeAlias = list[tuple[object, object, int]]
Progress: TypeAlias = Callable[[str], None]


class Side(NamedTuple):
    """One of two moments that were merged: what the scheme has there, and the table."""

    at: str
    table: str


@dataclass(frozen=True, slots=True)
class WrongMerge:
    """Two moments that the canonical form merges and that do not lead on alike.

    `fields`: those of the state or waiting value in which the two differ, or of the table where it is only that. `after`:
    the operations from both on, the last of which does not do the same; `does` has what it does from each.
    """

    fields: tuple[str, ...]
    sides: tuple[Side, Side]
    after: tuple[str, ...]
    does: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of following merged moments in one scope. `complete`: all moments of the scope were reached."""

    hazards: frozenset[Hazard]
    scope: Scope
    moments: int
    merged: int
    compared: int
    complete: bool
    wrong: WrongMerge | None = None

    @property
    def agrees(self) -> bool:
        return self.wrong is None


@dataclass(frozen=True, slots=True)
class Compare:
    """What was found in one scope, with the operations of a shortest case: with the canonical form (None: the scheme has
    none, or, as `why` says, the search with it reports what does not happen), without it, and by every sequence."""

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
        return all(one.agrees for one in self.searches) and all(one.agrees for one in self.merges)


def verify(scheme: AnyScheme, progress: Progress = lambda doing: None) -> Verified:
    """Make all comparisons; `progress` is called with what is being done, every now and then.

    Raises a TypeError for a scheme whose state cannot be looked into.
    """
    started = time.perf_counter()
    has_form = hasattr(scheme, "canonical")
    searches = [_compare(scheme, hazards, scope, progress) for hazards, scope in _within(SEARCHES, scheme)]
    merges = [_merged(scheme, hazards, scope, progress) for hazards, scope in _within(MERGES, scheme) if has_form]
    return Verified(scheme.name, has_form, tuple(searches), tuple(merges), time.perf_counter() - started)


def _within(
    scopes: Iterable[tuple[tuple[Hazard, ...], Scope]], scheme: AnyScheme
) -> Iterator[tuple[frozenset[Hazard], Scope]]:
    # Where versions roll over, without that it is as before.
    possible = [(hazards, scope) for hazards, scope in scopes if "rollover" not in hazards or "rollover" in scheme.hazards]
    yield from dict.fromkeys((frozenset(hazards) & scheme.hazards, scope) for hazards, scope in possible)


class Formless:
    """A scheme without its canonical form."""

    def __init__(self, scheme: AnyScheme) -> None:
        self.name = scheme.name
        self.summary = scheme.summary
        self.progress = scheme.progress
        self.harms = scheme.harms
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
    return {one.signature: one.operations for one in search(scheme, hazards, scope).violations}


# Moments that are merged, each followed by itself


class Compared(NamedTuple):
    """How many moments there are, how many stood for another one, how many of these were compared, and the pairs that do not
    lead on alike."""

    moments: int
    merged: int
    compared: int
    differences: tuple[tuple[Moment, Moment], ...]
    complete: bool


class Merging(Skeleton):
    """Keeps what is merged with something else, each as it is, by what it is merged with."""

    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> None:
        self.merged: dict[Hashable, tuple[int, Moment]] = {}
        self.ways: list[Ways] = []
        super().__init__(scheme, hazards, scope.sockets, scope.buckets, scope.batch)

    def _number(self, moment: Moment) -> int:
        number = super()._number(moment)
        if (concrete := _concrete(moment)) != _concrete(self.moments[number]):
            self.merged.setdefault((number, concrete), (number, moment))
        return number

    def keep(self, moment: Moment) -> int:
        """The number of a moment by itself, which nothing leads to."""
        self.moments.append(moment)
        return len(self.moments) - 1

    def close(self, most: int = MOMENTS_MAX) -> bool:
        """Go on to all moments, but no more than so many; whether these are all."""
        while len(self.ways) < min(len(self.moments), most):
            self.ways.append(self.ways_of(len(self.ways)))
        return len(self.ways) == len(self.moments)

    def ways_of(self, number: int) -> Ways:
        """The steps from a moment."""
        steps: list[Step] = [*self.lines(number), *self.onwards(number)]
        return [(step.line, step.effect, step.to) for step in steps]


def _concrete(moment: Moment) -> Hashable:
    return moment.table, moment.at, moment.left, moment.fresh, moment.inside


def compared(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    most: int = MERGED_MAX,
    rounds: int = 2,
    most_moments: int = MOMENTS_MAX,
) -> Compared:
    """Close a scope, and compare every moment that was merged with another one with that; and then, in further rounds, what
    these lead to and is merged. In each round, `most` of them, drawn with a fixed seed.

    Two moments do the same if their steps are the same, in lines and in effects, and lead to moments that do the same. That
    is worked out by taking all for the same and dividing them until nothing changes: a canonical form may tell apart what
    makes no difference.
    """
    merging = Merging(scheme, frozenset(hazards) & scheme.hazards, scope)
    complete = merging.close(most_moments)
    moments = len(merging.ways)
    draw = random.Random(1)
    merged = 0
    members: dict[int, list[int]] = {}
    left: dict[int, list[Moment]] = {}
    count = 0

    def keep(chosen: Iterable[tuple[int, Moment]]) -> None:
        nonlocal complete, count
        before = count
        for number, moment in chosen:
            members.setdefault(number, [number]).append(merging.keep(moment))
            count += 1
        # What these lead to need not have been there before.
        complete = merging.close(len(merging.ways) + count - before + most_moments)

    for _ in range(rounds):
        waiting = list(merging.merged.values())
        merging.merged = {}
        merged += len(waiting)
        draw.shuffle(waiting)
        varied = _varied(waiting)
        for number, moment in varied[most:]:
            left.setdefault(number, []).append(moment)
        keep(varied[:most])
    if wrong := _wrong(members, divided(merging.ways)):
        # The smallest difference may be to one that was not drawn.
        keep((number, moment) for number in wrong[:_GROUPS_MAX] for moment in left.get(number, [])[:_OF_A_GROUP_MAX])
    alike = divided(merging.ways)
    differences = [
        (merging.moments[one], merging.moments[other])
        for number in _wrong(members, alike)[:_GROUPS_MAX]
        for one, other in combinations(members[number][:1] + members[number][-_OF_A_GROUP_MAX:], 2)
        if one < len(alike) > other and alike[one] != alike[other]
    ]
    return Compared(moments, merged, count, tuple(differences), complete)


def _wrong(members: dict[int, list[int]], alike: Sequence[int]) -> list[int]:
    # The moments that were merged with one that does not do the same.
    return [number for number, of in members.items() if len({alike[one] for one in of if one < len(alike)}) > 1]


def _varied(merged: Iterable[tuple[int, Moment]]) -> list[tuple[int, Moment]]:
    # First those that differ in what the scheme has from all before them, then those that differ in the table as well.
    met: set[Hashable] = set()
    ranked: tuple[list[tuple[int, Moment]], ...] = ([], [], [])
    for number, moment in merged:
        by_at = number, _shape(moment.at, moment)
        by_table = *by_at, moment.table.removals, _gone(moment)
        ranked[0 if by_at not in met else 1 if by_table not in met else 2].append((number, moment))
        met |= {by_at, by_table}
    return [one for rank in ranked for one in rank]


def _shape(value: Any, moment: Moment) -> Hashable:
    # A value with positions in place of names.
    if isinstance(value, (str, Socket)):
        return _position(value, moment.where, moment.table)
    if isinstance(value, tuple):
        return tuple([_shape(part, moment) for part in value])
    shape: Hashable = value
    return shape


def divided(ways: Sequence[Ways]) -> list[int]:
    """The number of a class for each moment, the same for those that do the same; what leads further counts as one class."""
    alike = [0] * len(ways)
    classes = 1
    while True:
        numbers: dict[Hashable, int] = {}
        alike = [numbers.setdefault((alike[at], _seen(its, alike)), len(numbers)) for at, its in enumerate(ways)]
        if len(numbers) == classes:
            return alike
        classes = len(numbers)


def _seen(ways: Ways, alike: Sequence[int]) -> tuple[tuple[object, object, int], ...]:
    return tuple((line, effect, alike[to] if to < len(alike) else -1) for line, effect, to in ways)


def _merged(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, progress: Progress) -> Merged:
    progress(f"{scheme.name} under {', '.join(in_order(hazards)) or 'no hazard'}: merged moments")
    result = compared(scheme, hazards, scope)
    wrong = None
    if result.differences:
        wrong = _smallest(Merging(Formless(scheme), hazards, scope), result)
    return Merged(hazards, scope, result.moments, result.merged, result.compared, result.complete, wrong)


def _smallest(literal: Merging, result: Compared) -> WrongMerge | None:
    # The pair with the fewest fields that differ of those that part when each is followed by itself. What follows a merged
    # moment may have been merged wrongly, and not the moment: then the pair does not part. Where not all moments are known,
    # such a pair says nothing.
    pairs = [(differing(one, other), one, other) for one, other in result.differences]
    sized = sorted(pairs, key=lambda pair: (*_size(pair[0]), pair[0]))
    for _, alike in groupby(sized, key=lambda pair: pair[0]):
        parted = []
        for names, one, other in islice(alike, _PAIRS_MAX):
            if (parting := _parting(literal, one, other)) is not None:
                parted.append(WrongMerge(_named(names), (_side(one), _side(other)), *parting))
        if parted:
            return min(parted, key=lambda wrong: len(wrong.after))
    if not result.complete:
        return None
    names, one, other = sized[0]
    return WrongMerge(_named(names), (_side(one), _side(other)), (), ("", ""))


class Differing(NamedTuple):
    """The names of the fields in which two moments differ: of the state or waiting value, and of the table."""

    at: tuple[str, ...]
    table: tuple[str, ...]


def differing(one: Moment, other: Moment) -> Differing:
    """The fields in which two moments differ. Names of sockets do not count, their positions do."""
    pair = (one.where, one.table), (other.where, other.table)
    at = dict.fromkeys(_differences(one.at, other.at, pair, type(one.at).__name__))
    here, there = one.table, other.table
    table = {
        "table.ver": here.ver == there.ver,
        "table.removals": here.removals == there.removals,
        "table.buckets.idx": _indexes(here) == _indexes(there),
        "table.gone": _gone(one) == _gone(other),
    }
    return Differing(tuple(at), tuple([name for name, same in table.items() if not same]))


_Places: TypeAlias = tuple[tuple[Where, Table], tuple[Where, Table]]


def _differences(one: Any, other: Any, places: _Places, path: str) -> Iterator[str]:
    if type(one) is not type(other):
        yield path
    elif isinstance(one, (str, Socket)):
        if _position(one, *places[0]) != _position(other, *places[1]):
            yield path
    elif isinstance(one, tuple):
        if len(one) != len(other):
            yield path
        names = getattr(one, "_fields", None)
        for nth, (part, its) in enumerate(zip(one, other, strict=False)):
            yield from _differences(part, its, places, f"{path}.{names[nth]}" if names else path)
    elif is_dataclass(one):
        for field in fields(one):
            yield from _differences(getattr(one, field.name), getattr(other, field.name), places, f"{path}.{field.name}")
    elif one != other:
        yield path


def _position(value: str | Socket, where: Where, table: Table) -> Hashable:
    # Sockets that are gone are all alike.
    name = value.name if isinstance(value, Socket) else value
    if name in where:
        return where[name]
    return -1 if any(name == gone for gone, _ in table.gone) else value


def _indexes(table: Table) -> tuple[int, ...]:
    return tuple([idx for bucket in table.buckets for _, idx in bucket])


def _gone(moment: Moment) -> frozenset[Socket]:
    # Those that the scheme has in hand. Nobody can ask for others.
    held = text(moment.at, _TEXT_MAX)
    return frozenset(Socket("", idx) for name, idx in moment.table.gone if f"'{name}'" in held)


def _size(names: Differing) -> tuple[int, int]:
    return len(names.at), len(names.table)


def _named(names: Differing) -> tuple[str, ...]:
    return names.at or tuple([name for name in names.table if name != "table.ver"]) or names.table


def _parting(literal: Merging, one: Moment, other: Moment) -> tuple[tuple[str, ...], tuple[str, str]] | None:
    # The shortest way on which the two do not do the same, and what they do then; None where none was found.
    start = literal.keep(one), literal.keep(other)
    waiting: deque[tuple[tuple[int, int], tuple[str, ...]]] = deque([(start, ())])
    met = {start}
    while waiting and len(met) < _FOLLOWED_MAX:
        (here, there), path = waiting.popleft()
        inside = literal.moments[here].inside
        for way, its in zip_longest(literal.ways_of(here), literal.ways_of(there)):
            if way is None or its is None or way[:2] != its[:2]:
                line = (way or its)[0]
                does = _does(way, line), _does(its, line)
                return (*path, _line(line, inside)), does
            after = way[2], its[2]
            if after not in met:
                met.add(after)
                waiting.append((after, (*path, _line(way[0], inside))))
    return None


# In words


def _side(moment: Moment) -> Side:
    table = moment.table
    buckets = " ".join(f"[{', '.join(f'{name} idx={idx}' for name, idx in bucket)}]" for bucket in table.buckets)
    gone = ", ".join(f"{name} idx={idx}" for name, idx in table.gone)
    return Side(text(moment.at, _TEXT_MAX), f"{buckets} ver={table.ver} removals={table.removals} gone=[{gone}]")


def _line(line: object, inside: str | None) -> str:
    match line:
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
            return f"{waits[str(inside)]}, and the read goes on"
    return str(line)


def _does(way: tuple[object, object, int] | None, line: object) -> str:
    if way is None or way[0] != line:
        return "it is not possible"
    if not isinstance(turns := way[1], Turns):
        return text(turns)
    words = [f"shows the sockets at positions {', '.join(map(str, turns.shown))}" if turns.shown else "shows nothing"]
    words += [f"{turns.turns} turns"] if turns.turns != len(turns.shown) else []
    words += [f"{turns.looks} buckets locked"] if turns.looks else []
    words += [f"{turns.allocations} allocations"] if turns.allocations else []
    words += ["returns an error"] if turns.refused else []
    words += ["full" if turns.stops else "over" if turns.over else "waits again"]
    return ", ".join(words)


# Side by side, in a process each


@dataclass(slots=True)
class Trial:
    """A scheme to be verified. `result` is what came of it; until then, or instead, `trouble` says why there is none."""

    target: Target
    result: Verified | None = None
    trouble: str = "not verified"
    doing: str = ""


class Trials(Workers[Trial, str]):
    """Schemes that are verified, on so many workers; a KeyboardInterrupt in `run` leaves what was done by then."""

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
    """Verify the scheme of that name and report on it; stop early when anything is said, or when nobody listens any more."""
    last = 0.0

    def tell(doing: str) -> None:
        nonlocal last
        if connection.poll():
            raise KeyboardInterrupt
        if (now := time.monotonic()) - last >= _SECONDS:
            last = now
            connection.send(("doing", doing))

    with serving(connection):
        connection.send(outcome(job, tell))


def outcome(name: str, progress: Progress) -> Verified | tuple[str, str]:
    """What a scheme's verification comes to, or, in words, why it comes to nothing."""
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
