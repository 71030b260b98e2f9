"""The operations as a Hypothesis state machine, for schemes and running kernels alike.

Decided here: which rules there are, and what each argument is drawn from. A rule translates its arguments into one operation
and hands that to the backend; of the table it knows the names of the sockets that are in it. Not known here: how a scheme
keeps its place, and what a history is worth.

Tried on a loaded machine, with 12 steps to a run, on the known failures of the schemes, each with just its hazards:

- `open` as a rule that every read waits for, and no socket to begin with: of the first 20, 500 runs showed 11.
  Hypothesis switches rules off for whole runs, its own swarm testing, and nothing can fail unless four of them are on.
- A first read that opens the iterator, two sockets that no rule adds, and half of all reads for one record: 33 of the first
  38. Of the same 38, several operations to a rule, drawn from one number, showed 34 in 850 runs: some five times the
  operations a second, but nothing to read or to shrink. To have two sockets from `@initialize` costs a fifth of a run.
- 10 or 20 steps found about as much in the same time; with 50, shrinking took twice as long.
- A skip that is raised when a read says that the iteration is over: such a run cannot be shrunk to one that ends at
  teardown.
- `target()` on the number of coverage goals: one more line below the falsifying example.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache, partial
from typing import Any, ClassVar, TypeAlias, TypeVar

from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import DrawFn, SearchStrategy

from sockiter.backend import SLOTS, Backend
from sockiter.claims import CHANGES, Hazard
from sockiter.errors import Inconclusive
from sockiter.fuzzing.coverage import CoverageMonitor
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.triage import Triage
from sockiter.operations import (
    FIRST,
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
    changes,
    has_tail,
)
from sockiter.oracle import judge
from sockiter.shrink.edits import name_of
from sockiter.verdict import Finding, Kind, Verdict

T = TypeVar("T")

Written: TypeAlias = int | str
"""A bucket as a case has it: a number, or for a named table its name and a number."""


class Violation(AssertionError):
    """A new finding on a target; carries the triage, the sequence and slots, the whole verdict, and the finding."""

    def __init__(
        self, triage: Triage, operations: tuple[Operation, ...], slots: int, verdict: Verdict, finding: Finding
    ) -> None:
        super().__init__(str(finding))
        self.triage = triage
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


class Sockets:
    """The sockets in a table, each with the name of its table, and how many were ever added and inserted."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.added = self.inserted = 0

    def __copy__(self) -> Sockets:
        clone = Sockets()
        clone.tables, clone.added, clone.inserted = self.tables.copy(), self.added, self.inserted
        return clone

    @property
    def new_name(self) -> str:
        """The name of the next socket that is added."""
        return name_of(self.added)

    def carry_over(self, change: Change) -> None:
        """Take note of a change."""
        match change:
            case Add(name, _, bucket):
                self.tables[name] = bucket.table
                self.added += 1
            case Rehash(name, bucket):
                self.tables[name] = bucket.table
            case Remove(name):
                del self.tables[name]
        self.inserted += type(change) is not Remove


MACHINE: SearchStrategy[SocketMachine] = st.runner()


@lru_cache(maxsize=256)
def _index(count: int) -> SearchStrategy[int]:
    return st.integers(0, count - 1)


def _pick(draw: DrawFn, options: Sequence[T]) -> T:
    return options[draw(_index(len(options)))]


@st.composite
def live(draw: DrawFn, options: Callable[[SocketMachine], Sequence[T]]) -> T:
    """One of the options that a machine has at the moment; the first is the simplest."""
    return _pick(draw, options(draw(MACHINE)))


NEW = MACHINE.map(lambda machine: machine.sockets.new_name)
SOCKET = live(lambda machine: tuple(machine.sockets.tables))
WITH_TAIL = live(lambda machine: machine.with_tail)
WITHOUT_TAIL = live(lambda machine: machine.without_tail)
AN_END = st.sampled_from(["tail", "head"])
ENDS = live(lambda machine: machine.ends)
SLOTS_AT_OPEN = live(lambda machine: sorted(machine.room.slots_drawn, key=lambda slots: slots != SLOTS))
RECORDS = st.sampled_from([1, 1, 1, 2, 3, 4])
NTH_SHOW = st.integers(1, 3)
NTH_ALLOCATION = st.integers(1, 2)
NTH_BUCKET = st.integers(1, 3)
REFUSALS = st.sampled_from([[1], [2], [1, 2]])


