"""`sockiter targets`: all targets, their known failures, and whether each runs here."""

from __future__ import annotations

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from sockiter.backend import Target
from sockiter.claims import in_order
from sockiter.cli.output import console, known_failure_json, print_json
from sockiter.targets import TARGETS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def targets(*, as_json: bool) -> None:
    """List schemes and kernel iterators, their known failures, and whether each runs here, or why not."""
    if as_json:
        print_json([_json(target) for target in TARGETS])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("target", no_wrap=True)
    table.add_column("summary")
    table.add_column("scheme")
    table.add_column("known failures")
    table.add_column("runs here")
    for target in TARGETS:
        table.add_row(
            escape(target.name),
            escape(target.summary),
            escape(target.detected_scheme or ""),
            "\n".join(str(failure) for failure in target.known_failures) or ("none" if target.hazards else "-"),
            "yes" if (missing := target.missing()) is None else escape(f"no: {missing}"),
        )
    out = console()
    out.print(table)
    out.print("Releases are mainline kernels. Stable branches and distributions differ by backports.")
    out.print("The scheme of a kernel target is detected by trying; the version does not decide.")


def _json(target: Target) -> dict[str, object]:
    missing = target.missing()
    return {
        "target": target.name,
        "summary": target.summary,
        "hazards": in_order(target.hazards),
        "admits": [known_failure_json(failure) for failure in target.known_failures],
        "runs_here": missing is None,
        "missing": missing,
        "walks_by": target.detected_scheme,
    }
