"""Walks that others change the table beneath, with nobody keeping the two apart: what is certain of them all the same.

Decided here: what is noted of either side, and what counts as harm where nobody knows what came first inside a read. A time
is noted before and behind each call, so that what was over when something else began is known to have come before it; of
all else, nothing is said. Not known here: who walks, who makes the changes, and what the walker admits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sockiter.claims import Hazard
from sockiter.operations import Bucket
from sockiter.verdict import KINDS, Finding, Verdict

# What one call takes out and another puts in again is, to whoever looks in between, gone and then new.
_TWO_CALLS: dict[Hazard, frozenset[Hazard]] = {
    "reinsert": frozenset({"remove", "add-head", "add-tail"}),
    "rehash": frozenset({"remove", "add-head"}),
}
# Where nobody keeps the two sides apart, changes happen inside reads as well.
_ALWAYS: frozenset[Hazard] = frozenset({"show", "between", "realloc"})
_NEVER = 1 << 63


class Changed(NamedTuple):
    """A change to one socket, known by a number that is its own for good. Times are in nanoseconds.

    `bucket`: where it was put, None where it was not.
    """

    hazard: Hazard
    name: str
    known: int
    start: int
    end: int
    bucket: Bucket | None = None


class Step(NamedTuple):
    """The opening of a walk, or a read(2): whose turn came meanwhile, what was delivered, and the name of an error."""

    start: int
    end: int
    shown: Sequence[int]
    delivered: Sequence[int]
    error: str = ""


class Walked(NamedTuple):
    """A walk, from its opening to the read that said "end", if one did (`ended`). `stuck`: none did, for as many reads as
    anybody could ask for, although nothing changed any more."""

    steps: tuple[Step, ...]
    ended: bool
    stuck: bool


class Harmed(NamedTuple):
    """What befell a walk, told by its number from 0, and the hazards that were on while it was under way."""

    walk: int
    verdict: Verdict
    hazards: frozenset[Hazard]


class Round(NamedTuple):
    """What the two sides did: at least one walk of at least one read; and the changes, in the order of their times, with all
    that was done to any of these sockets since it was made."""

    changes: Sequence[Changed]
    walks: Sequence[Walked]

    def during(self, walk: int) -> Sequence[Changed]:
        """The changes that were under way at some time of this walk."""
        steps = self.walks[walk].steps
        start, end = steps[0].start, steps[-1].end
        first = bisect_left(self.changes, start, key=lambda change: change.end)
        return self.changes[first : bisect_right(self.changes, end, key=lambda change: change.start)]


@dataclass(slots=True)
class Overlap:
    """How much two sides really met. `during`: the changes that had a time in common with a read; `inside`: those of them
    that began and ended within one."""

    walks: int = 0
    reads: int = 0
    changes: int = 0
    during: int = 0
    inside: int = 0

    def count(self, done: Round) -> None:
        """Add what was done in a round, in which sockets were made before the first walk, and removed behind the last."""
        reads = [step for walk in done.walks for step in walk.steps[1:]]
        starts, ends = [read.start for read in reads], [read.end for read in reads]
        self.walks += len(done.walks)
        self.reads += len(reads)
        first, last = done.walks[0].steps[0].start, ends[-1]
        for change in done.changes:
            if change.end >= first and change.start <= last:
                self.changes += 1
                nth = bisect_right(starts, change.end) - 1  # the last read that began before its end
                if nth >= 0 and ends[nth] >= change.start:
                    self.during += 1
                    self.inside += starts[nth] <= change.start and change.end <= ends[nth]


def judged(done: Round) -> Iterator[Harmed]:
    """What befell the walks of a round, in their order; those that nothing befell are left out.

    - skip: in the table before the walk was opened, untouched until its end, and not delivered.
    - repeat: delivered more than once, and neither put in again nor moved during the walk.
    - stale: its removal was over before the read began, or the opening, in which its turn came.
    - stuck: the walk did not end, although nothing changed any more. refused: a read returned an error.

    A socket that nothing is known of is owed nothing.
    """
    names = {change.known: change.name for change in done.changes}
    gone = {change.known: change.end for change in done.changes if change.hazard == "remove"}
    stays = _Stays(done.changes)
    for number, walk in enumerate(done.walks):
        start, end = walk.steps[0].start, walk.steps[-1].end
        times = Counter(known for step in walk.steps for known in step.delivered)
        findings: set[Finding] = set()
        there = stays.throughout(start, end)
        if walk.ended:
            findings.update(Finding("skip", names[known]) for known in there if known not in times)
        for known, count in times.items():
            if count > 1 and known in names and not stays.was_moved(known, start, end):
                findings.add(Finding("repeat", names[known]))
        for step in walk.steps:
            findings.update(Finding("stale", names[one]) for one in step.shown if gone.get(one, _NEVER) < step.start)
        if walk.stuck:
            findings.add(Finding("stuck"))
        refused = any(step.error for step in walk.steps)
        if refused:
            findings.add(Finding("refused"))
        if findings:
            hazards = _hazards(done.during(number))
            if refused:
                hazards |= {"enomem"}
            yield Harmed(number, tuple(sorted(findings, key=lambda one: (KINDS.index(one.kind), one.socket or ""))), hazards)


class _Stays:
    # Which sockets were left alone from when to when.

    def __init__(self, changes: Sequence[Changed]) -> None:
        self._moves: dict[int, list[tuple[int, int]]] = {}
        begun: dict[int, int] = {}
        stays = []
        for change in changes:
            if change.known in begun:
                stays.append((begun.pop(change.known), change.start, change.known))
            if change.hazard != "remove":
                begun[change.known] = change.end
            if change.hazard in _TWO_CALLS:
                self._moves.setdefault(change.known, []).append((change.start, change.end))
        stays += [(begin, _NEVER, known) for known, begin in begun.items()]
        self._to_come = sorted(stays, reverse=True)
        self._there: list[tuple[int, int]] = []

    def throughout(self, start: int, end: int) -> list[int]:
        """Who was there, and left alone, all that time. Asked of one time after the other."""
        while self._to_come and self._to_come[-1][0] < start:
            _, until, known = self._to_come.pop()
            self._there.append((until, known))
        self._there = [(until, known) for until, known in self._there if until > start]
        return [known for until, known in self._there if until > end]

    def was_moved(self, known: int, start: int, end: int) -> bool:
        return any(begin <= end and over >= start for begin, over in self._moves.get(known, ()))


def _hazards(changes: Sequence[Changed]) -> frozenset[Hazard]:
    used = {change.hazard for change in changes}
    return _ALWAYS.union(used, *(_TWO_CALLS.get(hazard, frozenset()) for hazard in used))
