"""The matrix as an HTML page: the table, the hazards, the claims of each target, and every case step by step.

The page needs no other file or server. Without its script all content is visible, only longer. `matrix` makes the verdicts
of the cells, and `snapshots` makes the snapshots of a case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sockiter.backend import Target
from sockiter.cases import Case, dumps
from sockiter.check.result import Scope, SearchResult
from sockiter.claims import Hazard, in_order
from sockiter.matrix.matrix import (
    ALL,
    NONE,
    SIGNATURES,
    Cell,
    CellVerdict,
    Column,
    Matrix,
    MatrixRow,
    Measured,
    broken,
    describe,
    distinct,
    own_scope,
    unfinished,
    used,
    verdicts,
)
from sockiter.report.page import replay_command
from sockiter.report.render import templates
from sockiter.report.snapshots import Snapshot, looks, snapshots
from sockiter.report.trace import Trace, trace
from sockiter.schemes import GROUPS
from sockiter.schemes.versions import KNOWN, NEWEST, in_words
from sockiter.verdict import Kind, Signature

Traces: TypeAlias = dict[tuple[str, Case], Trace]
"""The traces of all cases of a matrix on their targets, by the name of the target and the case."""

HAZARD_DESCRIPTIONS: dict[Hazard, str] = {
    "add-head": "A new socket enters a bucket at the head of its list, in front of all others.",
    "add-tail": "A new socket enters a bucket at the tail of its list, behind all others.",
    "remove": "A socket closes and leaves the table for good.",
    "reinsert": "A socket leaves its bucket and enters the same bucket again, for example when it listens anew.",
    "rehash": "A socket moves to the head of another bucket, for example when it is connected.",
    "close": "A program closes a connection, and an entry in TIME_WAIT with the same cookie takes its place.",
    "accept": "A handshake completes, and a connection with the same cookie takes the place of the request socket.",
    "destroy": "A socket is destroyed by bpf_sock_destroy or SOCK_DESTROY, and not by its owner.",
    "destroying": "The program that reads destroys each socket as soon as it was shown.",
    "show": "Changes happen inside a read as well, while a socket is being shown to the program.",
    "between": "Changes happen inside a read as well, between two buckets, when neither is locked.",
    "realloc": "Changes happen inside a read as well, while a larger batch is allocated and the bucket is not locked.",
    "enomem": "The allocation of a larger batch is refused.",
    "rollover": "More sockets are inserted than versions of 4 bits can number, so the numbers start again from zero.",
}
# Hazards without a change of their own: each only adds a moment for changes, and alone has no effect.
ONLY_WHEN: frozenset[Hazard] = frozenset({"show", "between", "realloc"})
KIND_DESCRIPTIONS: dict[Kind, str] = {
    "skip": "A socket was in the table from beginning to end, and no read delivered it.",
    "repeat": "A socket was delivered more than once.",
    "stale": "A socket was delivered that was no longer in the table.",
    "stuck": "The iteration did not end, although no more changes happened.",
    "refused": "A read returned an error. The program knows of the failure, but its iteration is incomplete.",
}


_OTHERS = "Schemes of other packages"
_RUNNING = "The running kernel, measured and not proved"


@dataclass(frozen=True, slots=True)
class Origin:
    """What made a page. `commit`: "" where it is not known; `kernel`: the kernel on which the page was made."""

    version: str
    commit: str
    date: str
    kernel: str
    command: str


@dataclass(frozen=True, slots=True)
class CaseLink:
    """A link from a verdict in a cell to its case: the anchors of both, and the verdict."""

    anchor: str
    case: str
    verdict: CellVerdict
    title: str
    label: str


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell on the page. `look`: never, unseen, found, unknown, or cannot; `description`: the whole cell in words;
    `own_scope`: the differences between its scope and the scope of the matrix."""

    anchor: str
    cell: Cell
    look: str
    links: tuple[CaseLink, ...]
    description: str
    own_scope: str


@dataclass(frozen=True, slots=True)
class PageRow:
    """A row on the page. `never`: failures that the target claims to avoid; `under`: failures by their sets of hazards."""

    anchor: str
    target: Target
    cells: tuple[PageCell, ...]
    never: tuple[str, ...]
    under: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class PageCase:
    """A case on the page. `rank`: whether a shorter case exists; `replay`: the command, without the file."""

    anchor: str
    title: str
    target: Target
    operations: int
    rank: str
    why: tuple[tuple[str, str], ...]
    snapshots: tuple[Snapshot, ...]
    text: str
    progress: str
    replay: str


