"""How `index-snapshot`, `index-narrow` and `index-detect` differ from `index`, step by step, against the RFC's notes."""

from __future__ import annotations

from typing import Any

import pytest

from sockiter.claims import HAZARDS, INSERTIONS_MAX, VERSION_BITS
from sockiter.operations import Add, Bucket, Change, Rehash, Reinsert, Remove
from sockiter.schemes.index import Index
from sockiter.schemes.index_detect import IndexDetect, Place
from sockiter.schemes.index_narrow import IndexNarrow, wrapped
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.index_snapshot import Place as SnapshotPlace
from sockiter.schemes.partial_batch import State
from sockiter.schemes.scheme import ANY_HAZARD, SUCCESSIONS, AnyScheme
from sockiter.table import Table
from tests.support.scheme_steps import BLANK, blank, changed, table, walk

INDEX, SNAPSHOT, NARROW, DETECT = Index(), IndexSnapshot(), IndexNarrow(), IndexDetect()

# As in the RFC: the indexes are -4, -2, -1, 3 and 5.
RFC = changed(blank(1), *(Add(name, "head" if name in "CBA" else "tail") for name in "CBDAE"))
SEVEN = table("ABCDEFG")


def stopped(scheme: AnyScheme, now: Table, stop: str, *, slots: int = 9) -> State[Any]:
    """The state of a read that was stopped before a socket."""
    _, state = walk(scheme, scheme.open(slots, now), now, stop=stop)
    assert isinstance(state, State)
    return state


def resumed(scheme: AnyScheme, before: Table, stop: str, *changes: Change) -> str:
    """The result of the second read, if the first stopped before a socket, and then the table changed."""
    return walk(scheme, stopped(scheme, before, stop), changed(before, *changes))[0]


@pytest.mark.parametrize("scheme", [INDEX, SNAPSHOT, NARROW, DETECT], ids=lambda scheme: scheme.name)
class TestAll:
    """Their common behaviour, if no socket was added ahead after open, and no version rolls over."""

    @pytest.mark.parametrize("stop", "ABCDE")
    def test_take_the_sockets_above_the_index_of_the_last_one_shown(self, scheme: AnyScheme, stop: str) -> None:
        assert resumed(scheme, RFC, stop) == "A B C D E"["A B C D E".index(stop) :]

    def test_lose_nothing_when_a_seen_socket_left(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, RFC, "C", Remove("A"), Remove("B")) == "C D E"

    def test_repeat_nothing_when_one_entered_at_the_head(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, RFC, "B", Add("F", "head")) == "B C D E"

    def test_begin_the_next_bucket_at_its_head_although_that_holds_lower_indexes(self, scheme: AnyScheme) -> None:
        now = changed(table("A", ""), *(Add(name, "head", Bucket(1)) for name in "CB"))
        assert resumed(scheme, now, "B") == "B C"
        assert resumed(scheme, now, "C") == "C"

    def test_miss_an_unseen_socket_that_was_put_in_again_at_the_head(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, RFC, "B", Reinsert("B", "head")) == "C D E"

    def test_read_the_index_when_they_step_behind_a_socket_that_moved_while_it_was_shown(self, scheme: AnyScheme) -> None:
        moved = changed(RFC, Reinsert("A", "tail"))
        _, state = walk(scheme, scheme.open(9, RFC), RFC, stop="B", meanwhile={"A": moved})
        assert walk(scheme, state, moved)[0] == ""


