"""Computes the cells of a matrix in parallel, each in a process of its own.

Decided here: how a cell is computed, a model's by search and a real iterator's by fuzzing, in which order, and the result
of cells that were not reached. One search is not split over processes: that was slower than one process. Not known
here: which cells there are, their verdicts, and how progress and results are printed.
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
from sockiter.simulation import SchemeTarget
from sockiter.targets import SCHEME_TARGETS, target_named
from sockiter.verdict import Signature
from sockiter.workers import Workers, serving

# The driver that runs the most sequences.
DRIVER = "swarm"
NOT_REACHED = "not searched"
# What is being shrunk when the time is up may go on for so long.
SHRINKING_S = 2.0


class Fault(str):
    """In words, a mistake of a scheme, for which it cannot be searched."""


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
    """How far a job has come: the states so far and those that wait, or the sequences."""

    done: int
    waiting: int


@dataclass(slots=True)
class CellTask:
    """A cell that is being computed. `result` is None until then; `trouble` is the reason why there is none."""

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
        """The states, or the sequences, so far."""
        return self.result.states if isinstance(self.result, SearchResult) else self.tick.done

    @property
    def unfinished(self) -> str:
        """Why it proves less than it should, in words; "" where it does not."""
        return self.result.incomplete if isinstance(self.result, SearchResult) else self.trouble


# A scheme that does not say what of it matters has no end of states.
OPS_WITHOUT_END = 7


def within_reach(target: Target, hazards: frozenset[Hazard], scope: Scope) -> Scope:
    """What of a scope can be searched to its end, for this target under these hazards."""
    scope = scope.under(hazards)
    if isinstance(target, SchemeTarget) and not hasattr(target.scheme, "canonical") and scope.ops is None:
        scope = replace(scope, ops=OPS_WITHOUT_END)
    return scope


def tasks_of(targets: Iterable[Target], columns: Iterable[Column], scope: Scope) -> list[CellTask]:
    """The cells of a matrix, each in as much of the scope as is within reach, without those that a target cannot have.

    Where versions that roll over leave a smaller scope to all hazards together, all but that one are a task of their own: it
    has no cell, and what it comes to is in that of them all.
    """
    columns = tuple(columns)
    tasks = []
    for target in targets:
        for column in columns:
            hazards = column.of(target)
            if hazards is None:
                continue
            reach = within_reach(target, hazards, scope)
            tasks.append(CellTask(target, column, hazards, reach))
            rest = hazards - {"rollover"}
            if column == ALL and (more := within_reach(target, rest, scope)) != reach:
                tasks.append(CellTask(target, Column(f"{ALL.name} but rollover", rest), rest, more))
    return tasks


def matrix_of(tasks: Iterable[CellTask], targets: Iterable[Target], columns: tuple[Column, ...], scope: Scope) -> Matrix:
    """What is known of some cells by now, as a matrix. What happens under some hazards happens under more."""
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
        # Nobody else would tell that a search which has no cell of its own was cut short.
        whys = [other.unfinished for other in with_fewer if other.column not in columns]
        result = replace(result, incomplete=next(filter(None, whys), ""))
    return Cell(task.column, task.hazards, result, task.trouble)


class CellWorkers(Workers[CellTask, CellJob]):
    """Computes cells on so many workers; `seconds` for all cells of one real iterator together.

    `memory_max`: bytes for all workers together, at which a search stops, incomplete. A KeyboardInterrupt in `run` keeps
    the results so far.
    """

    def __init__(self, tasks: list[CellTask], *, seconds: float, workers: int, memory_max: int | None = None) -> None:
        super().__init__(sorted(tasks, key=_length), workers=workers, work=work)
        self.tasks = tasks
        self._memory_max = memory_max and memory_max // workers
        rows = [task.target.name for task in tasks]
        self._seconds = {name: seconds / rows.count(name) for name in rows}

    def _next(self) -> CellTask:
        # A long one that is begun last keeps one worker busy while the others have nothing left to do; if all began with
        # long ones, whoever is soon tired of waiting would have nothing. So one of them takes the longest that is left, and
        # the others the shortest.
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
    # How long it may take, as far as can be told beforehand.
    return len(task.hazards), "rollover" in task.hazards, not task.target.is_real


def work(job: CellJob, connection: Connection) -> None:
    """Carry out a job and report on it; stop early on any message, or when the main process is gone."""

    def report(done: int, waiting: int) -> None:
        # Somebody who went away is noticed here as well.
        if connection.poll():
            raise KeyboardInterrupt
        if job.memory_max is not None and memory_used() > job.memory_max:
            raise StopSearch(f"{job.memory_max >> 20} MiB of memory are used up, after {done:,} states; more with --memory")
        connection.send(CellProgress(done, waiting))

    with serving(connection):
        connection.send(_result(job, report))


def _result(job: CellJob, report: Callable[[int, int], None]) -> SearchResult | Measured | str:
    # A str is the reason why there is no result.
    try:
        target = target_named(job.target)
        if isinstance(target, SchemeTarget):
            rights.give_up()
            result: SearchResult | Measured = search(target.scheme, job.hazards, job.scope, progress=report)
        else:
            result = measure(target, job.hazards, job.seconds, report)
        return replace(result, violations=tuple(_annotated(target, violation) for violation in result.violations))
    except SchemeFault as fault:
        return Fault(fault)
    except SockiterError as error:
        return str(error)
    except TypeError as error:
        # A scheme of another package need not be one whose state can be looked into.
        return f"it cannot be searched: {error}"


def memory_used() -> int:
    """The bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def measure(target: Target, hazards: frozenset[Hazard], seconds: float, report: Callable[[int, int], None]) -> Measured:
    """Fuzz a target for some seconds with these hazards, from a seed that is always the same.

    `tell` is told the sequences so far. A KeyboardInterrupt that it raises ends it early: fewer sequences, no less true.
    Raises `Unavailable` where the target does not run here.
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
    # Whoever keeps the case as a file can replay it.
    failure = str(KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere))
    case = replace(violation.case, comment=(f"{failure.capitalize()}, on {target.name}.",))
    return replace(violation, case=with_expects(case, {t.name: t for t in (*SCHEME_TARGETS, target)}.values()))
