"""A formula has two readings: over the values of a moment, and over the symbols of the solver."""

from __future__ import annotations

import pytest

from sockiter.prove.logic import After, Observed, Symbol, both, changed, choose, either, implies, negated, nobody

SYMBOLS = (Symbol("place", 0), Symbol("live", False, of_sockets=True))


def moment(place: int = 3, *live: str) -> Observed:
    return Observed(SYMBOLS, ("A", "B"), {"place": place, "live": dict.fromkeys(live, True)})


def test_the_connectives_of_values_are_those_of_logic() -> None:
    for one in (False, True):
        assert negated(one) is not one
        for other in (False, True):
            assert both(one, other) is (one and other)
            assert either(one, other) is (one or other)
            assert implies(one, other) is (not one or other)
    assert (both(), either()) == (True, False)
    assert (choose(True, 1, 2), choose(False, 1, 2)) == (1, 2)


def test_an_observed_moment_has_its_values_and_the_defaults_of_others() -> None:
    seen = moment(3, "A")
    assert (seen.place, seen.live("A"), seen.live("B")) == (3, True, False)
    assert Observed(SYMBOLS, (), {}).place == 0
    with pytest.raises(AttributeError, match="colour"):
        _ = seen.colour


def test_every_socket_and_some_socket_are_those_of_the_moment() -> None:
    seen = moment(0, "A")
    assert (seen.every(seen.live), seen.some(seen.live)) == (False, True)
    assert (seen.every(nobody), seen.some(nobody)) == (False, False)


def test_the_moment_after_updates_differs_in_nothing_else() -> None:
    before = moment(3, "A")
    after = After(before, {"live": changed(before.live, "B", True)})
    assert (after.place, after.live("A"), after.live("B")) == (3, True, True)
    assert (after.every(after.live), after.some(after.live)) == (True, True)


def test_a_formula_over_symbols_is_true_of_the_same_values() -> None:
    z3 = pytest.importorskip("z3")
    for place in (2, 3):
        for live in (False, True):
            one, other = z3.Int("place"), z3.Bool("live")
            formula = both(implies(other, one > 2), either(negated(other), choose(other, one, 0) == 3))
            solver = z3.Solver()
            solver.add(formula, one == place, other == live)
            values = both(implies(live, place > 2), either(negated(live), choose(live, place, 0) == 3))
            assert (solver.check() == z3.sat) is values
