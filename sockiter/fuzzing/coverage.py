"""The coverage goals of a deep run: the situations in which an iterator that keeps its place badly loses it.

Decided here: what each goal is, and which goals a sequence reached. Not known here: how a scheme keeps its place, what makes
a history good, and who draws. A run that never reached a goal proves nothing about it, however long it was.

The words, as seen from outside, by the operations, the table before and after each, and what was delivered:

- *Seen* is a socket whose turn has come since open (`history.Shown`), and *unseen* every other, also one added since.
- *Stopped* is a read that returned as many records as it was asked for, as long as nothing was changed inside it: then the
  walk stands behind the last of them, in the bucket and the order in which the table has them.
- *Paused* is the time from a read that stopped with unseen sockets between the last one delivered and its bucket's tail, to
  the next read: in mid-bucket. That bucket is *the bucket*, and those sockets are *waiting*.
- *Behind* are the buckets before the bucket in the order of the walk, *ahead* those after it.

Where this is not certain, no goal is reported: some reached goals go unnoticed, but none is made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

from sockiter.backend import Backend
from sockiter.history import Event, Returned, Shown
from sockiter.operations import Add, Operation, Read, Rehash, Reinsert
from sockiter.simulation import Allocation, Simulation

Goal: TypeAlias = Literal[
    # Of a pause, as the next read finds things:
    "first unseen gone",  # the first waiting socket has left the bucket, and another one waits there still
    "all unseen gone",  # only seen sockets are left in the bucket
    "bucket emptied",  # none at all is
    "add at the head",  # one was added at the head of the bucket, and is there
    # At some time in a pause:
    "reinsert of a seen",  # a seen socket of the bucket was put in again
    "reinsert of an unseen",  # an unseen one was, waiting or not
    "rehash ahead",  # a socket moved from behind or from the bucket to a bucket ahead
    "rehash behind",  # a socket moved from ahead or from the bucket to a bucket behind
    # Of a read:
    "stop at a bucket's end",  # it stopped, and the last socket delivered is at the tail of its bucket
    "growth on resume",  # it ended a pause, and was granted an allocation before any socket's turn came
    "growth refused",  # it was refused an allocation
    "second growth",  # it was granted one more for the same batch: no socket's turn came between the two
]
GOALS: tuple[Goal, ...] = get_args(Goal)
GROWTH_GOALS: tuple[Goal, ...] = ("growth on resume", "growth refused", "second growth")
"""The goals that are seen in a simulation only: a real iterator does not report its allocations."""


class _Pause(NamedTuple):
    # The number of the bucket, and the sockets waiting there when the read came back, from the head.

    bucket: int
    waiting: tuple[str, ...]


class CoverageMonitor:
    """Observes a backend during one iteration, and records which goals it reaches.

    Every operation goes through `apply`, from the first on. It changes nothing, but asks for the table before and after some
    operations; where the table cannot be known, only `GROWTH_GOALS` are ever noticed.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._reached: set[Goal] = set()
        self._seen: set[str] = set()
        self._pause: _Pause | None = None
        # Of this pause: who was added at the head of a bucket.
        self._at_head: list[str] = []

    @property
    def reached(self) -> list[Goal]:
        """The goals that the iteration reached, each once, in the order of `GOALS`."""
        return [goal for goal in GOALS if goal in self._reached]

    def apply(self, operation: Operation) -> None:
        """Have the backend carry out one operation, and look at it."""
        match operation:
            case Read():
                self._read(operation)
            case Rehash(name) if self._pause is not None:
                self._rehash(operation, name, self._pause.bucket)
            case Reinsert(name) if self._pause is not None:
                if name in (self._bucket(self._pause.bucket) or ()):
                    self._reached.add("reinsert of a seen" if name in self._seen else "reinsert of an unseen")
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
        self._backend.apply(operation)
        new = events[known:]
        self._seen.update(event.name for event in new if type(event) is Shown)
        self._pause = self._paused(new, operation.count)
        self._at_head.clear()
        if isinstance(self._backend, Simulation):
            self._allocated(self._backend.allocations, resumes)

    def _found(self, bucket: tuple[str, ...], waiting: tuple[str, ...]) -> None:
        # What a read finds that ends a pause.
        if not bucket:
            self._reached.add("bucket emptied")
        elif self._seen.issuperset(bucket):
            self._reached.add("all unseen gone")
        elif waiting[0] not in bucket and not set(waiting).isdisjoint(bucket):
            self._reached.add("first unseen gone")
        if not set(self._at_head).isdisjoint(bucket):
            self._reached.add("add at the head")

    def _paused(self, events: Sequence[Event], count: int | None) -> _Pause | None:
        # None: the read did not stop, or not in mid-bucket. `events` are all of that read operation.
        *earlier, last = events
        if type(last) is not Returned or len(last.delivered) != count:
            return None
        if earlier != [Shown(name) for name in last.delivered]:
            return None  # something was changed in it, or it handed out what an earlier read had left
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
        # A batch is made without any socket's turn in between; `grown` is when the last one grew.
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
