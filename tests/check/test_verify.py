"""`sockiter check --verify` finds wrong canonical forms, and names the field that each one forgets."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sockiter.check import everything
from sockiter.check import verify as verification
from sockiter.check.result import Scope, SearchResult
from sockiter.check.search import search as real_search
from sockiter.check.transitions import Opening, Shift, SystemState, Turns
from sockiter.check.verify import (
    Formless,
    Merged,
    Side,
    Trial,
    Trials,
    Verified,
    WrongMerge,
    compared,
    differing,
    divided,
    verify,
    work,
)
from sockiter.claims import Hazard
from sockiter.cli import main
from sockiter.errors import Unavailable, Unsound
from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.schemes.cookie_udp import CookieUdp, State
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import Where
from sockiter.simulation import SchemeTarget
from sockiter.table import Table, empty
from sockiter.targets import target_named
from sockiter.verdict import Signature
from tests.support.inline_workers import work_inline
from tests.support.wrong_canonical_forms import PLANTED, Planted, fixed, with_canonical

SMALL: Any = (
    (("remove", "show"), Scope(2, 1, 1, 5)),
    (("add-head", "enomem"), Scope(2, 1, 1, 5)),
)
MERGES: Any = ((("add-head", "remove", "show"), Scope(3, 1, 1)), (("reinsert", "rollover"), Scope(2, 1, 1)))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SEARCHES", SMALL)
    monkeypatch.setattr(verification, "MERGES", MERGES)


def merged(planted: Planted) -> Merged:
    scheme = with_canonical(planted.scheme, planted.form)
    hazards = frozenset(planted.hazards) & scheme.hazards
    return verification._merged(scheme, hazards, planted.scope, lambda doing: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "forgets",
    [
        pytest.param(name, marks=[pytest.mark.deep] * (not name.startswith(("unix: that", "cookie-udp: its", "restart"))))
        for name, planted in PLANTED.items()
        if planted.fields
    ],
)
def test_the_field_that_a_canonical_form_forgets_is_named(forgets: str) -> None:
    wrong = merged(PLANTED[forgets]).wrong
    assert wrong is not None
    assert wrong.fields == PLANTED[forgets].fields
    assert wrong.sides[0] != wrong.sides[1]
    assert wrong.after
    assert wrong.does[0] != wrong.does[1] or "not possible" in wrong.does


def test_known_a_form_that_forgets_how_far_an_epoch_is_passes_where_versions_are_as_wide_as_they_are() -> None:
    # All versions before open are one state then, and no other one is ever near the end of an epoch.
    assert merged(PLANTED["index-detect: how far its epoch is"]).wrong is None


def test_two_concrete_states_and_the_operation_that_separates_them_are_reported() -> None:
    wrong = merged(PLANTED["unix: that it is done"]).wrong
    assert wrong is not None
    (one, other) = wrong.sides
    assert one.at.replace("done=True", "done=False") == other.at.replace("done=True", "done=False")
    assert {"done=True" in one.at, "done=True" in other.at} == {True, False}
    assert one.table.startswith("[s")
    assert " ver=" in one.table
    assert wrong.after == ("the socket is shown, and the read continues",)


def test_a_form_that_is_right_is_found_right() -> None:
    reported: list[str] = []
    result = verify(CookieUdp(), reported.append)
    assert result.agrees
    assert result.has_form
    assert [one.canonical for one in result.searches] == [one.everything for one in result.searches]
    assert any(one.everything for one in result.searches)
    (merge,) = result.merges  # its versions do not roll over
    assert (merge.complete, merge.wrong, merge.agrees) == (True, None, True)
    assert merge.compared > merge.states > 0
    assert reported[0] == "cookie-udp under remove, show: searches"
    assert reported[-1] == "cookie-udp under add-head, remove, show: merged states"
    assert any(doing.endswith("sequences") for doing in reported)


def test_a_scheme_without_a_canonical_form_is_compared_with_every_sequence_alone() -> None:
    result = verify(Formless(Rank()))
    assert (result.has_form, result.merges, result.agrees) == (False, (), True)
    assert {one.canonical for one in result.searches} == {None}


def test_a_search_that_reports_what_does_not_happen_disagrees() -> None:
    wrong = with_canonical(OffsetUdp(), fixed(bucket=9))
    one = verification._compare(wrong, frozenset({"remove", "show"}), Scope(2, 2, 1, 5), lambda doing: None)
    assert not one.agrees
    assert (one.canonical, "but the oracle does not" in one.why) == (None, True) or one.canonical != one.literal


def test_where_states_have_no_end_those_that_were_reached_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "STATES_MAX", 30)
    numbered = with_canonical(
        CookieUdp(), lambda self, at, table, where: (table.ver, CookieUdp().canonical(at, table, where))
    )
    hazards: frozenset[Hazard] = frozenset({"reinsert", "remove"})
    result = compared(numbered, hazards, Scope(2, 1, 1), states_max=30)
    assert (result.complete, result.states) == (False, 30)
    assert (
        verification._smallest(verification.Merging(numbered, hazards, Scope(2, 1, 1)), replace_differences(result)) is None
    )


def replace_differences(result: verification.Compared) -> verification.Compared:
    """The same, with a pair that does lead on alike among its differences."""
    state = _state(State(0, (), 2), empty((("", 1),)))
    return result._replace(differences=((state, state),))


def test_a_pair_of_states_without_a_separating_operation_is_reported_without_one() -> None:
    state = _state(State(0, (), 2), empty((("", 1),)))
    literal = verification.Merging(Formless(CookieUdp()), frozenset(), Scope(1, 1, 1))
    wrong = verification._smallest(literal, verification.Compared(1, 1, 1, ((state, state),), True))
    assert wrong is not None
    assert (wrong.after, wrong.does) == ((), ("", ""))


def test_equivalent_states_are_in_one_class() -> None:
    step = ("read", Opening(), 1)
    assert divided([[step], [("read", Opening(), 0)], [("open", Opening(), 9)]]) == [0, 0, 1]


def _state(at: object, table: Table) -> SystemState:
    return SystemState(table, Where(table, 2), at)


@dataclass(frozen=True)
class Spot:
    bucket: int
    name: str


def test_names_of_sockets_do_not_count_and_their_positions_do() -> None:
    table = empty((("", 1),)).after(Add("A", "tail")).after(Add("B", "tail"))
    other = empty((("", 1),)).after(Add("C", "tail")).after(Add("D", "tail"))
    assert differing(_state(Spot(0, "A"), table), _state(Spot(0, "C"), other)) == ((), ())
    assert differing(_state(Spot(0, "A"), table), _state(Spot(1, "D"), other)) == (("Spot.bucket", "Spot.name"), ())
    assert differing(_state(("A", "x"), table), _state(("A", "y"), table)) == (("tuple",), ())
    assert differing(_state((1,), table), _state(("A",), table)).at == ("tuple",)
    fewer = table.after(Remove("A"))
    assert differing(_state("A", table), _state("A", fewer)) == (
        ("str",),
        ("table.removals", "table.buckets.idx", "table.gone"),
    )


@pytest.mark.parametrize(
    ("line", "inside", "words"),
    [
        (Add("", "head", Bucket(1)), None, "add a socket at the head of bucket 1"),
        (Remove("0"), None, "remove the socket at position 0"),
        (Reinsert("0", "tail"), None, "reinsert the socket at position 0 at the tail"),
        (Rehash("1", Bucket(1)), None, "rehash the socket at position 1 to bucket 1"),
        ("fail", "realloc", "the allocation is refused"),
        (None, "bucket", "the bucket is locked, and the read continues"),
        ("open", None, "open"),
    ],
)
def test_an_operation_is_described_by_position(line: object, inside: str | None, words: str) -> None:
    assert verification._label_text(line, inside) == words


def test_the_effect_of_a_step_is_described_in_words() -> None:
    shift = Shift((0,))
    assert verification._does(("open", shift, 1), "open").startswith("Shift(to=(0,)")
    assert verification._does(("open", shift, 1), "read") == "not possible"


def test_a_step_of_a_read_is_put_in_words() -> None:
    refused = Turns((0, 2), turns=3, looks=1, allocations=1, over=True, refused=True)
    assert verification._does((None, refused, 1), None) == (
        "shows the sockets at positions 0, 2, 3 turns, 1 buckets locked, 1 allocations, returns an error, over"
    )
    assert verification._does((None, Turns(stops=True, over=True), 1), None) == "shows nothing, full"
    assert verification._does((None, Turns(), 1), None) == "shows nothing, waits again"


@pytest.mark.usefixtures("_two_bits")
def test_every_sequence_leaves_out_those_whose_versions_roll_over_and_must_not() -> None:
    scope = Scope(2, 1, 1, 5)
    assert everything.shortest(IndexNarrow(), frozenset(), scope) == {}
    assert everything.shortest(IndexNarrow(), frozenset({"rollover"}), scope) == {Signature("skip", elsewhere=True): 5}


def test_every_sequence_leaves_out_a_tail_where_a_table_has_none() -> None:
    hazards: frozenset[Hazard] = frozenset({"add-tail"})
    every = list(everything.sequences(OffsetTcp(), hazards, Scope(1, 1, 1, 3)))
    assert every
    assert not any(
        isinstance(one, Add) and one.end == "tail" and one.bucket.table == "established"
        for operations in every
        for one in operations
    )


# The command


def sockiter(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="sockiter", catch_exceptions=False)


@pytest.fixture
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, "sockiter.check.verify")


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
def test_different_violations_are_status_1_with_what_each_search_found(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_search_that_reports_what_does_not_happen_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
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
        patch.setattr(verification, "verify", refuse)
        result = sockiter("check", "--verify", "rank", "index")
    assert result.exit_code == 3
    assert result.stdout == (
        "rank: NOT VERIFIED: rank failed\nindex: NOT VERIFIED: index cannot be verified: a Thing in a state\n"
    )


@pytest.mark.usefixtures("_inline")
def test_a_wrong_merge_without_an_operation_behind_it_is_the_field_and_two_states(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = WrongMerge(("State.place",), (Side("1", "[]"), Side("2", "[]")), (), ("", ""))
    merge = Merged(frozenset(), Scope(2, 1, 1), 30, 9, 9, True, wrong)
    monkeypatch.setattr(verification, "verify", lambda scheme, progress: Verified("rank", True, (), (merge,), 0.1))
    result = sockiter("check", "--verify", "rank")
    assert result.exit_code == 1
    assert result.stdout.endswith(
        "`canonical` forgets State.place\n    1: 1\n       table: []\n    2: 2\n       table: []\n"
    )


@pytest.mark.usefixtures("_inline")
def test_states_that_were_not_reached_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Merged(frozenset(), Scope(2, 1, 1), 30, 9, 9, False)
    monkeypatch.setattr(verification, "verify", lambda scheme, progress: Verified("rank", True, (), (few,), 0.1))
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


# The workers


def test_a_worker_that_dies_is_reported_with_the_scheme() -> None:
    trials = Trials([SchemeTarget(Rank())], workers=1)
    (trial,) = trials.trials
    trials._on_death(trial, "ended with exit code 7")
    assert trial.trouble == "the worker that verified rank ended with exit code 7"


def test_the_progress_of_a_worker_is_received() -> None:
    trials = Trials([SchemeTarget(Rank())], workers=1)
    (trial,) = trials.trials
    trials._on_message(trial, ("doing", "rank: searches"))
    assert (trial.doing, trial.trouble) == ("rank: searches", "not verified")


def test_a_worker_stops_at_any_message() -> None:
    ours, theirs = Pipe()
    ours.send("stop")
    work("rank", theirs)
    assert ours.recv() == ("trouble", "interrupted")


def test_progress_on_a_terminal_names_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert Trial(SchemeTarget(Rank())).trouble == "not verified"
