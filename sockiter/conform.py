"""Whether a kernel's iterator delivers what a scheme does: the same sequences, carried out by both, compared read by read.

Decided here: which sequences are compared, what counts as a difference, how one is shrunk, and that it is on the disk before
that begins. Not known here: how either of the two works, and which of them is wrong: the kernel is right about what it does.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from sockiter.backend import Session, Target, carried_out, run, shape_of
from sockiter.cases import Case, save
from sockiter.claims import Hazard
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.history import Returned
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, Bucket, Change, End, Open, Operation, Read, Rehash
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.minimize import Patience, minimize
from sockiter.simulation import RECORDS_MAX, Simulation
from sockiter.workers import undisturbed

# One sequence in so many has a crowd in it: that many more sockets at open, and some reads as much larger.
_CROWDS = 25
_CROWD_MAX = 400
_PROGRESS_S = 0.1
# What is being shrunk when the time is up may go on for so long.
SHRINKING_S = 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A sequence that the two deliver differently, and what either returned, one entry for each read(2)."""

    operations: tuple[Operation, ...]
    slots: int
    by_target: tuple[Returned, ...]
    by_scheme: tuple[Returned, ...]

    @property
    def at(self) -> int:
        """The first read that differs, from 1."""
        same = zip(self.by_target, self.by_scheme, strict=False)
        return 1 + next(
            (n for n, (target_read, scheme_read) in enumerate(same) if target_read != scheme_read),
            min(len(self.by_target), len(self.by_scheme)),
        )


@dataclass(slots=True)
class ComparisonCounts:
    """How many sequences were compared, with how many operations and sockets at most, and how many were left out: the first
    of them for the reason in `why_left_out`."""

    sequences: int = 0
    operations: int = 0
    sockets: int = 0
    left_out: int = 0
    why_left_out: str = ""


