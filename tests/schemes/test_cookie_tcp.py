"""How `cookie-tcp` keeps its place, step by step, against bpf_iter_tcp_batch and bpf_iter_tcp_resume of Linux 6.17 on."""

from __future__ import annotations

import pytest

from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.schemes.cookie_tcp import CookieTcp, State
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.cookie_udp import State as UdpState
from sockiter.table import Table
from tests.support.scheme_steps import changed, tcp, walk

SCHEME = CookieTcp()


def added(before: Table, names: str) -> Table:
    return changed(before, *(Add(name, "tail") for name in names))


def removed(before: Table, names: str) -> Table:
    return changed(before, *(Remove(name) for name in names))


class TestTheWalk:
    def test_starts_at_the_first_listening_bucket_with_nothing_captured(self) -> None:
        assert SCHEME.open(16, tcp("")) == State(0, (), 16)

    def test_goes_through_the_listening_buckets_and_then_the_established_ones(self) -> None:
        now = tcp("AB", "", "C", est=("DE", "", "F"))
        assert walk(SCHEME, SCHEME.open(16, now), now) == ("A B C D E F", State(6, (), 16))

    def test_loses_no_established_socket_without_listening_ones_or_with_equal_numbers(self) -> None:
        for now in (tcp("", est=("AB", "C")), tcp("A", est=("", "BC"))):
            assert walk(SCHEME, SCHEME.open(16, now), now)[0] == "A B C"

    @pytest.mark.parametrize(
        ("stop", "state"),
        [
            ("A", State(0, ("A", "B", "C"), 9)),
            ("B", State(0, ("B", "C"), 9)),
            ("D", State(2, ("D",), 9)),
            ("E", State(4, ("E", "F"), 9)),
            ("F", State(4, ("F",), 9)),
        ],
    )
    def test_remembers_captured_sockets_that_were_not_shown_in_the_order_of_the_list(self, stop: str, state: State) -> None:
        now = tcp("ABC", "", "D", est=("", "EF"))
        asked, after = walk(SCHEME, SCHEME.open(9, now), now, stop=stop)
        assert (asked.split()[-1], after) == (stop, state)
        assert walk(SCHEME, after, now)[0] == "A B C D E F"["A B C D E F".index(stop) :]

    def test_shows_the_sockets_from_the_time_when_the_bucket_was_captured(self) -> None:
        before = tcp("AB", "C")
        other = changed(before, Remove("B"), Add("D", "tail"), Add("E", "tail", Bucket(1)))
        assert walk(SCHEME, SCHEME.open(9, before), before, meanwhile={"A": other})[0] == "A B C E"

    def test_does_not_look_at_a_bucket_again_all_of_whose_captured_sockets_were_shown(self) -> None:
        before = tcp("A", "B")
        other = changed(before, Add("C", "tail"), Add("D", "head"))
        assert walk(SCHEME, SCHEME.open(9, before), before, meanwhile={"A": other})[0] == "A B"

    def test_is_over_after_the_end(self) -> None:
        now = tcp("A", est=("B",))
        asked, after = walk(SCHEME, SCHEME.open(9, now), now)
        assert (asked, after) == ("A B", State(2, (), 9))
        assert walk(SCHEME, after, changed(now, Add("C", "head", Bucket(0, "established")))) == ("", after)

    def test_of_an_empty_table_is_over_at_once(self) -> None:
        assert walk(SCHEME, SCHEME.open(9, tcp("")), tcp("", est=("",))) == ("", State(2, (), 9))

    def test_is_written_as_the_bucket_and_the_cookies(self) -> None:
        assert SCHEME.place(State(1, ("B", "C"), 16)) == "1:B,C"
        assert SCHEME.place(State(1, (), 16)) == "1:-"


