"""How `removal-count` and `restart` keep their place, step by step, against "Some alternatives", 1 and 3, of the RFC."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.operations import Add, Bucket, Change, Rehash, Reinsert, Remove
from sockiter.schemes.partial_batch import State
from sockiter.schemes.removal_count import Place, RemovalCount
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme
from sockiter.table import Table
from sockiter.targets import target_named
from tests.support.scheme_steps import BLANK, changed, table, walk

COUNT, RESTART = RemovalCount(), Restart()
BOTH = pytest.mark.parametrize("scheme", [COUNT, RESTART], ids=["removal-count", "restart"])


def at(bucket: int, offset: int, removals: int, *, slots: int = 9, done: bool = False) -> State[Place]:
    return State(bucket, Place(offset, removals), slots)


def stopped(scheme: AnyScheme, now: Table, stop: str, *, slots: int = 9) -> State[Place]:
    """The state of a read that was stopped before a socket."""
    state: State[Place]
    _, state = walk(scheme, scheme.open(slots, now), now, stop=stop)
    return state


@BOTH
class TestBoth:
    """The batch is that of `offset-udp`, and so is the place, but that the removals from the bucket are remembered."""

    def test_start_at_the_first_bucket_with_nothing_seen(self, scheme: AnyScheme) -> None:
        assert scheme.open(7, BLANK) == at(0, 0, 0, slots=7)

    def test_count_the_sockets_seen_in_the_bucket_and_begin_anew_in_the_next(self, scheme: AnyScheme) -> None:
        now = table("AB", "", "CDE")
        assert stopped(scheme, now, "B") == at(0, 1, 0)
        assert stopped(scheme, now, "C") == at(2, 0, 0)
        assert stopped(scheme, now, "E") == at(2, 2, 0)
        assert walk(scheme, at(2, 2, 0), now)[0] == "E"

    def test_remember_the_removals_from_the_bucket_when_the_batch_was_made(self, scheme: AnyScheme) -> None:
        now = changed(table("XAB", "YZC"), Remove("X"), Remove("Y"), Remove("Z"))
        assert stopped(scheme, now, "B") == at(0, 1, 1)
        assert stopped(scheme, now, "C") == at(1, 0, 2)
        more = changed(now, Remove("A"))
        _, state = walk(scheme, scheme.open(9, now), now, stop="B", meanwhile={"A": more})
        assert state == at(0, 1, 1)

    def test_are_not_troubled_by_removals_from_other_buckets_or_before_anything_was_seen(self, scheme: AnyScheme) -> None:
        now = table("XAB", "YZC")
        _, state = walk(scheme, at(0, 2, 0), changed(now, Remove("Y"), Remove("Z")), stop="C")
        assert state == at(1, 0, 2)
        before = stopped(scheme, now, "Y")
        assert walk(scheme, before, changed(now, Remove("Y"), Remove("X")))[0] == "Z C"

    def test_are_not_troubled_by_removals_from_a_bucket_that_is_done(self, scheme: AnyScheme) -> None:
        now = table("AB", "C")
        assert walk(scheme, stopped(scheme, now, "C"), changed(now, Remove("A")))[0] == "C"

    def test_repeat_a_socket_when_one_entered_at_the_head(self, scheme: AnyScheme) -> None:
        now = table("AB")
        assert walk(scheme, stopped(scheme, now, "B"), changed(now, Add("C", "head")))[0] == "A B"

    def test_go_on_in_portions_where_the_batch_may_not_grow(self, scheme: AnyScheme) -> None:
        now = table("ABCDE")
        asked, state = walk(scheme, scheme.open(2, now), now, refuse=["grow:7", "grow:4"])
        assert (asked, state) == ("grow:7 A B grow:4 C D E", at(1, 5, 0, slots=2))

    def test_pass_over_a_bucket_that_ran_empty(self, scheme: AnyScheme) -> None:
        now = table("AB", "C")
        assert walk(scheme, stopped(scheme, now, "B"), changed(now, Remove("A"), Remove("B")))[0] == "C"

    def test_are_over_after_the_end(self, scheme: AnyScheme) -> None:
        now = table("A")
        asked, state = walk(scheme, scheme.open(9, now), now)
        assert asked == "A"
        assert walk(scheme, state, changed(now, Add("B", "tail"), Remove("A"))) == ("", state)

    def test_are_written_as_bucket_and_offset(self, scheme: AnyScheme) -> None:
        assert scheme.place(at(3, 2, 7)) == "3:2"


class TestRemovalCount:
    @pytest.mark.parametrize(
        ("gone", "asked"),
        [("A", "C D"), ("B", "C D"), ("AB", "C D"), ("C", "B D"), ("CD", "A B"), ("AC", "B D"), ("ABC", "D"), ("ABCD", "")],
    )
    def test_goes_back_by_the_removals_since_and_no_further_than_the_head(self, gone: str, asked: str) -> None:
        now = table("ABCD")
        state = stopped(COUNT, now, "C")
        assert state == at(0, 2, 0)
        assert walk(COUNT, state, changed(now, *(Remove(name) for name in gone)))[0] == asked

    def test_remembers_the_place_that_it_went_back_to_and_the_removals_by_then(self) -> None:
        now = table("ABCDE")
        fewer = changed(now, Remove("A"), Remove("D"))
        asked, state = walk(COUNT, stopped(COUNT, now, "D"), fewer, stop="E")
        # From DE, back by two: 3 became 1, and C comes again.
        assert (asked, state) == ("C E", at(0, 2, 2))
        assert walk(COUNT, state, fewer)[0] == "E"

    def test_goes_back_for_a_socket_that_was_put_in_again_which_is_a_removal_too(self) -> None:
        now = table("ABC")
        state = stopped(COUNT, now, "B")
        assert walk(COUNT, state, changed(now, Reinsert("A", "tail")))[0] == "B C A"
        assert walk(COUNT, state, changed(now, Reinsert("C", "head")))[0] == "C A B"

    def test_goes_back_for_a_socket_that_moved_away(self) -> None:
        now = table("ABC", "D")
        state = stopped(COUNT, now, "C")
        assert walk(COUNT, state, changed(now, Rehash("A", Bucket(1))))[0] == "C A D"
        assert walk(COUNT, state, changed(now, Rehash("C", Bucket(1))))[0] == "B C D"

    def test_goes_back_for_removals_while_a_socket_was_shown(self) -> None:
        now = table("ABCD")
        fewer = changed(now, Remove("A"))
        asked, state = walk(COUNT, COUNT.open(9, now), now, meanwhile={"B": fewer}, stop="C")
        assert (asked, state) == ("A B C", at(0, 2, 0))
        assert walk(COUNT, state, fewer)[0] == "C D"

    def test_goes_back_for_removals_while_the_batch_grew(self) -> None:
        now = table("ABCDE")
        fewer = changed(now, Remove("A"))
        asked, state = walk(COUNT, at(0, 2, 0, slots=1), now, meanwhile={"grow:4": fewer}, stop="E")
        assert (asked, state) == ("grow:4 C D E", at(0, 3, 1, slots=4))

    def test_goes_back_behind_a_partial_batch(self) -> None:
        now = table("ABCD")
        fewer = changed(now, Remove("C"))
        asked, _ = walk(COUNT, COUNT.open(2, now), now, refuse=["grow:6"], meanwhile={"B": fewer})
        assert asked == "grow:6 A B B D"

    def test_goes_back_to_the_head_of_the_rest_after_more_removals_than_seen_sockets(self) -> None:
        now = table("ABCDE")
        _, state = walk(COUNT, at(0, 1, 0), changed(now, Remove("C"), Remove("D"), Remove("E")), stop="A")
        assert state == at(0, 0, 3)

    def test_ends_at_the_rest_of_the_bucket(self) -> None:
        # Seen and removed while others were shown: more seen than there are, and no removal since.
        assert walk(COUNT, at(0, 3, 0), table("AB")) == ("", at(1, 2, 0))

    def test_skips_no_socket_that_stays_where_it_is(self) -> None:
        now = table("ABCD")
        for stop in "ABCD":
            state = stopped(COUNT, now, stop)
            for gone in ("A", "B", "C", "D", "AB", "AD", "BC", "ABC"):
                fewer = changed(now, *(Remove(name) for name in gone))
                unseen = {name for name in "ABCD"["ABCD".index(stop) :] if name not in gone}
                assert unseen <= set(walk(COUNT, state, fewer)[0].split())


def delivered(text: str) -> list[str]:
    """The result of each read of a case: the sockets, or the error."""
    case, target = loads(text), target_named("restart")
    with target.session() as session:
        reads = run(session, target, case.operations, slots=case.slots).reads
    return [read.error or "".join(read.delivered) for read in reads]


class TestRestart:
    @pytest.mark.parametrize(
        "change",
        [Remove("A"), Remove("C"), Reinsert("A", "tail"), Reinsert("C", "head"), Rehash("A", Bucket(0))],
        ids=str,
    )
    def test_fails_where_the_bucket_lost_a_socket_and_stands_at_the_start_again(self, change: Change) -> None:
        now = table("X", "ABC")
        state = stopped(RESTART, now, "B")
        assert state == at(1, 1, 0)
        other = changed(now, change)
        asked, after = walk(RESTART, state, other)
        assert (asked, after) == ("ESTALE", at(0, 0, 0))
        everybody = " ".join(name for names in other.names for name in names)
        assert walk(RESTART, after, other)[0] == everybody

    def test_goes_on_where_nothing_left(self) -> None:
        now = table("ABC")
        state = stopped(RESTART, now, "B")
        assert walk(RESTART, state, changed(now, Add("D", "tail")))[0] == "B C D"

    def test_goes_on_where_nothing_of_the_bucket_was_seen_since_nothing_is_skipped_then(self) -> None:
        now = table("A", "BCD")
        assert walk(RESTART, stopped(RESTART, now, "B"), changed(now, Remove("B")))[0] == "C D"

    def test_goes_on_behind_a_bucket_that_ran_empty_since_nothing_is_skipped_there(self) -> None:
        now = table("AB", "C")
        assert walk(RESTART, stopped(RESTART, now, "B"), changed(now, Remove("A"), Remove("B"))) == ("C", at(2, 1, 0))

    def test_fails_where_the_bucket_lost_a_socket_while_the_batch_grew(self) -> None:
        now = table("ABCDE")
        asked, after = walk(RESTART, at(0, 2, 0, slots=1), now, meanwhile={"grow:4": changed(now, Remove("E"))})
        assert (asked, after) == ("grow:4 ESTALE", at(0, 0, 0, slots=4))

    def test_does_not_fail_for_a_bucket_that_lost_one_before_any_of_it_was_seen(self) -> None:
        now = table("ABC")
        meanwhile = {"grow:4": changed(now, Remove("A"))}
        assert walk(RESTART, RESTART.open(2, now), now, meanwhile=meanwhile, stop="C") == (
            "grow:4 B C",
            at(0, 1, 1, slots=4),
        )

    def test_fails_behind_a_partial_batch_whose_bucket_lost_a_socket(self) -> None:
        now = table("ABCD")
        asked, after = walk(
            RESTART, RESTART.open(2, now), now, refuse=["grow:6"], meanwhile={"B": changed(now, Remove("A"))}
        )
        assert (asked, after) == ("grow:6 A B ESTALE", at(0, 0, 0, slots=2))

    def test_keeps_the_batch_that_it_has(self) -> None:
        assert walk(RESTART, at(0, 1, 0, slots=5), changed(table("AB"), Remove("B")))[1] == at(0, 0, 0, slots=5)

    def test_makes_one_who_reads_on_see_everything_once_more(self) -> None:
        sockets = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\n"
        assert delivered(sockets + "read 1\nread 1\nread all") == ["A", "ESTALE", "B", "C", ""]
        assert delivered(sockets + "read until error") == ["A", "ESTALE"]

    def test_delivers_the_sockets_shown_before_the_error_in_the_next_read(self) -> None:
        sockets = "batch 2\nadd A tail\nadd B tail\nadd C tail\nadd D tail\nopen\n"
        inside = "read all\n  at realloc 1: fail\n  at show 2: remove A\n"
        assert delivered(sockets + inside) == ["ESTALE", "AB", "BCD", ""]
