"""`sockiter check`: its output, its document and its exit status. The searches are real, and small."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from sockiter.cases import load, loads
from sockiter.check.result import Scope
from sockiter.claims import Hazard, known_failure
from sockiter.cli.options import bytes_of
from sockiter.matrix.compute import OPS_WITHOUT_END, CellWorkers, within_reach
from sockiter.operations import length
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget
from sockiter.targets import SCHEME_TARGETS, target_named
from tests.support.command import sockiter
from tests.support.inline_workers import work_inline


def document(*arguments: object) -> Any:
    result = sockiter("check", *arguments, "--json")
    assert result.stderr == ""
    return json.loads(result.stdout)


def under(*hazards: str) -> list[str]:
    return [word for hazard in hazards for word in ("--hazard", hazard)]


def test_a_claim_that_holds_is_proved_for_sequences_of_any_length() -> None:
    (proved,) = document("index", "--sockets", 5, "--buckets", 1, *under("add-head", "add-tail", "remove", "enomem"))
    assert proved["scheme"] == "index"
    assert proved["hazards"] == ["add-head", "add-tail", "remove", "enomem"]
    assert proved["scope"] == {"sockets": 5, "buckets": 1, "batch": 2, "ops": None}
    assert (proved["complete"], proved["why_incomplete"], proved["violations"], proved["claims"]) == (True, None, [], [])
    assert proved["states"] > 500
    assert proved["transitions"] > proved["states"]


def test_a_refuted_claim_has_its_shortest_case() -> None:
    (searched,) = document("offset-udp", "--sockets", 3, "--buckets", 1, *under("remove"))
    (skip,) = searched["violations"]
    assert (skip["kind"], skip["moved"], skip["admitted"], skip["operations"]) == ("skip", False, True, 6)
    assert skip["name"] == "offset-udp-skip-remove"
    case = loads(skip["case"])
    assert (length(case.operations), case.slots) == (6, 2)
    assert "expect offset-udp skip B" in skip["case"]


def test_harm_where_nothing_changed_in_the_bucket_is_marked_and_in_the_document() -> None:
    arguments = ("rank", "--sockets", 2, "--buckets", 2, *under("remove"))
    (searched,) = document(*arguments)
    (skip,) = [one for one in searched["violations"] if one["elsewhere"]]
    assert (skip["kind"], skip["moved"], skip["name"]) == ("skip", False, "rank-skip-elsewhere-remove")
    text = sockiter("check", *arguments).stdout
    assert "skip 6 and 6°" in text
    assert "°: of a socket in whose bucket nothing had changed." in text


def test_without_hazards_the_scheme_is_searched_under_all_and_each_claim_by_itself() -> None:
    (searched,) = document("cookie-udp", "--sockets", 2, "--buckets", 1)
    assert set(searched["hazards"]) == CookieUdp.hazards
    claims = [set(one["hazards"]) for one in searched["claims"]]
    assert CookieUdp.hazards - {"reinsert", "rehash", "remove", "destroy", "destroying"} in claims
    assert all(one["scheme"] == "cookie-udp" and one["complete"] for one in searched["claims"])


def test_a_bounded_search_reports_its_bound_and_finds_nothing_longer() -> None:
    for ops, found in ((5, 0), (6, 1)):
        (searched,) = document("offset-udp", "--ops", ops, "--buckets", 1, *under("remove"))
        assert (searched["scope"]["ops"], searched["complete"], len(searched["violations"])) == (ops, True, found)


def test_the_table_has_scheme_hazards_lengths_and_proof() -> None:
    result = sockiter("check", "offset-udp", "--buckets", 1)
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("offset-udp"))
    assert "all" in row
    assert "skip 6 and 6*, repeat 6 and 6*" in row
    assert "at most 3 sockets in the table at once, 1 bucket in each table" in " ".join(result.stdout.split())
    assert "offset-udp-skip-remove" in result.stdout
    assert "All claims hold. Within the scope, that is proved." in result.stdout


def test_a_scheme_without_failures_is_reported_as_such() -> None:
    result = sockiter("check", "index", "--buckets", 1, *under("remove"))
    assert "nothing" in result.stdout


@pytest.mark.unmeasured
def test_all_schemes_are_reported_without_their_cases() -> None:
    result = sockiter("check", "--sockets", 1, "--buckets", 1, *under("remove"))
    assert result.exit_code == 0
    for target in SCHEME_TARGETS:
        assert f" {target.name} " in result.stdout
    assert "# sockiter case" not in result.stdout


def test_a_smaller_scope_is_reported_if_versions_roll_over() -> None:
    result = sockiter("check", "index-detect", "--sockets", 4, "--buckets", 2, *under("rollover", "add-tail"))
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "with at most 3 sockets, 1 bucket" in text
    assert "Scope: at most 4 sockets in the table at once, 2 buckets in each table" in text


def test_a_broken_claim_is_status_1_with_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_named("offset-udp")
    monkeypatch.setattr(target, "known_failures", (known_failure("repeat", "add-head"),))
    result = sockiter("check", "offset-udp", "--buckets", 1, *under("remove"))
    assert result.exit_code == 1
    assert "skip 6!" in result.stdout
    assert "CLAIM BROKEN offset-udp-skip-remove" in result.stdout
    assert "All claims hold" not in result.stdout
    assert not document_of_status_1("offset-udp", "--buckets", 1, *under("remove"))[0]["violations"][0]["admitted"]


def document_of_status_1(*arguments: object) -> Any:
    result = sockiter("check", *arguments, "--json")
    assert result.exit_code == 1
    return json.loads(result.stdout)


def test_a_search_that_was_cut_short_proves_nothing_and_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CellWorkers, "run", lambda self, progress=None: None)
    result = sockiter("check", "rank")
    assert result.exit_code == 1
    assert "Incomplete: rank under all: not searched" in result.stdout
    assert "All claims hold" not in result.stdout
    searched = document_of_status_1("rank")[0]
    assert (searched["complete"], searched["why_incomplete"], searched["states"]) == (False, "not searched", 0)


def test_a_memory_limit_cuts_a_search_short_and_keeps_its_findings() -> None:
    many = under("add-head", "add-tail", "remove", "reinsert", "show")
    (searched,) = document_of_status_1("offset-udp", "--sockets", 7, "--memory", 64, "--workers", 1, *many)
    assert not searched["complete"]
    assert {one["kind"] for one in searched["violations"]} == {"skip", "repeat"}
    assert searched["why_incomplete"].startswith("64 MiB of memory are used up")


@pytest.mark.usefixtures("absent_kernel")  # which the case says nothing of
def test_cases_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    assert sockiter("check", "offset-udp", "--buckets", 1, "--cases", tmp_path / "new", *under("remove")).exit_code == 0
    (path,) = (tmp_path / "new").iterdir()
    assert path.name.startswith("offset-udp-skip-remove-")
    assert length(load(path).operations) == 6
    assert sockiter("replay", path).exit_code == 0


def test_a_folder_that_cannot_keep_cases_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = sockiter("check", "offset-udp", "--buckets", 1, "--cases", tmp_path / "file" / "in", *under("remove"))
    assert result.exit_code == 3
    assert "in: cannot be written to" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nobody"], 2, "no target is named 'nobody'"),
        (["kernel:udp"], 2, "kernel:udp is an iterator of the running kernel: it can be fuzzed, but not searched"),
        (["index", "--sockets", "0"], 2, "--sockets"),
        (["index", "--hazard", "rain"], 2, "--hazard"),
    ],
)
def test_an_unsearchable_target_is_reported(arguments: list[str], status: int, message: str) -> None:
    result = sockiter("check", *arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_a_scheme_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_named("index"), "missing", lambda: "it is broken")
    result = sockiter("check", "index")
    assert result.exit_code == 3
    assert "index does not run here: it is broken" in result.stderr


def test_a_scope_is_as_asked_for_unless_versions_roll_over_or_sockets_close_beside_many_other_changes() -> None:
    asked = Scope(5, 2, 2, 9)
    assert asked.under(["remove", "show"]) == asked
    assert asked.under(["rollover", "add-tail"]) == Scope(3, 1, 2, 9)
    assert asked.under(["rollover", "add-tail", "remove"]) == Scope(2, 1, 2, 9)
    assert Scope(1, 1, 2).under(["rollover", "add-tail", "remove"]) == Scope(1, 1, 2)
    few: tuple[Hazard, ...] = ("add-head", "add-tail", "remove")
    successions: list[tuple[Hazard, ...]] = [("close",), ("accept",), ("close", "accept")]
    for succession in successions:
        assert asked.under([*few, "destroy", *succession]) == asked
        assert asked.under([*few, "show", *succession]) == Scope(3, 1, 2, 9)
    assert Scope(2, 1, 2).under([*few, "show", "close"]) == Scope(2, 1, 2)
    assert asked.under([*few, "show", "realloc"]) == asked


def test_the_memory_limit_defaults_to_half_of_the_memory() -> None:
    assert bytes_of(64) == 64 << 20
    assert 1 << 28 < bytes_of(None) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_scheme_without_a_canonical_form_is_searched_to_a_bound() -> None:
    class Inconclusive(Rank):
        canonical = property()

    scope = Scope(3, 1, 2)
    assert within_reach(SchemeTarget(Inconclusive()), frozenset(), scope) == Scope(3, 1, 2, OPS_WITHOUT_END)
    assert within_reach(SchemeTarget(Inconclusive()), frozenset(), Scope(3, 1, 2, 9)) == Scope(3, 1, 2, 9)
    assert within_reach(SchemeTarget(Rank()), frozenset(), scope) == scope


def test_a_scheme_of_one_list_is_searched_with_one_bucket() -> None:
    assert within_reach(target_named("packet-diag"), frozenset(), Scope(3, 2, 2)) == Scope(3, 1, 2)


def test_without_a_name_all_schemes_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.cli.check.SCHEME_TARGETS", (target_named("rank"), target_named("index")))
    monkeypatch.setattr("sockiter.cli.check.PLUGIN_TARGETS", ())
    searched = document("--sockets", 1, "--buckets", 1, *under("remove"))
    assert [one["scheme"] for one in searched] == ["rank", "index"]


class FormlessOffset(OffsetUdp):
    name = "formless"
    canonical = property()


@pytest.fixture
def formless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme without `canonical` is a target, the first search is short, and no worker is a process."""
    work_inline(monkeypatch, "sockiter.matrix.compute")
    targets = (*SCHEME_TARGETS, SchemeTarget(FormlessOffset()))
    monkeypatch.setattr("sockiter.targets.TARGETS", targets)
    for module in ("matrix.compute", "cli.check"):
        monkeypatch.setattr(import_module(f"sockiter.{module}"), "OPS_WITHOUT_END", 4)


