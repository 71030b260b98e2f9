"""The property monitor: it tracks one socket, or none, through the transitions of a system.

The monitor applies the rules of the oracle to one socket and one transition at a time. Tests compare the two. Its state
is the part of a socket's past that can still affect a verdict.

A record counts as delivered when its socket is shown. This read returns the record or, after an error, the next read
does, and no other read comes between. So the record is delivered before a read can return the end, in every case that is
read to its end. The same holds for the records of a dump, which count when their message is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from sockiter.check.effects import Effect, Reopening, Shift, Turns
from sockiter.verdict import Kind, Signature, signatures_of

MONITORED: tuple[Signature, ...] = signatures_of(("skip", "repeat", "stuck", "refused"))
"""The signatures that the monitor reports. Stale is not among them: the frame never shows a socket that has left the
table."""

Mode: TypeAlias = Literal["one", "all", "on"]
"""A read of a number of records begins ("one"), a `read all` begins ("all"), or the current operation continues ("on")."""

Judged: TypeAlias = Literal["alone", "first", "last"]
"""The pass of a read: the only one; or the first or the last of several, which the reader joins by cookie, without repeats.

A skip is judged at the end of the last.
"""

FREE, OWED, ONCE, TWICE = range(4)
"""The status of a tracked socket: neither owed nor delivered; owed; delivered; delivered again."""
ELSEWHERE, NEAR, MOVED = range(3)
"""The changes since open: none in the bucket of the tracked socket; some, of other sockets; or the socket itself moved."""
# A status, combined with the changes since open.
STATUSES = 12
UNTRACKED = 8
"""The number of monitor states that track no socket. They come first."""
FATES_OF_A_SOCKET = STATUSES * UNTRACKED
"""The number of monitor states that track a socket at one position. They are next to each other."""


class MonitorState(NamedTuple):
    """The position of the tracked socket (-1: none), its status, and the changes around it.

    `ended`: a read has returned the end. `in_all`: a `read all` is running. `some`: the current read(2) has a record.
    """

    position: int = -1
    status: int = FREE
    changed: int = ELSEWHERE
    ended: bool = False
    in_all: bool = False
    some: bool = False

    @property
    def number(self) -> int:
        tracked = 0 if self.position < 0 else 1 + self.position * STATUSES + self.status * 3 + self.changed
        return ((tracked * 2 + self.ended) * 2 + self.in_all) * 2 + self.some


@cache
def monitor_states(sockets: int) -> tuple[MonitorState, ...]:
    """All monitor states for this number of sockets, by number."""
    tracking = [MonitorState(p, status, changed) for p in range(sockets) for status in range(4) for changed in range(3)]
    flags = list(product((False, True), repeat=3))
    return tuple(MonitorState(*state[:3], *flag) for state in (MonitorState(), *tracking) for flag in flags)


class MonitorResult(NamedTuple):
    """The result of a transition for one monitor state.

    `to`: the next state; -1 if the transition does not apply to this state, or the socket has left the table. `started`:
    the states that start to track a socket here. `violations`: the violations that happen here.
    """

    to: int = -1
    started: tuple[int, ...] = ()
    violations: tuple[Signature, ...] = ()


class MonitorStep(dict[int, MonitorResult]):
    """The result of one transition for each monitor state, by number, computed on demand: few of the pairs ever occur.

    The table has at most `sockets` sockets. `paused`: the transition starts inside a read.
    """

    def __init__(
        self, effect: Effect, states: Sequence[MonitorState], sockets: int, mode: Mode, judged: Judged, *, paused: bool
    ) -> None:
        super().__init__()
        self._effect, self._states, self._sockets, self._mode, self._paused = effect, states, sockets, mode, paused
        self._judged = judged

    def __missing__(self, number: int) -> MonitorResult:
        result = self[number] = self._result(self._states[number])
        return result

    def _result(self, state: MonitorState) -> MonitorResult:
        effect = self._effect
        next_state: MonitorState | None = None
        started: list[MonitorState] = []
        violations: list[Signature] = []
        if isinstance(effect, Turns):
            next_state = _read(effect, state, violations, self._mode, self._judged, paused=self._paused)
        elif isinstance(effect, Shift):
            # No change happens between two reads of a `read all`.
            if self._paused or not state.in_all:
                next_state = _shifted(effect, state, violations, self._judged)
                if state.position < 0 and effect.added >= 0 and not effect.before_open:
                    started = [state._replace(position=effect.added, changed=NEAR)]
        elif isinstance(effect, Reopening):
            # The reader begins the second pass behind the end of the first.
            if state.ended and not state.in_all:
                status = ONCE if state.position in effect.shown else state.status
                next_state = state._replace(status=status, ended=False)
        elif state == MonitorState():
            next_state = state
            shown = effect.shown
            started = [MonitorState(position, ONCE if position in shown else OWED) for position in range(self._sockets)]
        return MonitorResult(
            -1 if next_state is None else next_state.number, tuple(state.number for state in started), tuple(violations)
        )


# Shrinking runs many small searches with the same transitions. Computing these results anew would take longer than the
# searches.
@lru_cache(maxsize=65_536)
def monitor_step(
    effect: Effect, sockets_max: int, sockets: int, mode: Mode, judged: Judged = "alone", *, paused: bool
) -> MonitorStep:
    """The `MonitorStep` of a transition in a scope of at most so many sockets; always the same object."""
    return MonitorStep(effect, monitor_states(sockets_max), sockets, mode, judged, paused=paused)


def can_violate(state: MonitorState, signatures: frozenset[Signature], *, moves: bool, twice: bool = False) -> bool:
    """Whether a monitor state can still lead to one of the signatures. `moves`: sockets may move; `twice`: in two passes."""
    if state.position < 0:
        return True
    # Moves count until the end is returned; in the first of two passes, behind its end too.
    may_move = moves and (twice or not state.ended)
    if state.status == TWICE:
        return may_move and state.changed != MOVED and Signature("repeat", moved=True) in signatures
    # A state that has seen fewer changes may see more.
    reachable = [_signature("skip", changed) for changed in range(state.changed, 3)] if state.status == OWED else []
    reachable += [_signature("repeat", changed) for changed in range(state.changed, 3)]
    return any(
        signature in signatures and (not signature.moved or may_move or state.changed == MOVED) for signature in reachable
    )


def _signature(kind: Kind, changed: int) -> Signature:
    return Signature(kind, changed == MOVED, changed == ELSEWHERE)


def _shifted(effect: Shift, state: MonitorState, violations: list[Signature], judged: Judged) -> MonitorState | None:
    if state.position < 0:
        return state
    position = effect.to[state.position]
    if position < 0:
        return None
    changed = state.changed
    if effect.before_open:
        return state._replace(position=position)
    if state.position == effect.moved and (not state.ended or judged == "first"):
        if changed != MOVED and state.status == TWICE and judged == "alone":
            violations.append(Signature("repeat", moved=True))
        changed = MOVED
    elif effect.near[state.position]:
        changed = max(changed, NEAR)
    return state._replace(position=position, changed=changed)


def _read(
    effect: Turns, state: MonitorState, violations: list[Signature], mode: Mode, judged: Judged, *, paused: bool
) -> MonitorState | None:
    # A `read all` goes on by itself, and never stops for the number of its records.
    goes_on = mode == "on"
    in_all = state.in_all if goes_on else mode == "all"
    some = state.some or bool(effect.shown)
    if effect.refused and not effect.silent and effect.left != some:
        return None
    if (in_all and effect.stops) or (goes_on and not paused and not in_all) or (not goes_on and state.in_all):
        return None
    status, changed = state.status, state.changed
    for position in effect.shown:
        if position == state.position:
            if status == ONCE and judged == "alone":
                violations.append(_signature("repeat", changed))
                # From now on, only a move still makes a difference.
                changed = max(changed, NEAR)
            status = ONCE if status in (FREE, OWED) else TWICE
    if effect.refused:
        violations.append(Signature("refused"))
    ended = effect.over and not (effect.refused or (not effect.silent and (some or effect.handed)))
    if ended and status == OWED and judged != "first":
        violations.append(_signature("skip", changed))
        status = FREE
    return MonitorState(
        state.position, status, changed, state.ended or ended, in_all and not ended, some and not effect.over
    )
