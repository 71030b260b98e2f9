"""The process beside a Dask worker that does its jobs; `task` starts it.

A Dask worker runs tasks in threads, without signals and, mostly, without the right to have child processes. This process has
both. It reads one request a line and answers with lines of JSON. It ends with the Dask worker, since its input ends then.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, TextIO, TypeVar

from sockiter import rights
from sockiter.backend import run
from sockiter.cluster.member import abilities, boot_id
from sockiter.cluster.wire import Plain, case_of, job_of, message_data
from sockiter.errors import SockiterError
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, as_drawn, work
from sockiter.fuzzing.triage import RERUNS
from sockiter.oracle import judge
from sockiter.targets import target_named
from sockiter.workers import Workers, serving

Answer = Callable[[Plain], None]


Job = TypeVar("Job")


class _One(Workers[Job, Job]):
    # One job in a process of its own.

    def __init__(self, job: Job, work: Callable[[Job, Connection], None], answer: Answer) -> None:
        super().__init__([job], workers=1, work=work)
        self._answer = answer

    def _job(self, job: Job) -> Job:
        return job

    def _on_death(self, job: Job, why: str) -> None:
        self._answer({"is": "died", "why": why})


class _Block(_One[FuzzJob]):
    # As in a campaign on this machine.

    def _on_message(self, job: FuzzJob, message: Any) -> None:
        if isinstance(message, Began):
            # A job that cannot be interrupted is killed some seconds later.
            self._until = time.monotonic() + job.left_s
        elif isinstance(message, Drawn):
            # The comment of a drawn case names this kernel, not that of the machine which saves it.
            message = replace(message, found=as_drawn(message.found, job.driver, job.seed))
        self._answer(message_data(message))

    def _is_end(self, message: Any) -> bool:
        return isinstance(message, Ended)


class _Replay(_One[Plain]):
    # A case on one target, until it shows this signature again.

    def _on_message(self, request: Plain, message: Any) -> None:
        self._answer(message)

    def _is_end(self, message: Any) -> bool:
        return message is not None


def work_replay(request: Plain, connection: Connection) -> None:
    """Run a case on a target, and send the signatures of all findings."""
    with serving(connection):
        connection.send({"is": "replayed", "signatures": _signatures(request)})


def _signatures(request: Plain) -> list[list[Any]]:
    shown: set[tuple[Any, ...]] = set()
    case, wanted = case_of(request), tuple(request["signature"])
    try:
        target = target_named(request["target"])
        with target.session() as session:
            for _ in range(RERUNS):
                shown |= {tuple(found.signature) for found in judge(run(session, target, case.operations, slots=case.slots))}
                if wanted in shown:
                    break
    except SockiterError:
        pass  # not confirmed
    return sorted(map(list, shown))


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer the requests, one after the other, until their end."""

    def answer(data: Plain) -> None:
        answers.write(json.dumps(data) + "\n")
        answers.flush()

    has_ended = False

    def listen() -> None:
        # Nothing is requested before the last answer, so what can be read is the end.
        nonlocal has_ended
        if not has_ended and select.select([requests], [], [], 0)[0]:
            has_ended = True
            raise KeyboardInterrupt

    for line in requests:
        request = json.loads(line)
        match request["do"]:
            case "abilities":
                answer({"is": "abilities", "abilities": abilities(request["targets"])})
            case "replay":
                _Replay(request, work_replay, answer).run(listen)
            case _:
                _Block(job_of(request["job"]), work, answer).run(listen)
        answer({"is": "end", "boot_id": boot_id()})


def main() -> None:
    """Serve on the standard streams. What other packages print goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        rights.settle(os.environ)
        try:
            serve(sys.stdin, answers)
        except BrokenPipeError:
            os._exit(1)  # the Dask worker is gone
