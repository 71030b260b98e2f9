"""KTAP: valid output of `replay`, `fuzz` and `conform`, which says the same as the exit status."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sockiter.cli.ktap import KtapTest, outcome_of, print_ktap
from sockiter.errors import Unavailable
from sockiter.targets import target_named
from tests.support.command import sockiter
from tests.support.inline_workers import work_inline
from tests.support.ktap import Result, parsed
from tests.support.paths import CASES

RFC_SKIP = CASES / "rfc_skip.case"
FUZZ = ("fuzz", "--driver", "swarm", "--workers", "1", "--seed", "7", "--ktap")


@pytest.mark.usefixtures("on_any_machine")
def test_a_replay_has_a_test_for_each_case_and_in_it_for_each_target() -> None:
    result = sockiter("replay", RFC_SKIP, CASES / "unix-skip.case", "--target", "offset-udp", "--target", "unix", "--ktap")
    assert result.exit_code == 0
    first, second = parsed(result.stdout)
    assert first == Result(
        str(RFC_SKIP),
        True,
        parts=[
            Result("offset-udp", True, why="verdict: skip B, as expected"),
            Result("unix", True, why="verdict: skip B, skip C, skip D, as expected"),
        ],
    )
    assert [(part.name, part.is_ok) for part in second.parts] == [("offset-udp", True), ("unix", True)]


@pytest.mark.usefixtures("absent_kernel")
def test_a_replay_that_differs_is_not_ok_and_what_cannot_run_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a # b.case"
    path.write_text("expect rank stuck\nadd A tail\nadd B tail in 1\nopen\nread 1\nread all\n", encoding="utf-8")
    result = sockiter("replay", path, "--target", "rank", "--target", "kernel:*", "--ktap")
    assert result.exit_code == 1
    (only,) = parsed(result.stdout)
    assert (only.is_ok, only.name) == (False, str(path).replace("#", "_"))
    assert (only.parts[0].is_ok, only.parts[0].why) == (False, "verdict: ok, NOT AS EXPECTED: stuck")
    assert {part.directive for part in only.parts[1:]} == {"SKIP"}


@pytest.mark.parametrize("command", [["replay", RFC_SKIP], ["fuzz"], ["conform", "kernel:udp"]])
@pytest.mark.parametrize("options", [["--json", "--ktap"], ["--ktap", "--json"]])
def test_two_forms_at_once_are_wrong_usage(command: list[str], options: list[str]) -> None:
    result = sockiter(*command, *options)
    assert result.exit_code == 2
    assert "--json and --ktap: expected one of them" in result.stderr


def test_a_fuzz_has_a_test_for_each_target(tmp_path: Path) -> None:
    words = [
        "rank",
        "--sequences",
        "30",
        "--seed",
        "1",
        "--workers",
        "1",
        "--driver",
        "swarm",
        "--cases",
        tmp_path,
        "--ktap",
    ]
    result = sockiter("fuzz", *words)
    assert result.exit_code == 0
    (rank,) = parsed(result.stdout)
    assert (rank.name, rank.is_ok) == ("rank", True)
    assert rank.lines[0] == "30 sequences, seed 1"
    assert rank.lines[1].startswith("known failure: ")
    assert rank.lines[1].endswith(".case")


@pytest.fixture
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)


@pytest.mark.usefixtures("_inline", "absent_kernel")
def test_a_broken_claim_is_not_ok_and_has_its_case_and_absent_targets_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", ())
    result = sockiter(*FUZZ, "offset-udp", "kernel:*", "--sequences", "60", "--hazard", "remove", "--cases", tmp_path)
    assert result.exit_code == 1
    broken, *absent = parsed(result.stdout)
    (path,) = tmp_path.glob("*.case")
    assert (broken.name, broken.is_ok) == ("offset-udp", False)
    assert broken.lines[1] == f"claim broken: offset-udp: skip under remove: {path}"
    assert {one.directive for one in absent} == {"SKIP"}


@pytest.mark.usefixtures("_inline")
def test_a_target_that_stops_running_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def session() -> AbstractContextManager[None]:
        raise Unavailable("it went away")

    monkeypatch.setattr(target_named("offset-udp"), "session", session)
    result = sockiter(*FUZZ, "offset-udp", "--sequences", "5", "--cases", tmp_path)
    assert result.exit_code == 3
    (only,) = parsed(result.stdout)
    assert (only.is_ok, only.directive, only.why) == (False, "ERROR", "it went away")


def test_the_outcome_of_parts_is_skip_only_if_all_are_skipped() -> None:
    ok, skipped, failed, error = KtapTest("a", "ok"), KtapTest("b", "skip"), KtapTest("c", "not ok"), KtapTest("d", "error")
    assert outcome_of([skipped, skipped]) == "skip"
    assert outcome_of([ok, skipped]) == "ok"
    assert outcome_of([ok, failed]) == outcome_of([error]) == "not ok"


def test_lines_are_one_line_each_and_names_have_no_hash_sign(capsys: pytest.CaptureFixture[str]) -> None:
    print_ktap([KtapTest("a # b\nc", "error", "it\nfailed", ["x\ny"]), KtapTest("d", "skip")])
    assert capsys.readouterr().out == "KTAP version 1\n1..2\n# x y\nnot ok 1 a _ b c # ERROR it failed\nok 2 d # SKIP\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1..0\n", "1..0"),
        ("KTAP version 1\n1..1\nok 2 a\n", "result 2 after 0"),
        ("KTAP version 1\n1..2\nok 1 a\n", "2 results are planned, and 1 came"),
        ("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 b\nok 1 a\n", "a part of a failed, and it did not"),
        ("KTAP version 1\n1..1\nok 1 a # skip me\n", "read as a directive by some"),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "behind the last result"),
        ("KTAP version 1\n1..1\nfine\n", "no result, and no diagnostic line"),
    ],
)
def test_the_parser_of_these_tests_finds_invalid_output(text: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        parsed(text)
