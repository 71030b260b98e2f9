"""`sockiter explore`: the states of a scheme in a small scope, as a page.

Decided here: what the command refuses, and what it prints. A graph that is cut off is no failure: the page and the output
say so. Not known here: what stands on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.progress import Progress, TaskID

from sockiter.backend import Target
from sockiter.check.result import Scope
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli import options
from sockiter.cli.names import SCHEME, hazard_option
from sockiter.cli.output import write
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
    required=True,
    metavar="FILE",
    help="Write the page there. It needs nothing else.",
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
def explore(name: str, *, page: Path, scope: Scope, hazards: tuple[Hazard, ...], states_max: int) -> None:
    """Write a page to explore the states of a scheme: pick the next operation, see what is delivered, owed, lost.

    The page has every state that sequences in the scope lead to, and every operation from each, or, if there are more than
    --states, the first of them. It shows when a violation has happened, is certain, or is possible, and saves any way there
    as a case.
    """
    target = target_named(name)
    if target.is_real:
        raise InputError(
            f"{target.name} is an iterator of the running kernel, whose states cannot be enumerated: expected a scheme"
        )
    require_running(target)
    drop_unneeded_rights([target])
    if not page.absolute().parent.is_dir():
        raise Unavailable(f"{escaped(page)}: cannot be written: there is no such directory")
    graph = _graph(target, scope, frozenset(hazards) if hazards else target.hazards, states_max)
    text = html(graph)
    write(page, text)
    _print(graph)
    click.echo(f"Written: {escaped(page)}, {len(text.encode()) / 1024:,.0f} KiB. Open it in a browser.")


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
    if graph.cut:
        click.echo(f"Cut off {graph.cut}. A smaller scope, fewer hazards or more --states show all.")
    shortest = [f"{one.kind}{' certain' if one.is_certain else ''} {one.lines}" for one in findings(graph)]
    click.echo(f"Shortest ways to what can go wrong: {', '.join(shortest)}." if shortest else "Nothing goes wrong there.")
