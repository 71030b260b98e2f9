"""How `offset-tcp` keeps its place, step by step, against bpf_iter_tcp_batch and tcp_seek_last_pos before the cookies."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.operations import Add, Bucket, Reinsert, Remove
from sockiter.schemes.offset_tcp import OffsetTcp, State
from sockiter.targets import target_named
from tests.support.scheme_steps import changed, tcp, walk

SCHEME = OffsetTcp()
LISTENING, ESTABLISHED, OVER = 0, 1, 2


def listening(bucket: int, offset: int, *, slots: int = 9) -> State:
    return State(LISTENING, bucket, offset, slots)


def established(bucket: int, offset: int, *, slots: int = 9) -> State:
    return State(ESTABLISHED, bucket, offset, slots)


class TestABatch:
    """As the one of `offset-udp`, over two tables."""

    def test_starts_at_the_first_listening_bucket_with_nothing_seen(self) -> None:
        assert SCHEME.open(7, tcp("")) == State(LISTENING, 0, 0, 7)

    def test_is_made_of_the_listening_buckets_first_and_then_of_the_established_ones(self) -> None:
        asked, after = walk(SCHEME, SCHEME.open(16, tcp("")), tcp("AB", "", "C", est=("DE", "", "F")))
        assert (asked, after) == ("A B C D E F", State(OVER, 0, 0, 16))

    @pytest.mark.parametrize(
        ("stop", "state"),
        [
            ("A", listening(0, 0)),
            ("B", listening(0, 1)),
            ("C", listening(2, 0)),
            ("D", established(0, 0)),
            ("E", established(0, 1)),
            ("F", established(2, 0)),
        ],
    )
    def test_is_dropped_at_a_stop_that_remembers_table_bucket_and_sockets_seen(self, stop: str, state: State) -> None:
        now = tcp("AB", "", "C", est=("DE", "", "F"))
        asked, after = walk(SCHEME, SCHEME.open(9, now), now, stop=stop)
        assert (asked, after) == ("A B C D E F"[: "A B C D E F".index(stop) + 1], state)
        assert walk(SCHEME, after, now)[0] == "A B C D E F"["A B C D E F".index(stop) :]

    def test_that_is_just_large_enough_does_not_grow(self) -> None:
        asked, after = walk(SCHEME, SCHEME.open(3, tcp("")), tcp("ABC", est=("DEF",)))
        assert (asked, after.slots) == ("A B C D E F", 3)

    def test_that_is_too_small_grows_to_half_as_much_again_in_both_tables_and_stays_large(self) -> None:
        asked, after = walk(SCHEME, SCHEME.open(2, tcp("")), tcp("ABC", est=("DEFG", "HIJKLMN")))
        assert (asked, after.slots) == ("grow:4 A B C D E F G grow:10 H I J K L M N", 10)

    def test_is_requested_only_for_the_rest_of_the_bucket(self) -> None:
        assert walk(SCHEME, listening(0, 2, slots=2), tcp("ABCDE"))[0] == "grow:4 C D E"
        assert walk(SCHEME, established(0, 2, slots=2), tcp("", est=("ABCDE",)))[0] == "grow:4 C D E"

    def test_that_may_not_grow_goes_on_in_portions_without_an_error_and_asks_again_for_each(self) -> None:
        refuse = ["grow:7", "grow:4"]
        for now in (tcp("ABCDE"), tcp("", est=("", "ABCDE"))):
            asked, after = walk(SCHEME, SCHEME.open(2, now), now, refuse=refuse)
            assert (asked, after) == ("grow:7 A B grow:4 C D E", State(OVER, 0, 0, 2))

    def test_that_may_not_grow_is_not_done_with_its_bucket_at_a_stop(self) -> None:
        now = tcp("ABCDE")
        asked, after = walk(SCHEME, SCHEME.open(2, now), now, refuse=["grow:7", "grow:4"], stop="C")
        assert (asked, after) == ("grow:7 A B grow:4 C", listening(0, 2, slots=2))
        assert walk(SCHEME, after, now)[0] == "grow:4 C D E"

    def test_that_may_not_grow_stays_as_it_was_made_whatever_happened_meanwhile(self) -> None:
        before = tcp("ABC")
        other = changed(before, Remove("A"))
        asked, _ = walk(SCHEME, SCHEME.open(2, before), before, refuse=["grow:4"], meanwhile={"grow:4": other})
        assert asked == "grow:4 A B"  # and then two are stepped over in BC

    def test_that_grew_and_is_still_too_small_does_not_ask_a_second_time_but_goes_on_in_portions(self) -> None:
        before = tcp("AB")
        more = changed(before, *(Add(name, "tail") for name in "CDE"))
        asked, after = walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": more})
        assert (asked, after.slots) == ("grow:3 A B C D E", 3)

    def test_that_grew_and_is_still_too_small_may_grow_again_for_the_rest(self) -> None:
        before = tcp("AB")
        more = changed(before, *(Add(name, "tail") for name in "CDEFGHI"))
        asked, after = walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": more})
        assert (asked, after.slots) == ("grow:3 A B C grow:9 D E F G H I", 9)

    def test_is_made_anew_from_the_same_place_after_growing(self) -> None:
        before = tcp("ABCDE")
        fewer = changed(before, Remove("D"))
        assert walk(SCHEME, listening(0, 2, slots=1), before, meanwhile={"grow:4": fewer})[0] == "grow:4 C E"

    def test_is_made_anew_from_where_the_first_search_ended_and_not_from_where_it_began(self) -> None:
        # Where offset-udp would step over A and F once more, and take G.
        before = tcp("A", "BCDE")
        more = changed(before, Add("F", "tail"), Add("G", "tail"))
        assert walk(SCHEME, listening(0, 2, slots=1), before, meanwhile={"grow:6": more})[0] == "grow:6 B C D E"

    def test_is_made_of_the_next_bucket_when_this_one_ran_empty_while_it_grew(self) -> None:
        before = tcp("AB", "CD")
        emptied = changed(before, Remove("A"), Remove("B"))
        assert walk(SCHEME, SCHEME.open(1, before), before, meanwhile={"grow:3": emptied})[0] == "grow:3 C D"

    def test_holds_the_sockets_from_the_time_when_it_was_made(self) -> None:
        before = tcp("AB", est=("C",))
        other = changed(before, Remove("B"), Add("D", "tail"), Add("E", "head", Bucket(0, "established")))
        assert walk(SCHEME, SCHEME.open(9, before), before, meanwhile={"A": other})[0] == "A B E C"

    def test_of_an_empty_table_and_after_the_end_is_none_even_if_sockets_came(self) -> None:
        over = State(OVER, 0, 0, 9)
        now = tcp("", est=("",))
        assert walk(SCHEME, SCHEME.open(9, now), now) == ("", over)
        assert walk(SCHEME, over, tcp("A", est=("B",))) == ("", over)


class TestThePlaceInATable:
    """In one table it goes wrong as that of `offset-udp` does."""

    def test_steps_over_as_many_sockets_of_its_bucket_as_were_seen(self) -> None:
        assert walk(SCHEME, listening(1, 2), tcp("A", "BCD"), stop="D") == ("D", listening(1, 2))
        assert walk(SCHEME, established(1, 2), tcp("A", est=("B", "CDE")), stop="E") == ("E", established(1, 2))

    def test_skips_a_socket_when_a_seen_one_left(self) -> None:
        assert walk(SCHEME, listening(0, 2), tcp("BCD"))[0] == "D"
        assert walk(SCHEME, established(0, 2), tcp("", est=("BCD",)))[0] == "D"

    def test_repeats_a_socket_when_one_entered_at_the_head(self) -> None:
        assert walk(SCHEME, listening(0, 1), tcp("CAB"))[0] == "A B"
        assert walk(SCHEME, established(0, 1), tcp("", est=("CAB",)))[0] == "A B"

    def test_repeats_and_skips_where_a_socket_was_put_in_again(self) -> None:
        now = tcp("ABC")
        assert walk(SCHEME, listening(0, 1), changed(now, Reinsert("C", "head")))[0] == "A B"
        assert walk(SCHEME, listening(0, 1), changed(now, Reinsert("A", "tail")))[0] == "C A"

    def test_that_runs_out_of_its_bucket_is_the_head_of_the_next_whatever_is_left_of_the_count(self) -> None:
        assert walk(SCHEME, listening(0, 5), tcp("AB", "", "CDE"), stop="D") == ("C D", listening(2, 1))
        assert walk(SCHEME, established(0, 5), tcp("", est=("AB", "", "CDE")), stop="D") == ("C D", established(2, 1))

    def test_in_a_bucket_that_ran_empty_is_the_head_of_the_next(self) -> None:
        assert walk(SCHEME, listening(0, 2), tcp("", "CDE"), stop="C") == ("C", listening(1, 0))
        assert walk(SCHEME, established(0, 2), tcp("", est=("", "CDE")), stop="C") == ("C", established(1, 0))

    def test_in_the_established_table_looks_at_no_listening_socket_any_more(self) -> None:
        assert walk(SCHEME, established(0, 1), tcp("AB", est=("CDE",)))[0] == "D E"

    def test_of_a_socket_that_left_while_it_was_shown_counts_it_all_the_same(self) -> None:
        now = tcp("ABC")
        asked, after = walk(SCHEME, SCHEME.open(9, now), now, stop="B", meanwhile={"A": changed(now, Remove("A"))})
        assert (asked, after) == ("A B", listening(0, 1))

    def test_is_written_as_table_bucket_and_count(self) -> None:
        assert SCHEME.place(listening(2, 1)) == "listening:2:1"
        assert SCHEME.place(established(0, 3)) == "established:0:3"
        assert SCHEME.place(State(OVER, 0, 0, 9)) == "-"


class TestGoingOver:
    """Bucket and count of the listening search go on into the established one."""

    EIGHT = "STUVWXYZ"

    def lost(self, state: State, *buckets: str, est: tuple[str, ...]) -> str:
        """Which established sockets this read does not come to."""
        asked, after = walk(SCHEME, state, tcp(*buckets, est=est))
        assert after == State(OVER, 0, 0, 9)
        return "".join(name for bucket in est for name in bucket if name not in asked)

    @pytest.mark.parametrize(("seen", "left"), [(seen, left) for seen in range(7) for left in range(seen + 1)])
    def test_loses_the_rest_of_the_count_less_one_and_all_if_there_is_no_rest(self, seen: int, left: int) -> None:
        # Counted down once for every socket that is left, and once more when there is none. With -1 it never comes to 0.
        count = seen - left - 1
        lost = self.EIGHT if count == -1 else self.EIGHT[:count]
        assert self.lost(listening(0, seen), "ABCDEF"[:left], est=(self.EIGHT, "P")) == lost

    def test_remembers_where_it_is_by_then(self) -> None:
        assert walk(SCHEME, listening(0, 4), tcp("A", est=("STUV",)), stop="U") == ("U", established(0, 2))
        assert walk(SCHEME, listening(0, 1), tcp("A", est=("STUV", "WX")), stop="W") == ("W", established(1, 0))
        assert walk(SCHEME, listening(0, 1), tcp("", est=("STUV",)), stop="S") == ("S", established(0, 0))

    @pytest.mark.parametrize("count", [8, 9, 99])
    def test_loses_one_bucket_at_the_most(self, count: int) -> None:
        assert self.lost(listening(0, count + 1), "", est=(self.EIGHT, "PQ")) == self.EIGHT

    @pytest.mark.parametrize("seen", [1, 3])
    def test_loses_nothing_where_the_first_occupied_bucket_has_another_number(self, seen: int) -> None:
        for est in (("", self.EIGHT), ("P", self.EIGHT, "Q")):
            assert self.lost(listening(2, seen), "", "", "A" if seen == 1 else "", est=est) == ""
        assert self.lost(listening(0, seen), "A" if seen == 1 else "", est=("", self.EIGHT)) == ""

    def test_loses_of_a_bucket_behind_empty_ones_as_well(self) -> None:
        assert self.lost(listening(2, 1), "", "", "A", est=("", "", self.EIGHT)) == self.EIGHT
        assert self.lost(listening(2, 3), "", "", "", est=("", "", self.EIGHT)) == "ST"

    def test_steps_over_nobody_in_the_established_table_where_another_listening_socket_comes_first(self) -> None:
        assert self.lost(listening(0, 2), "A", "B", est=("", "S")) == ""
        assert walk(SCHEME, listening(0, 5), tcp("A", "BC", est=(self.EIGHT,)), stop="C") == ("B C", listening(1, 1))

    def test_of_a_fresh_iterator_with_nobody_listening_loses_the_first_bucket_whole(self) -> None:
        now = tcp("", "", est=("STU", "VW"))
        assert walk(SCHEME, SCHEME.open(9, now), now, stop="V") == ("V", established(1, 0))

    def test_of_a_fresh_iterator_with_nobody_listening_loses_nothing_where_the_first_bucket_is_empty(self) -> None:
        assert self.lost(listening(0, 0), "", "", est=("", "STU", "VW")) == ""

    @pytest.mark.parametrize(
        ("buckets", "est", "lost"),
        [
            (("A",), ("", "STU", "VW"), "STU"),
            (("", "A", ""), ("", "", "STU", "VW"), "STU"),
            (("A", "", "B"), ("", "", "", "S"), "S"),
            (("A",), ("STU", "VW"), ""),
            (("", "A"), ("", "STU"), ""),
            (("A",), ("", "", "STU"), ""),
        ],
        ids=["just behind", "not the last", "the last of two", "in front", "the same", "further behind"],
    )
    def test_remembers_the_bucket_behind_the_last_one_with_a_listening_socket(
        self, buckets: tuple[str, ...], est: tuple[str, ...], lost: str
    ) -> None:
        assert self.lost(listening(0, 0), *buckets, est=est) == lost

    def test_spends_the_count_once_though_a_batch_is_made_again(self) -> None:
        asked, after = walk(SCHEME, listening(0, 3, slots=1), tcp("", est=("STUVW",)), stop="V")
        assert (asked, after) == ("grow:4 U V", established(0, 3, slots=4))

    def test_is_made_anew_in_the_established_table_where_a_socket_began_to_listen_meanwhile(self) -> None:
        before = tcp("", est=("STUVW",))
        meanwhile = {"grow:4": changed(before, Add("A", "tail"))}
        assert walk(SCHEME, listening(0, 3, slots=1), before, meanwhile=meanwhile)[0] == "grow:4 U V W"

    def test_happens_anew_when_the_listening_bucket_ran_empty_while_the_batch_grew(self) -> None:
        before = tcp("ABC", est=("STUV",))
        emptied = changed(before, Remove("A"), Remove("B"), Remove("C"))
        # Nothing was seen, and nothing is left: -1. With one seen it is 0, and the batch does not grow a second time.
        assert walk(SCHEME, listening(0, 0, slots=1), before, meanwhile={"grow:4": emptied})[0] == "grow:4"
        assert walk(SCHEME, listening(0, 1, slots=1), before, meanwhile={"grow:3": emptied})[0] == "grow:3 S T U V"


def one_by_one(*before: str, read: int = 0, close: str = "") -> str:
    """A case of reads for one record each, some of them before sockets are closed."""
    reads = ["read 1"] * read
    return "\n".join([*before, "open", *reads, *(f"remove {name}" for name in close), *["read 1"] * 12, "read all"])


def listeners(names: str, bucket: int = 0) -> list[str]:
    return [f"add {name} tail in {bucket}" for name in names]


def connections(names: str, bucket: int = 0) -> list[str]:
    return [f"add {name} head in established:{bucket}" for name in reversed(names)]


def delivered(text: str) -> str:
    with (target := target_named("offset-tcp")).session() as session:
        reads = run(session, target, loads(text).operations).reads
    assert reads[-1].is_the_end
    return "".join(name for read in reads for name in read.delivered)


@pytest.mark.parametrize(
    ("names", "read", "close", "seen"),
    [
        ("A", 1, "A", "A STUVWXYZ"),
        ("AB", 1, "AB", "A STUVWXYZ"),
        ("ABCD", 3, "ABCD", "ABC UVWXYZ"),
        ("AB", 1, "B", "A"),
        ("ABC", 2, "AC", "AB STUVWXYZ"),
        ("ABC", 2, "BC", "AB STUVWXYZ"),
        ("ABCDE", 4, "BCDE", "ABCD UVWXYZ"),
        ("ABC", 1, "A", "AC STUVWXYZ"),
    ],
)
def test_deliveries_of_a_6_1_kernel_when_listening_sockets_of_bucket_0_close(
    names: str, read: int, close: str, seen: str
) -> None:
    text = one_by_one(*listeners(names), *connections("STUVWXYZ"), read=read, close=close)
    assert delivered(text) == seen.replace(" ", "")


@pytest.mark.parametrize(
    ("names", "read", "close", "seen"),
    [
        ("AB", 1, "B", "A STUVWXYZ"),
        ("ABC", 2, "BC", "AB STUVWXYZ"),
        ("ABCD", 3, "ABCD", "ABC STUVWXYZ"),
        ("ABCDE", 4, "BCDE", "ABCD STUVWXYZ"),
    ],
)
def test_deliveries_of_a_6_1_kernel_from_bucket_0_when_sockets_close_in_another_bucket(
    names: str, read: int, close: str, seen: str
) -> None:
    text = one_by_one(*listeners(names, 1), *connections("STUVWXYZ"), read=read, close=close)
    assert delivered(text) == seen.replace(" ", "")


def test_losses_of_a_6_1_kernel_without_any_change() -> None:
    far = [*listeners("AB", 28), *connections("ST", 29), *connections("UV", 91)]
    assert delivered(one_by_one(*far)) == "ABUV"
    assert delivered(one_by_one(*connections("ST"), *connections("UV", 1))) == "UV"


def test_losses_do_not_depend_on_the_size_of_a_read() -> None:
    sockets = "\n".join([*listeners("AB", 28), *connections("ST", 29), *connections("UV", 91)])
    assert delivered(f"{sockets}\nopen\nread all") == "ABUV"
