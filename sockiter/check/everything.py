"""The brute-force search: every sequence of operations up to a length, each carried out and judged separately.

It has no states, merges nothing and skips nothing, and it is slow. It is the reference for the exhaustive search, which
must find exactly the same violations, with the same lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

from sockiter.backend import run
from sockiter.check.result import Scope
from sockiter.claims import HAZARD_OF, Hazard, hazards_of
from sockiter.errors import Inconclusive
from sockiter.history import History, Reopened, Returned
from sockiter.operations import (
    LISTENING,
    POINTS,
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    Fail,
    Impossible,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    check,
    length,
)
from sockiter.oracle import judge
from sockiter.readers import Reader
from sockiter.schemes.scheme import AnyScheme, buckets_max_of, has_keys
from sockiter.shrink.edits import name_of, names_in, renamed
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature

# The number of sequences between two progress reports.
REPORT = 500
# The records of a read with room for all sockets of any scope.
_ROOM_FOR_ALL = 100
_AGAIN = Again()
# The table before open is made of these, and of the hazards.
_BEFORE_OPEN: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash"})


def shortest(
    scheme: AnyScheme,
    hazards: frozenset[Hazard],
    scope: Scope,
    progress: Callable[[int], None] = lambda sequences: None,
    *,
    reader: Reader | None = None,
) -> dict[Signature, int]:
    """All signatures of violations, each with its smallest number of lines, up to `scope.ops`, which is required.

    `reader`: how all reads are made, as for `search`. `progress` is called with the number of sequences so far, after every
    few hundred.
    """
    assert scope.ops is not None
    target = SchemeTarget(scheme)
    found: dict[Signature, int] = {}
    must_not_roll_over = "rollover" in scheme.hazards - hazards
    for number, operations in enumerate(sequences(scheme, hazards, scope, reader)):
        if number % REPORT == 0:
            progress(number)
        if must_not_roll_over and "rollover" in hazards_of(operations, narrow=True):
            continue
        try:
            history = run(target, target, operations, slots=scope.batch)
        except Inconclusive:
            continue  # a listening socket was closed
        if most_at_once(history) > scope.sockets:
            continue
        passes = _ended_passes(history)
        if not all(passes[:-1]):
            continue  # a second pass began before the end of the first
        for finding in judge(history):
            # A `read all` ends or gives up, so no finding is incomplete.
            signature = finding.signature
            # Before its last pass, a reader that joins several has neither missed nor repeated a socket.
            if reader is None or len(passes) == reader.passes or signature.kind not in ("skip", "repeat"):
                found[signature] = min(length(operations), found.get(signature, length(operations)))
    return found


def most_at_once(history: History) -> int:
    """The most sockets that were in the table at once, from open on."""
    present = most = len(history.buckets)
    for event in history.events:
        present += isinstance(event, Add) - isinstance(event, (Remove, Destroy))
        most = max(most, present)
    return most


def _ended_passes(history: History) -> list[bool]:
    # For each pass, whether a read returned its end.
    ended = [False]
    for event in history.events:
        if isinstance(event, Reopened):
            ended.append(False)
        elif isinstance(event, Returned):
            ended[-1] |= event.is_the_end
    return ended


def sequences(
    scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, reader: Reader | None = None
) -> Iterator[tuple[Operation, ...]]:
    """All sequences in the scope, of at most `scope.ops` lines, that use only these hazards and end in a `read all`.

    Behind a destroying read, the number of sockets at once is not known, and may be larger than in the scope.
    """
    assert scope.ops is not None
    tables = {"" if nth == 0 else name: name for nth, name in enumerate(scheme.tables)}
    in_each = min(scope.buckets, buckets_max_of(scheme) or scope.buckets)
    buckets = [Bucket(number, table) for table in tables for number in range(in_each)]

    def changes(
        present: tuple[str, ...], added: int, on: frozenset[Hazard], destroyed: bool
    ) -> Iterator[tuple[Change, tuple[str, ...], int]]:
        if len(present) < scope.sockets or destroyed:
            new = name_of(added)
            for bucket in buckets:
                for properties in ((), ("request",)) if "accept" in on and tables[bucket.table] != LISTENING else ((),):
                    if "add-head" in on:
                        yield Add(new, "head", bucket, properties), (*present, new), added + 1
                    if "add-tail" in on:
                        yield Add(new, "tail", bucket, properties), (*present, new), added + 1
        for name in present:
            others = tuple(kept for kept in present if kept != name)
            if "remove" in on:
                yield Remove(name), others, added
            if "destroy" in on:
                yield Destroy(name), others, added
            if "close" in on:
                yield Close(name), present, added
            if "accept" in on:
                yield Accept(name), present, added
            if "reinsert" in on:
                yield Reinsert(name, "head"), present, added
                yield Reinsert(name, "tail"), present, added
            if "rehash" in on:
                for bucket in buckets:
                    yield Rehash(name, bucket), present, added

    def insides(
        lines: int, present: tuple[str, ...], added: int, destroyed: bool
    ) -> Iterator[tuple[tuple[At, ...], tuple[str, ...], int]]:
        # The changes inside a read, in at most this number of lines.
        if lines == 0:
            yield (), present, added
        else:
            for at, there, so_far in insides(lines - 1, present, added, destroyed):
                yield at, there, so_far
                if len(at) == lines - 1:
                    for nth in range(1, 3 + scope.sockets):
                        for point in POINTS:
                            if HAZARD_OF[point] in hazards:
                                for change, then, number in changes(there, so_far, hazards, destroyed):
                                    yield (*at, At(point, nth, change)), then, number
                        if "enomem" in hazards:
                            yield (*at, At("realloc", nth, Fail())), there, so_far

    ways = list(_ways(hazards, scope, reader))

    def onwards(
        done: tuple[Operation, ...], lines: int, present: tuple[str, ...], added: int, is_open: bool, destroyed: bool
    ) -> Iterator[tuple[Operation, ...]]:
        if lines == 0:
            return
        if not is_open:
            yield from onwards((*done, Open()), lines - 1, present, added, True, destroyed)
        else:
            for way in ways:
                gone = destroyed or way.destroying
                for at, there, number in insides(lines - 1, present, added, gone):
                    read = replace(way, at=at)
                    if way.count is None and not way.gives_up:
                        yield (*done, read)
                    yield from onwards((*done, read), lines - 1 - len(at), there, number, True, gone)
            if reader is not None and reader.passes > 1 + done.count(_AGAIN):
                yield from onwards((*done, _AGAIN), lines - 1, present, added, True, destroyed)
        for change, there, number in changes(present, added, hazards if is_open else hazards | _BEFORE_OPEN, destroyed):
            yield from onwards((*done, change), lines - 1, there, number, is_open, destroyed)

    for operations in onwards((), scope.ops, (), 0, False, False):
        try:
            check(operations)
        except Impossible:
            continue  # an insertion at the tail of a table without tails, or a change against a socket's life
        if has_keys(scheme):
            yield from _with_keys(operations)
        else:
            yield operations


def _with_keys(operations: tuple[Operation, ...]) -> Iterator[tuple[Operation, ...]]:
    # The names in every order.
    names = names_in(operations)
    for keys in permutations(names):
        yield tuple([renamed(operation, dict(zip(names, keys, strict=True))) for operation in operations])


def _ways(hazards: frozenset[Hazard], scope: Scope, reader: Reader | None) -> Iterator[Read]:
    # All reads without changes inside; only those to the end can be last.
    either = (False, True) if "destroying" in hazards else (False,)
    for destroys in either if reader is None else (reader.destroys,):
        if reader is not None and reader.silent:
            yield Read(None, silent=True, destroying=destroys)
            yield Read(None, gives_up=True, silent=True, destroying=destroys)
            continue
        stops = reader is None or reader.stops
        for count in (None, *(range(1, scope.sockets + 2) if stops else (_ROOM_FOR_ALL,))):
            yield Read(count, destroying=destroys)
