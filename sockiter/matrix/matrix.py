"""The matrix of targets by hazards, and the verdicts of its cells.

Decided here: which columns there are, the verdict of a cell on each kind of harm, and whether that breaks a claim. A model's
cell is proved in a scope, a real iterator's is measured, and a search that was cut short proves nothing. Not known here:
how a cell is computed (`compute`), and how it is printed.
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

SIGNATURES: tuple[Signature, ...] = signatures_of(kind for kind in KINDS if kind != "incomplete")
"""The signatures that a cell has a verdict on, in order."""


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
    """The result of random sequences on a real iterator, with the least case of each harm. It proves nothing."""

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
class MatrixRow:
    """A target, with its cells in the order of the columns."""

    target: Target
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that is known of some targets. `scope` is that of the models' cells; the real iterators have none."""

    scope: Scope
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """The verdict of a cell on a kind of harm.

    `possible`: True with the least case that shows it; False where it is proved not to happen in the scope; None where
    nothing was found and nothing is proved. `admitted`: whether the target admits it under these hazards or, where there is
    a case, under those that the case uses. `name`: the name of the case.
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
        if hazards != target.hazards and (hazards & MOVES or not all(hazards.moved for hazards in kinds))
    }
    return tuple(
        Column(_without(target, hazards), hazards)
        for hazards in sorted(largest, key=lambda hazards: (-len(hazards), in_order(hazards)))
    )


def _without(target: Target, hazards: frozenset[Hazard]) -> str:
    # The shorter of two ways to name a set.
    left_out = in_order(target.hazards - hazards)
    if len(left_out) < len(hazards):
        return f"all but {', '.join(left_out)}"
    return ", ".join(in_order(hazards)) or NONE.name


def verdicts(target: Target, cell: Cell) -> tuple[CellVerdict, ...]:
    """The verdicts of a cell, in the order of `SIGNATURES`; none where the target cannot be put through its hazards."""
    if not cell.can:
        return ()
    violations = {violation.signature: violation for violation in cell.result.violations} if cell.result else {}
    is_proved = isinstance(cell.result, SearchResult) and cell.result.complete
    admitting_harms = within(target.known_failures, cell.hazards)
    result = []
    for signature in SIGNATURES:
        possible: bool | None = True
        title = ""
        if (violation := violations.get(signature)) is None:
            possible = False if is_proved else None
            admitted = any(failure.explains(signature) for failure in admitting_harms)
        else:
            admitted = bool(explaining(target.known_failures, signature, used(target, violation.case)))
            title = case_name(target, violation)
        result.append(
            CellVerdict(signature.kind, signature.moved, possible, admitted, violation, title, signature.elsewhere)
        )
    return tuple(result)


def distinct(cell_verdicts: Iterable[CellVerdict]) -> tuple[CellVerdict, ...]:
    """The verdicts with a violation, but without those that have a shorter case of the same kind in which nothing changes in
    the bucket of the harmed socket, so that a change in it need not be the cause."""
    found = [verdict for verdict in cell_verdicts if verdict.violation is not None]
    elsewhere = {verdict.kind: verdict.violation.operations for verdict in found if verdict.violation and verdict.elsewhere}

    def has_shorter_case(verdict: CellVerdict) -> bool:
        assert verdict.violation is not None
        is_near = not verdict.moved and not verdict.elsewhere
        return is_near and elsewhere.get(verdict.kind, verdict.violation.operations) < verdict.violation.operations

    return tuple(verdict for verdict in found if verdict.breaks_a_claim or not has_shorter_case(verdict))


def with_violations_of(
    result: SearchResult | Measured, other_results: Iterable[SearchResult | Measured]
) -> SearchResult | Measured:
    """A result, with the violations of others besides that it has none of, the shortest of each."""
    violations = {violation.signature: violation for violation in result.violations}
    for other_result in other_results:
        for violation in other_result.violations:
            shortest = violations.get(violation.signature)
            if shortest is None or violation.operations < shortest.operations:
                violations[violation.signature] = violation
    return replace(result, violations=tuple(sorted(violations.values(), key=lambda violation: violation.operations)))


def used(target: Target, case: Case) -> frozenset[Hazard]:
    """The hazards that a case uses on a target."""
    return hazards_of(case.operations, narrow="rollover" in target.hazards)


def case_name(target: Target, violation: Counterexample) -> str:
    """The name of a case, by the hazards that it takes."""
    return KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere).stem(target.name)


def broken(matrix: Matrix) -> list[tuple[MatrixRow, Cell, CellVerdict]]:
    """What was found that no harm admits."""
    return [
        (row, cell, verdict)
        for row in matrix.rows
        for cell in row.cells
        for verdict in verdicts(row.target, cell)
        if verdict.breaks_a_claim
    ]


def unfinished(matrix: Matrix) -> list[tuple[MatrixRow, Cell]]:
    """The cells that prove less than they should, or have no result."""
    return [(row, cell) for row in matrix.rows for cell in row.cells if cell.unfinished]


def describe(scope: Scope) -> str:
    """A scope in words."""
    return ", ".join(f"{number}{where}" for number, where in _parts(scope))


def own_scope(scope: Scope, usual: Scope) -> str:
    """What of a scope is not as usual, in few words; "" where all is."""
    return ", ".join(part[0] for part, usual_part in zip(_parts(scope), _parts(usual), strict=True) if part != usual_part)


def _parts(scope: Scope) -> tuple[tuple[str, str], ...]:
    # Each with what few words leave out.
    return (
        (f"at most {_count(scope.sockets, 'socket')}", " in the table at once"),
        (_count(scope.buckets, "bucket"), " in each table"),
        (_count(scope.batch, "slot"), " in the batch at open"),
        ("sequences of any length" if scope.ops is None else f"sequences of at most {_count(scope.ops, 'operation')}", ""),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
