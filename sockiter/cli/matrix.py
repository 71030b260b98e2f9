"""`sockiter matrix`: targets by hazards, on the terminal, as JSON, and as a page.

The module decides the look of the tables, the JSON document, and the exit status. An interrupt ends the work, not the
report.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sockiter import durations
from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.check.result import Scope, SearchResult
from sockiter.claims import in_order
from sockiter.cli import options
from sockiter.cli.names import TARGET
from sockiter.cli.origin import origin
from sockiter.cli.output import (
    by_reason,
    console,
    elsewhere_mark,
    least_lengths,
    note,
    note_written,
    print_json,
    scope_json,
    write,
)
from sockiter.cli.progress import run
from sockiter.cli.subject import choose_targets, drop_unneeded_rights
from sockiter.errors import Unavailable
from sockiter.files import digest, escaped
from sockiter.matrix.compute import CellWorkers, Fault, matrix_of, tasks_of
from sockiter.matrix.matrix import (
    Cell,
    CellVerdict,
    Column,
    Matrix,
    MatrixRow,
    Measured,
    broken,
    columns,
    describe,
    own_scope,
    unfinished,
    verdicts,
)
from sockiter.matrix.page import html, trace_cases

SECONDS = 10.0
# What takes no longer needs no estimate.
WORTH_KEEPING_S = 10.0
# Between two columns of a table.
GAP = 1


@click.command()
@click.argument("names", nargs=-1, type=TARGET, metavar="[TARGET...]")
@options.with_scope(sockets_max=16)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=SECONDS,
    show_default=True,
    help="Time to fuzz each iterator of the running kernel.",
)
@options.workers("processes")
@options.memory()
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="FILE", help="Write a self-contained page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def matrix(
    names: tuple[str, ...],
    *,
    scope: Scope,
    seconds: float,
    workers: int,
    memory_max: int,
    page: Path | None,
    as_json: bool,
) -> None:
    """Show the failures of each target under each hazard: proved in a scope for schemes, measured for the kernel.

    Default: all targets that run here.

    A TARGET may be a pattern: 'kernel:*'.
    """
    chosen, absent = choose_targets(names)
    drop_unneeded_rights(chosen)
    if page is not None and not page.absolute().parent.is_dir():
        # An early error is better than one after all the work.
        raise Unavailable(f"{escaped(page)}: cannot be written: there is no such directory")
    of_all = columns(chosen)
    cells = CellWorkers(tasks_of(chosen, of_all, scope), seconds=seconds, workers=workers, memory_max=memory_max)
    _run(cells, seconds, workers)
    made = matrix_of(cells.tasks, chosen, of_all, scope)
    if page is not None:
        text = html(made, trace_cases(made), origin())
        write(page, text)
        note_written(page, text)
    if as_json:
        print_json(_json(made, absent))
    else:
        _print(console(), made, absent)
    if cells.interrupted:
        raise KeyboardInterrupt
    whys = [cell.unfinished for _, cell in unfinished(made)]
    if broken(made) or any(not isinstance(why, Fault) for why in whys):
        sys.exit(1)
    if whys:
        sys.exit(Unavailable.status)


def _run(cells: CellWorkers, seconds: float, workers: int) -> None:
    # What it took the last time is all that can be known: the longest search takes as long as all others together.
    real = {task.target.name for task in cells.tasks if task.target.is_real}
    searches = sum(not task.target.is_real for task in cells.tasks)
    of = [f"{searches:,} searches, the longest of them last"] if searches else []
    of += [f"{len(real)} iterator{'s' * (len(real) > 1)} of the kernel, {seconds:g} s each"] if real else []
    what = f"matrix {digest(repr([workers, seconds, *((t.target.name, t.column.name, t.scope) for t in cells.tasks)]))}"
    before = durations.last(what)
    took_before = "" if before is None else f"; the last time that took {durations.in_words(before)}"
    if console(stderr=True).is_terminal or sys.stderr.isatty():
        note(f"{', and '.join(of)}, on {workers} processors{took_before}")
    started = time.monotonic()
    run(cells)
    took = time.monotonic() - started
    if not cells.interrupted and took >= WORTH_KEEPING_S:
        durations.keep(what, took)


def _print(out: Console, made: Matrix, absent: list[tuple[Target, str]]) -> None:
    for table in _tables(out, made):
        out.print(table)
    marks = _marks(out)
    cells = [cell for row in made.rows for cell in row.cells]
    legend = [
        (marks["never"], "proved: no skip, no repeat, nothing stale, always an end, no error"),
        ("skip 6", "can happen; the shortest case has 6 operations; others are proved impossible (on a kernel: not seen)"),
        (f"skip 6{marks['or']}5*", "the same; *: of a socket that had itself been moved, in 5"),
        (f"skip 6{elsewhere_mark(out)}", "of a socket in whose bucket nothing had changed"),
    ]
    if broken(made):
        legend.append(("skip 6!", "breaks a claim"))
    if any(cell.unfinished for cell in cells):
        legend.append((marks["unknown"], "the search was cut short: other failures are possible"))
    if any(isinstance(cell.result, Measured) for cell in cells):
        legend.append((f"{marks['unseen']} 4,000", "measured: not seen in 4,000 random sequences; that is no proof"))
    if not all(cell.can for cell in cells):
        legend.append((marks["cannot"], "the target does not support this hazard"))
    for mark, meaning in legend:
        out.print(f"{mark:10}{meaning}")
    if any(isinstance(cell.result, SearchResult) for cell in cells):
        out.print(f"Scope: {describe(made.scope)}.")
        for number, scope in enumerate(_own_scopes(made), start=1):
            out.print(f"{f'({number})':10}{own_scope(scope, made.scope)}; the rest as in the scope")
    out.print()
    for row, cell, verdict in broken(made):
        out.print(f"[bold red]CLAIM BROKEN[/bold red] {escape(row.target.name)}, {cell.column.name}: {escape(verdict.name)}")
        assert verdict.violation is not None
        out.print(escape(dumps(verdict.violation.case)), soft_wrap=True)
    reasons = Counter((row.target.name, cell.unfinished) for row, cell in unfinished(made))
    for (target, why), count in reasons.items():
        out.print(
            f"[bold]Incomplete[/bold]: {escape(target)}, {count} cell{'s' if count > 1 else ''}: {escape(why)}",
            soft_wrap=True,
        )
    if not broken(made):
        out.print(f"[bold green]No claim was broken.[/bold green] {_count(made)}")
    for missing, of in by_reason((lacking.name, missing) for lacking, missing in absent).items():
        out.print(f"Not here: {escape(of)}: {escape(missing)}")


def _own_scopes(made: Matrix) -> tuple[Scope, ...]:
    # The scopes that differ from the matrix's, in the order of their notes.
    scopes = [cell.result.scope for row in made.rows for cell in row.cells if isinstance(cell.result, SearchResult)]
    return tuple(scope for scope in dict.fromkeys(scopes) if scope != made.scope)


def _count(made: Matrix) -> str:
    results = [cell.result for row in made.rows for cell in row.cells]
    searched = [result for result in results if isinstance(result, SearchResult)]
    measured = [result for result in results if isinstance(result, Measured)]
    parts = []
    if searched:
        states = sum(result.states for result in searched)
        seconds = sum(result.seconds for result in searched)
        parts.append(f"{states:,} states in {len(searched)} searches of {seconds:,.0f} s in all.")
    if measured:
        parts.append(f"{sum(result.sequences for result in measured):,} sequences on the running kernel.")
    return " ".join(parts)


def _tables(out: Console, made: Matrix) -> list[Table]:
    # As many columns side by side as fit, the others in a table below; each has the targets' names again.
    notes = {scope: f"({number})" for number, scope in enumerate(_own_scopes(made), start=1)}
    cells = [[Text.from_markup(_cell(out, row, cell, notes)) for cell in row.cells] for row in made.rows]
    names = [row.target.name for row in made.rows]
    room = out.width - max(map(len, names)) - GAP
    groups: list[list[int]] = []
    left = 0
    for nth, column in enumerate(made.columns):
        texts = [column.name, *(of[nth].plain for of in cells)]
        width = max(len(line) for text in texts for line in text.split("\n")) + GAP
        if not groups or width > left:
            groups.append([])
            left = room
        left -= width
        groups[-1].append(nth)
    tables = []
    for group in groups:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
        for title in ("", *(made.columns[nth].name for nth in group)):
            table.add_column(title, no_wrap=True)
        for name, of in zip(names, cells, strict=True):
            table.add_row(escape(name), *(of[nth] for nth in group))
        tables.append(table)
    return tables


def _cell(out: Console, row: MatrixRow, cell: Cell, notes: dict[Scope, str]) -> str:
    marks = _marks(out)
    cell_verdicts = verdicts(row.target, cell)
    if not cell_verdicts:
        return f"[dim]{marks['cannot']}[/dim]"
    text = [f"{kind} {marks['or'].join(lengths)}" for kind, lengths in least_lengths(out, cell_verdicts).items()]
    if cell.unfinished:
        text.append(f"[bold]{marks['unknown']}[/bold]")
    elif isinstance(cell.result, Measured) and not text:
        text.append(f"{marks['unseen']} {cell.result.sequences:,}")
    elif not text:
        text.append(f"[green]{marks['never']}[/green]")
    if isinstance(cell.result, SearchResult) and (note := notes.get(cell.result.scope)):
        text[-1] += f" [dim]{note}[/dim]"
    return "\n".join(text)


def _marks(out: Console) -> dict[str, str]:
    if out.options.ascii_only:
        return {"never": "ok", "or": "/", "unseen": "0 in", "unknown": "?", "cannot": "-"}
    return {"never": "✓", "or": "·", "unseen": "○", "unknown": "?", "cannot": "–"}  # noqa: RUF001


def _json(made: Matrix, absent: list[tuple[Target, str]]) -> dict[str, Any]:
    return {
        "scope": scope_json(made.scope),
        "columns": [_column_json(column) for column in made.columns],
        "rows": [
            {
                "target": row.target.name,
                "summary": row.target.summary,
                "measured": row.target.is_real,
                "cells": [_cell_json(row, cell) for cell in row.cells],
            }
            for row in made.rows
        ],
        "not_here": [{"target": target.name, "missing": missing} for target, missing in absent],
    }


def _column_json(column: Column) -> dict[str, Any]:
    return {"name": column.name, "hazards": in_order(column.hazards)}


def _cell_json(row: MatrixRow, cell: Cell) -> dict[str, Any]:
    result = cell.result
    return {
        "column": cell.column.name,
        "hazards": in_order(cell.hazards),
        "can": cell.can,
        # A real iterator's cell is never a proof.
        "complete": None if row.target.is_real or not cell.can else isinstance(result, SearchResult) and result.complete,
        "why_incomplete": cell.unfinished or None,
        "scope": scope_json(result.scope) if isinstance(result, SearchResult) else None,
        "states": result.states if isinstance(result, SearchResult) else None,
        "seconds": round(result.seconds, 3) if result else None,
        "sequences": result.sequences if isinstance(result, Measured) else None,
        "verdict": [_verdict_json(verdict) for verdict in verdicts(row.target, cell)],
    }


def _verdict_json(verdict: CellVerdict) -> dict[str, Any]:
    return {
        "kind": verdict.kind,
        "moved": verdict.moved,
        "elsewhere": verdict.elsewhere,
        "possible": verdict.possible,
        "admitted": verdict.admitted,
        "operations": verdict.violation.operations if verdict.violation else None,
        "case": dumps(verdict.violation.case) if verdict.violation else None,
        "name": verdict.name or None,
    }
