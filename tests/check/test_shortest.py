"""The last step of shrinking: a shortest case, and always the same one."""

from __future__ import annotations

from typing import Any

import pytest

from sockiter.backend import SLOTS, run
from sockiter.check import search
from sockiter.check.result import Scope
from sockiter.check.shortest import shortest, spanned
from sockiter.claims import KnownFailure, known_failure
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.fuzzing.triage import fails_as
from sockiter.operations import Add, At, Bucket, Destroy, Fail, Open, Operation, Read, Rehash, Reinsert, Remove, length
from sockiter.oracle import judge
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import AnyScheme
from sockiter.schemes.unix import Unix
from sockiter.shrink.minimize import Patience, minimize
from sockiter.simulation import SchemeTarget
from sockiter.table import Table
from sockiter.verdict import Finding, Signature

Operations = tuple[Operation, ...]
SKIP: Operations = (Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Remove("A"), Read(None))


def sought(
    scheme: AnyScheme, operations: Operations, finding: Finding, slots: int = SLOTS, *, states_max: int = 60_000
) -> tuple[Operations, int, bool]:
    target = SchemeTarget(scheme)
    fails = fails_as(finding, target, target)
    return shortest(scheme, operations, slots, finding.signature, fails, states_max=states_max)


def test_a_shortest_sequence_stays_unchanged_and_is_marked_as_shortest() -> None:
    assert sought(OffsetUdp(), SKIP, Finding("skip", "B")) == (SKIP, SLOTS, True)


def test_a_shortest_case_that_no_pass_reaches_is_found() -> None:
    # Two moves where one will do, of another socket and at another time.
    long: Operations = (
        Add("A", "tail"),
        Add("B", "tail"),
        Add("C", "tail"),
        Open(),
        Read(2),
        Remove("A"),
        Remove("B"),
        Read(None),
    )
    assert sought(OffsetUdp(), long, Finding("skip", "C")) == (SKIP, SLOTS, True)


def test_a_case_uses_no_hazard_that_the_given_one_does_not() -> None:
    given: Operations = (Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Reinsert("A", "tail"), Read(None))
    operations, _, is_sure = sought(OffsetUdp(), given, Finding("skip", "B"))
    assert is_sure
    assert not any(isinstance(op, Remove) for op in operations)


def test_a_failure_that_needs_a_small_batch_keeps_a_small_batch() -> None:
    # In a bucket of more sockets than slots, with the larger batch refused.
    given: Operations = (
        Add("A", "tail"),
        Add("B", "tail"),
        Open(),
        Read(None, (At("realloc", 1, Fail()),)),
    )
    operations, slots, is_sure = sought(CookieUdp(), given, Finding("refused"), slots=1)
    assert (length(operations), slots, is_sure) == (5, 1, True)


def test_several_buckets_are_searched_where_the_case_spans_them() -> None:
    given: Operations = (
        Add("A", "tail"),
        Add("B", "tail", Bucket(1)),
        Open(),
        Read(1),
        Rehash("B", Bucket(0)),
        Read(None),
    )
    operations, _, is_sure = sought(OffsetUdp(), given, Finding("skip", "B", True))
    assert (is_sure, length(operations)) == (True, 6)


@pytest.mark.parametrize("finding", [Finding("stale", "A"), Finding("incomplete")])
def test_a_sequence_that_the_search_cannot_find_stays_unchanged(finding: Finding) -> None:
    assert sought(OffsetUdp(), SKIP, finding) == (SKIP, SLOTS, False)


def test_a_read_that_gives_up_at_an_error_is_left_alone() -> None:
    given = (*SKIP[:-1], Read(None, (), gives_up=True))
    assert sought(OffsetUdp(), given, Finding("skip", "B")) == (given, SLOTS, False)


def test_where_there_are_too_many_states_it_is_not_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REPORT", 1)
    many: Operations = (
        *(Add(name, "tail") for name in "ABCDEFGHI"),
        Open(),
        Read(1),
        Remove("A"),
        Reinsert("C", "head"),
        Read(None),
    )
    assert sought(OffsetUdp(), many, Finding("skip", "B"), states_max=10) == (many, SLOTS, False)


def test_a_sequence_of_an_unsearchable_scheme_stays_unchanged() -> None:
    class Unlike(Rank):
        def open(self, slots: int, table: Table) -> Any:
            return None

    assert sought(Unlike(), SKIP, Finding("skip", "B")) == (SKIP, SLOTS, False)


def test_a_shorter_sequence_that_does_not_fail_is_not_taken() -> None:
    assert shortest(OffsetUdp(), SKIP, SLOTS, Signature("skip"), lambda operations, slots: False) == (SKIP, SLOTS, False)


