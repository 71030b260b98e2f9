"""Computes the cells of a matrix in parallel, each in a process of its own.

A model's cell is computed by search, a real iterator's cell by fuzzing. The module also decides the order of the cells, and
the result of a cell that was not reached. A search is not split over processes: that was slower than one process.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from sockiter import rights
from sockiter.backend import Target
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.check.search import StopSearch, search
from sockiter.claims import Hazard, KnownFailure, in_order
from sockiter.errors import SchemeFault, SockiterError
from sockiter.fuzzing.drivers import DRIVERS
from sockiter.fuzzing.triage import Triage
from sockiter.matrix.matrix import ALL, Cell, Column, Matrix, MatrixRow, Measured, used, with_violations_of
from sockiter.operations import length
from sockiter.replay import with_expects
from sockiter.shrink.minimize import Patience
from sockiter.targets import SCHEME_TARGETS, scheme_of, target_named
from sockiter.verdict import Signature
from sockiter.workers import Workers, serving

# The driver that runs the most sequences.
DRIVER = "swarm"
NOT_REACHED = "not searched"
# The extra time for a finding that is being shrunk when the time is up.
SHRINKING_S = 2.0


class Fault(str):
    """An error in a scheme, in words, that makes a search impossible."""


@dataclass(frozen=True, slots=True)
class CellJob:
    """The computation of one cell: a search of a scope, or `seconds` of fuzzing for a real iterator."""

    target: str
    hazards: frozenset[Hazard]
    scope: Scope
    seconds: float
    memory_max: int | None


@dataclass(frozen=True, slots=True)
class CellProgress:
    """The progress of a job: the states so far and the waiting ones, or the sequences."""

    done: int
    waiting: int


@dataclass(slots=True)
class CellTask:
    """A cell that is being computed. `result` is None before the end; `trouble` is the reason for a missing result."""

    target: Target
    column: Column
    hazards: frozenset[Hazard]
    scope: Scope
    result: SearchResult | Measured | None = None
    trouble: str = NOT_REACHED
    tick: CellProgress = CellProgress(0, 0)
    is_long: bool = False

    @property
    def states(self) -> int:
        """The number of states or sequences so far."""
        return self.result.states if isinstance(self.result, SearchResult) else self.tick.done

    @property
    def unfinished(self) -> str:
        """The reason, in words, why the proof is not complete; "" for a complete one."""
        return self.result.incomplete if isinstance(self.result, SearchResult) else self.trouble


# The state space of a scheme without `canonical` is infinite, so its sequences are limited to this length.
OPS_WITHOUT_END = 7


def within_reach(target: Target, hazards: frozenset[Hazard], scope: Scope) -> Scope:
    """The part of a scope that can be searched completely, for this target under these hazards."""
    scope = scope.under(hazards)
    if target.buckets_max is not None:
        scope = replace(scope, buckets=min(scope.buckets, target.buckets_max))
    if (scheme := scheme_of(target)) is not None and not hasattr(scheme, "canonical") and scope.ops is None:
        scope = replace(scope, ops=OPS_WITHOUT_END)
    return scope


# Hazards that make a scope smaller, in the order in which they are left out to search more of it.
REDUCING: tuple[frozenset[Hazard], ...] = (frozenset({"rollover"}), frozenset({"close", "accept"}))


def tasks_of(targets: Iterable[Target], columns: Iterable[Column], scope: Scope) -> list[CellTask]:
    """The cells of a matrix, each in the part of the scope that is within reach, without unsupported ones.

    Some hazards can make the scope of all hazards together smaller. Then all hazards but these are separate tasks. Such a
    task has no cell; its result is part of the cell of all hazards.
    """
    columns = tuple(columns)
    tasks = []
    for target in targets:
        for column in columns:
            hazards = column.of(target)
            if hazards is None:
                continue
            if column == ALL:
                tasks += parts(target, column, hazards, scope)
            else:
                tasks.append(CellTask(target, column, hazards, within_reach(target, hazards, scope)))
    return tasks


def parts(target: Target, column: Column, hazards: frozenset[Hazard], scope: Scope) -> list[CellTask]:
    """The searches that cover a column: under all of its hazards, and, where these make the scope smaller, under fewer."""
    tasks = [CellTask(target, column, hazards, within_reach(target, hazards, scope))]
    left_out: frozenset[Hazard] = frozenset()
    for reducing in REDUCING:
        left_out |= reducing & hazards
        reach = within_reach(target, hazards - left_out, scope)
        if reach != tasks[-1].scope:
            name = f"{column.name}{',' if 'but' in column.name else ' but'} {', '.join(in_order(left_out))}"
            tasks.append(CellTask(target, Column(name, hazards - left_out), hazards - left_out, reach))
    return tasks


def matrix_of(tasks: Iterable[CellTask], targets: Iterable[Target], columns: tuple[Column, ...], scope: Scope) -> Matrix:
    """The results so far, as a matrix. A violation under some hazards also counts under any larger set of hazards."""
    tasks = tuple(tasks)
    rows = []
    for target in targets:
        of_this = {task.column: task for task in tasks if task.target.name == target.name}
        cells = []
        for column in columns:
            task = of_this.get(column)
            if task is None:
                cells.append(Cell(column, frozenset(), None))
            else:
                cells.append(_cell(task, [other for other in of_this.values() if other.hazards < task.hazards], columns))
        rows.append(MatrixRow(target, tuple(cells)))
    return Matrix(scope, columns, tuple(rows))


def _cell(task: CellTask, with_fewer: list[CellTask], columns: tuple[Column, ...]) -> Cell:
    result = task.result and with_violations_of(task.result, [other.result for other in with_fewer if other.result])
    if isinstance(result, SearchResult) and result.complete:
        # A search without a cell of its own has no other place to report that it was cut short.
        whys = [other.unfinished for other in with_fewer if other.column not in columns]
        result = replace(result, incomplete=next(filter(None, whys), ""))
    return Cell(task.column, task.hazards, result, task.trouble)


class CellWorkers(Workers[CellTask, CellJob]):
    """Computes cells in parallel; `seconds` is the time for all cells of one real iterator together.

    `memory_max`: the limit in bytes for all workers together; at the limit a search stops, incomplete. A KeyboardInterrupt
    in `run` keeps the results so far.
    """

    def __init__(self, tasks: list[CellTask], *, seconds: float, workers: int, memory_max: int | None = None) -> None:
        super().__init__(sorted(tasks, key=_length), workers=workers, work=work)
        self.tasks = tasks
        self._memory_max = memory_max and memory_max // workers
        rows = [task.target.name for task in tasks]
        self._seconds = {name: seconds / rows.count(name) for name in rows}

    def _next(self) -> CellTask:
        # A long task that begins last keeps one worker busy while the others are idle. If all workers began with long tasks,
        # an early interrupt would leave no results. So one worker takes the longest waiting task, the others the shortest.
        if self._workers == 1 or any(task.is_long for _, task in self.running.values()):
            return self._waiting.popleft()
        task = self._waiting.pop()
        task.is_long = True
        return task

    def _job(self, task: CellTask) -> CellJob:
        name = task.target.name
        return CellJob(
            name, task.hazards, task.scope, self._seconds[name], None if task.target.is_real else self._memory_max
        )

    def _on_message(self, task: CellTask, message: CellProgress | SearchResult | Measured | str) -> None:
        match message:
            case CellProgress():
                task.tick = message
            case str():
                task.trouble = message
            case _:
                task.result, task.trouble = message, ""

    def _is_end(self, message: CellProgress | SearchResult | Measured | str | None) -> bool:
        return isinstance(message, (SearchResult, Measured, str))

    def _on_death(self, task: CellTask, why: str) -> None:
        task.trouble = f"the worker that searched {task.target.name} {why}"


def _length(task: CellTask) -> tuple[int, bool, bool]:
    # An estimate of the duration.
    return len(task.hazards), "rollover" in task.hazards, not task.target.is_real


def work(job: CellJob, connection: Connection) -> None:
    """Carry out a job and report its progress; stop early on any message, or when the main process is gone."""

    def report(done: int, waiting: int) -> None:
        # The poll is also true when the main process is gone.
        if connection.poll():
            raise KeyboardInterrupt
        if job.memory_max is not None and memory_used() > job.memory_max:
            raise StopSearch(f"{job.memory_max >> 20} MiB of memory are used up, after {done:,} states; more with --memory")
        connection.send(CellProgress(done, waiting))

    with serving(connection):
        connection.send(_result(job, report))


def _result(job: CellJob, report: Callable[[int, int], None]) -> SearchResult | Measured | str:
    # A str is the reason for a missing result.
    try:
        target = target_named(job.target)
        if (scheme := scheme_of(target)) is not None:
            rights.give_up()
            result: SearchResult | Measured = search(scheme, job.hazards, job.scope, progress=report)
        else:
            result = measure(target, job.hazards, job.seconds, report)
        return replace(result, violations=tuple(_annotated(target, violation) for violation in result.violations))
    except SchemeFault as fault:
        return Fault(fault)
    except SockiterError as error:
        return str(error)
    except TypeError as error:
        # The state of another package's scheme may be of a type that the search cannot use.
        return f"it cannot be searched: {error}"


def memory_used() -> int:
    """The peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def measure(target: Target, hazards: frozenset[Hazard], seconds: float, report: Callable[[int, int], None]) -> Measured:
    """Fuzz a target for some seconds with these hazards, always from the same seed.

    `report` receives the number of sequences so far. A KeyboardInterrupt from `report` ends the fuzzing early; the result is
    valid for fewer sequences. Raises `Unavailable` if the target does not run here.
    """
    least: dict[Signature, Counterexample] = {}
    sequences = 0
    with target.session() as session:
        triage = Triage.of(target, session, hazards)
        started = time.monotonic()
        triage.patience = Patience(lambda: time.monotonic() >= started + seconds + SHRINKING_S)
        took = 0.0
        try:
            for bite in DRIVERS[DRIVER](triage, hazards, f"matrix/{target.name}/{'/'.join(in_order(hazards))}"):
                sequences += bite.sequences
                if (found := bite.found) is not None:
                    violation = Counterexample(found.kind, found.moved, found.case, found.elsewhere)
                    shortest = least.get(found.signature)
                    if shortest is None or violation.operations < shortest.operations:
                        least[found.signature] = violation
                took = time.monotonic() - started
                if took >= seconds:
                    break
                report(sequences, 0)
        except KeyboardInterrupt:
            took = time.monotonic() - started
    violations = sorted(least.values(), key=lambda violation: length(violation.case.operations))
    return Measured(target.name, hazards, sequences, took, tuple(violations))


def _annotated(target: Target, violation: Counterexample) -> Counterexample:
    # With comment and `expect` lines, the case can be replayed from a file.
    failure = str(KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere))
    case = replace(violation.case, comment=(f"{failure.capitalize()}, on {target.name}.",))
    return replace(violation, case=with_expects(case, {t.name: t for t in (*SCHEME_TARGETS, target)}.values()))
