"""Two sides that do not wait for each other: one walks, over and over, and one makes changes, each noting when.

Decided here: what each side does in a round. It takes two processes: two threads of one interpreter hold each other up at
every call, and changes inside a read hardly come about. Not known here: how the processes are started, and what is to be
said of what they did (`judge`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import errorcode
from random import Random

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.kernel.sockets.base import Socket, Sockets
from sockiter.kernel.walks import Walk
from sockiter.operations import Bucket, End, has_tail
from sockiter.race.judge import Changed, Step, Walked

READS_WHEN_QUIET = 10_000
"""A walk that has not ended by so many reads since the last change is stuck: there are never so many sockets."""

_ENDS: tuple[End, ...] = ("head", "tail")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round is to be. `kinds`: the changes that are made; `stays`: how many sockets are left alone; `few` and `most`:
    how many others there are at first, and at most. `reads`: as many records as a read asks for. `pause_s`: between two
    changes; `seconds`: how long they go on."""

    seed: str
    shape: Shape
    buckets: tuple[Bucket, ...]
    kinds: tuple[Hazard, ...]
    stays: int
    few: int
    most: int
    reads: int
    pause_s: float
    seconds: float


def roam(walk: Walk, plan: Plan, is_quiet: Callable[[], bool], until: int) -> list[Walked]:
    """Walk over and over, in reads of random sizes, until nothing changes any more, or, if nobody says so, until a time.

    `is_quiet`: whether all changes were made. The last walk is brought to its end then, or found to be stuck; there is one
    at least.
    """
    chance = Random(f"{plan.seed}/reads").random
    walks: list[Walked] = []
    while not walks or (not is_quiet() and time.monotonic_ns() < until):
        walks.append(_walked(walk, lambda: 1 + int(chance() * plan.reads), is_quiet, until))
    return walks


def _walked(walk: Walk, size: Callable[[], int], is_quiet: Callable[[], bool], until: int) -> Walked:
    now = time.monotonic_ns
    start = now()
    reader = walk.open()
    try:
        steps = [Step(start, now(), tuple(reader.shown(())), ())]
        left = READS_WHEN_QUIET
        while left:
            records, error = size(), ""
            delivered: Sequence[int] = ()
            start = now()
            try:
                delivered = reader.read(records)
            except OSError as refused:
                error = errorcode.get(refused.errno or 0, str(refused.errno))
            steps.append(Step(start, now(), tuple(reader.shown(delivered)), tuple(delivered), error))
            if not delivered and not error:
                return Walked(tuple(steps), ended=True, stuck=False)
            if is_quiet():
                left -= 1
            elif start > until:
                return Walked(tuple(steps), ended=False, stuck=False)
        return Walked(tuple(steps), ended=False, stuck=True)
    finally:
        reader.close()


class Churn:
    """Makes sockets, changes some of them at random, and notes all of it. `new_name`: one that was never given."""

    def __init__(self, sockets: Sockets, known_by: Callable[[Socket], int], plan: Plan, new_name: Callable[[], str]) -> None:
        self.changes: list[Changed] = []
        self._sockets = sockets
        self._known_by = known_by
        self._plan = plan
        self._new_name = new_name
        self._random = Random(f"{plan.seed}/changes")
        self._known: dict[str, int] = {}
        self._names: list[str] = []  # of those that are not left alone

    def lay(self) -> None:
        """Make the sockets that are there at first."""
        sockets, plan = self._sockets, self._plan
        # What has to be learned is learned with sockets of its own, which a walk would meet.
        sockets.prepare(2 * (plan.stays + plan.most))
        alone = [True] * plan.stays + [False] * plan.few
        self._random.shuffle(alone)
        for left_alone in alone:
            name = self._add(self._random.choice(plan.buckets), self._random.choice(_ENDS))
            if not left_alone:
                self._names.append(name)

    def go_on(self) -> None:
        """Make changes until the time of the plan is up, or there is nothing left to change."""
        until = time.monotonic_ns() + int(self._plan.seconds * 1e9)
        while time.monotonic_ns() < until and self._change():
            if self._plan.pause_s:
                time.sleep(self._plan.pause_s)

    def end(self) -> None:
        """Remove all sockets."""
        for name in list(self._known):
            self._remove(name)

    def _change(self) -> bool:
        random, plan = self._random, self._plan
        can_add = len(self._names) < plan.most
        kinds = [kind for kind in plan.kinds if (can_add if kind in ("add-head", "add-tail") else self._names)]
        if not kinds:
            return False
        kind = random.choice(kinds)
        if kind in ("add-head", "add-tail"):
            end: End = "head" if kind == "add-head" else "tail"
            buckets = [one for one in plan.buckets if end == "head" or has_tail(one.table)]
            self._names.append(self._add(random.choice(buckets), end))
            return True
        nth = random.randrange(len(self._names))
        name = self._names[nth]
        if kind == "remove":
            self._names[nth] = self._names[-1]
            self._names.pop()
            self._remove(name)
            return True
        bucket = random.choice(plan.buckets) if kind == "rehash" else self._sockets.bucket(name)
        at = self._end(random.choice(_ENDS), bucket)
        start = time.monotonic_ns()
        if kind == "rehash":
            changed = self._sockets.rehash(name, bucket)
        else:
            self._sockets.reinsert(name, at)
            changed = True
        if changed:
            self.changes.append(Changed(kind, name, self._known[name], start, time.monotonic_ns(), bucket))
        return True

    def _add(self, bucket: Bucket, wanted: End) -> str:
        end = self._end(wanted, bucket)
        name = self._new_name()
        start = time.monotonic_ns()
        new = self._sockets.add(name, end, bucket)
        over = time.monotonic_ns()
        self._known[name] = self._known_by(new)
        kind: Hazard = "add-head" if end == "head" else "add-tail"
        self.changes.append(Changed(kind, name, self._known[name], start, over, bucket))
        return name

    def _remove(self, name: str) -> None:
        start = time.monotonic_ns()
        self._sockets.remove(name)
        self.changes.append(Changed("remove", name, self._known.pop(name), start, time.monotonic_ns()))

    def _end(self, wanted: End, bucket: Bucket) -> End:
        return wanted if self._sockets.has_tail and has_tail(bucket.table) else "head"
