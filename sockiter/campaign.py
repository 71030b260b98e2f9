"""A parallel fuzz: which worker does what for how long, and what has come of it so far.

Decided here: how the time is shared among targets and drivers, and that nothing found is lost. Every worker is a process of
its own for one slice of the time: what it finds it saves before it reports it, so that a report is never ahead of the disk,
and the memory that it has used up goes with it. A worker that dies takes along only what it had not found yet. Not known
here: how progress and results are shown.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from sockiter.backend import Session, Target
from sockiter.cases import Case, save
from sockiter.claims import Harm, Hazard, in_order, within
from sockiter.drivers import DRIVERS
from sockiter.errors import SockiterError
from sockiter.hunt import Followed, Found, Hunt
from sockiter.replay import expecting, with_expects
from sockiter.targets import SCHEME_TARGETS, target_named
from sockiter.workers import Workers, heard

# Long enough that starting a process for it does not matter, short enough that a process stays small.
SLICE_S = 5.0
# The first one of a track is short, so that every target has had its turn when somebody is soon tired of waiting.
FIRST_SLICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One slice: a driver on a target for some seconds, the first of them the `since`th of this driver's search."""

    target: str
    driver: str
    hazards: frozenset[Hazard]
    seed: str
    cases: Path
    seconds: float
    since: float
    pending: frozenset[Harm]
    followed: frozenset[Followed]


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding, by which driver and after how many seconds of its search, and its file; or, in words, why it has none."""

    found: Found
    driver: str
    seconds: float
    path: Path | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a slice did since its last tick."""

    sequences: int
    operations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A slice is over: what was followed in it, or, in words, why it could not go on."""

    followed: frozenset[Followed]
    trouble: str = ""


Message: TypeAlias = Kept | Tick | Ended


@dataclass(slots=True)
class Track:
    """One driver on one target: what it has done so far, in all its slices."""

    target: Target
    driver: str
    hazards: frozenset[Hazard]
    pending: frozenset[Harm]
    followed: frozenset[Followed] = frozenset()
    allotted: float = 0.0
    slices: int = 0
    sequences: int = 0
    operations: int = 0
    seconds: float = 0.0
    kept: list[Kept] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


class Campaign(Workers[Track, Job]):
    """Targets, each with its hazards, times drivers, on so many workers, for so many seconds of all workers together."""

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
    ) -> None:
        drivers = tuple(drivers)
        self.seed = seed
        self.tracks = [
            Track(target, driver, hazards, within(target.harms, hazards))
            for target, hazards in targets
            for driver in drivers
        ]
        super().__init__(self.tracks, workers=workers, work=work)
        self._share = seconds * workers / len(self.tracks)
        self._cases = cases
        self._slice_s = slice_s

    @property
    def left_s(self) -> float:
        """Roughly how many seconds remain."""
        done = sum(min(track.seconds, self._share) for track in self.tracks)
        return max(0.0, (self._share * len(self.tracks) - done) / self._workers)

    def _job(self, track: Track) -> Job:
        longest = self._slice_s if track.slices else min(FIRST_SLICE_S, self._slice_s)
        seconds = min(longest, self._share - track.allotted)
        job = Job(
            track.target.name,
            track.driver,
            track.hazards,
            f"{self.seed}/{track.target.name}/{track.driver}/{track.slices}",
            self._cases,
            seconds,
            track.allotted,
            track.pending,
            track.followed,
        )
        track.allotted += seconds
        track.slices += 1
        # More workers than tracks: the next slice of this one may run beside it.
        if self._share - track.allotted > 0.01:
            self._waiting.append(track)
        return job

    def _heard(self, track: Track, message: Message) -> None:
        match message:
            case Tick(sequences, operations, seconds):
                track.sequences += sequences
                track.operations += operations
                track.seconds += seconds
            case Ended(followed, trouble):
                track.followed |= followed
                if trouble:
                    track.troubles.append(trouble)
                    # What stopped one slice would stop the next.
                    if track in self._waiting:
                        self._waiting.remove(track)
            case _:
                found = message.found
                # Two slices side by side may find the same thing.
                if all((found.harm, found.case.operations) != (k.found.harm, k.found.case.operations) for k in track.kept):
                    track.kept.append(message)
                track.pending -= {found.harm}

    def _died(self, track: Track, why: str) -> None:
        track.troubles.append(f"a worker on {track.target.name} {why}")


def work(job: Job, connection: Connection) -> None:
    """Carry out a job and report on it; stop early when anything is said, or when nobody listens any more."""
    with heard(connection):
        for message in search(job):
            connection.send(message)
            # Not before what it took to find something is told as well.
            if isinstance(message, Tick) and connection.poll():
                return


def search(job: Job) -> Iterator[Message]:
    """The messages of a job, the last of them `Ended` unless it is left before its time is up."""
    try:
        target = target_named(job.target)
        with target.session() as session:
            hunt = Hunt(target, session, set(job.pending), set(job.followed))
            started = last = time.monotonic()
            for bite in DRIVERS[job.driver](hunt, job.hazards, job.seed):
                now = time.monotonic()
                if bite.found is not None:
                    yield _kept(bite.found, session, job, job.since + now - started)
                yield Tick(bite.sequences, bite.operations, now - last)
                last = now
                if now - started >= job.seconds:
                    break
            yield Ended(frozenset(hunt.followed))
    except SockiterError as error:
        yield Ended(frozenset(), str(error))


def _kept(found: Found, session: Session, job: Job, seconds: float) -> Kept:
    case = annotated(found, session, driver=job.driver, seed=job.seed)
    found = replace(found, case=case)
    try:
        return Kept(found, job.driver, seconds, save(case, job.cases, found.stem))
    except OSError as error:
        return Kept(found, job.driver, seconds, None, f"{job.cases}: {error.strerror}")


def annotated(found: Found, session: Session, *, driver: str, seed: str) -> Case:
    """The case of a finding, with where it comes from, and what its target and every scheme of the project make of it."""
    target = target_named(found.target)
    case = with_expects(found.case, SCHEME_TARGETS)
    subject = found.target
    if target not in SCHEME_TARGETS:
        case = expecting(case, target, session)
    if target.is_real:
        subject = f"{found.target} (Linux {platform.release()}, {found.reproduced} of {found.reruns} runs)"
    of = " of a socket that moved" if found.moved else ""
    if found.elsewhere and found.hazards:
        of = " of a socket in whose bucket nothing changed"
    under = ", ".join(in_order(found.hazards)) or "no hazard"
    comment = f"{found.kind.capitalize()}{of} under {under}, found on {subject} by {driver}."
    shortest = " No case with the same hazards, sockets, buckets and slots is shorter." if found.shortest else ""
    return replace(case, comment=(comment, f"Seed {seed}.{shortest}"))
