"""Surveys beside each other: their order, the changes from one kernel to a newer one, and a table as text.

`changes(before, after)` compares two surveys of any kernels, as of a tree before and after a patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.schemes import GROUPS
from sockiter.survey.survey import Failure, Survey, TargetSurvey


@dataclass(frozen=True, slots=True)
class CaseChange:
    """A case whose findings on a target differ between two kernels. Without findings, a case is not shown there."""

    target: str
    case: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences between two surveys, over what both have.

    `gone`: cases that the second kernel does not show any more. `new`: those that it newly shows. `other`: those that it
    shows with other findings. `schemes`: targets with another scheme, each with both. `appeared` and `vanished`: targets
    that run on one of the two, and do not on the other.
    """

    gone: tuple[CaseChange, ...] = ()
    new: tuple[CaseChange, ...] = ()
    other: tuple[CaseChange, ...] = ()
    schemes: tuple[tuple[str, str | None, str | None], ...] = ()
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.gone, self.new, self.other, self.schemes, self.appeared, self.vanished))


@dataclass(frozen=True, slots=True)
class Column:
    """A target as a column of the table, and its group: that of its schemes."""

    target: str
    group: str


def in_order(surveys: Iterable[Survey]) -> list[Survey]:
    """The surveys by the versions of their kernels, the oldest first; those of kernels that did not boot come last."""
    return sorted(surveys, key=lambda survey: (not survey.release, version(survey.release)))


def version(release: str) -> tuple[int, ...]:
    """The numbers of a release up to its first letter, to sort by: (6, 1, 0, 47) of 6.1.0-47-amd64."""
    numbers = re.match(r"[\d.+-]*", release)
    assert numbers is not None
    return tuple(int(number) for number in re.findall(r"\d+", numbers[0]))


def changes(before: Survey, after: Survey) -> Changes:
    """The differences between two surveys. A case that one of the two could not run is not compared."""
    old, new = _running(before), _running(after)
    both = [name for name in old if name in new]
    cases = [change for name in both for change in _case_changes(old[name], new[name])]
    return Changes(
        tuple(change for change in cases if not change.after),
        tuple(change for change in cases if not change.before),
        tuple(change for change in cases if change.before and change.after),
        tuple((name, old[name].scheme, new[name].scheme) for name in both if old[name].scheme != new[name].scheme),
        tuple(name for name in new if name in _missing(before)),
        tuple(name for name in old if name in _missing(after)),
    )


def progression(surveys: Sequence[Survey]) -> list[tuple[Survey, Survey, Changes]]:
    """The changes from each kernel to the next newer one, of those that were surveyed."""
    there = [survey for survey in in_order(surveys) if survey.targets]
    return [(before, after, changes(before, after)) for before, after in pairwise(there)]


def columns(surveys: Iterable[Survey]) -> list[Column]:
    """The targets of these surveys, in the order of the groups of their schemes."""
    names = {one.target for survey in surveys for one in survey.targets}
    groups = [group for group, _ in GROUPS]
    found = [Column(target.name, _group_of(target)) for target in KERNEL_TARGETS if target.name in names]
    return sorted(found, key=lambda column: groups.index(column.group))


def cell(survey: Survey, target: str) -> TargetSurvey | None:
    """What a survey knows of a target; None if it was not surveyed there."""
    return next((one for one in survey.targets if one.target == target), None)


def by_hazards(failures: Iterable[Failure]) -> dict[str, list[Failure]]:
    """Known failures by their hazards, in words."""
    found: dict[str, list[Failure]] = {}
    for failure in failures:
        found.setdefault(", ".join(failure.hazards) or "no hazard", []).append(failure)
    return found


def lines(surveys: Sequence[Survey]) -> Iterator[str]:
    """All of it as text: news, the changes from kernel to kernel, and a table with a column for each kernel.

    A row would be too wide for a terminal with all targets, so the table on a page is turned here.
    """
    for survey in surveys:
        for one in survey.targets:
            for news in one.news:
                yield f"NEW on Linux {survey.release}: {one.target}: {news.text} (by {news.by}): {news.case}"
            if one.trouble:
                yield f"Linux {survey.release}: {one.target}: {one.trouble}"
        if survey.trouble:
            yield f"{survey.kernel}: {survey.trouble}"
    for before, after, of in progression(surveys):
        yield ""
        yield f"From Linux {before.release} to {after.release}:"
        yield from (f"  {line}" for line in _changes_as_text(of))
    yield ""
    yield from _table([survey for survey in in_order(surveys) if survey.targets])


def _changes_as_text(of: Changes) -> Iterator[str]:
    if not of:
        yield "no changes"
    for target, before, after in of.schemes:
        yield f"{target} walks by {after or 'no known scheme'}, no longer by {before or 'no known scheme'}"
    for title, found in (("not shown any more", of.gone), ("newly shown", of.new), ("shown otherwise", of.other)):
        for target in dict.fromkeys(change.target for change in found):
            names = [change.case.removesuffix(".case") for change in found if change.target == target]
            yield f"{target}, {title}: {', '.join(names)}"
    if of.appeared:
        yield f"runs only on the newer: {', '.join(of.appeared)}"
    if of.vanished:
        yield f"runs only on the older: {', '.join(of.vanished)}"


def _table(surveys: Sequence[Survey]) -> Iterator[str]:
    if not surveys:
        return
    rows = [("target", *(survey.release for survey in surveys))]
    for column in columns(surveys):
        rows.append((column.target, *(_cell_as_text(cell(survey, column.target)) for survey in surveys)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "A cell has the scheme, and how many of its known failures were seen on that kernel."


def _cell_as_text(one: TargetSurvey | None) -> str:
    if one is None:
        return "-"
    if one.missing is not None:
        return "does not run"
    seen = sum(bool(failure.case) for failure in one.failures)
    mark = "!" if one.news else ""
    return f"{one.scheme or 'unknown'} {seen}/{len(one.failures)}{mark}"


def _running(survey: Survey) -> dict[str, TargetSurvey]:
    return {one.target: one for one in survey.targets if one.missing is None}


def _missing(survey: Survey) -> set[str]:
    return {one.target for one in survey.targets if one.missing is not None}


def _case_changes(before: TargetSurvey, after: TargetSurvey) -> Iterator[CaseChange]:
    new = {one.case: one.findings for one in after.replayed}
    for one in before.replayed:
        if one.case in new and set(one.findings) != set(new[one.case]):
            yield CaseChange(before.target, one.case, one.findings, new[one.case])


def _group_of(target: KernelTarget) -> str:
    return next(group for group, of in GROUPS if any(scheme.name in target.schemes for scheme in of))
