"""Computes advice in parallel: a search for each reader of each scheme, and a measurement for each reader on the kernel.

Sources with the same scheme share a search.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal, NamedTuple, TypeAlias

from sockiter import rights
from sockiter.advice.advice import SourceAdvice, Way
from sockiter.advice.measure import Measured, measure
from sockiter.advice.risks import ReaderRisks, risks_of, scope_of
from sockiter.check.search import StopSearch
from sockiter.errors import SockiterError
from sockiter.matrix.compute import memory_used
from sockiter.readers import Reader, reader_named
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.workers import Workers, serving


class Progress(NamedTuple):
    """States of a search, or walks of a measurement, so far."""

    done: int


class Job(NamedTuple):
    """A search of a scheme, or a measurement of a kernel's iterator."""

    kind: Literal["search", "measure"]
    target: str
    reader: str
    sockets: int
    seconds: float
    seed: str
    memory_max: int | None


Message: TypeAlias = Progress | ReaderRisks | Measured | str


@dataclass(slots=True)
class Task:
    """A job, and the ways that get its result."""

    job: Job
    ways: list[Way]
    done: int = 0
    is_over: bool = False


def tasks_of(
    sources: Iterable[SourceAdvice], *, sockets: int, seconds: float, seed: str, memory_max: int | None
) -> list[Task]:
    """The searches, and then the measurements, of `seconds` for each source together; 0 measures nothing."""
    searches: dict[tuple[str, Reader], Task] = {}
    measurements: list[Task] = []
    for source in sources:
        for way in source.ways:
            key = source.scheme, way.reader
            if key not in searches:
                job = Job("search", source.scheme, way.reader.name, sockets, 0, seed, memory_max)
                searches[key] = Task(job, [])
            searches[key].ways.append(way)
            if source.target.is_real and seconds:
                share = seconds / len(source.ways)
                job = Job("measure", source.target.name, way.reader.name, sockets, share, seed, None)
                measurements.append(Task(job, [way]))
    return [*searches.values(), *measurements]


class AdviceWorkers(Workers[Task, Job]):
    """Carries out tasks in parallel. A KeyboardInterrupt in `run` keeps the results so far."""

    def __init__(self, tasks: list[Task], *, workers: int) -> None:
        super().__init__(tasks, workers=workers, work=work)
        self.tasks = tasks

    def _job(self, task: Task) -> Job:
        return task.job

    def _on_message(self, task: Task, message: Message) -> None:
        if isinstance(message, Progress):
            task.done = message.done
            return
        task.is_over = True
        for way in task.ways:
            if isinstance(message, ReaderRisks):
                way.risks = message
            elif isinstance(message, Measured):
                way.measured = message
            else:
                way.trouble = message

    def _on_death(self, task: Task, why: str) -> None:
        for way in task.ways:
            way.trouble = f"the worker for {task.job.target} {why}"

    def _is_end(self, message: Message | None) -> bool:
        return isinstance(message, (ReaderRisks, Measured, str))


def work(job: Job, connection: Connection) -> None:
    """Carry out a job and report its progress; stop early on any message, or when the main process is gone."""

    def report(done: int, waiting: int = 0) -> None:
        if connection.poll():  # also true when the main process is gone
            raise KeyboardInterrupt
        if job.memory_max is not None and memory_used() > job.memory_max:
            raise StopSearch(f"{job.memory_max >> 20} MiB of memory are used up, after {done:,} states; more with --memory")
        connection.send(Progress(done))

    with serving(connection):
        try:
            target = target_named(job.target)
            reader = reader_named(job.reader)
            result: Message
            if job.kind == "search":
                assert isinstance(target, SchemeTarget)
                rights.give_up()
                result = risks_of(target.scheme, reader, scope_of(target.scheme, job.sockets), report)
            else:
                result = measure(target, reader, job.seconds, job.seed, report)
        except SockiterError as error:
            result = str(error)
        connection.send(result)
