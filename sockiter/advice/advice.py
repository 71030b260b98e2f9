"""Advice on a source: the readers that it offers with their risks, and the reader to prefer.

A source is a way to list or to destroy sockets: an iterator, a file or a dump of the running kernel, or a scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sockiter.advice.measure import Measured
from sockiter.advice.risks import EFFECTS, Effect, ReaderRisks, Risk
from sockiter.backend import Target
from sockiter.readers import FROM_A_PROGRAM, PARTIAL, READERS, Reader, reader_named
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import is_dump
from sockiter.simulation import SchemeTarget


@dataclass(slots=True)
class Way:
    """One reader of a source: its risks, and its measurement on the kernel. `trouble`: the reason for a missing result."""

    reader: Reader
    risks: ReaderRisks | None = None
    measured: Measured | None = None
    trouble: str = ""


@dataclass(slots=True)
class SourceAdvice:
    """All ways to read a source. `scheme`: the scheme that was searched."""

    target: Target
    scheme: str
    ways: list[Way] = field(default_factory=list)

    def best(self, *, destroys: bool) -> Way | None:
        """The destroying way with the fewest risks, or the other way with the fewest; None without a complete search."""
        ways = [way for way in self.ways if way.reader.destroys == destroys and way.risks and not way.risks.incomplete]
        return min(ways, key=_badness, default=None)


@dataclass(frozen=True, slots=True)
class Situation:
    """A kind of program: its description, its way to read, and patterns for its sources."""

    name: str
    summary: str
    reader: Reader
    sources: tuple[str, ...]


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "cilium",
        "a BPF iterator whose program destroys the sockets that it wants, and writes the cookies of the destroyed",
        reader_named("partial-destroying"),
        ("kernel:udp", "kernel:tcp"),
    ),
    Situation(
        "ss-K",
        "a dump by sock_diag, with a request to destroy each socket that it shows, as `ss -K` sends it",
        reader_named("partial-destroying"),
        ("kernel:udp-diag", "kernel:tcp-diag"),
    ),
    Situation(
        "proc-line-by-line",
        "a file of /proc/net, read a few lines at a time",
        PARTIAL,
        ("kernel:proc-*",),
    ),
)


def readers_of(target: Target) -> tuple[Reader, ...]:
    """The readers that a target offers on this machine."""
    destroys = "destroying" in target.hazards
    return tuple(reader for reader in READERS if reader.is_offered(target.features, destroys=destroys))


def recommendation(source: SourceAdvice, *, destroys: bool) -> str:
    """One sentence: the way to prefer, and its remaining risks; "" without a complete search.

    A dump has no program. Its reader can also destroy sockets when the dump is over.
    """
    way = source.best(destroys=destroys)
    if way is None or way.risks is None:
        return ""
    advice, risks = way.reader.advice, way.risks.risks
    if destroys and _is_dump(source):
        advice = advice.replace(FROM_A_PROGRAM, ", and destroy each socket by a request")
        listing = source.best(destroys=False)
        if listing is not None and listing.risks is not None and _badness(listing)[:-3] < _badness(way)[:-3]:
            advice = f"list all sockets first, and destroy them then; to list, {listing.reader.advice}"
            risks = tuple(
                replace(risk, effect="survives") if risk.effect == "lost" else risk for risk in listing.risks.risks
            )
    return f"{advice[:1].upper()}{advice[1:]}: {remaining(risks)}."


def _is_dump(source: SourceAdvice) -> bool:
    schemes = {scheme.name: scheme for scheme in SCHEMES}
    scheme = source.target.scheme if isinstance(source.target, SchemeTarget) else schemes.get(source.scheme)
    return scheme is not None and is_dump(scheme)


def remaining(risks: Sequence[Risk]) -> str:
    """What can still happen to a socket, the worst first; risks that need an allocation to fail are summed up."""
    parts: dict[str, list[str]] = {}
    for risk in risks:
        if not risk.is_rare and risk.effect != "error":
            parts.setdefault(f"a socket {IN_WORDS[risk.effect]}", []).append(causes(risk))
    words = [f"{what} when {', or when '.join(dict.fromkeys(when))}" for what, when in parts.items()]
    text = "; ".join(words) if words else "no search found a socket lost or listed twice"
    if any(risk.is_rare and risk.effect != "error" for risk in risks):
        text += ", unless an allocation fails" if not words else "; more if an allocation fails"
    if any(risk.effect == "error" for risk in risks):
        text += "; after an error, start over"
    return text


IN_WORDS: dict[Effect, str] = {
    "lost": "is lost",
    "survives": "survives",
    "doubled": "is listed twice",
    "endless": "is walked for ever",
    "error": "is missed, with an error that the reader sees",
}
"""What becomes of a socket, by effect."""


def causes(risk: Risk) -> str:
    """The events of a risk in words. Of a risk of a socket's own, an event that can be its own is."""
    return " and ".join(event.own if risk.own and event.own else event.summary for event in risk.events) or "nothing changes"


# To a reader that destroys, a lost socket survives.
_IS_LOST: dict[Effect, Effect] = {"survives": "lost"}


def _badness(way: Way) -> tuple[object, ...]:
    # A walk that loses sockets by itself is worst. Losses are worse than doubles; those that befall others are worse than
    # those of a socket that changed itself; and those that need an allocation to fail are rare. Between equals, the way with
    # less work.
    assert way.risks is not None
    ordinary = [risk for risk in way.risks.risks if not risk.is_rare]
    counts = [
        sum((_IS_LOST.get(risk.effect, risk.effect), risk.own) == (effect, own) for risk in risks)
        for risks in (ordinary, way.risks.risks)
        for effect in EFFECTS
        for own in (False, True)
    ]
    reader = way.reader
    always = any(not risk.events and _IS_LOST.get(risk.effect, risk.effect) == "lost" for risk in ordinary)
    return (always, *counts, reader.passes, not reader.silent, reader.stops)


def surprises(source: SourceAdvice, way: Way) -> list[str]:
    """The effects that were measured although no search found them, in words.

    Each is a finding: the kernel does what its model cannot do.
    """
    if way.risks is None or way.risks.incomplete or way.measured is None:
        return []
    admitted = {(risk.effect, risk.own) for risk in way.risks.risks}
    return [
        f"{source.target.name}, {way.reader.name}: a socket{' that changes itself' if own else ''} {IN_WORDS[effect]}, in "
        f"{walks:,} of {way.measured.walks:,} walks"
        for (effect, own), walks in sorted(way.measured.effects.items())
        if (effect, own) not in admitted
    ]
