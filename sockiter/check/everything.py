"""The brute-force search: every sequence of operations up to a length, each carried out and judged separately.

It has no states, merges nothing and skips nothing, and it is slow. It is the reference for the exhaustive search, which
must find exactly the same violations, with the same lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sockiter.backend import run
from sockiter.check.result import Scope
from sockiter.claims import CHANGES, HAZARD_OF, Hazard, hazards_of
from sockiter.operations import (
    POINTS,
    Add,
    At,
    Bucket,
    Change,
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
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.edits import name_of
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature

# The number of sequences between two progress reports.
REPORT = 500


def shortest(
    scheme: AnyScheme,
    hazards: frozenset[Hazard],
    scope: Scope,
    progress: Callable[[int], None] = lambda sequences: None,
) -> dict[Signature, int]:
    """All signatures of violations, each with its smallest number of lines, up to `scope.ops`, which is required.

    `progress` is called with the number of sequences so far, after every few hundred.
    """
    assert scope.ops is not None
    target = SchemeTarget(scheme)
    found: dict[Signature, int] = {}
    must_not_roll_over = "rollover" in scheme.hazards - hazards
    for number, operations in enumerate(sequences(scheme, hazards, scope)):
        if number % REPORT == 0:
            progress(number)
        if must_not_roll_over and "rollover" in hazards_of(operations, narrow=True):
            continue
        for finding in judge(run(target, target, operations, slots=scope.batch)):
            # A `read all` ends or gives up, so no finding is incomplete.
            signature = finding.signature
            found[signature] = min(length(operations), found.get(signature, length(operations)))
    return found


def sequences(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> Iterator[tuple[Operation, ...]]:
    """All sequences in the scope, of at most `scope.ops` lines, that use only these hazards and end in a `read all`."""
    assert scope.ops is not None
    buckets = [
        Bucket(number, "" if nth == 0 else name) for nth, name in enumerate(scheme.tables) for number in range(scope.buckets)
    ]

    def changes(
        present: tuple[str, ...], added: int, on: frozenset[Hazard]
    ) -> Iterator[tuple[Change, tuple[str, ...], int]]:
        if len(present) < scope.sockets:
            new = name_of(added)
            for bucket in buckets:
                if "add-head" in on:
                    yield Add(new, "head", bucket), (*present, new), added + 1
                if "add-tail" in on:
                    yield Add(new, "tail", bucket), (*present, new), added + 1
        for name in present:
            if "remove" in on:
                yield Remove(name), tuple(kept for kept in present if kept != name), added
            if "reinsert" in on:
                yield Reinsert(name, "head"), present, added
                yield Reinsert(name, "tail"), present, added
            if "rehash" in on:
                for bucket in buckets:
                    yield Rehash(name, bucket), present, added

    def insides(lines: int, present: tuple[str, ...], added: int) -> Iterator[tuple[tuple[At, ...], tuple[str, ...], int]]:
        # The changes inside a read, in at most this number of lines.
        if lines == 0:
            yield (), present, added
        else:
            for at, there, so_far in insides(lines - 1, present, added):
                yield at, there, so_far
                if len(at) == lines - 1:
                    for nth in range(1, 3 + scope.sockets):
                        for point in POINTS:
                            if HAZARD_OF[point] in hazards:
                                for change, then, number in changes(there, so_far, hazards):
                                    yield (*at, At(point, nth, change)), then, number
                        if "enomem" in hazards:
                            yield (*at, At("realloc", nth, Fail())), there, so_far

    def onwards(
        done: tuple[Operation, ...], lines: int, present: tuple[str, ...], added: int, is_open: bool
    ) -> Iterator[tuple[Operation, ...]]:
        if lines == 0:
            return
        if not is_open:
            yield from onwards((*done, Open()), lines - 1, present, added, True)
        else:
            for at, there, number in insides(lines - 1, present, added):
                yield (*done, Read(None, at))
                for count in (None, *range(1, scope.sockets + 2)):
                    yield from onwards((*done, Read(count, at)), lines - 1 - len(at), there, number, True)
        for change, there, number in changes(present, added, hazards if is_open else frozenset(CHANGES)):
            yield from onwards((*done, change), lines - 1, there, number, is_open)

    for operations in onwards((), scope.ops, (), 0, False):
        try:
            check(operations)
        except Impossible:
            continue  # an insertion at the tail of a table without tails
        yield operations
