"""`sockiter promise`: its verdicts, its documents and its exit statuses. Nothing is built or booted."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sockiter.survey.survey import Amount, News, Replayed, Survey, TargetSurvey, document
from sockiter.vm import worker
from tests.support.command import sockiter

SKIP = News("replay", "skip B breaks a claim", "skip.case")
CASE = "# sockiter case v1\nadd A head\nadd B head\nopen\nread 1\nremove A\nread all\n"
UDP = TargetSurvey("kernel:udp", scheme="cookie-udp", fuzzed=Amount(1234, 9), conformed=Amount(56, 7))


@dataclass(slots=True)
class Guests:
    """What stands in for the worker: `reports` of the guests, one after the other, and the orders that it got.

    `build` and `run`: the status and the account of each."""

    reports: list[tuple[Survey, Mapping[str, str | None]]] = field(default_factory=list)
    build: tuple[int, dict[str, Any]] = (0, {"outcome": "built", "image": "/built/vmlinuz"})
    run: tuple[int, dict[str, Any]] = (0, {"outcome": "finished"})
    orders: list[dict[str, Any]] = field(default_factory=list)

    def hand_over(self, order: Mapping[str, Any], account: worker.Account) -> int:
        self.orders.append(dict(order))
        status, account.report = self.build if order["do"] == "build-tree" else self.run
        if order["do"] == "run" and self.reports:
            survey, schemes = self.reports.pop(0)
            report = Path(self.observed["report"])
            report.write_text(json.dumps({"survey": document(survey), "schemes": schemes}))
        return status

    def report(self, *targets: TargetSurvey, release: str = "6.12", complete: bool = True, **schemes: str | None) -> None:
        """The next guest reports these targets; `udp`: the scheme that was detected there."""
        survey = Survey("running", release, is_complete=complete, targets=targets, cases={"skip.case": CASE})
        of_udp = schemes.get("udp", "cookie-udp")
        self.reports.append((survey, {one.target: of_udp if one.target == "kernel:udp" else None for one in targets}))

    @property
    def observed(self) -> dict[str, Any]:
        """The order of the last guest's own program."""
        order: dict[str, Any] = json.loads(self.orders[-1]["command"][-1])
        return order


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Guests:
    made = Guests()
    monkeypatch.setattr(worker, "hand_over", made.hand_over)
    (tmp_path / "linux").mkdir()
    monkeypatch.chdir(tmp_path)
    return made


def test_a_tree_that_keeps_its_promise_has_status_0(guests: Guests) -> None:
    guests.report(UDP)
    result = sockiter("promise", "linux", "kernel:udp", "--seed", 7, "--seconds", 2)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "linux: Linux 6.12, seed 7",
        "target walks as promise result case",
        "kernel:udp cookie-udp as cookie-udp kept in 0 cases, 1,234 random sequences, 56 compared",
        "The promise is kept. That is no proof.",
    ]
    build, run = guests.orders
    assert (build["do"], build["tree"], build["patch"]) == ("build-tree", os.path.abspath("linux"), None)
    assert (run["kernel"], run["cases"]) == ("/built/vmlinuz", [os.path.abspath("sockiter-cases")])
    order = guests.observed
    assert (order["targets"], order["seed"], order["seconds"]) == ({"kernel:udp": None}, 7, 2.0)
    assert [path.rpartition("/tests/")[2] for path in order["corpus"]] == ["cases"]
    assert list(Path("sockiter-cases").iterdir()) == []


def test_a_broken_claim_has_status_1_and_a_saved_case(guests: Guests) -> None:
    guests.report(replace(UDP, news=(SKIP,)))
    result = sockiter("promise", "linux", "kernel:udp", "--cases", "broken")
    assert result.exit_code == 1
    assert "BROKEN skip B under remove" in result.stdout
    assert result.stdout.endswith("The promise is broken, on kernel:udp.\n")
    assert Path("broken/skip.case").read_text() == CASE


def test_a_finding_of_random_sequences_names_its_hazards_itself(guests: Guests) -> None:
    guests.report(replace(UDP, news=(News("fuzz", "kernel:udp: skip under remove", "skip.case"),)))
    assert "BROKEN skip under remove " in sockiter("promise", "linux", "kernel:udp").stdout


def test_a_case_that_was_found_now_stays_as_it_is(guests: Guests) -> None:
    Path("sockiter-cases").mkdir()
    Path("sockiter-cases/skip.case").write_text("found now")
    guests.report(replace(UDP, news=(SKIP,)))
    sockiter("promise", "linux", "kernel:udp")
    assert Path("sockiter-cases/skip.case").read_text() == "found now"


