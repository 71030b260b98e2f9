"""Matrices without a search: the cases of the corpus, as if each cell had been searched."""

from __future__ import annotations

import functools

from sockiter.backend import Target
from sockiter.cases import Case, load
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import Hazard, hazards_of
from sockiter.matrix.matrix import Cell, Matrix, MatrixRow, Measured, columns
from sockiter.matrix.page import html, trace_cases
from sockiter.replay import refused, replay
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.support.paths import CASES

SCOPE = Scope(3, 2, 2)


@functools.cache
def shown_on(name: str) -> tuple[tuple[frozenset[Hazard], Counterexample], ...]:
    """All that the corpus shows of a scheme, shortest first, each with the hazards that it takes."""
    target = target_named(name)
    found = []
    for path in sorted(CASES.glob("*.case")):
        case = load(path)
        if refused(case, target):
            continue
        with target.session() as session:
            verdict = replay(case, target, session).verdict
        hazards = hazards_of(case.operations, narrow="rollover" in target.hazards)
        found += [
            (hazards, Counterexample(one.kind, one.moved, Case(case.operations, case.slots), one.elsewhere))
            for one in dict.fromkeys(finding.signature for finding in verdict)
            if one.kind != "incomplete"
        ]
    return tuple(sorted(found, key=lambda one: one[1].operations))


def searched(target: Target, hazards: frozenset[Hazard], *, incomplete: str = "") -> SearchResult:
    """A search with the violations of the corpus under these hazards."""
    least: dict[object, Counterexample] = {}
    for used, violation in shown_on(target.name):
        if used <= hazards:
            least.setdefault(violation.signature, violation)
    return SearchResult(target.name, hazards, SCOPE, 100, 300, 0.5, tuple(least.values()), incomplete)


def corpus_matrix(*names: str, measured: tuple[Target, ...] = ()) -> Matrix:
    """The matrix of these schemes, and of iterators on which nothing was seen in 4,000 sequences."""
    targets = (*map(target_named, names), *measured)
    over = columns(targets)
    rows = []
    for target in targets:
        cells = []
        for column in over:
            hazards = column.of(target)
            if hazards is None:
                cells.append(Cell(column, frozenset(), None))
            elif isinstance(target, SchemeTarget):
                cells.append(Cell(column, hazards, searched(target, hazards)))
            else:
                cells.append(Cell(column, hazards, Measured(target.name, hazards, 4000, 2.0, ())))
        rows.append(MatrixRow(target, tuple(cells)))
    return Matrix(SCOPE, over, tuple(rows))


def page_of(matrix: Matrix) -> str:
    """The page of a matrix whose cases are all of schemes."""
    return html(matrix, trace_cases(matrix))
