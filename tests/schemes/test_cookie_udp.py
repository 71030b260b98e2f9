"""How `cookie-udp` keeps its place, step by step, against bpf_iter_udp_batch of Linux 6.16 and later."""

from __future__ import annotations

from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.schemes.cookie_udp import CookieUdp, State
from tests.support.scheme_steps import BLANK, changed, table, walk

SCHEME = CookieUdp()


def test_starts_before_the_first_bucket_with_nothing_remembered() -> None:
    assert SCHEME.open(16, BLANK) == State(-1, (), 16)
    assert walk(SCHEME, SCHEME.open(2, BLANK), table("AB", "", "C"))[0] == "A B C"


def test_remembers_captured_sockets_that_were_not_shown_in_the_order_of_the_list() -> None:
    assert walk(SCHEME, SCHEME.open(9, BLANK), table("", "ABCD"), stop="B") == ("A B", State(1, ("B", "C", "D"), 9))


def test_goes_on_with_the_first_remembered_socket_that_is_still_there() -> None:
    now = table("ABCD")
    _, state = walk(SCHEME, SCHEME.open(9, BLANK), now, stop="B")
    assert walk(SCHEME, state, changed(now, Remove("A"), Remove("B")))[0] == "C D"


def test_takes_sockets_added_behind_that_place_and_not_before_it() -> None:
    now = table("ABC")
    _, state = walk(SCHEME, SCHEME.open(9, BLANK), now, stop="B")
    assert walk(SCHEME, state, changed(now, Add("D", "tail"), Add("E", "head")))[0] == "B C D"


def test_takes_nothing_more_from_a_bucket_without_any_remembered_socket() -> None:
    now = table("AB", "C")
    _, state = walk(SCHEME, SCHEME.open(9, BLANK), now, stop="B")
    assert walk(SCHEME, state, changed(now, Add("D", "tail"), Remove("B")))[0] == "C"


def test_seeks_the_remembered_sockets_in_their_bucket_alone() -> None:
    now = table("AB", "C")
    _, state = walk(SCHEME, SCHEME.open(9, BLANK), now, stop="B")
    assert walk(SCHEME, state, changed(now, Rehash("B", Bucket(1))))[0] == "B C"


def test_meets_seen_sockets_again_behind_an_unseen_one_that_moved_to_the_head() -> None:
    now = table("AB")
    _, state = walk(SCHEME, SCHEME.open(9, BLANK), now, stop="B")
    assert walk(SCHEME, state, changed(now, Reinsert("B", "head")))[0] == "B A"


def test_grows_once_without_the_lock_and_then_with_it() -> None:
    before = table("AB")
    more = changed(before, *(Add(name, "tail") for name in "CDE"))
    assert walk(SCHEME, SCHEME.open(1, BLANK), before, meanwhile={"grow:3": more}) == (
        "grow:3 lock:5 A B C D E",
        State(1, (), 5),
    )


def test_may_grow_again_in_the_next_bucket() -> None:
    assert walk(SCHEME, SCHEME.open(1, BLANK), table("AB", "CDEF"))[0] == "grow:3 A B grow:6 C D E F"


def test_counts_its_tries_for_each_bucket_also_where_one_ran_empty_while_it_grew() -> None:
    before = table("AB", "CDEF")
    fewer = changed(before, Remove("A"), Remove("B"))
    assert walk(SCHEME, SCHEME.open(1, BLANK), before, meanwhile={"grow:3": fewer})[0] == "grow:3 grow:6 C D E F"


def test_refused_without_the_lock_remembers_the_part_that_it_had_and_fails() -> None:
    asked, state = walk(SCHEME, SCHEME.open(2, BLANK), table("ABC"), refuse=["grow:4"])
    assert (asked, state) == ("grow:4 ENOMEM", State(0, ("A", "B"), 2))
    assert walk(SCHEME, state, table("ABC"))[0] == "grow:4 A B C"


def test_refused_with_the_lock_remembers_the_part_that_it_had_in_the_batch_that_it_got() -> None:
    before = table("AB")
    more = changed(before, *(Add(name, "tail") for name in "CDE"))
    asked, state = walk(SCHEME, SCHEME.open(1, BLANK), before, meanwhile={"grow:3": more}, refuse=["lock:5"])
    assert (asked, state) == ("grow:3 lock:5 ENOMEM", State(0, ("A", "B", "C"), 3))


def test_forgets_the_sockets_that_did_not_fit_when_all_others_are_gone() -> None:
    now = table("ABC")
    _, state = walk(SCHEME, SCHEME.open(2, BLANK), now, refuse=["grow:4"])
    assert walk(SCHEME, state, changed(now, Remove("A"), Remove("B")))[0] == ""


def test_continues_from_the_remembered_sockets_after_growing_on_resume() -> None:
    now = table("ABC")
    _, state = walk(SCHEME, SCHEME.open(3, BLANK), now, stop="B")
    more = changed(now, Add("D", "tail"), Add("E", "tail"))
    fewer = changed(more, Remove("B"))
    assert walk(SCHEME, state, more, meanwhile={"grow:6": fewer})[0] == "grow:6 C D E"


def test_is_over_after_the_end() -> None:
    now = table("A")
    _, state = walk(SCHEME, SCHEME.open(1, BLANK), now)
    assert walk(SCHEME, state, changed(now, Add("B", "tail")))[0] == ""


def test_is_written_as_the_bucket_and_the_cookies() -> None:
    assert SCHEME.place(State(1, ("B", "C"), 16)) == "1:B,C"
    assert SCHEME.place(State(-1, (), 16)) == "-1:-"
