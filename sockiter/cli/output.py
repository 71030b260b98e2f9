"""What all commands print alike: tables, JSON, a case's findings.

Decided here: the width of what is no terminal's, the marks of a case's length in a table, and the JSON spelling of findings,
claims and scopes.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

import click
from rich.console import Console

from sockiter.check.result import Scope
from sockiter.claims import KnownFailure, hazards_of, in_order
from sockiter.matrix.matrix import CellVerdict, distinct
from sockiter.verdict import Finding, Kind

# Where there is no terminal there is nothing to fit into; this wide, no path of a case is broken in two.
WIDTH = 160


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error, that is as wide as its terminal, or `WIDTH`."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH, highlight=False)


def elsewhere_mark(out: Console) -> str:
    """The mark of harm to a socket in whose bucket nothing had changed."""
    return "^" if out.options.ascii_only else "°"


def least_lengths(out: Console, cell_verdicts: Iterable[CellVerdict]) -> dict[Kind, list[str]]:
    """The lengths of the least cases of each kind, with marks for moved sockets and for those elsewhere."""
    lengths: dict[Kind, list[str]] = {}
    for verdict in distinct(cell_verdicts):
        assert verdict.violation is not None
        is_marked = verdict.elsewhere and hazards_of(verdict.violation.case.operations)
        mark = "*" if verdict.moved else elsewhere_mark(out) if is_marked else ""
        least = f"{verdict.violation.operations}{mark}"
        lengths.setdefault(verdict.kind, []).append(f"[bold red]{least}![/bold red]" if verdict.breaks_a_claim else least)
    return lengths


def print_json(document: Any) -> None:
    """One JSON document, and nothing else, on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def note(message: str) -> None:
    """One line on standard error. Where it cannot be written, the exit status stays as it is."""
    with suppress(OSError):
        click.echo(f"sockiter: {message}", err=True)
        return
    discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Send the unwritten rest of a stream to the null device, or Python would try to write it again at exit.

    Does nothing for a stream without a descriptor.
    """
    with open(os.devnull, "w") as nowhere, suppress(io.UnsupportedOperation):
        os.dup2(nowhere.fileno(), stream.fileno())


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
