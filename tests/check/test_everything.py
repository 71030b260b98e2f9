"""Every short sequence, as the reference for the search."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.check import everything
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.claims import Hazard, hazards_of
from sockiter.operations import Accept, Add, Again, Close, Destroy, Operation, Read, changes, check, length
from sockiter.readers import READERS, Reader, features_of, reader_named
from sockiter.schemes.full_batch import FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature

TARGET = SchemeTarget(Index())


@pytest.mark.usefixtures("_two_bits")
def test_every_sequence_leaves_out_those_whose_versions_roll_over_and_must_not() -> None:
    scope = Scope(2, 1, 1, 5)
    assert everything.shortest(IndexNarrow(), frozenset(), scope) == {}
    assert everything.shortest(IndexNarrow(), frozenset({"rollover"}), scope) == {Signature("skip", elsewhere=True): 5}


def test_every_sequence_leaves_out_a_tail_where_a_table_has_none() -> None:
    hazards: frozenset[Hazard] = frozenset({"add-tail"})
    every = list(everything.sequences(OffsetTcp(), hazards, Scope(1, 1, 1, 3)))
    assert every
    assert not any(
        isinstance(one, Add) and one.end == "tail" and one.bucket.table == "established"
        for operations in every
        for one in operations
    )


def agree(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, reader: Reader | None = None) -> None:
    """The search and every sequence find the same violations, with the same lengths."""
    result = search(scheme, hazards, scope, reader=reader)
    assert {one.signature: one.operations for one in result.violations} == everything.shortest(
        scheme, hazards, scope, reader=reader
    )


@pytest.mark.parametrize("hazard", ["close", "accept", "destroy", "destroying"])
def test_the_search_finds_the_violations_of_every_short_life(hazard: Hazard) -> None:
    agree(FullBatchHeld(), frozenset({hazard, "show"}), Scope(2, 1, 1, 4))
    agree(OffsetTcp(), frozenset({hazard}), Scope(1, 1, 1, 4))


def test_the_search_and_every_sequence_find_the_skip_of_destroying_reads() -> None:
    hazards: frozenset[Hazard] = frozenset({"destroying"})
    scope = Scope(2, 1, 1, 4)
    agree(OffsetUdp(), hazards, scope)
    assert everything.shortest(OffsetUdp(), hazards, Scope(2, 1, 1, 5)) == {Signature("skip"): 5}


def test_every_sequence_uses_only_its_hazards_and_all_of_them() -> None:
    hazards: frozenset[Hazard] = frozenset({"close", "accept", "destroy", "destroying"})
    every = list(everything.sequences(Index(), hazards, Scope(1, 1, 1, 4)))

    for operations in every:
        check(operations)
        assert length(operations) <= 4
        assert hazards_of(operations) <= hazards
    assert frozenset().union(*map(hazards_of, every)) == hazards
    assert {type(change) for operations in every for op in operations for change in changes(op)} >= {Close, Accept, Destroy}


def test_no_sequence_with_more_sockets_at_once_is_judged() -> None:
    # A destroying read makes room for another socket; a plain read does not.
    every = set(everything.sequences(Index(), frozenset({"destroying", "add-head"}), Scope(1, 1, 1, 5)))
    two = {operations for operations in every if sum(isinstance(op, Add) for op in operations) == 2}

    def most(operations: tuple[Operation, ...]) -> int:
        return everything.most_at_once(run(TARGET, TARGET, operations))

    assert {most(operations) for operations in two} == {1, 2}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_sequence_of_a_reader_is_one_that_it_makes(reader: Reader) -> None:
    every = list(everything.sequences(Index(), frozenset(), Scope(1, 1, 1, 4), reader))
    ended = [operations for operations in every if reader.passes == 1 or Again() in operations]

    assert ended
    assert all(map(reader.allows, ended))
    assert not any(features_of(operations) & {"bytes", "unwanted"} for operations in every)
    if not reader.stops:
        assert not any(isinstance(op, Read) and op.count in (1, 2) for operations in every for op in operations)
    agree(OffsetUdp(), frozenset({"remove"}), Scope(2, 1, 1, 4 if reader.passes == 1 else 5), reader)


def test_a_second_pass_counts_only_behind_the_end_of_the_first() -> None:
    twice = reader_named("partial-twice")
    assert everything.shortest(OffsetUdp(), frozenset({"remove"}), Scope(2, 1, 1, 6), reader=twice) == {}


def test_a_destroying_read_makes_no_room_for_more_sockets_than_the_scope_has() -> None:
    hazards: frozenset[Hazard] = frozenset({"destroying", "add-head", "enomem"})
    agree(OffsetUdp(), hazards, Scope(1, 1, 1, 5))