def test_a_walk_unlike_the_meant_scheme_is_named_with_the_claims_that_it_breaks(guests: Guests) -> None:
    guests.report(replace(UDP, news=(SKIP,)), udp="offset-udp")
    result = sockiter("promise", "linux", "kernel:udp", "--scheme", "cookie-udp")
    assert result.exit_code == 1
    assert "UNLIKE kernel:udp walks as offset-udp, not cookie-udp" in result.stdout
    assert "BROKEN skip B" in result.stdout
    assert guests.observed["targets"] == {"kernel:udp": "cookie-udp"}


def test_an_unknown_walk_promises_no_failure(guests: Guests) -> None:
    guests.report(replace(UDP, scheme=None, fuzzed=None, conformed=None), udp=None)
    result = sockiter("promise", "linux", "kernel:udp")
    assert " ".join(result.stdout.splitlines()[2].split()) == "kernel:udp no known scheme no failure kept in 0 cases"


def test_the_document_has_the_verdict(guests: Guests, tmp_path: Path) -> None:
    (tmp_path / "a.patch").touch()
    differs = News("conform", "kernel:udp and cookie-udp differ at read 1", "differs.case")
    guests.report(UDP, release="6.11", udp="offset-udp")
    guests.report(replace(UDP, news=(SKIP, differs)), TargetSurvey("kernel:tcp", missing="no BTF"))
    options = ("--patch", "a.patch", "--base", "linux-image-6.11", "--kind", "skip", "--hazard", "remove", "--seed", 7)
    result = sockiter("promise", "linux", "kernel:*", *options, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    (udp,) = found.pop("targets")
    assert found == {
        "version": 1,
        "tree": "linux",
        "patch": "a.patch",
        "linux": "6.12",
        "base": "linux-image-6.11",
        "base_linux": "6.11",
        "kind": "skip",
        "hazards": ["remove"],
        "seed": 7,
        "seconds": 60.0,
        "kept": False,
        "trouble": None,
        "not_there": [{"target": "kernel:tcp", "missing": "no BTF"}],
    }
    case = os.path.abspath("sockiter-cases/skip.case")
    assert udp["broken"] == [{"by": "replay", "text": SKIP.text, "kinds": ["skip"], "hazards": ["remove"], "case": case}]
    assert udp["differences"] == [{"by": "conform", "text": differs.text, "case": "differs.case"}]
    assert (udp["walks_by"], udp["base_walks_by"], udp["unlike"]) == ("cookie-udp", "offset-udp", False)
    base, build, _ = guests.orders
    assert (base["kernel"], build["patch"]) == ("linux-image-6.11", os.path.abspath("a.patch"))
    # Of a target, the base decides what it is meant to be.
    assert guests.observed["targets"]["kernel:udp"] == "offset-udp"


def test_changes_against_the_base_are_in_the_table(guests: Guests) -> None:
    guests.report(replace(UDP, replayed=(Replayed("a.case", ("skip A",), None),)))
    guests.report(
        replace(UDP, replayed=(Replayed("a.case", (), None),), news=()), TargetSurvey("kernel:tcp", missing="no BTF")
    )
    result = sockiter("promise", "linux", "kernel:*", "--base", "linux")
    assert result.exit_code == 0
    assert "not shown any more: skip A" in result.stdout
    assert "Against linux: Linux 6.12" in result.stdout
    assert "Not there: kernel:tcp: no BTF" in result.stdout


def test_differences_are_in_the_table_and_break_nothing(guests: Guests) -> None:
    guests.report(replace(UDP, news=(News("replay", "ok, not skip A", "a.case"),)))
    result = sockiter("promise", "linux", "kernel:udp")
    assert (result.exit_code, "differs: ok, not skip A" in result.stdout) == (0, True)


def test_of_many_differences_the_table_has_some_and_the_number_of_the_others(guests: Guests) -> None:
    guests.report(replace(UDP, news=tuple(News("replay", "ok, not skip A", f"{n}.case") for n in range(5))))
    result = sockiter("promise", "linux", "kernel:udp")
    assert result.stdout.count("differs: ") == 3
    assert "2 more results differ: --json lists them" in result.stdout


def test_a_tree_that_does_not_build_has_status_125_and_one_line(guests: Guests) -> None:
    guests.build = (3, {"trouble": "linux does not build: udp.c:1: error: no"})
    result = sockiter("promise", "linux", "kernel:udp", "--json")
    assert (result.exit_code, result.stderr) == (125, "sockiter: linux does not build: udp.c:1: error: no\n")
    assert json.loads(result.stdout)["status"] == 125


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ((3, {"trouble": "the guest did not come up"}), "linux-image-6: the guest did not come up"),
        ((124, {"outcome": "timed out"}), "linux-image-6: the trial ended with status 124"),
    ],
)
def test_a_kernel_that_does_not_boot_has_status_125(guests: Guests, run: tuple[int, dict[str, Any]], message: str) -> None:
    guests.run = run
    result = sockiter("promise", "linux-image-6", "kernel:udp")
    assert (result.exit_code, result.stderr) == (125, f"sockiter: {message}\n")