class Conformance:
    """Compares a target, by a session of it, with a scheme. `records_max`: as many sockets as a read of it can return."""

    def __init__(self, target: Target, session: Session, scheme: AnyScheme, *, records_max: int = RECORDS_MAX) -> None:
        self._target = target
        self._session = session
        self._scheme = scheme
        self._records_max = records_max
        self.counts = ComparisonCounts()

    def differences(self, seed: str, hazards: frozenset[Hazard]) -> Iterator[Difference | None]:
        """Draws random sequences with no end, and tells of each what difference it came to; one that could not be compared
        came to none."""
        swarm = Swarm(seed, hazards & self._target.hazards & self._scheme.hazards, Room.of(self._target))
        random = Random(seed)
        number = 0
        while True:
            operations, slots = swarm.sequence()
            number += 1
            if number % _CROWDS == 0:
                operations = _crowded(operations, random, "add-tail" in hazards & self._target.hazards)
            try:
                found = self.compare(operations, slots)
            except Inconclusive as untold:
                self.counts.left_out += 1
                self.counts.why_left_out = self.counts.why_left_out or str(untold)
                found = None
            else:
                self.counts.sequences += 1
                self.counts.operations += len(operations)
                self.counts.sockets = max(self.counts.sockets, sum(type(op) is Add for op in operations))
            yield found

    def compare(self, operations: tuple[Operation, ...], slots: int) -> Difference | None:
        """What the two make of a sequence, if it is not the same; `Inconclusive` where the target cannot carry it out."""
        real = tuple(run(self._session, self._target, operations, slots=slots).reads)
        model_operations = tuple(_for_scheme(operations, self._target.tables[0], self._scheme.tables[0]))
        simulation = Simulation(self._scheme, shape_of(model_operations, slots=slots), records_max=self._records_max)
        model = tuple(carried_out(simulation, model_operations).reads)
        return None if real == model else Difference(operations, slots, real, model)

    def shrunk(
        self, difference: Difference, progress: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> Difference:
        """A least sequence that the two deliver differently; the given one if it was not so again. Where `patience` ends,
        the least so far."""
        differences: dict[tuple[tuple[Operation, ...], int], Difference] = {}

        def fails(operations: tuple[Operation, ...], slots: int) -> bool:
            progress()
            with suppress(Inconclusive):
                if (smaller := self.compare(operations, slots)) is not None:
                    differences[operations, slots] = smaller
            return (operations, slots) in differences

        return differences.get(minimize(difference.operations, difference.slots, fails, patience=patience), difference)

    def case(self, difference: Difference) -> Case:
        """The difference as a case, which says in its comment what either did."""
        comment = [
            f"{self._target.name} (Linux {platform.release()}) and {self._scheme.name} differ at read {difference.at}."
        ]
        for name, reads in ((self._target.name, difference.by_target), (self._scheme.name, difference.by_scheme)):
            comment.append(f"{name}: {'; '.join(map(_read_text, reads))}")
        return Case(difference.operations, difference.slots, (), tuple(line[:120] for line in comment))


@dataclass(slots=True)
class KeptDifference:
    """A difference and its case, as it was found and saved first, or shrunk, which then takes its place. `path` is where the
    last of the two is that could be saved; `trouble` says why this one could not."""

    difference: Difference
    case: Case
    path: Path | None
    trouble: str = ""
    is_least: bool = False


class ConformanceTrial:
    """Random sequences, drawn from `seed`, on a target and on a scheme, until they differ, of which the case is kept in
    `cases`."""

    def __init__(
        self, target: KernelTarget, scheme: AnyScheme, *, seed: str, hazards: frozenset[Hazard], cases: Path
    ) -> None:
        self.target = target
        self.scheme = scheme
        self.hazards = hazards & target.hazards & scheme.hazards
        self.counts = ComparisonCounts()
        self.kept: KeptDifference | None = None
        self.interrupted = False
        self._seed = seed
        self._cases = cases

    def run(self, sequences: int, seconds: float = math.inf, progress: Callable[[], None] = lambda: None) -> None:
        """Compare so many sequences, or up to a difference, a KeyboardInterrupt, or the end of the time.

        `progress` is called some ten times a second.
        """
        now_and_then = _NowAndThen(progress)
        try:
            with self.target.session() as session:
                until = time.monotonic() + seconds
                patience = Patience(lambda: time.monotonic() >= until + SHRINKING_S)
                conformance = Conformance(self.target, session, self.scheme, records_max=self.target.records_max)
                self.counts = conformance.counts
                for difference in conformance.differences(self._seed, self.hazards):
                    now_and_then()
                    if difference is not None:
                        self._keep(conformance, difference)
                        least = conformance.shrunk(difference, now_and_then, patience)
                        self._keep(conformance, least, is_least=not patience.ended)
                        self.interrupted = patience.interrupted
                        return
                    if self.counts.sequences >= sequences or time.monotonic() >= until:
                        return
        except KeyboardInterrupt:
            self.interrupted = True

    def _keep(self, conformance: Conformance, difference: Difference, *, is_least: bool = False) -> None:
        with undisturbed():
            before = self.kept.path if self.kept else None
            self.kept = KeptDifference(difference, conformance.case(difference), before, is_least=is_least)
            try:
                self.kept.path = save(self.kept.case, self._cases, f"{self.target.name}-{self.scheme.name}-difference")
                if before not in (None, self.kept.path):
                    before.unlink(missing_ok=True)
            except OSError as error:
                self.kept.trouble = f"{self._cases}: {error.strerror}"


class _NowAndThen:
    # Calls what it is given, at most some ten times a second.

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._last = -math.inf

    def __call__(self) -> None:
        if (now := time.monotonic()) - self._last >= _PROGRESS_S:
            self._last = now
            self._call()


def _for_scheme(operations: Sequence[Operation], first: str, of_scheme: str) -> Iterator[Operation]:
    # What the target calls its first table, where that is not the scheme's first.
    def bucket(old: Bucket) -> Bucket:
        return old if old.table else replace(old, table=first)

    def change(old: Change) -> Change:
        return replace(old, bucket=bucket(old.bucket)) if isinstance(old, (Add, Rehash)) else old

    for op in operations:
        if first in ("", of_scheme):
            yield op
        elif isinstance(op, Read):
            inside = [replace(at, what=change(at.what)) if isinstance(at.what, (Add, Rehash)) else at for at in op.at]
            yield replace(op, at=tuple(inside))
        elif isinstance(op, Open):
            yield op
        else:
            yield change(op)


def _crowded(operations: tuple[Operation, ...], random: Random, has_tail: bool) -> tuple[Operation, ...]:
    # The same, with many more sockets in the table at open, and reads that get some way through them.
    open_at = operations.index(Open())
    ends: tuple[End, ...] = ("head", "tail") if has_tail else ("head",)
    buckets = sorted({op.bucket for op in operations[:open_at] if isinstance(op, Add)})
    crowd = [
        Add(f"crowd{n}", random.choice(ends), random.choice(buckets) if buckets else Bucket())
        for n in range(random.randrange(_CROWD_MAX))
    ]
    rest = [
        replace(op, count=op.count * random.randrange(1, 60)) if isinstance(op, Read) and op.count else op
        for op in operations[open_at:]
    ]
    return (*crowd, *operations[:open_at], *rest)


def _read_text(returned: Returned) -> str:
    return returned.error or (" ".join(returned.delivered) or "nothing")
