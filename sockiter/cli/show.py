"""`sockiter show`: one case on one target, step by step, and the reasons of its findings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from sockiter.backend import Target
from sockiter.cli.names import target_option
from sockiter.cli.output import finding_json, note_written, print_json, write
from sockiter.cli.subject import choose_targets_of, drop_unneeded_rights, others_named
from sockiter.errors import Unavailable
from sockiter.files import escaped
from sockiter.report.explain import words
from sockiter.report.page import html as page_of
from sockiter.report.picture import svg as picture_of
from sockiter.report.table import table
from sockiter.report.trace import Trace, trace
from sockiter.targets import load_known


@click.command()
@click.argument("case_file", type=click.Path(path_type=Path), metavar="CASE")
@target_option(
    "The target; may be repeated, and a pattern; default: the one that the case is about, or the first that the case "
    "expects to fail."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a self-contained page: the target, and all others in the case's `expect` lines.",
)
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write a picture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def show(case_file: Path, *, names: tuple[str, ...], html: Path | None, svg: Path | None, as_json: bool) -> None:
    """Show a case as the RFC's table (Time, Event, Bucket State, progress), and explain its findings in words.

    CASE is a file, or - for standard input. A case is about the target that its comment names ("found on TARGET"), or that
    its file is named after. Where that is an iterator of the kernel that does not run here, a scheme stands in for it.
    Several targets are shown one after the other; the page and the picture open on the first.
    """
    case = load_known(case_file)
    targets = choose_targets_of(case, names, case_file)
    others, absent = others_named(case, targets[0]) if html is not None else ([], [])
    others = list({other.name: other for other in (*targets[1:], *others)}.values()) if html is not None else []
    absent = [(name, why) for name, why in absent if name not in {other.name for other in others}]
    drop_unneeded_rights([*targets, *others])
    traces = []
    for target in targets:
        with target.session() as session:
            traces.append((target, trace(case, target, session)))
    for path, drawn in ((html, partial(_page, others=others, absent=absent)), (svg, picture_of)):
        if path is not None:
            text = drawn(traces[0][1])
            write(path, text)
            note_written(path, text)
    if as_json:
        first, *rest = [_json(target, case_trace) for target, case_trace in traces]
        print_json({"case": escaped(case_file), **first, **({"others": rest} if rest else {})})
        return
    for nth, (target, case_trace) in enumerate(traces):
        if nth:
            click.echo()
        click.echo(f"{escaped(case_file)} on {target.name}")
        click.echo(table(case_trace), nl=False)


def _json(target: Target, case_trace: Trace) -> dict[str, object]:
    return {
        "target": target.name,
        "rows": [
            {
                "time": row.time,
                "event": row.event,
                "state": row.state,
                "place": row.place,
                "interrupted": row.returned is not None and row.returned.interrupted,
            }
            for row in case_trace.rows
        ],
        "verdict": [finding_json(finding) for finding in case_trace.verdict],
        "words": list(words(case_trace)),
    }


def _page(shown: Trace, others: Sequence[Target], absent: Sequence[tuple[str, str]]) -> str:
    # One that cannot be carried out after all takes nothing from the page but its tab.
    traces: list[Trace] = []
    lacking = list(absent)
    for other in others:
        try:
            with other.session() as session:
                traces.append(trace(shown.case, other, session))
        except Unavailable as error:
            lacking.append((other.name, str(error)))
    return page_of(shown, traces, lacking)
