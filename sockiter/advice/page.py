"""The page of an advice: a section for each source, with its recommendation, its risks, and a case of each risk."""

from __future__ import annotations

from collections.abc import Sequence

from sockiter.advice.advice import IN_WORDS, Situation, SourceAdvice, causes, recommendation, surprises
from sockiter.cases import dumps
from sockiter.matrix.matrix import describe
from sockiter.matrix.page import Origin
from sockiter.report.render import templates


def html(sources: Sequence[SourceAdvice], situation: Situation | None, origin: Origin) -> str:
    """A page that needs nothing else."""
    return (
        templates()
        .get_template("advice.html")
        .render(
            sources=sources,
            situation=situation,
            origin=origin,
            recommendation=recommendation,
            surprises=surprises,
            causes=causes,
            in_words=IN_WORDS,
            dumps=dumps,
            describe=describe,
        )
    )
