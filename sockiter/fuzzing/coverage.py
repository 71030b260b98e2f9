"""The coverage goals of a deep run: situations in which an iterator may lose its place.

The module defines the goals, and detects which goals a sequence reached. A run that never reached a goal proves nothing
about that situation, however long it was.

The terms are defined from outside, by the operations, the table before and after each, and the delivered sockets:

- *Seen* is a socket that was shown since open, or since the last `again` (`history.Shown`), and *unseen* is every other,
  including new ones.
- *Stopped* is a read that returned all its requested records without a change inside the read. Then the walk stands behind
  the last record's socket, in the order of the table.
- *Paused* is the time between a stopped read in mid-bucket and the next read. In mid-bucket means: unseen sockets follow the
  last delivered one in its bucket. That bucket is *the bucket*, and those sockets are *waiting*.
- *Behind* are the buckets before the bucket in the order of the walk, *ahead* those after it.

In doubtful situations no goal is reported: some reached goals go unnoticed, but no goal is reported falsely.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

from sockiter.backend import Backend
from sockiter.history import Event, Returned, Shown
from sockiter.operations import Accept, Add, Again, Close, Destroy, Operation, Read, Rehash, Reinsert
from sockiter.simulation import Allocation, Simulation

Goal: TypeAlias = Literal[
    # At the end of a pause, just before the next read:
    "first unseen gone",  # the first waiting socket has left the bucket, and another still waits there
    "all unseen gone",  # the bucket has only seen sockets
    "bucket emptied",  # the bucket has no sockets
    "add at the head",  # a socket was added at the head of the bucket, and is still there
    # At any time during a pause:
    "reinsert of a seen",  # a seen socket of the bucket was reinserted
    "reinsert of an unseen",  # an unseen socket was reinserted, waiting or not
    "rehash ahead",  # a socket moved from behind or from the bucket to a bucket ahead
    "rehash behind",  # a socket moved from ahead or from the bucket to a bucket behind
    "successor of a seen",  # a seen socket of the bucket was closed or accepted
    "successor of an unseen",  # an unseen socket was closed or accepted, waiting or not
    # During a read:
    "stop at a bucket's end",  # the read stopped, and its last socket is at the tail of a bucket
    "growth on resume",  # after a pause, an allocation was granted before a socket was shown
    "growth refused",  # an allocation was refused
    "second growth",  # two allocations were granted without a socket shown in between
    "destroyed as shown",  # a read destroyed a socket that it showed, and another socket was in that bucket
    "stop inside a record",  # the read returned a part of a record
    "second pass",  # a read after `again` delivered a socket that an earlier pass delivered
]
GOALS: tuple[Goal, ...] = get_args(Goal)
GROWTH_GOALS: tuple[Goal, ...] = ("growth on resume", "growth refused", "second growth")
"""The goals that only a simulation reports: a real iterator does not report its allocations."""
SUCCESSION_GOALS: tuple[Goal, ...] = ("successor of a seen", "successor of an unseen")
"""The goals that only tables of connections have."""


class _Pause(NamedTuple):
    # The number of the bucket, and the waiting sockets when the read returned, from the head.

    bucket: int
    waiting: tuple[str, ...]


class CoverageMonitor:
    """Observes a backend during one iteration, and records the goals that it reaches.

    All operations go through `apply`. The monitor changes nothing, but reads the table before and after some operations.
    If the backend cannot see its table, only `GROWTH_GOALS` are reported.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reached: set[Goal] = set()
        self._seen: set[str] = set()
        # The sockets that earlier passes delivered.
        self._earlier: set[str] = set()
        self._pause: _Pause | None = None
        # The sockets that were added at the head of a bucket during this pause.
        self._at_head: list[str] = []

    @property
    def reached(self) -> list[Goal]:
        """The goals that the iteration reached, each once, in the order of `GOALS`."""
        return [goal for goal in GOALS if goal in self._reached]

    def apply(self, operation: Operation) -> None:
        """Let the backend carry out one operation, and observe it."""
        match operation:
            case Read():
                self._read(operation)
            case Rehash(name) if self._pause is not None:
                self._rehash(operation, name, self._pause.bucket)
            case Reinsert(name) if self._pause is not None:
                if name in (self._bucket(self._pause.bucket) or ()):
                    self._reached.add("reinsert of a seen" if name in self._seen else "reinsert of an unseen")
                self._backend.apply(operation)
            case Close(name) | Accept(name) if self._pause is not None:
                if name in (self._bucket(self._pause.bucket) or ()):
                    self._reached.add("successor of a seen" if name in self._seen else "successor of an unseen")
                self._backend.apply(operation)
            case Again():
                self._earlier.update(name for read in self._backend.history.reads for name in read.delivered)
                self._seen.clear()
                self._pause = None
                self._backend.apply(operation)
            case Add(name, "head") if self._pause is not None:
                self._at_head.append(name)
                self._backend.apply(operation)
            case _:
                self._backend.apply(operation)

    def _rehash(self, operation: Rehash, name: str, bucket: int) -> None:
        before = self._buckets()
        self._backend.apply(operation)
        after = self._buckets()
        if _holds(before[: bucket + 1], name) and _holds(after[bucket + 1 :], name):
            self._reached.add("rehash ahead")
        elif _holds(before[bucket:], name) and _holds(after[:bucket], name):
            self._reached.add("rehash behind")

    def _read(self, operation: Read) -> None:
        resumes = self._pause is not None
        if self._pause is not None and (bucket := self._bucket(self._pause.bucket)) is not None:
            self._found(bucket, self._pause.waiting)
        events = self._backend.history.events
        known = len(events)
        before = self._buckets() if operation.destroying else ()
        self._backend.apply(operation)
        new = events[known:]
        self._seen.update(event.name for event in new if type(event) is Shown)
        for event in new:
            if type(event) is Returned:
                if event.cut:
                    self._reached.add("stop inside a record")
                if not self._earlier.isdisjoint(event.delivered):
                    self._reached.add("second pass")
        destroyed = {event.name for event in new if type(event) is Destroy}
        if any(len(bucket) > 1 and not destroyed.isdisjoint(bucket) for bucket in before):
            self._reached.add("destroyed as shown")
        self._pause = self._paused(new, operation.count if operation.unit == "records" else None)
        self._at_head.clear()
        if isinstance(self._backend, Simulation):
            self._allocated(self._backend.allocations, resumes)

    def _found(self, bucket: tuple[str, ...], waiting: tuple[str, ...]) -> None:
        # The state of the bucket at the read after a pause.
        if not bucket:
            self._reached.add("bucket emptied")
        elif self._seen.issuperset(bucket):
            self._reached.add("all unseen gone")
        elif waiting[0] not in bucket and not set(waiting).isdisjoint(bucket):
            self._reached.add("first unseen gone")
        if not set(self._at_head).isdisjoint(bucket):
            self._reached.add("add at the head")

    def _paused(self, events: Sequence[Event], count: int | None) -> _Pause | None:
        # None: the read did not stop, or not in mid-bucket. `events` are all events of that operation.
        *earlier, last = events
        if type(last) is not Returned or len(last.delivered) != count:
            return None
        if earlier != [Shown(name) for name in last.delivered]:
            return None  # a change inside the read, or records of an earlier read
        shown = last.delivered[-1]
        for number, bucket in enumerate(self._buckets()):
            if shown in bucket:
                rest = bucket[bucket.index(shown) + 1 :]
                if not rest:
                    self._reached.add("stop at a bucket's end")
                waiting = tuple(name for name in rest if name not in self._seen)
                return _Pause(number, waiting) if waiting else None
        return None

    def _allocated(self, allocations: Iterable[Allocation], resumes: bool) -> None:
        # A batch is made without a turn in between; `grown` is the number of turns before the last growth.
        grown = -1
        for turns, granted in allocations:
            if not granted:
                self._reached.add("growth refused")
                continue
            if resumes and turns == 0:
                self._reached.add("growth on resume")
            if turns == grown:
                self._reached.add("second growth")
            grown = turns

    def _buckets(self) -> tuple[tuple[str, ...], ...]:
        return self._backend.state() or ()

    def _bucket(self, number: int) -> tuple[str, ...] | None:
        buckets = self._backend.state()
        return None if buckets is None else buckets[number]


def _holds(buckets: Iterable[Sequence[str]], name: str) -> bool:
    return any(name in bucket for bucket in buckets)
