"""Jobs and messages as plain data: what is sent is what arrives, and nothing else is accepted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockiter.cases import loads
from sockiter.claims import known_failure
from sockiter.cluster.wire import Disbelieved, job_data, job_of, message_data, message_of
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, Message, SavedFinding, Tick
from sockiter.fuzzing.triage import FindingKey, TriagedFinding
from sockiter.verdict import Signature

SKIP = known_failure("skip", "remove")
CASE = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
FOUND = TriagedFinding("offset-udp", "skip", False, CASE, frozenset({"remove"}), SKIP, 12, 1, 1, shortest=True)
KEY: FindingKey = (Signature("skip", True), frozenset({"remove", "reinsert"}))
JOB = FuzzJob(
    "offset-udp",
    "swarm",
    frozenset({"remove"}),
    "77/offset-udp/swarm/3",
    None,
    5.0,
    1.5,
    frozenset({SKIP}),
    frozenset({KEY}),
    sequences=10,
    done=30,
)
MESSAGES: list[Message] = [
    Began(0.5),
    Tick(10, 80, 0.25),
    Drawn(FOUND, 1.0),
    SavedFinding(FOUND, "swarm", 1.5, None, sequences=7),
    SavedFinding(replace(FOUND, known_failure=None), "swarm", 1.5, None),
    Ended(frozenset({KEY}), "a trouble", is_cut=True),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert message_of(json.loads(json.dumps(message_data(message)))) == message


@pytest.mark.parametrize("seconds", [5.0, math.inf])
def test_a_job_arrives_as_it_was_sent_without_directory_and_clock(seconds: float) -> None:
    job = replace(JOB, seconds=seconds, cases=Path("cases"), until=123.0)
    data = json.loads(json.dumps(job_data(job, "offset-udp", seconds)))
    assert job_of(data) == replace(job, cases=None, until=None, left_s=seconds)


def test_a_message_may_have_tuples_in_place_of_lists() -> None:
    data = message_data(MESSAGES[2])
    data["found"]["hazards"] = tuple(data["found"]["hazards"])
    assert message_of(data) == MESSAGES[2]


FOUND_DATA = message_data(MESSAGES[3])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "a worker sent a list instead of a dictionary"),
        ({}, "a worker sent no is"),
        ({"is": "sudo"}, "no message of a worker is named 'sudo'"),
        ({"is": 7}, "a worker sent 7 as is"),
        ({"is": "tick", "sequences": -1, "operations": 0, "seconds": 0}, "a worker sent -1 as sequences"),
        ({"is": "tick", "sequences": True, "operations": 0, "seconds": 0}, "a worker sent True as sequences"),
        ({"is": "tick", "sequences": 1, "operations": 0, "seconds": math.nan}, "a worker sent nan as seconds"),
        ({"is": "ended", "investigated": {}, "trouble": "", "is_cut": False}, "a worker sent {} as investigated"),
        ({"is": "ended", "investigated": [], "trouble": "x" * 2001, "is_cut": False}, "as trouble"),
        ({"is": "ended", "investigated": [], "trouble": "", "is_cut": 0}, "a worker sent 0 as is_cut"),
        ({**FOUND_DATA, "driver": "chaos"}, "a worker sent 'chaos' as driver"),
        ({**FOUND_DATA, "found": {**FOUND_DATA["found"], "hazards": ["gravity"]}}, "a worker sent .'gravity'. as hazards"),
        ({**FOUND_DATA, "found": {**FOUND_DATA["found"], "case": "read"}}, "a case cannot be read: <case>:1"),
        (
            {**FOUND_DATA, "found": {**FOUND_DATA["found"], "name": "-1.case"}},
            r"a case is named -1.case, and its content -\w+",
        ),
    ],
)
def test_what_no_worker_sends_is_not_believed(data: Any, problem: str) -> None:
    with pytest.raises(Disbelieved, match=problem):
        message_of(data)