class TestResuming:
    def test_with_cookies_goes_on_with_the_first_of_them_that_is_still_in_the_bucket(self) -> None:
        now = tcp("ABCDE")
        assert walk(SCHEME, State(0, ("C", "D", "E"), 9), now)[0] == "C D E"
        assert walk(SCHEME, State(0, ("C", "D", "E"), 9), removed(now, "AC"))[0] == "D E"

    def test_with_cookies_seeks_them_in_the_order_in_which_they_were_captured(self) -> None:
        now = changed(tcp("ABC"), Reinsert("C", "head"))
        assert walk(SCHEME, State(0, ("B", "C"), 9), now)[0] == "B"
        assert walk(SCHEME, State(0, ("C", "B"), 9), now)[0] == "C A B"

    def test_with_cookies_takes_sockets_added_behind_the_place_and_not_before_it(self) -> None:
        now = changed(tcp("ABC"), Add("D", "tail"), Add("E", "head"))
        assert walk(SCHEME, State(0, ("B", "C"), 9), now)[0] == "B C D"

    def test_with_none_of_its_cookies_left_goes_on_with_the_first_socket_behind_the_bucket(self) -> None:
        now = tcp("AB", "", "CD")
        assert walk(SCHEME, State(0, ("B",), 9), added(removed(now, "B"), "E"), stop="D") == ("C D", State(2, ("D",), 9))

    def test_with_cookies_in_a_bucket_that_ran_empty_goes_on_with_the_first_socket_behind_it(self) -> None:
        assert walk(SCHEME, State(0, ("A", "B"), 9), tcp("", "C", est=("D",)))[0] == "C D"

    def test_with_cookies_seeks_them_in_their_bucket_alone(self) -> None:
        now = changed(tcp("AB", "C"), Rehash("B", Bucket(1)))
        assert walk(SCHEME, State(0, ("B",), 9), now)[0] == "B C"
        assert walk(SCHEME, State(0, ("D",), 9), tcp("A", "CDE"))[0] == "C D E"

    @pytest.mark.parametrize("listening", ["A", ""], ids=["others are left", "nobody is left"])
    def test_with_cookies_does_not_take_them_over_to_the_established_table(self, listening: str) -> None:
        # Though it is a bucket of the same number, and a socket of that name is in it.
        assert walk(SCHEME, State(0, ("D",), 9), tcp(listening, est=("CDE",)))[0] == "C D E"

    def test_with_none_of_its_cookies_left_in_the_last_listening_bucket_goes_over(self) -> None:
        assert walk(SCHEME, State(1, ("B",), 9), tcp("A", "C", est=("", "DE")), stop="D") == ("D", State(3, ("D", "E"), 9))

    def test_with_cookies_in_the_established_table_looks_at_no_listening_socket(self) -> None:
        assert walk(SCHEME, State(1, ("D",), 9), tcp("A", est=("CDE", "F")))[0] == "D E F"
        assert walk(SCHEME, State(1, ("X",), 9), tcp("A", est=("CDE", "F")))[0] == "F"

    def test_with_none_of_its_cookies_left_in_the_last_bucket_is_the_end(self) -> None:
        assert walk(SCHEME, State(1, ("X",), 9), tcp("A", est=("CD",))) == ("", State(2, (), 9))

    def test_with_nothing_captured_yet_takes_the_whole_bucket(self) -> None:
        assert walk(SCHEME, State(0, (), 9), tcp("AB", "C"))[0] == "A B C"
        assert walk(SCHEME, State(1, (), 9), tcp("A", est=("BC",)))[0] == "B C"

    def test_meets_seen_sockets_again_behind_an_unseen_one_that_moved_to_the_head(self) -> None:
        assert walk(SCHEME, State(0, ("B",), 9), changed(tcp("AB"), Reinsert("B", "head")))[0] == "B A"


