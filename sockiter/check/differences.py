"""The smallest difference of wrongly merged states: the fields in which two states differ, and the path to a divergence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from itertools import groupby, islice, zip_longest
from typing import Any, NamedTuple, TypeAlias

from sockiter.check.effects import Turns
from sockiter.check.merges import TEXT_MAX, Compared, Merging, gone, position
from sockiter.check.states import SystemState
from sockiter.guard import text
from sockiter.operations import Add, Rehash, Reinsert, Remove
from sockiter.schemes.scheme import Where
from sockiter.table import Socket, Table

# The most pairs that are tried, and the most states to which a pair leads.
_PAIRS_MAX = 20
_FOLLOWED_MAX = 400


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


def smallest(literal: Merging, result: Compared) -> WrongMerge | None:
    """The pair with the fewest differing fields, of the pairs that diverge when each state is explored separately.

    `literal`: the transition system without the canonical form. If only the successors of a merged state were merged
    wrongly, the pair does not diverge, and any pair is returned. None: some states are unknown, so that a pair that does
    not diverge proves nothing.
    """
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
        "table.gone": gone(first) == gone(second),
    }
    return Differing(tuple(at), tuple([name for name, same in table.items() if not same]))


_Places: TypeAlias = tuple[tuple[Where, Table], tuple[Where, Table]]


def _differences(first: Any, second: Any, places: _Places, path: str) -> Iterator[str]:
    if type(first) is not type(second):
        yield path
    elif isinstance(first, (str, Socket)):
        if position(first, *places[0]) != position(second, *places[1]):
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


def _indexes(table: Table) -> tuple[int, ...]:
    return tuple([idx for bucket in table.buckets for _, idx in bucket])


def _size(names: Differing) -> tuple[int, int]:
    return len(names.at), len(names.table)


def _named(names: Differing) -> tuple[str, ...]:
    # States of a scheme with keys may differ in nothing else.
    return names.at or tuple([name for name in names.table if name != "table.ver"]) or names.table or ("the order of keys",)


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
    removed = ", ".join(f"{name} idx={idx}" for name, idx in table.gone)
    return Side(text(state.at, TEXT_MAX), f"{buckets} ver={table.ver} removals={table.removals} gone=[{removed}]")


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
