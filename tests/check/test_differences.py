"""The difference of two states: its fields, and the operations that show it, in words."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sockiter.check.differences import _does, _label_text, differing, smallest
from sockiter.check.effects import Shift, Turns
from sockiter.check.merges import Compared, Merging
from sockiter.check.result import Scope
from sockiter.check.states import Layout, SystemState
from sockiter.check.verify import Formless
from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.schemes.cookie_udp import CookieUdp, State
from sockiter.table import Table, empty


def _state(at: object, table: Table) -> SystemState:
    return SystemState(Layout(table, 2), at)


def test_a_pair_of_states_without_a_separating_operation_is_reported_without_one() -> None:
    state = _state(State(0, (), 2), empty((("", 1),)))
    literal = Merging(Formless(CookieUdp()), frozenset(), Scope(1, 1, 1))
    wrong = smallest(literal, Compared(1, 1, 1, ((state, state),), True))
    assert wrong is not None
    assert (wrong.after, wrong.does) == ((), ("", ""))


@dataclass(frozen=True)
class Spot:
    bucket: int
    name: str


def test_names_of_sockets_do_not_count_and_their_positions_do() -> None:
    table = empty((("", 1),)).after(Add("A", "tail")).after(Add("B", "tail"))
    other = empty((("", 1),)).after(Add("C", "tail")).after(Add("D", "tail"))
    assert differing(_state(Spot(0, "A"), table), _state(Spot(0, "C"), other)) == ((), ())
    assert differing(_state(Spot(0, "A"), table), _state(Spot(1, "D"), other)) == (("Spot.bucket", "Spot.name"), ())
    assert differing(_state(("A", "x"), table), _state(("A", "y"), table)) == (("tuple",), ())
    assert differing(_state((1,), table), _state(("A",), table)).at == ("tuple",)
    fewer = table.after(Remove("A"))
    assert differing(_state("A", table), _state("A", fewer)) == (
        ("str",),
        ("table.removals", "table.buckets.idx", "table.gone"),
    )


@pytest.mark.parametrize(
    ("line", "inside", "words"),
    [
        (Add("", "head", Bucket(1)), None, "add a socket at the head of bucket 1"),
        (Remove("0"), None, "remove the socket at position 0"),
        (Reinsert("0", "tail"), None, "reinsert the socket at position 0 at the tail"),
        (Rehash("1", Bucket(1)), None, "rehash the socket at position 1 to bucket 1"),
        ("fail", "realloc", "the allocation is refused"),
        (None, "bucket", "the bucket is locked, and the read continues"),
        ("open", None, "open"),
    ],
)
def test_an_operation_is_described_by_position(line: object, inside: str | None, words: str) -> None:
    assert _label_text(line, inside) == words


def test_the_effect_of_a_step_is_described_in_words() -> None:
    shift = Shift((0,))
    assert _does(("open", shift, 1), "open").startswith("Shift(to=(0,)")
    assert _does(("open", shift, 1), "read") == "not possible"


def test_a_step_of_a_read_is_put_in_words() -> None:
    refused = Turns((0, 2), turns=3, looks=1, allocations=1, over=True, refused=True)
    assert _does((None, refused, 1), None) == (
        "shows the sockets at positions 0, 2, 3 turns, 1 buckets locked, 1 allocations, returns an error, over"
    )
    assert _does((None, Turns(stops=True, over=True), 1), None) == "shows nothing, full"
    assert _does((None, Turns(), 1), None) == "shows nothing, waits again"
