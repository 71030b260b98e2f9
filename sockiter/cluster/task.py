"""The functions that a Dask worker calls: plain arguments, plain results. The work is done by a `host`.

Each thread of the worker has a host of its own, which stays for the next task.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

from distributed import get_worker

from sockiter.cluster.member import identity
from sockiter.cluster.wire import Plain

# The time that a host has to end by itself.
ENDING_S = 0.5


class _Host:
    def __init__(self) -> None:
        # -P: what lies in the current directory is not imported. -c: no main module for each job to import again.
        command = [sys.executable, "-P", "-c", "from sockiter.cluster.host import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answers(self, request: Plain) -> Iterator[Plain]:
        # Up to and without the end; the last answer has the reason where the host died.
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json.loads(line)
            yield answer
            if answer["is"] == "end":
                return
        yield {"is": "died", "why": "ended: the process that does the jobs of a Dask worker was killed"}

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self) -> None:
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


_lock = threading.Lock()
_idle: list[_Host] = []
_all: list[_Host] = []


def _taken() -> _Host:
    with _lock:
        while _idle:
            if (host := _idle.pop()).is_alive:
                return host
        host = _Host()
        _all.append(host)
        return host


def close_hosts() -> None:
    """End the hosts of this process, also those in the middle of a job."""
    with _lock:
        hosts = [*_all]
        _all.clear()
        _idle.clear()
    for host in hosts:
        host.close()
    for host in hosts:
        host.wait()


atexit.register(close_hosts)


def introduce() -> Plain:
    """The identity of this worker."""
    return identity()


def do(request: Plain, name: str, topic: str) -> Plain:
    """Do what is requested, and return all answers; a finding is also reported at once, as an event of this topic.

    `name`: the name of the task, in its events.
    """
    worker = get_worker()
    worker.log_event(topic, {"task": name, "worker": worker.address})
    host = _taken()
    answers = []
    for nth, answer in enumerate(host.answers(request)):
        answers.append(answer)
        if answer["is"] in ("began", "drawn", "found"):
            worker.log_event(topic, {"task": name, "worker": worker.address, "nth": nth, "answer": answer})
    with _lock:
        if answers[-1]["is"] == "end":
            _idle.append(host)
    return {"worker": worker.address, "answers": answers}