LONG: Operations = (Add("C", "tail"), *SKIP)


def test_a_search_that_is_interrupted_leaves_the_sequence_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sockiter.check.search._Search._breadth_first", interrupt)
    target, patience = SchemeTarget(OffsetUdp()), Patience()
    fails = fails_as(Finding("skip", "B"), target, target)
    assert shortest(OffsetUdp(), LONG, SLOTS, Signature("skip"), fails, patience=patience) == (LONG, SLOTS, False)
    assert patience.interrupted


@pytest.mark.parametrize("asked", range(4))
def test_where_patience_ends_the_sequence_stays_as_it_was_given(asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "REPORT", 10_000)
    left = iter([False] * asked)
    target, patience = SchemeTarget(OffsetUdp()), Patience(lambda: next(left, True))
    fails = fails_as(Finding("skip", "B"), target, target)
    assert shortest(OffsetUdp(), LONG, SLOTS, Signature("skip"), fails, patience=patience) == (LONG, SLOTS, False)
    assert patience.ended
    assert not patience.interrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "of"),
    [
        (OffsetUdp(), known_failure("skip", "remove")),
        pytest.param(CookieUdp(), known_failure("skip", "remove", "enomem"), marks=pytest.mark.deep),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_fifty_finds_end_in_a_shortest_case_and_nearly_always_the_same(scheme: AnyScheme, of: KnownFailure) -> None:
    fifty_end_alike(scheme, of)


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize(
    ("scheme", "of"),
    [
        (scheme, one)
        for scheme in (OffsetUdp(), Index(), CookieUdp(), Unix())
        for one in scheme.known_failures
        # A failure in one of ten thousand sequences cannot be drawn 50 times; the slow ones need three hazards.
        if len(one.hazards) <= 2 and str(one) not in {"skip under rehash, realloc", "repeat under rehash, enomem"}
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_fifty_findings_of_every_known_failure_end_in_a_shortest_case(scheme: AnyScheme, of: KnownFailure) -> None:
    fifty_end_alike(scheme, of)


def fifty_end_alike(scheme: AnyScheme, of: KnownFailure) -> None:
    target = SchemeTarget(scheme)
    ends = []
    for seed in range(50):
        found = drawn(target, of, seed)
        if found is not None:
            operations, slots, finding = found
            fails = fails_as(finding, target, target)
            ends.append(shortest(scheme, *minimize(operations, slots, fails), of.signature, fails))
    lengths = [length(operations) for operations, _, _ in ends]
    assert len(ends) >= 25
    assert lengths.count(min(lengths)) >= 0.95 * len(ends)
    assert sum(is_sure for _, _, is_sure in ends) >= 0.95 * len(ends)
    assert len({(operations, slots) for operations, slots, _ in ends}) <= 3


def drawn(target: SchemeTarget, of: KnownFailure, seed: int) -> tuple[Operations, int, Finding] | None:
    swarm = Swarm(f"{seed}", of.hazards, Room.of(target))
    for _ in range(2000):
        operations, slots = swarm.sequence()
        for finding in judge(run(target, target, operations, slots=slots)):
            if finding.signature == of.signature:
                return operations, slots, finding
    return None


def test_a_scope_counts_the_sockets_that_were_destroyed() -> None:
    destroyed: Operations = (Add("A", "tail"), Add("B", "tail"), Open(), Destroy("A"), Add("C", "head"), Read(None))
    by_reads: Operations = (
        Add("A", "tail"),
        Add("B", "tail"),
        Open(),
        Read(1, destroying=True),
        Add("C", "head"),
        Read(None),
    )
    by_none: Operations = (Add("A", "tail"), Open(), Read(1), Add("C", "head"), Read(None, destroying=True))
    before: Operations = (Add("A", "tail"), Add("B", "tail"), Remove("A"), Open(), Read(None, destroying=True))

    for operations in (destroyed, by_reads, by_none, before):
        assert spanned(OffsetUdp(), operations, 4, 7) == Scope(2, 1, 4, 7)


def test_a_shortest_case_may_destroy() -> None:
    skip: Operations = (
        Add("A", "tail"),
        Add("B", "tail"),
        Open(),
        Read(1, destroying=True),
        Add("C", "tail"),
        Read(None),
    )
    assert sought(OffsetUdp(), skip, Finding("skip", "B")) == (
        (Add("A", "tail"), Add("B", "tail"), Open(), Read(1, destroying=True), Read(None)),
        SLOTS,
        True,
    )
