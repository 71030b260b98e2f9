"""Work on a terminal: how far it is while it goes on, and how it is ended early.

Decided here: what a bar looks like, that it is only for a terminal, and what is shown of cells. Not known here: what the
work is for, and what it comes to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from sockiter.cli.output import console
from sockiter.matrix.compute import CellWorkers

Update: TypeAlias = Callable[[Progress, TaskID], None]
"""Brings a bar, and the one task that it has, up to date."""


def watch(run: Callable[[Callable[[], None]], None], update: Update, *, total: float, left: str) -> None:
    """Run something, to the end or to a KeyboardInterrupt; on a terminal with a bar.

    `run` is called with what it has to call now and then. `left`: what stands behind the bar, in which `task` is its task.
    """
    progress_console = console(stderr=True)
    if not progress_console.is_terminal:
        run(lambda: None)
        return
    # Refreshed by hand: a thread of its own would be one too many where processes are started.
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(left),
        console=progress_console,
        auto_refresh=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=total)

        def show() -> None:
            update(bar, task)
            bar.refresh()

        run(show)


def run(cells: CellWorkers) -> None:
    """Compute the cells; a KeyboardInterrupt ends that early, and keeps the results so far."""
    started = time.monotonic()

    def update(bar: Progress, bar_task: TaskID) -> None:
        under_way = [
            f"{task.target.name} {task.column.name}: {task.tick.done:,}"
            + (f" ({task.tick.waiting:,} wait)" if task.tick.waiting else "")
            for _, task in cells.running.values()
        ]
        done = sum(not task.trouble for task in cells.tasks)
        states = sum(task.states for task in cells.tasks)
        rate = f"{states / max(time.monotonic() - started, 0.1):,.0f}/s in all"
        bar.update(bar_task, completed=done, description=escape("; ".join([*under_way, rate])))

    watch(cells.run, update, total=len(cells.tasks), left="{task.completed:.0f} of {task.total:.0f} cells")
