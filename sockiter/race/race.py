"""A race: one process walks a kernel's iterator while another process changes sockets, without any synchronization.

The module runs rounds, and records each violation of the target's claims. Two runs from one seed make the same sockets
and draw the same changes and reads, but at different times.
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
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sockiter import rights
from sockiter.backend import SLOTS
from sockiter.claims import Hazard, KnownFailure, explaining, in_order
from sockiter.errors import SockiterError, TooBusy, Unavailable
from sockiter.files import own_path, write_whole
from sockiter.fuzzing.limits import Room
from sockiter.kernel.bpf.stops import two_processors
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.target import KernelTarget, SessionSetup
from sockiter.kernel.walks import Walk
from sockiter.race.judge import RaceCounts, Round, TimedChange, WalkCall, WalkFindings, judge_round
from sockiter.race.sides import RACED, Mutator, RoundPlan, walk_repeatedly
from sockiter.verdict import VIOLATIONS, Kind, describe
from sockiter.workers import serving, start_server, undisturbed

HEADER = "# sockiter race v1"
SUFFIX = ".race"

ROUND_S = 0.25
# The number of reruns of a violation's round, and of records of one kind: a broken iterator causes thousands.
RERUNS = 10
RECORDS_KEPT = 3
# The time that the walking process may take for its last walk and its end.
PATIENCE_S = 30.0
# The time of the walking process to start, and the interval at which it is looked at meanwhile.
START_S = 600.0
_LOOK_S = 1.0
# The walking process ends by itself this long after a round, in case that the main process has died.
_ORPHANED_S = 5.0
# The number of reads in a record: the first and the last ones.
_READS_LISTED = 400

# Forked by the workers' server, which has all modules loaded.
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(slots=True)
class RaceViolation:
    """A violation: its kinds, the walk and the seed of the round, and its record as text.

    `reproduced` of the `reruns` of the round had one of these kinds. `path` is None if the record could not be saved;
    `trouble` is the reason.
    """

    kinds: tuple[Kind, ...]
    seed: str
    walk: int
    text: str
    path: Path | None
    trouble: str = ""
    reproduced: int = 0
    reruns: int = 0


@dataclass(slots=True)
class RaceResult:
    """The result of a race so far. `failures`: for each kind, the number of walks, and a known failure.

    It is the first known failure that explains the kind, and None for a violation. `raced_s`: the time during which both
    sides were running.
    """

    counts: RaceCounts = field(default_factory=RaceCounts)
    failures: Counter[tuple[Kind, KnownFailure | None]] = field(default_factory=Counter)
    violations: list[RaceViolation] = field(default_factory=list)
    rounds: int = 0
    raced_s: float = 0.0
    trouble: str = ""

    @property
    def violation_count(self) -> int:
        """The number of walks with a violation, counted by kind."""
        return sum(walks for (kind, known), walks in self.failures.items() if known is None and kind in VIOLATIONS)


class Arena(Protocol):
    """Runs rounds, one after the other."""

    def run(self, plan: RoundPlan) -> Round:
        """Run both sides at once; raises `Unavailable`."""


class Race:
    """Rounds on a target with changes of these kinds, up to a time limit; violations are saved in `cases`."""

    def __init__(self, target: KernelTarget, *, seed: str, kinds: frozenset[Hazard], cases: Path) -> None:
        self.target = target
        self.kinds = kinds
        self.result = RaceResult()
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
        """Race for this time, or until a KeyboardInterrupt, or until an error, which is then in `result.trouble`.

        There is at least one round. Every violation is saved at once, and the rounds of the first ones of each kind are
        run again. `progress` is called after each round. `arena`: `race_session` by default.
        """
        try:
            with (arena or race_session)(self.target) as rounds:
                until = time.monotonic() + seconds
                is_over = False
                while not is_over:
                    plan = draw_plan(f"{self._seed}/{self.result.rounds}", Room.of(self.target), self.kinds)
                    self._run_once(rounds, plan, progress)
                    is_over = time.monotonic() >= until
        except KeyboardInterrupt:
            self.interrupted = True
        except SockiterError as error:
            self.result.trouble = str(error)

    def _run_once(self, rounds: Arena, plan: RoundPlan, progress: Callable[[], None]) -> None:
        race_round = rounds.run(plan)
        with undisturbed():
            new = self._evaluate(plan, race_round)
        progress()
        try:
            for _ in range(RERUNS if new else 0):
                repeated_kinds = {kind for findings in judge_round(rounds.run(plan)) for kind in self._violations(findings)}
                for violation in new:
                    violation.reproduced += not repeated_kinds.isdisjoint(violation.kinds)
                    violation.reruns += 1
                progress()
        finally:
            with undisturbed():
                for violation in new:
                    self._save(violation)

    def _evaluate(self, plan: RoundPlan, race_round: Round) -> list[RaceViolation]:
        result, new = self.result, []
        result.rounds += 1
        result.counts.count(race_round)
        result.raced_s += (race_round.walks[-1].calls[-1].end - race_round.walks[0].calls[0].start) / 1e9
        for findings in judge_round(race_round):
            kinds = self._violations(findings)
            for kind, admitted in self._explanations(findings).items():
                result.failures[kind, admitted] += 1
            kept = Counter(kind for earlier in result.violations for kind in earlier.kinds)
            if any(kept[kind] < RECORDS_KEPT for kind in kinds):
                text = self._record(plan, race_round, findings)
                violation = RaceViolation(kinds, plan.seed, findings.walk, text, None)
                self._save(violation)
                result.violations.append(violation)
                new.append(violation)
        return new

    def _explanations(self, findings: WalkFindings) -> dict[Kind, KnownFailure | None]:
        # The kinds of a walk's findings, each with the known failure that explains it. A violation has precedence.
        explanations: dict[Kind, KnownFailure | None] = {}
        for finding in findings.verdict:
            admitted = explaining(self.target.all_known_failures, finding.signature, findings.hazards)
            explanations.setdefault(finding.kind, admitted[0] if admitted else None)
        return explanations

    def _violations(self, findings: WalkFindings) -> tuple[Kind, ...]:
        return tuple(kind for kind, known in self._explanations(findings).items() if known is None and kind in VIOLATIONS)

    def _save(self, violation: RaceViolation) -> None:
        path = own_path(self._cases, f"{self.target.name}-{'-'.join(violation.kinds)}", violation.text, SUFFIX)
        repeats = (
            f"# Again in {violation.reproduced} of {violation.reruns} rounds from this seed.\n" if violation.reruns else ""
        )
        try:
            self._cases.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{HEADER}\n{repeats}{violation.text}")
            violation.path = path
        except OSError as error:
            violation.trouble = f"{self._cases}: {error.strerror}"

    def _record(self, plan: RoundPlan, race_round: Round, findings: WalkFindings) -> str:
        target = self.target
        scheme = f", detected scheme {target.detected_scheme}" if target.detected_scheme else ""
        kinds = ", ".join(self._violations(findings))
        return "\n".join(
            [
                f"# {kinds.capitalize()} on {target.name} (Linux {platform.release()}){scheme}:",
                f"# no known failure under {', '.join(in_order(findings.hazards))}.",
                f"# Seed {plan.seed}, walk {findings.walk}. Found: {describe(findings.verdict)}.",
                "# Microseconds from the opening of the walk, before and behind each call.",
                "",
                *_lines(race_round, findings),
                "",
            ]
        )


def draw_plan(seed: str, room: Room, kinds: frozenset[Hazard]) -> RoundPlan:
    """The plan of a round with some of these kinds of changes; `kinds` must not be empty."""
    random = Random(seed)
    all_kinds = [kind for kind in RACED if kind in kinds]
    on = tuple([kind for kind in all_kinds if random.random() < 0.5]) or (random.choice(all_kinds),)
    # Without additions, removals would soon empty the table.
    changing = random.choice((0, 2, 8, 24) if {"add-head", "add-tail"} & set(on) else (2, 8, 24, 200))
    buckets = room.buckets[: 1 + int(len(room.buckets) * random.random() ** 2)]
    untouched, more = random.choice((1, 4, 12, 20, 40)), random.choice((2, 8, 24))
    if room.holds is not None:
        # All buckets, half of them filled.
        buckets = room.buckets
        most = len(buckets) * room.holds // 6
        untouched, changing, more = min(untouched, most), min(changing, most), min(more, most)
    return RoundPlan(
        seed=seed,
        shape=room.shape(SLOTS),
        buckets=buckets,
        kinds=on,
        untouched=untouched,
        changing=changing,
        changing_max=changing + more,
        records_max=random.choice((1, 2, 4, 16, 64)),
        pause_s=random.choice((0.0, 0.0, 0.0001, 0.0005)),
        seconds=ROUND_S,
    )


@contextmanager
def race_session(target: KernelTarget) -> Iterator[Arena]:
    """A session of the target, in which this process changes sockets, and another process walks; raises `Unavailable`.

    Each process has its own processor until the end, when the walking process has ended.
    """
    here, there = two_processors("a race")
    _CONTEXT.set_forkserver_preload([__name__])
    start_server()  # here, since it would keep the private namespace open
    before = os.sched_getaffinity(0)
    with target.session() as session:
        setup = session.setup
        # A connection consists of two sockets, which a walk over UNIX sockets would show.
        with setup.namespace.left():
            ours, theirs = _CONTEXT.Pipe()
            quiet = _CONTEXT.RawValue("Q", 1)
            sent = setup.namespace, setup.walk, there, theirs, quiet
            walker = _CONTEXT.Process(target=run_walker, args=sent, daemon=True)
            with undisturbed(), theirs:
                walker.start()
        try:
            _await(walker, ours)
            os.sched_setaffinity(0, {here})
            yield _TwoProcesses(setup, ours, quiet)
        finally:
            with undisturbed():
                os.sched_setaffinity(0, before)
                quiet.value = 1
                ours.close()
                walker.join(PATIENCE_S)
                walker.kill()  # no effect if it has ended
                walker.join()


def _await(walker: BaseProcess, ours: Connection) -> None:
    # Until the walking process is ready: in emulation, its imports alone take longer than any answer may.
    until = time.monotonic() + START_S
    while not ours.poll(_LOOK_S):
        if not walker.is_alive():
            break
        if time.monotonic() >= until:
            raise Unavailable(f"the walking process was not ready after {START_S:.0f} s")
    try:
        ours.recv()
    except (EOFError, OSError) as error:
        raise Unavailable("the walking process has ended") from error


class _TwoProcesses:
    # The process that changes sockets, and its connection to the walking process.

    def __init__(self, setup: SessionSetup, walker: Connection, quiet: Any) -> None:
        self._setup = setup
        self._walker = walker
        self._quiet = quiet
        self._numbers = count(1)
        # The sockets of the previous round, which a walk must not show.
        self._removed_before: list[TimedChange] = []

    def run(self, plan: RoundPlan) -> Round:
        setup = self._setup
        setup.namespace.enter()
        elements = setup.make_elements(plan.shape)
        mutator = Mutator(elements, plan, lambda: f"s{next(self._numbers)}")
        try:
            mutator.make_elements()
            self._quiet.value = 0
            try:
                self._send((plan, elements.own_namespace))
                self._receive()  # the walking process is about to begin
                mutator.mutate()
            finally:
                self._quiet.value = 1
            walks = self._receive()
            try:
                elements.sweep()
            except TooBusy:
                walks = []  # the table was in another state meanwhile than the changes say
            mutator.remove_all()
        finally:
            elements.close()
        race_round = Round((*self._removed_before, *mutator.changes), walks)
        self._removed_before = [change for change in mutator.changes if change.hazard == "remove"]
        return race_round

    def _send(self, sent: tuple[RoundPlan, Namespace | None]) -> None:
        try:
            self._walker.send(sent)
        except OSError as error:
            raise Unavailable(f"the walking process has ended: {error.strerror}") from error

    def _receive(self) -> Any:
        if not self._walker.poll(PATIENCE_S):
            raise Unavailable(f"the walking process has not answered for {PATIENCE_S:.0f} s")
        try:
            answer = self._walker.recv()
        except (EOFError, OSError) as error:
            raise Unavailable("the walking process has ended") from error
        if isinstance(answer, str):
            raise Unavailable(answer)
        return answer


def run_walker(namespace: Namespace, walk: Walk, processor: int, connection: Connection, quiet: Any) -> None:
    """The main function of the walking process: for each plan received, walk while changes are made, and send the walks.

    With a plan comes the namespace of its elements, if they have one of their own.
    """
    with serving(connection), suppress(EOFError), rights.raised():
        os.sched_setaffinity(0, {processor})
        connection.send(None)  # ready
        while True:
            plan, own = connection.recv()
            until = time.monotonic_ns() + int((plan.seconds + _ORPHANED_S) * 1e9)
            try:
                (own or namespace).enter()
                connection.send(None)
                walks = walk_repeatedly(walk, plan, lambda: bool(quiet.value), until)
            except SockiterError as error:
                connection.send(str(error))
            else:
                connection.send(walks)
            finally:
                if own is not None:
                    namespace.enter()
                    own.end()


def _lines(race_round: Round, findings: WalkFindings) -> Iterator[str]:
    # A walk and the changes during it, with every change to the affected sockets.
    names = {change.socket_id: change.name for change in race_round.changes}
    failed_names = {finding.socket for finding in findings.verdict}
    changes = dict.fromkeys(
        (*(change for change in race_round.changes if change.name in failed_names), *race_round.during(findings.walk))
    )
    calls = race_round.walks[findings.walk].calls
    zero = calls[0].start
    lines: list[tuple[int, int, str]] = [(calls[0].start, calls[0].end, "open")]
    reads = list(enumerate(calls))[1:]
    if len(reads) > _READS_LISTED:
        reads = reads[: _READS_LISTED // 2] + reads[-_READS_LISTED // 2 :]
    lines += [(call.start, call.end, f"{nth}: {_read_text(call, names)}") for nth, call in reads]
    lines += [(change.start, change.end, f"    {change.hazard} {change.name}{_bucket_text(change)}") for change in changes]
    for start, end, text in sorted(lines):
        yield f"{(start - zero) / 1e3:12.1f} {(end - zero) / 1e3:12.1f}  {text}"


def _read_text(call: WalkCall, names: dict[int, str]) -> str:
    return call.error or " ".join(names.get(socket_id, f"<{socket_id}>") for socket_id in call.delivered) or "the end"


def _bucket_text(change: TimedChange) -> str:
    return f" in {change.bucket}" if change.bucket is not None else ""
