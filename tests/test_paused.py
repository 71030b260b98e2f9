"""What a generator that is paused has in hand: what still matters where it waits, and what its loops have left."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from sockiter.operations import Add
from sockiter.paused import in_hand, rest
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch
from sockiter.schemes.index import Index
from sockiter.schemes.scheme import AnyScheme, Grow
from sockiter.table import Socket, Table, empty

pytestmark = pytest.mark.interpreter

Paused = Generator[int, int, None]
A, B, C = (Socket(name, idx) for idx, name in enumerate("ABC", 1))


def table() -> Table:
    of = empty([("", 1)])
    for name in "ABC":
        of = of.after(Add(name, "tail"))
    return of


def hand(made: Callable[[], Paused], *replies: int) -> dict[str, Any]:
    generator = made()
    next(generator)
    for reply in replies:
        generator.send(reply)
    return in_hand(generator).values


def delegated_to() -> Paused:
    same = 10
    yield 0
    yield same


def test_what_is_read_later_is_in_hand_and_what_is_set_before_it_is_read_is_not() -> None:
    def count() -> Paused:
        kept, dropped = 1, 2
        dropped = yield kept
        yield kept + dropped

    assert hand(count) == {"kept": 1}
    assert hand(count, 7) == {}


def test_what_only_one_way_onwards_reads_is_in_hand() -> None:
    def count() -> Paused:
        perhaps = 5
        if (yield 0):
            yield perhaps
        else:
            yield 1

    assert hand(count) == {"perhaps": 5}
    assert hand(count, 0) == {}


def test_what_the_next_round_of_a_loop_reads_is_in_hand() -> None:
    def count() -> Paused:
        rounds = 3
        while rounds:
            got = yield rounds
            rounds = rounds - got

    assert hand(count) == {"rounds": 3}
    assert hand(count, 1) == {"rounds": 2}


@pytest.mark.parametrize("items", [(4, 5, 6), [4, 5, 6], range(4, 7)], ids=["tuple", "list", "range"])
def test_a_loop_is_told_by_what_it_has_left(items: Any) -> None:
    def count() -> Paused:
        for _ in items:
            yield 0

    values = hand(count)
    assert values["loop 1"] == (5, 6)
    assert hand(count, 0, 0)["loop 1"] == ()


def test_an_enumeration_is_told_with_the_number_it_has_come_to() -> None:
    def count() -> Paused:
        for number, _ in enumerate(("x", "y")):
            yield number

    assert hand(count) == {"loop 1": (1, ("y",))}


def test_of_two_loops_each_is_told() -> None:
    def count() -> Paused:
        for one in (1, 2):
            for other in (3, 4, 5):
                yield one * other

    # `one` is read again, by the inner loop.
    assert hand(count, 0) == {"one": 1, "loop 1": (2,), "loop 2": (5,)}


def test_looking_changes_nothing() -> None:
    def count() -> Iterator[int]:
        yield from (1, 2, 3)

    generator = count()
    assert next(generator) == 1
    assert in_hand(generator) == in_hand(generator)
    assert in_hand(generator).values == {"loop 1": (2, 3)}
    assert list(generator) == [2, 3]


def test_a_loop_that_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(TypeError, match="a loop over a zip cannot be looked into"):
        rest(zip((1,), (2,), strict=True))


def test_what_is_delegated_to_is_told_too_and_of_two_of_a_name_the_inner_one_has_a_prime() -> None:
    def outer() -> Paused:
        same, own = 1, 2
        yield from delegated_to()
        yield same + own

    assert hand(outer) == {"same": 1, "own": 2, "same'": 10}
    generator = outer()
    next(generator)
    assert len(in_hand(generator).where) == 2


def test_what_an_inner_function_shares_is_always_in_hand() -> None:
    def count() -> Paused:
        shared = 1

        def more() -> int:
            return shared

        yield more()
        yield 0

    assert hand(count)["shared"] == 1


@pytest.mark.parametrize(
    ("scheme", "at_growth", "at_the_second_turn"),
    [
        (
            Index(),
            {"bucket", "place", "done", "slots", "opened", "resume_bucket", "resume_place", "want", "batch"},
            {"bucket", "place", "done", "slots", "opened", "socket", "loop 1"},
        ),
        (
            CookieUdp(),
            {"bucket", "resume_bucket", "batch", "slots", "tries", "want"},
            {"bucket", "batch", "shown", "slots", "loop 1"},
        ),
        (FullBatch(), {"bucket", "offset", "slots", "tries", "want"}, {"bucket", "offset", "done", "slots", "loop 1"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_scheme_has_in_hand_what_its_read_goes_on_with(
    scheme: AnyScheme, at_growth: set[str], at_the_second_turn: set[str]
) -> None:
    now = table()
    reading = scheme.read(scheme.open(1, now), now)
    assert isinstance(next(reading), Grow)
    assert {name for name, value in in_hand(reading).values.items() if value is not scheme} == at_growth
    assert reading.send((True, now)) == A
    assert reading.send((True, now)) == B
    values = in_hand(reading).values
    assert {name for name, value in values.items() if value is not scheme} == at_the_second_turn
    assert C in values["loop 1"] or C in values["loop 1"][1]
