"""`key-order` and `key-home`, step by step, and the order of keys in searches and drawn sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest

from sockiter.backend import Shape
from sockiter.check import everything
from sockiter.check.counterexample import PathStep, Unmerged
from sockiter.check.keys import between, new_names
from sockiter.check.merges import compared
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.check.transitions import TransitionSystem
from sockiter.check.verify import Formless
from sockiter.claims import Hazard
from sockiter.errors import Unsound
from sockiter.explore.graph import explore
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.sockets import Sockets
from sockiter.fuzzing.swarm import Swarm
from sockiter.guard import Guarded
from sockiter.operations import FIRST, Add, Bucket, Change, Open, Read, Rehash, Reinsert, Remove
from sockiter.schemes.index import Index
from sockiter.schemes.key_order import KeyHome, KeyOrder, Looking, Showing, State
from sockiter.schemes.scheme import AnyScheme, has_keys
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.table import Table
from sockiter.verdict import Signature
from tests.support.scheme_steps import BLANK, changed, table, walk
from tests.support.wrong_canonical_forms import with_canonical

KEY_ORDER, KEY_HOME = KeyOrder(), KeyHome()
BOTH = pytest.mark.parametrize("scheme", [KEY_ORDER, KEY_HOME], ids=["key-order", "key-home"])
# Against the order of keys.
CROSSED = table("CAB", "FDE")


def resumed(scheme: AnyScheme, before: Table, stop: str, *changes: Change, slots: int = 2) -> str:
    """The result of the second read, if the first stopped before a socket, and then the table changed."""
    _, state = walk(scheme, scheme.open(slots, before), before, stop=stop)
    return walk(scheme, state, changed(before, *changes))[0]


@BOTH
class TestBoth:
    def test_take_the_elements_of_each_bucket_in_the_order_of_keys(self, scheme: AnyScheme) -> None:
        for slots in (1, 2, 3, 16):
            assert walk(scheme, scheme.open(slots, BLANK), CROSSED)[0] == "A B C D E F"

    def test_never_allocate(self, scheme: AnyScheme) -> None:
        assert walk(scheme, scheme.open(1, BLANK), CROSSED) == ("A B C D E F", State(2, None, 1))

    @pytest.mark.parametrize("stop", "ABC")
    def test_go_on_above_the_key_that_was_shown_last(self, scheme: AnyScheme, stop: str) -> None:
        assert resumed(scheme, CROSSED, stop) == "A B C D E F"["A B C".index(stop) :]

    @pytest.mark.parametrize("order", ["".join(order) for order in permutations("BC")])
    def test_lose_nothing_when_seen_and_unseen_elements_are_inserted_again(self, scheme: AnyScheme, order: str) -> None:
        again = (Reinsert(name, end) for name in f"{order}A" for end in ("head", "tail"))
        assert resumed(scheme, CROSSED, "B", *again) == "B C D E F"

    def test_go_on_where_the_element_shown_last_has_left(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, CROSSED, "B", Remove("A"), Add("AA", "head")) == "AA B C D E F"

    def test_show_a_later_element_if_its_key_is_above_the_place(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, table("BD"), "D", Add("A", "tail"), Add("C", "head")) == "C D"

    def test_use_no_key_of_a_bucket_in_the_next_one(self, scheme: AnyScheme) -> None:
        assert resumed(scheme, table("BC", "A"), "C", Remove("B"), Remove("C")) == "A"

    def test_are_written_with_the_key(self, scheme: AnyScheme) -> None:
        assert (scheme.place(State(2, None, 9)), scheme.place(State(2, "K", 9))) == ("2:-", "2:K")


def test_key_order_shows_a_mover_by_its_key() -> None:
    move = (Rehash("B", FIRST), Rehash("F", FIRST), Rehash("C", Bucket(1)))
    assert resumed(KEY_ORDER, table("AEC", "BF"), "E", *move) == "E F C"


def test_a_move_leaves_the_table_of_key_home_as_it_is_and_counts_as_a_move() -> None:
    made = Simulation(KEY_HOME, Shape((("", 2),)))
    for operation in (Add("A", "tail"), Add("B", "tail", Bucket(1)), Open(), Rehash("B", FIRST), Rehash("A", FIRST)):
        made.apply(operation)
    assert made.state() == (("A",), ("B",))
    assert made.history.events == [Rehash("B", FIRST)]
    made.apply(Read(None))
    assert made.history.reads[0].delivered == ("A", "B")


# The order of keys in a search.


def test_names_are_found_between_any_two() -> None:
    names = [""]
    for nth in range(40):
        at = nth * 7 % len(names)
        names.insert(at + 1, between(names[at], names[at + 1] if at + 1 < len(names) else None))
    assert names == sorted(set(names))


def test_a_new_key_may_lie_in_every_gap_of_the_order_and_is_never_that_of_a_removed_element() -> None:
    there = changed(table("", ""), Add("3", "tail"), Add("5", "head"), Add("55", "tail"), Remove("55"))
    gaps = new_names(there, State(0, "4", 1))
    assert [gap for gap, _ in gaps] == ["3", "2", "1", "0"]
    (top, upper, lower, bottom) = [name for _, name in gaps]
    assert bottom < "3" < lower < "4" < upper < "5" < top < "55"


@BOTH
def test_a_search_reaches_every_order_of_keys_for_every_order_of_a_list(scheme: AnyScheme) -> None:
    # Without insertions at the head, the list is also in the order of time.
    system = TransitionSystem(Formless(scheme), frozenset({"add-tail"}), 3, 1, 1)
    number = 0
    orders = set()
    while number < len(system.states):
        state = system.states[number]
        (names,) = state.table.names
        if len(names) == 3:
            orders.add((tuple(map(sorted(names).index, names)), tuple(idx for _, idx in state.table.buckets[0])))
        elif not state.is_open and len(names) == state.table.ver:
            system.labelled(number)
        number += 1
    in_time = {keys for keys, indexes in orders if indexes == (1, 2, 3)}
    assert in_time == set(permutations(range(3)))
    by_keys = [{indexes for keys, indexes in orders if keys == of} for of in permutations(range(3))]
    assert [len(of) for of in by_keys] == [8] * 6


def test_a_search_with_the_canonical_form_keeps_lists_in_the_order_of_keys_and_finds_the_same() -> None:
    hazards: frozenset[Hazard] = frozenset({"rehash", "show"})
    scope = Scope(2, 2, 1, 4)
    found = {one.signature: one.operations for one in search(KEY_ORDER, hazards, scope).violations}
    assert found == {Signature("repeat", moved=True): 4}
    assert {one.signature: one.operations for one in search(Formless(KEY_ORDER), hazards, scope).violations} == found


def test_every_sequence_has_its_names_in_every_order() -> None:
    sequences = list(everything.sequences(KEY_ORDER, frozenset(), Scope(2, 1, 1, 4)))
    of_two = [[op.name for op in operations if isinstance(op, Add)] for operations in sequences]
    assert sorted(map(list, {tuple(names) for names in of_two if len(names) == 2})) == [["A", "B"], ["B", "A"]]
    assert everything.shortest(KEY_ORDER, frozenset(), Scope(2, 1, 1, 4)) == {}


class ByList(KeyOrder):
    """With a bug: a batch has the first elements of the list, not the least keys."""

    def resume(self, waiting: Looking | Showing, granted: bool, table: Table) -> Any:
        step = super().resume(waiting, granted, table)
        if isinstance(step, Showing) and isinstance(waiting, Looking):
            above = [one for one in table.buckets[step.bucket] if step.key is None or one.name > step.key]
            return step._replace(batch=tuple(above[: step.slots]))
        return step


def test_a_counterexample_has_names_in_the_order_of_its_keys() -> None:
    (skip,) = search(Formless(ByList()), (), Scope(2, 1, 1, 4)).violations
    assert skip.case.operations == (Add("B", "tail"), Add("A", "tail"), Open(), Read(None))


def test_a_canonical_form_that_forgets_the_order_of_keys_is_found_out() -> None:
    wrong = with_canonical(KEY_ORDER, lambda self, at, table, where: (at is None, at and at.bucket, at and at.slots))
    assert compared(wrong, {"remove", "show"}, Scope(2, 1, 1), most=100).differences
    with pytest.raises(Unsound):
        search(wrong, {"rehash", "show"}, Scope(2, 2, 1))


def test_a_path_that_cannot_be_followed_without_merged_states_is_an_error() -> None:
    unmerged = Unmerged(KEY_ORDER, frozenset({"add-tail"}), 1, 1, 1)
    opening = unmerged.labelled(0)[-1]
    other = unmerged.labelled(0)[0]
    path = [PathStep(unmerged.states[0], opening._replace(effect=other.effect), "on")]
    with pytest.raises(Unsound, match="the search merges different states; run `sockiter check --verify key-order`"):
        list(unmerged.followed(path, unmerged.states))


def test_a_page_of_states_has_its_keys_in_the_order_of_additions() -> None:
    graph = explore(KEY_ORDER, {"add-tail"}, Scope(2, 1, 1), states_max=100)
    tables = [graph.system_state(state).table for state in graph.states]
    assert all(list(names) == sorted(names) for there in tables for names in there.names)


# Drawn sequences.


def test_a_room_has_keys_if_the_scheme_compares_names() -> None:
    assert [Room.of(SchemeTarget(scheme)).has_keys for scheme in (KEY_ORDER, Index())] == [True, False]
    assert has_keys(Guarded(KEY_ORDER))
    assert not has_keys(Guarded(Index()))


def test_swarm_draws_names_in_any_order() -> None:
    swarm = Swarm("1", {"add-tail"}, Room(has_keys=True))
    names = [[op.name for op in swarm.sequence()[0] if isinstance(op, Add)] for _ in range(300)]
    assert {tuple(drawn) for drawn in names if len(drawn) == 3} == set(permutations("ABC"))


def test_a_state_machine_draws_names_in_any_order() -> None:
    def by(*numbers: int) -> Callable[[Sequence[Any]], Any]:
        picks = iter(numbers)
        return lambda options: options[next(picks)]

    def drawn(choices: str) -> str:
        sockets = Sockets(Room(has_keys=True))
        for choice in map(int, choices):
            # A choice among names, and then the first bucket.
            sockets.carry_over(sockets.change("add-tail", by(choice, 0)))
        return "".join(sockets.tables)

    assert [drawn(choices) for choices in ("000", "210", "100")] == ["ABC", "CBA", "BAC"]
    assert Sockets(Room()).new_names == ("A",)
