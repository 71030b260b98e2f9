"""The risks of readers: complete, least, and shown by cases that fail as they say."""

from __future__ import annotations

import pytest

from sockiter.advice.risks import EVENTS, TIMES, ReaderRisks, effect_of, risks_of, scope_of
from sockiter.backend import run
from sockiter.check.result import Scope
from sockiter.check.search import StopSearch, search
from sockiter.claims import HAZARDS
from sockiter.oracle import judge
from sockiter.readers import PARTIAL, READERS, SILENT, WHOLE, Reader, reader_named
from sockiter.schemes import SCHEMES
from sockiter.simulation import SchemeTarget

SCHEME = {scheme.name: scheme for scheme in SCHEMES}
SMALL = Scope(sockets=2, buckets=1, batch=1)


def small(scheme: str, reader: str) -> ReaderRisks:
    return risks_of(SCHEME[scheme], reader_named(reader), SMALL)


def briefly(risks: ReaderRisks) -> set[tuple[str, bool, str]]:
    return {(risk.effect, risk.own, "+".join(event.name for event in risk.events)) for risk in risks.risks}


def test_the_events_cover_every_hazard_that_a_program_can_cause() -> None:
    covered = TIMES.union(*(event.hazards for event in EVENTS))
    assert set(HAZARDS) - covered == {"destroy", "destroying", "rollover"}  # as remove, the reader's own, and not a kernel's


def test_a_count_loses_a_neighbour_of_a_socket_that_leaves_if_a_reader_stops_and_not_in_one_silent_walk() -> None:
    assert ("lost", False, "leave") in briefly(small("offset-udp", "partial"))
    assert not {risk for risk in briefly(small("offset-udp", "silent")) if risk[0] == "lost" and risk[2] == "leave"}


def test_a_rank_doubles_when_a_socket_opens_between_two_reads_and_a_second_walk_joins_that_away() -> None:
    assert ("doubled", False, "open") in briefly(small("rank", "partial"))
    assert not {risk for risk in briefly(small("rank", "partial-twice")) if risk[0] == "doubled"}


def test_a_socket_that_a_destroying_reader_loses_survives() -> None:
    partial = reader_named("partial-destroying")
    assert (effect_of("skip", PARTIAL), effect_of("skip", partial)) == ("lost", "survives")
    assert effect_of("repeat", partial) == effect_of("repeat", PARTIAL) == "doubled"
    effects = {risk[0] for risk in briefly(small("offset-udp", "partial-destroying"))}
    assert "survives" in effects
    assert "lost" not in effects


@pytest.mark.parametrize("reader", ["partial-destroying", "partial-destroying-twice"])
def test_a_dump_that_destroys_loses_sockets_although_nothing_else_changes(reader: str) -> None:
    scheme = SCHEME["udp-diag"]
    found = briefly(risks_of(scheme, reader_named(reader), scope_of(scheme, 2)))
    assert {risk for risk in found if risk[:2] == ("survives", False)} == {("survives", False, "")}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_each_case_of_a_risk_reads_as_its_reader_does_and_has_the_effect(reader: Reader) -> None:
    target = SchemeTarget(SCHEME["cookie-udp"])
    for risk in risks_of(target.scheme, reader, SMALL).risks:
        verdict = judge(run(target, target, risk.case.operations, slots=risk.case.slots))
        assert (risk.effect, risk.own) in {(effect_of(finding.kind, reader), finding.moved) for finding in verdict}
        assert reader.allows(risk.case.operations)


@pytest.mark.parametrize("name", ["offset-udp", "unix", "cookie-udp"])
def test_the_risks_name_every_effect_that_a_search_of_all_events_finds(name: str) -> None:
    scheme = SCHEME[name]
    found = risks_of(scheme, WHOLE, SMALL)
    everything = search(scheme, TIMES.union(*(event.hazards for event in EVENTS)), SMALL, reader=WHOLE)
    assert {(risk.effect, risk.own) for risk in found.risks} == {
        (effect_of(violation.kind, WHOLE), violation.moved) for violation in everything.violations
    }
    assert not found.incomplete


def test_the_events_of_a_risk_are_least() -> None:
    scheme = SCHEME["cookie-udp"]
    for risk in risks_of(scheme, SILENT, SMALL).risks:
        for event in risk.events:
            fewer = TIMES.union(*(other.hazards for other in risk.events if other != event))
            violations = search(scheme, fewer, SMALL, reader=SILENT).violations
            assert (risk.effect, risk.own) not in {(effect_of(v.kind, SILENT), v.moved) for v in violations}


def test_a_search_that_is_stopped_leaves_the_risks_incomplete_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.check.search.REPORT", 1)

    def stop(states: int, waiting: int) -> None:
        raise StopSearch("enough")

    assert risks_of(SCHEME["rank"], PARTIAL, SMALL, stop).incomplete == "enough"


def test_a_scheme_has_two_buckets_in_one_table_or_in_two() -> None:
    assert (scope_of(SCHEME["rank"]).buckets, scope_of(SCHEME["cookie-tcp"]).buckets) == (2, 1)