class TestGrowing:
    def test_a_batch_that_is_just_large_enough_does_not(self) -> None:
        assert walk(SCHEME, SCHEME.open(3, tcp("")), tcp("ABC", est=("DEF",))) == ("A B C D E F", State(2, (), 3))

    def test_is_to_half_as_much_again_as_is_still_to_be_shown_of_the_bucket_in_either_table(self) -> None:
        assert walk(SCHEME, State(0, ("C", "D"), 2), tcp("ABCDEF"))[0] == "grow:6 C D E F"
        assert walk(SCHEME, State(1, ("C", "D"), 2), tcp("", est=("ABCDEF",)))[0] == "grow:6 C D E F"

    def test_lasts_for_the_next_buckets_and_reads(self) -> None:
        now = tcp("AB", "CDE", "FGHI")
        asked, after = walk(SCHEME, SCHEME.open(1, now), now, stop="D")
        assert (asked, after) == ("grow:3 A B C D", State(1, ("D", "E"), 3))
        assert walk(SCHEME, after, now) == ("D E grow:6 F G H I", State(3, (), 6))

    def test_is_done_once_without_the_lock_and_then_with_it_to_just_as_much_as_there_is(self) -> None:
        before = tcp("AB", est=("F",))
        more = added(before, "CDE")
        assert walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": more}) == (
            "grow:3 lock:5 A B C D E F",
            State(2, (), 5),
        )

    def test_resumes_where_the_captured_sockets_are_also_in_a_bucket_that_was_just_entered(self) -> None:
        # cookie-udp takes such a bucket from its head again.
        before = tcp("ABC")
        meanwhile = {"grow:4": changed(before, Remove("A"), Add("D", "head"))}
        assert walk(SCHEME, SCHEME.open(2, before), before, meanwhile=meanwhile)[0] == "grow:4 B C"
        assert walk(CookieUdp(), UdpState(-1, (), 2), before, meanwhile=meanwhile)[0] == "grow:4 D B C"

    def test_passes_over_the_rest_of_the_bucket_when_all_that_were_captured_left_meanwhile(self) -> None:
        before = tcp("ABC", "D")
        meanwhile = {"grow:4": removed(before, "AB")}
        assert walk(SCHEME, SCHEME.open(2, before), before, meanwhile=meanwhile)[0] == "grow:4 D"
        assert walk(CookieUdp(), UdpState(-1, (), 2), before, meanwhile=meanwhile)[0] == "grow:4 C D"

    def test_seeks_the_captured_sockets_and_not_those_remembered_before(self) -> None:
        before = added(tcp("ABC", "D"), "EF")
        meanwhile = {"grow:6": removed(before, "BC")}
        # B and C were captured again, and E and F did not fit: none of those captured is left.
        assert walk(SCHEME, State(0, ("B", "C"), 2), before, meanwhile=meanwhile)[0] == "grow:6 D"
        # With one slot more, E was captured too.
        assert walk(SCHEME, State(0, ("B", "C"), 3), before, meanwhile=meanwhile)[0] == "grow:6 E F D"

    def test_ends_the_walk_when_everything_left_meanwhile(self) -> None:
        before = tcp("AB", est=("",))
        assert walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": removed(before, "AB")}) == (
            "grow:3",
            State(2, (), 3),
        )

    def test_is_without_the_lock_once_however_many_buckets_are_looked_at(self) -> None:
        # cookie-udp tries it without the lock in the second bucket as well.
        before = tcp("AB", "CDEF")
        meanwhile = {"grow:3": removed(before, "AB")}
        assert walk(SCHEME, SCHEME.open(1, before), before, meanwhile=meanwhile)[0] == "grow:3 lock:4 C D E F"
        assert walk(CookieUdp(), UdpState(-1, (), 1), before, meanwhile=meanwhile)[0] == "grow:3 grow:6 C D E F"

    def test_is_without_the_lock_once_also_where_the_walk_goes_over_meanwhile(self) -> None:
        before = tcp("AB", est=("CDEF",))
        meanwhile = {"grow:3": removed(before, "AB")}
        assert walk(SCHEME, SCHEME.open(1, before), before, meanwhile=meanwhile)[0] == "grow:3 lock:4 C D E F"

    def test_may_be_without_the_lock_again_for_the_next_batch(self) -> None:
        now = tcp("AB", "CDEF")
        assert walk(SCHEME, SCHEME.open(1, now), now)[0] == "grow:3 A B grow:6 C D E F"


