"""A scheme that is as simple as can be, its relation, and relations with a mistake: to prove something quickly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sockiter.claims import Hazard, KnownFailure
from sockiter.prove.logic import After, Moment, Symbol, Term, both, choose, either, implies, negated, nobody
from sockiter.prove.relation import (
    BETWEEN,
    END,
    NOTHING,
    SHOWING,
    STOPPED,
    Candidate,
    Rank,
    Step,
    Updates,
    held_values,
)
from sockiter.schemes.scheme import Done, Show
from sockiter.table import Socket, Table


class Last(NamedTuple):
    """The index of the last socket that was shown; None before the first."""

    idx: int | None


class Showing(NamedTuple):
    socket: Socket
    last: int | None

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


class Counting:
    """One list without insertions and moves: the place is the index of the last socket shown."""

    name = "counting"
    summary = "the index of the last socket shown"
    progress = "Last"
    hazards: frozenset[Hazard] = frozenset({"remove"})
    known_failures: tuple[KnownFailure, ...] = ()
    tables = ("",)
    buckets_max = 1

    def open(self, slots: int, table: Table) -> Last:
        return Last(None)

    def begin(self, state: Last, table: Table) -> Showing | Done[Last]:
        for socket in table.buckets[0]:
            if state.idx is None or socket.idx > state.idx:
                return Showing(socket, state.idx)
        return Done(state)

    def resume(self, waiting: Showing, granted: bool, table: Table) -> Showing | Done[Last]:
        return self.begin(Last(waiting.socket.idx), table) if granted else Done(Last(waiting.last))

    def place(self, state: Last) -> str:
        return str(state.idx)

    def canonical(self, at: Last | Showing | None, table: Table, where: Any) -> Any:
        idx = None if at is None else at.idx if isinstance(at, Last) else at.last
        return idx is not None and len([None for socket in table.buckets[0] if socket.idx <= idx])


class CountingRelation:
    """Its relation: no socket was shown, `fresh`; or else `place` is the index of the last one."""

    excluded: frozenset[Hazard] = frozenset()
    symbols: tuple[Symbol, ...] = (Symbol("fresh", False), Symbol("place", 0))

    @property
    def start(self) -> Updates:
        return {"fresh": True}

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        last = at.idx if isinstance(at, Last) else at.last
        values = {"fresh": last is None, "place": last or 0}
        return values if isinstance(at, Last) else {**values, "point": SHOWING, **held_values([at.socket.name])}

    @property
    def steps(self) -> tuple[Step, ...]:
        stop = {"point": BETWEEN, "outcome": STOPPED, "held": nobody}
        return (
            Step("find the first socket", "begin", BETWEEN, 1, self.is_next, lambda m, s: self.shows(s)),
            Step("find none", "begin", BETWEEN, 0, self.none_is_left, lambda m: {"outcome": END}),
            Step(
                "find the next socket",
                "granted",
                SHOWING,
                2,
                lambda m, c, s: both(m.held(c), self.is_next(After(m, self.behind(m, c)), s)),
                lambda m, c, s: {**self.behind(m, c), **self.shows(s)},
            ),
            Step(
                "find no more",
                "granted",
                SHOWING,
                1,
                lambda m, c: both(m.held(c), self.none_is_left(After(m, self.behind(m, c)))),
                lambda m, c: {**self.behind(m, c), "point": BETWEEN, "outcome": END, "held": nobody},
            ),
            Step("stop", "refused", SHOWING, 0, lambda m: True, lambda m: stop),
        )

    def is_left(self, m: Moment, s: Term) -> Term:
        """Whether a socket is still to be shown."""
        return both(m.live(s), self.is_behind(m, s))

    def is_behind(self, m: Moment, s: Term) -> Term:
        """Whether a socket stands behind the place."""
        return either(m.fresh, m.idx(s) > m.place)

    def is_next(self, m: Moment, s: Term) -> Term:
        """Whether a socket is the first of those that are left."""
        return both(self.is_left(m, s), m.every(lambda t: implies(self.is_left(m, t), m.idx(s) <= m.idx(t))))

    def none_is_left(self, m: Moment) -> Term:
        """Whether no socket is left."""
        return m.every(lambda s: negated(self.is_left(m, s)))

    def behind(self, m: Moment, c: Term) -> Updates:
        """The place behind a socket."""
        return {"fresh": False, "place": m.idx(c)}

    def shows(self, s: Term) -> Updates:
        """A socket is about to be shown."""
        return {"point": SHOWING, "outcome": NOTHING, "held": lambda t: t == s, "turn": lambda t: 0}

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate("a held socket has its turn next", 1, lambda m, s: implies(m.held(s), m.point == SHOWING))
        yield Candidate("only one socket is held", 2, lambda m, s, t: implies(both(m.held(s), m.held(t)), s == t))
        yield Candidate("a held socket is behind the place", 1, lambda m, s: implies(m.held(s), self.is_behind(m, s)))
        yield Candidate(
            "no socket that is left stands before a held one",
            2,
            lambda m, s, t: implies(both(m.held(s), self.is_left(m, t)), m.idx(s) <= m.idx(t)),
        )
        yield Candidate(
            "an owed socket is delivered, or left",
            1,
            lambda m, s: implies(both(m.owed(s), negated(m.delivered(s))), self.is_left(m, s)),
        )
        yield Candidate(
            "a delivered socket is not left, or has its turn",
            1,
            lambda m, s: implies(both(m.delivered(s), self.is_left(m, s)), both(m.turned, m.held(s))),
        )

    def rank(self, moment: Moment) -> Sequence[Rank]:
        return (choose(moment.fresh, 0, 1), choose(moment.fresh, 0, moment.place), nobody)
