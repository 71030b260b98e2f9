"""`replay` and the claims: a broken claim is exit status 1, whatever the case expects, and a bare case is a question."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from sockiter.cases import dumps, load, loads
from sockiter.claims import known_failure
from sockiter.fuzzing.campaign import annotated
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget
from sockiter.targets import target_named
from tests.support.command import sockiter
from tests.support.kernel_targets import with_capabilities
from tests.support.paths import CASES

pytestmark = pytest.mark.usefixtures("on_any_machine")

SKIPS = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n"
# One skip that offset-udp is known for, and one socket put in at the head, which makes it repeat another one.
BOTH = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nadd E head\nread 1\nremove E\nremove A\nread all\n"
ON_OFFSET = ("--target", "offset-udp")


def written(directory: Path, text: str) -> Path:
    (path := directory / "written.case").write_text(text, encoding="utf-8")
    return path


def outcome(result: Result) -> Any:
    (only,) = json.loads(result.stdout)
    return only


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """offset-udp claims to have no failures."""
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", ())


@pytest.mark.usefixtures("lying")
def test_a_broken_claim_that_the_case_expects_is_status_1(tmp_path: Path) -> None:
    path = written(tmp_path, f"expect offset-udp skip B\n{SKIPS}")
    result = sockiter("replay", path, *ON_OFFSET)
    assert (result.exit_code, result.stdout) == (1, f"{path}\n  offset-udp  skip B, CLAIM BROKEN\n")
    as_json = sockiter("replay", path, *ON_OFFSET, "--json")
    assert as_json.exit_code == 1
    skip = {"kind": "skip", "socket": "B", "moved": False, "elsewhere": False}
    assert outcome(as_json)["claims_broken"] == outcome(as_json)["verdict"] == [skip]
    assert (outcome(as_json)["as_expected"], outcome(as_json)["compared"]) == (True, True)


@pytest.mark.usefixtures("lying")
def test_a_broken_claim_is_reported_with_the_seed_and_the_kernel_of_its_fuzz(tmp_path: Path) -> None:
    found = TriagedFinding("offset-udp", "skip", False, loads(SKIPS), frozenset({"remove"}), None, 1, 1, 1, shortest=True)
    target = target_named("offset-udp")
    with target.session() as session:
        case = annotated(found, session, driver="swarm", seed="7/offset-udp/swarm/0")
    path = written(tmp_path, dumps(case))
    origin = f"(found with seed 7/offset-udp/swarm/0, Linux {platform.release()})"
    assert f"  offset-udp  skip B, CLAIM BROKEN {origin}\n" in sockiter("replay", path, *ON_OFFSET, "-q").stdout
    as_json = outcome(sockiter("replay", path, *ON_OFFSET, "--json"))
    assert (as_json["seed"], as_json["found_on_linux"]) == ("7/offset-udp/swarm/0", platform.release())
    bare = outcome(sockiter("replay", written(tmp_path, SKIPS), *ON_OFFSET, "--json"))
    assert (bare["seed"], bare["found_on_linux"]) == (None, None)


@pytest.mark.usefixtures("lying")
def test_a_broken_claim_that_the_case_does_not_expect_is_both(tmp_path: Path) -> None:
    path = written(tmp_path, f"expect offset-udp stuck\n{SKIPS}")
    result = sockiter("replay", path, *ON_OFFSET)
    assert result.exit_code == 1
    assert "  offset-udp  skip B, CLAIM BROKEN, NOT AS EXPECTED: stuck\n" in result.stdout


def test_of_several_findings_the_ones_that_break_a_claim_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", (known_failure("skip", "remove"),))
    path = written(tmp_path, f"expect offset-udp skip B\nexpect offset-udp repeat A\n{BOTH}")
    result = sockiter("replay", path, *ON_OFFSET)
    assert result.exit_code == 1
    assert (
        "  offset-udp  skip B, skip C, repeat A, CLAIM BROKEN by repeat A, NOT AS EXPECTED: skip B, repeat A\n"
        in result.stdout
    )


@pytest.mark.usefixtures("lying")
def test_recording_a_broken_claim_writes_it_down_and_is_status_1(tmp_path: Path) -> None:
    path = written(tmp_path, SKIPS)
    result = sockiter("replay", path, *ON_OFFSET, "--record")
    assert (result.exit_code, result.stdout) == (1, f"{path}\n  offset-udp  skip B, CLAIM BROKEN\n")
    assert "\nexpect offset-udp skip B\n" in path.read_text(encoding="utf-8")


def test_a_known_failure_explains_only_findings_under_its_hazards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", (known_failure("skip", "reinsert"),))
    assert sockiter("replay", written(tmp_path, SKIPS), *ON_OFFSET).exit_code == 1


def test_the_rollover_of_narrow_versions_is_a_hazard_of_a_case() -> None:
    path = CASES / "index-narrow-skip-rollover.case"
    assert sockiter("replay", path, "--target", "index-narrow").exit_code == 0


# A case without `expect` lines.


def test_a_case_that_expects_nothing_is_a_question_that_a_known_failure_answers(tmp_path: Path) -> None:
    path = written(tmp_path, SKIPS)
    result = sockiter("replay", path, *ON_OFFSET)
    assert (result.exit_code, result.stdout) == (0, f"{path}\n  offset-udp  skip B, a known failure\n")
    assert sockiter("replay", path, "--target", "index").stdout == f"{path}\n  index  ok\n"
    assert sockiter("replay", path).exit_code == 0
    as_json = outcome(sockiter("replay", path, *ON_OFFSET, "--json"))
    assert (as_json["as_expected"], as_json["compared"], as_json["claims_broken"]) == (True, False, [])


@pytest.mark.usefixtures("lying")
def test_a_case_that_expects_nothing_is_status_1_where_it_breaks_a_claim(tmp_path: Path) -> None:
    path = written(tmp_path, SKIPS)
    result = sockiter("replay", path, *ON_OFFSET)
    assert (result.exit_code, result.stdout) == (1, f"{path}\n  offset-udp  skip B, CLAIM BROKEN\n")


@pytest.mark.usefixtures("lying")
def test_an_iteration_that_was_not_read_to_its_end_breaks_no_claim_and_is_no_failure(tmp_path: Path) -> None:
    path = written(tmp_path, "add A tail\nadd B tail\nopen\nread 1\n")
    result = sockiter("replay", path, *ON_OFFSET)
    assert (result.exit_code, result.stdout) == (0, f"{path}\n  offset-udp  incomplete\n")


# A kernel's iterator that walks by no known scheme: no line of a case is about it, unless it was seen on this kernel.


@pytest.fixture
def unknown_kernel(on_any_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts the sockets shown, and no scheme was detected."""

    @contextmanager
    def session(self: KernelTarget) -> Iterator[object]:
        yield target_named("offset-udp")

    with_capabilities(monkeypatch, Capabilities(scheme=None))
    monkeypatch.setattr(KernelTarget, "session", session)


