"""The relations of `key-order` and `key-home`: the place in a bucket is the key of the last socket shown in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sockiter.claims import Hazard
from sockiter.prove.environment import ALL, UNMOVED, Concerns, is_done, waits
from sockiter.prove.logic import Moment, Symbol, Term, both, choose, implies, negated
from sockiter.prove.ordered import BOUNDS, Order
from sockiter.prove.relation import (
    BETWEEN,
    LOOKING,
    NOTHING,
    SHOWING,
    Candidate,
    Rank,
    Step,
    Updates,
    Way,
    first_held,
    held_values,
    key_of,
)
from sockiter.schemes.key_order import Looking, Showing
from sockiter.table import Table

ORDER = Order(lambda m, s: m.key(s), lambda m: {"fresh": True, "place": 0})


class KeyOrderRelation:
    """`here`: the bucket. `fresh`: no socket of it was shown; or else `place` is the key of the last one.

    `whole`: the batch has all unseen sockets of the bucket.
    """

    excluded: frozenset[Hazard] = frozenset({"close", "accept"})
    has_keys = True
    moving: frozenset[Hazard] = frozenset({"rehash"})
    """The hazards that change the bucket of a socket."""
    symbols: tuple[Symbol, ...] = (
        Symbol("here", 0),
        Symbol("fresh", False),
        Symbol("place", 0),
        Symbol("whole", False),
    )

    @property
    def start(self) -> Updates:
        return {"fresh": True}

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        values = {"here": at.bucket, "fresh": at.key is None, "place": 0 if at.key is None else key_of(at.key)}
        if isinstance(at, Looking):
            return {**values, "point": LOOKING}
        if isinstance(at, Showing):
            return {**values, "point": SHOWING, "whole": at.is_whole, **held_values(name for name, _ in at.batch)}
        return values

    @property
    def steps(self) -> tuple[Step, ...]:
        return (
            *ORDER.walk("begin", "begin", BETWEEN, lambda m: Way(True, m.here, {})),
            *ORDER.walk("find none", "granted", LOOKING, lambda m: Way(ORDER.none_unseen(m), m.here + 1, {})),
            Step(
                "take all",
                "granted",
                LOOKING,
                0,
                lambda m: m.some(lambda s: ORDER.unseen(m, s)),
                lambda m: {**_taken(m, lambda s: True), "whole": True},
            ),
            Step(
                "take the least keys",
                "granted",
                LOOKING,
                1,
                lambda m, last: both(
                    ORDER.unseen(m, last), m.some(lambda s: both(ORDER.unseen(m, s), m.key(s) > m.key(last)))
                ),
                lambda m, last: _taken(m, lambda s: m.key(s) <= m.key(last)),
            ),
            *ORDER.steps_of_a_batch("least keys"),
        )

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate(
            "the keys of two sockets in the table differ",
            2,
            lambda m, s, t: implies(both(s != t, m.live(s), m.live(t)), m.key(s) != m.key(t)),
        )
        yield from BOUNDS
        yield Candidate("sockets are held only while they are shown", 1, lambda m, s: implies(m.held(s), m.point == SHOWING))
        yield Candidate(
            "the key of a held socket is above the place",
            1,
            lambda m, s: implies(m.held(s), ORDER.is_beyond(m, s)),
        )
        yield Candidate(
            "held sockets have their turns in the order of their keys",
            2,
            lambda m, s, t: implies(both(m.held(s), m.held(t)), (m.turn(s) < m.turn(t)) == (m.key(s) < m.key(t))),
        )
        yield from _candidates_of(*(UNMOVED if hazards & self.moving else ALL))

    def rank(self, moment: Moment) -> Sequence[Rank]:
        return (moment.here, choose(moment.fresh, 0, 1), choose(moment.fresh, 0, moment.place))


class KeyHomeRelation(KeyOrderRelation):
    """As that of `key-order`, over a table in which no socket changes its bucket."""

    excluded: frozenset[Hazard] = frozenset()
    has_fixed_hash = True
    moving: frozenset[Hazard] = frozenset()


def _taken(m: Moment, is_taken: Callable[[Term], Term]) -> Updates:
    held = {"held": lambda s: both(ORDER.unseen(m, s), is_taken(s)), "turn": m.key}
    return {**held, "point": SHOWING, "outcome": NOTHING}


def _candidates_of(who: str, concerns: Concerns) -> Iterator[Candidate]:
    yield from ORDER.owed(who, concerns)
    yield Candidate(
        f"the keys of the batch are below that of an owed socket{who} outside of it",
        2,
        lambda m, s, t: implies(
            both(waits(m, s, concerns), m.bucket(s) == m.here, m.held(t), negated(m.held(s))), m.key(t) < m.key(s)
        ),
    )
    yield ORDER.delivered(who, concerns)
    yield Candidate(
        f"a delivered socket{who} is not held, or has its turn",
        1,
        lambda m, s: implies(both(is_done(m, s, concerns), m.held(s)), both(m.turned, first_held(m, s))),
    )
    yield Candidate(
        f"a held socket{who} is in this bucket",
        1,
        lambda m, s: implies(both(m.held(s), m.live(s), concerns(m, s)), m.bucket(s) == m.here),
    )
