"""Drawing: properties of every sequence, reproducible seeds, and the effect of switches and aims."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise

import pytest

from sockiter.backend import SLOTS, Shape, refusal, shape_of
from sockiter.cases import spell
from sockiter.claims import HAZARDS, INSERTIONS_MAX, Hazard, hazards_of
from sockiter.fuzzing.limits import BUCKETS_DRAWN, SLOTS_DRAWN, Room
from sockiter.fuzzing.swarm import BYTES_MAX, NAMES, RECORDS_WHOLE, Swarm
from sockiter.kernel.probe import Capabilities
from sockiter.operations import (
    Accept,
    Add,
    Again,
    Bucket,
    Change,
    Close,
    Destroy,
    Open,
    Operation,
    Read,
    Rehash,
    Remove,
    changes,
    check,
    length,
)
from sockiter.readers import FEATURES, PARTIAL, READERS, SILENT, WHOLE, Feature, Reader, features_of
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD as ANY_OF_A_SCHEME
from sockiter.shrink.edits import name_of
from sockiter.simulation import Simulation
from sockiter.targets import target_named
from tests.support.kernel_targets import with_capabilities
from tests.support.table_uses import table_uses

CHANGES: tuple[Hazard, ...] = ("add-head", "add-tail", "remove", "reinsert", "rehash")
OF_LIVES: frozenset[Hazard] = frozenset({"close", "accept", "destroy", "destroying"})
ANY_HAZARD = ANY_OF_A_SCHEME - OF_LIVES
ALL = Room(features=frozenset(FEATURES))
"""The room of a model with one table."""


def drawn(swarm: Swarm, number: int) -> list[tuple[tuple[Operation, ...], int]]:
    return [swarm.sequence() for _ in range(number)]


@pytest.mark.parametrize("seed", range(5))
def test_every_sequence_is_possible_opened_once_and_read_to_its_end(seed: int) -> None:
    for operations, slots in drawn(Swarm(seed, HAZARDS), 400):
        check(operations)
        assert operations.count(Open()) == 1
        last = operations[-1]
        assert isinstance(last, Read)
        assert last.count is None
        assert slots in SLOTS_DRAWN
        assert dict(shape_of(operations).buckets)[""] <= BUCKETS_DRAWN


def test_every_number_of_slots_and_of_buckets_is_drawn() -> None:
    sequences = drawn(Swarm(0, ANY_HAZARD), 500)

    assert {slots for _, slots in sequences} == set(SLOTS_DRAWN)
    assert {shape_of(operations).buckets for operations, _ in sequences} == {(("", 1),), (("", 2),), (("", 3),)}


def test_the_same_seed_draws_the_same_whatever_the_hash_seed() -> None:
    program = (
        "from sockiter.fuzzing.swarm import Swarm; from sockiter.claims import HAZARDS\n"
        "from sockiter.fuzzing.limits import Room; from sockiter.readers import FEATURES\n"
        "swarm = Swarm('7/x', HAZARDS, Room(features=frozenset(FEATURES)))\n"
        "swarm.aims = [frozenset({'show', 'remove', 'rehash'})]\n"
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
    swarm = Swarm("7/x", HAZARDS, ALL)
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
            ("offset-udp", Room(("",), None, None, features=frozenset(FEATURES))),
            ("offset-tcp", Room(("listening", "established"), None, None, features=frozenset(FEATURES))),
            ("cookie-tcp", Room(("listening", "established"), None, None, features=frozenset(FEATURES))),
            ("index-narrow", Room(("",), None, INSERTIONS_MAX, features=frozenset(FEATURES))),
            ("index-detect", Room(("",), None, INSERTIONS_MAX, features=frozenset(FEATURES))),
        ],
    )
    def test_follows_from_the_target(self, target: str, room: Room) -> None:
        assert Room.of(target_named(target)) == room

    def test_of_a_kernels_iterator_has_its_slots_and_the_features_of_this_machine(self) -> None:
        target = target_named("kernel:udp")
        assert Room.of(target) == Room(("",), SLOTS, None, features=target.features)

    def test_is_by_default_one_table_any_slots_and_any_number_of_insertions(self) -> None:
        assert Room(features=frozenset(FEATURES)) == Room.of(target_named("offset-udp"))

    def test_has_all_slots_to_choose_from_or_the_only_ones(self) -> None:
        assert Room().slots_drawn == SLOTS_DRAWN
        assert Room(slots=7).slots_drawn == (7,)

    def test_of_a_dump_has_messages_of_three_sizes(self) -> None:
        room = Room(message=20, largest=70)
        assert set(room.slots_drawn) == {20, 40, 70}
        assert room.sockets_max > 2 * 70
        assert set(Room(message=20).slots_drawn) == {20}

    def test_of_a_dump_has_sequences_around_the_end_of_a_message(self) -> None:
        counts: Counter[int] = Counter()
        whole = 0
        for operations, slots in drawn(Swarm(0, {"remove", "add-head"}, Room(message=20, largest=70)), 600):
            counts[operations.index(Open()) - slots] += 1
            whole += Read(slots) in operations
        assert all(counts[more] for more in range(-2, 6))
        assert whole > 50
        reads = [
            op
            for operations, _ in drawn(Swarm(0, ANY_HAZARD, Room(message=20, features=frozenset({"again"}))), 300)
            for op in operations
        ]
        assert Read(20) in reads

    def test_of_buckets_with_little_room_has_sockets_in_all_of_them(self) -> None:
        room = Room(message=20, buckets_drawn=8, holds=4)
        for operations, _ in drawn(Swarm(0, {"remove"}, room), 300):
            there = [op.bucket for op in operations[: operations.index(Open())] if isinstance(op, Add)]
            if len(there) > 4:
                assert max(Counter(there).values()) <= -(-len(there) // 8)

    def test_of_a_kernels_dump_follows_from_the_target(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with_capabilities(monkeypatch, Capabilities(ahead=41, largest=352))
        room = Room.of(target_named("kernel:netlink-diag"))
        assert (room.message, room.largest, room.holds, room.buckets_drawn) == (41, 32, 8, 8)
        room = Room.of(target_named("kernel:packet-diag"))
        assert (room.message, room.largest, room.holds, room.buckets_drawn) == (41, 352, None, 1)

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
    return sum(not isinstance(change, (Remove, Destroy)) for op in operations for change in changes(op))


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


# The life of a socket, and the ways of reading


@pytest.mark.parametrize(
    ("room", "hazards", "digests"),
    [
        (Room(), ANY_HAZARD, ("8be1f48c8703bb65", "0b1f27e5a30aa9be")),
        (TWO, ANY_HAZARD, ("542cb79248afddc6", "5c59d6308cdc4cf8")),
        (NARROW, ANY_HAZARD | {"rollover"}, ("d353233ce7704ed8", "9cf099aa904a2882")),
        (Room(("",), SLOTS, None), ANY_HAZARD, ("3987fa2246275824", "1034b8ccb7b071ca")),
        (Room(("established",), SLOTS, None, False), ANY_HAZARD, ("291c2183cd11350e", "d09bc19f97e4f102")),
    ],
    ids=["one-table", "two-tables", "narrow", "kernel", "no-tail"],
)
def test_a_target_without_lives_and_features_gets_the_same_sequences_as_ever(
    room: Room, hazards: frozenset[Hazard], digests: tuple[str, str]
) -> None:
    swarm = Swarm("7/x", hazards, room)
    first = digest(swarm)
    swarm.aims = [frozenset({"show", "remove", "rehash"})]

    assert (first, digest(swarm)) == digests


def digest(swarm: Swarm) -> str:
    """A hash of the next 300 sequences, as they are written in cases."""
    hashed = sha256()
    for operations, slots in drawn(swarm, 300):
        hashed.update("".join(f"{line}\n" for line in (slots, *(line for op in operations for line in spell(op)))).encode())
    return hashed.hexdigest()[:16]


TCP = Room(("listening", "established"), features=frozenset(FEATURES))


@pytest.mark.parametrize("name", ["index", "offset-tcp", "cookie-tcp", "index-narrow", "rank"])
def test_every_sequence_is_one_that_its_target_carries_out(name: str) -> None:
    target = target_named(name)
    room = Room.of(target)
    for operations, slots in drawn(Swarm(1, target.hazards, room), 600):
        check(operations)
        assert refusal(target, operations, room.shape(slots)) is None


def test_every_kind_of_change_and_every_feature_occurs() -> None:
    sequences = [operations for operations, _ in drawn(Swarm(0, HAZARDS, TCP), 3000)]
    kinds = Counter(type(change) for operations in sequences for op in operations for change in changes(op))
    features = Counter(feature for operations in sequences for feature in features_of(operations))

    assert min(kinds[kind] for kind in (Close, Accept, Destroy)) > 150
    assert set(features) == set(FEATURES)
    assert all(100 < features[feature] < 600 for feature in ("bytes", "silent", "again", "unwanted"))
    assert any(
        isinstance(at.what, Close) for operations in sequences for op in operations if isinstance(op, Read) for at in op.at
    )


def test_half_of_the_reads_destroy_where_that_is_on_and_none_elsewhere() -> None:
    reads = [op for operations, _ in drawn(Swarm(0, ["destroying"], ALL), 2000) for op in operations if isinstance(op, Read)]

    assert 0.2 < sum(read.destroying for read in reads) / len(reads) < 0.3  # the hazard is off in half of the sequences
    assert not any(
        op.destroying for operations, _ in drawn(Swarm(0, ANY_HAZARD, ALL), 500) for op in operations if isinstance(op, Read)
    )


def test_listening_sockets_are_neither_closed_nor_accepted() -> None:
    assert Room(("listening",)).drawable(HAZARDS) == frozenset(HAZARDS) - {"close", "accept"}
    for operations, _ in drawn(Swarm(0, ["close", "accept"], Room(("listening",), features=frozenset(FEATURES))), 300):
        assert hazards_of(operations) == frozenset()


def test_nothing_is_accepted_without_request_sockets() -> None:
    assert "accept" not in Room().drawable(HAZARDS)
    assert not any("accept" in hazards_of(operations) for operations, _ in drawn(Swarm(0, HAZARDS), 500))


@pytest.mark.parametrize("feature", ["bytes", "silent", "again", "unwanted"])
def test_a_feature_that_the_target_lacks_is_never_drawn(feature: Feature) -> None:
    room = Room(features=frozenset(FEATURES) - {feature})
    assert not any(feature in features_of(operations) for operations, _ in drawn(Swarm(0, HAZARDS, room), 500))


def test_aims_use_no_feature_that_their_hazards_do_not_need() -> None:
    swarm = Swarm(0, HAZARDS, ALL)
    swarm.aims = [frozenset({"accept"})]
    aimed = [operations for operations, _ in drawn(swarm, 1000) if hazards_of(operations) == {"accept"}]

    assert len(aimed) > 100
    assert sum(not features_of(operations) <= {"request"} for operations in aimed) < 20


def test_reads_in_bytes_end_inside_records_and_lines() -> None:
    reads = [
        op
        for operations, _ in drawn(Swarm(0, (), ALL), 2000)
        for op in operations
        if isinstance(op, Read) and op.unit == "bytes"
    ]
    sizes = [read.count for read in reads if read.count]
    assert len(sizes) == len(reads)
    assert min(sizes) < 16 < BYTES_MAX * 3 // 4 < max(sizes)


def test_a_second_pass_follows_the_end_of_the_first_in_most_sequences() -> None:
    joined = [operations for operations, _ in drawn(Swarm(0, (), ALL), 3000) if Again() in operations]
    read_out = sum(
        isinstance(before := operations[operations.index(Again()) - 1], Read) and before.count is None
        for operations in joined
    )
    assert 0.6 < read_out / len(joined) < 0.9


def test_versions_of_bound_sockets_roll_over_only_where_that_is_on() -> None:
    narrow = Room(insertions=INSERTIONS_MAX, features=frozenset(FEATURES))
    for operations, slots in drawn(Swarm(0, frozenset(HAZARDS) - {"rollover"}, narrow), 2000):
        assert "rollover" not in hazards_of(operations, narrow=True)
        simulation = Simulation(OffsetUdp(), narrow.shape(slots))
        for op in operations:
            simulation.apply(op)
        assert simulation.table.ver <= INSERTIONS_MAX


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_makes_all_reads_in_its_way_and_ends_every_pass(reader: Reader) -> None:
    for operations, _ in drawn(Swarm(0, HAZARDS, TCP, reader=reader), 300):
        check(operations)
        assert reader.allows(operations)
        assert features_of(operations) <= {
            "unwanted",
            "request",
            "bound",
            *(["silent"] if reader.silent else []),
            *(["again"] if reader.passes == 2 else []),
        }
        ends = [before for before, op in pairwise(operations) if isinstance(op, Again)]
        for end in (*ends, operations[-1]):
            assert isinstance(end, Read)
            assert end.count is None
            assert not end.gives_up


def test_the_reads_of_a_reader_stop_early_or_have_room_for_all_or_walk() -> None:
    def counts(reader: Reader) -> set[int | None]:
        return {
            op.count
            for operations, _ in drawn(Swarm(0, HAZARDS, TCP, reader=reader), 300)
            for op in operations
            if isinstance(op, Read)
        }

    assert counts(PARTIAL) == {1, 2, 3, 4, None}
    assert counts(WHOLE) == {RECORDS_WHOLE, None}
    assert counts(SILENT) == {None}


def sockets_of(operations: Iterable[Operation]) -> int:
    """The number of added sockets."""
    return sum(isinstance(change, Add) for op in operations for change in changes(op))


def test_there_are_names_for_all_sockets_of_two_passes() -> None:
    assert max(sockets_of(operations) for operations, _ in drawn(Swarm(0, HAZARDS, TCP), 2000)) < len(NAMES) // 2