ELSEWHERE = f"expect kernel:udp skip B  # Linux 6.8\nexpect kernel:udp-diag skip B  # Linux 6.8\n{SKIPS}"


@pytest.mark.usefixtures("unknown_kernel")
def test_a_case_of_another_kernel_is_compared_with_the_claims_of_a_kernel_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, ELSEWHERE)
    unsaid = "not compared: the case has expectations only for Linux 6.8"
    result = sockiter("replay", path, "--target", "kernel:udp")
    assert (result.exit_code, result.stdout) == (1, f"{path}\n  kernel:udp  skip B, CLAIM BROKEN; {unsaid}\n")
    # The messages of its dump hold another number of sockets than in the case.
    with_capabilities(monkeypatch, Capabilities(scheme="udp-diag", ahead=18))
    known = sockiter("replay", path, "--target", "kernel:udp-diag")
    assert (known.exit_code, known.stdout) == (0, f"{path}\n  kernel:udp-diag  skip B, a known failure; {unsaid}\n")


@pytest.mark.usefixtures("unknown_kernel")
def test_a_case_of_another_kernel_is_left_out_where_no_target_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockiter.cli.subject.TARGETS", (target_named("kernel:udp"),))
    result = sockiter("replay", path := written(tmp_path, ELSEWHERE))
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        str(path),
        "  kernel:udp  not run: the case has expectations only for Linux 6.8",
    ]


# Standard input.


def test_standard_input_cannot_be_recorded_into() -> None:
    result = sockiter("replay", "-", "--record")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "sockiter: -: standard input cannot be recorded into: expected files or directories\n"


@pytest.mark.unmeasured
def test_the_corpus_breaks_no_claim() -> None:
    outcomes = json.loads(sockiter("replay", CASES, "--json").stdout)
    assert {one["case"] for one in outcomes if one["claims_broken"]} == set()
    bare = {one["case"] for one in outcomes if not one["compared"]}
    assert bare == {str(path) for path in CASES.glob("*.case") if not load(path).expects} != set()
