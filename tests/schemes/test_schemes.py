"""The place of each scheme, step by step, against the kernel's behaviour and the RFC's proposals.

The tests drive a scheme without the frame: the test plays bpf_seq_read and decides every step.
"""

from __future__ import annotations

from typing import Any

import pytest

from sockiter.claims import HAZARDS
from sockiter.operations import Add, Bucket, End, Rehash, Reinsert, Remove
from sockiter.schemes import SCHEMES
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.partial_batch import State
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS, AnyScheme
from sockiter.table import Table
from tests.support.scheme_steps import BLANK, blank, changed, table, walk

OFFSET, INDEX = OffsetUdp(), Index()
BATCHED = pytest.mark.parametrize("scheme", [OFFSET, INDEX], ids=["offset-udp", "index"])


@BATCHED
class TestABatch:
    """The common tests of both schemes."""

    def test_holds_a_whole_bucket_and_then_the_next_one(self, scheme: AnyScheme) -> None:
        asked, _ = walk(scheme, scheme.open(2, BLANK), table("AB", "", "C"))
        assert asked == "A B C"

    def test_that_is_just_large_enough_does_not_grow(self, scheme: AnyScheme) -> None:
        asked, after = walk(scheme, scheme.open(3, BLANK), table("ABC"))
        assert (asked, after.slots) == ("A B C", 3)

    def test_that_is_too_small_grows_to_half_as_much_again_as_the_bucket(self, scheme: AnyScheme) -> None:
        asked, after = walk(scheme, scheme.open(4, BLANK), table("ABCDE"))
        assert (asked, after.slots) == ("grow:7 A B C D E", 7)

    def test_stays_large_in_the_next_buckets_and_in_the_next_reads(self, scheme: AnyScheme) -> None:
        asked, after = walk(scheme, scheme.open(1, BLANK), table("AB", "CDE", "FGHI"), stop="C")
        assert (asked, after.slots) == ("grow:3 A B C", 3)
        assert walk(scheme, after, table("AB", "CDE", "FGHI"))[0] == "C D E grow:6 F G H I"

    def test_that_may_not_grow_goes_on_in_portions_and_asks_again_for_each(self, scheme: AnyScheme) -> None:
        asked, after = walk(scheme, scheme.open(2, BLANK), table("ABCDE"), refuse=["grow:7", "grow:4"])
        assert (asked, after.slots) == ("grow:7 A B grow:4 C D E", 2)

    def test_that_may_not_grow_is_walked_before_the_read_stops_in_the_rest(self, scheme: AnyScheme) -> None:
        asked, after = walk(scheme, scheme.open(2, BLANK), table("ABCD"), refuse=["grow:6"], stop="D")
        assert asked == "grow:6 A B C D"
        assert walk(scheme, after, table("ABCD"))[0] == "D"

    def test_that_grew_and_is_still_too_small_does_not_ask_a_second_time_but_goes_on_in_portions(
        self, scheme: AnyScheme
    ) -> None:
        before = table("AB")
        more = changed(before, *(Add(name, "tail") for name in "CDE"))
        asked, after = walk(scheme, scheme.open(1, BLANK), before, meanwhile={"grow:3": more})
        assert (asked, after.slots) == ("grow:3 A B C D E", 3)

    def test_that_grew_and_is_still_too_small_may_grow_again_for_the_rest(self, scheme: AnyScheme) -> None:
        before = table("AB")
        more = changed(before, *(Add(name, "tail") for name in "CDEFGHI"))
        asked, after = walk(scheme, scheme.open(1, BLANK), before, meanwhile={"grow:3": more})
        assert (asked, after.slots) == ("grow:3 A B C grow:9 D E F G H I", 9)

    def test_is_made_anew_from_the_same_place_after_growing(self, scheme: AnyScheme) -> None:
        now = table("ABCDE")
        _, state = walk(scheme, scheme.open(9, BLANK), now, stop="C")
        fewer = changed(now, Remove("D"))
        asked, after = walk(scheme, state._replace(slots=1), now, meanwhile={"grow:4": fewer})
        assert (asked, after.slots) == ("grow:4 C E", 4)

    def test_is_made_of_the_next_bucket_when_this_one_ran_empty_while_it_grew(self, scheme: AnyScheme) -> None:
        before = table("AB", "CD")
        emptied = changed(before, Remove("A"), Remove("B"))
        asked, _ = walk(scheme, scheme.open(1, BLANK), before, meanwhile={"grow:3": emptied})
        assert asked == "grow:3 C D"

    def test_is_the_end_when_everything_left_while_it_grew(self, scheme: AnyScheme) -> None:
        before = table("AB")
        emptied = changed(before, Remove("A"), Remove("B"))
        asked, after = walk(scheme, scheme.open(1, BLANK), before, meanwhile={"grow:3": emptied})
        assert (asked, after.bucket, after.slots) == ("grow:3", 1, 3)

    def test_is_not_made_again_when_growing_was_refused_whatever_happened_meanwhile(self, scheme: AnyScheme) -> None:
        before = table("ABC")
        other = changed(before, Remove("A"))
        asked, _ = walk(scheme, scheme.open(2, BLANK), before, refuse=["grow:4"], stop="C", meanwhile={"grow:4": other})
        assert asked.startswith("grow:4 A B")

    def test_holds_the_sockets_from_the_time_when_it_was_made(self, scheme: AnyScheme) -> None:
        before = table("AB")
        other = changed(before, Remove("B"), Add("C", "tail"))
        asked, _ = walk(scheme, scheme.open(2, BLANK), before, meanwhile={"A": other})
        assert asked == "A B"

    def test_of_a_later_bucket_is_made_when_its_turn_comes(self, scheme: AnyScheme) -> None:
        before = table("A", "B")
        other = changed(before, Add("C", "tail", Bucket(1)))
        asked, _ = walk(scheme, scheme.open(2, BLANK), before, meanwhile={"A": other})
        assert asked == "A B C"

    def test_at_the_end_of_its_bucket_does_not_look_there_again(self, scheme: AnyScheme) -> None:
        before = table("A", "B")
        other = changed(before, Add("C", "tail"), Add("D", "head"))
        asked, _ = walk(scheme, scheme.open(2, BLANK), before, meanwhile={"A": other})
        assert asked == "A B"

    def test_is_dropped_at_a_stop_and_made_anew_in_the_next_read(self, scheme: AnyScheme) -> None:
        asked, state = walk(scheme, scheme.open(9, BLANK), table("ABC"), stop="B")
        assert asked == "A B"
        assert walk(scheme, state, changed(table("ABC"), Add("D", "tail")))[0] == "B C D"

    def test_that_is_stopped_at_its_first_socket_goes_on_with_it(self, scheme: AnyScheme) -> None:
        asked, state = walk(scheme, scheme.open(9, BLANK), table("A", "BC"), stop="B")
        assert asked == "A B"
        assert walk(scheme, state, table("A", "BC"))[0] == "B C"

    def test_is_not_made_of_seen_sockets_in_the_bucket_of_the_last_read(self, scheme: AnyScheme) -> None:
        before = table("AB", "C")
        _, state = walk(scheme, scheme.open(9, BLANK), before, stop="B")
        assert walk(scheme, state, changed(before, Remove("B")))[0] == "C"

    def test_is_requested_only_for_the_rest_of_the_bucket(self, scheme: AnyScheme) -> None:
        before = table("ABCDE")
        _, state = walk(scheme, scheme.open(9, BLANK), before, stop="C")
        assert walk(scheme, state._replace(slots=2), before)[0] == "grow:4 C D E"

    def test_after_the_end_is_none_even_if_sockets_came(self, scheme: AnyScheme) -> None:
        asked, state = walk(scheme, scheme.open(9, BLANK), table("A", "B"))
        assert (asked, state.bucket) == ("A B", 2)
        assert walk(scheme, state, changed(table("A", "B"), Add("C", "tail", Bucket(1)))) == ("", state)

    def test_of_an_empty_table_is_the_end(self, scheme: AnyScheme) -> None:
        asked, state = walk(scheme, scheme.open(9, BLANK), blank(2))
        assert (asked, state.bucket) == ("", 2)

    def test_leaves_a_state_that_is_a_hashable_value(self, scheme: AnyScheme) -> None:
        states = [walk(scheme, scheme.open(9, BLANK), table("AB", "C"), stop=name)[1] for name in "ABBC"]
        assert len(set(states)) == 3
        assert states[1] == states[2]


