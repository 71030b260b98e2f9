"""A race: a kernel's iterator is walked on one processor while sockets change on another, and nobody keeps the two apart.

Decided here: what rounds there are, which process does what, which harm is a violation of what the target claims, and what
is kept of one. Two runs from one seed make the same sockets and draw the same changes and reads, but not at the same times.
Not known here: what each side does in a round (`sides`), and what is certain of it (`judge`).
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sockiter import rights
from sockiter.backend import SLOTS
from sockiter.claims import CHANGES, Hazard, KnownFailure, explaining, in_order
from sockiter.errors import SockiterError, Unavailable
from sockiter.files import own_path, write_whole
from sockiter.fuzzing.limits import Room
from sockiter.kernel.bpf.stops import two_processors
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.target import Equipment, KernelTarget
from sockiter.kernel.walks import Walk
from sockiter.race.judge import Changed, Harmed, Overlap, Round, Step, judged
from sockiter.race.sides import Churn, Plan, roam
from sockiter.verdict import VIOLATIONS, Kind, describe
from sockiter.workers import heard, start_server, undisturbed

HEADER = "# sockiter race v1"
SUFFIX = ".race"

ROUND_S = 0.25
# How often the round of a violation is run again, and how many of a kind are kept: a broken iterator comes to thousands.
RERUNS = 10
KEPT_MAX = 3
# How long the walking process may take for its last walk, and for being told to end.
PATIENCE_S = 30.0
# It ends by itself so long after a round, should there be nobody left to tell it.
_ORPHANED_S = 5.0
# A record tells of so many reads, the first and the last ones.
_READS_TOLD = 400

# With the workers' server, which has all modules loaded.
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(slots=True)
class Caught:
    """A violation that was kept: which kinds, in which walk of which round, and its record. `reproduced`: in so many of so
    many `reruns` of the round it came to one of these kinds. `path`: None where it could not be saved, for what `trouble`
    says."""

    kinds: tuple[Kind, ...]
    seed: str
    walk: int
    text: str
    path: Path | None
    trouble: str = ""
    reproduced: int = 0
    reruns: int = 0


@dataclass(slots=True)
class Came:
    """What came of a race so far. `harms`: in how many walks there was a kind of harm, and the first of the admitted harms
    that covers it, None for a violation. `raced_s`: how long both sides were at it."""

    overlap: Overlap = field(default_factory=Overlap)
    harms: Counter[tuple[Kind, KnownFailure | None]] = field(default_factory=Counter)
    caught: list[Caught] = field(default_factory=list)
    rounds: int = 0
    raced_s: float = 0.0
    trouble: str = ""

    @property
    def violations(self) -> int:
        """In how many walks there was one, each kind by itself."""
        return sum(walks for (kind, harm), walks in self.harms.items() if harm is None and kind in VIOLATIONS)


class Arena(Protocol):
    """Where rounds are run, one after the other."""

    def run(self, plan: Plan) -> Round:
        """Both sides at once; raises `Unavailable`."""


class Race:
    """Rounds on a target, whose changes are of these kinds, until a time; what is found is saved in `cases`."""

    def __init__(self, target: KernelTarget, *, seed: str, kinds: frozenset[Hazard], cases: Path) -> None:
        self.target = target
        self.kinds = kinds
        self.came = Came()
        self.interrupted = False
        self._seed = seed
        self._cases = cases

    def run(
        self,
        seconds: float,
        progress: Callable[[], None] = lambda: None,
        *,
        arena: Callable[[KernelTarget], Any] | None = None,
    ) -> None:
        """Race for so long, or until a KeyboardInterrupt, or until it cannot go on, for what `came.trouble` then says.

        There is one round, however short the time. Every violation is saved when it is found; the first ones of a kind are
        run again. `progress` is called after each round. `arena`: what `side_by_side` is, unless said.
        """
        try:
            with (arena or side_by_side)(self.target) as rounds:
                until = time.monotonic() + seconds
                is_over = False
                while not is_over:
                    plan = drawn(f"{self._seed}/{self.came.rounds}", Room.of(self.target), self.kinds)
                    self._run_once(rounds, plan, progress)
                    is_over = time.monotonic() >= until
        except KeyboardInterrupt:
            self.interrupted = True
        except SockiterError as error:
            self.came.trouble = str(error)

    def _run_once(self, rounds: Arena, plan: Plan, progress: Callable[[], None]) -> None:
        done = rounds.run(plan)
        with undisturbed():
            new = self._take_in(plan, done)
        progress()
        try:
            for _ in range(RERUNS if new else 0):
                again = {kind for harmed in judged(rounds.run(plan)) for kind in self._violations(harmed)}
                for caught in new:
                    caught.reproduced += not again.isdisjoint(caught.kinds)
                    caught.reruns += 1
                progress()
        finally:
            with undisturbed():
                for caught in new:
                    self._save(caught)

    def _take_in(self, plan: Plan, done: Round) -> list[Caught]:
        came, new = self.came, []
        came.rounds += 1
        came.overlap.count(done)
        came.raced_s += (done.walks[-1].steps[-1].end - done.walks[0].steps[0].start) / 1e9
        for harmed in judged(done):
            violations = self._violations(harmed)
            for kind, admitted in self._told(harmed).items():
                came.harms[kind, admitted] += 1
            kept = Counter(kind for one in came.caught for kind in one.kinds)
            if any(kept[kind] < KEPT_MAX for kind in violations):
                text = self._record(plan, done, harmed)
                caught = Caught(violations, plan.seed, harmed.walk, text, None)
                self._save(caught)
                came.caught.append(caught)
                new.append(caught)
        return new

    def _told(self, harmed: Harmed) -> dict[Kind, KnownFailure | None]:
        # Each kind that befell a walk. A violation is told before what is admitted.
        told: dict[Kind, KnownFailure | None] = {}
        for finding in harmed.verdict:
            admitted = explaining(self.target.all_known_failures, finding.signature, harmed.hazards)
            told.setdefault(finding.kind, admitted[0] if admitted else None)
        return told

    def _violations(self, harmed: Harmed) -> tuple[Kind, ...]:
        return tuple(kind for kind, harm in self._told(harmed).items() if harm is None and kind in VIOLATIONS)

    def _save(self, caught: Caught) -> None:
        path = own_path(self._cases, f"{self.target.name}-{'-'.join(caught.kinds)}", caught.text, SUFFIX)
        again = f"# Again in {caught.reproduced} of {caught.reruns} rounds from this seed.\n" if caught.reruns else ""
        try:
            self._cases.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{HEADER}\n{again}{caught.text}")
            caught.path = path
        except OSError as error:
            caught.trouble = f"{self._cases}: {error.strerror}"

    def _record(self, plan: Plan, done: Round, harmed: Harmed) -> str:
        target = self.target
        by = f", which walks by {target.walks_by}" if target.walks_by else ""
        kinds = ", ".join(self._violations(harmed))
        return "\n".join(
            [
                f"# {kinds.capitalize()} on {target.name} (Linux {platform.release()}){by}:",
                f"# not admitted under {', '.join(in_order(harmed.hazards))}.",
                f"# Seed {plan.seed}, walk {harmed.walk}. Found: {describe(harmed.verdict)}.",
                "# Microseconds from the opening of the walk, before and behind each call.",
                "",
                *_lines(done, harmed),
                "",
            ]
        )


def drawn(seed: str, room: Room, kinds: frozenset[Hazard]) -> Plan:
    """The plan of a round with some of these kinds of changes, of which there is at least one."""
    random = Random(seed)
    all_kinds = [kind for kind in CHANGES if kind in kinds]
    on = tuple([kind for kind in all_kinds if random.random() < 0.5]) or (random.choice(all_kinds),)
    # What is removed and not replaced is soon gone.
    few = random.choice((0, 2, 8, 24) if {"add-head", "add-tail"} & set(on) else (2, 8, 24, 200))
    return Plan(
        seed=seed,
        shape=room.shape(SLOTS),
        buckets=room.buckets[: 1 + int(len(room.buckets) * random.random() ** 2)],
        kinds=on,
        stays=random.choice((1, 4, 12, 20, 40)),
        few=few,
        most=few + random.choice((2, 8, 24)),
        reads=random.choice((1, 2, 4, 16, 64)),
        pause_s=random.choice((0.0, 0.0, 0.0001, 0.0005)),
        seconds=ROUND_S,
    )


@contextmanager
def side_by_side(target: KernelTarget) -> Iterator[Arena]:
    """A session of the target, in which this process changes sockets, and another one walks; raises `Unavailable`.

    Each has a processor of its own until the end, when the other one is gone.
    """
    here, there = two_processors("a race")
    _CONTEXT.set_forkserver_preload([__name__])
    start_server()  # not from within the private namespace, which it would keep
    before = os.sched_getaffinity(0)
    with target.session() as session:
        equipment = session.equipment
        # A connection is made of two sockets, which a walk over UNIX sockets would meet.
        with equipment.namespace.left():
            ours, theirs = _CONTEXT.Pipe()
            quiet = _CONTEXT.RawValue("Q", 1)
            sent = equipment.namespace, equipment.walk, there, theirs, quiet
            walker = _CONTEXT.Process(target=walk_apart, args=sent, daemon=True)
            with undisturbed(), theirs:
                walker.start()
        try:
            os.sched_setaffinity(0, {here})
            yield _Side(equipment, ours, quiet)
        finally:
            with undisturbed():
                os.sched_setaffinity(0, before)
                quiet.value = 1
                ours.close()
                walker.join(PATIENCE_S)
                walker.kill()  # does nothing to one that has ended
                walker.join()


class _Side:
    # The side that changes sockets, and what it knows of the other one.

    def __init__(self, equipment: Equipment, walker: Connection, quiet: Any) -> None:
        self._equipment = equipment
        self._walker = walker
        self._quiet = quiet
        self._numbers = count(1)
        # Of the round before, whose sockets must not be met any more.
        self._gone: list[Changed] = []

    def run(self, plan: Plan) -> Round:
        equipment = self._equipment
        equipment.namespace.enter()
        sockets = equipment.lay(plan.shape)
        churn = Churn(sockets, equipment.walk.known_by, plan, lambda: f"s{next(self._numbers)}")
        try:
            churn.lay()
            self._quiet.value = 0
            try:
                self._tell(plan)
                self._answer()  # it is about to begin
                churn.go_on()
            finally:
                self._quiet.value = 1
            walks = self._answer()
            churn.end()
        finally:
            sockets.close()
        done = Round((*self._gone, *churn.changes), walks)
        self._gone = [change for change in churn.changes if change.hazard == "remove"]
        return done

    def _tell(self, plan: Plan) -> None:
        try:
            self._walker.send(plan)
        except OSError as error:
            raise Unavailable(f"the process that walks has ended: {error.strerror}") from error

    def _answer(self) -> Any:
        if not self._walker.poll(PATIENCE_S):
            raise Unavailable(f"the process that walks gives no answer for {PATIENCE_S:.0f} s")
        try:
            answer = self._walker.recv()
        except (EOFError, OSError) as error:
            raise Unavailable("the process that walks has ended") from error
        if isinstance(answer, str):
            raise Unavailable(answer)
        return answer


def walk_apart(namespace: Namespace, walk: Walk, processor: int, connection: Connection, quiet: Any) -> None:
    """What the process that walks does: for each plan that it is sent, walk while changes are made, and tell of it."""
    with heard(connection), suppress(EOFError), rights.raised():
        os.sched_setaffinity(0, {processor})
        while True:
            plan = connection.recv()
            until = time.monotonic_ns() + int((plan.seconds + _ORPHANED_S) * 1e9)
            try:
                namespace.enter()
                connection.send(None)
                walks = roam(walk, plan, lambda: bool(quiet.value), until)
            except SockiterError as error:
                connection.send(str(error))
            else:
                connection.send(walks)


def _lines(done: Round, harmed: Harmed) -> Iterator[str]:
    # A walk, and the changes meanwhile, with all that ever befell the sockets that came to harm.
    names = {change.known: change.name for change in done.changes}
    who = {finding.socket for finding in harmed.verdict}
    changes = dict.fromkeys((*(one for one in done.changes if one.name in who), *done.during(harmed.walk)))
    steps = done.walks[harmed.walk].steps
    zero = steps[0].start
    told: list[tuple[int, int, str]] = [(steps[0].start, steps[0].end, "open")]
    reads = list(enumerate(steps))[1:]
    if len(reads) > _READS_TOLD:
        reads = reads[: _READS_TOLD // 2] + reads[-_READS_TOLD // 2 :]
    told += [(step.start, step.end, f"{nth}: {_spelled(step, names)}") for nth, step in reads]
    told += [(one.start, one.end, f"    {one.hazard} {one.name}{_place(one)}") for one in changes]
    for start, end, what in sorted(told):
        yield f"{(start - zero) / 1e3:12.1f} {(end - zero) / 1e3:12.1f}  {what}"


def _spelled(step: Step, names: dict[int, str]) -> str:
    return step.error or " ".join(names.get(one, f"<{one}>") for one in step.delivered) or "the end"


def _place(change: Changed) -> str:
    return f" in {change.bucket}" if change.bucket is not None else ""
