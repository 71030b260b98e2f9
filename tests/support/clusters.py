"""Small clusters in this process, whose workers do their jobs in threads instead of processes.

Dask sends functions as data, so what a worker does is decided by variables of this module.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distributed import get_worker

from sockiter.cluster.member import abilities, identity
from sockiter.cluster.wire import Plain, job_of, message_data
from sockiter.fuzzing.campaign import search

Answers = Callable[[Plain], list[Plain]]
END: Plain = {"is": "end", "boot_id": ""}

_answers: list[Answers] = []
_identity: list[Plain] = []
_blocks: list[tuple[str, threading.Event]] = []


def fuzzed(request: Plain) -> list[Plain]:
    """The answers of a host to a request, without its processes."""
    if request["do"] == "abilities":
        return [{"is": "abilities", "abilities": abilities(request["targets"])}]
    return [message_data(message) for message in search(job_of(request["job"]))]


def do(request: Plain, name: str, topic: str) -> Plain:
    """A stand-in for `task.do`."""
    get_worker().log_event(topic, {"task": name, "worker": get_worker().address})
    is_job = request["do"] != "abilities"
    if _blocks and is_job and request["do"] == _blocks[-1][0]:
        _blocks.pop()[1].wait(60)
    answers = (_answers[-1] if _answers and is_job else fuzzed)(request)
    return {"worker": get_worker().address, "answers": [*answers, END]}


def introduce() -> Plain:
    """A stand-in for `task.introduce`."""
    return {**identity(), **(_identity[-1] if _identity else {})}


@contextmanager
def answering(*answers: Answers) -> Iterator[None]:
    """Workers that answer jobs and replays like this."""
    _answers.extend(answers)
    try:
        yield
    finally:
        del _answers[:]


@contextmanager
def introducing(**other: object) -> Iterator[None]:
    """Workers with the identity of this process, but for these fields."""
    _identity.append(other)
    try:
        yield
    finally:
        _identity.pop()


@contextmanager
def blocking(count: int = 1, *, what: str = "fuzz") -> Iterator[threading.Event]:
    """Workers of which the next so many, with a request of this kind, wait for this event."""
    event = threading.Event()
    _blocks.extend([(what, event)] * count)
    try:
        yield event
    finally:
        event.set()
        del _blocks[:]
