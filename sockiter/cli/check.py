"""`sockiter check`: an exhaustive search of a scheme, and the proof or refutation of its claims.

The module decides the searches that prove a scheme's claims, their output, and the exit status. An incomplete search proves
nothing: status 1, or 3 if only errors in schemes stopped searches.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sockiter.backend import Target
from sockiter.cases import dumps, save
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli import options, verification
from sockiter.cli.names import SCHEME, expanded, hazard_option
from sockiter.cli.output import console, elsewhere_mark, least_lengths, note, print_json, scope_json
from sockiter.cli.progress import run
from sockiter.cli.subject import drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.matrix.compute import OPS_WITHOUT_END, CellTask, CellWorkers, Fault, parts
from sockiter.matrix.matrix import ALL, Cell, CellVerdict, Column, case_name, claims, describe, distinct, own_scope, verdicts
from sockiter.targets import PLUGIN_TARGETS, SCHEME_TARGETS, require_running, target_named


@click.command()
@click.argument("names", nargs=-1, type=SCHEME, metavar="[SCHEME...]")
@options.with_scope(sockets_max=64)
@hazard_option(HAZARDS, "One search, under only these; default: one under all supported hazards, and one for each claim.")
@options.workers("searches")
@options.memory()
@click.option("--cases", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Save the cases there.")
@click.option(
    "--verify", "verifies", is_flag=True, help="Compare the search with searches without canonical form, in small scopes."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def check(
    names: tuple[str, ...],
    *,
    scope: Scope,
    hazards: tuple[Hazard, ...],
    workers: int,
    memory_max: int,
    cases: Path | None,
    verifies: bool,
    as_json: bool,
) -> None:
    """Search every history in a scope. Each claim is proved there, or refuted by a shortest case.

    Default: all schemes. A SCHEME may be a pattern. If versions roll over, or connections close or are accepted, the scope
    is smaller than requested; the output has the smaller scope.
    """
    chosen = _choose(names)
    drop_unneeded_rights(chosen)
    if verifies:
        verification.run(chosen, workers=workers, as_json=as_json)
        return
    tasks = [task for target in chosen for task in _searches(target, _columns(target, hazards), scope)]
    for formless in dict.fromkeys(task.target.name for task in _cut(tasks, scope)):
        note(
            f"{formless}: this scheme has no `canonical`: only sequences of at most {OPS_WITHOUT_END} operations are "
            "searched, which may take minutes; docs/how-to/write-a-scheme.md says how to write one"
        )
    run(cells := CellWorkers(tasks, seconds=0, workers=workers, memory_max=memory_max))
    if cases is not None:
        _keep(tasks, cases)
    if as_json:
        print_json([_target_json(target, [task for task in tasks if task.target is target]) for target in chosen])
    else:
        _print(console(), tasks, scope, detailed=bool(names))
    if cells.interrupted:
        raise KeyboardInterrupt
    whys = [task.unfinished for task in tasks if task.unfinished]
    if any(map(_broken, tasks)) or any(not isinstance(why, Fault) for why in whys):
        sys.exit(1)
    if whys:
        sys.exit(Unavailable.status)


def _choose(names: tuple[str, ...]) -> list[Target]:
    schemes = [target for target in (*SCHEME_TARGETS, *PLUGIN_TARGETS) if target.missing() is None]
    if not names:
        return schemes
    # A pattern is for what can be searched here.
    chosen = [target_named(name) for name in expanded(names, [target.name for target in schemes], noun="scheme")]
    for target in chosen:
        if target.is_real:
            raise InputError(f"{target.name} is an iterator of the running kernel: it can be fuzzed, but not searched")
        require_running(target)
    return chosen


def _columns(target: Target, hazards: tuple[Hazard, ...]) -> list[Column]:
    if hazards:
        here = target.hazards & frozenset(hazards)
        return [Column(", ".join(in_order(here)) or "none", here)]
    return [Column(ALL.name, target.hazards), *claims(target)]


def _searches(target: Target, columns: Iterable[Column], scope: Scope) -> list[CellTask]:
    # Each search once: without the hazards that make a scope smaller, several claims may be the same.
    searches: dict[tuple[frozenset[Hazard], Scope], CellTask] = {}
    for column in columns:
        for task in parts(target, column, column.hazards, scope):
            searches.setdefault((task.hazards, task.scope), task)
    return list(searches.values())


def _cut(tasks: list[CellTask], scope: Scope) -> list[CellTask]:
    # Those that are searched for short sequences only, although sequences of any length were asked for.
    return [task for task in tasks if scope.ops is None and task.scope.ops is not None]


def _verdicts(task: CellTask) -> tuple[CellVerdict, ...]:
    return verdicts(task.target, Cell(task.column, task.hazards, task.result, task.trouble))


def _broken(task: CellTask) -> list[CellVerdict]:
    return [verdict for verdict in _verdicts(task) if verdict.breaks_a_claim]


def _violations(task: CellTask) -> Sequence[Counterexample]:
    return task.result.violations if task.result else ()


def _keep(tasks: list[CellTask], directory: Path) -> None:
    for task in tasks:
        for violation in _violations(task):
            try:
                save(violation.case, directory, case_name(task.target, violation))
            except OSError as error:
                raise Unavailable(f"{directory}: cannot be written to: {error.strerror}") from None


def _print(out: Console, tasks: list[CellTask], scope: Scope, *, detailed: bool) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scheme", no_wrap=True)
    table.add_column("under")
    table.add_column("can happen, and in how many operations")
    for title in ("states", "states/s"):
        table.add_column(title, justify="right")
    cut = _cut(tasks, scope)
    if len(cut) == len(tasks):
        scope = replace(scope, ops=OPS_WITHOUT_END)
    before = ""
    for task in tasks:
        result = task.result
        states = f"{result.states:,}" if isinstance(result, SearchResult) else ""
        rate = f"{result.states / result.seconds:,.0f}" if isinstance(result, SearchResult) else ""
        own = "" if task.scope == scope else f"\n[dim]with {own_scope(task.scope, scope)}[/dim]"
        shown = task.target.name if task.target.name != before else ""
        table.add_row(escape(shown), escape(task.column.name) + own, _happens(out, task), states, rate)
        before = task.target.name
    out.print(table)
    unproved = [task for task in tasks if task.unfinished]
    cut_short = " ?: cut short, so other failures are possible." if unproved else ""
    out.print(f"Scope: {describe(scope)}. Failures that are not listed cannot happen there.{cut_short}")
    mark = elsewhere_mark(out)
    out.print(f"*: of a socket that had itself been moved. {mark}: of a socket in whose bucket nothing had changed.")
    printed: set[str] = set()
    for task in tasks:
        for verdict in distinct(_verdicts(task)):
            if verdict.violation is not None and verdict.name not in printed and (detailed or verdict.breaks_a_claim):
                printed.add(verdict.name)
                broken = "[bold red]CLAIM BROKEN[/bold red] " if verdict.breaks_a_claim else ""
                out.print(f"\n{broken}[bold]{escape(verdict.name)}[/bold]")
                out.print(escape(dumps(verdict.violation.case)), end="", soft_wrap=True)
    # An error in a scheme stops all its searches.
    for why in dict.fromkeys(_why(task) for task in unproved):
        out.print(f"[bold]Incomplete[/bold]: {escape(why)}", soft_wrap=True)
    if not unproved and not any(map(_broken, tasks)):
        out.print("[bold green]All claims hold.[/bold green] Within the scope, that is proved.")


def _why(task: CellTask) -> str:
    under = "" if isinstance(task.unfinished, Fault) else f" under {task.column.name}"
    return f"{task.target.name}{under}: {task.unfinished}"


def _happens(out: Console, task: CellTask) -> str:
    text = ", ".join(f"{kind} {' and '.join(lengths)}" for kind, lengths in least_lengths(out, _verdicts(task)).items())
    if task.unfinished:
        return f"{text}, ?" if text else "?"
    return text or "[green]nothing[/green]"


def _target_json(target: Target, tasks: list[CellTask]) -> dict[str, Any]:
    # The first search has all hazards, or the requested ones.
    first, *claim_tasks = tasks
    return {**_task_json(first), "claims": [_task_json(task) for task in claim_tasks]}


def _task_json(task: CellTask) -> dict[str, Any]:
    result = task.result if isinstance(task.result, SearchResult) else None
    return {
        "scheme": task.target.name,
        "hazards": in_order(task.hazards),
        "scope": scope_json(task.scope),
        "complete": result is not None and result.complete,
        "why_incomplete": task.unfinished or None,
        "states": result.states if result else 0,
        "transitions": result.transitions if result else 0,
        "seconds": round(result.seconds, 3) if result else 0.0,
        "violations": [
            {
                "kind": verdict.kind,
                "moved": verdict.moved,
                "elsewhere": verdict.elsewhere,
                "admitted": verdict.admitted,
                "operations": verdict.violation.operations,
                "case": dumps(verdict.violation.case),
                "name": verdict.name,
            }
            for verdict in _verdicts(task)
            if verdict.violation is not None
        ],
    }
