"""The checks of a scheme as assertions: their findings, and their messages."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import settings

from sockiter.cases import loads
from sockiter.check import verify
from sockiter.check.result import Scope
from sockiter.claims import known_failure
from sockiter.errors import SchemeFault
from sockiter.plugins import checked
from sockiter.replay import replay
from sockiter.schemes.scheme import AnyScheme
from sockiter.testing import (
    ClaimBroken,
    SchemeTests,
    assert_canonical_form_is_sound,
    assert_claims_are_proved,
    assert_claims_hold,
    assert_known_failures_happen,
    assert_nothing_new_is_fuzzed,
    checks,
)
from sockiter.testing.machines import fuzz_case, runs
from tests.support.next_keys import Clumsy, Forgetful, Liar, Needless, NextKey, Nothing, Still

SMALL = Scope(2, 1, 1)


class Formless(NextKey):
    hazards = frozenset({"reinsert"})
    known_failures = (known_failure("skip", "reinsert"),)  # type: ignore[assignment]
    canonical = property()


@pytest.fixture
def few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """One search and one merge to compare, each of them small."""
    monkeypatch.setattr(verify, "SEARCHES", ((("remove", "reinsert"), Scope(2, 1, 1, 4)),))
    monkeypatch.setattr(verify, "MERGES", ((("remove", "reinsert"), SMALL),))


def broken(scheme: AnyScheme, message: str) -> str:
    """The text of the case in a message, which the command in it replays."""
    command, _, rest = message.partition("Replay it:\n\n")[2].partition("\n")
    assert command == f"sockiter replay - --target {scheme.name} <<'END'"
    case, _, after = rest.partition("END")
    assert after == ""
    target = checked(scheme)
    with target.session() as session:
        outcome = replay(loads(case), target, session)
    assert outcome.verdict
    assert outcome.as_expected
    return case


@pytest.mark.usefixtures("few_comparisons")
def test_a_scheme_that_is_right_passes_all_checks() -> None:
    assert_claims_hold(NextKey(), examples=8, scope=SMALL)


@pytest.mark.usefixtures("few_comparisons")
def test_the_class_of_tests_has_a_test_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    tests, scheme = SchemeTests(), NextKey()
    tests.test_nothing_new_is_fuzzed(scheme)
    tests.test_claims_are_proved(scheme)
    tests.test_canonical_form_is_sound(scheme)
    assert capsys.readouterr().out == ""
    tests.test_known_failures_happen(scheme)
    printed = capsys.readouterr().out
    for failure in NextKey.known_failures:
        assert f"# {str(failure).capitalize()}, a known failure of next-key.\n" in printed
    assert printed.count("# sockiter case v1\n") == len(NextKey.known_failures)


def test_a_fuzz_breaks_a_claim_with_a_case_to_paste_and_the_command_that_replays_it() -> None:
    scheme = Liar()
    with pytest.raises(ClaimBroken) as raised:
        assert_nothing_new_is_fuzzed(scheme, examples=400)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("next-key: ")
    assert lines[0].endswith(", which it claims not to do, found by the state machine.")
    assert lines[1].startswith("A known failure is declared with: known_failure(")
    case = broken(scheme, str(raised.value))
    assert len(loads(case).operations) <= 7
    assert ", which next-key claims not to do.\nexpect next-key " in case


def test_a_search_breaks_a_claim_with_its_shortest_case() -> None:
    scheme = Liar()
    with pytest.raises(ClaimBroken, match=r"^next-key: .* found by the search of every history\.\n") as raised:
        assert_claims_are_proved(scheme, scope=SMALL)
    assert len(loads(broken(scheme, str(raised.value))).operations) <= 6


def test_a_walk_that_never_ends_is_a_broken_claim_although_nothing_shrinks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SHRINKING_S", -1.0)
    monkeypatch.setattr("sockiter.operations.READS_MAX", 3)
    with pytest.raises(ClaimBroken, match=r"^next-key: (repeat|stuck) under "):
        assert_nothing_new_is_fuzzed(Still())


@pytest.mark.parametrize("check", [assert_nothing_new_is_fuzzed, assert_claims_are_proved])
def test_a_check_is_given_up_when_the_time_is_up(check: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SECONDS_MAX", -1.0)
    assert callable(check)
    with pytest.raises(AssertionError, match=r"next-key did not end within -1 s: it walks for ever, or its states "):
        check(NextKey())


def test_a_search_of_too_many_states_is_given_up_and_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "STATES_MAX", 1)
    monkeypatch.setattr("sockiter.check.search.REPORT", 10)
    with pytest.raises(AssertionError, match=r"^next-key: the search under .* within 1 states, and proves nothing: "):
        assert_claims_are_proved(NextKey(), scope=SMALL)


def test_the_known_failures_are_returned_with_a_case_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.check.search.REPORT", 10)
    cases = assert_known_failures_happen(NextKey())
    assert list(cases) == list(NextKey.known_failures)
    assert cases[known_failure("skip", "reinsert")].comment == ("Skip under reinsert, a known failure of next-key.",)


def test_wrong_known_failures_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_BITES_MAX", 1)
    with pytest.raises(AssertionError) as raised:
        assert_known_failures_happen(Needless(), scope=Scope(2, 2, 1))
    assert str(raised.value).splitlines() == [
        "next-key: wrong known failures:",
        'known_failure("repeat", "add-head") did not happen',
        'known_failure("repeat", "remove", "show", elsewhere=True) takes fewer hazards: '
        'known_failure("repeat", "remove", elsewhere=True)',
        'known_failure("repeat", "reinsert", "show") goes without saying: known_failure("repeat", "reinsert")',
    ]


def test_without_a_canonical_form_short_sequences_are_searched_and_known_failures_are_fuzzed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "OPS_WITHOUT_END", 3)
    monkeypatch.setattr(checks, "SHRINKING_S", 0.0)
    assert_claims_are_proved(Formless())
    assert len(assert_known_failures_happen(Formless())) == 1


@pytest.mark.usefixtures("few_comparisons")
def test_a_canonical_form_that_forgets_is_unsound() -> None:
    with pytest.raises(AssertionError, match=r"^next-key: DISAGREES\n"):
        assert_canonical_form_is_sound(Forgetful())


def test_a_mistake_of_a_scheme_is_its_own_error() -> None:
    with pytest.raises(SchemeFault, match=r"^next-key failed: Clumsy.begin raised IndexError: bucket 3 \("):
        assert_claims_are_proved(Clumsy())


def test_an_object_that_is_no_scheme_is_refused_with_the_reason() -> None:
    nothing: object = Nothing()
    with pytest.raises(AssertionError, match=r"Nothing object at .* is no scheme: it has no summary, progress, "):
        assert_claims_hold(nothing)  # type: ignore[arg-type]


def test_the_runs_of_a_target_are_all_hazards_those_of_each_claim_and_each_alone() -> None:
    named = dict(runs(checked(NextKey())))
    assert next(iter(named)) == "all"
    assert named["without_remove_reinsert"] == {"add-head", "show"}
    assert [hazards for name, hazards in named.items() if len(hazards) == 1] == [
        {"add-head"},
        {"remove"},
        {"reinsert"},
        {"show"},
    ]


def test_the_machine_of_a_scheme_is_a_test_case(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sockiter.testing.machines.settings", lambda: settings(max_examples=3))
        case = fuzz_case(NextKey())
    assert case.__name__ == "next-key.TestCase"
    case("runTest").debug()


def test_the_checks_can_be_imported_without_pytest_and_import_nothing_else_of_the_package() -> None:
    code = "import sys; sys.modules['pytest'] = None; import sockiter.testing; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert sorted(name for name in modules if name.startswith("sockiter")) == [
        "sockiter",
        "sockiter.testing",
        "sockiter.testing.checks",
    ]
    assert not {"hypothesis", "click", "rich", "jinja2", "_pytest"} & set(modules)
