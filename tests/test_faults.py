"""The rounds of `tox -e faults` detect faults: each check is given a fault that it must report."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from sockiter.cases import loads
from sockiter.errors import InputError
from tests.faults import host
from tests.faults.ends import unreported
from tests.faults.mutations import mutated
from tests.faults.rounds import STATUSES, broken_cases, done, ended, is_empty, started
from tests.support.command import members
from tests.support.paths import CASES, ROOT


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("raise ValueError('lost')", "a traceback: ['ValueError: lost']"),
        ("raise SystemExit(7)", "status 7: ''"),
        ("import os; os.abort()", "status -6: ''"),
        ("print('[1, 2')", "a broken JSON document: '[1, 2\\n'"),
    ],
)
def test_a_command_that_ends_badly_is_a_fault(script: str, fault: str) -> None:
    ending = done(sys.executable, "-c", script)
    assert ending is not None
    assert fault in ending.faults(STATUSES)


def test_a_command_that_does_not_end_is_detected_and_leaves_no_process_behind() -> None:
    with started((sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert ended(process, deadline_s=0.01) is None
        assert list(members(process.pid)) == [process.pid]
        assert not is_empty(process.pid, deadline_s=0.01)
    assert is_empty(process.pid)


def test_half_a_case_another_file_and_a_case_that_does_something_else_are_faults(tmp_path: Path) -> None:
    text = (CASES / "rfc_skip.case").read_text()
    (tmp_path / "whole.case").write_text(text)
    assert broken_cases(tmp_path) == []
    (tmp_path / "half.case").write_text(text[: text.index("read all") + 6])
    (tmp_path / "other.case").write_text(text.replace("expect offset-udp skip B", "expect offset-udp skip A"))
    (tmp_path / "core").touch()
    found = [fault.partition(": ")[0] for fault in broken_cases(tmp_path)]
    assert found == ["a broken case", "not as expected on offset-udp", "left behind"]


def test_a_finding_that_is_reported_and_not_saved_is_a_fault(tmp_path: Path) -> None:
    report = '{"targets": [{"refuted": [{"case": "%s"}]}]}'
    saved = tmp_path / "a.case"
    saved.touch()
    assert unreported(report % saved, tmp_path) == []
    assert unreported(report % (tmp_path / "b.case"), tmp_path)
    assert unreported('{"targets": []}', tmp_path)


def test_the_changes_of_a_case_leave_cases_and_wrong_input() -> None:
    random = Random(1)
    right = 0
    for _ in range(200):
        try:
            loads(mutated(random))
            right += 1
        except InputError:
            continue
    assert 20 < right < 180


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux has")
def test_of_the_host_everything_is_counted() -> None:
    counts = {name: len(counted()) for name, counted in host.COUNTED.items()}
    assert min(counts["namespaces"], counts["settings"], counts["mounts"]) > 0
    listening = host.sockets()
    with socket.create_server(("127.0.0.1", 0)):
        assert host.sockets() - listening


def test_an_unknown_group_is_refused_with_the_names_of_the_groups() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.faults", "floods"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no group floods: expected any of mutated cases, mutated files, full disk, " in done.stderr


@pytest.mark.slow
@pytest.mark.deep
def test_a_round_of_every_group_is_one_line_of_figures() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--rounds", "1", "--seed", "7"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "seed 7"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        *("mutated cases", "mutated files", "full disk", "read-only disk", "descriptors", "packages"),
        *("kill -9", "signals", "host"),
    ]
