"""How the walks over a BPF hash map keep their place, against kernel/bpf/hashtab.c: by key, by bucket, and by count."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.history import Returned
from sockiter.operations import Add, Bucket, Reinsert, Remove
from sockiter.schemes.map_batch import MapBatch
from sockiter.schemes.map_batch import State as BatchState
from sockiter.schemes.map_iter import MapIter
from sockiter.schemes.map_next_key import Calling, MapNextKey, Returning, State
from sockiter.schemes.one_by_one import Found
from sockiter.schemes.scheme import Done, Room
from sockiter.table import Table, empty
from sockiter.targets import target_named


def elements(*buckets: str) -> Table:
    """A map with these buckets, each from head to tail, a letter an element."""
    table = empty((("map", len(buckets)),))
    for number, names in enumerate(buckets):
        for name in reversed(names):
            table = table.after(Add(name, "head", Bucket(number)))
    return table


def delivered(target_name: str, text: str) -> list[str]:
    """The elements of each read, or its error."""
    with (target := target_named(target_name)).session() as session:
        return [read.error or "".join(read.delivered) for read in run(session, target, loads(text).operations).reads]


TWO_BUCKETS = "add A tail\nadd B tail\nadd C tail in 1\nadd D tail in 1\nopen\n"


class TestMapNextKey:
    def test_a_call_returns_the_key_behind_the_last_one_and_then_the_first_of_a_later_bucket(self) -> None:
        table = elements("AB", "", "C")
        scheme, state = MapNextKey(), State()
        keys = []
        while not state.ended:
            step = scheme.begin(state, table)
            assert isinstance(step, Calling)
            assert step.waits_for == Room(1)
            step = scheme.resume(step, True, table)
            if isinstance(step, Returning):
                keys.append(step.socket.name)
                step = scheme.resume(step, True, table)
                assert isinstance(step, Calling)
                step = scheme.resume(step, False, table)
            assert isinstance(step, Done)
            state = step.state
        assert keys == ["A", "B", "C"]

    def test_makes_no_call_behind_the_end(self) -> None:
        assert MapNextKey().begin(State(ended=True), elements("A")) == Done(State(ended=True))

    @pytest.mark.parametrize(
        ("change", "reads"),
        [
            ("remove A", ["A", "BCD", ""]),  # the first key of the map is B now
            ("remove B", ["A", "CD", ""]),
            ("reinsert A head", ["A", "BCD", ""]),
            ("reinsert B head", ["A", "CD", ""]),
        ],
    )
    def test_a_change_behind_the_first_key(self, change: str, reads: list[str]) -> None:
        assert delivered("map-next-key", f"{TWO_BUCKETS}read 1\n{change}\nread all") == reads

    def test_repeats_all_elements_when_the_last_key_is_gone(self) -> None:
        assert delivered("map-next-key", f"{TWO_BUCKETS}read 3\nremove C\nread all") == ["ABC", "ABD", ""]

    def test_repeats_the_elements_in_front_of_the_last_key_when_that_is_updated(self) -> None:
        assert delivered("map-next-key", f"{TWO_BUCKETS}read 2\nreinsert B head\nread all") == ["AB", "ACD", ""]

    def test_does_not_return_what_is_added_behind_the_end(self) -> None:
        assert delivered("map-next-key", "add A tail\nopen\nread 2\nadd B head in 1\nread all") == ["A", ""]

    def test_the_next_key_is_sought_when_it_is_asked_for(self) -> None:
        assert delivered("map-next-key", "add A tail\nopen\nread 1\nadd B head in 1\nread all") == ["A", "B", ""]

    def test_its_place_is_a_key(self) -> None:
        scheme = MapNextKey()
        assert [scheme.place(state) for state in (State(), State("A"), State(ended=True))] == ["first", "A", "-"]


class TestMapBatch:
    @pytest.mark.parametrize(
        ("size", "reads"),
        [
            (1, ["ENOSPC", "ABCD", ""]),
            (2, ["AB", "CD", ""]),
            (3, ["AB", "CD", ""]),
            (4, ["ABCD", "", ""][:2]),
        ],
    )
    def test_a_call_returns_whole_buckets_while_there_is_room(self, size: int, reads: list[str]) -> None:
        assert delivered("map-batch", f"{TWO_BUCKETS}read {size}\nread all") == reads

    def test_a_call_without_room_for_the_next_bucket_leaves_the_place_as_it_is(self) -> None:
        assert delivered("map-batch", f"{TWO_BUCKETS}read 2\nread 1\nread all") == ["AB", "ENOSPC", "CD", ""]

    @pytest.mark.parametrize("change", ["remove A", "remove B", "reinsert B head", "add E head"])
    def test_a_change_in_a_bucket_that_was_returned_has_no_effect(self, change: str) -> None:
        assert delivered("map-batch", f"{TWO_BUCKETS}read 2\n{change}\nread all") == ["AB", "CD", ""]

    def test_its_place_is_the_next_bucket(self) -> None:
        assert MapBatch().place(BatchState(3)) == "3"

    def test_empty_buckets_need_no_room(self) -> None:
        table = elements("", "A", "")
        step = MapBatch().begin(BatchState(0), table)
        assert not isinstance(step, Done)
        assert step.waits_for == Room(1)
        assert MapBatch().begin(BatchState(2), table) == Done(BatchState(3))


class TestMapIter:
    @pytest.mark.parametrize(
        ("change", "reads"),
        [
            ("remove A", ["A", "CD", ""]),
            ("add E head", ["A", "ABCD", ""]),
            ("reinsert B head", ["A", "ACD", ""]),
        ],
    )
    def test_counts_the_elements_that_it_has_seen_in_a_bucket(self, change: str, reads: list[str]) -> None:
        assert delivered("map-iter", f"{TWO_BUCKETS}read 1\n{change}\nread all") == reads

    def test_steps_on_to_the_next_bucket_before_a_read_ends(self) -> None:
        assert delivered("map-iter", f"{TWO_BUCKETS}read 2\nadd E head\nread all") == ["AB", "CD", ""]

    def test_finds_an_element_by_its_position(self) -> None:
        table = elements("AB")
        found = MapIter().after(MapIter.start, table)
        assert isinstance(found, Found)
        assert found.socket.name == "A"


@pytest.mark.parametrize("name", ["map-next-key", "map-batch", "map-iter"])
def test_an_update_of_the_only_element_changes_nothing(name: str) -> None:
    assert elements("A").after(Reinsert("A", "tail")).names == (("A",),)
    assert delivered(name, "add A tail\nopen\nreinsert A head\nread all") == ["A", ""]


def test_an_element_of_a_map_enters_at_the_head_even_where_a_case_says_tail() -> None:
    assert elements("AB").after(Reinsert("A", "tail")).names == (("A", "B"),)
    assert elements("AB").after(Remove("A")).after(Reinsert("B", "tail")).names == (("B",),)


def test_a_read_of_a_loop_returns_no_more_than_it_asks_for() -> None:
    with (target := target_named("map-next-key")).session() as session:
        reads = run(session, target, loads(f"{TWO_BUCKETS}read 3\nread all").operations).reads
    assert reads[0] == Returned(("A", "B", "C"))
