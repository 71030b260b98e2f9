"""The operations: possible sequences, the rest of a sequence that was cut, and the length of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockiter.operations import (
    FIRST,
    READS_MAX,
    Add,
    At,
    Bucket,
    Change,
    Fail,
    Impossible,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    check,
    has_tail,
    length,
    possible,
    reads_max,
)

A, B = Add("A", "tail"), Add("B", "head", Bucket(1))
OPEN, READ = Open(), Read(1)
ESTABLISHED = Bucket(0, "established")
# In a table without a tail.
E = Add("E", "head", ESTABLISHED)


def reading(*inside: Change | Fail) -> Read:
    """A read with a change at its first show, or a refusal at its first allocation, for each thing that is given."""
    return Read(1, tuple(At("realloc" if what == Fail() else "show", 1, what) for what in inside))


def accepts(operations: Sequence[Operation]) -> bool:
    try:
        check(operations)
    except Impossible:
        return False
    return True


NAMES = st.sampled_from("AB")
ENDS = st.sampled_from(("head", "tail"))
BUCKETS = st.sampled_from((FIRST, Bucket(1), ESTABLISHED))
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(Add, NAMES, ENDS, BUCKETS),
    st.builds(Remove, NAMES),
    st.builds(Reinsert, NAMES, ENDS),
    st.builds(Rehash, NAMES, BUCKETS),
)
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.just(OPEN),
    CHANGES,
    st.builds(reading),
    st.builds(lambda inside: reading(*inside), st.lists(CHANGES | st.just(Fail()), max_size=3)),
)


@pytest.mark.parametrize(
    ("bucket", "text"),
    [(FIRST, "0"), (Bucket(7), "7"), (Bucket(2, "established"), "established:2")],
    ids=str,
)
def test_a_bucket_is_written_as_its_number_behind_the_name_of_its_table(bucket: Bucket, text: str) -> None:
    assert str(bucket) == text


def test_buckets_are_sorted_by_number_and_then_by_table() -> None:
    assert sorted([Bucket(1), Bucket(0, "b"), Bucket(0)]) == [Bucket(0), Bucket(0, "b"), Bucket(1)]


@pytest.mark.parametrize(
    "operation",
    [OPEN, A, Remove("A"), Reinsert("A", "head"), Rehash("A", Bucket(1)), reading(B, Fail()), Read(None, gives_up=True)],
    ids=lambda operation: type(operation).__name__,
)
def test_an_operation_is_a_hashable_value(operation: Operation) -> None:
    assert len({operation, replace(operation)}) == 1


@pytest.mark.parametrize("count", [1, 1_000_000])
def test_a_read_for_some_records_is_one_read_whatever_is_inside_it(count: int) -> None:
    assert reads_max(Read(count, reading(A, Fail()).at)) == 1


def test_a_read_of_all_may_make_a_hundred_reads_and_one_more_for_everything_inside_it() -> None:
    assert READS_MAX == 100
    assert reads_max(Read(None)) == 100
    assert reads_max(Read(None, reading(A, Fail()).at)) == 102


def test_a_read_continues_after_an_error_by_default() -> None:
    assert not Read(None).gives_up
    assert Read(None) != Read(None, gives_up=True)


def test_a_read_that_gives_up_may_make_as_many_reads_and_is_as_long_as_one_that_does_not() -> None:
    giving_up = Read(None, reading(A, Fail()).at, gives_up=True)
    assert reads_max(giving_up) == reads_max(replace(giving_up, gives_up=False)) == 102
    assert length([OPEN, giving_up]) == 4
    assert list(changes(giving_up)) == [A]


@pytest.mark.parametrize(("table", "has"), [("", True), ("listening", True), ("established", False)])
def test_sockets_can_be_put_at_the_tail_everywhere_but_in_the_established_table(table: str, has: bool) -> None:
    assert has_tail(table) == has


@pytest.mark.parametrize(
    ("operations", "lines"),
    [
        ([], 0),
        ([OPEN], 1),
        ([A, OPEN, Read(None)], 3),
        ([A, OPEN, reading(B), reading(Remove("A"), Fail()), Remove("B")], 8),
    ],
    ids=["nothing", "open", "plain", "inside"],
)
def test_a_sequence_is_as_long_as_its_lines(operations: list[Operation], lines: int) -> None:
    assert length(operations) == lines


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (OPEN, []),
        (READ, []),
        (A, [A]),
        (Remove("A"), [Remove("A")]),
        (Reinsert("A", "head"), [Reinsert("A", "head")]),
        (Rehash("A", Bucket(1)), [Rehash("A", Bucket(1))]),
        (reading(B, Fail(), Remove("A")), [B, Remove("A")]),
    ],
    ids=["open", "read", "add", "remove", "reinsert", "rehash", "inside"],
)
def test_an_operation_lists_its_changes(operation: Operation, expected: list[Change]) -> None:
    assert list(changes(operation)) == expected


@pytest.mark.parametrize(
    "operations",
    [
        [OPEN],
        [A, B, OPEN, READ, Remove("A"), Reinsert("B", "head"), Rehash("B", FIRST), Read(None)],
        [OPEN, reading(A, Fail(), Reinsert("A", "tail"), Remove("A")), READ],
        [A, Reinsert("A", "head"), Rehash("A", Bucket(3)), Remove("A"), OPEN],
        [A, E, OPEN, Reinsert("E", "head"), Rehash("A", ESTABLISHED), Reinsert("A", "head"), reading(Remove("E"))],
        [E, OPEN, Rehash("E", FIRST), Reinsert("E", "tail"), reading(Add("A", "tail", Bucket(2, "listening")))],
        [E, OPEN, Rehash("E", Bucket(1, "listening")), reading(Reinsert("E", "tail")), Read(None, gives_up=True)],
    ],
    ids=["open", "after", "inside", "before", "without a tail", "out of there", "named"],
)
def test_a_possible_sequence_is_accepted_and_kept_whole(operations: list[Operation]) -> None:
    check(operations)
    assert possible(operations) == tuple(operations)


NO_OPEN = "the iterator is never opened; expected one `open`"
NEVER = "socket 'X' was never added; expected one that is in the table"
GONE = "socket 'A' is not in the table any more; expected one that is in the table"
USED = "a socket named 'A' was added before; expected a name that is new"
HEAD_ONLY = "table 'established' takes sockets at the head only; expected `head`"


def in_there(name: str) -> str:
    return f"socket {name!r} is in table 'established', which takes sockets at the head only; expected `head`"


T = Add("T", "tail", ESTABLISHED)
TO_TAIL = Reinsert("A", "tail")


@pytest.mark.parametrize(
    ("operations", "index", "inside", "why", "kept"),
    [
        ([], 0, None, NO_OPEN, []),
        ([A, B], 2, None, NO_OPEN, []),
        ([A, READ], 1, None, "a read before open; expected `open` above the first read", []),
        ([A, reading(B), OPEN], 1, None, "a read before open; expected `open` above the first read", [A, OPEN]),
        ([OPEN, A, OPEN, READ], 2, None, "the iterator is open already; expected one `open`", [OPEN, A, READ]),
        ([A, A, OPEN], 1, None, USED, [A, OPEN]),
        ([A, Remove("A"), A, OPEN], 2, None, USED, [A, Remove("A"), OPEN]),
        ([OPEN, A, Remove("A"), Remove("A")], 3, None, GONE, [OPEN, A, Remove("A")]),
        ([OPEN, A, Remove("A"), Reinsert("A", "head")], 3, None, GONE, [OPEN, A, Remove("A")]),
        ([OPEN, A, Remove("A"), Rehash("A", FIRST)], 3, None, GONE, [OPEN, A, Remove("A")]),
        ([OPEN, Remove("X")], 1, None, NEVER, [OPEN]),
        ([Reinsert("X", "tail"), OPEN], 0, None, NEVER, [OPEN]),
        ([OPEN, READ, Rehash("X", FIRST)], 2, None, NEVER, [OPEN, READ]),
        ([OPEN, reading(Fail(), A, Remove("X"), B)], 1, 2, NEVER, [OPEN, reading(Fail(), A, B)]),
        ([A, OPEN, reading(Remove("A")), Remove("A")], 3, None, GONE, [A, OPEN, reading(Remove("A"))]),
        ([A, OPEN, reading(A)], 2, 0, USED, [A, OPEN, READ]),
        ([T, OPEN], 0, None, HEAD_ONLY, [OPEN]),
        ([OPEN, reading(A, T)], 1, 1, HEAD_ONLY, [OPEN, reading(A)]),
        ([A, Add("A", "tail", ESTABLISHED), OPEN], 1, None, USED, [A, OPEN]),
        ([E, OPEN, Reinsert("E", "tail"), READ], 2, None, in_there("E"), [E, OPEN, READ]),
        ([E, OPEN, reading(Reinsert("E", "tail"))], 2, 0, in_there("E"), [E, OPEN, READ]),
        ([A, OPEN, Rehash("A", ESTABLISHED), TO_TAIL], 3, None, in_there("A"), [A, OPEN, Rehash("A", ESTABLISHED)]),
        (
            [A, Rehash("A", ESTABLISHED), OPEN, reading(TO_TAIL)],
            3,
            0,
            in_there("A"),
            [A, Rehash("A", ESTABLISHED), OPEN, READ],
        ),
        (
            [A, OPEN, reading(Rehash("A", ESTABLISHED)), TO_TAIL],
            3,
            None,
            in_there("A"),
            [A, OPEN, reading(Rehash("A", ESTABLISHED))],
        ),
        ([E, OPEN, Remove("E"), Reinsert("E", "tail")], 3, None, GONE.replace("A", "E"), [E, OPEN, Remove("E")]),
    ],
)
def test_an_impossible_operation_is_refused_with_its_place_and_left_out(
    operations: list[Operation], index: int, inside: int | None, why: str, kept: list[Operation]
) -> None:
    with pytest.raises(Impossible) as caught:
        check(operations)
    assert (caught.value.index, caught.value.inside, str(caught.value)) == (index, inside, why)
    assert possible(operations) == tuple(kept)


def test_a_name_that_a_refused_read_would_have_given_is_still_free() -> None:
    assert possible([reading(A), OPEN, A]) == (OPEN, A)


def test_a_name_that_was_refused_for_its_end_is_still_free() -> None:
    assert possible([Add("A", "tail", ESTABLISHED), OPEN, A]) == (OPEN, A)


def test_a_read_that_gives_up_does_so_too_where_something_inside_it_was_left_out() -> None:
    giving_up = Read(None, reading(Fail(), Remove("X")).at, gives_up=True)
    assert possible([OPEN, giving_up]) == (OPEN, Read(None, reading(Fail()).at, gives_up=True))


@given(st.lists(OPERATIONS, max_size=10))
def test_the_valid_part_of_any_sequence_can_be_run(operations: list[Operation]) -> None:
    kept = possible(operations)
    assert accepts(kept) == (OPEN in operations)
    assert possible(kept) == kept
    if accepts(operations):
        assert kept == tuple(operations)
    assert all(operation in operations or isinstance(operation, Read) for operation in kept)
