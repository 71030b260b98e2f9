"""The functions that a Dask worker calls: each of its threads has a host, which stays for the next task."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs Dask's package distributed: the extra `cluster`")

from sockiter.cluster import task
from sockiter.cluster.member import identity

# Answers as many findings as it is asked for.
_HOST = """
import json, sys
for line in sys.stdin:
    for _ in range(json.loads(line)["findings"]): print('{"is": "found"}', flush=True)
    print('{"is": "tick"}\\n{"is": "end"}', flush=True)
"""


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The events of a worker, whose hosts run `_HOST`."""
    logged: list[Any] = []
    worker = SimpleNamespace(address="tcp://a:1", log_event=lambda topic, event: logged.append((topic, event)))
    monkeypatch.setattr(task, "get_worker", lambda: worker)
    host_of = subprocess.Popen

    def started(command: list[str], **streams: Any) -> Any:
        return host_of([sys.executable, "-S", "-c", _HOST], **streams)

    monkeypatch.setattr(subprocess, "Popen", started)
    yield logged
    task.close_hosts()


def test_a_worker_introduces_itself_without_a_host() -> None:
    assert task.introduce() == identity()


def test_a_finding_is_reported_before_the_result(events: list[Any]) -> None:
    result = task.do({"findings": 1}, "task-1", "topic")
    assert [answer["is"] for answer in result["answers"]] == ["found", "tick", "end"]
    began = ("topic", {"task": "task-1", "worker": "tcp://a:1"})
    found = ("topic", {"task": "task-1", "worker": "tcp://a:1", "nth": 0, "answer": {"is": "found"}})
    assert events == [began, found]


@pytest.mark.usefixtures("events")
def test_a_host_does_one_task_after_the_other_and_one_that_died_is_replaced() -> None:
    task.do({"findings": 0}, "task-1", "topic")
    task.do({"findings": 0}, "task-2", "topic")
    (host,) = task._idle
    assert task._all == [host]
    host._process.kill()
    host._process.wait()
    task.do({"findings": 0}, "task-3", "topic")
    assert task._idle[0] is not host


@pytest.mark.usefixtures("events")
def test_a_task_whose_host_is_killed_has_the_reason_in_its_answers() -> None:
    answers = task.do({"unknown": 1}, "task-1", "topic")["answers"]
    assert answers == [{"is": "died", "why": "ended: the process that does the jobs of a Dask worker was killed"}]
    assert task._idle == []


def test_a_host_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "ENDING_S", 0.0)
    deaf = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    host_of = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **streams: host_of(deaf, **streams))
    host = task._taken()
    task.close_hosts()
    assert not host.is_alive
