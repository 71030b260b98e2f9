"""The process beside a Dask worker: it reads requests, and answers each with lines of JSON up to an end."""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
from multiprocessing import Pipe
from typing import Any

import pytest

from sockiter.cases import loads
from sockiter.cluster import host
from sockiter.cluster.host import serve, work_replay
from sockiter.cluster.wire import Plain, job_data, message_of, text_of
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, SavedFinding, Tick
from sockiter.targets import target_named
from tests.support.inline_workers import Context, Worker, work_inline

CASE = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
JOB = FuzzJob(
    "offset-udp",
    "swarm",
    frozenset({"remove"}),
    "77",
    None,
    60.0,
    0.0,
    frozenset(target_named("offset-udp").known_failures),
    frozenset(),
    sequences=40,
)
FUZZ = {"do": "fuzz", "job": job_data(JOB, "offset-udp", 600.0)}
TEXT, NAME = text_of(CASE)
REPLAY = {"do": "replay", "target": "offset-udp", "case": TEXT, "name": NAME, "signature": ["skip", False, False]}


def asked(*requests: Plain) -> list[Any]:
    """The answers to these requests."""
    read, write = os.pipe()
    answers = io.StringIO()
    with open(write, "w") as ours:
        ours.write("".join(json.dumps(request) + "\n" for request in requests))
    with open(read) as theirs:
        serve(theirs, answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)
    # The end of the input is no interrupt here: the test has written all requests at once.
    monkeypatch.setattr(select, "select", lambda *_: ([], [], []))


@pytest.mark.usefixtures("inline")
def test_a_job_is_done_and_its_findings_are_not_saved_here() -> None:
    *answers, end = asked(FUZZ)
    assert end["is"] == "end"
    messages = [message_of(answer) for answer in answers]
    assert isinstance(messages[0], Began)
    assert isinstance(messages[-1], Ended)
    assert sum(message.sequences for message in messages if isinstance(message, Tick)) == 40
    drawn = next(message for message in messages if isinstance(message, Drawn))
    assert "Not shrunk to the end" in "".join(drawn.found.case.comment)
    found = next(message for message in messages if isinstance(message, SavedFinding))
    assert found.path is None


def test_a_request_for_abilities_is_answered_by_the_host_itself() -> None:
    answer, end = asked({"do": "abilities", "targets": ["offset-udp"]})
    assert answer["abilities"]["models"] == ["offset-udp"]
    assert set(end) == {"is", "boot_id"}


def test_a_replay_reports_the_signatures_of_all_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, "sockiter.cluster.host")
    monkeypatch.setattr(select, "select", lambda *_: ([], [], []))
    assert asked(REPLAY)[0] == {"is": "replayed", "signatures": [["skip", False, False]]}


@pytest.mark.parametrize("target", ["offset-udp", "rank"])
def test_a_replay_that_shows_nothing_of_it_is_repeated_and_then_reports_so(target: str) -> None:
    ours, theirs = Pipe()
    work_replay({**REPLAY, "target": target, "signature": ["repeat", False, False]}, theirs)
    assert ["repeat", False, False] not in ours.recv()["signatures"]
    ours.close()


def test_a_replay_on_an_unknown_target_shows_nothing() -> None:
    ours, theirs = Pipe()
    work_replay({**REPLAY, "target": "unheard-of"}, theirs)
    assert ours.recv()["signatures"] == []
    ours.close()


class Dying(Context):
    """Its workers end with exit code 1, and have done nothing."""

    class Process(Worker):
        exitcode = 1

        def start(self) -> None:
            self._args[-1].close()


@pytest.mark.parametrize(
    ("request_data", "module"), [(FUZZ, "sockiter.fuzzing.campaign"), (REPLAY, "sockiter.cluster.host")]
)
def test_a_job_whose_process_dies_is_answered_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, request_data: Plain, module: str
) -> None:
    work_inline(monkeypatch, module)
    monkeypatch.setattr("sockiter.workers._CONTEXT", Dying(module))
    monkeypatch.setattr(select, "select", lambda *_: ([], [], []))
    died, _ = asked(request_data)
    assert died == {"is": "died", "why": "ended with exit code 1: the scheme or the system ended it"}


def test_a_job_ends_when_the_input_does(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)
    monkeypatch.setattr("sockiter.workers.PATIENCE_S", 0.0)
    # The input has ended already, so the job is stopped, and only once.
    answers = asked(FUZZ)
    assert answers[-1]["is"] == "end"


@pytest.mark.slow
def test_a_host_serves_its_standard_streams_until_their_end() -> None:
    host_of = [sys.executable, "-P", "-c", "from sockiter.cluster.host import main; main()"]
    request = json.dumps({"do": "abilities", "targets": ["rank"]})
    done = subprocess.run(host_of, input=f"{request}\n", capture_output=True, text=True, timeout=60, check=True)
    assert [json.loads(line)["is"] for line in done.stdout.splitlines()] == ["abilities", "end"]


def test_a_host_whose_dask_worker_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve_nobody(*_: object) -> None:
        raise BrokenPipeError

    codes: list[int] = []
    monkeypatch.setattr(host, "serve", serve_nobody)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(os, "_exit", codes.append)
    host.main()
    assert codes == [1]
