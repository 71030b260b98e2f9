"""The operations as a Hypothesis state machine, for schemes and running kernels alike.

A rule draws its arguments, translates them into one operation, and passes the operation to the backend. Of the table, a
rule knows only the names of the present sockets.

Alternatives, measured on a loaded machine with 12 steps per run, on the schemes' known failures, each with only its hazards:

- `open` as a rule that every read requires, and no initial sockets: of the first 20 failures, 500 runs showed 11.
  Hypothesis switches off rules for whole runs, as its own swarm testing, and no failure is possible unless four of them
  are on.
- A first read that opens the iterator, two initial sockets without a rule, and half of all reads for one record: 33 of the
  first 38. Of the same 38, several operations per rule, drawn from one number, showed 34 in 850 runs: about five times the
  operations per second, but unreadable and unshrinkable. Two sockets from `@initialize` cost a fifth of a run.
- 10 or 20 steps found about as much in the same time; with 50, shrinking took twice as long.
- A skip raised at the read that returns the end: Hypothesis cannot shrink such a run to one that ends at teardown.
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
from sockiter.fuzzing.sockets import Sockets
from sockiter.fuzzing.triage import Triage
from sockiter.fuzzing.violations import VIOLATION, Violation
from sockiter.operations import (
    FIRST,
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Fail,
    Open,
    Operation,
    Point,
    Property,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    has_tail,
)
from sockiter.oracle import judge
from sockiter.readers import Feature
from sockiter.verdict import Kind, Verdict

T = TypeVar("T")

Written: TypeAlias = int | str
"""A bucket as written in a case: a number, or for a named table its name and a number."""


MACHINE: SearchStrategy[SocketMachine] = st.runner()


@lru_cache(maxsize=256)
def _index(count: int) -> SearchStrategy[int]:
    return st.integers(0, count - 1)


def _pick(draw: DrawFn, options: Sequence[T]) -> T:
    return options[draw(_index(len(options)))]


@st.composite
def live(draw: DrawFn, options: Callable[[SocketMachine], Sequence[T]]) -> T:
    """One of the options that a machine has at present; the first option is the simplest."""
    return _pick(draw, options(draw(MACHINE)))


@st.composite
def new_name(draw: DrawFn) -> str:
    """A name for a new socket; a choice only where the order of names counts."""
    names = draw(MACHINE).sockets.new_names
    return _pick(draw, names) if len(names) > 1 else names[0]


NEW = new_name()
SOCKET = live(lambda machine: tuple(machine.sockets.tables))
MOVABLE = live(lambda machine: machine.sockets.able("rehash"))
CONNECTION = live(lambda machine: machine.sockets.able("close"))
REQUEST = live(lambda machine: machine.sockets.able("accept"))
PROPERTIES = live(lambda machine: machine.properties)
WITH_TAIL = live(lambda machine: machine.sockets.with_tail)
WITHOUT_TAIL = live(lambda machine: machine.sockets.without_tail)
AN_END = st.sampled_from(["tail", "head"])
ENDS = live(lambda machine: machine.ends)
SLOTS_AT_OPEN = live(lambda machine: sorted(machine.room.slots_drawn, key=lambda slots: slots != SLOTS))
RECORDS = st.sampled_from([1, 1, 1, 2, 3, 4])
# Whole records of models first, then parts of them, and parts of the lines of files in /proc.
BYTES = st.sampled_from([16, 32, 8, 24, 1, 40, 100, 200])
NTH_SHOW = st.integers(1, 3)
NTH_ALLOCATION = st.integers(1, 2)
NTH_BUCKET = st.integers(1, 3)
REFUSALS = st.sampled_from([[1], [2], [1, 2]])


@st.composite
def changes_inside(draw: DrawFn) -> list[Change]:
    """One to four changes, each of them possible after the earlier ones."""
    machine = draw(MACHINE)
    pick = partial(_pick, draw)
    sockets = copy(machine.sockets)
    drawn: list[Change] = []
    for _ in range(1 + draw(_index(4))):
        kinds = tuple(kind for kind in machine.kinds if sockets.may(kind))
        if not kinds:
            break
        change = sockets.change(pick(kinds), pick)
        sockets.carry_over(change)
        drawn.append(change)
    return drawn


CHANGES_INSIDE = changes_inside()


class SocketMachine(RuleBasedStateMachine):
    """Changes a table while an iterator reads it in parts; at the end, the iterator is read out and judged.

    This class is abstract: `machine_for` adds a triage and the rules of certain hazards.
    """

    triage: ClassVar[Triage]
    room: ClassVar[Room]
    hazards: ClassVar[frozenset[Hazard]]
    properties: ClassVar[tuple[tuple[Property, ...], ...]]
    kinds: ClassVar[tuple[Hazard, ...]]
    buckets: ClassVar[dict[Written, Bucket]]
    # The numbers of finished sequences and of their operations since these were last set to 0.
    sequences: ClassVar[int] = 0
    applied: ClassVar[int] = 0
    # Whether Hypothesis gets the reached coverage goals of a sequence as events. A campaign does not show events.
    measures_coverage: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.sockets: Sockets = Sockets(self.room, rolls_over="rollover" in self.hazards)
        self.is_open = False
        self.slots = SLOTS
        self.backend: Backend | None = None
        self.coverage: CoverageMonitor | None = None
        # The verdict on the iteration, after the most recent read.
        self.verdict: Verdict = ()
        # A skip, found at the read that returned the end. It is raised at teardown: a run that an invariant ends early
        # cannot be extended, so Hypothesis could not shrink it to a run that ends with the read of teardown.
        self.missing: Violation | None = None
        # The sequence is inconclusive on this machine: its other operations are not carried out, and it is not judged.
        self.is_inconclusive = False
        self.exception = sys.exception()

    @initialize(slots=SLOTS_AT_OPEN)
    def batch(self, slots: int) -> None:
        self.slots = slots
        self.backend = self.triage.session.begin(self.room.shape(slots))
        self.coverage = CoverageMonitor(self.backend) if self.measures_coverage else None
        for operation in self.operations:
            self.carry_out(operation)

    def add(self, name: str, end: End, bucket: Written = 0, properties: tuple[Property, ...] = ()) -> None:
        self.apply(Add(name, end, self.buckets[bucket], properties))

    # Hypothesis can switch off rules for a whole run, as its own swarm testing. The first two sockets need no rule, so that
    # every run has sockets to read. Hypothesis runs this and `batch` in any order.
    first = initialize(name=NEW, end=AN_END)(add)
    second = initialize(name=NEW, end=AN_END)(add)
    add_anywhere = precondition(lambda self: self.may_add)(rule(name=NEW, end=ENDS)(add))
    add_elsewhere = precondition(lambda self: self.may_add)(
        rule(name=NEW, end=ENDS, bucket=live(lambda machine: machine.others))(add)
    )
    add_at_head = precondition(lambda self: self.may_add and "head" in self.ends)(
        rule(name=NEW, end=st.just("head"), bucket=live(lambda machine: machine.tailless))(add)
    )

    add_request = precondition(lambda self: self.may_add and "head" in self.ends)(
        rule(
            name=NEW,
            end=st.just("head"),
            bucket=live(lambda machine: machine.connecting),
            properties=st.just(("request",)),
        )(add)
    )
    add_with_property = precondition(lambda self: self.may_add)(rule(name=NEW, end=ENDS, properties=PROPERTIES)(add))

    @precondition(lambda self: not self.is_open and self.sockets.may_insert)
    @rule(more=st.integers(0, 3))
    def fill(self, more: int) -> None:
        # As many sockets as a message of a dump has records, or some more; in all buckets where one has little room.
        buckets = tuple(self.buckets) if self.room.holds is not None else (0,)
        while (number := len(self.sockets.tables)) < self.slots + more:
            self.add(self.sockets.new_names[0], "tail", buckets[number % len(buckets)])

    @precondition(lambda self: not self.is_open)
    @rule()
    def open(self) -> None:
        self.apply(Open())

    @precondition(lambda self: self.sockets.tables)
    @rule(name=SOCKET)
    def remove(self, name: str) -> None:
        self.apply(Remove(name))

    @precondition(lambda self: self.sockets.tables)
    @rule(name=SOCKET)
    def destroy(self, name: str) -> None:
        self.apply(Destroy(name))

    @precondition(lambda self: self.sockets.may("close"))
    @rule(name=CONNECTION)
    def close(self, name: str) -> None:
        self.apply(Close(name))

    @precondition(lambda self: self.sockets.may("accept"))
    @rule(name=REQUEST)
    def accept(self, name: str) -> None:
        self.apply(Accept(name))

    def reinsert(self, name: str, end: End) -> None:
        self.apply(Reinsert(name, end))

    reinsert_anywhere = precondition(lambda self: self.sockets.with_tail and self.sockets.may_insert)(
        rule(name=WITH_TAIL, end=AN_END)(reinsert)
    )
    reinsert_at_head = precondition(lambda self: self.sockets.without_tail and self.sockets.may_insert)(
        rule(name=WITHOUT_TAIL, end=st.just("head"))(reinsert)
    )

    @precondition(lambda self: self.sockets.may("rehash"))
    @rule(name=MOVABLE, bucket=live(lambda machine: tuple(machine.buckets)))
    def rehash(self, name: str, bucket: Written) -> None:
        self.apply(Rehash(name, self.buckets[bucket]))

    @rule(records=RECORDS)
    def read(self, records: int) -> None:
        self.apply(Read(records))

    @rule(records=RECORDS)
    def read_destroying(self, records: int) -> None:
        self.apply(Read(records, destroying=True))

    @rule(size=BYTES)
    def read_bytes(self, size: int) -> None:
        self.apply(Read(size, unit="bytes"))

    @rule()
    def walk(self) -> None:
        self.apply(Read(None, silent=True))

    @rule()
    def walk_destroying(self) -> None:
        self.apply(Read(None, silent=True, destroying=True))

    @precondition(lambda self: self.is_open)
    @rule()
    def again(self) -> None:
        self.apply(Again())

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

    # Hypothesis prints every checked invariant after every step. An invariant is only checked when it is violated, so that
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
        """Read to the end: every socket that was in the table from open to the end must be delivered by then."""
        if self.backend is None:
            return  # the draw ended before a first operation
        try:
            if sys.exception() is not self.exception:
                return  # an invariant was violated, or Hypothesis has ended the run
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
        """Let the backend carry out the operation, once there is a backend."""
        if self.backend is None:
            return
        if not self.is_inconclusive:
            try:
                (self.coverage or self.backend).apply(operation)
            except Inconclusive:
                self.is_inconclusive = True
        self.verdict = () if self.is_inconclusive or type(operation) is not Read else judge(self.backend.history)
        # A second pass may deliver the socket.
        self.missing = None if type(operation) is Again else self.missing or self.violation("skip")

    def violation(self, kind: Kind) -> Violation | None:
        """The first new finding of this kind, as an exception to raise; None: there is no such finding."""
        verdict = tuple(finding for finding in self.verdict if finding.kind == kind)
        finding = self.triage.first_new(tuple(self.operations), verdict) if verdict else None
        if finding is None:
            return None
        return VIOLATION[kind](self.triage, tuple(self.operations), self.slots, self.verdict, finding)

    def check(self, violation: Violation | None) -> None:
        """Raise a violation, if there is one; always in this line, since Hypothesis distinguishes failures by their line."""
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
        return bool(self.ends) and self.sockets.may_insert

    @property
    def may_change(self) -> bool:
        return any(self.sockets.may(kind) for kind in self.kinds)

    others: ClassVar[tuple[Written, ...]]
    tailless: ClassVar[tuple[Written, ...]]
    connecting: ClassVar[tuple[Written, ...]]


def _all_at(point: Point, nth: int, changes: Sequence[Change]) -> tuple[At, ...]:
    return tuple(At(point, nth, change) for change in changes)


# The rules that depend on a hazard, and the rules among them that also need a hazard of a change.
_RULES: dict[str, Hazard] = {
    "remove": "remove",
    "reinsert_anywhere": "reinsert",
    "reinsert_at_head": "reinsert",
    "rehash": "rehash",
    "destroy": "destroy",
    "close": "close",
    "accept": "accept",
    "add_request": "accept",
    "read_destroying": "destroying",
    "walk_destroying": "destroying",
    "change_while_shown": "show",
    "change_while_allocating": "realloc",
    "change_between_buckets": "between",
    "refuse": "enomem",
    "refuse_and_change": "enomem",
}
# The rules that depend on a feature.
_FEATURES: dict[str, Feature] = {"read_bytes": "bytes", "walk": "silent", "walk_destroying": "silent", "again": "again"}
_INSIDE = ("change_while_shown", "change_while_allocating", "change_between_buckets", "refuse_and_change")


def machine_for(
    triage: Triage,
    hazards: frozenset[Hazard],
    name: str = "SocketMachine",
    *,
    features: frozenset[Feature] = frozenset(),
) -> type[SocketMachine]:
    """The state machine of one triage, with the rules of exactly these hazards and of those features that the target has.

    Request sockets need no feature here: they come with the hazard "accept".
    """
    room = Room.of(triage.target)
    hazards = room.drawable(hazards)
    features = features & room.features
    properties: list[tuple[Property, ...]] = [("unwanted",)] if "unwanted" in features else []
    if "bound" in features and hazards & {"destroy", "destroying"}:
        properties.append(("bound",))
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
        "connecting": tuple(written for written, bucket in buckets.items() if room.connects(bucket.table)),
        "properties": tuple(properties),
    }
    absent = {rule for rule, hazard in _RULES.items() if hazard not in hazards}
    absent |= {rule for rule, feature in _FEATURES.items() if feature not in features}
    if not properties:
        absent.add("add_with_property")
    if not room.message:
        absent.add("fill")
    if not kinds:
        absent |= set(_INSIDE)
    if "realloc" not in hazards:
        absent.add("refuse_and_change")
    if not members["others"]:
        absent.add("add_elsewhere")
    if not members["tailless"]:
        absent.add("add_at_head")
    if all(map(room.reinserts_at_tail, room.tables)):
        absent.add("reinsert_at_head")
    return type(name, (SocketMachine,), members | dict.fromkeys(absent))
