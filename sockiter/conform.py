"""Compares a kernel's iterator with a scheme: both carry out the same sequences, and their reads are compared.

The first difference is saved before it is shrunk. In a difference, the kernel's result is the fact, and the scheme is the
model.
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
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.history import Returned
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, Again, Bucket, Change, End, Open, Operation, Read, Rehash
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.minimize import Patience, minimize
from sockiter.simulation import Simulation
from sockiter.workers import undisturbed

# One sequence in _CROWDS gets a crowd: up to _CROWD_MAX more sockets at open, and some larger reads.
_CROWDS = 25
_CROWD_MAX = 400
# The most records of a read with a crowd in every sequence.
_RECORDS_MAX = 4096
_PROGRESS_S = 0.1
# The extra time for shrinking, after the time limit of the run.
SHRINKING_S = 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A sequence with different results on target and scheme, and both results, one entry for each read(2)."""

    operations: tuple[Operation, ...]
    slots: int
    by_target: tuple[Returned, ...]
    by_scheme: tuple[Returned, ...]

    @property
    def at(self) -> int:
        """The number of the first read that differs, from 1."""
        same = zip(self.by_target, self.by_scheme, strict=False)
        return 1 + next(
            (n for n, (target_read, scheme_read) in enumerate(same) if target_read != scheme_read),
            min(len(self.by_target), len(self.by_scheme)),
        )


@dataclass(slots=True)
class ComparisonCounts:
    """The numbers of compared sequences and of their operations, the most sockets of a sequence, and the skipped sequences.

    `why_left_out` is the reason for the first skipped sequence.
    """

    sequences: int = 0
    operations: int = 0
    sockets: int = 0
    left_out: int = 0
    why_left_out: str = ""