def trace_cases(matrix: Matrix) -> Traces:
    """Carry out every case of a matrix once, on its target; raises `Unavailable` if the target no longer runs."""
    traces: Traces = {}
    for row in matrix.rows:
        cases = [violation.case for cell in row.cells if cell.result for violation in cell.result.violations]
        if cases:
            with row.target.session() as session:
                traces |= {(row.target.name, case): trace(case, row.target, session) for case in dict.fromkeys(cases)}
    return traces


def html(matrix: Matrix, traces: Traces, origin: Origin | None = None) -> str:
    """The page, which needs no other file; `traces` has every case of the matrix. The same arguments make the same page."""
    cases: dict[tuple[str, Case], PageCase] = {}
    anchors: set[str] = set()
    page_rows = []
    for row in matrix.rows:
        cells = tuple(_page_cell(matrix.scope, row, cell, traces, cases, anchors) for cell in row.cells)
        page_rows.append(_page_row(row, cells))
    return (
        templates()
        .get_template("matrix.html")
        .render(
            matrix=matrix,
            scope=describe(matrix.scope),
            groups=_groups(page_rows),
            rows=page_rows,
            cases=list(cases.values()),
            broken=len(broken(matrix)),
            unfinished=unfinished(matrix),
            own_scopes=any(cell.own_scope for row in page_rows for cell in row.cells),
            columns=[(column, f"hazard-{column.name}", _meaning(column)) for column in matrix.columns],
            kinds=KIND_DESCRIPTIONS,
            origin=origin,
            filters=[
                ("scheme", "Targets", [row.target.name for row in page_rows]),
                ("hazard", "Hazards", [column.name for column in matrix.columns]),
                ("kind", "Kinds", [kind for kind in KIND_DESCRIPTIONS if kind in found_kinds(page_rows)]),
            ],
            ranges=[(known, in_words(known)) for known in KNOWN],
            releases=releases(),
            newest=NEWEST,
        )
    )


def _groups(rows: Iterable[PageRow]) -> list[tuple[str, list[PageRow]]]:
    title_of = {scheme.name: title for title, schemes in GROUPS for scheme in schemes}
    groups: dict[str, list[PageRow]] = {title: [] for title, _ in GROUPS}
    for row in rows:
        title = _RUNNING if row.target.is_real else title_of.get(row.target.name, _OTHERS)
        groups.setdefault(title, []).append(row)
    return [(title, group) for title, group in groups.items() if group]


def found_kinds(rows: Iterable[PageRow]) -> frozenset[Kind]:
    """The kinds of failure that a page names in some cell."""
    return frozenset(link.verdict.kind for row in rows for cell in row.cells for link in cell.links)


def releases() -> tuple[str, ...]:
    """The releases at the ends of the known ranges, from the oldest on: those worth suggesting."""
    ends = {release for known in KNOWN for release in (known.first, known.last) if release not in ("", NEWEST)}
    return tuple(sorted(ends, key=lambda release: [int(number) for number in release.split(".")]))


