"""The judge of races: finds certain failures of walks over a table that another process changes at the same time.

A time is recorded before and after each call. A call that ended before another call began came first. The judge claims
nothing about two calls that overlap. Not known here: the two processes, and the known failures of the walker.
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

# A socket that one call removes and another call inserts again is, for a walk in between, first gone and then new.
_TWO_CALLS: dict[Hazard, frozenset[Hazard]] = {
    "reinsert": frozenset({"remove", "add-head", "add-tail"}),
    "rehash": frozenset({"remove", "add-head"}),
    "close": frozenset(),
}
_LEAVES: frozenset[Hazard] = frozenset({"remove", "destroy"})
# Without synchronization of the two sides, changes also happen inside reads.
_ALWAYS: frozenset[Hazard] = frozenset({"show", "between", "realloc"})
_NEVER = 1 << 63


class TimedChange(NamedTuple):
    """A change to one socket, with its start and end in nanoseconds. Every socket has a unique `socket_id`.

    `bucket`: the new bucket of the socket, None for a removal.
    """

    hazard: Hazard
    name: str
    socket_id: int
    start: int
    end: int
    bucket: Bucket | None = None


class WalkCall(NamedTuple):
    """The opening of a walk, or a read(2): the sockets shown and delivered during it, and the name of an error."""

    start: int
    end: int
    shown: Sequence[int]
    delivered: Sequence[int]
    error: str = ""


class WalkRecord(NamedTuple):
    """A walk, from its opening to the read that returned nothing (`ended`).

    `stuck`: no read returned nothing, up to the limit of reads after the last change.
    """

    calls: tuple[WalkCall, ...]
    ended: bool
    stuck: bool


class WalkFindings(NamedTuple):
    """The findings of a walk, given by its number from 0, and the hazards during the walk."""

    walk: int
    verdict: Verdict
    hazards: frozenset[Hazard]


class Round(NamedTuple):
    """The walks of a round, at least one, each with at least one read; and the changes, ordered by time.

    The changes include every change to these sockets since their creation.
    """

    changes: Sequence[TimedChange]
    walks: Sequence[WalkRecord]

    def during(self, walk: int) -> Sequence[TimedChange]:
        """The changes that overlap this walk in time."""
        calls = self.walks[walk].calls
        start, end = calls[0].start, calls[-1].end
        first = bisect_left(self.changes, start, key=lambda change: change.end)
        return self.changes[first : bisect_right(self.changes, end, key=lambda change: change.start)]


@dataclass(slots=True)
class RaceCounts:
    """The numbers of walks, reads and changes. `during_reads`: the changes that overlap a read in time.

    `inside_reads`: the changes among these that began and ended within one read.
    """

    walks: int = 0
    reads: int = 0
    changes: int = 0
    during_reads: int = 0
    inside_reads: int = 0

    def count(self, race_round: Round) -> None:
        """Add the counts of a round, whose sockets are made before the first walk and removed after the last."""
        reads = [call for walk in race_round.walks for call in walk.calls[1:]]
        starts, ends = [read.start for read in reads], [read.end for read in reads]
        self.walks += len(race_round.walks)
        self.reads += len(reads)
        first, last = race_round.walks[0].calls[0].start, ends[-1]
        for change in race_round.changes:
            if change.end >= first and change.start <= last:
                self.changes += 1
                nth = bisect_right(starts, change.end) - 1  # the last read that began before the change ended
                if nth >= 0 and ends[nth] >= change.start:
                    self.during_reads += 1
                    self.inside_reads += starts[nth] <= change.start and change.end <= ends[nth]


def judge_round(race_round: Round) -> Iterator[WalkFindings]:
    """The findings of the walks of a round, in order; walks without findings are left out.

    - skip: in the table before the walk was opened, untouched until its end, and not delivered.
    - repeat: delivered more than once, and neither reinserted nor moved during the walk.
    - stale: removed before the beginning of the read, or of the opening, that showed the socket.
    - stuck: the walk did not end, although changes had stopped.
    - refused: a read returned an error.

    A socket without a record of its changes may be delivered or not.
    """
    names = {change.socket_id: change.name for change in race_round.changes}
    gone = {change.socket_id: change.end for change in race_round.changes if change.hazard in _LEAVES}
    untouched_intervals = _UntouchedIntervals(race_round.changes)
    for number, walk in enumerate(race_round.walks):
        start, end = walk.calls[0].start, walk.calls[-1].end
        times = Counter(socket_id for call in walk.calls for socket_id in call.delivered)
        findings: set[Finding] = set()
        untouched = untouched_intervals.throughout(start, end)
        if walk.ended:
            findings.update(Finding("skip", names[socket_id]) for socket_id in untouched if socket_id not in times)
        for socket_id, count in times.items():
            if count > 1 and socket_id in names and not untouched_intervals.was_moved(socket_id, start, end):
                findings.add(Finding("repeat", names[socket_id]))
        for call in walk.calls:
            stale = [socket_id for socket_id in call.shown if gone.get(socket_id, _NEVER) < call.start]
            findings.update(Finding("stale", names[socket_id]) for socket_id in stale)
        if walk.stuck:
            findings.add(Finding("stuck"))
        refused = any(call.error for call in walk.calls)
        if refused:
            findings.add(Finding("refused"))
        if findings:
            hazards = _hazards(race_round.during(number))
            if refused:
                hazards |= {"enomem"}
            yield WalkFindings(
                number,
                tuple(sorted(findings, key=lambda finding: (KINDS.index(finding.kind), finding.socket or ""))),
                hazards,
            )


class _UntouchedIntervals:
    # The time intervals during which sockets were untouched.

    def __init__(self, changes: Sequence[TimedChange]) -> None:
        self._moves: dict[int, list[tuple[int, int]]] = {}
        untouched_since: dict[int, int] = {}
        intervals = []
        for change in changes:
            if change.socket_id in untouched_since:
                intervals.append((untouched_since.pop(change.socket_id), change.start, change.socket_id))
            if change.hazard not in _LEAVES:
                untouched_since[change.socket_id] = change.end
            if change.hazard in _TWO_CALLS:
                self._moves.setdefault(change.socket_id, []).append((change.start, change.end))
        intervals += [(begin, _NEVER, socket_id) for socket_id, begin in untouched_since.items()]
        self._later = sorted(intervals, reverse=True)
        self._present: list[tuple[int, int]] = []

    def throughout(self, start: int, end: int) -> list[int]:
        """The sockets that were present and untouched during the whole interval. Calls must have rising times."""
        while self._later and self._later[-1][0] < start:
            _, until, socket_id = self._later.pop()
            self._present.append((until, socket_id))
        self._present = [(until, socket_id) for until, socket_id in self._present if until > start]
        return [socket_id for until, socket_id in self._present if until > end]

    def was_moved(self, socket_id: int, start: int, end: int) -> bool:
        return any(begin <= end and over >= start for begin, over in self._moves.get(socket_id, ()))


def _hazards(changes: Sequence[TimedChange]) -> frozenset[Hazard]:
    used = {change.hazard for change in changes}
    return _ALWAYS.union(used, *(_TWO_CALLS.get(hazard, frozenset()) for hazard in used))
