"""The state machine: its rules and their preconditions, broken invariants, and the output of Hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from sockiter.backend import Shape, refusal, run, shape_of
from sockiter.claims import HAZARDS, INSERTIONS_MAX, Hazard, KnownFailure, hazards_of
from sockiter.errors import Inconclusive
from sockiter.fuzzing import machine as module
from sockiter.fuzzing.coverage import GOALS
from sockiter.fuzzing.drivers import HYPOTHESIS_STEPS, drive_hypothesis
from sockiter.fuzzing.limits import SLOTS_DRAWN, Room
from sockiter.fuzzing.machine import SocketMachine, machine_for
from sockiter.fuzzing.triage import Triage
from sockiter.fuzzing.violations import Refused, Repeated, Skipped, Stale, Violation
from sockiter.operations import (
    Add,
    Again,
    At,
    Bucket,
    Change,
    Fail,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    check,
)
from sockiter.oracle import judge
from sockiter.readers import FEATURES, Feature, features_of
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, AnyScheme
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.table import Table
from sockiter.verdict import Finding, Signature
from tests.support.generator_schemes import Generated, Reading
from tests.support.table_uses import table_uses

ALONE: tuple[Hazard, ...] = ("add-head", "add-tail", "remove", "reinsert", "rehash", "enomem")
RULES = {
    "remove",
    "reinsert_anywhere",
    "reinsert_at_head",
    "rehash",
    "change_while_shown",
    "change_while_allocating",
    "change_between_buckets",
    "refuse",
    "refuse_and_change",
    "destroy",
    "close",
    "accept",
    "add_request",
    "add_with_property",
    "read_destroying",
    "read_bytes",
    "walk",
    "walk_destroying",
    "again",
}
OF_FEATURES = {"add_with_property", "read_bytes", "walk", "walk_destroying", "again"}
OF_CONNECTIONS = {"close", "accept", "add_request"}


class Exact(Generated):
    """A scheme without a fault, if a costly one: it remembers everybody it has shown."""

    name = "exact"
    summary = "the names of all that were shown"
    progress = "Seen"
    hazards = ANY_HAZARD
    tables: tuple[str, ...] = ONE_TABLE
    known_failures: tuple[KnownFailure, ...] = ()

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
    """Records its operations, and on request fails at the first operation of a type."""

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
        known_failures: Iterable[KnownFailure] | None = None,
        slots: int | None = None,
        fails_at: type[Operation] | None = None,
    ) -> None:
        super().__init__(scheme)
        self.known_failures = scheme.known_failures if known_failures is None else tuple(known_failures)
        self.slots = slots
        self.fails_at = fails_at
        self.begun: list[Recorded] = []

    def begin(self, shape: Shape) -> Recorded:
        self.begun.append(Recorded(self.scheme, shape, self.fails_at))
        return self.begun[-1]


def machine_on(target: SchemeTarget, hazards: Iterable[Hazard] = ANY_HAZARD) -> type[SocketMachine]:
    return machine_for(Triage.of(target, target, hazards), frozenset(hazards))


def ran(target: Recording, hazards: Iterable[Hazard], bites: int = 1) -> list[tuple[Operation, ...]]:
    """The sequences of some bites of Hypothesis."""
    triage = Triage.of(target, target, hazards)
    triage.pending.clear()
    for _ in islice(drive_hypothesis(triage, frozenset(hazards), "7"), bites):
        pass
    return [tuple(backend.done) for backend in target.begun]


def rules(machine: type[SocketMachine], names: Iterable[str] = RULES) -> set[str]:
    return {name for name in names if getattr(machine, name) is not None}


@pytest.mark.parametrize(
    ("hazards", "expected"),
    [
        (ANY_HAZARD, RULES - {"reinsert_at_head"} - OF_FEATURES - OF_CONNECTIONS),
        ({"close"}, {"close"}),
        ({"accept"}, {"accept", "add_request"}),
        ({"destroy"}, {"destroy"}),
        ({"destroying"}, {"read_destroying"}),
        ({"add-head", "add-tail"}, set()),
        ({"remove", "show"}, {"remove", "change_while_shown"}),
        ({"rehash", "realloc"}, {"rehash", "change_while_allocating"}),
        ({"remove", "between"}, {"remove", "change_between_buckets"}),
        ({"remove", "enomem"}, {"remove", "refuse"}),
        ({"remove", "realloc", "enomem"}, {"remove", "change_while_allocating", "refuse", "refuse_and_change"}),
        ({"show", "realloc", "between"}, set()),
        ((), set()),
    ],
)
def test_a_machine_has_the_rules_of_its_hazards_and_no_others(hazards: Iterable[Hazard], expected: set[str]) -> None:
    assert rules(machine_on(Recording(Exact()), hazards)) == expected


@pytest.mark.parametrize(
    ("features", "hazards", "expected"),
    [
        ({"bytes"}, (), {"read_bytes"}),
        ({"silent"}, (), {"walk"}),
        ({"silent"}, {"destroying"}, {"walk", "read_destroying", "walk_destroying"}),
        ({"again"}, (), {"again"}),
        ({"unwanted"}, (), {"add_with_property"}),
        ({"bound"}, (), set()),
        ({"bound"}, {"destroy"}, {"destroy", "add_with_property"}),
    ],
    ids=lambda names: "-".join(sorted(names)) or "none",
)
def test_a_machine_has_the_rules_of_its_features_and_no_others(
    features: set[Feature], hazards: Iterable[Hazard], expected: set[str]
) -> None:
    target = Recording(Exact())
    triage = Triage.of(target, target, hazards)
    assert rules(machine_for(triage, frozenset(hazards), features=frozenset(features))) == expected

    target.features = frozenset()
    assert not rules(machine_for(triage, frozenset(hazards), features=frozenset(features))) & OF_FEATURES


def test_a_target_without_request_sockets_or_connections_has_no_rules_for_them() -> None:
    target = Recording(Exact())
    target.features = frozenset()
    assert rules(machine_on(target, {"close", "accept"})) == {"close"}

    listening = Recording(Exact())
    listening.tables = ("listening",)
    assert rules(machine_on(listening, {"close", "accept"})) == set()


def test_a_table_without_a_tail_has_rules_of_its_own() -> None:
    machine = machine_on(Recording(ExactInTwo()), ANY_HAZARD)

    assert machine.reinsert_at_head is not None
    assert machine.add_at_head is not None
    assert machine_on(Recording(Exact())).add_at_head is None


def test_one_list_has_no_other_bucket_and_a_message_can_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Recording(Exact())
    target.buckets_max = 1
    assert rules(machine_on(target), ("add_elsewhere", "fill")) == set()

    with_messages = replace(Room.of(target), message=20)
    monkeypatch.setattr(Room, "of", lambda _: with_messages)
    assert rules(machine_on(target), ("add_elsewhere", "fill")) == {"fill"}


class ExactWithoutATail(Exact):
    """The same of one table, whose buckets have no tail."""

    tables = ("established",)


def with_all(target: SchemeTarget, hazards: Iterable[Hazard] = HAZARDS) -> SocketMachine:
    """A machine of all features."""
    on = frozenset(hazards)
    machine = machine_for(Triage.of(target, target, on), on, features=target.features)()
    machine.batch(slots=16)
    return machine


def test_a_change_is_offered_only_to_sockets_that_can_change_in_this_way() -> None:
    machine = with_all(SchemeTarget(Exact()))
    machine.add("A", "tail")
    machine.add("B", "tail", properties=("request",))
    machine.add("C", "tail", properties=("bound",))
    able = machine.sockets.able

    assert (able("close"), able("accept"), able("reinsert"), able("rehash")) == (("A", "C"), ("B",), ("A",), ("A", "C"))
    machine.accept("B")
    machine.close("A")
    assert (able("close"), able("accept"), able("reinsert"), able("rehash")) == (("B", "C"), (), ("B",), ("B", "C"))
    machine.destroy("A")
    machine.destroy("C")
    assert tuple(machine.sockets.tables) == ("B", "C")
    machine.remove("C")
    machine.remove("B")
    kinds: tuple[Hazard, ...] = ("close", "accept", "destroy", "reinsert", "rehash")
    assert not any(machine.sockets.may(kind) for kind in kinds)
    check([*machine.operations, Open()])


def test_listening_sockets_are_neither_closed_nor_requests() -> None:
    machine = with_all(SchemeTarget(ExactInTwo()))
    machine.add("A", "tail")
    machine.add("B", "head", "established:0")

    assert machine.sockets.able("close") == ("B",)
    assert "0" not in machine.connecting


def test_a_bound_socket_moves_in_narrow_versions_only_if_it_may_return() -> None:
    target = SchemeTarget(Exact())
    target.hazards = target.hazards | {"rollover"}
    machine = with_all(target, frozenset(HAZARDS) - {"rollover"})
    machine.add("A", "tail", properties=("bound",))
    for number in range(INSERTIONS_MAX - 2):
        machine.add(f"B{number}", "tail")
    assert "A" not in machine.sockets.able("rehash")
    assert machine.sockets.may("rehash")


def test_a_second_pass_may_deliver_what_the_first_skipped() -> None:
    machine = with_all(SchemeTarget(OffsetUdp()))
    skips(machine)
    machine.apply(Read(None))
    missing = [machine.missing]
    machine.again()
    missing.append(machine.missing)
    machine.teardown()  # raises nothing: the second pass delivered the socket

    assert [type(violation) for violation in missing] == [Skipped, type(None)]


def test_the_reads_of_a_machine_are_those_of_a_case() -> None:
    machine = with_all(SchemeTarget(Exact()))
    machine.read_bytes(24)
    machine.walk()
    machine.again()
    machine.read_destroying(1)
    machine.walk_destroying()

    assert machine.operations == [
        Open(),
        Read(24, unit="bytes"),
        Read(None, silent=True),
        Again(),
        Read(1, destroying=True),
        Read(None, silent=True, destroying=True),
    ]


@pytest.mark.parametrize("scheme", [Exact, ExactInTwo, ExactWithoutATail])
def test_every_sequence_with_features_is_possible_on_its_target(scheme: type[Exact]) -> None:
    target = Recording(scheme())
    target.has_tail = scheme is not ExactWithoutATail
    triage = Triage.of(target, target, target.hazards)
    machine = machine_for(triage, target.hazards, features=target.features)
    profile = settings(max_examples=60, stateful_step_count=HYPOTHESIS_STEPS, database=None, phases=[Phase.generate])
    run_state_machine_as_test(seed(1)(machine), settings=profile)

    used: set[Feature] = set()
    for backend in target.begun:
        operations = tuple(backend.done)
        if Open() in operations:
            check(operations)
            assert refusal(target, operations, shape_of(operations)) is None
            used |= features_of(operations)
    assert used >= set(FEATURES) - {"bound", "request"}


@pytest.mark.parametrize("scheme", [Exact, ExactInTwo, ExactWithoutATail])
def test_every_sequence_is_possible_and_is_read_to_its_end(scheme: type[Exact]) -> None:
    target = Recording(scheme())
    target.has_tail = scheme is not ExactWithoutATail
    sequences = ran(target, ANY_HAZARD)

    ended = [operations for operations in sequences if operations and operations[-1] == Read(None)]
    # Hypothesis breaks some off, and knows others beforehand.
    assert len(ended) >= 75
    for operations in ended:
        check(operations)


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("hazard", ALONE)
def test_a_hazard_that_is_switched_on_alone_occurs_and_no_other(hazard: Hazard) -> None:
    met = {hazards_of(operations) for operations in ran(Recording(Exact()), {hazard})}

    assert met == {frozenset(), frozenset({hazard})}


@pytest.mark.parametrize(
    "point", ["show", *(pytest.param(point, marks=[pytest.mark.slow, pytest.mark.deep]) for point in ("between", "realloc"))]
)
def test_a_change_inside_a_read_is_one_of_those_that_are_switched_on(point: Hazard) -> None:
    met = {hazards_of(operations) for operations in ran(Recording(Exact()), {point, "remove"})}

    assert met == {frozenset(), frozenset({"remove"}), frozenset({point, "remove"})}


@pytest.mark.slow
@pytest.mark.deep
def test_every_hazard_occurs_and_every_number_of_slots() -> None:
    target = Recording(Exact())

    assert frozenset().union(*map(hazards_of, ran(target, ANY_HAZARD, bites=2))) == ANY_HAZARD
    assert {backend.shape.slots for backend in target.begun} == set(SLOTS_DRAWN)


def test_a_target_with_one_number_of_slots_gets_no_other() -> None:
    target = Recording(Exact(), slots=5)
    ran(target, {"remove"})

    assert {backend.shape.slots for backend in target.begun} == {5}


def changed(operations: Iterable[Operation]) -> Iterator[Change]:
    return (change for op in operations for change in changes(op))


@pytest.mark.slow
@pytest.mark.deep
def test_both_of_two_tables_are_used_by_every_kind_of_change() -> None:
    uses = table_uses(map(changed, ran(Recording(ExactInTwo()), ANY_HAZARD, bites=4)))
    adds, moves, reinserts = uses.adds, uses.moves, uses.reinserts
    assert min(adds["", "head"], adds["", "tail"], adds["established", "head"]) > 50
    assert min(moves[""], moves["established"]) > 50
    assert min(reinserts["", "head"], reinserts["", "tail"], reinserts["established", "head"]) > 20
    assert adds["established", "tail"] == reinserts["established", "tail"] == 0


def insertions(operations: Iterable[Operation]) -> int:
    return sum(not isinstance(change, Remove) for change in changed(operations))


class TestNarrowVersions:
    @pytest.mark.slow
    def test_are_never_rolled_over_where_that_is_switched_off(self) -> None:
        sequences = ran(Recording(ExactAndNarrow()), ANY_HAZARD, bites=4)
        assert max(map(insertions, sequences)) == INSERTIONS_MAX
        assert not any("rollover" in hazards_of(operations, narrow=True) for operations in sequences)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "hazards", [{"rollover", "add-tail"}, pytest.param(HAZARDS, marks=pytest.mark.deep)], ids=["with adds", "all"]
    )
    def test_are_rolled_over_now_and_then_where_that_is_switched_on(self, hazards: Iterable[Hazard]) -> None:
        sequences = ran(Recording(ExactAndNarrow()), hazards, bites=4)
        assert any("rollover" in hazards_of(operations, narrow=True) for operations in sequences)

    def test_do_not_hinder_a_removal_when_they_are_used_up(self) -> None:
        machine = begun(Recording(ExactAndNarrow()), {"add-tail", "reinsert", "rehash", "remove", "show"})
        for name in "ABCDEFG":
            assert machine.sockets.may_insert
            machine.add(name, "tail")
        assert not machine.sockets.may_insert
        assert enabled(machine) == {"open", "read", "remove", "change_while_shown"}
        kinds = [kind for kind in machine.kinds if machine.sockets.may(kind)]
        assert kinds == ["remove"]

    def test_are_not_counted_where_versions_are_wide(self) -> None:
        machine = begun(Recording(Exact()))
        for number in range(3 * INSERTIONS_MAX):
            machine.add(f"S{number}", "tail")
        assert machine.sockets.may_insert


@pytest.mark.slow
def test_the_same_seed_makes_the_same_sequences() -> None:
    assert ran(Recording(Exact()), {"remove"}) == ran(Recording(Exact()), {"remove"})


@pytest.mark.slow
@pytest.mark.deep
def test_the_claims_of_a_scheme_without_a_fault_hold() -> None:
    target = Recording(Exact())
    triage = Triage.of(target, target, ANY_HAZARD)

    assert [bite.found for bite in islice(drive_hypothesis(triage, ANY_HAZARD, "1"), 4)] == [None] * 4
    assert triage.investigated == set()


def test_every_backend_is_closed_once() -> None:
    target = Recording(Exact())
    ran(target, ANY_HAZARD)

    assert {backend.closed for backend in target.begun} == {1}


# One machine by hand.


def begun(target: SchemeTarget, hazards: Iterable[Hazard] = ANY_HAZARD) -> SocketMachine:
    machine = machine_on(target, hazards)()
    machine.batch(slots=16)
    return machine


def enabled(machine: SocketMachine) -> set[str]:
    """The rules that can be run, by the names that Hypothesis prints."""
    return {one.function.__name__ for one in machine.rules if all(holds(machine) for holds in one.preconditions)}


def skips(machine: SocketMachine) -> None:
    """One socket was read, and leaves; another, behind it, is not met any more."""
    machine.add("A", "tail")
    machine.add("B", "tail")
    machine.read(1)
    machine.remove("A")


def repeats(machine: SocketMachine) -> None:
    """One socket was read, and is read again behind one that came to the head."""
    machine.add("A", "tail")
    machine.add("B", "tail")
    machine.read(1)
    machine.add("C", "head")
    machine.read(1)


def check_invariants(machine: SocketMachine) -> None:
    """As Hypothesis does after every rule."""
    for one in machine.invariants:
        if all(holds(machine) for holds in one.preconditions):
            one.function(machine)


def test_rules_are_enabled_by_the_content_of_the_table() -> None:
    machine = begun(SchemeTarget(OffsetUdp()), {"remove", "reinsert", "rehash", "enomem"})
    assert enabled(machine) == {"add", "open", "read", "refuse_allocation"}
    machine.add("A", "tail")
    assert enabled(machine) == {"add", "open", "read", "refuse_allocation", "remove", "reinsert", "rehash"}
    machine.open()
    # To add is a hazard from now on.
    assert enabled(machine) == {"read", "refuse_allocation", "remove", "reinsert", "rehash"}
    machine.remove("A")
    assert enabled(machine) == {"read", "refuse_allocation"}


@pytest.mark.parametrize(
    ("hazards", "ends"),
    [((), ()), ({"add-head"}, ("head",)), ({"add-tail"}, ("tail",)), ({"add-head", "add-tail"}, ("tail", "head"))],
)
def test_a_socket_is_added_at_either_end_before_open_and_then_where_that_is_a_hazard(
    hazards: Iterable[Hazard], ends: tuple[str, ...]
) -> None:
    machine = begun(SchemeTarget(OffsetUdp()), hazards)
    assert machine.ends == ("tail", "head")
    machine.open()
    assert machine.ends == ends
    assert ("add" in enabled(machine)) == bool(ends)


def test_the_first_read_opens_the_iterator() -> None:
    machine = begun(SchemeTarget(OffsetUdp()))
    skips(machine)

    assert machine.operations == [Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Remove("A")]


def test_each_rule_makes_one_operation() -> None:
    machine = begun(SchemeTarget(OffsetUdp()), ANY_HAZARD | {"between"})
    machine.add("A", "tail", 1)
    machine.open()
    machine.reinsert("A", "head")
    machine.rehash("A", 2)
    machine.change_while_shown(1, 2, [Remove("A"), Add("B", "head")])
    machine.change_while_allocating(2, 1, [Remove("B")])
    machine.change_between_buckets(3, 2, [Add("C", "tail")])
    machine.refuse_allocation(1, [1, 2])
    machine.refuse_allocation(1, [1], [Remove("C")])
    machine.read(4)

    assert machine.operations == [
        Add("A", "tail", Bucket(1)),
        Open(),
        Reinsert("A", "head"),
        Rehash("A", Bucket(2)),
        Read(1, (At("show", 2, Remove("A")), At("show", 2, Add("B", "head")))),
        Read(2, (At("realloc", 1, Remove("B")),)),
        Read(3, (At("bucket", 2, Add("C", "tail")),)),
        Read(1, (At("realloc", 1, Fail()), At("realloc", 2, Fail()))),
        Read(1, (At("realloc", 1, Remove("C")), At("realloc", 1, Fail()))),
        Read(4),
    ]
    assert machine.sockets.tables == {}
    check(machine.operations)


def test_a_bucket_of_a_named_table_is_written_as_in_a_case() -> None:
    machine = begun(SchemeTarget(ExactInTwo()))
    machine.add("A", "head", "established:1")

    assert machine.operations == [Add("A", "head", Bucket(1, "established"))]
    assert machine.sockets.without_tail == ("A",)
    assert machine.sockets.with_tail == ()


def test_a_violation_carries_the_sequence_its_slots_the_verdict_and_the_finding() -> None:
    target = Recording(OffsetUdp(), known_failures=())
    machine = begun(target)
    skips(machine)

    with pytest.raises(Skipped, match=r"^skip B$") as caught:
        machine.teardown()

    violation = caught.value
    assert violation.triage is machine.triage
    assert violation.operations == tuple(target.begun[0].done) == tuple(machine.operations)
    assert violation.operations[-1] == Read(None)
    assert violation.slots == target.begun[0].shape.slots == machine.slots
    assert violation.finding == Finding("skip", "B")
    assert violation.verdict == (Finding("skip", "B"),)
    assert judge(run(target, target, violation.operations, slots=violation.slots)) == violation.verdict
    assert target.begun[0].closed == 1


def test_a_socket_that_is_missing_when_a_read_returns_nothing_is_held_against_the_operations_until_then() -> None:
    machine = begun(Recording(OffsetUdp(), known_failures=()))
    skips(machine)
    machine.read(1)
    until_then = tuple(machine.operations)
    machine.add("C", "head")

    with pytest.raises(Skipped, match=r"^skip B$") as caught:
        machine.teardown()

    assert caught.value.operations == until_then


def test_a_second_delivery_breaks_an_invariant_at_once() -> None:
    machine = begun(Recording(OffsetUdp(), known_failures=()))
    repeats(machine)
    with pytest.raises(Repeated, match=r"^repeat A$") as caught:
        check_invariants(machine)

    assert caught.value.operations == tuple(machine.operations)


def test_an_invariant_holds_where_a_known_failure_explains_the_finding() -> None:
    machine = begun(SchemeTarget(OffsetUdp()))
    machine.triage.pending.clear()
    repeats(machine)
    assert machine.verdict == (Finding("repeat", "A"),)
    check_invariants(machine)
    machine.teardown()


class Ghostly(Simulation):
    """Removes a socket from the table, and shows it all the same."""

    def _change(self, change: Change) -> None:
        if type(change) is Remove:
            self.history.events.append(change)
        else:
            super()._change(change)


class Haunted(Recording):
    """A target that delivers an absent socket."""

    def begin(self, shape: Shape) -> Any:
        return Ghostly(self.scheme, shape)


def test_the_delivery_of_a_socket_that_is_not_there_breaks_an_invariant_at_once() -> None:
    machine = begun(Haunted(Exact()))
    machine.add("A", "tail")
    machine.open()
    machine.remove("A")
    machine.read(1)
    with pytest.raises(Stale, match=r"^stale A$"):
        check_invariants(machine)


def test_an_error_breaks_an_invariant_at_once() -> None:
    machine = begun(Recording(Restart(), known_failures=()))
    for name in "AB":
        machine.add(name, "tail")
    machine.read(1)
    machine.remove("A")
    machine.read(1)
    with pytest.raises(Refused, match=r"^refused$"):
        check_invariants(machine)


def test_the_last_read_is_judged_by_all_that_the_invariants_state() -> None:
    machine = begun(Recording(OffsetUdp(), known_failures=()))
    machine.add("A", "tail")
    machine.add("B", "tail")
    machine.read(1)
    machine.add("C", "head")
    with pytest.raises(Repeated, match=r"^repeat A$"):
        machine.teardown()


def test_a_known_finding_is_counted_but_is_no_violation() -> None:
    target = Recording(OffsetUdp(), known_failures=())
    triage = Triage.of(target, target, ())
    machine = machine_for(triage, ANY_HAZARD)
    machine.sequences = machine.applied = 0
    for expected in (1, 2):
        instance = machine()
        instance.batch(slots=16)
        skips(instance)
        triage.investigated.add((Signature("skip"), hazards_of(instance.operations)))
        instance.teardown()
        assert machine.sequences == expected
        assert machine.applied == expected * len(instance.operations)
    assert SocketMachine.sequences == 0


def test_a_machine_that_was_never_begun_has_nothing_to_tear_down() -> None:
    target = Recording(Exact())
    machine_on(target)().teardown()

    assert target.begun == []


@pytest.mark.parametrize("fails_at", [Add, Open, Read])
def test_the_backend_is_closed_and_nothing_counted_when_something_breaks(fails_at: type[Operation]) -> None:
    target = Recording(Exact(), fails_at=fails_at)
    machine = machine_on(target)
    machine.sequences = 0
    with pytest.raises(OSError, match="no more"):
        run_state_machine_as_test(machine, settings=QUICK)

    assert {backend.closed for backend in target.begun} == {1}
    assert machine.sequences == 0 or fails_at is Add


class Untelling(Recording):
    """Cannot tell of a removal."""

    def begin(self, shape: Shape) -> Recorded:
        class Backend(Recorded):
            def apply(self, operation: Operation) -> None:
                if type(operation) is Remove:
                    raise Inconclusive("nobody knows")
                super().apply(operation)

        self.begun.append(Backend(self.scheme, shape, None))
        return self.begun[-1]


def test_a_machine_with_an_inconclusive_result_stays_quiet() -> None:
    target = Untelling(OffsetUdp(), known_failures=())
    machine = begun(target)
    skips(machine)
    machine.read(1)
    check_invariants(machine)
    machine.teardown()

    assert machine.operations[-3:] == [Remove("A"), Read(1), Read(None)]
    assert target.begun[0].done == machine.operations[:-3]
    assert target.begun[0].closed == 1


# The machine in Hypothesis.

QUICK = settings(
    max_examples=2_000,
    database=None,
    deadline=None,
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    stateful_step_count=HYPOTHESIS_STEPS,
    report_multiple_bugs=False,
    print_blob=False,
)


def broken(hazards: Iterable[Hazard], profile: settings = QUICK, number: int = 1) -> tuple[Violation, list[str]]:
    """The violation of a scheme that claims too much, and the falsifying example, a line each."""
    target = Recording(OffsetUdp(), known_failures=())
    machine = machine_for(Triage(target, target), frozenset(hazards), "OffsetUdp")
    with pytest.raises(Violation) as caught:
        run_state_machine_as_test(seed(number)(machine), settings=profile)
    example = "\n".join(caught.value.__notes__)
    return caught.value, [line for line in example.splitlines() if line.startswith("state")]


def test_the_falsifying_example_is_the_case_line_for_line() -> None:
    violation, example = broken({"add-head"})

    assert isinstance(violation, Repeated)
    assert example == [
        "state = OffsetUdp()",
        "state.batch(slots=16)",
        "state.add(name='A', end='tail')",
        "state.add(name='B', end='tail')",
        "state.read(records=1)",
        "state.add(end='head', name='C')",
        "state.read(records=1)",
        "state.nothing_is_delivered_twice()",
        "state.teardown()",
    ]


def finished(machine: SocketMachine) -> None:
    """The last rule was run: the invariants are checked, and the iterator is read out."""
    check_invariants(machine)
    machine.teardown()


def carried_out(example: list[str]) -> SocketMachine:
    """The machine after all lines of an example except the last."""
    target = Recording(OffsetUdp(), known_failures=())
    names: dict[str, Any] = {
        "OffsetUdp": machine_for(Triage(target, target), ANY_HAZARD),
        **{one.__name__: one for one in (Add, Bucket, Rehash, Reinsert, Remove)},
    }
    exec("\n".join(line for line in example[:-1] if "nothing" not in line), names)  # it reads as a program, and is one
    state: SocketMachine = names["state"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize("hazards", [["remove", "show"], ["rehash", "reinsert", "add-tail"]], ids="-".join)
def test_a_falsifying_example_is_a_program_that_does_it_again(hazards: Iterable[Hazard]) -> None:
    violation, example = broken(hazards)
    machine = carried_out(example)
    with pytest.raises(type(violation)) as again:
        finished(machine)
    assert (again.value.operations, again.value.finding) == (violation.operations, violation.finding)


def test_the_example_database_has_the_same_example_again_without_a_search() -> None:
    database = InMemoryExampleDatabase()
    first = broken({"add-head"}, settings(QUICK, database=database))
    replayed = broken({"add-head"}, settings(QUICK, database=database, phases=[Phase.reuse]), number=2)

    assert replayed[1] == first[1]
    assert replayed[0].operations == first[0].operations


def test_a_seed_has_the_same_example_again() -> None:
    profile = settings(QUICK, phases=[Phase.generate])

    assert broken({"add-head"}, profile, 7)[1] == broken({"add-head"}, profile, 7)[1]
    assert len({tuple(broken({"add-head"}, profile, number)[1]) for number in range(3)}) > 1


@pytest.mark.slow
@pytest.mark.deep
def test_no_health_check_fails() -> None:
    target = Recording(Exact())
    profile = settings(QUICK, max_examples=100, phases=[Phase.generate])
    assert HealthCheck.filter_too_much not in profile.suppress_health_check
    for hazards in (ANY_HAZARD, frozenset[Hazard]({"remove"}), frozenset[Hazard]()):
        run_state_machine_as_test(seed(1)(machine_for(Triage(target, target), hazards)), settings=profile)


def test_the_goals_that_were_reached_are_events(monkeypatch: pytest.MonkeyPatch) -> None:
    events: set[str] = set()
    monkeypatch.setattr(module, "event", events.add)
    target = Recording(Exact())
    machine = machine_for(Triage(target, target), ANY_HAZARD)
    machine.measures_coverage = True
    run_state_machine_as_test(seed(1)(machine), settings=settings(QUICK, max_examples=20, phases=[Phase.generate]))

    assert events
    assert events <= set(GOALS)


@pytest.mark.parametrize(("holds", "buckets"), [(None, {0}), (3, {0, 1, 2})])
def test_sequences_for_a_dump_can_be_filled_up_to_the_end_of_a_message(holds: int | None, buckets: set[int]) -> None:
    machine = machine_on(Recording(OffsetUdp()), {"remove"})
    members = {"room": replace(machine.room, message=6, holds=holds), "fill": SocketMachine.fill}
    filling: Any = type("Filling", (machine,), members)()
    filling.batch(6)
    filling.fill(more=2)
    assert len(filling.sockets.tables) == 8
    assert {op.bucket.number for op in filling.operations if isinstance(op, Add)} == buckets
    filling.fill(more=0)
    assert len(filling.sockets.tables) == 8
