"""Sets of fates: all sockets that are followed from one system state on take a transition at once.

A fate is a state of the monitor: the status of one followed socket, or of the iteration if none is followed. A set of fates
is an integer: bit n stands for the monitor state with the number n. The fates of a socket are next to each other, so a
change of all positions behind a place is a shift by `FATES_OF_A_SOCKET`.

Why a set may be moved as a whole:

- The monitor moves each fate by itself. The result depends on this fate and on the transition, and never on other fates.
  So the result for a set is the union of the results for its fates, and two transitions between the same system states
  are one for a set: the union of both (`Ways`).
- The monitor sees a transition only from its own socket: the new position of this socket, the changes in its bucket, and
  whether it is shown. This view, and not the position, decides how the status changes. So all sockets with the same
  view and the same change of position move by equal distances, and a set moves by a few shifts, each of a part.

The monitor has its rules in one place: the distances come from `MonitorStep`, the definition for a single fate. Tests
compare the two for drawn transitions and fates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import count
from typing import NamedTuple, TypeAlias

from sockiter.check.effects import Effect, Reopening, Shift, Turns
from sockiter.check.monitor import (
    FATES_OF_A_SOCKET,
    UNTRACKED,
    Judged,
    Mode,
    MonitorResult,
    MonitorStep,
    can_violate,
    monitor_states,
)
from sockiter.verdict import Signature

Fates: TypeAlias = int
"""A set of fates."""

NOT_FOLLOWED: Fates = (1 << UNTRACKED) - 1
"""All fates that follow no socket."""
# The first fate of a socket at position 0.
_FIRST: Fates = 1 << UNTRACKED
# In place of a change of position: the socket leaves the table.
LEFT = 1 << 30


class Violating(NamedTuple):
    """Some fates, and the violations that happen if one of them takes a transition.

    `late`: the case has one more line, for its last read.
    """

    fates: Fates
    signatures: tuple[Signature, ...]
    late: bool = False


Move: TypeAlias = tuple[Fates, int]
"""A part of a set, and the distance by which the numbers of its fates grow or shrink."""


class FateStep(NamedTuple):
    """A transition of a set of fates.

    `rises` and `falls`: the parts whose numbers grow or shrink. `starts`: fates without a socket, each with the fates that
    start to follow a socket there. `counts`: the fates to which the transition applies, and how often each of them counts.
    """

    rises: tuple[Move, ...]
    falls: tuple[Move, ...]
    starts: tuple[tuple[Fates, Fates], ...]
    violations: tuple[Violating, ...]
    counts: tuple[tuple[Fates, int], ...]


class Way(NamedTuple):
    """All transitions to the system state with the number `to`, for a set of fates; the fields are those of `FateStep`."""

    to: int
    rises: tuple[Move, ...]
    falls: tuple[Move, ...]
    starts: tuple[tuple[Fates, Fates], ...]

    def image(self, fates: Fates) -> Fates:
        """The fates to which these lead."""
        _, rises, falls, starts = self
        image = 0
        for part, distance in rises:
            image |= (fates & part) << distance
        for part, distance in falls:
            image |= (fates & part) >> distance
        if starts and fates & NOT_FOLLOWED:
            for fate, started in starts:
                if fates & fate:
                    image |= started
        return image

    def origin(self, fates: Fates) -> Fates:
        """All fates that lead to one of these."""
        origin = 0
        for part, distance in self.rises:
            origin |= (fates >> distance) & part
        for part, distance in self.falls:
            origin |= (fates << distance) & part
        for fate, started in self.starts:
            if fates & started:
                origin |= fate
        return origin


class Ways(NamedTuple):
    """Some transitions from one system state, by target, for sets of fates; `counts` as in `FateStep`."""

    ways: tuple[Way, ...]
    counts: tuple[tuple[Fates, int], ...]
    violations: tuple[Violating, ...]


def ways_of(steps: Iterable[tuple[int, FateStep, bool]]) -> Ways:
    """The `Ways` of transitions: the target, the step, and whether its violations are late, of each."""
    steps_to: dict[int, list[FateStep]] = {}
    counts: list[tuple[Fates, int]] = []
    violations: list[Violating] = []
    for to, step, late in steps:
        if not step.counts:
            continue
        counts += step.counts
        if to in steps_to:
            steps_to[to].append(step)
        else:
            steps_to[to] = [step]
        if step.violations:
            violations += [one._replace(late=True) for one in step.violations] if late else step.violations
    return Ways(tuple([_way(to, alike) for to, alike in steps_to.items()]), tuple(counts), tuple(violations))


def _way(to: int, steps: Sequence[FateStep]) -> Way:
    # The union of some steps.
    if len(steps) == 1:
        rises, falls, starts, _, _ = steps[0]
        return Way(to, rises, falls, starts)
    rising: dict[int, Fates] = {}
    falling: dict[int, Fates] = {}
    starting: dict[Fates, Fates] = {}
    for rises, falls, starts, _, _ in steps:
        for part, distance in rises:
            rising[distance] = rising.get(distance, 0) | part
        for part, distance in falls:
            falling[distance] = falling.get(distance, 0) | part
        for fate, started in starts:
            starting[fate] = starting.get(fate, 0) | started
    return Way(to, _moves(rising), _moves(falling), tuple(starting.items()))


def _moves(parts: Mapping[int, Fates]) -> tuple[Move, ...]:
    return tuple([(part, distance) for distance, part in parts.items()])


# Shrinking runs many small searches with the same transitions.
@lru_cache(maxsize=32_768)
def fate_step(
    effect: Effect,
    sockets_max: int,
    sockets: int,
    mode: Mode,
    judged: Judged = "alone",
    *,
    paused: bool,
    relevant: Fates | None = None,
) -> FateStep:
    """The `FateStep` of a transition, with the parameters of a `monitor_step`.

    `relevant`: the set does not move to other fates; None: to all. Between two reads, where the monitor is not `paused`, no
    read(2) has a record: there the set does not move from fates with one.
    """
    unfollowed = _unfollowed(effect, sockets_max, sockets, mode, judged, paused=paused)
    moves = {distance: part for part, distance in unfollowed.moves}
    violations = {violated: part for part, violated, _ in unfollowed.violations}
    for (view, shift), firsts in _views(effect, sockets_max).items():
        alike = _alike(view, mode, judged, paused=paused)
        for part, distance in alike.moves:
            distance += shift * FATES_OF_A_SOCKET
            moves[distance] = moves.get(distance, 0) | part * firsts
        for part, violated, _ in alike.violations:
            violations[violated] = violations.get(violated, 0) | part * firsts
    applies = sum(moves.values())
    starts = unfollowed.starts
    if not paused:
        from_here = _without_record(sockets_max)
        moves = {distance: part & from_here for distance, part in moves.items()}
        starts = tuple([(fate, started) for fate, started in starts if fate & from_here])
    if relevant is not None:
        moves = {distance: part & _moved(relevant, -distance) for distance, part in moves.items()}
    return FateStep(
        tuple([(part, distance) for distance, part in moves.items() if part and distance >= 0]),
        tuple([(part, -distance) for distance, part in moves.items() if part and distance < 0]),
        starts,
        tuple([Violating(part, violated) for violated, part in violations.items()]),
        ((applies, 1),) * bool(applies) + tuple([(fate, started.bit_count()) for fate, started in unfollowed.starts]),
    )


def _moved(fates: Fates, distance: int) -> Fates:
    return fates << distance if distance >= 0 else fates >> -distance


@cache
def _without_record(sockets_max: int) -> Fates:
    return sum([1 << number for number, state in enumerate(monitor_states(sockets_max)) if not state.some])


View: TypeAlias = tuple[Effect, int]
"""A transition as one socket sees it, in a table in which it is at position 0, and the change of its position."""


def _views(effect: Effect, sockets_max: int) -> dict[View, Fates]:
    # The views of all sockets, each with the first fates of the sockets that have it.
    if isinstance(effect, Shift):
        return _views_of_a_change(effect)
    every = _firsts(range(sockets_max))
    if isinstance(effect, Reopening):
        shown = _firsts(effect.shown)
        return {(Reopening(shown=(0,)), 0): shown, (Reopening(), 0): every & ~shown}
    if isinstance(effect, Turns):
        times = Counter(effect.shown)
        views: dict[View, Fates] = {(_seen_by_others(effect), 0): every & ~_firsts(times)}
        for most in set(times.values()):
            view = _seen_by_others(effect)._replace(shown=(0,) * most)
            views[view, 0] = _firsts(position for position, number in times.items() if number == most)
        return views
    return {}


def _seen_by_others(effect: Turns) -> Turns:
    # A read as a socket sees it that is not shown.
    shown = (1,) * bool(effect.shown)
    return effect._replace(shown=shown, turns=0, looks=0, allocations=0, fresh=False, taken=0)


def _views_of_a_change(effect: Shift) -> dict[View, Fates]:
    alike: dict[tuple[int, bool, tuple[bool, ...]], Fates] = {}
    for position, to in enumerate(effect.to):
        shift = to - position if to >= 0 else LEFT
        key = shift, position == effect.moved, effect.near[position : position + 1]
        alike[key] = alike.get(key, 0) | _FIRST << position * FATES_OF_A_SOCKET
    return {
        (
            Shift((-1 if shift == LEFT else 0,), -1, 0 if is_moved else -1, effect.before_open, near),
            0 if shift == LEFT else shift,
        ): firsts
        for (shift, is_moved, near), firsts in alike.items()
    }


def _firsts(positions: Iterable[int]) -> Fates:
    return sum([_FIRST << position * FATES_OF_A_SOCKET for position in set(positions)])


class _Alike(NamedTuple):
    # A transition of some fates: those whose numbers change by a distance, those that start to follow a socket, and those
    # that have violations.
    moves: tuple[Move, ...]
    starts: tuple[tuple[Fates, Fates], ...]
    violations: tuple[Violating, ...]


def _collected(results: Iterable[tuple[int, MonitorResult]]) -> _Alike:
    # The transition of some fates, from the result of each. The first of them is bit 0.
    moves: dict[int, Fates] = {}
    starts: list[tuple[Fates, Fates]] = []
    violations: dict[tuple[Signature, ...], Fates] = {}
    for (number, (to, started, violated)), fate in zip(results, count(), strict=False):
        if to >= 0:
            moves[to - number] = moves.get(to - number, 0) | 1 << fate
            if started:
                starts.append((1 << fate, sum([1 << other for other in started])))
            if violated:
                violations[violated] = violations.get(violated, 0) | 1 << fate
    return _Alike(
        tuple([(part, distance) for distance, part in moves.items()]),
        tuple(starts),
        tuple([Violating(part, violated) for violated, part in violations.items()]),
    )


@lru_cache(maxsize=4_096)
def _alike(view: Effect, mode: Mode, judged: Judged, *, paused: bool) -> _Alike:
    # The fates of a socket at position 0.
    step = MonitorStep(view, monitor_states(1), 1, mode, judged, paused=paused)
    return _collected((number, step[number]) for number in range(UNTRACKED, UNTRACKED + FATES_OF_A_SOCKET))


def _unfollowed(effect: Effect, sockets_max: int, sockets: int, mode: Mode, judged: Judged, *, paused: bool) -> _Alike:
    # The fates that follow no socket. Of a change, they see whether a socket enters, and of a read, whether one is shown.
    if isinstance(effect, Shift) and effect.added > 0:
        at_first = _unfollowed(effect._replace(added=0), sockets_max, sockets, mode, judged, paused=paused)
        up = effect.added * FATES_OF_A_SOCKET
        return at_first._replace(starts=tuple([(fate, started << up) for fate, started in at_first.starts]))
    if isinstance(effect, Shift):
        return _alike_unfollowed(Shift((), effect.added, -1, effect.before_open), 1, 1, mode, judged, paused=paused)
    if isinstance(effect, Turns):
        return _alike_unfollowed(_seen_by_others(effect), 1, 1, mode, judged, paused=paused)
    return _alike_unfollowed(effect, sockets_max, sockets, mode, judged, paused=paused)


@lru_cache(maxsize=4_096)
def _alike_unfollowed(effect: Effect, sockets_max: int, sockets: int, mode: Mode, judged: Judged, *, paused: bool) -> _Alike:
    step = MonitorStep(effect, monitor_states(sockets_max), sockets, mode, judged, paused=paused)
    return _collected((number, step[number]) for number in range(UNTRACKED))


@lru_cache(maxsize=256)
def relevant_fates(sockets_max: int, signatures: frozenset[Signature], *, moves: bool, twice: bool = False) -> Fates:
    """The fates that can still lead to one of the signatures, of at most so many sockets."""
    states = monitor_states(1)[UNTRACKED:]
    of_one = sum([1 << nth for nth, state in enumerate(states) if can_violate(state, signatures, moves=moves, twice=twice)])
    return of_one * _firsts(range(sockets_max)) | NOT_FOLLOWED


def fates_of(sockets_max: int) -> Fates:
    """All fates, of at most so many sockets."""
    return (1 << UNTRACKED + sockets_max * FATES_OF_A_SOCKET) - 1


def numbers_of(fates: Fates) -> Iterator[int]:
    """The numbers of the fates of a set, in order."""
    while fates:
        least = fates & -fates
        yield least.bit_length() - 1
        fates ^= least
