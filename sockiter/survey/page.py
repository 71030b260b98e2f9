"""Surveys as a page: the progression, and a table with a row for each kernel and a column for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sockiter.report.render import templates
from sockiter.survey.survey import Failure, Survey, TargetSurvey
from sockiter.survey.table import Column, by_hazards, cell, columns, in_order, progression


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell: what is known of a target, its known failures by hazards, and the differences from the row before it."""

    one: TargetSurvey | None
    failures: dict[str, list[Failure]]
    changed: tuple[str, ...] = ()


def page(surveys: Sequence[Survey], command: str) -> str:
    """A page that needs nothing else. `command`: the command line that made it."""
    rows = in_order(surveys)
    of = columns(rows)
    template = templates().get_template("kernels.html")
    return template.render(
        rows=[(survey, [_cell(rows, nth, column) for column in of]) for nth, survey in enumerate(rows)],
        columns=of,
        groups=[(group, len(list(found))) for group, found in groupby(of, key=lambda column: column.group)],
        progression=progression(rows),
        command=command,
    )


def _cell(rows: Sequence[Survey], nth: int, column: Column) -> PageCell:
    one = cell(rows[nth], column.target)
    before = cell(rows[nth - 1], column.target) if nth else None
    shown = by_hazards(one.failures) if one else {}
    if one is None or before is None:
        return PageCell(one, shown)
    changed = []
    if one.missing is None and before.missing is None and one.scheme != before.scheme:
        changed.append(f"scheme: was {before.scheme or 'unknown'}")
    if (one.missing is None) != (before.missing is None):
        changed.append("runs only here" if one.missing is None else "ran before")
    old, new = ({str(failure) for failure in of.failures} for of in (before, one))
    changed += [f"new: {text}" for text in sorted(new - old)]
    changed += [f"no longer: {text}" for text in sorted(old - new)]
    return PageCell(one, shown, tuple(changed))