class Conformance:
    """Compares a target, in one of its sessions, with a scheme. `records_max`: the most sockets that one read can return; a
    function, if that may change from sequence to sequence.

    `message_of`: for a dump, the records of a message for a case with so many slots, else 0. `in_place`: of close and accept
    those whose successor takes its predecessor's place in the target.
    """

    def __init__(
        self,
        target: Target,
        session: Session,
        scheme: AnyScheme,
        *,
        records_max: int | Callable[[], int] = RECORDS_MAX,
        message_of: Callable[[int], int] = lambda _: 0,
        in_place: frozenset[Hazard] = frozenset(),
    ) -> None:
        self._target = target
        self._session = session
        self._scheme = scheme
        self._records_max = records_max
        self._message_of = message_of
        self._in_place = in_place
        self.counts = ComparisonCounts()

    def differences(self, seed: str, hazards: frozenset[Hazard], crowd: int = 0) -> Iterator[Difference | None]:
        """Draw random sequences without end, and yield the difference of each; None for equal results or a skipped
        sequence. `crowd`: every sequence has up to so many more sockets at open, and reads of up to 4096 records."""
        room = Room.of(self._target)
        swarm = Swarm(seed, hazards & self._target.hazards & self._scheme.hazards, room)
        random = Random(seed)
        number = 0
        while True:
            operations, slots = swarm.sequence()
            number += 1
            if crowd or number % _CROWDS == 0:
                has_tail = "add-tail" in hazards & self._target.hazards
                operations = _crowded(operations, random, room, crowd, has_tail=has_tail)
            try:
                found = self.compare(operations, slots)
            except Inconclusive as error:
                self.counts.left_out += 1
                self.counts.why_left_out = self.counts.why_left_out or str(error)
                found = None
            else:
                self.counts.sequences += 1
                self.counts.operations += len(operations)
                self.counts.sockets = max(self.counts.sockets, sum(type(op) is Add for op in operations))
            yield found

    def compare(self, operations: tuple[Operation, ...], slots: int) -> Difference | None:
        """The difference between the two on a sequence, or None; raises `Inconclusive` if the target cannot carry it out."""
        real = tuple(run(self._session, self._target, operations, slots=slots).reads)
        model_operations = tuple(in_tables_of(operations, self._target.tables[0], self._scheme.tables[0]))
        shape = shape_of(model_operations, slots=slots)
        records_max = self._message_of(slots)
        if not records_max:
            records_max = self._records_max() if callable(self._records_max) else self._records_max
        simulation = Simulation(self._scheme, shape, records_max=records_max, in_place=self._in_place)
        model = tuple(carried_out(simulation, model_operations).reads)
        return None if real == model else Difference(operations, slots, real, model)

    def shrunk(
        self, difference: Difference, progress: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> Difference:
        """A smallest sequence with a difference, or the given one if the difference is not reproducible.

        When `patience` ends, the smallest sequence so far.
        """
        differences: dict[tuple[tuple[Operation, ...], int], Difference] = {}

        def fails(operations: tuple[Operation, ...], slots: int) -> bool:
            progress()
            with suppress(Inconclusive):
                if (smaller := self.compare(operations, slots)) is not None:
                    differences[operations, slots] = smaller
            return (operations, slots) in differences

        return differences.get(minimize(difference.operations, difference.slots, fails, patience=patience), difference)

    def case(self, difference: Difference) -> Case:
        """The difference as a case, with the reads of both in its comment."""
        comment = [
            f"{self._target.name} (Linux {platform.release()}) and {self._scheme.name} differ at read {difference.at}."
        ]
        for name, reads in ((self._target.name, difference.by_target), (self._scheme.name, difference.by_scheme)):
            comment.append(f"{name}: {'; '.join(map(_read_text, reads))}")
        return Case(difference.operations, difference.slots, (), tuple(line[:120] for line in comment))


@dataclass(slots=True)
class KeptDifference:
    """A difference and its case. The case is saved as found, and then replaced by the shrunk case.

    `path` is the last case that was saved. `trouble` is the reason why this case was not saved.
    """

    difference: Difference
    case: Case
    path: Path | None
    trouble: str = ""
    is_least: bool = False


class ConformanceTrial:
    """Random sequences, drawn from `seed`, on a target and a scheme, until they differ. The case is saved in `cases`.

    `crowd`: as for `Conformance.differences`.
    """

    def __init__(
        self,
        target: KernelTarget,
        scheme: AnyScheme,
        *,
        seed: str,
        hazards: frozenset[Hazard],
        cases: Path,
        crowd: int = 0,
    ) -> None:
        self.target = target
        self.scheme = scheme
        self.hazards = hazards & target.hazards & scheme.hazards
        self.counts = ComparisonCounts()
        self.kept: KeptDifference | None = None
        self.interrupted = False
        self._seed = seed
        self._cases = cases
        self.crowd = crowd

    def run(self, sequences: int, seconds: float = math.inf, progress: Callable[[], None] = lambda: None) -> None:
        """Compare the given number of sequences, but stop at a difference, a KeyboardInterrupt, or the time limit.

        `progress` is called about ten times a second.
        """
        now_and_then = _NowAndThen(progress)
        try:
            with self.target.session() as session:
                until = time.monotonic() + seconds
                patience = Patience(lambda: time.monotonic() >= until + SHRINKING_S)
                conformance = Conformance(
                    self.target,
                    session,
                    self.scheme,
                    records_max=session.records_max,
                    message_of=self.target.message_of,
                    in_place=self.target.in_place,
                )
                self.counts = conformance.counts
                for difference in conformance.differences(self._seed, self.hazards, self.crowd):
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
    # Calls a function, at most about ten times a second.

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._last = -math.inf

    def __call__(self) -> None:
        if (now := time.monotonic()) - self._last >= _PROGRESS_S:
            self._last = now
            self._call()


def in_tables_of(operations: Sequence[Operation], first: str, of_scheme: str) -> Iterator[Operation]:
    """The operations for a scheme with another first table than the target, whose first table then has its own name."""

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
        elif isinstance(op, (Open, Again)):
            yield op
        else:
            yield change(op)


def _crowded(
    operations: tuple[Operation, ...], random: Random, room: Room, crowd: int, *, has_tail: bool
) -> tuple[Operation, ...]:
    # The same sequence, with many more sockets in the table at open, and larger reads.
    open_at = operations.index(Open())
    ends: tuple[End, ...] = ("head", "tail") if has_tail else ("head",)
    buckets = sorted({op.bucket for op in operations[:open_at] if isinstance(op, Add)})
    if room.holds is None:
        adds = [
            Add(f"crowd{n}", random.choice(ends), random.choice(buckets) if buckets else Bucket())
            for n in range(random.randrange(1 + crowd if crowd else _CROWD_MAX))
        ]
    else:
        # In all buckets, each of which has room for some more.
        most = len(room.buckets) * (room.holds - 2)
        adds = [
            Add(f"crowd{n}", random.choice(ends), room.buckets[n % len(room.buckets)]) for n in range(random.randrange(most))
        ]

    def larger(count: int) -> int:
        return int(_RECORDS_MAX ** random.random()) if crowd else count * random.randrange(1, 60)

    rest = [replace(op, count=larger(op.count)) if isinstance(op, Read) and op.count else op for op in operations[open_at:]]
    return (*adds, *operations[:open_at], *rest)


def _read_text(returned: Returned) -> str:
    return (returned.error or " ".join(returned.delivered) or "nothing") + " (interrupted)" * returned.interrupted
