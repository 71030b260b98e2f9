"""A parallel fuzz campaign: the slices of its workers, and the results so far.

The time is shared among targets and drivers. Every worker is a process for one slice of the time. A worker saves a
finding before it reports it, so a report is never ahead of the disk, and the worker's memory is freed with it. A worker
also reports each finding before it shrinks it: if the worker dies or exceeds its time, the main process saves the finding
as drawn.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, TypeAlias

from sockiter import rights
from sockiter.backend import Session, Target
from sockiter.cases import Case, save
from sockiter.claims import Hazard, KnownFailure, in_order, within
from sockiter.errors import SockiterError
from sockiter.fuzzing import machine  # noqa: F401  # `drivers` uses it: loaded before the server forks the workers
from sockiter.fuzzing.drivers import DRIVERS, FASTEST
from sockiter.fuzzing.triage import FindingKey, Triage, TriagedFinding
from sockiter.kernel.probe import Capabilities, known, take_over
from sockiter.replay import expecting, with_expects
from sockiter.shrink.minimize import Patience
from sockiter.targets import SCHEME_TARGETS, target_named
from sockiter.version import __version__, commit
from sockiter.workers import Pool, Workers, interrupted_at, serving, starved_s

# Long enough that the start of a process does not matter, short enough that the process stays small.
SLICE_S = 5.0
# The first slice of a track is short: every target gets a slice even in a short campaign, or if a user interrupts early.
# A slice may continue a little longer to shrink its finding.
FIRST_SLICE_S = 1.0
FIRST_SLICE_OF_SHARE = 0.25
# The shortest slice that is worth a process.
LEAST_SLICE_S = 0.02
# The extra time for shrinking after the time limit, or after a stop request. Shortly later, code without a time limit is
# interrupted. Both are less than the workers' patience.
SHRINKING_S = 2.0
INTERRUPTED_S = 3.0
# Setting up a session takes less on any machine that is not emulated.
SETUP_S = 1.0
# A slice that has completed no sequence in this time has a target on which sequences do not end.
ENDLESS_S = 10.0
# The interval at which a shrinking worker checks for a stop request.
LISTENING_S = 0.05


@dataclass(frozen=True, slots=True)
class FuzzJob:
    """One slice: a driver on a target for some seconds. `since`: the seconds of this driver's search before the slice.

    `left_s`: the seconds that the campaign has left at the beginning of the slice. `until`: its end, on the monotonic
    clock of this machine; None if the campaign has not begun yet. `sequences`: the sequences of the slice; None: as many as
    there is time for. `done`: the sequences of the slices before it. `cases`: None where the findings are saved by the
    process that gets them. `capabilities`: what the main process has found out about this machine, so that the slice does
    not probe it again.
    """

    target: str
    driver: str
    hazards: frozenset[Hazard]
    seed: str
    cases: Path | None
    seconds: float
    since: float
    pending: frozenset[KnownFailure]
    investigated: frozenset[FindingKey]
    left_s: float = math.inf
    until: float | None = None
    sequences: int | None = None
    done: int = 0
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """A slice has opened its session after so many seconds, and is about to run its first sequence."""

    setup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finding as drawn, before it is shrunk."""

    found: TriagedFinding
    seconds: float


