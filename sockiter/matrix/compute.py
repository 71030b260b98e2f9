"""The cells of a matrix, worked out side by side, in a process each: one worker begins with the longest, the others do not.

Decided here: how a cell is worked out, a model's by search and a real iterator's by fuzzing it for a while, and what
becomes of those that were not reached. One search is not split over processes: that was slower than one process. Not known
here: which cells there are, what one says, and how progress and results are shown.
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
from sockiter.matrix.matrix import ALL, Cell, Column, Matrix, Measured, Row, used, with_those_of
from sockiter.operations import length
from sockiter.replay import with_expects
from sockiter.shrink.minimize import Patience
from sockiter.simulation import SchemeTarget
from sockiter.targets import SCHEME_TARGETS, target_named
from sockiter.verdict import Signature
from sockiter.workers import Workers, heard

# The driver that runs the most sequences.
DRIVER = "swarm"
NOT_REACHED = "not searched"
# What is being shrunk when the time is up may go on for so long.
SHRINKING_S = 2.0


class Fault(str):
    """In words, a mistake of a scheme, for which it cannot be searched."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to be worked out: a search of a scope, or `seconds` of fuzzing for a real iterator."""

    target: str
    hazards: frozenset[Hazard]
    scope: Scope
    seconds: float
    memory_max: int | None


@dataclass(frozen=True, slots=True)
class Tick:
    """How far a job has come: the states so far and those that wait, or the sequences."""

    done: int
    waiting: int


@dataclass(slots=True)
class Task:
    """A cell in the making. `result` is what came of it; until then, or instead, `trouble` says why there is none."""

    target: Target
    column: Column
    hazards: frozenset[Hazard]
    scope: Scope
    result: SearchResult | Measured | None = None
    trouble: str = NOT_REACHED
    tick: Tick = Tick(0, 0)
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


def tasks_of(targets: Iterable[Target], columns: Iterable[Column], scope: Scope) -> list[Task]:
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
            tasks.append(Task(target, column, hazards, reach))
            rest = hazards - {"rollover"}
            if column == ALL and (more := within_reach(target, rest, scope)) != reach:
                tasks.append(Task(target, Column(f"{ALL.name} but rollover", rest), rest, more))
    return tasks


def matrix_of(tasks: Iterable[Task], targets: Iterable[Target], columns: tuple[Column, ...], scope: Scope) -> Matrix:
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
                cells.append(_cell(task, [one for one in of_this.values() if one.hazards < task.hazards], columns))
        rows.append(Row(target, tuple(cells)))
    return Matrix(scope, columns, tuple(rows))


def _cell(task: Task, with_fewer: list[Task], columns: tuple[Column, ...]) -> Cell:
    result = task.result and with_those_of(task.result, [one.result for one in with_fewer if one.result])
    if isinstance(result, SearchResult) and result.complete:
        # Nobody else would tell that a search which has no cell of its own was cut short.
        whys = [one.unfinished for one in with_fewer if one.column not in columns]
        result = replace(result, incomplete=next(filter(None, whys), ""))
    return Cell(task.column, task.hazards, result, task.trouble)


class Cells(Workers[Task, Job]):
    """Cells at work, on so many workers; `seconds` for all those of one real iterator together.

    `memory_max`: bytes for all workers together, at which a search stops, incomplete. A KeyboardInterrupt in `run` leaves
    what the workers came to by then.
    """

    def __init__(self, tasks: list[Task], *, seconds: float, workers: int, memory_max: int | None = None) -> None:
        super().__init__(sorted(tasks, key=_length), workers=workers, work=work)
        self.tasks = tasks
        self._memory_max = memory_max and memory_max // workers
        rows = [task.target.name for task in tasks]
        self._seconds = {name: seconds / rows.count(name) for name in rows}

    def _next(self) -> Task:
        # A long one that is begun last keeps one worker busy while the others have nothing left to do; if all began with
        # long ones, whoever is soon tired of waiting would have nothing. So one of them takes the longest that is left, and
        # the others the shortest.
        if self._workers == 1 or any(task.is_long for _, task in self.running.values()):
            return self._waiting.popleft()
        task = self._waiting.pop()
        task.is_long = True
        return task

    def _job(self, task: Task) -> Job:
        name = task.target.name
        return Job(name, task.hazards, task.scope, self._seconds[name], None if task.target.is_real else self._memory_max)

    def _heard(self, task: Task, message: Tick | SearchResult | Measured | str) -> None:
        match message:
            case Tick():
                task.tick = message
            case str():
                task.trouble = message
            case _:
                task.result, task.trouble = message, ""

    def _is_end(self, message: Tick | SearchResult | Measured | str | None) -> bool:
        return isinstance(message, (SearchResult, Measured, str))

    def _died(self, task: Task, why: str) -> None:
        task.trouble = f"the worker that searched {task.target.name} {why}"


def _length(task: Task) -> tuple[int, bool, bool]:
    # How long it may take, as far as can be told beforehand.
    return len(task.hazards), "rollover" in task.hazards, not task.target.is_real


def work(job: Job, connection: Connection) -> None:
    """Carry out a job and report on it; stop early when anything is said, or when nobody listens any more."""

    def tell(done: int, waiting: int) -> None:
        # Somebody who went away is noticed here as well.
        if connection.poll():
            raise KeyboardInterrupt
        if job.memory_max is not None and memory_used() > job.memory_max:
            raise StopSearch(f"{job.memory_max >> 20} MiB of memory are used up, after {done:,} states; more with --memory")
        connection.send(Tick(done, waiting))

    with heard(connection):
        connection.send(_outcome(job, tell))


def _outcome(job: Job, tell: Callable[[int, int], None]) -> SearchResult | Measured | str:
    # In words, why there is none.
    try:
        target = target_named(job.target)
        if isinstance(target, SchemeTarget):
            rights.give_up()
            result: SearchResult | Measured = search(target.scheme, job.hazards, job.scope, progress=tell)
        else:
            result = measure(target, job.hazards, job.seconds, tell)
        return replace(result, violations=tuple(_annotated(target, one) for one in result.violations))
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


def measure(target: Target, hazards: frozenset[Hazard], seconds: float, tell: Callable[[int, int], None]) -> Measured:
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
                    one = Counterexample(found.kind, found.moved, found.case, found.elsewhere)
                    before = least.get(found.signature)
                    if before is None or one.operations < before.operations:
                        least[found.signature] = one
                took = time.monotonic() - started
                if took >= seconds:
                    break
                tell(sequences, 0)
        except KeyboardInterrupt:
            took = time.monotonic() - started
    violations = sorted(least.values(), key=lambda one: length(one.case.operations))
    return Measured(target.name, hazards, sequences, took, tuple(violations))


def _annotated(target: Target, violation: Counterexample) -> Counterexample:
    # Whoever keeps the case as a file can replay it.
    failure = str(KnownFailure(violation.kind, used(target, violation.case), violation.moved, violation.elsewhere))
    case = replace(violation.case, comment=(f"{failure.capitalize()}, on {target.name}.",))
    return replace(violation, case=with_expects(case, {t.name: t for t in (*SCHEME_TARGETS, target)}.values()))