@st.composite
def changes_inside(draw: DrawFn) -> list[Change]:
    """One to four changes, each of them possible after those before it."""
    machine = draw(MACHINE)
    pick = partial(_pick, draw)
    sockets = copy(machine.sockets)
    drawn: list[Change] = []
    for _ in range(1 + draw(_index(4))):
        kinds = tuple(kind for kind in machine.kinds if machine.may(kind, sockets))
        if not kinds:
            break
        change = machine.change(pick(kinds), sockets, pick)
        sockets.carry_over(change)
        drawn.append(change)
    return drawn


CHANGES_INSIDE = changes_inside()


class SocketMachine(RuleBasedStateMachine):
    """Sockets come and go while an iterator is read in parts; in the end it is read out, and judged.

    Not to be run as it is: `machine_for` gives it a triage and the rules of certain hazards.
    """

    triage: ClassVar[Triage]
    room: ClassVar[Room]
    hazards: ClassVar[frozenset[Hazard]]
    kinds: ClassVar[tuple[Hazard, ...]]
    buckets: ClassVar[dict[Written, Bucket]]
    # How many sequences were run to their end since this was set to 0, and how many operations that took.
    sequences: ClassVar[int] = 0
    applied: ClassVar[int] = 0
    # Whether Hypothesis gets the coverage goals that a sequence reached, as events; a campaign does not show them.
    measures_coverage: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.sockets: Sockets = Sockets()
        self.is_open = False
        self.slots = SLOTS
        self.backend: Backend | None = None
        self.coverage: CoverageMonitor | None = None
        # The verdict on the iteration, right after a read.
        self.verdict: Verdict = ()
        # What was owed when a read said that the iteration is over. Raised in the end: a run that an invariant ends early
        # cannot be made longer, and so Hypothesis cannot shrink it to one whose last read is that of teardown.
        self.missing: Violation | None = None
        # The sequence was inconclusive on this machine: the rest of it is not carried out, and it is not judged.
        self.is_inconclusive = False
        self.exception = sys.exception()

    @initialize(slots=SLOTS_AT_OPEN)
    def batch(self, slots: int) -> None:
        self.slots = slots
        self.backend = self.triage.session.begin(self.room.shape(slots))
        self.coverage = CoverageMonitor(self.backend) if self.measures_coverage else None
        for operation in self.operations:
            self.carry_out(operation)

    def add(self, name: str, end: End, bucket: Written = 0) -> None:
        self.apply(Add(name, end, self.buckets[bucket]))

    # Rules can be switched off for a whole run, which is Hypothesis's own swarm testing. So that there is something to read
    # all the same, the first two sockets are no rule's; Hypothesis runs this and `batch` in any order.
    first = initialize(name=NEW, end=AN_END)(add)
    second = initialize(name=NEW, end=AN_END)(add)
    add_anywhere = precondition(lambda self: self.may_add)(rule(name=NEW, end=ENDS)(add))
    add_elsewhere = precondition(lambda self: self.may_add)(
        rule(name=NEW, end=ENDS, bucket=live(lambda machine: machine.others))(add)
    )
    add_at_head = precondition(lambda self: self.may_add and "head" in self.ends)(
        rule(name=NEW, end=st.just("head"), bucket=live(lambda machine: machine.tailless))(add)
    )

    @precondition(lambda self: not self.is_open)
    @rule()
    def open(self) -> None:
        self.apply(Open())

    @precondition(lambda self: self.sockets.tables)
    @rule(name=SOCKET)
    def remove(self, name: str) -> None:
        self.apply(Remove(name))

    def reinsert(self, name: str, end: End) -> None:
        self.apply(Reinsert(name, end))

    reinsert_anywhere = precondition(lambda self: self.with_tail and self.may_insert())(
        rule(name=WITH_TAIL, end=AN_END)(reinsert)
    )
    reinsert_at_head = precondition(lambda self: self.without_tail and self.may_insert())(
        rule(name=WITHOUT_TAIL, end=st.just("head"))(reinsert)
    )

    @precondition(lambda self: self.sockets.tables and self.may_insert())
    @rule(name=SOCKET, bucket=live(lambda machine: tuple(machine.buckets)))
    def rehash(self, name: str, bucket: Written) -> None:
        self.apply(Rehash(name, self.buckets[bucket]))

    @rule(records=RECORDS)
    def read(self, records: int) -> None:
        self.apply(Read(records))

    @precondition(lambda self: self.may_change)
    @rule(records=RECORDS, show=NTH_SHOW, changes=CHANGES_INSIDE)
    def change_while_shown(self, records: int, show: int, changes: list[Change]) -> None:
        self.apply(Read(records, _all_at("show", show, changes)))

    @precondition(lambda self: self.may_change)
    @rule(records=RECORDS, allocation=NTH_ALLOCATION, changes=CHANGES_INSIDE)
    def change_while_allocating(self, records: int, allocation: int, changes: list[Change]) -> None:
        self.apply(Read(records, _all_at("realloc", allocation, changes)))

    @precondition(lambda self: self.may_change)
    @rule(records=RECORDS, bucket=NTH_BUCKET, changes=CHANGES_INSIDE)
    def change_between_buckets(self, records: int, bucket: int, changes: list[Change]) -> None:
        self.apply(Read(records, _all_at("bucket", bucket, changes)))

    def refuse_allocation(self, records: int, allocations: list[int], changes: Sequence[Change] = ()) -> None:
        refusals = tuple(At("realloc", nth, Fail()) for nth in allocations)
        self.apply(Read(records, (*_all_at("realloc", allocations[0], changes), *refusals)))

    refuse = rule(records=RECORDS, allocations=REFUSALS)(refuse_allocation)
    refuse_and_change = precondition(lambda self: self.may_change)(
        rule(records=RECORDS, allocations=REFUSALS, changes=CHANGES_INSIDE)(refuse_allocation)
    )

    # Hypothesis prints every invariant that it checks, after every step. One is checked only when it does not hold, so that
    # the falsifying example has the lines of the case, and one more.

    @precondition(lambda self: self.violation("repeat"))
    @invariant()
    def nothing_is_delivered_twice(self) -> None:
        self.check(self.violation("repeat"))

    @precondition(lambda self: self.violation("stale"))
    @invariant()
    def nothing_is_delivered_that_is_not_there(self) -> None:
        self.check(self.violation("stale"))

    @precondition(lambda self: self.violation("refused"))
    @invariant()
    def no_read_returns_an_error(self) -> None:
        self.check(self.violation("refused"))

    def teardown(self) -> None:
        """Read to the end: what was in the table from open to the end has to be delivered by then."""
        if self.backend is None:
            return  # the draw broke off before there was anything to judge
        try:
            if sys.exception() is not self.exception:
                return  # an invariant does not hold, or Hypothesis has broken the run off
            self.apply(Read(None))
            type(self).sequences += 1
            type(self).applied += len(self.operations)
            if self.coverage is not None and currently_in_test_context():
                for goal in self.coverage.reached:
                    event(goal)
        finally:
            self.backend.close()
        for violation in (self.missing, *(self.violation(finding.kind) for finding in self.verdict)):
            self.check(violation)

    def apply(self, operation: Operation) -> None:
        """Carry out one operation, and judge the result of a read; the first read opens the iterator."""
        if type(operation) is Read and not self.is_open:
            self.apply(Open())
        self.is_open = self.is_open or type(operation) is Open
        self.operations.append(operation)
        for change in changes(operation):
            self.sockets.carry_over(change)
        self.carry_out(operation)

    def carry_out(self, operation: Operation) -> None:
        """Have the backend do it, once there is one."""
        if self.backend is None:
            return
        if not self.is_inconclusive:
            try:
                (self.coverage or self.backend).apply(operation)
            except Inconclusive:
                self.is_inconclusive = True
        self.verdict = () if self.is_inconclusive or type(operation) is not Read else judge(self.backend.history)
        self.missing = self.missing or self.violation("skip")

    def violation(self, kind: Kind) -> Violation | None:
        """The first new finding of this kind, as an exception to raise; None: there is none."""
        verdict = tuple(finding for finding in self.verdict if finding.kind == kind)
        finding = self.triage.first_new(tuple(self.operations), verdict) if verdict else None
        if finding is None:
            return None
        return VIOLATION[kind](self.triage, tuple(self.operations), self.slots, self.verdict, finding)

    def check(self, violation: Violation | None) -> None:
        """Raise a violation, if there is one; always from this line, by which Hypothesis tells one failure from another."""
        if violation:
            raise violation

    @property
    def ends(self) -> tuple[End, ...]:
        """The ends at which a socket can be added."""
        if not self.is_open:
            return ("tail", "head")
        return tuple(end for end in ("tail", "head") if f"add-{end}" in self.hazards)

    @property
    def may_add(self) -> bool:
        return bool(self.ends) and self.may_insert()

    @property
    def may_change(self) -> bool:
        return any(self.may(kind, self.sockets) for kind in self.kinds)

    @property
    def with_tail(self) -> tuple[str, ...]:
        """The sockets in tables with a tail to put them in again."""
        return tuple(name for name, table in self.sockets.tables.items() if self.has_tail(table))

    @property
    def without_tail(self) -> tuple[str, ...]:
        """The others."""
        return tuple(name for name, table in self.sockets.tables.items() if not self.has_tail(table))

    @classmethod
    def has_tail(cls, table: str) -> bool:
        return cls.room.has_tail and has_tail(table)

    def may_insert(self, sockets: Sockets | None = None) -> bool:
        """Whether one more insertion rolls over no version, or may do so."""
        most = self.room.insertions
        return most is None or "rollover" in self.hazards or (sockets or self.sockets).inserted < most

    def may(self, kind: Hazard, sockets: Sockets) -> bool:
        """Whether a change of this kind is possible in a table with these sockets."""
        match kind:
            case "remove":
                return bool(sockets.tables)
            case "reinsert" | "rehash":
                return bool(sockets.tables) and self.may_insert(sockets)
        return self.may_insert(sockets)

    def change(self, kind: Hazard, sockets: Sockets, pick: Callable[[Sequence[Any]], Any]) -> Change:
        """A change of one kind that is possible in a table with these sockets; `pick` chooses among its options.

        It draws indices, and no strategy is made for the change: the options differ at every step, and making a strategy
        takes ten times as long as drawing an index.
        """
        buckets = tuple(self.buckets.values())
        names = tuple(sockets.tables)
        match kind:
            case "add-head":
                return Add(sockets.new_name, "head", pick(buckets))
            case "add-tail":
                return Add(sockets.new_name, "tail", pick([bucket for bucket in buckets if has_tail(bucket.table)]))
            case "remove":
                return Remove(pick(names))
            case "reinsert":
                if tailed := [name for name in names if self.has_tail(sockets.tables[name])]:
                    return Reinsert(pick(tailed), pick(("tail", "head")))
                return Reinsert(pick(names), "head")
        return Rehash(pick(names), pick(buckets))

    others: ClassVar[tuple[Written, ...]]
    tailless: ClassVar[tuple[Written, ...]]


