"""`sockiter explore`: the states of a scheme in a small scope, as a page.

Decided here: what the command refuses, and what it prints. A graph that is cut off is no failure: the page and the output
say so. Not known here: what stands on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, TaskID

from sockiter.backend import Target
from sockiter.check.result import Scope
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli import options
from sockiter.cli.names import SCHEME, hazard_option
from sockiter.cli.output import note_written, print_json, scope_json, write
from sockiter.cli.progress import watch
from sockiter.cli.subject import drop_unneeded_rights
from sockiter.errors import InputError, Unavailable, Unsearchable
from sockiter.explore.graph import StateGraph
from sockiter.explore.graph import explore as explored
from sockiter.explore.page import findings, html
from sockiter.files import escaped
from sockiter.matrix.compute import within_reach
from sockiter.matrix.matrix import describe
from sockiter.targets import require_running, scheme_of, target_named

STATES = 10_000


@click.command()
@click.argument("name", type=SCHEME, metavar="SCHEME")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page there. It needs nothing else. Optional with --json.",
)
@options.with_scope(sockets_max=16)
@hazard_option(HAZARDS, "Under only these; all of the scheme's, unless said.")
@click.option(
    "--states",
    "states_max",
    type=click.IntRange(1, 100_000),
    default=STATES,
    show_default=True,
    help="Where the graph is cut off.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def explore(
    name: str, *, page: Path | None, scope: Scope, hazards: tuple[Hazard, ...], states_max: int, as_json: bool
) -> None:
    """Write a page to explore the states of a scheme: pick the next operation, see what is delivered, owed, lost.

    The page has every state that sequences in the scope lead to, and every operation from each, or, if there are more than
    --states, the first of them. It shows when a violation has happened, is certain, or is possible, and saves any way there
    as a case.
    """
    if page is None and not as_json:
        raise click.MissingParameter(param_hint="'--html'", param_type="option")
    target = target_named(name)
    if target.is_real:
        raise InputError(
            f"{target.name} is an iterator of the running kernel, whose states cannot be enumerated: expected a scheme"
        )
    require_running(target)
    drop_unneeded_rights([target])
    if page is not None and not page.absolute().parent.is_dir():
        raise Unavailable(f"{escaped(page)}: cannot be written: there is no such directory")
    graph = _graph(target, scope, frozenset(hazards) if hazards else target.hazards, states_max)
    if page is not None:
        text = html(graph)
        write(page, text)
        note_written(page, text)
    if as_json:
        print_json(_json(graph, page))
    else:
        _print(graph)


def _graph(target: Target, scope: Scope, hazards: frozenset[Hazard], states_max: int) -> StateGraph:
    scheme = scheme_of(target)
    assert scheme is not None
    within = hazards & target.hazards
    so_far = 0
    graphs = []

    def run(tick: Callable[[], None]) -> None:
        def progress(states: int, waiting: int) -> None:
            nonlocal so_far
            so_far = states
            tick()

        graphs.append(
            explored(scheme, within, within_reach(target, within, scope), states_max=states_max, progress=progress)
        )

    def tell(bar: Progress, task: TaskID) -> None:
        bar.update(task, completed=so_far, description=target.name)

    try:
        watch(run, tell, total=states_max, left="{task.completed:,.0f} states, at most {task.total:,.0f}")
    except Unsearchable as error:
        raise Unavailable(f"{target.name} cannot be explored: {error}") from None
    return graphs[0]


def _print(graph: StateGraph) -> None:
    under = ", ".join(in_order(graph.hazards)) or "no hazard"
    click.echo(f"{graph.scheme.name} under {under}: {len(graph.states):,} states, {graph.steps_count:,} steps")
    click.echo(f"Scope: {describe(graph.scope)}.")
    if graph.left_out:
        click.echo(f"Not explored: {', '.join(in_order(graph.left_out))}. `sockiter check` searches them.")
    if graph.cut:
        click.echo(f"Cut off {graph.cut}. A smaller scope, fewer hazards or more --states show all.")
    shortest = [f"{one.kind}{' certain' if one.is_certain else ''} {one.lines}" for one in findings(graph)]
    click.echo(f"Shortest ways to what can go wrong: {', '.join(shortest)}." if shortest else "Nothing goes wrong there.")


def _json(graph: StateGraph, page: Path | None) -> dict[str, Any]:
    return {
        "scheme": graph.scheme.name,
        "hazards": in_order(graph.hazards),
        "scope": scope_json(graph.scope),
        "complete": not graph.cut,
        "why_incomplete": graph.cut or None,
        "states": len(graph.states),
        "transitions": graph.steps_count,
        "violations": [
            {"kind": one.kind, "certain": one.is_certain, "operations": one.lines, "link": one.link}
            for one in findings(graph)
        ],
        "file": None if page is None else escaped(page),
    }
