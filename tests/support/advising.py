"""Sources with known risks and measurements, for tests of advice without a search and without a kernel."""

from __future__ import annotations

from collections import Counter

import pytest

from sockiter.advice.advice import SourceAdvice, Way
from sockiter.advice.measure import Measured
from sockiter.advice.risks import EVENTS, Effect, ReaderRisks, Risk
from sockiter.cases import Case, loads
from sockiter.check.result import Scope
from sockiter.claims import Hazard
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.readers import Feature, reader_named
from sockiter.targets import target_named
from tests.support.kernel_targets import with_capabilities

CASE: Case = loads("add A tail\nopen\nread all\n")
SCOPE = Scope(sockets=2, buckets=2, batch=2)
EVENT = {event.name: event for event in EVENTS}


def risk(effect: Effect, *events: str, own: bool = False) -> Risk:
    return Risk(effect, own, tuple(EVENT[name] for name in events), CASE)


def risks(reader: str, *found: Risk, incomplete: str = "") -> ReaderRisks:
    return ReaderRisks("offset-udp", reader_named(reader), SCOPE, found, incomplete)


def way(reader: str, *found: Risk, incomplete: str = "", measured: Measured | None = None) -> Way:
    return Way(reader_named(reader), risks(reader, *found, incomplete=incomplete), measured)


def measured(reader: str, effects: dict[tuple[Effect, bool], int], *, walks: int = 1000) -> Measured:
    cases = dict.fromkeys(effects, CASE)
    return Measured("kernel:udp", reader_named(reader), "7", walks, Counter(effects), cases, 1.5)


def of_scheme(*ways: Way) -> SourceAdvice:
    return SourceAdvice(target_named("offset-udp"), "offset-udp", list(ways))


def of_kernel(*ways: Way) -> SourceAdvice:
    return SourceAdvice(KERNEL_UDP, "offset-udp", list(ways))


def detected(
    monkeypatch: pytest.MonkeyPatch,
    scheme: str | None = "offset-udp",
    *,
    unable: tuple[Hazard, ...] = (),
    lacks: tuple[Feature, ...] = (),
) -> None:
    """Every kernel target seems to run here, and to walk by this scheme."""
    why = "it is a small one"
    with_capabilities(
        monkeypatch, Capabilities(unable=dict.fromkeys(unable, why), scheme=scheme, lacks=dict.fromkeys(lacks, why))
    )