def _page_cell(
    scope: Scope, row: MatrixRow, cell: Cell, traces: Traces, cases: dict[tuple[str, Case], PageCase], anchors: set[str]
) -> PageCell:
    own = own_scope(cell.result.scope, scope) if isinstance(cell.result, SearchResult) else ""
    anchor = f"cell-{_slug(row.target.name)}-{cell.column.name}"
    cell_verdicts = verdicts(row.target, cell)
    links = []
    for verdict in distinct(cell_verdicts):
        assert verdict.violation is not None
        key = (row.target.name, verdict.violation.case)
        if key not in cases:
            # Columns with fewer hazards come first, so a case is ranked by the first cell that found it.
            anchor_of_case = _free(f"case-{_slug(verdict.name)}", anchors)
            cases[key] = _page_case(
                row.target, verdict, traces[key], anchor_of_case, _rank(row.target, cell, verdict.violation.case, own)
            )
        finding_text = _finding_text(verdict.signature)
        claim = ", which breaks a claim" if verdict.breaks_a_claim else ""
        links.append(
            CaseLink(
                f"{anchor}-{verdict.kind}{'-moved' if verdict.moved else '-elsewhere' if verdict.elsewhere else ''}",
                cases[key].anchor,
                verdict,
                _title(row.target, verdict),
                f"{row.target.name}, {cell.column.name}: {finding_text}{claim}, {verdict.violation.operations} operations",
            )
        )
    if not cell_verdicts:
        look, description = "cannot", f"{row.target.name} does not support {cell.column.name}"
    elif cell.unfinished:
        look, description = "unknown", f"Not known: {cell.unfinished}"
    elif isinstance(cell.result, Measured):
        look = "found" if links else "unseen"
        description = f"{'Nothing else seen' if links else 'Nothing seen'} in {cell.result.sequences:,} sequences"
    else:
        look = "found" if links else "never"
        description = "Every other failure is proved impossible" if links else "Proved: no failure of any kind can happen"
        description += f", with {own}" if own else ""
    return PageCell(anchor, cell, look, tuple(links), description, own)


def _rank(target: Target, cell: Cell, case: Case, own: str) -> str:
    if not isinstance(cell.result, SearchResult):
        return "the shortest that was found"
    if cell.unfinished:
        return "the shortest that was found before the search was cut short"
    # Cases without rollover were searched in the whole scope as well. A shortest short sequence is a shortest sequence.
    if own and "rollover" in used(target, case):
        return f"the shortest possible with {own}"
    return "the shortest possible in the scope"


def _page_row(row: MatrixRow, cells: tuple[PageCell, ...]) -> PageRow:
    admitted: dict[Signature, list[str]] = {}
    for failure in row.target.known_failures:
        admitted.setdefault(failure.signature, []).append(" + ".join(in_order(failure.hazards)) or "no hazard at all")
    order = sorted(admitted, key=SIGNATURES.index)
    # A kind that happens neither to moved nor to other sockets is listed once.
    never = dict.fromkeys(
        signature.kind for signature in SIGNATURES if signature.kind not in {signature.kind for signature in admitted}
    )
    unmoved = {signature.kind for signature in admitted if not signature.moved}
    still = [
        f"{signature.kind} of a socket that never moved"
        for signature in order
        if signature.moved and signature.kind not in unmoved
    ]
    return PageRow(
        f"target-{_slug(row.target.name)}",
        row.target,
        cells,
        (*still, *never),
        tuple((_finding_text(signature), tuple(admitted[signature])) for signature in order),
    )


def _page_case(target: Target, verdict: CellVerdict, trace: Trace, anchor: str, rank: str) -> PageCase:
    assert verdict.violation is not None
    return PageCase(
        anchor,
        _title(target, verdict),
        target,
        verdict.violation.operations,
        rank,
        tuple(looks(trace)),
        tuple(snapshots(trace)),
        dumps(verdict.violation.case),
        trace.progress,
        replay_command(target.name),
    )


def _meaning(column: Column) -> str:
    if column == NONE:
        return "Nothing changes after open. Reads still stop in the middle of a bucket."
    if column == ALL:
        return "All hazards that the target supports, together: this column shows failures that need two hazards."
    (hazard,) = column.hazards
    alone = " Alone it makes no change, so it has no effect." if hazard in ONLY_WHEN else ""
    return HAZARD_DESCRIPTIONS[hazard] + alone


def _title(target: Target, verdict: CellVerdict) -> str:
    assert verdict.violation is not None
    under = ", ".join(in_order(used(target, verdict.violation.case))) or "no hazard"
    return f"{_finding_text(verdict.signature)} under {under}"


def _finding_text(signature: Signature) -> str:
    kind, moved, elsewhere = signature
    if moved:
        return f"{kind} of a socket that had moved"
    return f"{kind} of a socket in whose bucket nothing changed" if elsewhere else kind


def _slug(name: str) -> str:
    return name.replace(":", "-")


def _free(preferred: str, taken: set[str]) -> str:
    # Different cells may have different cases of one name: the same kind and the same hazards.
    anchor = preferred
    nth = 1
    while anchor in taken:
        nth += 1
        anchor = f"{preferred}-{nth}"
    taken.add(anchor)
    return anchor
