"""The computation of cells: their order, their workers, and the cells that were not reached."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from sockiter import workers
from sockiter.backend import Target
from sockiter.check.result import Scope, SearchResult
from sockiter.check.search import StopSearch
from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.fuzzing.drivers import DRIVERS, Bite
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.matrix import compute
from sockiter.matrix.compute import (
    NOT_REACHED,
    OPS_WITHOUT_END,
    CellJob,
    CellProgress,
    CellTask,
    CellWorkers,
    matrix_of,
    measure,
    memory_used,
    parts,
    tasks_of,
    within_reach,
    work,
)
from sockiter.matrix.matrix import ALL, NONE, Cell, Column, Matrix, Measured, columns
from sockiter.operations import length
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.support.inline_workers import work_inline
from tests.support.matrices import searched

pytestmark = pytest.mark.interpreter

SCOPE = Scope(2, 1, 2)
Report = Callable[[int, int], None]


def of(*names: str, workers: int = 1, seconds: float = 1.0, memory_max: int | None = None) -> CellWorkers:
    targets = [target_named(name) for name in names]
    tasks = tasks_of(targets, columns(targets), SCOPE)
    return CellWorkers(tasks, seconds=seconds, workers=workers, memory_max=memory_max)


def made(run: CellWorkers) -> Matrix:
    targets = list({task.target.name: task.target for task in run.tasks}.values())
    return matrix_of(run.tasks, targets, columns(targets), SCOPE)


def job(target: str = "offset-udp", *hazards: Hazard, memory_max: int | None = None) -> CellJob:
    return CellJob(target, frozenset(hazards), SCOPE, 0.0, memory_max)


def no_report(done: int, waiting: int) -> None:
    """Nobody listens."""


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, limited_kernel: None) -> list[CellJob]:
    """The jobs that were given out. No worker is a process, and each knows its answer from the corpus."""
    given: list[CellJob] = []

    def answer(job: CellJob, report: Report) -> SearchResult | Measured:
        given.append(job)
        report(7, 3)
        target = target_named(job.target)
        if isinstance(target, SchemeTarget):
            return searched(target, job.hazards)
        return Measured(job.target, job.hazards, 4000, job.seconds, ())

    work_inline(monkeypatch, "sockiter.matrix.compute")
    monkeypatch.setattr(compute, "_result", answer)
    return given


# Which cells there are, and in which order they are worked out.


def test_every_cell_that_a_target_can_be_put_through_is_worked_out_once(jobs: list[CellJob]) -> None:
    run = of("rank", "offset-udp")
    run.run()
    assert len(jobs) == len(set(jobs)) == 9 + 12
    assert {given.hazards for given in jobs if given.target == "rank"} == {
        frozenset(),
        *(frozenset({hazard}) for hazard in target_named("rank").hazards - {"destroy"}),
        target_named("rank").hazards,
    }


def test_a_single_worker_begins_with_the_shortest_tasks(jobs: list[CellJob]) -> None:
    of("kernel:udp", "index-narrow", "rank").run()
    sizes = [len(given.hazards) for given in jobs]
    assert sizes == sorted(sizes)
    assert jobs[-1].target == "index-narrow"


def test_one_of_several_workers_has_the_longest_task_and_the_others_short_ones(jobs: list[CellJob]) -> None:
    of("index-narrow", "rank", workers=3).run()
    assert [(given.target, len(given.hazards)) for given in jobs[:3]] == [
        ("index-narrow", 14),
        ("index-narrow", 0),
        ("rank", 0),
    ]
    assert ("rank", 8) in [(given.target, len(given.hazards)) for given in jobs[3:6]]


def test_seconds_are_shared_by_the_cells_of_a_row_and_memory_by_the_workers(jobs: list[CellJob]) -> None:
    of("kernel:udp", "rank", seconds=10.0, workers=2, memory_max=1 << 50).run()
    assert {given.seconds for given in jobs if given.target == "kernel:udp"} == {10.0 / 6}
    assert {given.memory_max for given in jobs if given.target == "kernel:udp"} == {None}
    assert {given.memory_max for given in jobs if given.target == "rank"} == {1 << 49}


def test_the_matrix_has_the_result_of_every_cell_in_the_order_of_targets_and_columns(jobs: list[CellJob]) -> None:
    run = of("offset-udp", "kernel:udp", workers=3)
    run.run()
    matrix = made(run)
    assert matrix.scope == SCOPE
    assert [row.target.name for row in matrix.rows] == ["offset-udp", "kernel:udp"]
    assert all([cell.column for cell in row.cells] == list(matrix.columns) for row in matrix.rows)
    assert [cell.can for cell in matrix.rows[1].cells] == [True] * 4 + [False] * 2 + [True] + [False] * 4 + [True]
    assert isinstance(matrix.rows[1].cells[0].result, Measured)
    assert {cell.unfinished for row in matrix.rows for cell in row.cells} == {""}
    assert {task.tick for task in run.tasks} == {CellProgress(7, 3)}


def test_a_message_of_a_worker_is_the_reason_of_an_unknown_cell(
    jobs: list[CellJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "_result", lambda job, report: "no such thing")
    run = of("rank")
    run.run()
    assert {cell.unfinished for cell in made(run).rows[0].cells} == {"no such thing"}


def test_before_anything_is_worked_out_nothing_is_known() -> None:
    (row,) = made(of("rank")).rows
    assert {cell.unfinished for cell in row.cells} == {NOT_REACHED}


# Scopes of their own.

NARROW = target_named("index-narrow")
WHOLE = Scope(3, 2, 2)


def scopes(target: Target, scope: Scope) -> dict[str, Scope]:
    return {task.column.name: task.scope for task in tasks_of([target], columns([target]), scope)}


def test_where_versions_roll_over_a_task_has_a_smaller_scope_of_its_own() -> None:
    own = scopes(NARROW, WHOLE)
    assert own["rollover"] == Scope(3, 1, 2)
    assert own["all"] == Scope(2, 1, 2)
    assert {name for name, scope in own.items() if scope != WHOLE} == {"rollover", "all", "all but rollover"}
    assert set(scopes(target_named("unix"), WHOLE).values()) == {WHOLE}


def test_a_task_under_close_with_many_other_hazards_has_a_smaller_scope_of_its_own() -> None:
    own = scopes(target_named("index"), WHOLE)
    assert own["all"] == Scope(3, 1, 2)
    assert {name for name, scope in own.items() if scope != WHOLE} == {"all"}


def test_all_but_the_hazards_that_make_the_scope_smaller_are_a_task_of_their_own_where_that_has_the_larger_scope() -> None:
    own = scopes(NARROW, WHOLE)
    assert own["all but rollover"] == Scope(3, 1, 2)
    assert own["all but close, accept, rollover"] == WHOLE
    assert scopes(target_named("index"), WHOLE)["all but close, accept"] == WHOLE
    assert [name for name in scopes(NARROW, SCOPE) if "but" in name] == []
    assert [name for name in scopes(target_named("unix"), WHOLE) if "but" in name] == []


def test_a_claim_that_leaves_out_hazards_names_those_that_its_parts_leave_out_as_well() -> None:
    target = target_named("index")
    claim = Column("all but reinsert", target.hazards - {"reinsert"})
    names = [task.column.name for task in parts(target, claim, claim.hazards, WHOLE)]
    assert names == ["all but reinsert", "all but reinsert, close, accept"]


def test_a_scheme_without_a_canonical_form_is_searched_in_short_sequences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = SchemeTarget(OffsetUdp())
    # It has nothing at all, and so no canonical form.
    monkeypatch.setattr(closed, "scheme", object())
    assert within_reach(closed, frozenset(), WHOLE) == replace(WHOLE, ops=OPS_WITHOUT_END)
    assert within_reach(closed, frozenset(), replace(WHOLE, ops=9)) == replace(WHOLE, ops=9)
    assert within_reach(KERNEL_UDP, frozenset(), WHOLE) == WHOLE


# The result of a task.


def task(column: Column = ALL, **of: Any) -> CellTask:
    return CellTask(NARROW, column, column.of(NARROW) or frozenset(), WHOLE, **of)


def test_the_states_of_a_task_are_those_of_its_result_or_as_many_as_it_reported() -> None:
    assert task(tick=CellProgress(7, 3)).states == 7
    assert task(tick=CellProgress(7, 3), result=searched(NARROW, frozenset())).states == 100
    assert task(tick=CellProgress(7, 0), result=Measured("index-narrow", frozenset(), 9, 1.0, ())).states == 7


def test_a_task_is_unfinished_until_it_has_a_result_and_where_that_was_cut_short() -> None:
    assert task().unfinished == NOT_REACHED
    assert task(trouble="", result=Measured("index-narrow", frozenset(), 9, 1.0, ())).unfinished == ""
    assert task(trouble="", result=searched(NARROW, frozenset())).unfinished == ""
    assert task(trouble="", result=searched(NARROW, frozenset(), incomplete="interrupted")).unfinished == "interrupted"


BUT_ROLLOVER = Column("all but rollover", NARROW.hazards - {"rollover"})


def cell_of_all(*tasks: CellTask) -> Cell:
    (row,) = matrix_of(tasks, [NARROW], (NONE, ALL), WHOLE).rows
    assert [cell.column for cell in row.cells] == [NONE, ALL]
    return row.cells[-1]


def nothing_found(column: Column, *, incomplete: str = "") -> SearchResult:
    result = searched(NARROW, column.of(NARROW) or frozenset(), incomplete=incomplete)
    return replace(result, violations=())


def test_a_failure_under_some_hazards_happens_under_more_with_or_without_a_cell() -> None:
    less = task(BUT_ROLLOVER, trouble="", result=searched(NARROW, BUT_ROLLOVER.hazards))
    cell = cell_of_all(task(trouble="", result=nothing_found(ALL)), less)
    assert cell.result
    assert less.result
    assert cell.result.violations == less.result.violations
    assert not cell.unfinished


def test_a_failure_under_all_hazards_need_not_happen_under_fewer() -> None:
    full = task(trouble="", result=searched(NARROW, NARROW.hazards))
    (row,) = matrix_of([task(NONE, trouble="", result=nothing_found(NONE)), full], [NARROW], (NONE, ALL), WHOLE).rows
    assert [bool(cell.result and cell.result.violations) for cell in row.cells] == [False, True]


def test_a_search_without_a_cell_that_was_cut_short_leaves_the_cell_unfinished_that_it_is_for() -> None:
    done = task(trouble="", result=nothing_found(ALL))
    cut = task(BUT_ROLLOVER, trouble="", result=nothing_found(BUT_ROLLOVER, incomplete="interrupted"))
    assert cell_of_all(done, cut).unfinished == "interrupted"
    assert cell_of_all(done, task(BUT_ROLLOVER)).unfinished == NOT_REACHED
    own = task(trouble="", result=nothing_found(ALL, incomplete="no more memory"))
    assert cell_of_all(own, cut).unfinished == "no more memory"
    assert cell_of_all(done, task(NONE)).unfinished == ""


# A worker.


def messages_of(given: CellJob, *, stopped: bool = False) -> list[object]:
    """The messages of a worker, without ticks."""
    ours, theirs = multiprocessing.Pipe()
    if stopped:
        ours.send("stop")
    work(given, theirs)
    messages = []
    try:
        while True:
            messages.append(ours.recv())
    except (EOFError, ConnectionResetError):  # it ended without reading its messages
        ours.close()
    return [one for one in messages if not isinstance(one, CellProgress)]


def test_a_worker_on_a_model_searches_it_and_its_cases_come_out_as_they_expect() -> None:
    (result,) = messages_of(job("offset-udp", "remove"))
    assert isinstance(result, SearchResult)
    assert result.complete
    (skip,) = result.violations
    assert (skip.kind, skip.moved, skip.operations) == ("skip", False, 6)
    assert skip.case.comment == ("Skip under remove, on offset-udp.",)
    assert "offset-udp" in {expect.target for expect in skip.case.expects}


def test_a_worker_that_the_machine_cannot_run_reports_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(self: object) -> AbstractContextManager[None]:
        raise Unavailable("no such thing")

    monkeypatch.setattr(KernelTarget, "session", lacking)
    assert messages_of(job("kernel:udp")) == ["no such thing"]


def search_that_tells(
    scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, *, progress: Callable[[int, int], None]
) -> SearchResult:
    """Keeps the bargain of a search, and reports once."""
    incomplete = ""
    try:
        progress(5, 2)
    except KeyboardInterrupt:
        incomplete = "interrupted"
    except StopSearch as enough:
        incomplete = str(enough)
    return SearchResult(scheme.name, hazards, scope, 5, 5, 0.1, (), incomplete)


def test_a_worker_that_is_stopped_sends_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "search", search_that_tells)
    (result,) = messages_of(job(), stopped=True)
    assert isinstance(result, SearchResult)
    assert result.incomplete == "interrupted"


def test_a_worker_without_a_message_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "search", search_that_tells)
    (result,) = messages_of(job(memory_max=1 << 50))
    assert isinstance(result, SearchResult)
    assert result.complete


def test_a_worker_stops_where_its_memory_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "search", search_that_tells)
    assert memory_used() > 10 << 20
    (result,) = messages_of(job(memory_max=10 << 20))
    assert isinstance(result, SearchResult)
    assert result.incomplete == "10 MiB of memory are used up, after 5 states; more with --memory"


def test_a_worker_ends_when_its_connection_is_closed() -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    work(job(), theirs)
    assert theirs.closed


def test_a_scheme_that_cannot_be_looked_into_is_trouble_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **options: object) -> SearchResult:
        raise TypeError("its generator hides its state")

    monkeypatch.setattr(compute, "search", refuse)
    assert messages_of(job()) == ["it cannot be searched: its generator hides its state"]


# Measuring.


def test_measuring_counts_sequences_and_keeps_the_shortest_case_of_each_failure() -> None:
    target = SchemeTarget(OffsetUdp())
    hazards = frozenset[Hazard]({"remove"})
    counts: list[int] = []

    def report(done: int, waiting: int) -> None:
        counts.append(done)
        if done > 1000:
            raise KeyboardInterrupt

    result = measure(target, hazards, 60.0, report)
    assert (result.target, result.hazards) == ("offset-udp", hazards)
    assert result.sequences == counts[-1] > 1000
    assert [(one.kind, one.moved, one.operations) for one in result.violations] == [("skip", False, 6)]
    assert 0 < result.seconds < 60


def test_measuring_ends_when_its_time_is_up() -> None:
    result = measure(SchemeTarget(OffsetUdp()), frozenset(), 0.0, no_report)
    assert result.sequences > 0
    assert result.violations == ()


def test_the_shorter_of_two_cases_of_a_failure_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    target = SchemeTarget(OffsetUdp())
    cases = [one.case for one in searched(target, target.hazards).violations]
    by_length = sorted(cases, key=lambda case: length(case.operations))
    short, long = by_length[0], searched(SchemeTarget(OffsetUdp()), frozenset({"rehash"})).violations[-1].case

    def drive(triage: Triage, hazards: frozenset[Hazard], seed: str, sequences_max: float = math.inf, /) -> Iterator[Bite]:
        for case in (long, short, long):
            yield Bite(1, 1, TriagedFinding("offset-udp", "skip", False, case, hazards, None, 1, 1, 1))

    monkeypatch.setitem(DRIVERS, "swarm", drive)

    assert length(short.operations) < length(long.operations)
    assert [one.case for one in measure(target, frozenset(), 60.0, no_report).violations] == [short]


# In processes of their own.


def none_and_all(*, sockets: int, workers: int = 1) -> CellWorkers:
    """Two cells; with 6 sockets, all together takes minutes, and none at all no time."""
    target = target_named("offset-udp")
    return CellWorkers(tasks_of([target], (NONE, ALL), Scope(sockets, 2, 2)), seconds=1.0, workers=workers)


def worker(run: CellWorkers) -> BaseProcess:
    ((process, _),) = run.running.values()
    assert isinstance(process, BaseProcess)
    return process


def once(what: Callable[[], None], run: CellWorkers) -> Callable[[], None]:
    """A progress that calls a function at the first report of a worker."""
    done: list[bool] = []

    def progress() -> None:
        if not done and any(task.tick.done for task in run.tasks):
            done.append(True)
            what()

    return progress


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def troubles(run: CellWorkers) -> list[str]:
    return [task.result.incomplete if isinstance(task.result, SearchResult) else task.trouble for task in run.tasks]


@pytest.fixture
def no_worker_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("no_worker_is_left")
def test_cells_are_worked_out_side_by_side() -> None:
    run = none_and_all(sockets=2, workers=2)
    most = 0

    def progress() -> None:
        nonlocal most
        most = max(most, len(run.running))

    run.run(progress)
    assert most <= 2
    assert troubles(run) == ["", ""]
    assert not run.interrupted


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_worker_that_is_killed_leaves_its_cell_unknown_and_the_others_go_on() -> None:
    run = none_and_all(sockets=6, workers=2)

    def kill() -> None:
        for process, task in run.running.values():
            if task.column == ALL:
                assert isinstance(process, BaseProcess)
                os.kill(process.pid or 0, signal.SIGKILL)

    run.run(once(kill, run))
    assert troubles(run) == [
        "",
        f"the worker that searched {run.tasks[1].target.name} ended with exit code -9: the scheme or the system ended it",
    ]


@pytest.mark.usefixtures("no_worker_is_left")
def test_an_interrupt_ends_the_workers_which_report_their_results_and_the_rest_is_not_searched() -> None:
    run = none_and_all(sockets=6)
    run.run(once(press_ctrl_c, run))
    assert run.interrupted
    assert troubles(run) == ["", "interrupted"]
    result = run.tasks[1].result
    assert isinstance(result, SearchResult)
    assert result.states > 0


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_worker_that_does_not_stop_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_S", 0.05)
    run = none_and_all(sockets=6)

    def hang() -> None:
        os.kill(worker(run).pid or 0, signal.SIGSTOP)
        raise KeyboardInterrupt

    run.run(once(hang, run))
    assert troubles(run) == ["", NOT_REACHED]


@pytest.mark.usefixtures("no_worker_is_left")
def test_a_worker_that_cannot_be_stopped_has_ended_by_itself() -> None:
    run = none_and_all(sockets=6)

    def end() -> None:
        process = worker(run)
        process.kill()
        process.join()
        raise KeyboardInterrupt

    run.run(once(end, run))
    assert troubles(run) == [
        "",
        f"the worker that searched {run.tasks[1].target.name} ended with exit code -9: the scheme or the system ended it",
    ]