def test_a_break_before_a_crash_is_one_all_the_same(guests: Guests) -> None:
    guests.run = (3, {"trouble": "perhaps by a crash of the kernel"})
    guests.report(replace(UDP, news=(SKIP,)), complete=False)
    result = sockiter("promise", "linux", "kernel:udp")
    assert result.exit_code == 1
    assert "Cut short: perhaps by a crash of the kernel" in result.stdout


@pytest.mark.parametrize(
    ("target", "complete", "message"),
    [
        (UDP, False, "Linux 6.12: not all was tried"),
        (replace(UDP, trouble="no room"), True, "Linux 6.12: kernel:udp: no room"),
        (
            replace(UDP, missing="no BTF"),
            True,
            "Linux 6.12: kernel:udp does not run there: no BTF; no target runs there: no BTF",
        ),
    ],
)
def test_a_trial_without_a_break_that_is_not_whole_is_no_verdict(
    guests: Guests, target: TargetSurvey, complete: bool, message: str
) -> None:
    guests.report(target, complete=complete)
    result = sockiter("promise", "linux", "kernel:udp")
    assert (result.exit_code, result.stderr) == (125, f"sockiter: {message}\n")


def test_a_directory_of_cases_that_cannot_be_made_leaves_no_verdict(guests: Guests) -> None:
    Path("file").touch()
    result = sockiter("promise", "linux", "kernel:udp", "--cases", "file/cases")
    assert (result.exit_code, "file/cases: cannot be made: Not a directory" in result.stderr) == (125, True)
    assert guests.orders == []


def test_wrong_input_that_only_a_build_finds_has_status_2(guests: Guests) -> None:
    guests.build = (2, {"trouble": "linux: no source of a kernel"})
    result = sockiter("promise", "linux", "kernel:udp")
    assert (result.exit_code, result.stderr) == (2, "sockiter: linux: no source of a kernel\n")


def test_an_interrupted_trial_has_status_130(guests: Guests) -> None:
    guests.build = (130, {"trouble": "interrupted"})
    assert sockiter("promise", "linux", "kernel:udp").exit_code == 130


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("index",), "index is no kernel's iterator: expected one of kernel:udp, "),
        (("kernel:upd",), "no target is named 'kernel:upd': did you mean 'kernel:udp'?"),
        (
            ("kernel:udp", "--scheme", "cookie-tcp"),
            "--scheme cookie-tcp: no target is meant to have it: expected one of ",
        ),
        (("--scheme", "index"), "--scheme index: no target is meant to have it: expected one of "),
        (
            ("kernel:udp", "--scheme", "cookie-udp", "--scheme", "offset-udp"),
            "--scheme offset-udp: kernel:udp is meant to have cookie-udp already",
        ),
    ],
)
def test_names_that_do_not_fit_are_wrong_usage(guests: Guests, words: tuple[str, ...], message: str) -> None:
    result = sockiter("promise", "linux", *words)
    assert (result.exit_code, message in result.stderr) == (2, True)
    assert guests.orders == []


def test_a_scheme_without_a_target_stands_for_the_targets_that_can_have_it(guests: Guests) -> None:
    guests.report(UDP)
    sockiter("promise", "linux", "--scheme", "cookie-udp")
    assert guests.observed["targets"] == {"kernel:udp": "cookie-udp"}


def test_a_patch_needs_a_source_tree(guests: Guests, tmp_path: Path) -> None:
    (tmp_path / "a.patch").touch()
    result = sockiter("promise", "linux-image-6", "--patch", "a.patch")
    message = "sockiter: --patch a.patch: linux-image-6 is no source tree: expected one to apply it to\n"
    assert (result.exit_code, result.stderr) == (2, message)


@pytest.mark.parametrize("name", ["boot/vmlinuz-6", "linux-image-6.deb"])
def test_a_folder_with_a_kernel_is_no_source_tree(guests: Guests, name: str) -> None:
    path = Path("kernel", name)
    path.parent.mkdir(parents=True)
    path.touch()
    guests.report(UDP)
    sockiter("promise", "kernel", "kernel:udp")
    assert [order["do"] for order in guests.orders] == ["run"]