class TestSnapshot:
    def test_remembers_the_version_at_open_for_good(self) -> None:
        assert SNAPSHOT.open(7, BLANK) == State(0, SnapshotPlace(None, 0), 7)
        assert SNAPSHOT.open(7, RFC) == State(0, SnapshotPlace(None, 5), 7)
        state = stopped(SNAPSHOT, RFC, "D")
        assert state == State(0, SnapshotPlace(-1, 5), 9)
        assert walk(SNAPSHOT, state, changed(RFC, Add("F", "tail"))) == ("D E", State(1, SnapshotPlace(5, 5), 9))

    def test_shows_the_sockets_from_open_with_any_sign_of_the_index(self) -> None:
        assert walk(SNAPSHOT, SNAPSHOT.open(9, RFC), RFC)[0] == "A B C D E"
        last = changed(RFC, Add("F", "head"))
        assert walk(SNAPSHOT, SNAPSHOT.open(9, last), last)[0] == "F A B C D E"

    @pytest.mark.parametrize("stop", "ABC")
    def test_leaves_out_later_sockets_at_either_end(self, stop: str) -> None:
        now = table("ABC")
        added = (Add("D", "tail"), Add("E", "head"), Add("F", "tail"))
        assert resumed(SNAPSHOT, now, stop, *added) == "A B C"["A B C".index(stop) :]
        assert resumed(INDEX, now, stop, *added).endswith("C D F")

    def test_leaves_out_sockets_added_between_open_and_the_first_read(self) -> None:
        opened = SNAPSHOT.open(9, table("AB"))
        assert walk(SNAPSHOT, opened, changed(table("AB"), Add("C", "tail"), Add("D", "head")))[0] == "A B"

    def test_leaves_it_out_in_later_buckets_too_and_passes_over_a_bucket_with_no_other_socket(self) -> None:
        now = table("AB", "", "C")
        added = (Add("D", "tail", Bucket(1)), Add("E", "head", Bucket(2)), Add("F", "tail", Bucket(2)))
        assert resumed(SNAPSHOT, now, "B", *added) == "B C"

    def test_leaves_out_sockets_added_while_a_socket_was_shown_or_the_batch_grew(self) -> None:
        now = table("ABC", "D")
        more = changed(now, Add("E", "tail"), Add("F", "tail", Bucket(1)))
        assert walk(SNAPSHOT, SNAPSHOT.open(2, now), now, meanwhile={"grow:4": more})[0] == "grow:4 A B C D"
        assert walk(SNAPSHOT, SNAPSHOT.open(9, now), now, meanwhile={"A": more})[0] == "A B C D"

    def test_needs_no_room_for_omitted_sockets(self) -> None:
        now = table("AB")
        more = changed(now, *(Add(name, "tail") for name in "CDEF"))
        assert walk(SNAPSHOT, SNAPSHOT.open(2, now), more)[0] == "A B"

    def test_leaves_out_sockets_that_moved_since_to_any_position(self) -> None:
        now = table("ABC", "D")
        for change in (Reinsert("B", "tail"), Reinsert("B", "head"), Rehash("B", Bucket(1))):
            assert resumed(SNAPSHOT, now, "B", change) == "C D"
        assert resumed(INDEX, now, "B", Reinsert("B", "tail")) == "C B D"

    def test_does_not_meet_a_seen_socket_again_that_moved_ahead(self) -> None:
        now = table("AB", "C")
        for change in (Reinsert("A", "tail"), Rehash("A", Bucket(1))):
            assert resumed(SNAPSHOT, now, "B", change) == "B C"
        assert resumed(INDEX, now, "B", Rehash("A", Bucket(1))) == "B A C"

    def test_has_the_hazards_of_index(self) -> None:
        assert SNAPSHOT.hazards == INDEX.hazards == ANY_HAZARD | SUCCESSIONS


