"""`sockiter check --verify` reports wrong canonical forms, and the field that each one forgets."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sockiter.check import trials as parallel
from sockiter.check import verify as verification
from sockiter.check.differences import Side, WrongMerge
from sockiter.check.result import Scope, SearchResult
from sockiter.check.search import search as real_search
from sockiter.check.trials import Trials
from sockiter.check.verify import Formless, Merged, Verified
from sockiter.cli import main
from sockiter.errors import Unavailable, Unsound
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.verdict import Signature
from tests.support.inline_workers import work_inline
from tests.support.wrong_canonical_forms import PLANTED, with_canonical

SMALL: Any = (
    (("remove", "show"), Scope(2, 1, 1, 5)),
    (("add-head", "enomem"), Scope(2, 1, 1, 5)),
)
MERGES: Any = ((("add-head", "remove", "show"), Scope(3, 1, 1)), (("reinsert", "rollover"), Scope(2, 1, 1)))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SEARCHES", SMALL)
    monkeypatch.setattr(verification, "MERGES", MERGES)


def sockiter(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="sockiter", catch_exceptions=False)


@pytest.fixture
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, "sockiter.check.trials")


def plant(monkeypatch: pytest.MonkeyPatch, name: str, scheme: object) -> None:
    monkeypatch.setattr(target_named(name), "scheme", scheme)


@pytest.mark.usefixtures("_inline")
def test_a_scheme_that_agrees_is_status_0() -> None:
    result = sockiter("check", "--verify", "rank", "cookie-udp")
    assert (result.exit_code, result.stderr) == (0, "")
    rank, cookie = result.stdout.splitlines()
    assert rank.startswith(
        "rank: 2 searches agree with every sequence of operations and with the search without `canonical`; "
    )
    assert cookie.endswith(" merged states are equivalent.")


@pytest.mark.usefixtures("_inline")
def test_a_wrong_merge_is_status_1_with_the_field_and_two_states(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "cookie-udp", with_canonical(*PLANTED["cookie-udp: turns of those that are gone"][:2]))
    result = sockiter("check", "--verify", "cookie-udp")
    assert result.exit_code == 1
    assert result.stdout.startswith("cookie-udp: DISAGREES\n")
    assert "    `canonical` forgets Showing.batch\n" in result.stdout
    assert "    1: Showing(bucket=0" in result.stdout
    assert "    They part after: " in result.stdout
    (document,) = json.loads(sockiter("check", "--verify", "cookie-udp", "--json").stdout)
    assert (document["scheme"], document["canonical"], document["agrees"], document["trouble"]) == (
        "cookie-udp",
        True,
        False,
        None,
    )
    (wrong,) = [merge["wrong"] for merge in document["merges"] if not merge["agrees"]]
    assert wrong["fields"] == ["Showing.batch"]
    assert [sorted(state) for state in wrong["states"]] == [["at", "table"]] * 2
    assert len(wrong["does"]) == 2


@pytest.mark.usefixtures("_inline")
def test_different_violations_are_status_1_with_the_violations_of_each_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(scheme: Any, *arguments: Any, **options: Any) -> SearchResult:
        result = real_search(scheme, *arguments, **options)
        return replace(result, violations=()) if hasattr(scheme, "canonical") else result

    monkeypatch.setattr(verification, "search", search)
    monkeypatch.setattr(verification, "MERGES", ())
    result = sockiter("check", "--verify", "unix")
    assert result.exit_code == 1
    assert "  DIFFERENT VIOLATIONS under remove, show (at most 2 sockets" in result.stdout
    assert "    with `canonical`: nothing\n    without it:       skip elsewhere in 5\n" in result.stdout


@pytest.mark.usefixtures("_inline")
def test_a_search_that_reports_a_false_violation_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(scheme: Any, *arguments: Any, **options: Any) -> SearchResult:
        if hasattr(scheme, "canonical"):
            raise Unsound("rank: the search says skip")
        return real_search(scheme, *arguments, **options)

    monkeypatch.setattr(verification, "search", search)
    result = sockiter("check", "--verify", "rank")
    assert result.exit_code == 1
    assert "    rank: the search says skip\n    without it:" in result.stdout


@pytest.mark.usefixtures("_inline")
def test_a_scheme_without_a_canonical_form_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "rank", Formless(Rank()))
    result = sockiter("check", "--verify", "rank")
    assert result.exit_code == 0
    assert "It has no `canonical`: nothing is merged" in result.stdout
    (document,) = json.loads(sockiter("check", "--verify", "rank", "--json").stdout)
    assert (document["canonical"], document["agrees"], document["merges"]) == (False, True, [])
    assert document["searches"][0]["canonical"] is None


@pytest.mark.usefixtures("_inline")
def test_a_scheme_that_cannot_be_verified_is_status_3_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(scheme: Any, progress: object) -> Verified:
        if scheme.name == "rank":
            raise Unavailable("rank failed")
        raise TypeError("a Thing in a state")

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "verify", refuse)
        result = sockiter("check", "--verify", "rank", "index")
    assert result.exit_code == 3
    assert result.stdout == (
        "rank: NOT VERIFIED: rank failed\nindex: NOT VERIFIED: index cannot be verified: a Thing in a state\n"
    )


@pytest.mark.usefixtures("_inline")
def test_a_wrong_merge_without_an_operation_behind_it_is_the_field_and_two_states(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = WrongMerge(("State.place",), (Side("1", "[]"), Side("2", "[]")), (), ("", ""))
    merge = Merged(frozenset(), Scope(2, 1, 1), 30, 9, 9, True, wrong)
    monkeypatch.setattr(parallel, "verify", lambda scheme, progress: Verified("rank", True, (), (merge,), 0.1))
    result = sockiter("check", "--verify", "rank")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "`canonical` forgets State.place\n    1: 1\n       table: []\n    2: 2\n       table: []\n"
    )


@pytest.mark.usefixtures("_inline")
def test_states_that_were_not_reached_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Merged(frozenset(), Scope(2, 1, 1), 30, 9, 9, False)
    monkeypatch.setattr(parallel, "verify", lambda scheme, progress: Verified("rank", True, (), (few,), 0.1))
    result = sockiter("check", "--verify", "rank")
    assert result.exit_code == 0
    assert "  Not all states were reached under no hazard (at most 2 sockets" in result.stdout


@pytest.mark.parametrize("option", ["--sockets", "--buckets", "--batch", "--ops", "--memory"])
def test_a_scope_of_its_own_goes_with_no_other(option: str) -> None:
    result = sockiter("check", "--verify", "rank", option, 64 if option == "--memory" else 1)
    assert result.exit_code == 2
    assert f"--verify has scopes of its own: expected no {option} with it" in result.stderr


def test_hazards_and_cases_do_not_go_with_it_either() -> None:
    assert sockiter("check", "--verify", "rank", "--hazard", "show").exit_code == 2
    assert sockiter("check", "--verify", "rank", "--cases", "x").exit_code == 2
    assert sockiter("check", "--verify", "kernel:udp").exit_code == 2
    assert sockiter("check", "--verify", "nobody").exit_code == 2


def test_progress_on_a_terminal_names_the_current_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from sockiter.cli import verification as command

    trials = Trials([SchemeTarget(Rank())], workers=1)
    trials.trials[0].doing = "rank: searches [b]"
    shown: list[dict[str, Any]] = []

    class Bar:
        def update(self, task: object, **columns: Any) -> None:
            shown.append(columns)

    def watch(run: object, tell: Any, *, total: int, left: str) -> None:
        trials.running = {None: (None, trials.trials[0])}  # type: ignore[dict-item]
        tell(Bar(), 0)
        assert total == 1

    monkeypatch.setattr(command, "watch", watch)
    command._watch(trials)
    assert shown == [{"completed": 0, "description": r"rank: searches \[b]"}]


def test_a_signature_is_printed_in_words() -> None:
    from sockiter.cli.verification import _words

    assert _words(Signature("skip", True), 6) == "skip of a moved socket in 6"
    assert _words(Signature("skip", False, True), 6) == "skip elsewhere in 6"
    assert _words(Signature("stuck"), 4) == "stuck in 4"