class TestNoMemory:
    def test_without_the_lock_is_an_error_and_nothing_is_remembered_but_the_bucket(self) -> None:
        now = tcp("A", "BCD")
        asked, after = walk(SCHEME, SCHEME.open(2, now), now, refuse=["grow:4"])
        assert (asked, after) == ("A grow:4 ENOMEM", State(1, (), 2))
        assert walk(SCHEME, after, now)[0] == "grow:4 B C D"

    def test_without_the_lock_forgets_the_cookies_so_that_shown_sockets_repeat(self) -> None:
        now = tcp("ABC", "X")
        asked, state = walk(SCHEME, SCHEME.open(3, now), now, stop="C")
        assert (asked, state) == ("A B C", State(0, ("C",), 3))
        more = added(now, "DEF")
        asked, after = walk(SCHEME, state, more, refuse=["grow:6"])
        assert (asked, after) == ("grow:6 ENOMEM", State(0, (), 3))
        assert walk(SCHEME, after, more)[0] == "grow:9 A B C D E F X"

    def test_without_the_lock_forgets_them_in_the_established_table_too(self) -> None:
        now = tcp("A", est=("BCDE",))
        asked, after = walk(SCHEME, State(1, ("C", "D", "E"), 2), now, refuse=["grow:4"])
        assert (asked, after) == ("grow:4 ENOMEM", State(1, (), 2))
        assert walk(SCHEME, after, now)[0] == "grow:6 B C D E"

    def test_without_the_lock_concerns_the_reached_bucket(self) -> None:
        asked, after = walk(SCHEME, State(0, ("X",), 1), tcp("A", "", est=("", "BC")), refuse=["grow:3"])
        assert (asked, after) == ("grow:3 ENOMEM", State(3, (), 1))

    def test_with_the_lock_is_an_error_and_the_taken_sockets_stay_in_the_present_batch(self) -> None:
        before = tcp("AB")
        more = added(before, "CDE")
        asked, after = walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": more}, refuse=["lock:5"])
        assert (asked, after) == ("grow:3 lock:5 ENOMEM", State(0, ("A", "B", "C"), 3))
        assert walk(SCHEME, after, changed(more, Remove("A"), Add("F", "head")))[0] == "grow:6 B C D E"

    def test_with_the_lock_keeps_the_place_behind_the_shown_sockets(self) -> None:
        before = tcp("ABCD")
        asked, state = walk(SCHEME, SCHEME.open(4, before), before, stop="C")
        assert (asked, state) == ("A B C", State(0, ("C", "D"), 4))
        more, even_more = added(before, "EFG"), added(before, "EFGHIJK")
        asked, after = walk(SCHEME, state, more, meanwhile={"grow:7": even_more}, refuse=["lock:9"])
        assert (asked, after) == ("grow:7 lock:9 ENOMEM", State(0, ("C", "D", "E", "F", "G", "H", "I"), 7))
        assert walk(SCHEME, after, even_more)[0] == "grow:13 C D E F G H I J K"

    def test_with_the_lock_loses_the_sockets_that_did_not_fit_when_all_kept_ones_leave(self) -> None:
        before = tcp("AB", "X")
        more = added(before, "CDE")
        _, after = walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": more}, refuse=["lock:5"])
        assert walk(SCHEME, after, removed(more, "ABC"))[0] == "X"

    def test_with_the_lock_is_of_the_bucket_that_was_reached_while_the_batch_grew(self) -> None:
        before = tcp("AB", est=("CDEF",))
        asked, after = walk(
            SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": removed(before, "AB")}, refuse=["lock:4"]
        )
        assert (asked, after) == ("grow:3 lock:4 ENOMEM", State(1, ("C", "D", "E"), 3))
