"""The progress of work, as a bar on a terminal.

The module decides the look of the bar and the shown facts about cells. Without a terminal there is no bar. With NO_COLOR,
lines take the place of the bar.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from sockiter.cli.output import console

if TYPE_CHECKING:
    from sockiter.matrix.compute import CellWorkers

# Without colors and cursor movements, progress is a line so often.
PLAIN_S = 10.0

Update: TypeAlias = Callable[[Progress, TaskID], None]
"""Updates a bar and its only task."""


def watch(run: Callable[[Callable[[], None]], None], update: Update, *, total: float, left: str) -> None:
    """Call `run`, to its end or to a KeyboardInterrupt; on a terminal with a bar.

    `run` receives a function that it must call regularly. `left`: the text behind the bar, a format of `task`.
    """
    progress_console = console(stderr=True)
    is_plain = is_in_lines() or (bool(os.environ.get("NO_COLOR")) and sys.stderr.isatty())
    if not progress_console.is_terminal and not is_plain:
        run(lambda: None)
        return
    columns = (TextColumn("{task.description}"), TextColumn(left))
    # Refreshed by hand, because a thread of the bar would be a risk when processes are started.
    bar = Progress(
        SpinnerColumn(),
        columns[0],
        BarColumn(),
        columns[1],
        console=progress_console,
        auto_refresh=False,
        transient=True,
        disable=is_plain,
    )
    next_line = time.monotonic() + PLAIN_S
    with bar:
        task = bar.add_task("starting", total=total)

        def show() -> None:
            nonlocal next_line
            update(bar, task)
            if not is_plain:
                bar.refresh()
            elif time.monotonic() >= next_line:
                next_line = time.monotonic() + PLAIN_S
                click.echo(f"sockiter: {', '.join(column.render(bar.tasks[0]).plain for column in columns)}", err=True)

        run(show)


def is_in_lines() -> bool:
    """Whether progress is requested as lines, also without a terminal: in a guest it is."""
    return os.environ.get("SOCKITER_PROGRESS") == "lines"


def run(cells: CellWorkers) -> None:
    """Compute the cells; a KeyboardInterrupt ends the computation early, and keeps the results so far."""
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

    watch(
        cells.run,
        update,
        total=len(cells.tasks),
        left="{task.completed:.0f} of {task.total:.0f} cells, {task.elapsed:.0f} s",
    )
