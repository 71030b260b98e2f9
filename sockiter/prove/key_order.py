"""The relations of `key-order` and `key-home`: the place in a bucket is the key of the last socket shown in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sockiter.claims import Hazard
from sockiter.prove.environment import ALL, UNMOVED, Concerns, is_done, waits
from sockiter.prove.index import fresh_in_the_next
from sockiter.prove.logic import Answer, Moment, Symbol, Term, both, choose, either, implies, negated, nobody
from sockiter.prove.relation import (
    BETWEEN,
    LOOKING,
    NOTHING,
    SHOWING,
    STOPPED,
    Candidate,
    Rank,
    Step,
    Updates,
    Way,
    first_held,
    held_values,
    key_of,
    only_held,
    walk,
)
from sockiter.schemes.key_order import Looking, Showing
from sockiter.table import Table


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
            *_walk("begin", "begin", BETWEEN, lambda m: Way(True, m.here, {})),
            *_walk(
                "find none", "granted", LOOKING, lambda m: Way(m.every(lambda s: negated(_unseen(m, s))), m.here + 1, {})
            ),
            Step(
                "take all",
                "granted",
                LOOKING,
                0,
                lambda m: m.some(lambda s: _unseen(m, s)),
                lambda m: {**_taken(m, lambda s: True), "whole": True},
            ),
            Step(
                "take the least keys",
                "granted",
                LOOKING,
                1,
                lambda m, last: both(_unseen(m, last), m.some(lambda s: both(_unseen(m, s), m.key(s) > m.key(last)))),
                lambda m, last: _taken(m, lambda s: m.key(s) <= m.key(last)),
            ),
            Step(
                "step to the next socket",
                "granted",
                SHOWING,
                1,
                lambda m, c: both(first_held(m, c), m.some(lambda s: both(m.held(s), s != c))),
                lambda m, c: {
                    "outcome": NOTHING,
                    "fresh": False,
                    "place": m.key(c),
                    "held": lambda s: both(m.held(s), s != c),
                },
            ),
            *_walk("step behind the bucket", "granted", SHOWING, _behind_whole, sockets=1),
            *_walk("step behind the least keys", "granted", SHOWING, _behind_part, sockets=1),
            Step(
                "stop before a socket",
                "refused",
                SHOWING,
                0,
                lambda m: True,
                lambda m: {"point": BETWEEN, "outcome": STOPPED, "held": nobody, "whole": False},
            ),
        )

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate(
            "the keys of two sockets in the table differ",
            2,
            lambda m, s, t: implies(both(s != t, m.live(s), m.live(t)), m.key(s) != m.key(t)),
        )
        yield Candidate("a batch is whole only while it is shown", 0, lambda m: implies(m.whole, m.point == SHOWING))
        yield Candidate("the bucket is one of the table, or the end", 0, lambda m: both(m.here >= 0, m.here <= m.buckets))
        yield Candidate("a read is in a bucket", 0, lambda m: implies(m.point != BETWEEN, m.here < m.buckets))
        yield Candidate("behind the end there is no bucket", 0, lambda m: implies(m.ended, m.here == m.buckets))
        yield Candidate("sockets are held only while they are shown", 1, lambda m, s: implies(m.held(s), m.point == SHOWING))
        yield Candidate(
            "the key of a held socket is above the place",
            1,
            lambda m, s: implies(m.held(s), either(m.fresh, m.key(s) > m.place)),
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


def _ahead(m: Moment, s: Term) -> Term:
    # Whether the walk will look at a socket again.
    return either(m.bucket(s) > m.here, both(m.bucket(s) == m.here, either(m.fresh, m.key(s) > m.place)))


def _unseen(m: Moment, s: Term) -> Term:
    return both(m.live(s), m.bucket(s) == m.here, either(m.fresh, m.key(s) > m.place))


def _taken(m: Moment, is_taken: Callable[[Term], Term]) -> Updates:
    held = {"held": lambda s: both(_unseen(m, s), is_taken(s)), "turn": m.key}
    return {**held, "point": SHOWING, "outcome": NOTHING}


def _behind_whole(m: Moment, c: Term) -> Way:
    return Way(both(m.whole, only_held(m, c)), m.here + 1, _behind(m, c))


def _behind_part(m: Moment, c: Term) -> Way:
    return Way(both(negated(m.whole), only_held(m, c)), m.here, _behind(m, c))


def _behind(m: Moment, c: Term) -> Updates:
    return {"fresh": False, "place": m.key(c), "held": nobody, "whole": False}


def _walk(name: str, answer: Answer, point: int, way: Callable[..., Way], *, sockets: int = 0) -> Iterator[Step]:
    def at_end(m: Moment) -> Updates:
        return {"fresh": True, "place": 0}

    for step in walk(name, answer, point, way, at_next=lambda m, filled: {}, at_end=at_end, sockets=sockets):
        yield replace(step, updates=partial(fresh_in_the_next, step))


def _candidates_of(who: str, concerns: Concerns) -> Iterator[Candidate]:
    yield Candidate(
        f"an owed socket{who} is delivered, or ahead",
        1,
        lambda m, s: implies(waits(m, s, concerns), _ahead(m, s)),
    )
    yield Candidate(
        f"a batch with all unseen sockets has every owed socket{who} of its bucket",
        1,
        lambda m, s: implies(both(waits(m, s, concerns), m.whole, m.bucket(s) == m.here), m.held(s)),
    )
    yield Candidate(
        f"the keys of the batch are below that of an owed socket{who} outside of it",
        2,
        lambda m, s, t: implies(
            both(waits(m, s, concerns), m.bucket(s) == m.here, m.held(t), negated(m.held(s))), m.key(t) < m.key(s)
        ),
    )
    yield Candidate(
        f"a delivered socket{who} is behind, or has its turn",
        1,
        lambda m, s: implies(is_done(m, s, concerns), either(negated(_ahead(m, s)), both(m.turned, first_held(m, s)))),
    )
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
