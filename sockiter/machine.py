"""The front door: the operations as a Hypothesis state machine, for schemes and kernel alike.

Decided here: which rules there are, and how many operations each of them makes. A rule translates a draw into operations and
hands them to the backend; it keeps no second model of the table, but the names of the sockets that are in it.

Every step costs Hypothesis some 150 us, whatever the rule does, so a rule draws one number and makes several operations of
it. Bundles, one rule for each operation, and a draw for each argument (tests/benchmarks/naive.py) cost two and a half times
as much per operation over as many steps. More operations to a step raise the rate, and find nothing sooner. One rule that
draws all operations from one number makes more than twice as many of them again, but leaves Hypothesis nothing to choose
between, and its reports nothing to read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sockiter.backend import SLOTS, Backend
from sockiter.claims import CHANGES, Hazard
from sockiter.edits import name_of
from sockiter.errors import Untold
from sockiter.hunt import Hunt
from sockiter.operations import (
    Add,
    At,
    Bucket,
    Change,
    End,
    Fail,
    Open,
    Operation,
    Point,
    Read,
    Rehash,
    Reinsert,
    Remove,
    has_tail,
)
from sockiter.oracle import judge
from sockiter.situations import Watch
from sockiter.swarm import Room
from sockiter.verdict import Finding, Kind, Verdict

# Of a range above 24 bits, Hypothesis mostly draws numbers of 8 or 16 bits, and whatever is taken from above them would be
# the first choice. So 24 bits are drawn, and `_spread`.
_DRAW = st.integers(min_value=0, max_value=2**24 - 1)


def _spread(draw: int) -> int:
    # The 24 bits over 48, by an odd factor; 0 stays 0, the plainest draw.
    return draw * 0x9E3779B97F4B % 2**48


class Violation(AssertionError):
    """A target did what is news to the hunt; carries the sequence and slots, the whole verdict, and the finding."""

    def __init__(self, operations: tuple[Operation, ...], slots: int, verdict: Verdict, finding: Finding) -> None:
        super().__init__(str(finding))
        self.operations = operations
        self.slots = slots
        self.verdict = verdict
        self.finding = finding


class Skipped(Violation):
    """A socket was not delivered."""


class Repeated(Violation):
    """A socket was delivered more than once."""


class Stale(Violation):
    """A socket was delivered that was not there."""


class Stuck(Violation):
    """The iteration did not end."""


class Refused(Violation):
    """A read returned an error."""


VIOLATION: dict[Kind, type[Violation]] = {
    "skip": Skipped,
    "repeat": Repeated,
    "stale": Stale,
    "stuck": Stuck,
    "refused": Refused,
}


class SocketMachine(RuleBasedStateMachine):
    """Sockets come and go while an iterator is read in parts; in the end it is read out, and judged.

    Not to be run as it is: `machine_for` gives it a hunt and the rules of certain hazards.
    """

    hunt: ClassVar[Hunt]
    room: ClassVar[Room]
    buckets: ClassVar[tuple[Bucket, ...]]
    kinds: ClassVar[tuple[Hazard, ...]]
    refuses: ClassVar[bool]
    allocates: ClassVar[bool]
    rolls_over: ClassVar[bool]
    # How many sequences were run to their end since somebody set this to 0, and how many operations that took.
    sequences: ClassVar[int] = 0
    applied: ClassVar[int] = 0
    # Whether Hypothesis is told which situations a sequence came to; a campaign shows nobody, and does not pay for it.
    watches: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.present: list[str] = []
        self.tables: dict[str, str] = {}
        self.added = self.inserted = 0
        self.opened = False
        self.slots = SLOTS
        self.gives_up = self.is_crowded = False
        self.backend: Backend | None = None
        self.watch: Watch | None = None
        # The machine could not tell what this sequence needs: the rest of it is not carried out, and it is not judged.
        self.is_untold = False

    @initialize(draw=_DRAW)
    def begin(self, draw: int) -> None:
        draw, pick = divmod(_spread(draw), 8)
        slots = self.room.slots_drawn
        draw, tight = divmod(draw, 4)
        # Where something may happen while a batch grows, it mostly has to: there are more sockets than slots then.
        self.slots = slots[pick % (min(2, len(slots)) if self.allocates and tight else len(slots))]
        self.backend = self.hunt.session.begin(self.room.shape(self.slots))
        self.watch = Watch(self.backend) if self.watches else None
        draw, last = divmod(draw, 10)
        self.gives_up = last == 9
        draw, crowded = divmod(draw, 2)
        self.is_crowded = bool(crowded)
        draw, sockets = divmod(draw, 5)
        sockets += self.allocates and sockets > 0
        if self.rolls_over:
            draw, more = divmod(draw, 3)
            sockets += 4 * more
        for _ in range(1 + sockets):
            draw, pick = divmod(draw, 8)
            self.apply(self.add("head" if pick == 7 else "tail", pick))

    @rule(draw=_DRAW)
    def add_head(self, draw: int) -> None:
        self.churn("add-head", _spread(draw))

    @rule(draw=_DRAW)
    def add_tail(self, draw: int) -> None:
        self.churn("add-tail", _spread(draw))

    @rule(draw=_DRAW)
    def remove(self, draw: int) -> None:
        self.churn("remove", _spread(draw))

    @rule(draw=_DRAW)
    def reinsert(self, draw: int) -> None:
        self.churn("reinsert", _spread(draw))

    @rule(draw=_DRAW)
    def rehash(self, draw: int) -> None:
        self.churn("rehash", _spread(draw))

    @rule(draw=_DRAW)
    def read(self, draw: int) -> None:
        draw, first = divmod(_spread(draw), 4)
        draw, second = divmod(draw, 4)
        self.read_some(1 + first)
        self.read_some(second)

    @rule(draw=_DRAW)
    def change_while_shown(self, draw: int) -> None:
        self.read_through("show", _spread(draw))

    @rule(draw=_DRAW)
    def change_while_allocating(self, draw: int) -> None:
        self.read_through("realloc", _spread(draw))

    @rule(draw=_DRAW)
    def refuse_allocations(self, draw: int) -> None:
        draw, nth = divmod(_spread(draw), 2)
        draw, more = divmod(draw, 2)
        refusals = tuple(At("realloc", nth + 1 + further, Fail()) for further in range(1 + more))
        self.read_some(1 + draw % 4, refusals)

    def teardown(self) -> None:
        if self.backend is None:
            return  # the draw broke off before there was anything to judge
        try:
            self.read_some(None, gives_up=self.gives_up)
            type(self).sequences += 1
            type(self).applied += len(self.operations)
            operations = tuple(self.operations)
            verdict = judge(self.backend.history)
            if self.watch is not None and currently_in_test_context():
                for situation in self.watch.reached:
                    event(situation)
        finally:
            self.backend.close()
        if not self.is_untold and verdict and (finding := self.hunt.news(operations, verdict)):
            raise VIOLATION[finding.kind](operations, self.slots, verdict, finding)

    def apply(self, operation: Operation) -> None:
        assert self.backend is not None
        self.operations.append(operation)
        if not self.is_untold:
            try:
                (self.watch or self.backend).apply(operation)
            except Untold:
                self.is_untold = True

    def churn(self, hazard: Hazard, draw: int) -> None:
        # Up to four times one or two changes, and up to three records read: one number, taken apart from its low end.
        draw, rounds = divmod(draw, 4)
        for _ in range(1 + rounds):
            draw, size = divmod(draw, 4)
            draw, more = divmod(draw, 2)
            for _ in range(1 + more):
                draw, pick = divmod(draw, 8)
                if change := self.change(hazard, pick):
                    self.apply(change)
            self.read_some(size)

    def change(self, hazard: Hazard, pick: int) -> Change | None:
        # None: it would need a socket, or a version, and there is none.
        if hazard != "remove" and self.inserted == self.room.insertions and not self.rolls_over:
            return None
        match hazard:
            case "add-head":
                return self.add("head", pick)
            case "add-tail":
                return self.add("tail", pick)
        if not self.present:
            return None
        name = self.present[pick % len(self.present)]
        if hazard == "remove":
            self.present.remove(name)
            return Remove(name)
        self.inserted += 1
        if hazard == "reinsert":
            return Reinsert(name, "tail" if pick < 4 and self.room.has_tail and has_tail(self.tables[name]) else "head")
        bucket = self.buckets[pick // 2 % 2]
        self.tables[name] = bucket.table
        return Rehash(name, bucket)

    def add(self, end: End, pick: int) -> Add:
        name = name_of(self.added)
        self.added += 1
        self.inserted += 1
        self.present.append(name)
        # Mostly one bucket, and more than two only where there are two tables, or sockets move between them.
        several = 2 if len(self.room.tables) > 1 else 3 if "rehash" in self.kinds else 6
        bucket = self.buckets[pick // (6 if self.is_crowded else several)]
        if end == "tail" and not has_tail(bucket.table):
            if self.opened:
                bucket = self.buckets[0]
            else:
                end = "head"  # which is no hazard before open
        self.tables[name] = bucket.table
        return Add(name, end, bucket)

    def read_some(self, size: int | None, at: tuple[At, ...] = (), *, gives_up: bool = False) -> None:
        # The iterator is opened by the first read; a read of nothing opens it, and reads nothing.
        if not self.opened:
            self.apply(Open())
            self.opened = True
        if size != 0:
            self.apply(Read(size, at, gives_up))

    def read_through(self, point: Point, draw: int) -> None:
        draw, nth = divmod(draw, 4)
        draw, size = divmod(draw, 4)
        draw, more = divmod(draw, 4)
        draw, apart = divmod(draw, 2)
        at: list[At] = []
        # Of sockets any is good; of allocations there is mostly one.
        first = 1 + (nth // 2 if point == "show" else nth // 3)
        # Up to four changes, at one point or each at the next: what was captured may all go in one window, and a larger
        # batch turn out too small again.
        for further in range((1, 1, 2, 4)[more]):
            draw, kind = divmod(draw, len(self.kinds))
            draw, pick = divmod(draw, 8)
            if change := self.change(self.kinds[kind], pick):
                at.append(At(point, first + apart * further, change))
        if point == "realloc" and self.refuses and draw % 2:
            at.append(At(point, first, Fail()))  # refused, and changed meanwhile
        self.read_some(1 + size, tuple(at))


_RULES: dict[Hazard, str] = {
    "add-head": "add_head",
    "add-tail": "add_tail",
    "remove": "remove",
    "reinsert": "reinsert",
    "rehash": "rehash",
    "show": "change_while_shown",
    "realloc": "change_while_allocating",
    "enomem": "refuse_allocations",
}


def machine_for(hunt: Hunt, hazards: frozenset[Hazard]) -> type[SocketMachine]:
    """The state machine of one hunt, with the rules of these hazards and no others."""
    kinds = tuple(hazard for hazard in CHANGES if hazard in hazards)
    room = Room.of(hunt.target)
    members: dict[str, Any] = {
        "hunt": hunt,
        "kinds": kinds,
        "refuses": "enomem" in hazards,
        "allocates": not hazards.isdisjoint({"realloc", "enomem"}),
        "rolls_over": "rollover" in hazards,
        "room": room,
        "buckets": room.buckets,
    }
    for hazard, name in _RULES.items():
        if hazard not in hazards or (hazard in ("show", "realloc") and not kinds):
            members[name] = None
    return type("SocketMachine", (SocketMachine,), members)
