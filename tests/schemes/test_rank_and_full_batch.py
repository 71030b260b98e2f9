"""How `rank`, `full-batch` and `full-batch-held` keep their place, step by step."""

from __future__ import annotations

from sockiter.claims import HAZARDS
from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld, Held
from sockiter.schemes.full_batch import State as FullState
from sockiter.schemes.one_by_one import Found, OneByOne, Showing, State
from sockiter.schemes.rank import Place, Rank
from sockiter.schemes.scheme import Done
from sockiter.table import Table
from tests.support.scheme_steps import BLANK, changed, table, walk


def at(rank: int) -> State[Place]:
    return State(Place(rank, None, rank))


class TestRank:
    """One number for the whole table."""

    scheme = Rank()

    def test_counts_across_buckets(self) -> None:
        assert walk(self.scheme, self.scheme.open(16, BLANK), table("AB", "", "CD"), stop="D") == ("A B C D", at(3))

    def test_steps_over_as_many_sockets_whichever_they_are(self) -> None:
        now = table("AB", "C")
        assert walk(self.scheme, at(2), changed(now, Add("D", "tail")))[0] == "D C"
        assert walk(self.scheme, at(2), changed(now, Remove("A")))[0] == ""

    def test_is_that_of_the_socket_behind_the_last_after_the_end(self) -> None:
        now = table("AB")
        asked, state = walk(self.scheme, self.scheme.open(16, BLANK), now)
        assert (asked, state) == ("A B", at(2))
        assert walk(self.scheme, state, changed(now, Add("C", "tail"))) == ("C", at(3))

    def test_holds_the_lock_of_its_bucket_all_the_time_and_allocates_nothing(self) -> None:
        assert set(HAZARDS) - self.scheme.hazards == {"close", "accept", "show", "realloc", "enomem", "rollover"}

    def test_is_written_as_the_number(self) -> None:
        assert self.scheme.place(at(3)) == "3"


class TestFullBatch:
    """A bucket is captured whole, and sought by its count again after every stop."""

    scheme = FullBatch()

    def test_captures_a_bucket_whole_growing_twice_if_need_be(self) -> None:
        before = table("AB", "C")
        more = changed(before, *(Add(name, "tail") for name in "DEF"))
        asked, state = walk(self.scheme, self.scheme.open(1, BLANK), before, meanwhile={"grow:3": more}, stop="C")
        assert (asked, state) == ("grow:3 lock:5 A B D E F C", FullState(1, 0, 5))

    def test_fails_where_it_cannot_and_begins_at_the_same_place_again(self) -> None:
        now = table("ABC")
        asked, state = walk(self.scheme, self.scheme.open(2, BLANK), now, refuse=["grow:4"])
        assert (asked, state) == ("grow:4 ENOMEM", FullState(0, 0, 2))
        assert walk(self.scheme, state, now)[0] == "grow:4 A B C"

    def test_seeks_its_place_by_the_count_of_sockets_seen(self) -> None:
        now = table("ABCD")
        asked, state = walk(self.scheme, self.scheme.open(9, BLANK), now, stop="B")
        assert (asked, state) == ("A B", FullState(0, 1, 9))
        assert walk(self.scheme, state, changed(now, Remove("A")))[0] == "C D"

    def test_begins_a_new_bucket_at_its_head_where_the_old_one_ran_out(self) -> None:
        assert walk(self.scheme, FullState(0, 2, 9), table("A", "BC"))[0] == "B C"

    def test_is_written_as_the_bucket_and_the_count(self) -> None:
        assert self.scheme.place(FullState(1, 2, 9)) == "1:2"


class TestFullBatchHeld:
    """A bucket is captured whole, once."""

    scheme = FullBatchHeld()

    def test_holds_the_sockets_that_are_still_to_be_shown(self) -> None:
        now = table("ABC", "D")
        asked, state = walk(self.scheme, self.scheme.open(9, BLANK), now, stop="B")
        assert (asked, [socket.name for socket in state.batch], state.bucket) == ("A B", ["B", "C"], 1)
        assert walk(self.scheme, state, changed(now, Remove("A"), Add("E", "head"), Reinsert("C", "head")))[0] == "B C D"

    def test_meets_a_socket_again_that_moves_to_a_later_bucket(self) -> None:
        now = table("AB", "C")
        _, state = walk(self.scheme, self.scheme.open(9, BLANK), now, stop="B")
        assert walk(self.scheme, state, changed(now, Rehash("A", Bucket(1))))[0] == "B A C"

    def test_fails_where_it_cannot_grow_and_begins_with_that_bucket_again(self) -> None:
        now = table("A", "BCD")
        asked, state = walk(self.scheme, self.scheme.open(2, BLANK), now, refuse=["grow:4"])
        assert (asked, state) == ("A grow:4 ENOMEM", Held(1, (), 2))
        assert walk(self.scheme, state, now)[0] == "grow:4 B C D"

    def test_is_over_after_the_end(self) -> None:
        now = table("A")
        _, state = walk(self.scheme, self.scheme.open(9, BLANK), now)
        assert walk(self.scheme, state, changed(now, Add("B", "tail")))[0] == ""

    def test_is_written_as_the_next_bucket_and_those_held(self) -> None:
        _, state = walk(self.scheme, self.scheme.open(9, BLANK), table("ABC"), stop="B")
        assert self.scheme.place(state) == "1:B,C"
        assert self.scheme.place(Held(1, (), 9)) == "1:-"


def test_a_scheme_without_a_batch_by_default_remembers_all_of_its_place_and_writes_it_unchanged() -> None:
    class Plain(OneByOne[int]):
        start = 0

        def after(self, place: int, table: Table) -> Found[int] | None:
            sockets = table.buckets[0]
            return Found(sockets[place], place + 1) if place < len(sockets) else None

    plain, now = Plain(), table("AB")
    step = plain.begin(plain.open(1, now), now)
    while isinstance(step, Showing):
        step = plain.resume(step, True, now)
    assert isinstance(step, Done)
    assert (step.state.place, plain.place(step.state)) == (2, "2")