class TestOffset:
    def walk(self, state: State[Any], now: Table, *, stop: str = "", **inside: Any) -> tuple[str, State[Any]]:
        asked, after = walk(OFFSET, state, now, stop=stop, **inside)
        return asked, after

    def test_starts_at_the_first_bucket_with_nothing_seen(self) -> None:
        assert OFFSET.open(7, BLANK) == State(0, 0, 7)

    def test_counts_the_sockets_seen_in_the_bucket(self) -> None:
        assert self.walk(OFFSET.open(9, BLANK), table("ABC"), stop="C") == ("A B C", State(0, 2, 9))

    def test_is_nothing_in_a_new_bucket(self) -> None:
        assert self.walk(OFFSET.open(9, BLANK), table("AB", "", "CD"), stop="C") == ("A B C", State(2, 0, 9))

    def test_skips_a_socket_when_a_seen_one_left(self) -> None:
        assert self.walk(State(0, 2, 9), table("BCD"))[0] == "D"

    def test_repeats_a_socket_when_one_entered_at_the_head(self) -> None:
        assert self.walk(State(0, 1, 9), changed(table("AB"), Add("C", "head")))[0] == "A B"

    def test_ends_at_the_rest_of_a_bucket_that_shrank(self) -> None:
        _, after = self.walk(State(0, 3, 9), table("A"))
        assert after == State(1, 1, 9)

    def test_of_a_shrunken_bucket_steps_over_all_of_it_and_starts_anew_in_the_next(self) -> None:
        assert self.walk(State(0, 3, 9), table("AB", "CD"), stop="D") == ("C D", State(1, 1, 9))

    def test_of_a_bucket_that_ran_empty_is_not_carried_into_the_next(self) -> None:
        assert self.walk(State(0, 3, 9), table("", "CD"), stop="D") == ("C D", State(1, 1, 9))

    def test_of_a_bucket_that_shrank_while_the_batch_grew_is_taken_from_the_place_of_the_start(self) -> None:
        before = table("ABCDE")
        fewer = changed(before, Remove("A"), Remove("B"), Remove("C"), Remove("D"))
        more = changed(fewer, Add("F", "tail"), Add("G", "tail"))
        asked, after = self.walk(State(0, 2, 1), before, meanwhile={"grow:4": more}, stop="G")
        assert (asked, after) == ("grow:4 G", State(0, 2, 4))

    def test_goes_on_from_the_partial_batch_when_growing_was_refused(self) -> None:
        now = table("ABCDE")
        assert self.walk(OFFSET.open(2, BLANK), now, refuse=["grow:7"], stop="B") == ("grow:7 A B", State(0, 1, 2))
        asked, after = self.walk(OFFSET.open(2, BLANK), now, refuse=["grow:7", "grow:4"], stop="C")
        assert (asked, after) == ("grow:7 A B grow:4 C", State(0, 2, 2))

    def test_of_a_later_bucket_that_grew_is_taken_from_its_head(self) -> None:
        asked, after = self.walk(State(0, 1, 2), table("A", "BCDE"), stop="C")
        assert (asked, after) == ("grow:6 B C", State(1, 1, 6))

    def test_is_written_behind_the_bucket(self) -> None:
        assert OFFSET.place(State(3, 2, 9)) == "3:2"


