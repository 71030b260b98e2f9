"""Options of several commands: the scope of a search, its workers and its memory, the directory of new cases.

The module decides their names, bounds and defaults.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from sockiter.check.result import SCOPE, Scope

Command: TypeAlias = Callable[..., None]

CASES = Path("sockiter-cases")
"""The directory of new cases, and of records of races, unless --cases names another one."""


def with_scope(*, sockets_max: int) -> Callable[[Command], Command]:
    """Gives a command --sockets, --buckets, --batch and --ops, and calls the command with one `scope`."""
    options = (
        click.option(
            "--sockets",
            type=click.IntRange(1, sockets_max),
            default=SCOPE.sockets,
            show_default=True,
            help="Sockets in the table at once.",
        ),
        click.option(
            "--buckets", type=click.IntRange(1, 16), default=SCOPE.buckets, show_default=True, help="Buckets in each table."
        ),
        click.option("--batch", type=click.IntRange(1, 64), default=SCOPE.batch, show_default=True, help="Slots at open."),
        click.option("--ops", type=click.IntRange(min=1), help="Maximal length of sequences; default: any length."),
    )

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def in_scope(*, sockets: int, buckets: int, batch: int, ops: int | None, **rest: Any) -> None:
            command(scope=Scope(sockets, buckets, batch, ops), **rest)

        # Decorators are applied from the last to the first.
        return functools.reduce(lambda of, option: option(of), reversed(options), in_scope)

    return add


def workers(noun: str) -> Callable[[Command], Command]:
    """--workers, the number of parallel workers; by default, the number of cores."""
    return click.option(
        "--workers",
        type=click.IntRange(1, 256),
        callback=lambda context, option, value: value or os.cpu_count() or 1,
        help=f"Number of {noun} at once; default: the number of cores.",
    )


def cluster() -> Callable[[Command], Command]:
    """--cluster, the address of a Dask scheduler, or a number of workers."""
    return click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Work on the workers of a Dask scheduler, as tls://HOST:8786, or of `local:N`; --workers then has no meaning.",
    )


def memory() -> Callable[[Command], Command]:
    """--memory in MiB, as bytes in `memory_max`; by default, half of the machine's memory."""
    return click.option(
        "--memory",
        "memory_max",
        type=click.IntRange(min=64),
        callback=lambda context, option, value: bytes_of(value),
        metavar="MIB",
        help="Memory limit of all workers together; default: half of the machine's memory.",
    )


def bytes_of(mib: int | None) -> int:
    """MiB in bytes; None: half of the machine's memory."""
    return mib << 20 if mib is not None else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
