"""The socket table: the effect of each change, the idx that the table gives, and the value semantics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockiter.operations import Accept, Add, Bucket, Change, Close, End, Rehash, Reinsert, Remove
from sockiter.table import LARGE, Phase, Socket, Table, empty
from tests.support.scheme_steps import blank, changed, table


def idx(of: Table) -> dict[str, int]:
    return {socket.name: socket.idx for bucket in of.buckets for socket in bucket}


ABC = table("", "ABC", "")


def test_an_empty_table_has_its_buckets_and_no_sockets() -> None:
    assert blank(3) == Table(((), (), ()), 0, (0, 0, 0), (Phase("", 0, 3),))


def test_sockets_stand_from_head_to_tail() -> None:
    made = blank(1).after(Add("A", "tail")).after(Add("B", "head")).after(Add("C", "tail"))
    assert made.buckets == ((Socket("B", -2), Socket("A", 1), Socket("C", 3)),)
    assert made.ver == 3


def test_an_insertion_is_numbered_across_all_buckets() -> None:
    made = blank(2).after(Add("A", "tail", Bucket(1))).after(Add("B", "head")).after(Add("C", "head", Bucket(1)))
    assert made.buckets == ((Socket("B", -2),), (Socket("C", -3), Socket("A", 1)))
    assert made.ver == 3


CHANGES: list[tuple[Change, tuple[str, str, str], int, dict[str, int]]] = [
    (Add("D", "head", Bucket(1)), ("", "DABC", ""), 4, {"D": -4}),
    (Add("D", "tail", Bucket(1)), ("", "ABCD", ""), 4, {"D": 4}),
    (Add("D", "tail"), ("D", "ABC", ""), 4, {"D": 4}),
    (Remove("A"), ("", "BC", ""), 3, {}),
    (Remove("B"), ("", "AC", ""), 3, {}),
    (Remove("C"), ("", "AB", ""), 3, {}),
    (Reinsert("B", "head"), ("", "BAC", ""), 4, {"B": -4}),
    (Reinsert("B", "tail"), ("", "ACB", ""), 4, {"B": 4}),
    (Reinsert("A", "head"), ("", "ABC", ""), 4, {"A": -4}),
    (Rehash("B", Bucket(0)), ("B", "AC", ""), 4, {"B": -4}),
    (Rehash("B", Bucket(2)), ("", "AC", "B"), 4, {"B": -4}),
]


@pytest.mark.parametrize(("change", "buckets", "ver", "new"), CHANGES, ids=[str(change) for change, *_ in CHANGES])
def test_a_change_moves_one_socket_and_gives_it_a_new_idx(
    change: Change, buckets: tuple[str, ...], ver: int, new: dict[str, int]
) -> None:
    after = ABC.after(change)
    assert after.names == tuple(tuple(names) for names in buckets)
    assert after.ver == ver
    stayed = {name: number for name, number in idx(ABC).items() if name in "".join(buckets)}
    assert idx(after) == stayed | new


@pytest.mark.parametrize(
    ("change", "removals"),
    [
        (Add("D", "head", Bucket(1)), (0, 0, 0)),
        (Remove("B"), (0, 1, 0)),
        (Reinsert("B", "tail"), (0, 1, 0)),
        (Rehash("B", Bucket(2)), (0, 1, 0)),
        (Rehash("B", Bucket(1)), (0, 0, 0)),
    ],
    ids=str,
)
def test_a_removal_is_counted_in_its_bucket(change: Change, removals: tuple[int, ...]) -> None:
    assert ABC.after(change).removals == removals


def test_removals_add_up() -> None:
    assert changed(ABC, Remove("A"), Remove("C"), Rehash("B", Bucket(0)), Remove("B")).removals == (1, 3, 0)


class TestPhases:
    """TCP's listening sockets, and behind them in the walk its established ones."""

    tcp = changed(
        empty(
            (
                ("listening", 2),
                ("established", 2),
            )
        ),
        Add("A", "tail"),
        Add("B", "tail", Bucket(1, "listening")),
        Add("C", "head", Bucket(0, "established")),
        Add("D", "head", Bucket(0, "established")),
    )

    def test_lie_behind_each_other_in_the_walk(self) -> None:
        assert self.tcp.phases == (Phase("listening", 0, 2), Phase("established", 2, 4))
        assert self.tcp.names == (("A",), ("B",), ("D", "C"), ())

    def test_differ_by_their_number(self) -> None:
        assert [len(self.tcp.buckets_of(phase)[0]) for phase in (0, 1)] == [1, 2]
        assert self.tcp.buckets_of(0) + self.tcp.buckets_of(1) == self.tcp.buckets

    def test_have_buckets_of_their_own_and_the_first_needs_no_name(self) -> None:
        buckets = [Bucket(1), Bucket(1, "listening"), Bucket(1, "established")]
        assert [self.tcp.number(bucket) for bucket in buckets] == [1, 1, 3]

    @pytest.mark.parametrize(
        "bucket", [Bucket(2), Bucket(3), Bucket(2, "established"), Bucket(3, "established"), Bucket(0, "unix")], ids=str
    )
    def test_have_no_buckets_but_those(self, bucket: Bucket) -> None:
        with pytest.raises(IndexError, match=f"^{bucket}$"):
            self.tcp.number(bucket)

    def test_lend_the_first_no_buckets(self) -> None:
        with pytest.raises(IndexError, match=r"^1$"):
            empty(
                (
                    ("listening", 1),
                    ("established", 3),
                )
            ).number(Bucket(1))

    def test_are_left_and_entered_by_a_move(self) -> None:
        assert self.tcp.after(Rehash("A", Bucket(0, "established"))).names == ((), ("B",), ("A", "D", "C"), ())
        assert self.tcp.after(Rehash("C", Bucket(1))).names == (("A",), ("C", "B"), ("D",), ())

    def test_may_have_no_tail_and_then_a_reinserted_socket_goes_to_the_head(self) -> None:
        assert self.tcp.after(Reinsert("C", "tail")).names[2] == ("C", "D")

    @pytest.mark.parametrize("tables", [("listening", "established"), ("established", "listening")], ids="-".join)
    @pytest.mark.parametrize("number", [0, 1])
    def test_have_a_tail_or_none_in_all_their_buckets(self, tables: tuple[str, str], number: int) -> None:
        sockets = [("A", "listening"), ("B", "listening"), ("C", "established"), ("D", "established")]
        made = changed(
            empty(tuple((table, 2) for table in tables)),
            *(Add(name, "head", Bucket(number, table)) for name, table in sockets),
            Reinsert("B", "tail"),
            Reinsert("C", "tail"),
        )
        assert sorted(filter(None, made.names)) == [("A", "B"), ("C", "D")]

    def test_may_have_no_buckets(self) -> None:
        table = empty(
            (
                ("listening", 1),
                ("established", 0),
            )
        )
        assert (table.buckets_of(0), table.buckets_of(1)) == (((),), ())


