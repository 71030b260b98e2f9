"""The suite in fuzz/, run as a user runs it: on a scheme that lies, its tests fail and say what to type."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sockiter
from sockiter.cases import files, load
from sockiter.replay import replay
from sockiter.targets import target_named

ROOT = Path(sockiter.__file__).parent.parent
FUZZ = ROOT / "fuzz"

pytestmark = pytest.mark.skipif(not FUZZ.is_dir(), reason=f"no {FUZZ}: this is not a checkout")

LIAR = """
from sockiter.schemes.offset_udp import OffsetUdp

OffsetUdp.harms = ()
"""

# A kernel that counts, as Linux 6.8 to 6.15 does.
OLD_KERNEL = """
from sockiter import targets
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget


class OldKernel(SchemeTarget):
    is_real = True
    slots = 16


old = OldKernel(OffsetUdp())
old.name, old.harms, old.hazards = "kernel:old", (), frozenset({"remove"})
targets.TARGETS = (*targets.TARGETS, old)
"""


def pytest_on_the_suite(tmp_path: Path, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", str(FUZZ), f"--rootdir={ROOT}", "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT), environment.get("PYTHONPATH", "")])
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(tmp_path / "hypothesis")
    environment["COLUMNS"] = "400"
    return subprocess.run([*command, *map(str, args)], capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.slow
def test_a_scheme_that_lies_fails_its_tests_with_one_line_each_and_leaves_a_least_case(tmp_path: Path) -> None:
    (tmp_path / "liar.py").write_text(LIAR, encoding="utf-8")
    cases = tmp_path / "cases"
    chosen = "test_claims_hold and (offset-udp-remove or offset-udp-add-head)"
    # With as many sequences as this profile has, neither can be missed; the first that fails is the last.
    many = "--hypothesis-profile=ci"
    done = pytest_on_the_suite(tmp_path, "-p", "liar", "-n", "2", many, "--cases", cases, "-k", chosen)
    assert done.returncode == 1, done.stdout
    assert "2 failed in" in done.stdout
    kept = list(files([cases]))
    assert [path.name.rpartition("-")[0] for path in kept] == ["offset-udp-repeat-add-head", "offset-udp-skip-remove"]
    told = dict(re.findall(r"^(offset-udp: .*); replay it with: (sockiter replay .*)$", done.stdout, re.MULTILINE))
    assert told == {
        "offset-udp: repeat under add-head": f"sockiter replay {kept[0]} --target offset-udp",
        "offset-udp: skip under remove": f"sockiter replay {kept[1]} --target offset-udp",
    }
    assert "Traceback" not in done.stdout + done.stderr
    target = target_named("offset-udp")
    with target.session() as session:
        for path, kind in zip(kept, ("repeat", "skip"), strict=True):
            case = load(path)
            assert len(case.operations) == 6
            outcome = replay(case, target, session)
            assert [finding.kind for finding in outcome.verdict] == [kind]
            assert outcome.as_expected


@pytest.mark.slow
def test_a_kernel_that_does_what_an_old_scheme_admits_is_no_find_but_its_case_is_kept(tmp_path: Path) -> None:
    (tmp_path / "old_kernel.py").write_text(OLD_KERNEL, encoding="utf-8")
    cases = tmp_path / "cases"
    chosen = "test_claims_hold and kernel:old-remove"
    done = pytest_on_the_suite(
        tmp_path, "-rx", "-p", "old_kernel", "--hypothesis-profile=ci", "--cases", cases, "-k", chosen
    )
    assert done.returncode == 0, done.stdout
    assert "1 xfailed" in done.stdout
    assert "the running kernel does what offset-udp admits: kernel:old: skip under remove; replay it with: " in done.stdout
    (kept,) = files([cases])
    assert len(load(kept).operations) == 6
