"""Merged states that are not equivalent are recognized, by their transitions."""

from __future__ import annotations

from sockiter.check.differences import smallest
from sockiter.check.effects import Opening
from sockiter.check.merges import Compared, Merging, compared, divided
from sockiter.check.result import Scope
from sockiter.check.states import Layout, SystemState
from sockiter.claims import Hazard
from sockiter.schemes.cookie_udp import CookieUdp, State
from sockiter.table import empty
from tests.support.wrong_canonical_forms import with_canonical


def test_equivalent_states_are_in_one_class() -> None:
    step = ("read", Opening(), 1)
    assert divided([[step], [("read", Opening(), 0)], [("open", Opening(), 9)]]) == [0, 0, 1]


def test_where_states_have_no_end_those_that_were_reached_are_compared() -> None:
    numbered = with_canonical(
        CookieUdp(), lambda self, at, table, where: (table.ver, CookieUdp().canonical(at, table, where))
    )
    hazards: frozenset[Hazard] = frozenset({"reinsert", "remove"})
    result = compared(numbered, hazards, Scope(2, 1, 1), states_max=30)
    assert (result.complete, result.states) == (False, 30)
    assert smallest(Merging(numbered, hazards, Scope(2, 1, 1)), replace_differences(result)) is None


def replace_differences(result: Compared) -> Compared:
    """The same, with a pair that does lead on alike among its differences."""
    table = empty((("", 1),))
    state = SystemState(Layout(table, 2), State(0, (), 2))
    return result._replace(differences=((state, state),))
