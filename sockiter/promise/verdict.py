"""The verdict on the survey of a kernel: what breaks its promise, and what changed against another kernel.

The promise is made of the claims of a scheme: the one that an iterator is meant to have, or else the one that it was
detected to use. With a base, it is the scheme of the base, and what the base itself shows breaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sockiter.cases import loads
from sockiter.claims import Hazard, hazards_of
from sockiter.operations import length
from sockiter.survey.survey import News, Survey, TargetSurvey
from sockiter.survey.table import CaseChange, cell, changes
from sockiter.verdict import Kind


@dataclass(frozen=True, slots=True)
class Tried:
    """A kernel that was tried: its survey, and the detected scheme of each target.

    The survey takes each target for one with the scheme that it is meant to have. `trouble`: why it was cut short.
    """

    survey: Survey
    schemes: Mapping[str, str | None]
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class TargetVerdict:
    """The verdict on one iterator. `promised`: the scheme whose claims count; None for the promise to have no failure.

    `walks_by`: the detected scheme. `broken`: what breaks a claim. `unlike`: the detected scheme is not the one that its
    user means it to have. `differences`: results that are not those of the promised scheme, and break no claim. `gone`,
    `new` and `other`: cases with other findings than on the base.
    """

    target: str
    found: TargetSurvey
    promised: str | None
    walks_by: str | None
    broken: tuple[News, ...]
    unlike: bool
    differences: tuple[News, ...]
    gone: tuple[CaseChange, ...] = ()
    new: tuple[CaseChange, ...] = ()
    other: tuple[CaseChange, ...] = ()

    @property
    def is_kept(self) -> bool:
        return not self.broken and not self.unlike


def judged(
    tried: Tried, meant: Mapping[str, str | None], *, base: Tried | None = None, kind: Kind | None = None
) -> Iterator[TargetVerdict]:
    """The verdict on each target that runs on a kernel. `meant`: the scheme that each is meant to have by its user, or None.

    With a `kind`, only failures of that kind are breaks, and a scheme unlike the meant one is none by itself.
    """
    against = None if base is None else changes(base.survey, tried.survey)
    for found in tried.survey.targets:
        if found.missing is not None:
            continue
        before = None if base is None else cell(base.survey, found.target)
        excused = set() if before is None else {(news.by, news.text) for news in before.news}
        news = [one for one in found.news if (one.by, one.text) not in excused]
        broken = [one for one in news if (kinds := kinds_of(one)) and (kind is None or kind in kinds)]
        walks_by, wanted = tried.schemes[found.target], meant[found.target]
        of = (
            tuple(change for change in part if change.target == found.target)
            for part in ((against.gone, against.new, against.other) if against is not None else ())
        )
        yield TargetVerdict(
            found.target,
            found,
            found.scheme,
            walks_by,
            least(broken, tried.survey.cases),
            kind is None and wanted is not None and walks_by != wanted,
            tuple(one for one in news if not kinds_of(one)),
            *of,
        )


def least(broken: Iterable[News], cases: Mapping[str, str]) -> tuple[News, ...]:
    """Of results that break a claim, those with the least hazards for their kinds; of equal hazards, the shortest case."""
    kept: dict[News, frozenset[Hazard]] = {}
    by_size = []
    for news in broken:
        operations = loads(cases[news.case], file=news.case).operations
        by_size.append((hazards_in(news, cases), length(operations), news))
    for hazards, _, news in sorted(by_size, key=lambda one: (len(one[0]), one[1], one[2].case)):
        if not any(kinds_of(news) <= kinds_of(other) and there <= hazards for other, there in kept.items()):
            kept[news] = hazards
    return tuple(kept)


def hazards_in(news: News, cases: Mapping[str, str]) -> frozenset[Hazard]:
    """The hazards of the case of a result: the claim that it breaks is one under these."""
    return hazards_of(loads(cases[news.case], file=news.case).operations)


def kinds_of(news: News) -> frozenset[str]:
    """The kinds of the failures that break a claim; empty for another difference from a scheme."""
    broken = news.text.removesuffix(" breaks a claim")
    if news.by == "fuzz":
        return frozenset({news.text.partition(": ")[2].partition(" ")[0]})
    if broken != news.text:
        return frozenset(finding.partition(" ")[0] for finding in broken.split(", "))
    return frozenset()
