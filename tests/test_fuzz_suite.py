"""The suite in fuzz/, run as a user runs it: on a scheme with false claims, its tests fail and print the command to type."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from sockiter.cases import files, load
from sockiter.replay import replay
from sockiter.targets import target_named
from tests.support.command import wait_until
from tests.support.paths import ROOT

FUZZ = ROOT / "fuzz"

pytestmark = pytest.mark.skipif(not FUZZ.is_dir(), reason=f"no {FUZZ}: this is not a checkout")

LIAR = """
from sockiter.schemes.offset_udp import OffsetUdp

OffsetUdp.known_failures = ()
"""

# Two kernels that count, as Linux 6.8 to 6.15 does: of one it was found out, of the other it was not.
OLD_KERNELS = """
from sockiter import targets
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget


class OldKernel(SchemeTarget):
    is_real = True
    slots = 16

    def __init__(self, name, detected_scheme, known_failures):
        super().__init__(OffsetUdp())
        self.name, self.detected_scheme, self.hazards = name, detected_scheme, frozenset({"remove"})
        self.known_failures = tuple(one for one in known_failures if one.hazards <= self.hazards)


known = OldKernel("kernel:known", "offset-udp", OffsetUdp.known_failures)
unknown = OldKernel("kernel:unknown", None, ())
targets.TARGETS = (*targets.TARGETS, known, unknown)
"""


def pytest_on_the_suite(tmp_path: Path, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", str(FUZZ), f"--rootdir={ROOT}", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *map(str, args)], capture_output=True, text=True, env=suite_environment(tmp_path) | variables, timeout=300
    )


def suite_environment(tmp_path: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT), environment.get("PYTHONPATH", "")])
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(tmp_path / "hypothesis")
    environment["COLUMNS"] = "400"
    return environment


@pytest.mark.slow
def test_a_scheme_that_lies_fails_with_an_example_and_the_command_that_replays_its_least_case(
    tmp_path: Path,
) -> None:
    (tmp_path / "liar.py").write_text(LIAR, encoding="utf-8")
    cases = tmp_path / "cases"
    chosen = "OffsetUdp_remove or OffsetUdp_add_head"
    # With as many sequences as this profile has, neither can be missed.
    many = "--hypothesis-profile=ci"
    done = pytest_on_the_suite(tmp_path, "-p", "liar", "-n", "2", many, "--cases", cases, "-k", chosen)
    assert done.returncode == 1, done.stdout
    assert "2 failed in" in done.stdout
    kept = list(files([cases]))
    assert [path.name.rpartition("-")[0] for path in kept] == ["offset-udp-repeat-add-head", "offset-udp-skip-remove"]
    failures = dict(re.findall(r"^E +(offset-udp: .*); replay it with: (sockiter replay .*)$", done.stdout, re.MULTILINE))
    assert failures == {
        "offset-udp: repeat under add-head": f"sockiter replay {kept[0]} --target offset-udp",
        "offset-udp: skip under remove": f"sockiter replay {kept[1]} --target offset-udp",
    }
    for example in (r"state = OffsetUdp_add_head\(\)", r"state = OffsetUdp_remove\(\)"):
        # The command stands below the example.
        assert re.search(
            rf"^E +{example}\n(E +state\..*\n)+E +state\.teardown\(\)\n(E *\n)*E +offset-udp: ", done.stdout, re.M
        )
    # So does the case, as it is in its file.
    for path in kept:
        text = re.escape(path.read_text(encoding="utf-8"))
        assert re.search(rf"^-+ Captured case call -+\n{text}", done.stdout, re.MULTILINE)
    target = target_named("offset-udp")
    with target.session() as session:
        for path, kind in zip(kept, ("repeat", "skip"), strict=True):
            case = load(path)
            assert len(case.operations) == 6
            outcome = replay(case, target, session)
            assert [finding.kind for finding in outcome.verdict] == [kind]
            assert outcome.as_expected


@pytest.mark.slow
@pytest.mark.deep
def test_a_scheme_that_lies_fails_in_the_plain_loop_too_and_leaves_its_least_case(tmp_path: Path) -> None:
    (tmp_path / "liar.py").write_text(LIAR, encoding="utf-8")
    cases = tmp_path / "cases"
    done = pytest_on_the_suite(tmp_path, "-p", "liar", "--cases", cases, "-k", "swarm and (offset-udp or index)")
    assert done.returncode == 1, done.stdout
    (kept,) = files([cases])
    assert f"replay it with: sockiter replay {kept} --target offset-udp" in done.stdout
    assert f"\n{kept.read_text(encoding='utf-8')}" in done.stdout
    target = target_named("offset-udp")
    with target.session() as session:
        assert replay(load(kept), target, session).as_expected


def test_an_unknown_profile_is_refused_with_the_names_of_the_profiles(tmp_path: Path) -> None:
    done = pytest_on_the_suite(tmp_path, "--hypothesis-profile=nightly")
    assert done.returncode == 4
    assert done.stderr.strip() == "ERROR: no profile 'nightly': expected one of developer, ci, deep"


def test_the_statistics_name_the_goals_that_a_run_reached(tmp_path: Path) -> None:
    done = pytest_on_the_suite(tmp_path, "--hypothesis-show-statistics", "-k", "CookieUdp_add_head")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\* \d+\.\d\d%, stop at a bucket's end", done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hypofuzz") is None, reason="hypofuzz is not installed")
def test_hypofuzz_collects_the_test_cases_and_runs_sequences(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "hypothesis"), "fuzz", "--no-dashboard", "-n", "1", "--"]
    command += [str(FUZZ / "test_claims.py"), f"--rootdir={ROOT}", "-p", "no:cacheprovider", "-k", "OffsetUdp_remove"]
    log = tmp_path / "log"
    with log.open("w") as output:
        fuzzing = subprocess.Popen(
            command, stdout=output, stderr=output, env=suite_environment(tmp_path), start_new_session=True
        )
    try:
        # A report has the number of sequences; it is saved every few seconds.
        wait_until(lambda: fuzzing.poll() is not None or sequences_by_hypofuzz(tmp_path) > 0, deadline_s=120.0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fuzzing.pid, signal.SIGKILL)
        fuzzing.wait()
    assert "using 1 process to fuzz 1 test\n" in log.read_text()
    assert sequences_by_hypofuzz(tmp_path) > 0, log.read_text()


def sequences_by_hypofuzz(tmp_path: Path) -> int:
    """The most sequences in a report of HypoFuzz, which is a file of Hypothesis's database."""
    sequences: int = 0
    for path in (tmp_path / "hypothesis" / "examples").glob("*/*"):
        with suppress(OSError):  # a report that a later one has replaced
            data = path.read_bytes()
            if b'"status_counts"' in data:
                sequences = max(sequences, sum(json.loads(data)["status_counts"].values()))
    return sequences


