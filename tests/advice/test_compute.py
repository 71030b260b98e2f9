"""The computation of advice: which searches and measurements there are, and what becomes of their results."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import pytest

from sockiter.advice import compute
from sockiter.advice.advice import SourceAdvice, Way
from sockiter.advice.compute import AdviceWorkers, Job, Progress, Task, tasks_of, work
from sockiter.advice.measure import Measured
from sockiter.advice.risks import ReaderRisks
from sockiter.check.result import Scope
from sockiter.check.search import StopSearch
from sockiter.errors import InputError
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.tcp import KERNEL_TCP
from sockiter.readers import PARTIAL, READERS, WHOLE, Reader
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.support.advising import detected, of_kernel, of_scheme, risk, risks
from tests.support.inline_workers import work_inline


def tasks(*sources: SourceAdvice, seconds: float = 6.0) -> list[Task]:
    return tasks_of(sources, sockets=2, seconds=seconds, seed="7", memory_max=1 << 30)


def job(kind: str = "search", target: str = "offset-udp", *, memory_max: int | None = None) -> Job:
    return Job("search" if kind == "search" else "measure", target, "partial", 1, 0.02, "7", memory_max)


# Tasks


def test_each_reader_of_a_scheme_is_searched_and_a_scheme_is_not_measured() -> None:
    source = of_scheme(*map(Way, READERS))
    found = tasks(source)
    assert [(task.job.kind, task.job.target, task.job.reader) for task in found] == [
        ("search", "offset-udp", reader.name) for reader in READERS
    ]
    assert [task.ways for task in found] == [[way] for way in source.ways]
    assert {(task.job.sockets, task.job.seed, task.job.memory_max) for task in found} == {(2, "7", 1 << 30)}


def test_sources_with_one_scheme_share_its_searches_and_each_is_measured_after_them() -> None:
    udp, tcp = of_kernel(Way(PARTIAL), Way(WHOLE)), SourceAdvice(KERNEL_TCP, "offset-udp", [Way(PARTIAL)])
    found = tasks(udp, tcp)
    assert [(task.job.kind, task.job.target, task.job.reader, task.job.seconds) for task in found] == [
        ("search", "offset-udp", "partial", 0),
        ("search", "offset-udp", "whole", 0),
        ("measure", "kernel:udp", "partial", 3.0),
        ("measure", "kernel:udp", "whole", 3.0),
        ("measure", "kernel:tcp", "partial", 6.0),
    ]
    assert [len(task.ways) for task in found] == [2, 1, 1, 1, 1]
    assert {task.job.memory_max for task in found if task.job.kind == "measure"} == {None}


def test_without_seconds_nothing_is_measured() -> None:
    assert {task.job.kind for task in tasks(of_kernel(Way(PARTIAL)), seconds=0)} == {"search"}


# Results


@pytest.fixture
def kernel_as_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's iterators are offset-udp, and a session on them is one on that scheme."""

    @contextmanager
    def session(self: KernelTarget) -> Iterator[SchemeTarget]:
        model = target_named("offset-udp")
        assert isinstance(model, SchemeTarget)
        yield model

    detected(monkeypatch)
    monkeypatch.setattr(KernelTarget, "session", session)


@pytest.mark.usefixtures("kernel_as_model")
def test_every_way_gets_its_risks_and_its_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, "sockiter.advice.compute")
    source = of_kernel(Way(PARTIAL), Way(WHOLE))
    found = tasks_of([source], sockets=1, seconds=0.1, seed="7", memory_max=1 << 50)
    AdviceWorkers(found, workers=2).run()
    for way in source.ways:
        assert (way.risks and way.risks.reader, way.measured and way.measured.reader) == (way.reader, way.reader)
        assert way.risks is not None
        assert ("lost", True) in {(one.effect, one.own) for one in way.risks.risks}
        assert way.measured is not None
        assert way.measured.walks > 0
        assert way.trouble == ""
    assert all(task.is_over for task in found)


def test_the_progress_of_a_search_is_kept_and_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(scheme: AnyScheme, reader: Reader, scope: Scope, progress: Callable[[int, int], None]) -> ReaderRisks:
        progress(1234, 5)
        return risks(reader.name)

    work_inline(monkeypatch, "sockiter.advice.compute")
    monkeypatch.setattr(compute, "risks_of", search)
    (task,) = found = tasks(of_scheme(Way(PARTIAL)))
    AdviceWorkers(found, workers=1).run()
    assert (task.done, task.is_over) == (1234, True)


def test_an_error_is_the_trouble_of_every_way_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*given: object) -> ReaderRisks:
        raise InputError("no such thing")

    work_inline(monkeypatch, "sockiter.advice.compute")
    monkeypatch.setattr(compute, "risks_of", search)
    sources = of_scheme(Way(PARTIAL)), of_scheme(Way(PARTIAL))
    AdviceWorkers(tasks(*sources), workers=1).run()
    assert [(source.ways[0].trouble, source.ways[0].risks) for source in sources] == [("no such thing", None)] * 2


def end_at_once(job: Job, connection: Connection) -> None:
    """The work of a worker that ends without a message."""
    connection.close()


def test_a_worker_that_ends_without_a_result_is_the_trouble_of_its_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, __name__)
    monkeypatch.setattr(compute, "work", end_at_once)
    source = of_scheme(Way(PARTIAL))
    AdviceWorkers(tasks(source), workers=1).run()
    assert source.ways[0].trouble == "the worker for offset-udp ended with exit code 0: the scheme or the system ended it"


# A worker


def result_of(given: Job, *, stopped: bool = False) -> object:
    """The last message of a worker; `stopped`: it was sent a message before."""
    ours, theirs = multiprocessing.Pipe()
    if stopped:
        ours.send("stop")
    work(given, theirs)
    messages: list[object] = []
    try:
        while True:
            messages.append(ours.recv())
    except (EOFError, ConnectionResetError):
        ours.close()
    assert all(isinstance(message, Progress) for message in messages[:-1])
    return messages[-1]


def search_that_reports(
    scheme: AnyScheme, reader: Reader, scope: Scope, progress: Callable[[int, int], None]
) -> ReaderRisks:
    """Reports once, and ends as a search does."""
    try:
        progress(5, 2)
    except KeyboardInterrupt:
        return risks(reader.name, incomplete="interrupted")
    except StopSearch as enough:
        return risks(reader.name, incomplete=str(enough))
    return risks(reader.name, risk("lost", "open"))


def incomplete(result: object) -> str:
    assert isinstance(result, ReaderRisks)
    return result.incomplete


def test_a_worker_stops_at_a_message_and_where_its_memory_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "risks_of", search_that_reports)
    assert incomplete(result_of(job(memory_max=1 << 50))) == ""
    assert incomplete(result_of(job(), stopped=True)) == "interrupted"
    assert incomplete(result_of(job(memory_max=10 << 20))) == (
        "10 MiB of memory are used up, after 5 states; more with --memory"
    )


@pytest.mark.usefixtures("kernel_as_model")
def test_a_worker_that_is_stopped_while_it_measures_sends_the_walks_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = result_of(job("measure", "kernel:udp")._replace(seconds=600), stopped=True)
    assert isinstance(measured, Measured)
    assert measured.walks == 50
