"""How `proc-tcp` keeps its place, step by step, against tcp_seq_start and tcp_seek_last_pos of Linux 6.1 to 7.1."""

from __future__ import annotations

import pytest

from sockiter.operations import Add, Bucket, Remove
from sockiter.schemes.proc_tcp import Looking, ProcTcp, Showing, State
from sockiter.schemes.scheme import Where
from sockiter.table import Socket, Table
from tests.support.scheme_steps import changed, tcp, walk

SCHEME = ProcTcp()
NEW = State(0, 0, 0, 0)


def listening(shown: int, bucket: int, offset: int) -> State:
    return State(shown, 0, bucket, offset)


def established(shown: int, bucket: int, offset: int) -> State:
    return State(shown, 1, bucket, offset)


def over(shown: int) -> State:
    return State(shown, 2, 0, 0)


class TestTheWalk:
    def test_goes_through_both_tables_bucket_by_bucket(self) -> None:
        assert SCHEME.open(9, tcp("")) == NEW
        assert walk(SCHEME, NEW, tcp("AB", "", "C", est=("D", "EF"))) == ("A B C D E F", over(6))

    def test_of_an_empty_table_is_over(self) -> None:
        assert walk(SCHEME, NEW, tcp("", est=("",))) == ("", over(0))
        assert walk(SCHEME, over(0), tcp("A", est=("B",))) == ("A B", over(2))

    def test_stops_at_the_next_socket_in_whichever_table_it_is(self) -> None:
        now = tcp("AB", "", "C", est=("D",))
        assert walk(SCHEME, NEW, now, stop="B") == ("A B", listening(1, 0, 1))
        assert walk(SCHEME, NEW, now, stop="C") == ("A B C", listening(2, 2, 0))
        assert walk(SCHEME, NEW, now, stop="D") == ("A B C D", established(3, 0, 0))

    def test_waits_before_each_bucket(self) -> None:
        step = SCHEME.begin(NEW, tcp("A", "B"))
        assert step == Looking(0, 0, 0, 0, -1, "count")
        step = SCHEME.resume(step, True, tcp("A", "B"))
        assert step == Showing(0, 0, 0, 0, Socket("A", 1))
        assert SCHEME.resume(step, True, tcp("A", "B")) == Looking(1, 0, 1, 0, -1, "on")

    def test_goes_on_where_a_bucket_has_become_empty_before_its_lock_is_taken(self) -> None:
        step = SCHEME.begin(NEW, tcp("A", "B"))
        assert isinstance(step, Looking)
        assert SCHEME.resume(step, True, tcp("", "B")) == Looking(0, 0, 1, 0, -1, "count")

    @pytest.mark.parametrize(
        ("state", "place"),
        [(listening(5, 2, 1), "listening:2:1"), (established(1, 0, 3), "established:0:3"), (over(3), "-")],
    )
    def test_is_written_as_table_bucket_and_offset(self, state: State, place: str) -> None:
        assert SCHEME.place(state) == place


class TestThePlace:
    def test_skips_a_socket_when_a_seen_one_left_and_repeats_one_when_another_entered_at_the_head(self) -> None:
        assert walk(SCHEME, listening(2, 0, 2), tcp("BCD"))[0] == "D"
        assert walk(SCHEME, listening(2, 0, 2), tcp("XABC"))[0] == "B C"

    def test_behind_what_is_left_of_its_bucket_is_the_head_of_the_next(self) -> None:
        # The count does not run on into the next bucket, as it did before 5.15.
        assert walk(SCHEME, listening(2, 0, 2), tcp("", "DE"))[0] == "D E"
        assert walk(SCHEME, listening(2, 0, 2), tcp("C", "DE"))[0] == "D E"

    def test_is_counted_on_in_the_established_bucket_of_the_same_number(self) -> None:
        assert walk(SCHEME, listening(3, 0, 3), tcp("A", est=("STUV",)))[0] == "T U V"
        assert walk(SCHEME, listening(3, 0, 3), tcp("A", est=("", "STUV")))[0] == "S T U V"

    def test_passes_over_all_of_that_bucket_if_no_count_is_left(self) -> None:
        assert walk(SCHEME, listening(1, 0, 1), tcp("A", est=("STUV", "W")))[0] == "W"


class TestTheCount:
    def test_begins_anew_where_no_socket_is_found(self) -> None:
        # All of STUV is passed over, and then one shown socket is counted off from the first bucket on.
        assert walk(SCHEME, listening(1, 0, 1), tcp("A", est=("STUV",))) == ("S T U V", over(5))
        assert walk(SCHEME, listening(2, 0, 1), tcp("A", est=("ST",))) == ("T", over(3))

    def test_begins_anew_behind_the_end(self) -> None:
        assert walk(SCHEME, over(2), tcp("XAB", est=("",))) == ("B", over(3))
        assert walk(SCHEME, over(2), tcp("A", est=("XB",))) == ("B", over(3))
        assert walk(SCHEME, over(2), tcp("AB", est=("",))) == ("", over(2))

    def test_repeats_where_a_socket_entered_in_front_and_skips_where_one_left(self) -> None:
        assert walk(SCHEME, established(3, 1, 0), tcp("AB", est=("XC", "")))[0] == "C"
        assert walk(SCHEME, established(3, 1, 0), tcp("A", est=("CDE", "")))[0] == "E"

    def test_leaves_an_exact_place_again(self) -> None:
        assert walk(SCHEME, over(2), tcp("ABCD"), stop="D") == ("C D", listening(3, 0, 3))


class TestTheCanonicalForm:
    def form(self, at: State | Looking | Showing, now: Table) -> object:
        return SCHEME.canonical(at, now, Where(now, 3))

    def test_before_open_is_empty(self) -> None:
        assert SCHEME.canonical(None, tcp("A"), Where(tcp("A"), 3)) is None

    def test_has_positions_in_place_of_names(self) -> None:
        now = tcp("AB", est=("C",))
        assert self.form(Showing(1, 0, 0, 1, now.buckets[0][1]), now) == (1, 0, 0, 1, 1)

    def test_merges_counts_of_more_sockets_than_there_can_be(self) -> None:
        now = tcp("AB", est=("C",))
        assert self.form(over(5), now) != self.form(over(6), now) == self.form(over(99), now)
        counting = [Looking(shown, 0, 0, shown, -1, "count") for shown in (6, 99)]
        assert self.form(counting[0], now) == self.form(counting[1], now)


def test_a_removal_makes_it_begin_anew_and_skip_where_nothing_changed() -> None:
    before = tcp("B", "A", est=("", "C"))
    asked, state = walk(SCHEME, NEW, before, stop="A")
    assert (asked, state) == ("B A", listening(1, 1, 0))
    after = changed(before, Remove("A"), Remove("B"))
    assert walk(SCHEME, state, after) == ("", over(1))
    assert walk(SCHEME, over(1), changed(after, Add("D", "tail", Bucket(0)))) == ("C", over(2))
