"""Sets of fates: a transition of a set gives what the monitor gives for each fate by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from sockiter.check.effects import Effect, Opening, Reopening, Shift, Turns
from sockiter.check.fates import (
    NOT_FOLLOWED,
    Fates,
    FateStep,
    Way,
    Ways,
    fate_step,
    fates_of,
    numbers_of,
    relevant_fates,
    ways_of,
)
from sockiter.check.monitor import (
    FATES_OF_A_SOCKET,
    MONITORED,
    OWED,
    Judged,
    Mode,
    MonitorResult,
    MonitorState,
    MonitorStep,
    can_violate,
    monitor_states,
)
from sockiter.verdict import Signature

SOCKETS = 3
TO, OTHER = 7, 8
modes = st.sampled_from(get_args(Mode))
passes = st.sampled_from(get_args(Judged))
positions = st.integers(0, SOCKETS - 1)
several = st.lists(positions, max_size=4).map(tuple)
sets_of_fates = st.integers(0, fates_of(SOCKETS))


@st.composite
def shifts(draw: st.DrawFn) -> Shift:
    """A change of a table: a socket enters, leaves or moves, and some others are in its bucket."""
    kind = draw(st.sampled_from(["add", "remove", "move"]))
    present = draw(st.integers(kind != "add", SOCKETS - (kind == "add")))
    order = list(range(present))
    changed = -1 if kind == "add" else order.pop(draw(st.integers(0, present - 1)))
    if kind != "remove":
        order.insert(draw(st.integers(0, len(order))), changed)
    to = tuple(order.index(position) if position in order else -1 for position in range(present))
    added, moved = (order.index(-1) if kind == "add" else -1), (changed if kind == "move" else -1)
    near = draw(st.lists(st.booleans(), min_size=present, max_size=present).map(tuple))
    return Shift(to, added, moved, draw(st.booleans()), near)


turns = st.builds(
    Turns,
    several,
    *[st.integers(0, 2)] * 3,
    over=st.booleans(),
    stops=st.booleans(),
    fresh=st.booleans(),
    refused=st.booleans(),
    left=st.booleans(),
    handed=st.booleans(),
    silent=st.booleans(),
    taken=st.integers(0, 2),
)
effects = st.one_of(shifts(), turns, st.builds(Opening, several), st.builds(Reopening, st.just(2), several))
contexts = st.tuples(modes, passes, st.booleans())
transitions = st.lists(st.tuples(st.sampled_from([TO, OTHER]), effects, contexts, st.booleans()), max_size=3)
Drawn: TypeAlias = list[tuple[int, Effect, tuple[Mode, Judged, bool], bool]]


def as_set(numbers: Iterable[int]) -> Fates:
    return sum(1 << number for number in set(numbers))


class OneByOne(dict[int, MonitorResult]):
    """The results of a transition for each fate by itself. A socket that is not in the table takes no change."""

    def __init__(self, effect: Effect, context: tuple[Mode, Judged, bool]) -> None:
        mode, judged, paused = context
        step = MonitorStep(effect, monitor_states(SOCKETS), SOCKETS, mode, judged, paused=paused)
        present = len(effect.to) if isinstance(effect, Shift) else SOCKETS
        states = enumerate(monitor_states(SOCKETS))
        super().__init__((number, step[number]) for number, state in states if state.position < present)

    def __missing__(self, number: int) -> MonitorResult:
        return MonitorResult()


def as_a_set(effect: Effect, context: tuple[Mode, Judged, bool]) -> FateStep:
    mode, judged, paused = context
    return fate_step(effect, SOCKETS, SOCKETS, mode, judged, paused=paused)


def can_be(number: int, context: tuple[Mode, Judged, bool]) -> bool:
    """Whether there can be such a fate: between two reads, none has a record."""
    return context[2] or not monitor_states(SOCKETS)[number].some


def ways_to(ways: Ways, to: int) -> Iterable[Way]:
    return [way for way in ways.ways if way.to == to]


@settings(max_examples=40)
@given(transitions, sets_of_fates)
def test_a_set_of_fates_leads_where_each_of_them_does(drawn: Drawn, fates: Fates) -> None:
    ways = ways_of((to, as_a_set(effect, context), late) for to, effect, context, late in drawn)
    images: dict[int, set[int]] = {TO: set(), OTHER: set()}
    count = 0
    violations: set[tuple[Signature, bool]] = set()
    for to, effect, context, late in drawn:
        step = OneByOne(effect, context)
        for number in numbers_of(fates):
            after, started, violated = step[number]
            if after >= 0:
                images[to] |= {after, *started} if can_be(number, context) else set()
                count += 1 + len(started)
                violations |= {(signature, late) for signature in violated}
    assert {to: sum(way.image(fates) for way in ways_to(ways, to)) for to in images} == {
        to: as_set(image) for to, image in images.items()
    }
    assert sum((fates & part).bit_count() * times for part, times in ways.counts) == count
    assert violations == {
        (signature, one.late) for one in ways.violations if one.fates & fates for signature in one.signatures
    }


@settings(max_examples=40)
@given(transitions, sets_of_fates)
def test_the_origin_of_a_set_has_each_fate_that_leads_into_it(drawn: Drawn, fates: Fates) -> None:
    ways = ways_of((to, as_a_set(effect, context), late) for to, effect, context, late in drawn)
    for way in ways.ways:
        origin = {
            number
            for to, effect, context, _ in drawn
            for number, result in OneByOne(effect, context).items()
            if to == way.to and can_be(number, context) and as_set({result.to, *result.started} - {-1}) & fates
        }
        assert way.origin(fates) == as_set(origin)


@settings(max_examples=40)
@given(effects, contexts)
def test_no_fate_violates_anything_by_a_transition_that_is_not_its_own(
    effect: Effect, context: tuple[Mode, Judged, bool]
) -> None:
    step = as_a_set(effect, context)
    applies = as_set(number for number, result in OneByOne(effect, context).items() if result.to >= 0)
    assert all(one.fates & ~applies == 0 for one in step.violations)
    assert step.counts[:1] == (((applies, 1),) if applies else ())


@settings(max_examples=40)
@given(effects, contexts, sets_of_fates, sets_of_fates)
def test_a_set_of_fates_leads_to_relevant_ones_and_counts_the_others_too(
    effect: Effect, context: tuple[Mode, Judged, bool], fates: Fates, relevant: Fates
) -> None:
    mode, judged, paused = context
    step = fate_step(effect, SOCKETS, SOCKETS, mode, judged, paused=paused, relevant=relevant)
    of_all = as_a_set(effect, context)
    started = sum(started for fate, started in step.starts if fate & fates)
    images = [sum(way.image(fates) for way in ways_of([(TO, one, False)]).ways) for one in (of_all, step)]
    assert images[1] | started == images[0] & relevant | started
    assert (step.counts, step.violations) == (of_all.counts, of_all.violations)


def test_the_removal_of_a_socket_is_two_shifts() -> None:
    # The fates of the sockets before it stay, and those of the sockets behind it are one position lower.
    step = fate_step(Shift((0, -1, 1), near=(True, True, True)), 3, 3, "on", paused=True)
    owed = as_set(MonitorState(position, OWED, changed=1).number for position in range(3))
    (way,) = ways_of([(TO, step, False)]).ways
    assert way.image(owed) == as_set(MonitorState(position, OWED, changed=1).number for position in range(2))
    assert [distance for part, distance in step.falls if part & owed] == [FATES_OF_A_SOCKET]
    assert [distance for part, distance in step.rises if part & owed] == [0]


def test_a_transition_that_applies_to_no_fate_is_no_way() -> None:
    step = fate_step(Turns(over=True, stops=True), SOCKETS, 1, "all", paused=False)
    assert (step.counts, ways_of([(TO, step, False)])) == ((), Ways((), (), ()))


def test_fates_are_numbered_as_the_states_of_the_monitor() -> None:
    states = monitor_states(SOCKETS)
    assert list(numbers_of(fates_of(SOCKETS))) == list(range(len(states)))
    assert [states[number] for number in numbers_of(NOT_FOLLOWED)] == [state for state in states if state.position < 0]
    assert list(numbers_of(0)) == []


def test_a_fate_is_relevant_if_it_can_still_violate_something() -> None:
    for signatures in (frozenset(MONITORED), frozenset({Signature("skip")}), frozenset({Signature("repeat", moved=True)})):
        for moves in (False, True):
            relevant = set(numbers_of(relevant_fates(SOCKETS, signatures, moves=moves)))
            states = monitor_states(SOCKETS)
            assert relevant == {number for number, state in enumerate(states) if can_violate(state, signatures, moves=moves)}
