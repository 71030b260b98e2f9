"""A trace as a page, with the picture, the table, the explanation and the case."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sockiter.cases import dumps
from sockiter.report.picture import svg_of, title_of
from sockiter.report.render import templates
from sockiter.report.snapshots import Snapshot, look_of, looks, snapshots
from sockiter.report.table import seen
from sockiter.report.trace import Trace
from sockiter.verdict import describe


@dataclass(frozen=True, slots=True)
class Panel:
    """The part of a page that shows one target. `kinds`: the kinds of its findings, each once; `replay`: the command,
    without the file."""

    target: str
    anchor: str
    verdict: str
    kinds: str
    look: str
    sentences: tuple[tuple[str, str], ...]
    snapshots: tuple[Snapshot, ...]
    progress: str
    seen: str
    replay: str
    picture: Markup


def html(trace: Trace, others: Sequence[Trace] = (), absent: Sequence[tuple[str, str]] = ()) -> str:
    """A self-contained page: a trace step by step, its table, picture and explanation, and the case.

    `others`: traces of the same case on other targets, each behind a tab, or beside the first. `absent`: targets without a
    trace, each with the reason.
    """
    return (
        templates()
        .get_template("page.html")
        .render(
            title=title_of(trace),
            panels=[_panel(one, is_first=one is trace) for one in (trace, *others)],
            absent=absent,
            case=dumps(trace.case),
        )
    )


def _panel(trace: Trace, *, is_first: bool) -> Panel:
    of_trace = snapshots(trace)
    return Panel(
        trace.target,
        f"on-{trace.target.replace(':', '-')}",
        describe(trace.verdict),
        ", ".join(dict.fromkeys(finding.kind for finding in trace.verdict)) or describe(trace.verdict),
        look_of(trace),
        tuple(looks(trace)),
        tuple(of_trace),
        trace.progress,
        seen(trace),
        replay_command(trace.target),
        Markup(svg_of(trace, of_trace, is_alone=False, has_style=is_first)),  # made by a template that escapes
    )


def replay_command(target: str) -> str:
    """The command that replays a case on a target, without the case's file."""
    return shlex.join(["sockiter", "replay", "--target", target])
