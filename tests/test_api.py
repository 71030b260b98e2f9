"""The Python interface: its results, the cost of its import, and its reference page."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sockiter
from sockiter import api
from sockiter.check.result import SCOPE
from sockiter.check.search import INTERRUPTED
from sockiter.fuzzing.drivers import DRIVERS, Bite
from sockiter.fuzzing.triage import Triage
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.targets import TARGETS, target_named
from tests.support.command import NO_KERNEL
from tests.support.paths import CASES, ROOT

RFC_SKIP = CASES / "rfc_skip.case"

pytestmark = pytest.mark.usefixtures("on_any_machine")


class Unregistered(OffsetUdp):
    """A scheme that no package has registered, and that claims too much."""

    name = "unregistered"
    known_failures = ()  # type: ignore[assignment]


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """offset-udp claims to have no failures."""
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", ())


# The package.


def test_the_examples_in_the_docstrings_come_out_as_they_say() -> None:
    result = doctest.testmod(api)
    assert (result.failed, result.attempted > 10) == (0, True)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import sockiter; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "sockiter\n"


def test_reading_a_case_imports_neither_hypothesis_nor_the_schemes_nor_the_kernel() -> None:
    code = "import sys, sockiter; sockiter.loads('add A tail\\nopen\\nread all'); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "sockiter.cases" in loaded
    assert {"hypothesis", "click", "rich", "sockiter.targets", "sockiter.kernel", "sockiter.fuzzing"} & loaded == set()


def test_the_package_has_the_names_that_it_lists_each_with_a_docstring() -> None:
    assert set(sockiter.__all__) <= set(dir(sockiter))
    for name in sockiter.__all__:
        assert getattr(sockiter, name).__doc__


def test_a_name_that_is_used_again_is_not_looked_up_again() -> None:
    vars(sockiter).pop("loads", None)
    assert sockiter.loads is api.loads
    assert vars(sockiter)["loads"] is api.loads


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sockiter' has no attribute 'nonsense'"):
        _ = sockiter.nonsense  # type: ignore[attr-defined]


def test_no_name_is_that_of_a_module_which_would_take_its_place() -> None:
    modules = {path.stem for path in Path(sockiter.__file__).parent.iterdir()}
    assert modules & set(sockiter.__all__) == set()


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="this is not a checkout")
def test_the_reference_pages_are_generated_from_the_schemas_and_docstrings() -> None:
    command = [sys.executable, str(ROOT / "docs" / "reference" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# Cases.


def test_a_case_is_saved_and_loaded_by_texts_and_by_paths(tmp_path: Path) -> None:
    case = sockiter.load(str(RFC_SKIP))
    path = sockiter.save(case, str(tmp_path / "new"), "skip")
    assert path.parent == tmp_path / "new"
    assert sockiter.load(path) == case == sockiter.loads(sockiter.dumps(case))


def test_a_case_that_cannot_be_read_is_an_input_error_with_the_name_of_the_file() -> None:
    with pytest.raises(sockiter.InputError, match=r"mine:1: `add A`: expected add NAME"):
        sockiter.loads("add A", file="mine")


# Replay.


def test_a_replay_has_reads_and_verdict_and_the_claims_that_are_broken() -> None:
    case = sockiter.load(RFC_SKIP)
    result = sockiter.replay_case(case, "offset-udp")
    assert [read.delivered for read in result.reads] == [("A",), ("C",), ("D",), ()]
    assert (list(map(str, result.verdict)), result.claims_broken, result.as_expected) == (["skip B"], (), True)
    lies = sockiter.replay_case(case, Unregistered())
    assert lies.claims_broken == lies.verdict == result.verdict


def test_a_target_is_a_name_or_a_target_or_a_scheme() -> None:
    case = sockiter.load(RFC_SKIP)
    by_name, by_target, by_scheme = (
        sockiter.replay_case(case, target) for target in ("offset-udp", target_named("offset-udp"), OffsetUdp())
    )
    assert by_name == by_target == by_scheme


def test_an_unknown_target_is_an_input_error_and_one_that_does_not_run_here_is_unavailable() -> None:
    case = sockiter.load(RFC_SKIP)
    with pytest.raises(sockiter.InputError, match="no target is named 'nonsense'"):
        sockiter.replay_case(case, "nonsense")
    with pytest.raises(sockiter.Unavailable) as error:
        sockiter.replay_case(case, "kernel:udp")
    assert str(error.value) == f"kernel:udp does not run here: {NO_KERNEL}"


def test_a_case_that_a_target_cannot_carry_out_is_inconclusive() -> None:
    with pytest.raises(sockiter.Inconclusive):
        sockiter.replay_case(sockiter.loads("add A tail in other:0\nopen\nread all\n"), "rank")


def test_the_targets_are_those_of_the_command_line() -> None:
    assert sockiter.list_targets() == TARGETS


# Search.


def test_a_check_under_some_hazards_is_one_search_with_its_violations() -> None:
    result = sockiter.check_scheme("offset-udp", hazards=["remove"])
    (violation,) = result.violations
    assert (violation.kind, violation.operations) == ("skip", 6)
    assert (len(result.searches), result.claims_broken, result.proved) == (1, (), True)
    assert result.searches[0].scope == sockiter.Scope(sockets=3, buckets=2, batch=2) == SCOPE


def test_a_check_of_all_claims_has_a_search_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    result = sockiter.check_scheme("rank", scope=sockiter.Scope(sockets=2, buckets=1, batch=1, ops=5))
    assert len(result.searches) > 1
    assert result.searches[0].hazards == target_named("rank").hazards
    assert (result.proved, result.claims_broken) == (True, ())


def test_a_check_finds_the_claim_that_is_broken_and_proves_nothing() -> None:
    result = sockiter.check_scheme(Unregistered(), hazards=["remove"])
    assert [violation.kind for violation in result.claims_broken] == ["skip"]
    assert not result.proved


def test_a_search_of_a_kernels_iterator_is_an_input_error(limited_kernel: None) -> None:
    with pytest.raises(sockiter.InputError, match="kernel:udp is an iterator of the running kernel"):
        sockiter.check_scheme("kernel:udp")


def test_an_interrupt_of_a_search_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["sockiter.check.search"], "search", lambda *of: SimpleNamespace(incomplete=INTERRUPTED))
    with pytest.raises(KeyboardInterrupt):
        sockiter.check_scheme("rank")


def test_an_unknown_hazard_is_an_input_error_and_an_impossible_one_is_unavailable() -> None:
    with pytest.raises(sockiter.InputError, match="no hazard is named 'removal': expected any of add-head, "):
        sockiter.check_scheme("rank", hazards=["removal"])  # type: ignore[list-item]
    with pytest.raises(sockiter.Unavailable, match="rank does not support: show"):
        sockiter.fuzz_target("rank", hazards=["show"])


# Fuzzing.


def test_fuzzing_gives_the_same_findings_for_the_same_seed_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    first, again, other = (
        sockiter.fuzz_target("offset-udp", hazards=["remove", "add-head"], sequences=1_000, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert first.sequences >= 1_000
    assert {(finding.kind, *finding.hazards) for finding in first.findings} == {("skip", "remove"), ("repeat", "add-head")}
    assert (first.claims_broken, first.paths) == ((), ())
    assert capfd.readouterr() == ("", "")


def test_the_case_of_a_finding_has_its_origin_and_its_result(tmp_path: Path) -> None:
    result = sockiter.fuzz_target("offset-udp", hazards=["remove"], sequences=500, seed=7, directory=tmp_path)
    (finding,), (path,) = result.findings, result.paths
    assert sockiter.load(path) == finding.case
    assert "Seed 7" in " ".join(finding.case.comment)
    assert sockiter.replay_case(finding.case, "offset-udp").as_expected


@pytest.mark.usefixtures("lying")
def test_a_broken_claim_is_among_the_findings() -> None:
    result = sockiter.fuzz_target("offset-udp", hazards=["remove"], sequences=500)
    assert [(finding.kind, len(finding.case.operations)) for finding in result.claims_broken] == [("skip", 6)]


def test_an_unregistered_scheme_can_be_fuzzed() -> None:
    (finding,) = sockiter.fuzz_target(Unregistered(), hazards=["remove"], sequences=500).claims_broken
    assert sockiter.replay_case(finding.case, Unregistered()).as_expected


def test_fuzzing_ends_when_the_time_is_up_and_so_does_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("sockiter.api.time", SimpleNamespace(monotonic=lambda: float(next(now))))
    patience: list[bool] = []

    def drive(triage: Triage, *of: object) -> Iterator[Bite]:
        while not patience or patience[-1]:
            patience.append(triage.patience.is_left())
        yield Bite(1, 10)

    monkeypatch.setitem(DRIVERS, "swarm", drive)
    result = sockiter.fuzz_target("rank", seconds=3)
    assert (result.sequences, result.operations, patience) == (1, 10, [True, True, True, False])


def test_without_a_limit_fuzzing_ends_after_so_many_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    def drive(*of: Any) -> Iterator[Bite]:
        while True:
            yield Bite(4_000, 0)

    monkeypatch.setitem(DRIVERS, "swarm", drive)
    assert sockiter.fuzz_target("rank").sequences == 12_000