class TestIndex:
    def walk(self, state: State[Any], now: Table, *, stop: str = "", **inside: Any) -> tuple[str, State[Any]]:
        asked, after = walk(INDEX, state, now, stop=stop, **inside)
        return asked, after

    def test_starts_at_the_first_bucket_with_nothing_shown(self) -> None:
        assert INDEX.open(7, BLANK) == State(0, None, 7)

    def test_is_that_of_the_last_socket_shown(self) -> None:
        assert self.walk(INDEX.open(9, BLANK), table("ABC"), stop="C") == ("A B C", State(0, 2, 9))

    def test_is_none_in_a_new_bucket(self) -> None:
        assert self.walk(INDEX.open(9, BLANK), table("AB", "", "CD"), stop="C") == ("A B C", State(2, None, 9))

    def test_is_none_in_the_next_bucket_although_that_holds_lower_ones(self) -> None:
        now = changed(table("A", ""), *(Add(name, "head", Bucket(1)) for name in "CB"))
        assert self.walk(State(0, 1, 9), now, stop="C") == ("B C", State(1, -3, 9))

    def test_resumes_above_it_and_not_at_it(self) -> None:
        assert self.walk(State(0, 2, 9), table("ABC"))[0] == "C"

    @pytest.mark.parametrize(
        ("prev_idx", "seen"), [(None, "B A C"), (-4, "B A C"), (-2, "A C"), (0, "A C"), (1, "C"), (3, "")], ids=str
    )
    def test_divides_the_bucket_between_seen_and_unseen(self, prev_idx: int | None, seen: str) -> None:
        now = changed(blank(1), Add("A", "tail"), Add("B", "head"), Add("C", "tail"))
        assert self.walk(State(0, prev_idx, 9), now)[0] == seen

    def test_loses_nothing_when_a_seen_socket_left(self) -> None:
        before = table("ABCD")
        _, state = self.walk(INDEX.open(9, BLANK), before, stop="C")
        assert self.walk(state, changed(before, Remove("A"), Remove("B")))[0] == "C D"

    def test_repeats_nothing_when_one_entered_at_the_head(self) -> None:
        before = table("AB")
        _, state = self.walk(INDEX.open(9, BLANK), before, stop="B")
        assert self.walk(state, changed(before, Add("C", "head"), Add("D", "tail")))[0] == "B D"

    def test_meets_a_seen_socket_again_that_was_put_in_at_the_tail(self) -> None:
        before = table("AB")
        _, state = self.walk(INDEX.open(9, BLANK), before, stop="B")
        assert self.walk(state, changed(before, Reinsert("A", "tail")))[0] == "B A"

    def test_misses_an_unseen_socket_that_was_put_in_at_the_head(self) -> None:
        before = table("AB")
        _, state = self.walk(INDEX.open(9, BLANK), before, stop="B")
        assert self.walk(state, changed(before, Reinsert("B", "head")))[0] == ""

    @pytest.mark.parametrize(("end", "idx", "rest"), [("head", -4, "B C"), ("tail", 4, "")], ids=["head", "tail"])
    def test_is_read_when_the_iterator_steps_behind_a_socket_that_moved_while_it_was_shown(
        self, end: End, idx: int, rest: str
    ) -> None:
        before = table("ABC")
        moved = changed(before, Reinsert("A", end))
        asked, after = self.walk(INDEX.open(9, BLANK), before, stop="B", meanwhile={"A": moved})
        assert (asked, after) == ("A B", State(0, idx, 9))
        assert self.walk(after, moved)[0] == rest

    def test_of_a_socket_that_moved_away_while_it_was_shown_counts_in_the_bucket_that_it_left(self) -> None:
        before = table("AB", "")
        moved = changed(before, Rehash("A", Bucket(1)))
        assert self.walk(INDEX.open(9, BLANK), before, stop="B", meanwhile={"A": moved}) == ("A B", State(0, -3, 9))

    def test_is_read_of_a_socket_that_moved_while_an_earlier_one_was_shown(self) -> None:
        before = table("ABC")
        moved = changed(before, Reinsert("B", "tail"))
        asked, after = self.walk(INDEX.open(9, BLANK), before, stop="C", meanwhile={"A": moved})
        assert (asked, after) == ("A B C", State(0, 4, 9))

    def test_is_that_of_a_socket_that_left_while_it_was_shown(self) -> None:
        before = table("ABC")
        asked, after = self.walk(INDEX.open(9, BLANK), before, stop="C", meanwhile={"B": changed(before, Remove("B"))})
        assert (asked, after) == ("A B C", State(0, 2, 9))

    def test_is_the_last_one_of_a_socket_that_moved_and_left_before_it_was_stepped_over(self) -> None:
        # The reference in the batch still has its next socket.
        before = table("ABC")
        gone = changed(before, Reinsert("B", "head"), Remove("B"))
        asked, after = self.walk(INDEX.open(9, BLANK), before, stop="C", meanwhile={"B": gone})
        assert (asked, after) == ("A B C", State(0, -4, 9))

    def test_is_taken_as_it_is_by_now_when_growing_was_refused_and_the_socket_moved_meanwhile(self) -> None:
        before = table("ABC")
        moved = changed(before, Reinsert("A", "head"))
        inside: dict[str, Any] = {"refuse": ["grow:4"], "meanwhile": {"grow:4": moved}}
        assert self.walk(INDEX.open(2, BLANK), before, stop="B", **inside) == ("grow:4 A B", State(0, -4, 2))

    def test_of_a_refused_batch_decides_the_content_of_the_next_batch(self) -> None:
        before = table("ABC")
        moved = changed(before, Reinsert("B", "head"))
        asked, _ = self.walk(INDEX.open(2, BLANK), before, refuse=["grow:4"], meanwhile={"grow:4": moved})
        # B was the last of the first two, and has an index below A's by now: A's turn comes again.
        assert asked == "grow:4 A B A C"

    def test_is_not_changed_by_sockets_that_came_while_growing_was_refused(self) -> None:
        before = table("ABC")
        more = changed(before, Add("D", "head"), Add("E", "tail"))
        asked, _ = self.walk(INDEX.open(2, BLANK), before, refuse=["grow:4"], meanwhile={"grow:4": more})
        assert asked == "grow:4 A B C E"

    def test_of_the_start_is_where_a_grown_batch_is_made_from(self) -> None:
        before = table("ABC")
        moved = changed(before, Reinsert("A", "tail"))
        asked, after = self.walk(State(0, 1, 1), before, meanwhile={"grow:3": moved}, stop="A")
        assert (asked, after) == ("grow:3 B C A", State(0, 3, 3))

    def test_of_a_bucket_that_ran_empty_is_not_carried_into_the_next(self) -> None:
        now = changed(blank(2), Add("B", "head", Bucket(1)))
        assert self.walk(State(0, 3, 9), now)[0] == "B"

    @pytest.mark.parametrize(
        ("prev_idx", "text"), [(None, "2:-"), (4, "2:4"), (0, "2:0"), (-3, "2:-3")], ids=["none", "tail", "zero", "head"]
    )
    def test_is_written_behind_the_bucket(self, prev_idx: int | None, text: str) -> None:
        assert INDEX.place(State(2, prev_idx, 9)) == text


def test_every_scheme_has_its_own_name_and_a_summary() -> None:
    assert len({scheme.name for scheme in SCHEMES}) == len(SCHEMES)
    assert all(scheme.summary and scheme.progress for scheme in SCHEMES)
    assert [scheme.name for scheme in SCHEMES if scheme.name in ("offset-udp", "index")] == ["offset-udp", "index"]


def test_a_scheme_supports_all_hazards_but_narrow_versions_and_with_connections_also_their_successors() -> None:
    assert set(HAZARDS) - ANY_HAZARD == {"rollover"} | SUCCESSIONS
    assert (OFFSET.hazards, INDEX.hazards) == (ANY_HAZARD, ANY_HAZARD | SUCCESSIONS)


def test_the_progress_of_the_two_has_the_titles_of_the_rfc() -> None:
    assert (OFFSET.progress, INDEX.progress) == ("Bucket Offset", "Previous Index")
