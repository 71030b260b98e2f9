"""The state machine: which rules it has, that what it does is possible, and what it leaves behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import pytest

from sockiter.backend import Shape, run
from sockiter.claims import HAZARDS, INSERTIONS_MAX, Harm, Hazard, hazards_of
from sockiter.drivers import drive_hypothesis
from sockiter.hunt import Hunt
from sockiter.machine import VIOLATION, Skipped, SocketMachine, Violation, machine_for
from sockiter.operations import Add, Bucket, Change, Open, Operation, Read, Rehash, Reinsert, Remove, changes, check
from sockiter.oracle import judge
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, AnyScheme, Reading
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.swarm import SLOTS_DRAWN, Room
from sockiter.table import Table
from sockiter.verdict import VIOLATIONS, Finding

ALONE: tuple[Hazard, ...] = ("add-head", "add-tail", "remove", "reinsert", "rehash", "enomem")
RULES = {
    "add_head",
    "add_tail",
    "remove",
    "reinsert",
    "rehash",
    "change_while_shown",
    "change_while_allocating",
    "refuse_allocations",
}


class Exact:
    """A scheme without a fault, if a costly one: it remembers everybody it has shown."""

    name = "exact"
    summary = "the names of all that were shown"
    progress = "Seen"
    hazards = ANY_HAZARD
    tables: tuple[str, ...] = ONE_TABLE
    harms: tuple[Harm, ...] = ()

    def open(self, slots: int, table: Table) -> frozenset[str]:
        return frozenset()

    def read(self, state: frozenset[str], table: Table) -> Reading:
        while unseen := [socket for bucket in table.buckets for socket in bucket if socket.name not in state]:
            shown, table = yield unseen[0]
            if not shown:
                return state, None
            state |= {unseen[0].name}
        return state, None

    def place(self, state: frozenset[str]) -> str:
        return " ".join(sorted(state))


class ExactInTwo(Exact):
    """The same of two tables, the second without a tail."""

    tables = ("listening", "established")


class ExactAndNarrow(Exact):
    """The same of a table whose versions can roll over, which it does not look at."""

    hazards = frozenset(HAZARDS)


class Recorded(Simulation):
    """Notes what is done to it, and fails at the first operation of a type if it is told to."""

    def __init__(self, scheme: AnyScheme, shape: Shape, fails_at: type[Operation] | None) -> None:
        super().__init__(scheme, shape)
        self.shape = shape
        self.fails_at = fails_at
        self.done: list[Operation] = []
        self.closed = 0

    def apply(self, operation: Operation) -> None:
        if type(operation) is self.fails_at:
            raise OSError("no more")
        self.done.append(operation)
        super().apply(operation)

    def close(self) -> None:
        self.closed += 1


class Recording(SchemeTarget):
    """A scheme, with all its backends."""

    def __init__(
        self,
        scheme: AnyScheme,
        *,
        harms: Iterable[Harm] | None = None,
        slots: int | None = None,
        fails_at: type[Operation] | None = None,
    ) -> None:
        super().__init__(scheme)
        self.harms = scheme.harms if harms is None else tuple(harms)
        self.slots = slots
        self.fails_at = fails_at
        self.begun: list[Recorded] = []

    def begin(self, shape: Shape) -> Recorded:
        self.begun.append(Recorded(self.scheme, shape, self.fails_at))
        return self.begun[-1]


def machine_on(target: SchemeTarget, hazards: Iterable[Hazard] = ANY_HAZARD) -> type[SocketMachine]:
    return machine_for(Hunt.of(target, target, hazards), frozenset(hazards))


def ran(target: Recording, hazards: Iterable[Hazard], bites: int = 1) -> list[tuple[Operation, ...]]:
    """The sequences of some bites of Hypothesis."""
    hunt = Hunt.of(target, target, hazards)
    hunt.pending.clear()
    for _ in islice(drive_hypothesis(hunt, frozenset(hazards), "7"), bites):
        pass
    return [tuple(backend.done) for backend in target.begun]


def rules(machine: type[SocketMachine]) -> set[str]:
    return {name for name in RULES if getattr(machine, name) is not None}


@pytest.mark.parametrize(
    ("hazards", "expected"),
    [
        (ANY_HAZARD, RULES),
        ({"add-head", "add-tail"}, {"add_head", "add_tail"}),
        ({"remove", "show"}, {"remove", "change_while_shown"}),
        ({"rehash", "realloc"}, {"rehash", "change_while_allocating"}),
        ({"reinsert"}, {"reinsert"}),
        ({"enomem"}, {"refuse_allocations"}),
        ({"show", "realloc"}, set()),
        ((), set()),
    ],
)
def test_the_rules_of_hazards_that_are_switched_off_are_absent(hazards: Iterable[Hazard], expected: set[str]) -> None:
    assert rules(machine_on(Recording(Exact()), hazards)) == expected


@pytest.mark.slow
def test_every_sequence_is_possible_begins_with_sockets_and_is_read_to_its_end() -> None:
    sequences = ran(Recording(Exact()), ANY_HAZARD, bites=4)

    assert len(sequences) >= 400
    for operations in sequences:
        check(operations)
        assert type(operations[0]) is Add
        assert operations[-1] in (Read(None), Read(None, gives_up=True))


@pytest.mark.slow
@pytest.mark.parametrize("hazard", ALONE)
def test_a_hazard_that_is_switched_on_alone_occurs_and_no_other(hazard: Hazard) -> None:
    met = {hazards_of(operations) for operations in ran(Recording(Exact()), {hazard})}

    assert met == {frozenset(), frozenset({hazard})}


@pytest.mark.parametrize("point", ["show", "realloc"])
def test_a_change_inside_a_read_is_one_of_those_that_are_switched_on(point: Hazard) -> None:
    met = {hazards_of(operations) for operations in ran(Recording(Exact()), {point, "remove"})}

    assert met == {frozenset(), frozenset({"remove"}), frozenset({point, "remove"})}


def test_every_hazard_occurs_and_every_number_of_slots() -> None:
    target = Recording(Exact())

    assert frozenset().union(*map(hazards_of, ran(target, ANY_HAZARD, bites=2))) == ANY_HAZARD
    assert {backend.shape.slots for backend in target.begun} == set(SLOTS_DRAWN)


def test_a_target_with_one_number_of_slots_gets_no_other() -> None:
    target = Recording(Exact(), slots=5)
    ran(target, {"remove"})

    assert {backend.shape.slots for backend in target.begun} == {5}


@pytest.mark.slow
def test_a_third_bucket_is_there_to_move_between_and_a_second_for_the_rest() -> None:
    def buckets(hazards: Iterable[Hazard]) -> set[Bucket]:
        sequences = ran(Recording(Exact()), hazards, bites=2)
        return {op.bucket for operations in sequences for op in operations if type(op) is Add}

    assert buckets({"add-tail", "rehash"}) == {Bucket(0), Bucket(1), Bucket(2)}
    assert buckets({"add-tail", "remove"}) == {Bucket(0), Bucket(1)}


def changed(operations: Iterable[Operation]) -> Iterator[Change]:
    return (change for op in operations for change in changes(op))


def before_open(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    return operations[: operations.index(Open())]


class TestTwoTables:
    def test_have_a_backend_that_is_laid_out_for_both(self) -> None:
        target = Recording(ExactInTwo())
        ran(target, ())
        assert machine_on(target).room == Room(("listening", "established"))
        assert {backend.shape.buckets for backend in target.begun} == {(("", 3), ("established", 3))}

    def test_are_never_entered_at_the_tail_where_there_is_none(self) -> None:
        for operations in ran(Recording(ExactInTwo()), ANY_HAZARD, bites=4):
            check(operations)

    @pytest.mark.slow
    def test_are_both_used_by_every_kind_of_change(self) -> None:
        adds: Counter[tuple[str, str]] = Counter()
        moves: Counter[str] = Counter()
        reinserts: Counter[tuple[str, str]] = Counter()
        for operations in ran(Recording(ExactInTwo()), ANY_HAZARD, bites=4):
            # Where each of the sockets is.
            tables: dict[str, str] = {}
            for change in changed(operations):
                match change:
                    case Add(name, end, bucket):
                        adds[bucket.table, end] += 1
                        tables[name] = bucket.table
                    case Rehash(name, bucket):
                        moves[bucket.table] += 1
                        tables[name] = bucket.table
                    case Reinsert(name, end):
                        reinserts[tables[name], end] += 1
        assert min(adds["", "head"], adds["", "tail"], adds["established", "head"]) > 50
        assert min(moves[""], moves["established"]) > 50
        assert min(reinserts["", "head"], reinserts["", "tail"], reinserts["established", "head"]) > 20
        assert adds["established", "tail"] == reinserts["established", "tail"] == 0

    @pytest.mark.parametrize("hazards", [(), {"add-tail"}, {"remove"}, {"enomem"}], ids=str)
    def test_both_have_sockets_at_open_whatever_is_switched_on(self, hazards: Iterable[Hazard]) -> None:
        tables: Counter[str] = Counter()
        for operations in ran(Recording(ExactInTwo()), hazards):
            tables.update({change.bucket.table for change in changed(before_open(operations)) if isinstance(change, Add)})
        assert min(tables[""], tables["established"]) > 20

    def test_get_no_hazard_that_is_switched_off_because_one_of_them_has_no_tail(self) -> None:
        met = {hazards_of(operations) for operations in ran(Recording(ExactInTwo()), {"add-tail"})}
        assert met == {frozenset(), frozenset({"add-tail"})}

    def test_are_one_where_the_target_has_one(self) -> None:
        for operations in ran(Recording(Exact()), ANY_HAZARD):
            buckets = [change.bucket for change in changed(operations) if isinstance(change, (Add, Rehash))]
            assert not any(bucket.table for bucket in buckets)


def insertions(operations: Iterable[Operation]) -> int:
    return sum(not isinstance(change, Remove) for change in changed(operations))


class TestNarrowVersions:
    @pytest.mark.slow
    def test_are_never_rolled_over_where_that_is_switched_off(self) -> None:
        sequences = ran(Recording(ExactAndNarrow()), ANY_HAZARD, bites=4)
        assert max(map(insertions, sequences)) == INSERTIONS_MAX
        assert not any("rollover" in hazards_of(operations, narrow=True) for operations in sequences)

    @pytest.mark.parametrize("hazards", [{"rollover"}, HAZARDS], ids=["alone", "all"])
    def test_are_rolled_over_now_and_then_where_that_is_switched_on(self, hazards: Iterable[Hazard]) -> None:
        sequences = ran(Recording(ExactAndNarrow()), hazards, bites=2)
        rolled_over = sum("rollover" in hazards_of(operations, narrow=True) for operations in sequences)
        assert 0.1 < rolled_over / len(sequences) < 0.9

    def test_do_not_hinder_a_removal_when_they_are_used_up(self) -> None:
        machine = machine_on(Recording(ExactAndNarrow()), {"add-tail", "remove"})()
        machine.begin(draw=0)
        for _ in range(9):
            machine.add_tail(draw=0)
        machine.remove(draw=0)
        done = [op for op in machine.operations if op != Open()]
        assert done == [*(Add(name, "tail") for name in "ABCDEFG"), Remove("A")]

    def test_matter_to_nobody_whose_versions_are_wide(self) -> None:
        assert max(map(insertions, ran(Recording(Exact()), ANY_HAZARD))) > 2 * INSERTIONS_MAX


def test_some_sequences_are_read_until_an_error_and_most_to_the_end() -> None:
    ends = Counter(operations[-1] for operations in ran(Recording(Exact()), ANY_HAZARD, bites=4))

    assert set(ends) == {Read(None), Read(None, gives_up=True)}
    assert 0 < ends[Read(None, gives_up=True)] < 0.3 * ends.total()


def test_only_the_end_of_a_sequence_gives_up() -> None:
    for operations in ran(Recording(Exact()), ANY_HAZARD):
        assert not any(op.gives_up for op in operations[:-1] if isinstance(op, Read))


def test_the_same_seed_makes_the_same_sequences() -> None:
    assert ran(Recording(Exact()), ANY_HAZARD) == ran(Recording(Exact()), ANY_HAZARD)


@pytest.mark.slow
def test_the_claims_of_a_scheme_without_a_fault_hold() -> None:
    target = Recording(Exact())
    hunt = Hunt.of(target, target, ANY_HAZARD)

    assert [bite.found for bite in islice(drive_hypothesis(hunt, ANY_HAZARD, "1"), 4)] == [None] * 4
    assert hunt.followed == set()


def test_every_backend_is_closed_once() -> None:
    target = Recording(Exact())
    ran(target, ANY_HAZARD)

    assert {backend.closed for backend in target.begun} == {1}


# One machine by hand: a draw of 0 is one socket at the tail, one change, or one read of one record.


def begun(target: SchemeTarget) -> SocketMachine:
    machine = machine_on(target)()
    machine.begin(draw=0)
    return machine


def skips(machine: SocketMachine) -> None:
    """One socket was read, and leaves; another, behind it, is not met any more."""
    machine.add_tail(draw=0)
    machine.read(draw=0)
    machine.remove(draw=0)


def test_the_smallest_draws_make_the_plainest_sequence() -> None:
    machine = begun(SchemeTarget(OffsetUdp()))
    skips(machine)

    assert machine.operations == [Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Remove("A")]


def test_a_violation_carries_the_sequence_its_slots_the_verdict_and_the_finding() -> None:
    target = Recording(OffsetUdp(), harms=())
    machine = begun(target)
    skips(machine)

    with pytest.raises(Skipped, match=r"^skip B$") as caught:
        machine.teardown()

    violation = caught.value
    assert violation.operations == tuple(target.begun[0].done) == tuple(machine.operations)
    assert violation.operations[-1] == Read(None)
    assert violation.slots == target.begun[0].shape.slots == machine.slots
    assert violation.finding == Finding("skip", "B")
    assert violation.verdict == (Finding("skip", "B"),)
    assert judge(run(target, target, violation.operations, slots=violation.slots)) == violation.verdict
    assert target.begun[0].closed == 1


def test_what_is_no_news_is_no_violation_but_counts() -> None:
    target = Recording(OffsetUdp(), harms=())
    hunt = Hunt.of(target, target, ())
    machine = machine_for(hunt, ANY_HAZARD)
    machine.sequences = machine.applied = 0
    for expected in (1, 2):
        instance = machine()
        instance.begin(draw=0)
        skips(instance)
        hunt.followed.add(("skip", False, hazards_of(instance.operations)))
        instance.teardown()
        assert machine.sequences == expected
        assert machine.applied == expected * len(instance.operations)
    assert SocketMachine.sequences == 0


def test_there_is_an_exception_for_every_kind_that_can_be_news() -> None:
    assert set(VIOLATION) == {*VIOLATIONS, "refused"}
    assert len(set(VIOLATION.values())) == len(VIOLATION)
    assert all(issubclass(violation, Violation) for violation in VIOLATION.values())


def test_a_machine_that_was_never_begun_has_nothing_to_tear_down() -> None:
    target = Recording(Exact())
    machine_on(target)().teardown()

    assert target.begun == []


@pytest.mark.parametrize(
    ("fails_at", "step"),
    [
        (Add, lambda machine: machine.begin(draw=0)),
        (Open, lambda machine: machine.read(draw=0)),
        (Read, lambda machine: machine.read(draw=0)),
    ],
)
def test_the_backend_is_closed_when_something_breaks(
    fails_at: type[Operation], step: Callable[[SocketMachine], None]
) -> None:
    target = Recording(Exact(), fails_at=fails_at)
    machine = machine_on(target)()
    if fails_at is not Add:
        machine.begin(draw=0)
    with pytest.raises(OSError, match="no more"):
        step(machine)
    if fails_at is Add:
        machine.teardown()
    else:
        with pytest.raises(OSError, match="no more"):
            machine.teardown()

    assert [backend.closed for backend in target.begun] == [1]


def test_what_breaks_while_the_iterator_is_read_out_is_raised_and_nothing_counted() -> None:
    machine_class = machine_on(Recording(Exact(), fails_at=Read))
    machine = machine_class()
    machine.begin(draw=0)
    with pytest.raises(OSError, match="no more"):
        machine.teardown()

    assert machine_class.sequences == 0


def test_a_change_that_needs_a_socket_is_left_out_where_there_is_none() -> None:
    machine = machine_on(SchemeTarget(Exact()), {"remove", "show", "reinsert", "rehash"})()
    machine.begin(draw=0)
    machine.remove(draw=0)
    for rule in (machine.remove, machine.reinsert, machine.rehash, machine.change_while_shown):
        rule(draw=0)

    assert machine.operations == [Add("A", "tail"), Remove("A"), Open(), Read(1)]


def test_a_machine_does_not_run_out_of_names() -> None:
    machine = begun(SchemeTarget(Exact()))
    for draw in range(100):
        machine.add_tail(draw=draw)
    machine.teardown()

    check(tuple(machine.operations))
    assert sum(type(op) is Add for op in machine.operations) > 300
