"""Targets by hazards: what can happen to whom, under what, and how that is known.

Decided here: which columns there are, what a cell says of each kind of harm, and whether that breaks a claim. A model's cell
is proved in a scope, a real iterator's is measured, and a search that was cut short proves nothing. Not known here: how a
cell is worked out (`compute`), and what it looks like.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sockiter.backend import Target
from sockiter.cases import Case
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import HAZARDS, Hazard, KnownFailure, explaining, hazards_of, in_order, largest_claims, within
from sockiter.verdict import KINDS, Kind, Signature, signatures_of

MOVES: frozenset[Hazard] = frozenset({"reinsert", "rehash"})

HARMS_SAID: tuple[Signature, ...] = signatures_of(kind for kind in KINDS if kind != "incomplete")
"""The signatures that a cell speaks of, in order."""


class Column(NamedTuple):
    """Some hazards, by the name of their column."""

    name: str
    hazards: frozenset[Hazard]

    def of(self, target: Target) -> frozenset[Hazard] | None:
        """Those that a target is put through here, all of them or, in "all", as many as it can; None: it cannot."""
        if self.name == ALL.name:
            return target.hazards
        return self.hazards if self.hazards <= target.hazards else None


NONE = Column("none", frozenset())
ALL = Column("all", frozenset(HAZARDS))


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of random sequences on a real iterator, each harm with the least case that was found. It proves nothing."""

    target: str
    hazards: frozenset[Hazard]
    sequences: int
    seconds: float
    violations: tuple[Counterexample, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A target under the hazards of a column. No `result`: it cannot be put through them, or, in words, the `trouble`."""

    column: Column
    hazards: frozenset[Hazard]
    result: SearchResult | Measured | None
    trouble: str = ""

    @property
    def can(self) -> bool:
        """Whether the target can be put through these hazards."""
        return self.result is not None or bool(self.trouble)

    @property
    def unfinished(self) -> str:
        """Why what is not among the violations is neither proved nor measured, in words; "" where it is, or cannot be."""
        return self.result.incomplete if isinstance(self.result, SearchResult) else self.trouble


@dataclass(frozen=True, slots=True)
class Row:
    """A target, with its cells in the order of the columns."""

    target: Target
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that is known of some targets. `scope` is that of the models' cells; the real iterators have none."""

    scope: Scope
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a cell says of a kind of harm.

    `possible`: True with the least case that shows it; False where it is proved not to happen in the scope; None where
    nothing was found and nothing is proved. `admitted`: whether the target admits it under these hazards or, where there is
    a case, under those that the case uses. `name`: what the case is called.
    """

    kind: Kind
    moved: bool
    possible: bool | None
    admitted: bool
    violation: Counterexample | None = None
    name: str = ""
    elsewhere: bool = False

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    @property
    def breaks_a_claim(self) -> bool:
        return self.possible is True and not self.admitted


def columns(targets: Iterable[Target]) -> tuple[Column, ...]:
    """No hazard, each that at least one of the targets can be put through, and all together."""
    there = {hazard for target in targets for hazard in target.hazards}
    return (NONE, *(Column(hazard, frozenset({hazard})) for hazard in in_order(there)), ALL)


def claims(target: Target) -> tuple[Column, ...]:
    """What a target claims, in full: the largest sets of hazards under which some kind of harm is said not to happen, which
    prove all its claims together; without that of all its hazards."""
    largest = {
        hazards
        for hazards, kinds in largest_claims(target.known_failures, target.hazards).items()
        # That nothing befalls a socket which was moved, where none is, goes without saying.
        if hazards != target.hazards and (hazards & MOVES or not all(one.moved for one in kinds))
    }
    return tuple(Column(_without(target, one), one) for one in sorted(largest, key=lambda one: (-len(one), in_order(one))))


def _without(target: Target, hazards: frozenset[Hazard]) -> str:
    # The shorter of two ways to name a set.
    left_out = in_order(target.hazards - hazards)
    if len(left_out) < len(hazards):
        return f"all but {', '.join(left_out)}"
    return ", ".join(in_order(hazards)) or NONE.name


def said(target: Target, cell: Cell) -> tuple[Said, ...]:
    """What a cell says, in the order of `HARMS_SAID`; nothing where the target cannot be put through its hazards."""
    if not cell.can:
        return ()
    found = {one.signature: one for one in cell.result.violations} if cell.result else {}
    is_proved = isinstance(cell.result, SearchResult) and cell.result.complete
    may = within(target.known_failures, cell.hazards)
    verdict = []
    for signature in HARMS_SAID:
        possible: bool | None = True
        title = ""
        if (violation := found.get(signature)) is None:
            possible = False if is_proved else None
            admitted = any(failure.explains(signature) for failure in may)
        else:
            admitted = bool(explaining(target.known_failures, signature, used(target, violation.case)))
            title = name(target, violation)
        verdict.append(Said(signature.kind, signature.moved, possible, admitted, violation, title, signature.elsewhere))
    return tuple(verdict)


def distinct(verdict: Iterable[Said]) -> tuple[Said, ...]:
    """What can happen, without harm of a neighbour where less does: a shorter case in which nothing changes in the bucket of
    the harmed socket, so that a change in it need not be the cause."""
    found = [one for one in verdict if one.violation is not None]
    elsewhere = {one.kind: one.violation.operations for one in found if one.violation and one.elsewhere}

    def less_does(one: Said) -> bool:
        assert one.violation is not None
        is_near = not one.moved and not one.elsewhere
        return is_near and elsewhere.get(one.kind, one.violation.operations) < one.violation.operations

    return tuple(one for one in found if one.breaks_a_claim or not less_does(one))


def with_those_of(result: SearchResult | Measured, others: Iterable[SearchResult | Measured]) -> SearchResult | Measured:
    """A result, with the violations of others besides that it has none of, the shortest of each."""
    violations = {one.signature: one for one in result.violations}
    for other in others:
        for one in other.violations:
            before = violations.get(one.signature)
            if before is None or one.operations < before.operations:
                violations[one.signature] = one
    return replace(result, violations=tuple(sorted(violations.values(), key=lambda one: one.operations)))


def used(target: Target, case: Case) -> frozenset[Hazard]:
    """The hazards that a case uses on a target."""
    return hazards_of(case.operations, narrow="rollover" in target.hazards)


def name(target: Target, violation: Counterexample) -> str:
    """What a case is called, by the hazards that it takes."""
    return KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere).stem(target.name)


def broken(matrix: Matrix) -> list[tuple[Row, Cell, Said]]:
    """What was found that no harm admits."""
    return [
        (row, cell, one) for row in matrix.rows for cell in row.cells for one in said(row.target, cell) if one.breaks_a_claim
    ]


def unfinished(matrix: Matrix) -> list[tuple[Row, Cell]]:
    """The cells that prove less than they should, or have nothing to say."""
    return [(row, cell) for row in matrix.rows for cell in row.cells if cell.unfinished]


def describe(scope: Scope) -> str:
    """A scope in words."""
    return ", ".join(f"{number}{where}" for number, where in _parts(scope))


def own_scope(scope: Scope, usual: Scope) -> str:
    """What of a scope is not as usual, in few words; "" where all is."""
    return ", ".join(own[0] for own, other in zip(_parts(scope), _parts(usual), strict=True) if own != other)


def _parts(scope: Scope) -> tuple[tuple[str, str], ...]:
    # Each with what few words leave out.
    return (
        (f"at most {_count(scope.sockets, 'socket')}", " in the table at once"),
        (_count(scope.buckets, "bucket"), " in each table"),
        (_count(scope.batch, "slot"), " in the batch at open"),
        ("sequences of any length" if scope.ops is None else f"sequences of at most {_count(scope.ops, 'operation')}", ""),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
