"""Drawing: properties of every sequence, reproducible seeds, and the effect of switches and aims."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from sockiter.backend import SLOTS, Shape, shape_of
from sockiter.claims import HAZARDS, INSERTIONS_MAX, Hazard, hazards_of
from sockiter.fuzzing.limits import BUCKETS_DRAWN, SLOTS_DRAWN, Room
from sockiter.fuzzing.swarm import NAMES, Swarm
from sockiter.operations import (
    Add,
    Bucket,
    Change,
    Open,
    Operation,
    Read,
    Rehash,
    Remove,
    changes,
    check,
    length,
)
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD
from sockiter.shrink.edits import name_of
from sockiter.simulation import Simulation
from sockiter.targets import target_named
from tests.support.table_uses import table_uses

CHANGES: tuple[Hazard, ...] = ("add-head", "add-tail", "remove", "reinsert", "rehash")


def drawn(swarm: Swarm, number: int) -> list[tuple[tuple[Operation, ...], int]]:
    return [swarm.sequence() for _ in range(number)]


@pytest.mark.parametrize("seed", range(5))
def test_every_sequence_is_possible_opened_once_and_read_to_its_end(seed: int) -> None:
    for operations, slots in drawn(Swarm(seed, HAZARDS), 400):
        check(operations)
        assert operations.count(Open()) == 1
        assert operations[-1] in (Read(None), Read(None, gives_up=True))
        assert slots in SLOTS_DRAWN
        assert dict(shape_of(operations).buckets)[""] <= BUCKETS_DRAWN


def test_every_number_of_slots_and_of_buckets_is_drawn() -> None:
    sequences = drawn(Swarm(0, ANY_HAZARD), 500)

    assert {slots for _, slots in sequences} == set(SLOTS_DRAWN)
    assert {shape_of(operations).buckets for operations, _ in sequences} == {(("", 1),), (("", 2),), (("", 3),)}


def test_the_same_seed_draws_the_same_whatever_the_hash_seed() -> None:
    program = (
        "from sockiter.fuzzing.swarm import Swarm; from sockiter.schemes.scheme import ANY_HAZARD\n"
        "swarm = Swarm('7/x', ANY_HAZARD); swarm.aims = [frozenset({'show', 'remove', 'rehash'})]\n"
        "print([swarm.sequence() for _ in range(200)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    swarm = Swarm("7/x", ANY_HAZARD)
    swarm.aims = [frozenset({"show", "remove", "rehash"})]

    assert outputs == {f"{drawn(swarm, 200)}\n".encode()}


def test_other_seeds_draw_other_sequences() -> None:
    first = [operations for operations, _ in drawn(Swarm("1", ANY_HAZARD), 20)]
    second = [operations for operations, _ in drawn(Swarm("2", ANY_HAZARD), 20)]

    assert not [a for a, b in zip(first, second, strict=True) if a == b]


def test_every_hazard_occurs_and_those_that_need_no_other_occur_alone() -> None:
    met = {hazards_of(operations) for operations, _ in drawn(Swarm(0, ANY_HAZARD), 4000)}

    assert frozenset().union(*met) == ANY_HAZARD
    assert {frozenset({hazard}) for hazard in (*CHANGES, "enomem")} <= met
    assert {frozenset({hazard, point}) for hazard in CHANGES for point in ("show", "realloc")} <= met
    assert frozenset() in met
    assert max(map(len, met)) == len(ANY_HAZARD) - 1


@pytest.mark.parametrize("hazard", [*CHANGES, "enomem"])
def test_a_hazard_that_is_switched_on_alone_occurs_and_no_other(hazard: Hazard) -> None:
    met = {hazards_of(operations) for operations, _ in drawn(Swarm(3, {hazard}), 100)}

    assert met == {frozenset(), frozenset({hazard})}


@pytest.mark.parametrize("point", ["show", "realloc"])
def test_nothing_happens_inside_a_read_where_nothing_can_happen_at_all(point: Hazard) -> None:
    assert {hazards_of(operations) for operations, _ in drawn(Swarm(3, {point}), 100)} == {frozenset()}


@pytest.mark.parametrize("point", ["show", "realloc"])
def test_a_change_inside_a_read_is_one_of_those_that_are_switched_on(point: Hazard) -> None:
    met = {hazards_of(operations) for operations, _ in drawn(Swarm(3, {point, "reinsert"}), 200)}

    assert met == {frozenset(), frozenset({"reinsert"}), frozenset({point, "reinsert"})}


def test_nothing_is_switched_on_and_nothing_happens_but_reads() -> None:
    assert all(hazards_of(operations) == frozenset() for operations, _ in drawn(Swarm(0, ()), 100))


def test_half_of_the_sequences_are_aimed() -> None:
    aim: frozenset[Hazard] = frozenset({"remove", "enomem"})

    def within(swarm: Swarm) -> int:
        used = [hazards_of(operations) for operations, _ in drawn(swarm, 1000)]
        return sum(hazards == aim for hazards in used)

    aimed = Swarm(0, ANY_HAZARD)
    aimed.aims = [aim]

    assert within(Swarm(0, ANY_HAZARD)) < 40
    assert 250 < within(aimed) < 540


def test_every_aim_has_its_turn_and_its_hazards_only_where_they_are_switched_on() -> None:
    swarm = Swarm(0, {"remove", "add-head"})
    swarm.aims = [frozenset({"remove"}), frozenset({"add-head", "show"})]
    met = {hazards_of(operations) for operations, _ in drawn(swarm, 400)}

    assert met == {frozenset(), frozenset({"remove"}), frozenset({"add-head"}), frozenset({"remove", "add-head"})}


def test_a_target_with_one_number_of_slots_gets_no_other() -> None:
    assert {slots for _, slots in drawn(Swarm(0, ANY_HAZARD, Room(slots=5)), 100)} == {5}


TWO = Room(("listening", "established"))
NARROW = Room(insertions=INSERTIONS_MAX)


class TestTheRoom:
    @pytest.mark.parametrize(
        ("target", "room"),
        [
            ("offset-udp", Room(("",), None, None)),
            ("offset-tcp", Room(("listening", "established"), None, None)),
            ("cookie-tcp", Room(("listening", "established"), None, None)),
            ("index-narrow", Room(("",), None, INSERTIONS_MAX)),
            ("index-detect", Room(("",), None, INSERTIONS_MAX)),
            ("kernel:udp", Room(("",), SLOTS, None)),
        ],
    )
    def test_follows_from_the_target(self, target: str, room: Room) -> None:
        assert Room.of(target_named(target)) == room

    def test_is_by_default_one_table_any_slots_and_any_number_of_insertions(self) -> None:
        assert Room() == Room.of(target_named("offset-udp"))

    def test_has_all_slots_to_choose_from_or_the_only_ones(self) -> None:
        assert Room().slots_drawn == SLOTS_DRAWN
        assert Room(slots=7).slots_drawn == (7,)

    def test_has_the_first_bucket_of_each_table_before_the_second_of_any(self) -> None:
        assert Room().buckets == (Bucket(0), Bucket(1), Bucket(2))
        assert [str(bucket) for bucket in TWO.buckets] == ["0", "established:0", "1", "established:1", "2", "established:2"]

    def test_is_laid_out_for_whatever_is_drawn(self) -> None:
        assert Room().shape(3) == Shape((("", 3),), 3)
        assert TWO.shape(16) == Shape((("", 3), ("established", 3)), 16)
        for operations, slots in drawn(Swarm(0, ANY_HAZARD, TWO), 200):
            laid_out = dict(TWO.shape(slots).buckets)
            assert all(laid_out[table] >= number for table, number in shape_of(operations).buckets)


def into(change: Change) -> Bucket | None:
    """The bucket that a change names."""
    return change.bucket if isinstance(change, (Add, Rehash)) else None


class TestTwoTables:
    @pytest.mark.parametrize("seed", range(5))
    def test_are_never_entered_at_the_tail_where_there_is_none(self, seed: int) -> None:
        for operations, _ in drawn(Swarm(seed, ANY_HAZARD, TWO), 400):
            check(operations)

    def test_are_both_used_by_every_kind_of_change(self) -> None:
        sequences = (operations for operations, _ in drawn(Swarm(0, ANY_HAZARD, TWO), 400))
        uses = table_uses([change for op in operations for change in changes(op)] for operations in sequences)
        adds, moves, reinserts = uses.adds, uses.moves, uses.reinserts
        assert min(adds["", "head"], adds["", "tail"], adds["established", "head"]) > 50
        assert min(moves[""], moves["established"]) > 50
        assert min(reinserts["", "head"], reinserts["", "tail"], reinserts["established", "head"]) > 20
        assert adds["established", "tail"] == reinserts["established", "tail"] == 0

    @pytest.mark.parametrize("hazards", [(), ("add-tail",), ("remove",), ("enomem",)], ids=str)
    def test_both_have_sockets_at_open_whatever_is_switched_on(self, hazards: tuple[Hazard, ...]) -> None:
        buckets: Counter[Bucket | None] = Counter()
        for operations, _ in drawn(Swarm(0, hazards, TWO), 300):
            buckets.update(into(change) for op in operations[: operations.index(Open())] for change in changes(op))
        assert {bucket for bucket in buckets if bucket} == set(TWO.buckets[:5])
        assert min(buckets[bucket] for bucket in TWO.buckets[:4]) > 10

    def test_are_one_where_the_target_has_one(self) -> None:
        for operations, _ in drawn(Swarm(0, ANY_HAZARD), 200):
            assert all(bucket is None or not bucket.table for op in operations for bucket in map(into, changes(op)))


def insertions(operations: tuple[Operation, ...]) -> int:
    return sum(not isinstance(change, Remove) for op in operations for change in changes(op))


class TestNarrowVersions:
    def test_are_never_rolled_over_where_that_is_switched_off(self) -> None:
        sequences = [operations for operations, _ in drawn(Swarm(0, ANY_HAZARD, NARROW), 1000)]
        assert max(map(insertions, sequences)) == INSERTIONS_MAX
        assert not any("rollover" in hazards_of(operations, narrow=True) for operations in sequences)

    @pytest.mark.parametrize("hazards", [("rollover",), HAZARDS], ids=["alone", "all"])
    def test_are_rolled_over_now_and_then_where_that_is_switched_on(self, hazards: tuple[Hazard, ...]) -> None:
        sequences = [operations for operations, _ in drawn(Swarm(0, hazards, NARROW), 1000)]
        rolled_over = sum("rollover" in hazards_of(operations, narrow=True) for operations in sequences)
        assert 100 < rolled_over < 900
        assert rolled_over == sum(insertions(operations) > INSERTIONS_MAX for operations in sequences)

    def test_are_rolled_over_in_company_of_every_other_hazard_and_alone(self) -> None:
        met = {hazards_of(operations, narrow=True) for operations, _ in drawn(Swarm(0, HAZARDS, NARROW), 4000)}
        assert frozenset({"rollover"}) in met
        assert {frozenset({"rollover", hazard}) for hazard in CHANGES} <= met

    def test_are_not_rolled_over_by_sequences_with_another_aim(self) -> None:
        swarm = Swarm(0, ANY_HAZARD, NARROW)
        swarm.aims = [frozenset({"add-tail"}), frozenset({"rehash", "show"})]
        assert max(insertions(operations) for operations, _ in drawn(swarm, 400)) == INSERTIONS_MAX

    def test_do_not_matter_if_versions_are_wide(self) -> None:
        assert max(insertions(operations) for operations, _ in drawn(Swarm(0, ANY_HAZARD), 400)) > 2 * INSERTIONS_MAX


def test_a_tenth_of_the_sequences_are_read_until_an_error_and_the_others_to_the_end() -> None:
    ends = Counter(operations[-1] for operations, _ in drawn(Swarm(0, ANY_HAZARD), 1000))

    assert set(ends) == {Read(None), Read(None, gives_up=True)}
    assert 70 < ends[Read(None, gives_up=True)] < 130


def test_only_the_end_of_a_sequence_gives_up() -> None:
    for operations, _ in drawn(Swarm(0, ANY_HAZARD), 400):
        assert not any(op.gives_up for op in operations[:-1] if isinstance(op, Read))


def test_now_and_then_there_are_more_sockets_than_the_kernels_batch_has_slots() -> None:
    counts = [operations.index(Open()) for operations, _ in drawn(Swarm(0, ANY_HAZARD, Room(slots=SLOTS)), 1000)]

    assert min(counts) == 1
    assert max(counts) == SLOTS + 8
    assert 30 < sum(count > SLOTS for count in counts) < 100


def test_batches_grow_and_are_refused_and_changed_under() -> None:
    met: Counter[str] = Counter()

    class Watched(Simulation):
        def _allocate(self, locked: bool) -> bool:
            before = self.table
            granted = super()._allocate(locked)
            met.update(grown=granted, refused=not granted, changed=self.table is not before)
            return granted

    swarm = Swarm(0, ANY_HAZARD)
    for _ in range(500):
        operations, slots = swarm.sequence()
        simulation = Watched(OffsetUdp(), shape_of(operations, slots=slots))
        for operation in operations:
            simulation.apply(operation)

    assert min(met["grown"], met["refused"], met["changed"]) >= 10


def test_the_names_are_those_that_shrinking_ends_with() -> None:
    assert [name_of(number) for number in range(len(NAMES))] == list(NAMES)


def test_a_change_that_needs_a_socket_is_left_out_where_there_is_none() -> None:
    emptied = [
        operations
        for operations, _ in drawn(Swarm(0, {"remove"}), 400)
        if sum(type(op) is Remove for op in operations) == operations.index(Open())
    ]

    assert emptied
    assert max(length(operations) for operations in emptied) <= 16