NOTE = (
    "sockiter: formless: this scheme has no `canonical`: only sequences of at most 4 operations are searched, "
    "which may take minutes; docs/how-to/write-a-scheme.md says how to write one\n"
)


@pytest.mark.usefixtures("formless")
def test_a_missing_canonical_form_is_reported_before_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = ("--sockets", 1, "--buckets", 1, *under("remove"))
    result = sockiter("check", "formless", *small)
    assert (result.exit_code, result.stderr) == (0, NOTE)
    told = " ".join(result.stdout.split())
    assert "sequences of any length" not in told
    assert told.count("sequences of at most 4 operations") == 1
    assert "Scope: at most 1 socket in the table at once, 1 bucket in each table" in told

    def ended(cells: CellWorkers) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("sockiter.cli.check"), "run", ended)
    assert sockiter("check", "formless", *small).stderr.startswith(NOTE)


@pytest.mark.usefixtures("formless")
def test_beside_a_scheme_with_a_canonical_form_its_row_has_the_length_of_the_sequences() -> None:
    result = sockiter("check", "formless", "index", "--sockets", 1, "--buckets", 1, *under("remove"))
    told = " ".join(result.stdout.split())
    assert "sequences of any length" in told
    assert told.count("sequences of at most 4 operations") == 1


@pytest.mark.usefixtures("formless")
def test_requested_short_sequences_need_no_message() -> None:
    result = sockiter("check", "formless", "--sockets", 1, "--buckets", 1, "--ops", 3, *under("remove"))
    assert (result.exit_code, result.stderr) == (0, "")