def _all_at(point: Point, nth: int, changes: Sequence[Change]) -> tuple[At, ...]:
    return tuple(At(point, nth, change) for change in changes)


# The rules that a machine has only if it has a hazard, and those of them that need a change besides.
_RULES: dict[str, Hazard] = {
    "remove": "remove",
    "reinsert_anywhere": "reinsert",
    "reinsert_at_head": "reinsert",
    "rehash": "rehash",
    "change_while_shown": "show",
    "change_while_allocating": "realloc",
    "change_between_buckets": "between",
    "refuse": "enomem",
    "refuse_and_change": "enomem",
}
_INSIDE = ("change_while_shown", "change_while_allocating", "change_between_buckets", "refuse_and_change")


def machine_for(triage: Triage, hazards: frozenset[Hazard], name: str = "SocketMachine") -> type[SocketMachine]:
    """The state machine of one triage, with the rules of these hazards and no others."""
    room = Room.of(triage.target)
    buckets: dict[Written, Bucket] = {(str(b) if b.table else b.number): b for b in room.buckets}
    kinds = tuple(hazard for hazard in CHANGES if hazard in hazards)
    members: dict[str, Any] = {
        "triage": triage,
        "room": room,
        "hazards": hazards,
        "kinds": kinds,
        "buckets": buckets,
        "others": tuple(written for written, bucket in buckets.items() if bucket != FIRST and has_tail(bucket.table)),
        "tailless": tuple(written for written, bucket in buckets.items() if not has_tail(bucket.table)),
    }
    absent = {rule for rule, hazard in _RULES.items() if hazard not in hazards}
    if not kinds:
        absent |= set(_INSIDE)
    if "realloc" not in hazards:
        absent.add("refuse_and_change")
    if not members["tailless"]:
        absent.add("add_at_head")
    if room.has_tail and all(has_tail(table) for table in room.tables):
        absent.add("reinsert_at_head")
    return type(name, (SocketMachine,), members | dict.fromkeys(absent))