@dataclass(frozen=True, slots=True)
class SavedFinding:
    """A finding, its driver, the seconds of search before it, and its file; without a file, `trouble` is the reason.

    `sequences`: the sequences of search before it, in a counted campaign.
    """

    found: TriagedFinding
    driver: str
    seconds: float
    path: Path | None
    trouble: str = ""
    sequences: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """The work of a slice since its last tick."""

    sequences: int
    operations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a slice: the findings that it investigated, or the reason why it could not continue.

    `is_cut`: it ended before its number of sequences.
    """

    investigated: frozenset[FindingKey]
    trouble: str = ""
    is_cut: bool = False


Message: TypeAlias = Began | Drawn | SavedFinding | Tick | Ended


@dataclass(slots=True)
class Track:
    """One driver on one target: its work so far, in all its slices."""

    target: Target
    driver: str
    hazards: frozenset[Hazard]
    pending: frozenset[KnownFailure]
    investigated: frozenset[FindingKey] = frozenset()
    allotted: float = 0.0
    slices: int = 0
    sequences: int = 0
    operations: int = 0
    seconds: float = 0.0
    kept: list[SavedFinding] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def keep(self, saved: SavedFinding) -> None:
        """Take over a finding, unless it is kept already: two parallel slices may find the same failure."""
        found = saved.found
        if all(
            (found.known_failure, found.case.operations) != (kept.found.known_failure, kept.found.case.operations)
            for kept in self.kept
        ):
            self.kept.append(saved)
        self.pending -= {found.known_failure}


def tracks_of(targets: Iterable[tuple[Target, frozenset[Hazard]]], drivers: Iterable[str]) -> list[Track]:
    """A track for each driver on each target."""
    drivers = tuple(drivers)
    return [
        Track(target, driver, hazards, within(target.known_failures, hazards))
        for target, hazards in targets
        for driver in drivers
    ]


def without_kernel(name: str) -> str:
    """The name of a target without the kernel behind it, as in `kernel:udp (Linux 6.18)` of a cluster."""
    return name.partition(" (")[0]


class Campaign(Workers[Track, FuzzJob]):
    """All pairs of a target, with its hazards, and a driver, on some workers, for a time from the first sequence on."""

    def __init__(
        self,
        targets: Iterable[tuple[Target, frozenset[Hazard]]],
        *,
        drivers: Iterable[str],
        seed: int,
        seconds: float,
        workers: int,
        cases: Path,
        slice_s: float = SLICE_S,
        pool: Pool | None = None,
    ) -> None:
        self.seed = seed
        # As a `CountedCampaign` has them.
        self.sequences: int | None = None
        self.is_whole: bool | None = None
        self.tracks = tracks_of(targets, drivers)
        # The fast driver first, and kernels first: so a short campaign on a busy machine still reaches every target.
        order = sorted(self.tracks, key=lambda track: (track.driver != FASTEST, not track.target.is_real))
        super().__init__(order, workers=workers, work=work, pool=pool)
        self._seconds = seconds
        self._share = seconds * workers / len(self.tracks)
        self._cases = cases
        self._slice_s = slice_s

    @property
    def left_s(self) -> float:
        """The approximate number of remaining seconds."""
        if not self._waiting and not self.running:
            return 0.0
        return self._seconds if self._until == math.inf else max(0.0, self._until - time.monotonic())

    def _place(self, track: Track) -> str:
        return track.target.name

    def _job(self, track: Track) -> FuzzJob:
        longest = self._slice_s
        if not track.slices:
            longest = min(longest, FIRST_SLICE_S, self._share * FIRST_SLICE_OF_SHARE)
        seconds = min(longest, max((self._share - track.allotted) * self._part(track), LEAST_SLICE_S))
        job = FuzzJob(
            track.target.name,
            track.driver,
            track.hazards,
            f"{self.seed}/{track.target.name}/{track.driver}/{track.slices}",
            self._cases,
            seconds,
            track.allotted,
            track.pending,
            track.investigated,
            self._seconds if self._until == math.inf else self._until - time.monotonic(),
            None if self._until == math.inf else self._until,
            capabilities=known(track.target.name),
        )
        track.allotted += seconds
        track.slices += 1
        # More workers than tracks: the next slice of this track may run in parallel.
        if self._share - track.allotted > 0.01:
            self._waiting.append(track)
        return job

    def _part(self, track: Track) -> float:
        # The fraction of their shares that the waiting tracks can still get: less than 1 after slow shrinking.
        if self._until == math.inf:
            return 1.0
        waiting = sum(self._share - sharing.allotted for sharing in (track, *self._waiting))
        left = max(self._until - time.monotonic(), 0.0) * self._workers
        return min(left / waiting, 1.0)

    def _on_message(self, track: Track, message: Message) -> None:
        is_first = self._until == math.inf
        if is_first:
            self._until = time.monotonic() + self._seconds
        match message:
            case Began(setup_s):
                # In emulation, the time would be over before each target has had its own.
                self._until += 0.0 if is_first else max(setup_s - SETUP_S, 0.0) / self._workers
            case Drawn():
                pass
            case Tick(sequences, operations, seconds):
                track.sequences += sequences
                track.operations += operations
                track.seconds += seconds
            case Ended(investigated, trouble):
                track.investigated |= investigated
                if trouble:
                    track.troubles.append(trouble)
                    # The problem that stopped one slice would stop the next one.
                    if track in self._waiting:
                        self._waiting.remove(track)
            case _:
                track.keep(message)

    def _on_death(self, track: Track, why: str) -> None:
        track.troubles.append(f"a worker on {track.target.name} {why}")

    def _is_end(self, message: Message | None) -> bool:
        return isinstance(message, Ended)

    def _on_unfinished(self, track: Track, last: Message | None) -> None:
        if isinstance(last, Drawn):
            self._on_message(track, saved_as_drawn(last, track.driver, self.seed, self._cases))


def saved_as_drawn(drawn: Drawn, driver: str, seed: int, cases: Path) -> SavedFinding:
    """Save a finding whose worker ended before it was shrunk."""
    found = drawn.found if drawn.found.case.comment else as_drawn(drawn.found, driver, str(seed))
    return saved(found, driver, cases, drawn.seconds)


def as_drawn(found: TriagedFinding, driver: str, seed: str) -> TriagedFinding:
    """A finding with a comment on its origin, before it is shrunk."""
    # Nothing is run for it here: whatever ended the worker would end this process.
    return replace(found, case=_commented(found, driver=driver, seed=seed))


def work(job: FuzzJob, connection: Connection) -> None:
    """Carry out a job and send its messages; stop early at a message, or when the connection is closed."""
    with serving(connection):
        for message in search(job, connection):
            connection.send(message)
            # The counts of a finding's sequences are sent before the finding.
            if isinstance(message, Tick) and connection.poll():
                return


def search(job: FuzzJob, line: Line | None = None) -> Iterator[Message]:
    """The messages of a job. The last one is `Ended`, unless the generator is closed early.

    `line`: the connection on which a finding is reported before it is shrunk, and on which stop requests arrive.
    """
    called = time.monotonic()
    try:
        target = target_named(job.target)
        if job.capabilities is not None:
            take_over(job.target, job.capabilities)
        if not target.is_real:
            rights.give_up()
        with target.session() as session:
            started = last = time.monotonic()
            starved = starved_s()
            until = started + job.left_s if job.until is None else job.until
            patience = Patience(_Limit(until + SHRINKING_S, line))
            triage = Triage(target, session, set(job.pending), set(job.investigated), patience)
            if line is not None:
                triage.drawn = lambda found: line.send(Drawn(found, job.since + time.monotonic() - started))
                line.send(Began(started - called))
            is_first = True
            is_cut = False
            done = job.done
            trouble = ""
            drive = DRIVERS[job.driver]
            sequences_max = math.inf if job.sequences is None else job.sequences
            try:
                with interrupted_at(until + INTERRUPTED_S):
                    for bite in drive(triage, job.hazards, job.seed, sequences_max):
                        now = time.monotonic()
                        done += bite.sequences
                        if bite.found is not None:
                            kept = _kept(bite.found, session, job, job.since + now - started)
                            yield kept if job.sequences is None else replace(kept, sequences=done)
                        yield Tick(bite.sequences, bite.operations, now - last)
                        last = now
                        is_first = False
                        if now >= min(started + job.seconds, until) or patience.ended:
                            is_cut = job.sequences is not None
                            break
            except KeyboardInterrupt:
                is_cut = job.sequences is not None
                # A slow or busy machine may not finish a bite in time. If it finishes no sequence at all, that is an error.
                took = time.monotonic() - started - (starved_s() - starved)
                if is_first and took >= ENDLESS_S:
                    trouble = f"no sequence finished within {took:.0f} s"
            yield Ended(frozenset(triage.investigated), trouble, is_cut)
    except SockiterError as error:
        yield Ended(frozenset(), str(error))


class Line(Protocol):
    """The connection of a worker, for messages and stop requests."""

    def send(self, message: Message, /) -> None: ...

    def poll(self) -> bool: ...


class _Limit:
    # The time limit of a shrinking: a fixed time, or a while after a stop request.

    def __init__(self, until: float, line: Line | None) -> None:
        self._until = until
        self._line = line
        self._listened = -math.inf

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._line is not None and now - self._listened >= LISTENING_S:
            self._listened = now
            if self._line.poll():
                self._line = None
                self._until = min(self._until, now + SHRINKING_S)
        return now >= self._until


def _kept(found: TriagedFinding, session: Session, job: FuzzJob, seconds: float) -> SavedFinding:
    try:
        case = annotated(found, session, driver=job.driver, seed=job.seed)
    except KeyboardInterrupt:
        case = _commented(found, driver=job.driver, seed=job.seed)
    return saved(replace(found, case=case), job.driver, job.cases, seconds)


def saved(found: TriagedFinding, driver: str, cases: Path | None, seconds: float) -> SavedFinding:
    """Save the case of a finding; without a directory, nothing is saved."""
    if cases is None:
        return SavedFinding(found, driver, seconds, None)
    try:
        return SavedFinding(found, driver, seconds, save(found.case, cases, found.stem))
    except OSError as error:
        return SavedFinding(found, driver, seconds, None, f"{cases}: {error.strerror}")


def annotated(found: TriagedFinding, session: Session, *, driver: str, seed: str) -> Case:
    """The case of a finding, with its origin, and with the expectations of its target and of every scheme of the project."""
    target = target_named(found.target)
    case = with_expects(found.case, SCHEME_TARGETS)
    if target not in SCHEME_TARGETS:
        case = expecting(case, target, session)
    return _commented(replace(found, case=case), driver=driver, seed=seed)


def _commented(found: TriagedFinding, *, driver: str, seed: str) -> Case:
    subject = found.target
    if target_named(found.target).is_real:
        subject = f"{found.target} (Linux {platform.release()}, {found.reproduced} of {found.reruns} runs)"
    of = " of a socket that moved" if found.moved else ""
    if found.elsewhere and found.hazards:
        of = " of a socket in whose bucket nothing changed"
    under = ", ".join(in_order(found.hazards)) or "no hazard"
    comment = f"{found.kind.capitalize()}{of} under {under}, found on {subject} by {driver}."
    shortest = " No case with the same hazards, sockets, buckets and slots is shorter." if found.shortest else ""
    cut_short = " Not shrunk to the end: the time was up." if found.cut_short else ""
    return replace(found.case, comment=(comment, f"Seed {seed}.{shortest}{cut_short}", made_by()))


def made_by() -> str:
    """A sentence for a comment: the version of this project, the commit where it is a checkout, and the running kernel."""
    return f"sockiter {__version__}{f', commit {of}' if (of := commit()) else ''}, on Linux {platform.release()}."