def test_a_move_goes_to_the_head_of_a_bucket_that_holds_others() -> None:
    after = table("AB", "CD").after(Rehash("B", Bucket(1)))
    assert after.names == (("A",), ("B", "C", "D"))


def test_a_move_to_where_the_socket_is_gives_the_very_same_table() -> None:
    assert ABC.after(Rehash("C", Bucket(1))) is ABC


def test_a_change_leaves_the_old_table_as_it_was() -> None:
    before = table("AB")
    before.after(Remove("A"))
    before.after(Add("C", "head"))
    assert before == table("AB")


@pytest.mark.parametrize("change", [Remove("X"), Reinsert("X", "head"), Rehash("X", Bucket(1))], ids=str)
def test_a_socket_that_is_not_there_is_a_key_error(change: Change) -> None:
    with pytest.raises(KeyError, match=r"^'X'$"):
        ABC.after(change)


@pytest.mark.parametrize("change", [Add("X", "head", Bucket(3)), Rehash("A", Bucket(3))], ids=str)
def test_a_bucket_that_is_not_there_is_an_index_error(change: Change) -> None:
    with pytest.raises(IndexError):
        ABC.after(change)


def test_a_socket_is_found_by_its_bucket_and_its_position_from_the_head() -> None:
    two = table("AB", "CDE")
    assert [two.where(name) for name in "ABCDE"] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


def test_a_table_has_the_sockets_of_all_its_buckets_and_no_others() -> None:
    two = table("A", "B")
    assert [name for name in "ABC" if two.has(name)] == ["A", "B"]


def test_a_socket_now_has_its_latest_values() -> None:
    assert table("AB").after(Reinsert("A", "tail")).now(Socket("A", 1)) == Socket("A", 3)
    assert table("A", "B").after(Rehash("B", Bucket(0))).now(Socket("B", 2)) == Socket("B", -3)


def test_a_socket_that_is_gone_stays_as_it_was_when_it_left() -> None:
    assert table("AB").after(Remove("A")).now(Socket("A", 1)) == Socket("A", 1)
    moved = table("AB").after(Reinsert("A", "head")).after(Remove("A"))
    assert moved.now(Socket("A", 1)) == Socket("A", -3)
    both = moved.after(Remove("B")).after(Add("C", "tail"))
    assert both.gone == both.after(Reinsert("C", "head")).gone == (Socket("A", -3), Socket("B", 2))


def test_a_socket_with_a_successor_stays_as_it_was_and_the_successor_has_its_own_values() -> None:
    for close in (Close("A"), Accept("A")):
        succeeded = table("AB").after(close)
        assert succeeded.names == (("A", "B"),)
        assert succeeded.now(Socket("A", 1)) == Socket("A", 1)
        assert succeeded.now(Socket("A", -3)) == Socket("A", -3)
        assert succeeded.after(Reinsert("A", "tail")).now(Socket("A", -3)) == Socket("A", 4)


def test_a_socket_of_a_large_table_has_its_latest_values_or_those_when_it_left() -> None:
    made = table("AB")
    for number in range(LARGE):
        made = made.after(Add(f"n{number}", "tail"))
    made = made.after(Remove("A")).after(Reinsert("B", "head"))
    assert [name for name in ("A", "B", "n0") if made.has(name)] == ["B", "n0"]
    assert made.now(Socket("A", 1)) == Socket("A", 1)
    assert made.now(Socket("B", 2)) == Socket("B", -made.ver)
    assert made.now(Socket("X", 7)) == Socket("X", 7)


def test_a_socket_that_was_never_there_is_as_it_is_said_to_be() -> None:
    assert table("AB").now(Socket("X", 7)) == Socket("X", 7)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(("head", "tail")), st.integers(0, 2)), max_size=12))
def test_indexes_rise_from_head_to_tail_and_are_never_given_twice(steps: list[tuple[str, End, int]]) -> None:
    made = blank(3)
    for name, end, number in steps:
        if not made.has(name):
            made = made.after(Add(name, end, Bucket(number)))
        elif number == 2:
            made = made.after(Reinsert(name, end))
        else:
            made = made.after(Rehash(name, Bucket(number)))
        for bucket in made.buckets:
            assert [socket.idx for socket in bucket] == sorted(socket.idx for socket in bucket)
    given_out = [abs(number) for number in idx(made).values()]
    assert len(set(given_out)) == len(given_out)
    assert max(given_out, default=0) <= made.ver <= len(steps)
    assert hash(made) == hash(Table(*made))
