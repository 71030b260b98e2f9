"""Races on the running kernel: the claims of its scheme, the delivered sockets, the saved findings, and the clean-up."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from sockiter.backend import Shape
from sockiter.fuzzing.limits import Room
from sockiter.kernel.namespace import where
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.unix import KERNEL_UNIX
from sockiter.operations import Bucket
from sockiter.race import race
from sockiter.race.judge import judge_round
from sockiter.race.race import Race, draw_plan, race_session
from sockiter.race.sides import RACED
from sockiter.verdict import Finding
from tests.support.command import read_all, unmeasured, wait_until

pytestmark = pytest.mark.usefixtures("two_processors")
UNIX = pytest.mark.parametrize("kernel_target", [KERNEL_UNIX], ids=lambda target: target.name, indirect=True)


@pytest.mark.each_way
@pytest.mark.usefixtures("nothing_left")
def test_a_kernel_keeps_the_claims_of_its_scheme_in_a_race(
    kernel_target: KernelTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "ROUND_S", 0.05)
    the_race = Race(kernel_target, seed="a short one", kinds=kernel_target.hazards & frozenset(RACED), cases=tmp_path)
    the_race.run(0.1)
    # The server that starts processes stays, and so do their shared memory and the listener that passes descriptors on.
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        the_race.run(0.1)
        if the_race.result.counts.changes:
            break
    assert the_race.result.trouble == ""
    assert the_race.result.counts.walks > 0
    assert the_race.result.counts.changes > 0
    assert [violation.text for violation in the_race.result.violations] == []
    # Packet sockets are closed a moment later.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


@pytest.mark.each_way
def test_a_walk_in_another_process_meets_the_sockets_of_this_one_and_no_others(kernel_target: KernelTarget) -> None:
    kinds = draw_plan("7", Room.of(kernel_target), kernel_target.hazards & frozenset(RACED))
    with race_session(kernel_target) as arena:
        race_round = arena.run(kinds)
    socket_ids = {change.socket_id for change in race_round.changes}
    assert {socket_id for walk in race_round.walks for step in walk.calls for socket_id in step.delivered} <= socket_ids
    assert Finding("stuck") not in [finding for walk in judge_round(race_round) for finding in walk.verdict]


@pytest.mark.each_way
@UNIX
def test_another_process_gets_the_same_namespace_and_the_same_iterator(
    kernel_target: KernelTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Duplicate:
        # As if the receiver were this process.
        def __init__(self, fd: int) -> None:
            self.fd = os.dup(fd)
            fds.append(self.fd)

        def detach(self) -> int:
            return self.fd

        def __deepcopy__(self, memo: object) -> Duplicate:
            return self

    fds: list[int] = []
    monkeypatch.setattr("multiprocessing.reduction.DupFd", Duplicate)
    host = where()
    with kernel_target.session() as session:
        mine, walk = session.setup.namespace, session.setup.walk
        with mine.left():
            assert where() == host
            theirs, their_walk = deepcopy((mine, walk))
            theirs.enter()
            there = where()
        mine.enter()
        assert where() == there != host
        sockets = session.setup.make_elements(Shape())
        number = sockets.add("s1", "head", Bucket())
        reader = their_walk.open()
        assert list(reader.read(10)) == [number]
        reader.close()
        sockets.close()
    for fd in fds:
        os.close(fd)
    assert len(fds) == 2


@UNIX
@pytest.mark.usefixtures("nothing_left")
def test_a_violation_of_an_unknown_scheme_is_found_saved_and_reproduced(
    kernel_target: KernelTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "ROUND_S", 0.02)
    monkeypatch.setattr(race, "RERUNS", 3)
    monkeypatch.setattr(race, "RECORDS_KEPT", 1)
    unknown = replace(kernel_target, name="kernel:unix-of-nobody", schemes=())
    the_race = Race(unknown, seed="1", kinds=frozenset({"add-head", "remove"}), cases=tmp_path)
    for _ in range(20):
        the_race.run(0.01)
        if the_race.result.violations:
            break
    # Reads of few records lose sockets there, whatever happens.
    violation = the_race.result.violations[0]
    assert "skip" in violation.kinds
    assert violation.reproduced == violation.reruns == 3
    assert violation.path is not None
    assert "# Again in 3 of 3 rounds from this seed.\n" in violation.path.read_text()


@UNIX
@pytest.mark.usefixtures("kernel_target")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_aborted_race_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sockiter", "race", "kernel:unix", "--cases", str(tmp_path / "cases"), "--json"]
    with open(tmp_path / "out", "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=terminal, start_new_session=True, env=unmeasured())
    os.close(terminal)
    try:
        text = b""
        while b" walks, " not in text:
            text += os.read(controller, 65536)
        process.send_signal(number)
        read_all(controller)  # until the last writer is gone
    finally:
        os.close(controller)
        status = process.wait()
    if number == signal.SIGKILL:
        assert status == -signal.SIGKILL
        return
    assert status == 130
    document = json.loads((tmp_path / "out").read_text())
    assert document["interrupted"] is True
    assert document["targets"][0]["walks"] > 0
