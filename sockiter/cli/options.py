"""Options that several commands have: in which scope is searched, and how much of the machine that may take.

Decided here: their names, bounds and defaults. Not known here: what is done with them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeAlias

import click

from sockiter.check.result import Scope

Command: TypeAlias = Callable[..., None]

SCOPE = Scope(sockets=3, buckets=2, batch=2)


def with_scope(*, sockets_max: int) -> Callable[[Command], Command]:
    """Gives a command --sockets, --buckets, --batch and --ops; it is called with them as one `scope`."""
    options = (
        click.option(
            "--sockets",
            type=click.IntRange(1, sockets_max),
            default=SCOPE.sockets,
            show_default=True,
            help="In the table at once.",
        ),
        click.option(
            "--buckets", type=click.IntRange(1, 16), default=SCOPE.buckets, show_default=True, help="In each table."
        ),
        click.option("--batch", type=click.IntRange(1, 64), default=SCOPE.batch, show_default=True, help="Slots at open."),
        click.option("--ops", type=click.IntRange(min=1), help="Sequences no longer than that; of any length, unless said."),
    )

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def in_scope(*, sockets: int, buckets: int, batch: int, ops: int | None, **rest: Any) -> None:
            command(scope=Scope(sockets, buckets, batch, ops), **rest)

        # As decorators, the last is applied first.
        return functools.reduce(lambda of, option: option(of), reversed(options), in_scope)

    return add


def workers(noun: str) -> Callable[[Command], Command]:
    """--workers, how many of what at once; where it is not said, as many as there are cores."""
    return click.option(
        "--workers",
        type=click.IntRange(1, 256),
        callback=lambda context, option, value: value or os.cpu_count() or 1,
        help=f"How many {noun} at once; the cores, unless said.",
    )


def memory() -> Callable[[Command], Command]:
    """--memory in MiB, as bytes in `memory_max`; where it is not said, half of the machine's."""
    return click.option(
        "--memory",
        "memory_max",
        type=click.IntRange(min=64),
        callback=lambda context, option, value: bytes_of(value),
        metavar="MIB",
        help="Where searches stop, all workers together; half of the machine's, unless said.",
    )


def bytes_of(mib: int | None) -> int:
    """The bytes for so many MiB; where none are said, half of the machine's memory."""
    return mib << 20 if mib is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