class TestNarrowVersions:
    @pytest.mark.parametrize(
        ("idx", "narrow"),
        [(0, 0), (7, 7), (8, -8), (9, -7), (15, -1), (16, 0), (17, 1), (-1, -1), (-7, -7), (-8, -8), (-9, 7), (-16, 0)],
    )
    def test_are_signed_numbers_of_four_bits_that_wrap_around(self, idx: int, narrow: int) -> None:
        assert (VERSION_BITS, INSERTIONS_MAX) == (4, 7)
        assert wrapped(idx) == narrow

    def test_are_as_wide_ones_for_seven_insertions(self) -> None:
        for stop in "ABCDEFG":
            assert (
                resumed(NARROW, SEVEN, stop) == resumed(INDEX, SEVEN, stop) == " ".join("ABCDEFG"["ABCDEFG".index(stop) :])
            )

    def test_make_the_eighth_socket_at_the_tail_sort_before_all_so_that_it_is_skipped_though_nothing_changed(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        assert stopped(NARROW, eight, "C") == State(0, 2, 9)
        assert resumed(NARROW, eight, "C") == "C D E F G"

    def test_repeat_a_seen_socket_behind_a_socket_that_sorts_before_it(self) -> None:
        nine = changed(SEVEN, Add("H", "tail"), Add("I", "tail"))
        assert stopped(NARROW, nine, "I") == State(0, -8, 9)
        assert resumed(NARROW, nine, "I") == "A B C D E F G I"

    def test_keep_the_eighth_at_the_head_in_its_place_and_make_the_ninth_sort_behind_all(self) -> None:
        eight = changed(SEVEN, Add("H", "head"))
        assert stopped(NARROW, eight, "A") == State(0, -8, 9)
        assert resumed(NARROW, eight, "A") == "A B C D E F G"
        nine = changed(eight, Add("I", "head"))
        assert stopped(NARROW, nine, "H", slots=16) == State(0, 7, 16)
        assert resumed(NARROW, nine, "H") == ""

    def test_do_no_harm_to_a_read_that_is_not_stopped_or_where_each_bucket_begins(self) -> None:
        now = changed(table("ABCDEFG", ""), Add("H", "tail"), Add("I", "tail", Bucket(1)))
        assert walk(NARROW, NARROW.open(9, now), now)[0] == "A B C D E F G H I"
        assert resumed(NARROW, now, "I") == "I"

    def test_are_all_used_up_by_moves_as_well(self) -> None:
        now = changed(table("ABCDE"), *(Reinsert("E", "tail") for _ in range(2)))
        assert resumed(NARROW, now, "B") == "B C D E"
        assert resumed(NARROW, changed(now, Reinsert("E", "tail")), "B") == "B C D"

    def test_are_a_hazard_that_index_does_not_know(self) -> None:
        assert NARROW.hazards == DETECT.hazards == frozenset(HAZARDS) == ANY_HAZARD | SUCCESSIONS | {"rollover"}


class TestDetection:
    def test_starts_with_nothing_shown_in_the_first_epoch(self) -> None:
        assert DETECT.open(7, SEVEN) == State(0, Place(None, 0), 7)

    @pytest.mark.parametrize(
        ("more", "epoch"), [(0, 0), (1, 1), (8, 1), (9, 2)], ids=["7th", "8th", "15th", "16th insertion"]
    )
    def test_counts_an_epoch_whenever_the_versions_of_the_width_are_used_up(self, more: int, epoch: int) -> None:
        now = changed(SEVEN, *(Add(f"H{number}", "tail") for number in range(more)))
        assert stopped(DETECT, now, "C", slots=99) == State(0, Place(2, epoch), 99)

    def test_walks_the_bucket_again_after_a_rollover_and_skips_no_socket(self) -> None:
        assert resumed(DETECT, SEVEN, "C", Add("H", "tail")) == "A B C D E F G H"
        assert resumed(DETECT, SEVEN, "C", Add("H", "head")) == "H A B C D E F G"
        assert resumed(DETECT, SEVEN, "C", Reinsert("C", "head")) == "C A B D E F G"

    def test_goes_by_insertions_into_any_bucket(self) -> None:
        now = table("ABC", "DEFG")
        assert resumed(DETECT, now, "B", Add("H", "tail", Bucket(1))) == "A B C D E F G H"
        assert resumed(DETECT, now, "B", Remove("D"), Remove("A")) == "B C E F G"

    def test_has_equivalent_places_in_every_past_epoch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sockiter.schemes.index_detect.EPOCH", 4)
        now = table("ABCDEFG")
        assert {DETECT.matters(now, 0, Place(idx, 0), 0) for idx in (None, 1, 3)} == {"over"}
        assert [DETECT.matters(now, 0, Place(idx, 1), 0) for idx in (None, 1, 3)] == [None, 1, 3]

    def test_remembers_the_epoch_by_then_so_that_it_walks_a_bucket_again_once_for_each(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        asked, state = walk(DETECT, stopped(DETECT, SEVEN, "C"), eight, stop="D")
        assert (asked, state) == ("A B C D", State(0, Place(3, 1), 9))
        assert walk(DETECT, state, changed(eight, Add("I", "tail")))[0] == "D E F G H I"

    def test_walks_it_again_whole_where_the_read_was_stopped_before_its_first_socket_anew(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        asked, state = walk(DETECT, stopped(DETECT, SEVEN, "C"), eight, stop="A")
        assert (asked, state) == ("A", State(0, Place(None, 1), 9))

    def test_is_not_troubled_by_a_rollover_before_open_or_before_the_bucket_was_reached(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        assert resumed(DETECT, eight, "C") == "C D E F G H"
        now = table("ABC", "DEFG")
        asked, state = walk(
            DETECT, DETECT.open(9, now), now, meanwhile={"B": changed(now, Add("H", "tail", Bucket(1)))}, stop="E"
        )
        assert (asked, state) == ("A B C D E", State(1, Place(4, 1), 9))

    def test_finds_a_rollover_that_came_while_a_socket_was_shown_when_it_looks_at_the_bucket_again(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        asked, state = walk(DETECT, DETECT.open(9, SEVEN), SEVEN, meanwhile={"B": eight}, stop="D")
        assert (asked, state) == ("A B C D", State(0, Place(3, 0), 9))
        assert walk(DETECT, state, eight)[0] == "A B C D E F G H"

    def test_finds_a_rollover_that_came_while_the_batch_grew(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        state = stopped(DETECT, SEVEN, "C")._replace(slots=2)
        assert walk(DETECT, state, SEVEN, meanwhile={"grow:7": eight})[0] == "grow:7 A B C D E F G H"

    def test_finds_a_rollover_behind_a_partial_batch(self) -> None:
        eight = changed(SEVEN, Add("H", "tail"))
        asked, _ = walk(DETECT, DETECT.open(4, SEVEN), SEVEN, refuse=["grow:10"], meanwhile={"grow:10": eight})
        assert asked == "grow:10 A B C D grow:12 A B C D E F G H"

    def test_does_not_look_again_at_a_bucket_that_is_done(self) -> None:
        now = table("ABC", "DEFG")
        assert resumed(DETECT, now, "D", Add("H", "tail")) == "D E F G"

    @pytest.mark.parametrize(("prev_idx", "text"), [(None, "2:-"), (4, "2:4"), (0, "2:0"), (-3, "2:-3")])
    def test_is_written_without_the_epoch(self, prev_idx: int | None, text: str) -> None:
        assert DETECT.place(State(2, Place(prev_idx, 1), 9)) == text


@pytest.mark.parametrize(("prev_idx", "text"), [(None, "2:-"), (4, "2:4"), (-3, "2:-3")])
def test_index_snapshot_is_written_without_the_version_at_open(prev_idx: int | None, text: str) -> None:
    assert SNAPSHOT.place(State(2, SnapshotPlace(prev_idx, 1), 9)) == text
