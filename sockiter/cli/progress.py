"""Cells at work, on a terminal: which searches are under way, how far they are, and how fast.

Decided here: what is shown meanwhile, and only to a terminal. Not known here: what the cells are for, and what they come to.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from sockiter.cells import Cells
from sockiter.cli.output import console


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(cells: Cells) -> None:
    """Have the cells worked out; a KeyboardInterrupt, or a SIGTERM, ends that early, and what was done by then stays."""
    signal.signal(signal.SIGTERM, _interrupt)
    progress_console = console(stderr=True)
    if not progress_console.is_terminal:
        cells.run()
        return
    # Refreshed by hand: a thread of its own would be one too many where processes are started.
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} cells"),
        console=progress_console,
        auto_refresh=False,
        transient=True,
    )
    with bar:
        of_all = bar.add_task("starting", total=len(cells.tasks))
        started = time.monotonic()

        def show() -> None:
            under_way = [
                f"{task.target.name} {task.column.name}: {task.tick.done:,}"
                + (f" ({task.tick.waiting:,} wait)" if task.tick.waiting else "")
                for _, task in cells.running.values()
            ]
            done = sum(not task.trouble for task in cells.tasks)
            states = sum(task.states for task in cells.tasks)
            rate = f"{states / max(time.monotonic() - started, 0.1):,.0f}/s in all"
            bar.update(of_all, completed=done, description=escape("; ".join([*under_way, rate])))
            bar.refresh()

        cells.run(show)
