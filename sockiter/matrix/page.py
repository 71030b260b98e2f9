"""A matrix as a page to read: the table, what each hazard is, what each target promises, and every case step by step.

Decided here: what stands on the page, what it is called there, and what a reader needs to be told who knows nothing yet.
Nothing on it comes from anywhere else, and without its script it is all there, only longer. Not known here: how a cell came
about; what it says, `matrix` knows, and what is to be seen of a case, `picture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sockiter.backend import Target
from sockiter.cases import Case, dumps
from sockiter.check.result import Scope, SearchResult
from sockiter.claims import Hazard, in_order
from sockiter.matrix.matrix import (
    ALL,
    HARMS_SAID,
    NONE,
    Cell,
    Column,
    Matrix,
    Measured,
    Row,
    Said,
    broken,
    describe,
    distinct,
    own_scope,
    said,
    unfinished,
    used,
)
from sockiter.report.picture import MEANINGS, PictureStep, looks, steps, templates
from sockiter.report.table import seen
from sockiter.report.trace import Trace, trace
from sockiter.verdict import Kind, Signature

Traces: TypeAlias = dict[tuple[str, Case], Trace]
"""Every case of a matrix, carried out on the target that it is of, by that target's name."""

HAZARDS_SAID: dict[Hazard, str] = {
    "add-head": "A new socket enters a bucket at the head of its list, in front of all that are there.",
    "add-tail": "A new socket enters a bucket at the tail of its list, behind all that are there.",
    "remove": "A socket closes and leaves the table for good.",
    "reinsert": "A socket leaves its bucket and enters the same one again, as one that stops to listen and begins anew.",
    "rehash": "A socket moves to the head of another bucket, as one does that is connected.",
    "show": "Changes happen inside a read as well, while a socket is being shown to the program.",
    "between": "Changes happen inside a read as well, between two buckets, when neither is locked.",
    "realloc": "Changes happen inside a read as well, while a larger batch is allocated and the bucket is not locked.",
    "enomem": "The allocation of a larger batch is refused.",
    "rollover": "More sockets are inserted than versions of 4 bits can number, so that they begin from the start again.",
}
# Those that bring no change of their own: each says when changes happen, and alone is as harmless as none.
ONLY_WHEN: frozenset[Hazard] = frozenset({"show", "between", "realloc"})
KINDS_SAID: dict[Kind, str] = {
    "skip": "A socket was in the table from beginning to end, and no read delivered it.",
    "repeat": "A socket was delivered more than once.",
    "stale": "A socket was delivered that was not in the table any more.",
    "stuck": "The iteration did not end, although nothing changed any more.",
    "refused": "A read returned an error. That is honest, and yet the iteration is cut short.",
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A harm in a cell that opens its case: where both are on the page, and what it says."""

    anchor: str
    case: str
    said: Said
    title: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """A cell on the page. `look`: never, unseen, found, unknown, or cannot; `told`: all of it in words; `own_scope`: what is
    not as in the matrix's scope."""

    anchor: str
    cell: Cell
    look: str
    mentions: tuple[Mention, ...]
    told: str
    own_scope: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row on the page, and what the target promises: `never` happens, and what does `under` which sets of hazards."""

    anchor: str
    target: Target
    fields: tuple[Field, ...]
    never: tuple[str, ...]
    under: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A case on the page. `rank`: whether there is a shorter one; `delivered`: what was, by the end of each step."""

    anchor: str
    title: str
    target: Target
    operations: int
    rank: str
    why: tuple[tuple[str, str], ...]
    steps: tuple[PictureStep, ...]
    delivered: tuple[tuple[str, ...], ...]
    sees: str
    text: str
    progress: str


def traced(matrix: Matrix) -> Traces:
    """Carry out every case of a matrix once, on the target that it is of; raises `Unavailable` where that runs no more."""
    found: Traces = {}
    for row in matrix.rows:
        cases = [one.case for cell in row.cells if cell.result for one in cell.result.violations]
        if cases:
            with row.target.session() as session:
                found |= {(row.target.name, case): trace(case, row.target, session) for case in dict.fromkeys(cases)}
    return found


def html(matrix: Matrix, traces: Traces) -> str:
    """A page that needs nothing else; `traces` has every case of the matrix."""
    cases: dict[tuple[str, Case], Shown] = {}
    anchors: set[str] = set()
    lines = []
    for row in matrix.rows:
        fields = tuple(_field(matrix.scope, row, cell, traces, cases, anchors) for cell in row.cells)
        lines.append(_line(row, fields))
    groups = [
        (
            "Models, each proved in its scope or refuted by its shortest case",
            [one for one in lines if not one.target.is_real],
        ),
        ("The running kernel, measured and not proved", [one for one in lines if one.target.is_real]),
    ]
    return (
        templates()
        .get_template("matrix.html")
        .render(
            matrix=matrix,
            scope=describe(matrix.scope),
            groups=[(title, of) for title, of in groups if of],
            lines=lines,
            cases=list(cases.values()),
            broken=len(broken(matrix)),
            unfinished=unfinished(matrix),
            own_scopes=any(field.own_scope for line in lines for field in line.fields),
            columns=[(column, f"hazard-{column.name}", _meaning(column)) for column in matrix.columns],
            kinds=KINDS_SAID,
            meanings=MEANINGS,
        )
    )


def _field(
    scope: Scope, row: Row, cell: Cell, traces: Traces, cases: dict[tuple[str, Case], Shown], anchors: set[str]
) -> Field:
    own = own_scope(cell.result.scope, scope) if isinstance(cell.result, SearchResult) else ""
    anchor = f"cell-{_slug(row.target.name)}-{cell.column.name}"
    verdict = said(row.target, cell)
    mentions = []
    for one in distinct(verdict):
        assert one.violation is not None
        key = (row.target.name, one.violation.case)
        if key not in cases:
            # Columns with fewer hazards come first: no cell after this one has searched for it by itself.
            free = _free(f"case-{_slug(one.name)}", anchors)
            cases[key] = _shown(row.target, one, traces[key], free, _rank(row.target, cell, one.violation.case, own))
        befell = _befell(one.signature)
        claim = ", which breaks a claim" if one.breaks_a_claim else ""
        mentions.append(
            Mention(
                f"{anchor}-{one.kind}{'-moved' if one.moved else '-elsewhere' if one.elsewhere else ''}",
                cases[key].anchor,
                one,
                _title(row.target, one),
                f"{row.target.name}, {cell.column.name}: {befell}{claim}, {one.violation.operations} operations",
            )
        )
    if not verdict:
        look, told = "cannot", f"{row.target.name} cannot be put through {cell.column.name}"
    elif cell.unfinished:
        look, told = "unknown", f"Not known: {cell.unfinished}"
    elif isinstance(cell.result, Measured):
        look = "found" if mentions else "unseen"
        told = f"{'Nothing else seen' if mentions else 'Nothing seen'} in {cell.result.sequences:,} sequences"
    else:
        look = "found" if mentions else "never"
        told = "All else is proved impossible" if mentions else "Proved: no harm of any kind can happen"
        told += f", with {own}" if own else ""
    return Field(anchor, cell, look, tuple(mentions), told, own)


def _rank(target: Target, cell: Cell, case: Case, own: str) -> str:
    if not isinstance(cell.result, SearchResult):
        return "the shortest that was found"
    if cell.unfinished:
        return "the shortest that was found before the search was cut short"
    # What takes no rollover was searched for in the whole scope as well; the shortest of short sequences is that of all.
    if own and "rollover" in used(target, case):
        return f"the shortest there is with {own}"
    return "the shortest there is in the scope"


def _line(row: Row, fields: tuple[Field, ...]) -> Line:
    admitted: dict[Signature, list[str]] = {}
    for failure in row.target.known_failures:
        admitted.setdefault(failure.signature, []).append(" + ".join(in_order(failure.hazards)) or "no hazard at all")
    order = sorted(admitted, key=HARMS_SAID.index)
    # Of a kind that befalls neither the one that moved nor the one that did not, once is enough.
    never = dict.fromkeys(one.kind for one in HARMS_SAID if one.kind not in {other.kind for other in admitted})
    unmoved = {one.kind for one in admitted if not one.moved}
    still = [f"{one.kind} of a socket that never moved" for one in order if one.moved and one.kind not in unmoved]
    return Line(
        f"target-{_slug(row.target.name)}",
        row.target,
        fields,
        (*still, *never),
        tuple((_befell(signature), tuple(admitted[signature])) for signature in order),
    )


def _shown(target: Target, one: Said, trace: Trace, anchor: str, rank: str) -> Shown:
    assert one.violation is not None
    reads = trace.history.events
    of = steps(trace)
    delivered = []
    for step in of:
        until = step.row.until if step.row else 0
        delivered.append(tuple(name for event in reads[:until] for name in getattr(event, "delivered", ())))
    return Shown(
        anchor,
        _title(target, one),
        target,
        one.violation.operations,
        rank,
        tuple(looks(trace)),
        tuple(of),
        tuple(delivered),
        seen(trace),
        dumps(one.violation.case),
        trace.progress,
    )


def _meaning(column: Column) -> str:
    if column == NONE:
        return "Nothing changes after open. Reads stop in the middle of a bucket all the same."
    if column == ALL:
        return "All that the target can be put through, together: what takes two hazards at once shows here."
    (hazard,) = column.hazards
    alone = " Alone it brings no change, and so is as harmless as none." if hazard in ONLY_WHEN else ""
    return HAZARDS_SAID[hazard] + alone


def _title(target: Target, one: Said) -> str:
    assert one.violation is not None
    under = ", ".join(in_order(used(target, one.violation.case))) or "no hazard"
    return f"{_befell(one.signature)} under {under}"


def _befell(signature: Signature) -> str:
    kind, moved, elsewhere = signature
    if moved:
        return f"{kind} of a socket that had moved"
    return f"{kind} of a socket in whose bucket nothing changed" if elsewhere else kind


def _slug(name: str) -> str:
    return name.replace(":", "-")


def _free(wanted: str, taken: set[str]) -> str:
    # Two different cases may be called the same: alike in kind and hazards, met in different cells.
    anchor = wanted
    nth = 1
    while anchor in taken:
        nth += 1
        anchor = f"{wanted}-{nth}"
    taken.add(anchor)
    return anchor
