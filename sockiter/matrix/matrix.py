"""The matrix of targets by hazards, and the verdicts of its cells.

The module decides the columns, the verdict of a cell on each kind of failure, and whether that breaks a claim. A model's
cell is proved in a scope. A real iterator's cell is measured. A search that was cut short proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sockiter.backend import Target
from sockiter.cases import Case
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import (
    HAZARDS,
    IMPLIES,
    MOVES,
    Hazard,
    KnownFailure,
    explaining,
    hazards_of,
    in_order,
    largest_claims,
    within,
)
from sockiter.verdict import KINDS, Kind, Signature, signatures_of

SIGNATURES: tuple[Signature, ...] = signatures_of(kind for kind in KINDS if kind != "incomplete")
"""The signatures that a cell has a verdict on, in order."""


class Column(NamedTuple):
    """A set of hazards, with a name."""

    name: str
    hazards: frozenset[Hazard]

    def of(self, target: Target) -> frozenset[Hazard] | None:
        """The hazards of the column for a target: in "all", those that it supports; None if it does not support them."""
        if self.name == ALL.name:
            return target.hazards
        return self.hazards if self.hazards <= target.hazards else None


NONE = Column("none", frozenset())
ALL = Column("all", frozenset(HAZARDS))


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of random sequences on a real iterator, with the shortest case of each failure. It proves nothing."""

    target: str
    hazards: frozenset[Hazard]
    sequences: int
    seconds: float
    violations: tuple[Counterexample, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A target under the hazards of a column.

    Without a `result`, `trouble` is the reason in words; "" if the target does not support the hazards.
    """

    column: Column
    hazards: frozenset[Hazard]
    result: SearchResult | Measured | None
    trouble: str = ""

    @property
    def can(self) -> bool:
        """Whether the target supports these hazards."""
        return self.result is not None or bool(self.trouble)

    @property
    def unfinished(self) -> str:
        """The reason, in words, why other failures are not ruled out; "" for a finished or an empty cell."""
        return self.result.incomplete if isinstance(self.result, SearchResult) else self.trouble


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A target, with its cells in the order of the columns."""

    target: Target
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The results of some targets. `scope` applies to the cells of models; real iterators have no scope."""

    scope: Scope
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """The verdict of a cell on a kind of failure.

    `possible`: True with a shortest case that shows the failure; False if a proof excludes it in the scope; None without a
    finding or a proof. `admitted`: whether it is a known failure of the target under these hazards. If there is a case, the
    hazards that the case uses count. `name`: the name of the case.
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
    """A column for no hazard, one for each hazard that at least one target supports, and one for all hazards together.

    A hazard that is another one to a walk, such as destroy and remove, has no column beside that.
    """
    there = {hazard for target in targets for hazard in target.hazards}
    there -= {hazard for hazard in there & IMPLIES.keys() if len(IMPLIES[hazard]) == 1 and IMPLIES[hazard] <= there}
    return (NONE, *(Column(hazard, frozenset({hazard})) for hazard in in_order(there)), ALL)


def claims(target: Target) -> tuple[Column, ...]:
    """The claims of a target: the largest sets of hazards under which it claims that some kind of failure does not happen.

    Together they prove all claims. The set of all hazards of the target is not among them.
    """
    largest = {
        hazards
        for hazards, kinds in largest_claims(target.known_failures, target.hazards).items()
        # Without a hazard that moves sockets, a claim about moved sockets is trivially true.
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
    """The verdicts of a cell, in the order of `SIGNATURES`; empty if the target does not support its hazards."""
    if not cell.can:
        return ()
    violations = {violation.signature: violation for violation in cell.result.violations} if cell.result else {}
    is_proved = isinstance(cell.result, SearchResult) and cell.result.complete
    failures = within(target.known_failures, cell.hazards)
    result = []
    for signature in SIGNATURES:
        possible: bool | None = True
        title = ""
        if (violation := violations.get(signature)) is None:
            possible = False if is_proved else None
            admitted = any(failure.explains(signature) for failure in failures)
        else:
            admitted = bool(explaining(target.known_failures, signature, used(target, violation.case)))
            title = case_name(target, violation)
        result.append(
            CellVerdict(signature.kind, signature.moved, possible, admitted, violation, title, signature.elsewhere)
        )
    return tuple(result)


def distinct(cell_verdicts: Iterable[CellVerdict]) -> tuple[CellVerdict, ...]:
    """The verdicts with a violation, without those that have a shorter case of the same kind marked `elsewhere`.

    In such a case nothing changes in the bucket of the affected socket, so a change in that bucket need not be the cause.
    """
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
    """A result, with the violations of other results added: a shortest case for each signature."""
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
    """The name of a case, from the hazards that it uses."""
    return KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere).stem(target.name)


def broken(matrix: Matrix) -> list[tuple[MatrixRow, Cell, CellVerdict]]:
    """The findings that no known failure explains."""
    return [
        (row, cell, verdict)
        for row in matrix.rows
        for cell in row.cells
        for verdict in verdicts(row.target, cell)
        if verdict.breaks_a_claim
    ]


def unfinished(matrix: Matrix) -> list[tuple[MatrixRow, Cell]]:
    """The cells with an incomplete proof, or without a result."""
    return [(row, cell) for row in matrix.rows for cell in row.cells if cell.unfinished]


def describe(scope: Scope) -> str:
    """A scope in words."""
    return ", ".join(f"{number}{where}" for number, where in _parts(scope))


def own_scope(scope: Scope, usual: Scope) -> str:
    """The differences of a scope from the usual scope, in few words; "" if they are equal."""
    return ", ".join(part[0] for part, usual_part in zip(_parts(scope), _parts(usual), strict=True) if part != usual_part)


def _parts(scope: Scope) -> tuple[tuple[str, str], ...]:
    # Each part in few words, and the rest of its sentence.
    return (
        (f"at most {_count(scope.sockets, 'socket')}", " in the table at once"),
        (_count(scope.buckets, "bucket"), " in each table"),
        (_count(scope.batch, "slot"), " in the batch at open"),
        ("sequences of any length" if scope.ops is None else f"sequences of at most {_count(scope.ops, 'operation')}", ""),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
