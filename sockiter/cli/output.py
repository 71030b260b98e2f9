"""Shared output of all commands: consoles, JSON, notes.

The module decides the width without a terminal, that NO_COLOR means plain text, the marks of a case's length in a table, and
the JSON form of findings, claims and scopes.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sockiter import documents
from sockiter.check.result import Scope
from sockiter.claims import KnownFailure, hazards_of, in_order
from sockiter.errors import Unavailable
from sockiter.files import escaped, write_whole
from sockiter.matrix.matrix import CellVerdict, distinct
from sockiter.streams import discard
from sockiter.verdict import Finding, Kind

# The width without a terminal: wide enough for the path of a case in one line.
WIDTH = 160
WIDTH_MIN = 40


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the program with status 1.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or standard error; its width is the terminal's, or `width`.

    With NO_COLOR, it is no terminal: no color, no bold, no bar.
    """
    stream = sys.stderr if stderr else sys.stdout
    return _Console(
        stderr=stderr,
        width=None if stream.isatty() else width(),
        force_terminal=False if os.environ.get("NO_COLOR") else None,
        highlight=False,
    )


def width() -> int:
    """The columns of what is no terminal's: COLUMNS, where it is a number, or `WIDTH`."""
    columns = os.environ.get("COLUMNS", "")
    return max(int(columns), WIDTH_MIN) if re.fullmatch(r"[0-9]{1,4}", columns) else WIDTH


def elsewhere_mark(out: Console) -> str:
    """The mark of a failure of a socket in whose bucket nothing had changed."""
    return "^" if out.options.ascii_only else "°"


def least_lengths(out: Console, cell_verdicts: Iterable[CellVerdict]) -> dict[Kind, list[str]]:
    """The lengths of the shortest cases of each kind, with marks for `moved` and `elsewhere`."""
    lengths: dict[Kind, list[str]] = {}
    for verdict in distinct(cell_verdicts):
        assert verdict.violation is not None
        is_marked = verdict.elsewhere and hazards_of(verdict.violation.case.operations)
        mark = "*" if verdict.moved else elsewhere_mark(out) if is_marked else ""
        least = f"{verdict.violation.operations}{mark}"
        lengths.setdefault(verdict.kind, []).append(f"[bold red]{least}![/bold red]" if verdict.breaks_a_claim else least)
    return lengths


def print_json(document: Any) -> None:
    """Print one JSON document, with its version, on standard output."""
    click.echo(documents.text(document))


def note(message: str) -> None:
    """Print one line on standard error. A failure to write it does not change the exit status."""
    with suppress(OSError):
        click.echo(f"sockiter: {message}", err=True)
        return
    discard(sys.stderr)


def write(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; raises `Unavailable` if it cannot be written."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise Unavailable(f"{escaped(path)}: cannot be written: {error.strerror}") from None


def note_written(path: Path, text: str) -> None:
    """One line on standard error about a file that was written."""
    size = len(text.encode())
    amount = f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"
    note(f"wrote {escaped(path)} ({amount})")


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names with a reason each, as reasons with all their names in one line."""
    names: dict[str, list[str]] = {}
    for name, reason in pairs:
        names.setdefault(reason, []).append(name)
    return {reason: ", ".join(of) for reason, of in names.items()}


def finding_json(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "socket": finding.socket, "moved": finding.moved, "elsewhere": finding.elsewhere}


def scope_json(scope: Scope) -> dict[str, int | None]:
    return {"sockets": scope.sockets, "buckets": scope.buckets, "batch": scope.batch, "ops": scope.ops}


def known_failure_json(failure: KnownFailure) -> dict[str, Any]:
    return {
        "kind": failure.kind,
        "moved": failure.moved,
        "elsewhere": failure.elsewhere,
        "hazards": in_order(failure.hazards),
    }
