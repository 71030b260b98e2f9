"""Campaigns over a real scheduler and real workers, which are killed, stopped and started again in mid-campaign.

The scheduler and each worker are processes in network namespaces of their own, as on machines with one network.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

psutil = pytest.importorskip("psutil", reason="comes with distributed")
pytest.importorskip("distributed", reason="needs Dask's package distributed: the extra `cluster`")

PORT = 8786
SCHEDULER = f"tcp://10.9.1.1:{PORT}"
BOXES = (1, 2, 3)
TIMEOUT_S = 300.0
POLL_S = 0.05
# A process of a fleet does not outlive its test.
MORTAL = ["setpriv", "--pdeathsig", "KILL"]
OPTIONS = ["kernel:udp", "--hazard", "reinsert", "--sequences", "8000", "--driver", "swarm", "--seed", "7"]


class Fleet:
    """A scheduler, and a worker on each of three machines."""

    def __init__(self, stack: ExitStack, logs: Path) -> None:
        self.logs = logs
        self._stack = stack
        self._ground = self._machine("ground")
        self._boxes = {number: self._machine(f"box-{number}") for number in BOXES}
        for number, pid in self._boxes.items():
            # The scheduler is on all networks, and routes from one to the other.
            self._ip(self._ground, f"link add v{number} type veth peer name e0 netns {pid}")
            self._ip(self._ground, f"addr add 10.9.{number}.1/24 dev v{number}")
            self._ip(self._ground, f"link set v{number} up")
            self._ip(pid, f"addr add 10.9.{number}.2/24 dev e0")
            self._ip(pid, "link set e0 up")
            self._ip(pid, f"route add default via 10.9.{number}.1")
        forward = ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
        subprocess.run([*self._inside(self._ground), *forward], check=True)
        self.start_scheduler()
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        for number in BOXES:
            self.start_worker(number)

    def start_scheduler(self) -> None:
        options = ["--host", "10.9.1.1", "--port", str(PORT), "--no-dashboard"]
        self.scheduler = self._start("scheduler", [*self._inside(self._ground), *_dask("scheduler"), *options])

    def start_worker(self, number: int) -> None:
        address = f"10.9.{number}.2"
        options = ["--name", f"box-{number}", "--host", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        command = [*self._inside(self._boxes[number]), *_dask("worker"), SCHEDULER, *options]
        self.workers[number] = self._start(f"worker-{number}", command)

    def fuzz(self, *options: str) -> subprocess.Popen[bytes]:
        """A campaign over this fleet. Its JSON document is in campaign.json."""
        command = [sys.executable, "-m", "sockiter", "fuzz", *options, "--cluster", SCHEDULER, "--json"]
        with (self.logs / "campaign.json").open("wb") as out:
            return self._start("campaign", [*self._inside(self._ground), *command], out=out)

    def _machine(self, name: str) -> int:
        command = [*MORTAL, "unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
        machine = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._stack.callback(_end, machine)
        assert machine.stdout is not None
        assert machine.stdout.readline() == b"up\n", name
        machine.stdout.close()
        return machine.pid

    def _start(self, name: str, command: list[str], *, out: Any = None) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen([*MORTAL, *command], stdin=subprocess.DEVNULL, stdout=out or log, stderr=log)
        self._stack.callback(_end, process)
        return process

    def _inside(self, pid: int) -> list[str]:
        return ["nsenter", "-t", str(pid), "--net"]

    def _ip(self, pid: int, command: str) -> None:
        subprocess.run([*self._inside(pid), "ip", *command.split()], check=True)


def _dask(command: str) -> list[str]:
    return [sys.executable, "-m", "dask", command]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if os.geteuid() != 0:
        pytest.skip("a network for each worker takes root")
    if missing := [program for program in ("unshare", "nsenter", "setpriv", "ip") if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with ExitStack() as stack:
        yield Fleet(stack, tmp_path)


def is_busy(worker: subprocess.Popen[bytes]) -> bool:
    """Whether a worker has a job: the process of a job is started by a fork server, and that one by a host."""
    try:
        processes = [psutil.Process(worker.pid)]
        for _ in range(3):
            processes = [child for process in processes for child in process.children()]
    except psutil.NoSuchProcess:
        return False
    return bool(processes)


def wait_until(campaign: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Until it is so. The campaign must not end before."""
    for _ in range(round(TIMEOUT_S / POLL_S)):
        if condition():
            return
        with pytest.raises(subprocess.TimeoutExpired):
            campaign.wait(POLL_S)
    raise AssertionError(f"it is not so within {TIMEOUT_S:.0f} s")


def counts(document: dict[str, Any]) -> list[object]:
    """What a campaign counted, without times, files and names of kernels."""
    assert document["whole"]
    return [
        (
            target["target"].partition(" (")[0],
            target["sequences"],
            target["operations"],
            [(found["kind"], found["hazards"], found["sequences_to_find"]) for found in target["refuted"]],
            len(target["claims_broken"]),
            target["unrefuted"],
        )
        for target in document["targets"]
    ]


def files(cases: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cases.rglob("*.case")}


def alone(tmp_path: Path) -> tuple[list[object], dict[str, bytes]]:
    """The counts and the cases of a campaign without a cluster."""
    command = [sys.executable, "-m", "sockiter", "fuzz", *OPTIONS, "--cases", str(tmp_path / "alone"), "--json"]
    document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_S).stdout)
    return counts(document), files(tmp_path / "alone")


def ended(fleet: Fleet, campaign: subprocess.Popen[bytes]) -> dict[str, Any]:
    status = campaign.wait(TIMEOUT_S)
    assert status == 0, (fleet.logs / "campaign.log").read_text()
    document: dict[str, Any] = json.loads((fleet.logs / "campaign.json").read_text())
    assert document["troubles"] == document["cluster"]["restarts"] == []
    return document


@pytest.mark.deep
@pytest.mark.slow
def test_a_campaign_survives_a_new_scheduler_a_killed_worker_and_a_stopped_worker(fleet: Fleet, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    campaign = fleet.fuzz(*OPTIONS, "--cases", str(cases))
    # Not before the first case: to report its targets, a worker has processes too.
    wait_until(campaign, lambda: any(cases.glob("*.case")))
    _end(fleet.scheduler)
    for worker in fleet.workers.values():
        _end(worker)  # a worker would end by itself
    fleet.start_scheduler()
    for number in BOXES:
        fleet.start_worker(number)
    wait_until(campaign, lambda: is_busy(fleet.workers[1]))
    fleet.workers[1].send_signal(signal.SIGKILL)
    fleet.start_worker(1)
    wait_until(campaign, lambda: is_busy(fleet.workers[2]))
    fleet.workers[2].send_signal(signal.SIGSTOP)
    wait_until(campaign, lambda: is_busy(fleet.workers[1]))
    document = ended(fleet, campaign)
    assert document["cluster"]["lost"] >= 1  # a job may have ended in the same moment
    assert (counts(document), files(cases)) == alone(tmp_path)
