"""Known failures to declare for broken claims: the fewest hazards, and the declaration in Python."""

from __future__ import annotations

import pytest

from sockiter.cases import Case, loads
from sockiter.check import search
from sockiter.claims import Hazard, KnownFailure, hazards_of, known_failure
from sockiter.errors import Unsearchable
from sockiter.fuzzing import suggest
from sockiter.fuzzing.suggest import covers, declaration, suggested
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.targets import SCHEME_TARGETS
from sockiter.verdict import Kind

SKIP = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
# The same, with a change that does not matter.
SKIP_AND_ADD = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nadd C tail\nread all\n")


class Clumsy(OffsetUdp):
    """It fails in a search."""

    def canonical(self, at: object, table: object, where: object) -> object:
        raise Unsearchable("no form")


def found(case: Case, kind: Kind = "skip", *, elsewhere: bool = False) -> TriagedFinding:
    hazards: frozenset[Hazard] = hazards_of(case.operations)
    return TriagedFinding("offset-udp", kind, False, case, hazards, None, 6, 1, 1, elsewhere=elsewhere)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (known_failure("skip", "remove"), 'known_failure("skip", "remove")'),
        (known_failure("skip", "show", "reinsert", moved=True), 'known_failure("skip", "reinsert", "show", moved=True)'),
        (known_failure("skip", "remove", elsewhere=True), 'known_failure("skip", "remove", elsewhere=True)'),
        (known_failure("skip", "enomem", elsewhere=True), 'known_failure("skip", "enomem")'),
        (known_failure("refused"), 'known_failure("refused")'),
    ],
)
def test_a_known_failure_is_written_as_a_scheme_declares_it(failure: KnownFailure, text: str) -> None:
    assert declaration(failure) == text


def test_the_declaration_of_every_known_failure_reads_as_that_known_failure() -> None:
    for target in SCHEME_TARGETS:
        for failure in target.known_failures:
            assert eval(declaration(failure)) == failure


def test_a_suggestion_has_no_hazard_that_it_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REPORT", 1)
    assert suggested(OffsetUdp(), [found(SKIP_AND_ADD)]) == (known_failure("skip", "remove"),)


def test_of_several_findings_each_suggestion_explains_all_that_it_can() -> None:
    findings = [found(SKIP_AND_ADD), found(SKIP), found(SKIP, elsewhere=True)]
    assert suggested(OffsetUdp(), findings) == (known_failure("skip", "remove", elsewhere=True),)


@pytest.mark.parametrize(("scheme", "states_max"), [(Clumsy(), 60_000), (OffsetUdp(), 0)])
def test_where_a_search_comes_to_nothing_the_hazards_of_the_case_stay(
    scheme: AnyScheme, states_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggest, "STATES_MAX", states_max)
    monkeypatch.setattr(search, "REPORT", 1)
    assert suggested(scheme, [found(SKIP_AND_ADD)]) == (known_failure("skip", "add-tail", "remove"),)


def test_a_known_failure_does_not_cover_itself() -> None:
    skip = known_failure("skip", "remove")
    assert not covers(skip, skip)
    assert covers(skip, known_failure("skip", "remove", "show"))
    assert not covers(known_failure("skip", "remove", "show"), skip)
