"""The sockets of a drawn sequence determine the possible next changes."""

from __future__ import annotations

from copy import copy

from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.sockets import Sockets
from sockiter.operations import Add, Bucket, Reinsert, Remove

TWO_TABLES = Room(("listening", "established"))


def test_a_socket_in_a_table_without_a_tail_is_reinserted_at_the_head() -> None:
    sockets = Sockets(TWO_TABLES)
    sockets.carry_over(Add("A", "head", Bucket(0, "established")))

    assert sockets.change("reinsert", lambda options: options[0]) == Reinsert("A", "head")
    assert sockets.change("reinsert", lambda options: options[-1]) == Reinsert("A", "head")


def test_only_a_socket_in_a_table_with_a_tail_is_reinserted_if_there_is_one() -> None:
    sockets = Sockets(TWO_TABLES)
    sockets.carry_over(Add("A", "head", Bucket(0, "established")))
    sockets.carry_over(Add("B", "head"))

    assert sockets.change("reinsert", lambda options: options[0]) == Reinsert("B", "tail")


def test_a_target_without_a_tail_reinserts_every_socket_at_the_head() -> None:
    sockets = Sockets(Room(has_tail=False))
    sockets.carry_over(Add("A", "tail"))

    assert (sockets.with_tail, sockets.without_tail) == ((), ("A",))
    assert sockets.change("reinsert", lambda options: options[0]) == Reinsert("A", "head")


def test_a_socket_is_added_at_the_tail_only_where_a_table_has_one() -> None:
    sockets = Sockets(TWO_TABLES)

    assert sockets.change("add-tail", lambda buckets: buckets[1]) == Add("A", "tail", Bucket(1))
    assert sockets.change("add-head", lambda buckets: buckets[1]) == Add("A", "head", Bucket(0, "established"))


def test_an_insertion_beyond_the_limit_needs_a_rollover() -> None:
    sockets = Sockets(Room(insertions=1))
    sockets.carry_over(Add("A", "tail"))

    assert (sockets.may("add-head"), sockets.may("rehash"), sockets.may("remove")) == (False, False, True)
    assert Sockets(Room(insertions=0), rolls_over=True).may("add-head")


def test_changes_to_a_copy_do_not_reach_the_original() -> None:
    sockets = Sockets(Room(insertions=3), rolls_over=True)
    sockets.carry_over(Add("A", "tail"))
    clone = copy(sockets)
    clone.carry_over(Remove("A"))

    assert (sockets.tables, sockets.new_name, clone.tables, clone.rolls_over) == ({"A": ""}, "B", {}, True)
