"""The two sides of a race: one walks repeatedly, the other changes sockets, and each records its times.

The sides need two processes. Two threads of one interpreter would block each other at every call, so that changes inside
a read would be rare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC, errorcode
from random import Random

from sockiter.backend import Shape
from sockiter.claims import CHANGES, Hazard
from sockiter.errors import Inconclusive
from sockiter.kernel.elements import Elements
from sockiter.kernel.walks import Walk
from sockiter.operations import Bucket, End, has_tail
from sockiter.race.judge import TimedChange, WalkCall, WalkRecord

READS_WHEN_QUIET = 10_000
"""The most reads of a walk after the last change. A walk with more reads is stuck: there are never so many sockets."""

RACED: tuple[Hazard, ...] = tuple(hazard for hazard in CHANGES if hazard != "accept")
"""The kinds of changes of a race. A walk at the same time would show the socket that listens for a handshake."""

_ENDS: tuple[End, ...] = ("head", "tail")


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """The plan of a round. `kinds`: the kinds of changes; `untouched`: the number of sockets that never change.

    `changing` and `changing_max`: the number of other sockets at the beginning, and at most. `records_max`: the most
    records of a read. `pause_s`: the time between two changes; `seconds`: the time of all changes."""

    seed: str
    shape: Shape
    buckets: tuple[Bucket, ...]
    kinds: tuple[Hazard, ...]
    untouched: int
    changing: int
    changing_max: int
    records_max: int
    pause_s: float
    seconds: float


def walk_repeatedly(walk: Walk, plan: RoundPlan, is_quiet: Callable[[], bool], until: int) -> list[WalkRecord]:
    """Walk repeatedly, in reads of random sizes, until `is_quiet`, or until a time limit.

    `is_quiet`: whether all changes were made. The last walk is then finished, or found to be stuck. There is at least one
    walk.
    """
    chance = Random(f"{plan.seed}/reads").random
    walks: list[WalkRecord] = []
    while not walks or (not is_quiet() and time.monotonic_ns() < until):
        walks.append(_walk_once(walk, lambda: 1 + int(chance() * plan.records_max), is_quiet, until))
    return walks


def _walk_once(walk: Walk, size: Callable[[], int], is_quiet: Callable[[], bool], until: int) -> WalkRecord:
    now = time.monotonic_ns
    start = now()
    reader = walk.open()
    try:
        calls = [WalkCall(start, now(), tuple(reader.shown(())), ())]
        reads_left = READS_WHEN_QUIET
        least = 1  # a call for whole buckets may need more
        while reads_left:
            records, error = max(size(), least), ""
            delivered: Sequence[int] = ()
            start = now()
            try:
                delivered = reader.read(records)
            except OSError as refusal:
                error = errorcode.get(refusal.errno or 0, str(refusal.errno))
                least = 2 * records if refusal.errno == ENOSPC else least
            calls.append(WalkCall(start, now(), tuple(reader.shown(delivered)), tuple(delivered), error))
            if not delivered and not error:
                return WalkRecord(tuple(calls), ended=True, stuck=False)
            if is_quiet():
                reads_left -= 1
            elif start > until:
                return WalkRecord(tuple(calls), ended=False, stuck=False)
        return WalkRecord(tuple(calls), ended=False, stuck=True)
    finally:
        reader.close()


class Mutator:
    """Makes elements, changes some of them at random, and records each change. `new_name` returns an unused name."""

    def __init__(self, elements: Elements, plan: RoundPlan, new_name: Callable[[], str]) -> None:
        self.changes: list[TimedChange] = []
        self._elements = elements
        self._plan = plan
        self._new_name = new_name
        self._random = Random(f"{plan.seed}/changes")
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []  # of the changing sockets
        self._closed: set[str] = set()  # of these, the closed connections

    def make_elements(self) -> None:
        """Make the elements for the beginning of a round."""
        elements, plan = self._elements, self._plan
        # The buckets are learned with other sockets, before a walk could show those.
        elements.prepare(2 * (plan.untouched + plan.changing_max))
        untouched = [True] * plan.untouched + [False] * plan.changing
        self._random.shuffle(untouched)
        for is_untouched in untouched:
            name = self._add(self._random.choice(plan.buckets), self._random.choice(_ENDS))
            if not is_untouched:
                self._names.append(name)

    def mutate(self) -> None:
        """Make changes until the time of the plan is over, or no element is left to change."""
        until = time.monotonic_ns() + int(self._plan.seconds * 1e9)
        while time.monotonic_ns() < until and self._change():
            if self._plan.pause_s:
                time.sleep(self._plan.pause_s)

    def remove_all(self) -> None:
        """Remove all elements."""
        for name in list(self._numbers):
            self._remove(name)

    def _change(self) -> bool:
        random, plan = self._random, self._plan
        can_add = len(self._names) < plan.changing_max
        kinds = [kind for kind in plan.kinds if (can_add if kind in ("add-head", "add-tail") else self._names)]
        if not kinds:
            return False
        kind = random.choice(kinds)
        if kind in ("add-head", "add-tail"):
            end: End = "head" if kind == "add-head" else "tail"
            buckets = [bucket for bucket in plan.buckets if end == "head" or has_tail(bucket.table)]
            with suppress(Inconclusive):  # this bucket is full
                self._names.append(self._add(random.choice(buckets), end))
            return True
        nth = random.randrange(len(self._names))
        name = self._names[nth]
        if kind in ("remove", "destroy"):
            self._names[nth] = self._names[-1]
            self._names.pop()
            self._remove(name, destroys=kind == "destroy")
            return True
        if name in self._closed or (kind == "close" and not self._elements.connects(self._elements.bucket(name))):
            return True  # this one cannot change in this way
        bucket = random.choice(plan.buckets) if kind == "rehash" else self._elements.bucket(name)
        end = self._possible_end(random.choice(_ENDS), bucket)
        start = time.monotonic_ns()
        if kind == "rehash":
            changed = self._elements.rehash(name, bucket)
        elif kind == "close":
            self._elements.finish(name)
            self._closed.add(name)
            changed = True
        else:
            self._elements.reinsert(name, end)
            changed = True
        if changed:
            self.changes.append(TimedChange(kind, name, self._numbers[name], start, time.monotonic_ns(), bucket))
        return True

    def _add(self, bucket: Bucket, preferred: End) -> str:
        end = self._possible_end(preferred, bucket)
        name = self._new_name()
        start = time.monotonic_ns()
        number = self._elements.add(name, end, bucket)
        end_time = time.monotonic_ns()
        self._numbers[name] = number
        kind: Hazard = "add-head" if end == "head" else "add-tail"
        self.changes.append(TimedChange(kind, name, self._numbers[name], start, end_time, bucket))
        return name

    def _remove(self, name: str, *, destroys: bool = False) -> None:
        start = time.monotonic_ns()
        if destroys:
            self._elements.destroy(name)
        else:
            self._elements.remove(name)
        kind: Hazard = "destroy" if destroys else "remove"
        self.changes.append(TimedChange(kind, name, self._numbers.pop(name), start, time.monotonic_ns()))

    def _possible_end(self, preferred: End, bucket: Bucket) -> End:
        if not self._elements.has_head:
            return "tail"
        return preferred if self._elements.has_tail and has_tail(bucket.table) else "head"