@pytest.mark.slow
def test_an_observed_sequence_reads_as_a_case_with_all_arguments(tmp_path: Path) -> None:
    done = pytest_on_the_suite(
        tmp_path,
        *("-k", "OffsetUdp_remove", "-W", "ignore"),
        HYPOTHESIS_EXPERIMENTAL_OBSERVABILITY_NOCOVER="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    observed = [
        json.loads(line)
        for path in (tmp_path / "hypothesis" / "observed").glob("*_testcases.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    sequences = [one["representation"] for one in observed if one["type"] == "test_case"]
    assert sequences
    for sequence in sequences:
        assert re.fullmatch(
            r"state = OffsetUdp_remove\(\)\n(state\.\w+\((\w+=(\d+|'\w+'|\[.*\])(, )?)*\)\n)+state\.teardown\(\)", sequence
        ), sequence
    assert any(re.search(r"^state\.add\(name='A', end='(head|tail)'\)$", one, re.MULTILINE) for one in sequences)


@pytest.mark.slow
def test_a_kernel_s_failure_is_a_finding_unless_it_is_known_of_its_scheme(tmp_path: Path) -> None:
    (tmp_path / "old_kernels.py").write_text(OLD_KERNELS, encoding="utf-8")
    cases = tmp_path / "cases"
    chosen = "test_swarm and (kernel:known or kernel:unknown)"
    done = pytest_on_the_suite(tmp_path, "-p", "old_kernels", "--cases", cases, "-k", chosen)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "kernel:unknown: skip under remove; replay it with: sockiter replay " in done.stdout
    (kept,) = files([cases])
    assert kept.name.startswith("kernel-unknown-skip-remove-")
    assert len(load(kept).operations) == 6


@pytest.mark.slow
def test_the_known_failures_of_a_kernel_s_scheme_are_looked_for_and_found(tmp_path: Path) -> None:
    (tmp_path / "old_kernels.py").write_text(OLD_KERNELS, encoding="utf-8")
    done = pytest_on_the_suite(
        tmp_path, "-p", "old_kernels", "-k", "test_known_failures_happen and (kernel:known or kernel:unknown)"
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
