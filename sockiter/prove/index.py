"""The relation of `index`: the place in a bucket is the index of the last socket shown in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sockiter.claims import MOVES, Hazard
from sockiter.prove.environment import NEAR_NOTHING, Concerns, concerned, is_done, waits
from sockiter.prove.logic import Moment, Symbol, Term, both, choose, either, implies, negated, nobody
from sockiter.prove.ordered import BOUNDS, Order
from sockiter.prove.relation import (
    BETWEEN,
    GROWING,
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
)
from sockiter.schemes.partial_batch import Growing, Looking, Showing, State
from sockiter.table import Table

ORDER = Order(lambda m, s: m.idx(s), lambda m: {"grown": False})


class IndexRelation:
    """`here`: the bucket. `fresh`: no socket of it was shown; or else `place` is the index of the last one.

    `grown`: the batch has grown for this bucket. `whole`: the batch has all unseen sockets of the bucket.
    """

    excluded: frozenset[Hazard] = frozenset({"close", "accept"})
    symbols = (Symbol("here", 0), Symbol("fresh", False), Symbol("place", 0), Symbol("grown", False), Symbol("whole", False))

    @property
    def start(self) -> Updates:
        return {"fresh": True}

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        values = {"here": at.bucket, "fresh": at.place is None, "place": 0 if at.place is None else at.place}
        match at:
            case Looking(grown=grown):
                return {**values, "point": LOOKING, "grown": grown}
            case Growing(batch=batch):
                return {**values, "point": GROWING, **held_values(name for name, _ in batch)}
            case Showing(batch=batch, is_whole=is_whole):
                return {**values, "point": SHOWING, "whole": is_whole, **held_values(name for name, _ in batch)}
        assert isinstance(at, State)
        return values

    @property
    def steps(self) -> tuple[Step, ...]:
        return (
            *ORDER.walk("begin", "begin", BETWEEN, lambda m: Way(True, m.here, {})),
            *ORDER.walk("find none", "granted", LOOKING, lambda m: Way(ORDER.none_unseen(m), m.here + 1, {})),
            *_looks(LOOKING),
            *ORDER.walk("find none with the larger batch", "granted", GROWING, _find_none_grown),
            *_looks(GROWING),
            Step(
                "keep the small batch",
                "refused",
                GROWING,
                0,
                lambda m: True,
                lambda m: {"point": SHOWING, "outcome": NOTHING, "whole": False},
            ),
            *ORDER.steps_of_a_batch("small batch"),
        )

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate(
            "an index that was remembered is within the version", 0, lambda m: both(m.place <= m.ver, m.place >= -m.ver)
        )
        yield from BOUNDS
        yield Candidate(
            "no socket is held between two looks",
            1,
            lambda m, s: implies(either(m.point == BETWEEN, m.point == LOOKING), negated(m.held(s))),
        )
        moves = hazards & MOVES
        for points, is_held in HELD if moves else HELD[:1]:
            yield from _candidates_in_order(points, is_held)
            for who, concerns in concerned(hazards):
                yield from _candidates_of_held(points, is_held, who, concerns)
        for who, concerns in concerned(hazards):
            yield from ORDER.owed(who, concerns)
            yield ORDER.delivered(who, concerns)
        if moves:
            who, concerns = NEAR_NOTHING
            yield from _candidates_in_order(f"in a batch, and{who},", lambda m, s: both(m.held(s), concerns(m, s)))
            yield Candidate(
                "a held socket near which nothing changed is in the table",
                1,
                lambda m, s: implies(both(m.held(s), concerns(m, s)), m.live(s)),
            )
            yield Candidate(
                "where nothing changed near a socket, nothing changed near the held ones of its bucket",
                2,
                lambda m, s, t: implies(
                    both(m.opened, concerns(m, s), m.live(s), m.bucket(s) == m.here, m.held(t)),
                    both(concerns(m, t), m.bucket(t) == m.here),
                ),
            )

    def rank(self, moment: Moment) -> Sequence[Rank]:
        # Stale sockets of a batch may set the place back, until the batch is shown.
        calm = either(moment.point != SHOWING, _in_order(moment))
        return (
            moment.here,
            choose(calm, 1, 0),
            choose(both(calm, negated(moment.fresh)), 1, 0),
            choose(both(calm, negated(moment.fresh)), moment.place, 0),
            lambda socket: both(negated(calm), moment.held(socket)),
        )


def _in_order(m: Moment) -> Term:
    return m.every(
        lambda s: both(
            implies(m.held(s), ORDER.is_beyond(m, s)),
            m.every(lambda t: implies(both(m.held(s), m.held(t)), (m.turn(s) < m.turn(t)) == (m.idx(s) < m.idx(t)))),
        )
    )


def _find_none_grown(m: Moment) -> Way:
    return Way(ORDER.none_unseen(m), m.here + 1, {"grown": True, "held": nobody})


def _looks(point: int) -> Iterator[Step]:
    # The steps that take a batch: all unseen sockets of the bucket, or a first part of them.
    with_larger = " with the larger batch" if point == GROWING else ""

    def has_grown(m: Moment) -> Term:
        return True if point == GROWING else m.grown

    def is_part(m: Moment, last: Term) -> Term:
        return both(ORDER.unseen(m, last), m.some(lambda s: both(ORDER.unseen(m, s), m.idx(s) > m.idx(last))))

    def taken(m: Moment, last: Term) -> Updates:
        is_taken = {"held": lambda s: both(ORDER.unseen(m, s), m.idx(s) <= m.idx(last)), "turn": m.idx}
        return {**is_taken, "outcome": NOTHING, "grown": False}

    def is_whole(m: Moment) -> Term:
        return m.some(lambda s: ORDER.unseen(m, s))

    def whole(m: Moment) -> Updates:
        is_taken = {"held": lambda s: ORDER.unseen(m, s), "turn": m.idx}
        return {**is_taken, "point": SHOWING, "outcome": NOTHING, "grown": False, "whole": True}

    yield Step(f"take all{with_larger}", "granted", point, 0, is_whole, whole)
    yield Step(
        f"take a part{with_larger}",
        "granted",
        point,
        1,
        lambda m, last: both(has_grown(m), is_part(m, last)),
        lambda m, last: {**taken(m, last), "point": SHOWING},
    )
    if point == LOOKING:
        yield Step(
            "grow",
            "granted",
            point,
            1,
            lambda m, last: both(negated(m.grown), is_part(m, last)),
            lambda m, last: {**taken(m, last), "point": GROWING},
        )


HELD: tuple[tuple[str, Callable[[Moment, Term], Term]], ...] = (
    ("in a batch", lambda m, s: m.held(s)),
    ("in a batch that is shown", lambda m, s: both(m.point == SHOWING, m.held(s))),
)
"""The held sockets of a candidate: all, or only while they are shown."""


def _candidates_in_order(points: str, is_held: Callable[[Moment, Term], Term]) -> Iterator[Candidate]:
    yield Candidate(
        f"a socket held {points} stands behind the place",
        1,
        lambda m, s: implies(is_held(m, s), ORDER.is_beyond(m, s)),
    )
    yield Candidate(
        f"sockets held {points} stand in the order of their turns",
        2,
        lambda m, s, t: implies(both(is_held(m, s), is_held(m, t)), (m.turn(s) < m.turn(t)) == (m.idx(s) < m.idx(t))),
    )


def _candidates_of_held(
    points: str, is_held: Callable[[Moment, Term], Term], who: str, concerns: Concerns
) -> Iterator[Candidate]:
    yield Candidate(
        f"a socket held {points} stands before an owed one{who} that has a later turn or none",
        2,
        lambda m, s, t: implies(
            both(
                waits(m, s, concerns),
                m.bucket(s) == m.here,
                is_held(m, t),
                s != t,
                either(negated(m.held(s)), m.turn(t) < m.turn(s)),
            ),
            m.idx(t) < m.idx(s),
        ),
    )
    yield Candidate(
        f"a socket{who} held {points} is in this bucket",
        1,
        lambda m, s: implies(both(is_held(m, s), m.live(s), concerns(m, s)), m.bucket(s) == m.here),
    )
    yield Candidate(
        f"a delivered socket{who} is not held {points}, or has its turn",
        1,
        lambda m, s: implies(both(is_done(m, s, concerns), is_held(m, s)), both(m.turned, first_held(m, s))),
    )
