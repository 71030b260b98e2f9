"""How `unix` keeps its place, step by step, against bpf_iter_unix_batch of Linux 6.1 to 7.1."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.operations import Add, Bucket, Reinsert, Remove
from sockiter.schemes.unix import State, Unix
from sockiter.table import Table
from sockiter.targets import target_named
from tests.support.scheme_steps import changed, table, walk

SCHEME = Unix()


def opened(slots: int = 9) -> State:
    return State(0, 1, False, slots)


class TestTheWalk:
    def test_starts_at_the_first_bucket_with_an_offset_of_one_and_the_flag_down(self) -> None:
        assert SCHEME.open(9, table("")) == opened()

    def test_goes_through_all_buckets(self) -> None:
        assert walk(SCHEME, opened(), table("AB", "", "C"))[0] == "A B C"

    def test_leaves_the_flag_up_at_its_end_too(self) -> None:
        assert walk(SCHEME, opened(), table("A", "B"))[1] == State(2, 1, True, 9)

    def test_is_over_after_the_end(self) -> None:
        now = table("A", "B")
        _, state = walk(SCHEME, opened(), now)
        assert walk(SCHEME, state, changed(now, Add("C", "head", Bucket(1)))) == ("", state)

    def test_of_an_empty_table_is_over_with_the_flag_down(self) -> None:
        assert walk(SCHEME, opened(), table("", "")) == ("", State(2, 1, False, 9))

    def test_shows_the_sockets_from_the_time_when_the_batch_was_made(self) -> None:
        before = table("AB", "C")
        other = changed(before, Remove("B"), Add("D", "head"), Add("E", "head", Bucket(1)))
        assert walk(SCHEME, opened(), before, meanwhile={"A": other})[0] == "A B E C"

    def test_is_written_as_bucket_and_offset(self) -> None:
        assert SCHEME.place(State(3, 2, True, 9)) == "3:2"


class TestTheFlag:
    def test_is_up_as_soon_as_a_whole_bucket_went_into_the_batch_and_a_stop_leaves_it_up(self) -> None:
        assert walk(SCHEME, opened(), table("ABC"), stop="A") == ("A", State(0, 1, True, 9))
        assert walk(SCHEME, opened(), table("ABC"), stop="C") == ("A B C", State(0, 3, True, 9))
        assert walk(SCHEME, opened(), table("AB", "", "CD"), stop="C") == ("A B C", State(2, 1, True, 9))

    def test_makes_the_next_read_begin_with_the_first_socket_behind_the_bucket(self) -> None:
        assert walk(SCHEME, State(0, 2, True, 9), table("ABC", "", "DE"), stop="E") == ("D E", State(2, 2, True, 9))

    def test_concerns_the_rest_of_the_bucket_from_the_offset_on(self) -> None:
        assert walk(SCHEME, State(0, 3, False, 2), table("ABCD"), stop="C") == ("C", State(0, 3, True, 2))

    def test_is_up_where_the_batch_is_just_large_enough_and_where_it_was_made_so(self) -> None:
        assert walk(SCHEME, opened(3), table("ABC"), stop="B") == ("A B", State(0, 2, True, 3))
        assert walk(SCHEME, opened(2), table("ABC"), stop="B") == ("grow:4 A B", State(0, 2, True, 4))

    def test_stays_down_where_not_all_fitted_so_that_a_stop_loses_nothing(self) -> None:
        now = table("ABC")
        asked, state = walk(SCHEME, opened(2), now, refuse=["grow:4"], stop="B")
        assert (asked, state) == ("grow:4 A B", State(0, 2, False, 2))
        assert walk(SCHEME, state, now)[0] == "B C"

    def test_is_never_taken_down_so_that_after_a_whole_bucket_a_partial_batch_is_done_with_its_bucket_too(self) -> None:
        now = table("A", "BCD", "E")
        asked, state = walk(SCHEME, opened(2), now, refuse=["grow:4"], stop="C")
        assert (asked, state) == ("A grow:4 B C", State(1, 2, True, 2))
        assert walk(SCHEME, opened(2), now, refuse=["grow:4"])[0] == "A grow:4 B C E"


class TestTheOffset:
    def test_is_of_the_next_socket_counted_from_one(self) -> None:
        now = table("ABCDE")
        asked, state = walk(SCHEME, opened(3), now, refuse=["grow:7"], stop="C")
        assert (asked, state) == ("grow:7 A B C", State(0, 3, False, 3))
        assert walk(SCHEME, state, now, stop="E") == ("C D E", State(0, 5, True, 3))

    def test_skips_a_socket_when_a_seen_one_left_and_repeats_one_when_another_entered_at_the_head(self) -> None:
        assert walk(SCHEME, State(0, 2, False, 9), table("BC"))[0] == "C"
        assert walk(SCHEME, State(0, 2, False, 9), table("DABC"))[0] == "A B C"
        assert walk(SCHEME, State(0, 2, False, 9), changed(table("ABC"), Reinsert("C", "head")))[0] == "A B"

    def test_behind_the_rest_of_its_bucket_is_the_head_of_the_next(self) -> None:
        assert walk(SCHEME, State(0, 4, False, 9), table("ABC", "", "DE"), stop="D") == ("D", State(2, 1, True, 9))

    def test_is_that_of_the_next_bucket_by_then_when_a_batch_is_made_again(self) -> None:
        before = table("A", "BC")
        more = changed(before, Add("D", "tail"), Add("E", "tail"))
        assert walk(SCHEME, State(0, 2, False, 1), before, meanwhile={"grow:3": more})[0] == "grow:3 B C"


class TestGrowing:
    def test_is_to_half_as_much_again_as_is_left_of_the_bucket(self) -> None:
        assert walk(SCHEME, opened(4), table("ABCDE")) == ("grow:7 A B C D E", State(1, 1, True, 7))
        assert walk(SCHEME, State(0, 3, False, 2), table("ABCDE"))[0] == "grow:4 C D E"

    def test_that_is_refused_is_no_error_and_asked_for_again_for_the_rest(self) -> None:
        asked, state = walk(SCHEME, opened(2), table("ABCDE"), refuse=["grow:7", "grow:4"])
        assert (asked, state) == ("grow:7 A B grow:4 C D E", State(1, 1, True, 2))

    def test_that_is_refused_leaves_the_batch_as_it_was_made(self) -> None:
        before = table("ABC")
        other = changed(before, Remove("A"), Remove("B"))
        assert walk(SCHEME, opened(2), before, refuse=["grow:4"], meanwhile={"grow:4": other})[0] == "grow:4 A B"

    def test_that_is_not_enough_is_not_asked_for_twice_and_leaves_the_flag_down(self) -> None:
        before = table("AB")
        more = changed(before, *(Add(name, "tail") for name in "CDE"))
        assert walk(SCHEME, opened(1), before, meanwhile={"grow:3": more}) == ("grow:3 A B C D E", State(1, 1, True, 3))
        asked, state = walk(SCHEME, opened(1), before, meanwhile={"grow:3": more}, stop="C")
        assert (asked, state) == ("grow:3 A B C", State(0, 3, False, 3))
        assert walk(SCHEME, state, more)[0] == "C D E"

    def test_makes_the_batch_anew_as_the_bucket_is_by_then(self) -> None:
        before = table("ABC", "D")
        assert walk(SCHEME, opened(2), before, meanwhile={"grow:4": changed(before, Remove("A"))})[0] == "grow:4 B C D"
        gone = changed(before, Remove("A"), Remove("B"), Remove("C"))
        assert walk(SCHEME, opened(2), before, meanwhile={"grow:4": gone})[0] == "grow:4 D"


def delivered(before: Table, *reads: str) -> list[str]:
    """The result of each of these reads, through the frame of read(2)."""
    sockets = [f"add {name} head in {n}" for n, names in enumerate(before.names) for name in reversed(names)]
    text = "\n".join([*sockets, "open", *(f"read {size}" for size in reads)])
    with (target := target_named("unix")).session() as session:
        return ["".join(read.delivered) for read in run(session, target, loads(text).operations).reads]


def test_everything_that_is_in_the_batch_at_a_stop_and_was_not_shown_is_lost() -> None:
    assert delivered(table("ABCD", "EF"), "1", "all") == ["A", "EF", ""]
    assert delivered(table("ABCD", "EF"), "3", "1", "all") == ["ABC", "E", ""]


def test_when_a_read_ends_exactly_with_the_last_socket_of_a_bucket_the_next_buckets_batch_is_lost_whole() -> None:
    assert delivered(table("AB", "CDE", "F"), "2", "all") == ["AB", "F", ""]
    assert delivered(table("AB", "", "", "CDE", "F"), "2", "all") == ["AB", "F", ""]


def test_with_single_socket_buckets_reads_of_one_record_lose_every_second_socket() -> None:
    assert delivered(table(*"ABCDEFG"), *["1"] * 5) == ["A", "C", "E", "G", ""]
    assert delivered(table(*"ABCDEF"), *["1"] * 4) == ["A", "C", "E", ""]


@pytest.mark.parametrize("size", ["all", "100"])
def test_a_read_that_is_large_enough_loses_nothing(size: str) -> None:
    assert delivered(table("ABC", "", "DE", "F"), size)[0] == "ABCDEF"


def test_known_the_walk_does_not_begin_again_behind_the_end_as_it_does_in_a_kernel_after_some_hundred_reads() -> None:
    assert delivered(table("A"), *["1"] * 1000) == ["A", *[""] * 999]
