"""The relation of `cookie-udp`: the cookies of the captured sockets are remembered between two reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from sockiter.claims import MOVES, Hazard
from sockiter.prove.environment import NEAR_NOTHING, Concerns, concerned, is_done, waits
from sockiter.prove.logic import Answer, Moment, Symbol, Term, both, choose, either, implies, negated, nobody
from sockiter.prove.relation import (
    BETWEEN,
    ERROR,
    GROWING,
    LOCKED,
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
    only_held,
    step_to_next,
    walk,
)
from sockiter.schemes.cookie_udp import Growing, Looking, Showing, State
from sockiter.table import Table


class CookieUdpRelation:
    """`here`: the bucket. `asked`: the sockets of the remembered cookies, in the order `ask`.

    `sought`: the bucket is captured from the first of these sockets on. In an allocation, `held` are the captured sockets.
    """

    excluded: frozenset[Hazard] = frozenset()
    symbols: tuple[Symbol, ...] = (
        Symbol("here", 0),
        Symbol("sought", False),
        Symbol("asked", False, of_sockets=True),
        Symbol("ask", 0, of_sockets=True, order_in="asked"),
    )

    @property
    def start(self) -> Updates:
        return {"here": -1}

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        match at:
            case State(bucket, cookies):
                return {"here": bucket, **_asked_values(cookies)}
            case Looking(bucket, cookies):
                return {"point": LOOKING, "here": bucket, "sought": cookies is not None, **_asked_values(cookies or ())}
            case Growing(bucket, cookies, captured, locked=locked):
                sought = {"sought": cookies is not None, **_asked_values(cookies or ())}
                return {"point": LOCKED if locked else GROWING, "here": bucket, **sought, **held_values(captured)}
        assert isinstance(at, Showing)
        return {"point": SHOWING, "here": at.bucket, **held_values(name for name, _ in at.batch)}

    @property
    def steps(self) -> tuple[Step, ...]:
        return (
            *_walk("begin with cookies", "begin", BETWEEN, lambda m: Way(_some_asked(m), m.here, {})),
            *_walk("begin", "begin", BETWEEN, lambda m: Way(negated(_some_asked(m)), m.here + 1, {"asked": nobody})),
            *_looks("", LOOKING, GROWING),
            *_looks(" with the larger batch", GROWING, LOCKED),
            *_looks(" with the batch of the exact size", LOCKED, None),
            Step("fail", "refused", GROWING, 0, _always, _remember_for(ERROR)),
            Step("fail under the lock", "refused", LOCKED, 0, _always, _remember_for(ERROR)),
            step_to_next(),
            *_walk("step behind the bucket", "granted", SHOWING, _behind, sockets=1),
            Step("stop before a socket", "refused", SHOWING, 0, _always, _remember_for(STOPPED)),
        )

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate(
            "a read is in a bucket", 0, lambda m: implies(m.point != BETWEEN, both(m.here >= 0, m.here < m.buckets))
        )
        yield Candidate("no cookies are remembered before open", 1, lambda m, s: implies(m.asked(s), m.opened))
        yield Candidate("behind the end there is no bucket", 0, lambda m: implies(m.ended, m.here >= m.buckets))
        yield Candidate("no cookies are remembered behind the end", 1, lambda m, s: implies(m.ended, negated(m.asked(s))))
        yield Candidate("no socket is sought between two reads", 0, lambda m: implies(m.sought, _looks_at_one(m)))
        yield Candidate("whatever is sought is remembered", 0, lambda m: implies(m.sought, _some_asked(m)))
        yield Candidate("some sockets are captured in an allocation", 0, lambda m: implies(_grows(m), m.some(m.held)))
        yield Candidate(
            "cookies are remembered between two reads, or sought",
            1,
            lambda m, s: implies(m.asked(s), either(m.point == BETWEEN, m.sought)),
        )
        yield Candidate(
            "sockets are held in an allocation, and while they are shown",
            1,
            lambda m, s: implies(m.held(s), either(m.point == SHOWING, _grows(m))),
        )
        yield Candidate(
            "a remembered socket is in the bucket that stays locked",
            1,
            lambda m, s: implies(both(m.point == LOCKED, m.asked(s)), _is_here(m, s)),
        )
        for name, kept, order in KEPT:
            yield from _candidates_of_kept(name, kept, order)
            for who, concerns in concerned(hazards):
                yield from _candidates_of_both(name, kept, order, who, concerns)
            if hazards & MOVES:
                yield from _candidates_near_nothing(name, kept, order)
        for who, concerns in concerned(hazards):
            yield from _candidates_of(who, concerns)

    def rank(self, moment: Moment) -> Sequence[Rank]:
        # A bucket with remembered sockets is entered once more. Sockets that moved may set the walk back once.
        is_done_with = both(moment.point == BETWEEN, negated(_some_asked(moment)))
        calm = moment.every(
            lambda s: moment.every(
                lambda t: implies(
                    both(_is_kept(moment, s), _is_kept(moment, t)),
                    (_order(moment, s) < _order(moment, t)) == (moment.idx(s) < moment.idx(t)),
                )
            )
        )
        return (
            moment.here + choose(is_done_with, 1, 0),
            choose(calm, 1, 0),
            lambda s: both(calm, moment.used(s), _is_left(moment, s)),
            lambda s: both(negated(calm), _is_kept(moment, s)),
        )


def _is_kept(m: Moment, s: Term) -> Term:
    # Whether a socket is one of those from which the walk goes on.
    is_captured = either(m.point == SHOWING, both(m.point == GROWING, m.sought))
    return choose(is_captured, m.held(s), m.asked(s))


def _order(m: Moment, s: Term) -> Term:
    return choose(either(m.point == SHOWING, m.point == GROWING), m.turn(s), m.ask(s))


def _is_left(m: Moment, s: Term) -> Term:
    # Whether a socket stands behind the first one from which the walk goes on.
    seeks = either(m.sought, both(m.point == BETWEEN, _some_asked(m)))
    behind = m.some(lambda t: both(_is_kept(m, t), either(m.point == SHOWING, _is_here(m, t)), m.idx(t) <= m.idx(s)))
    return either(negated(either(seeks, m.point == SHOWING)), behind)


Kept: TypeAlias = Callable[[Moment, Term], Term]
KEPT: tuple[tuple[str, Kept, Callable[[Moment, Term], Term]], ...] = (
    ("remembered", lambda m, s: m.asked(s), lambda m, s: m.ask(s)),
    ("held", lambda m, s: m.held(s), lambda m, s: m.turn(s)),
)
"""The remembered and the held sockets, each with its order."""


def _always(m: Moment) -> Term:
    return True


def _asked_values(cookies: Sequence[str]) -> Updates:
    return {"asked": dict.fromkeys(cookies, True), "ask": {name: nth for nth, name in enumerate(cookies)}}


def _some_asked(m: Moment) -> Term:
    return m.some(m.asked)


def _grows(m: Moment) -> Term:
    return either(m.point == GROWING, m.point == LOCKED)


def _looks_at_one(m: Moment) -> Term:
    return either(m.point == LOOKING, _grows(m))


def _is_here(m: Moment, s: Term) -> Term:
    return both(m.live(s), m.bucket(s) == m.here)


def _remember_for(outcome: int) -> Callable[[Moment], Updates]:
    return lambda m: {
        "point": BETWEEN,
        "outcome": outcome,
        "sought": False,
        "asked": m.held,
        "ask": m.turn,
        "held": nobody,
    }


def _behind(m: Moment, c: Term) -> Way:
    return Way(only_held(m, c), m.here + 1, {"held": nobody})


def _walk(name: str, answer: Answer, point: int, way: Callable[..., Way], *, sockets: int = 0) -> Iterator[Step]:
    def at_next(m: Moment, filled: Term) -> Updates:
        # Only a read that begins may stay in its bucket.
        stays = both(m.point == BETWEEN, _some_asked(m), filled == m.here)
        return {"sought": stays, "asked": lambda s: both(stays, m.asked(s)), "held": nobody}

    def at_end(m: Moment) -> Updates:
        return {"sought": False, "asked": nobody, "held": nobody}

    return walk(name, answer, point, way, at_next=at_next, at_end=at_end, sockets=sockets)


def _looks(how: str, point: int, grown: int | None) -> Iterator[Step]:
    # The steps that capture a bucket: from a first remembered socket on, or whole. `grown`: the point of the next
    # allocation, if the batch can be too small. After the allocation without the lock, the captured sockets are sought.
    remembered, order = KEPT[point == GROWING][1:]

    def is_present(m: Moment, s: Term) -> Term:
        return both(remembered(m, s), _is_here(m, s))

    def is_first(m: Moment, c: Term) -> Term:
        earlier = m.every(lambda s: implies(is_present(m, s), order(m, c) <= order(m, s)))
        return both(m.sought, is_present(m, c), earlier)

    def unseen(m: Moment, s: Term, first: Sequence[Term]) -> Term:
        return both(_is_here(m, s), *(m.idx(s) >= m.idx(c) for c in first))

    def begins(m: Moment, first: Sequence[Term]) -> Term:
        return is_first(m, *first) if first else both(negated(m.sought), m.some(lambda s: _is_here(m, s)))

    def whole(m: Moment, *first: Term) -> Updates:
        captured = {"held": lambda s: unseen(m, s, first), "turn": m.idx}
        return {**captured, "point": SHOWING, "outcome": NOTHING, "sought": False, "asked": nobody}

    def is_taken(m: Moment, s: Term, first: Sequence[Term], last: Term) -> Term:
        return both(unseen(m, s, first), m.idx(s) <= m.idx(last))

    def is_part(m: Moment, *given: Term) -> Term:
        *first, last = given
        more = m.some(lambda s: both(unseen(m, s, first), m.idx(s) > m.idx(last)))
        # The batch had room for all the remembered sockets.
        all_taken = m.every(lambda s: implies(remembered(m, s), is_taken(m, s, first, last)))
        others_taken = m.some(lambda s: both(is_taken(m, s, first, last), negated(remembered(m, s))))
        return both(begins(m, first), unseen(m, last, first), more, either(not first, all_taken, others_taken))

    def part(m: Moment, *given: Term) -> Updates:
        *first, last = given
        captured = {"held": lambda s: is_taken(m, s, first, last), "turn": m.idx}
        asked = {"asked": lambda s: both(m.sought, remembered(m, s)), "ask": lambda s: order(m, s)}
        return {**captured, **asked, "point": grown, "outcome": NOTHING}

    def nothing_to_capture(m: Moment) -> Way:
        some_present = m.some(lambda s: both(_is_here(m, s), implies(m.sought, remembered(m, s))))
        return Way(negated(some_present), m.here + 1, {})

    for name, first in (("all", 0), ("all from a remembered socket on", 1)):
        yield Step(f"take {name}{how}", "granted", point, first, lambda m, *c: begins(m, c), whole)
        if grown is not None:
            yield Step(f"grow for {name}{how}", "granted", point, first + 1, is_part, part)
    yield from _walk(f"find none{how}", "granted", point, nothing_to_capture)


def _candidates_of_kept(name: str, kept: Kept, order: Kept) -> Iterator[Candidate]:
    yield Candidate(f"a {name} socket was in the table", 1, lambda m, s: implies(kept(m, s), m.used(s)))
    yield Candidate(
        f"the turns of any two {name} sockets differ",
        2,
        lambda m, s, t: implies(both(s != t, kept(m, s), kept(m, t)), order(m, s) != order(m, t)),
    )
    yield Candidate(
        f"a {name} socket is in this bucket, or removed",
        1,
        lambda m, s: implies(both(kept(m, s), m.live(s)), m.bucket(s) == m.here),
    )
    yield Candidate(f"a {name} socket is in this bucket", 1, lambda m, s: implies(kept(m, s), _is_here(m, s)))
    yield Candidate(
        f"a {name} socket in an allocation is in this bucket",
        1,
        lambda m, s: implies(both(_grows(m), kept(m, s)), _is_here(m, s)),
    )
    yield Candidate(
        f"{name} sockets stand in the order of their turns",
        2,
        lambda m, s, t: implies(both(kept(m, s), kept(m, t)), (order(m, s) < order(m, t)) == (m.idx(s) < m.idx(t))),
    )
    yield Candidate(
        f"between {name} sockets stand no others",
        3,
        lambda m, s, t, u: implies(
            both(kept(m, s), kept(m, t), _is_here(m, u), negated(kept(m, u)), m.idx(u) > m.idx(s)), m.idx(u) > m.idx(t)
        ),
    )


def _candidates_of_both(name: str, kept: Kept, order: Kept, who: str, concerns: Concerns) -> Iterator[Candidate]:
    yield Candidate(
        f"an owed socket{who} of this bucket stands behind the {name} ones, or is one",
        2,
        lambda m, s, t: implies(
            both(waits(m, s, concerns), m.bucket(s) == m.here, kept(m, t), negated(kept(m, s))), m.idx(t) < m.idx(s)
        ),
    )
    yield Candidate(
        f"a {name} socket stands before an owed one{who} with a later turn",
        2,
        lambda m, s, t: implies(
            both(waits(m, s, concerns), kept(m, s), kept(m, t), order(m, t) < order(m, s)), m.idx(t) < m.idx(s)
        ),
    )
    yield Candidate(
        f"an owed socket{who} of a bucket that is sought, or grown for, is {name}",
        1,
        lambda m, s: implies(
            both(waits(m, s, concerns), m.bucket(s) == m.here, m.sought), either(kept(m, s), m.point == LOOKING)
        ),
    )
    yield Candidate(
        f"a delivered socket{who} of this bucket stands before the {name} ones, or has its turn",
        2,
        lambda m, s, t: implies(
            both(is_done(m, s, concerns), m.bucket(s) == m.here, kept(m, t)),
            either(m.idx(s) < m.idx(t), both(m.turned, first_held(m, s), m.idx(s) <= m.idx(t))),
        ),
    )
    yield Candidate(
        f"a delivered socket{who} is not {name}, or has its turn",
        1,
        lambda m, s: implies(both(is_done(m, s, concerns), kept(m, s)), both(m.turned, first_held(m, s))),
    )
    yield Candidate(
        f"a {name} socket{who} is in this bucket",
        1,
        lambda m, s: implies(both(kept(m, s), m.live(s), concerns(m, s)), m.bucket(s) == m.here),
    )


def _candidates_near_nothing(name: str, kept: Kept, order: Kept) -> Iterator[Candidate]:
    _, concerns = NEAR_NOTHING
    yield Candidate(
        f"{name} sockets near which nothing changed stand in the order of their turns",
        2,
        lambda m, s, t: implies(
            both(kept(m, s), kept(m, t), concerns(m, s), concerns(m, t)),
            (order(m, s) < order(m, t)) == (m.idx(s) < m.idx(t)),
        ),
    )
    yield Candidate(
        f"where nothing changed near a socket, nothing changed near the {name} ones",
        2,
        lambda m, s, t: implies(
            both(m.opened, concerns(m, s), m.live(s), m.bucket(s) == m.here, kept(m, t)),
            both(concerns(m, t), _is_here(m, t)),
        ),
    )


def _candidates_of(who: str, concerns: Concerns) -> Iterator[Candidate]:
    yield Candidate(
        f"an owed socket{who} is delivered, or in this bucket or one to come",
        1,
        lambda m, s: implies(waits(m, s, concerns), m.bucket(s) >= m.here),
    )
    yield Candidate(
        f"an owed socket{who} of a bucket that was left is remembered",
        1,
        lambda m, s: implies(
            both(waits(m, s, concerns), m.bucket(s) == m.here, either(m.point == BETWEEN, m.sought)), m.asked(s)
        ),
    )
    yield Candidate(
        f"an owed socket{who} of a bucket that is entered again is remembered",
        1,
        lambda m, s: implies(
            both(
                waits(m, s, concerns), m.bucket(s) == m.here, either(m.point == BETWEEN, both(m.point == LOOKING, m.sought))
            ),
            m.asked(s),
        ),
    )
    yield Candidate(
        f"cookies are remembered for an owed socket{who} of a bucket that was left",
        1,
        lambda m, s: implies(both(waits(m, s, concerns), m.bucket(s) == m.here, m.point == BETWEEN), _some_asked(m)),
    )
    yield Candidate(
        f"an owed socket{who} of a bucket that is shown is held",
        1,
        lambda m, s: implies(both(waits(m, s, concerns), m.bucket(s) == m.here, m.point == SHOWING), m.held(s)),
    )
    yield Candidate(
        f"a delivered socket{who} is in this bucket or one before",
        1,
        lambda m, s: implies(is_done(m, s, concerns), m.bucket(s) <= m.here),
    )
    yield Candidate(
        f"a delivered socket{who} is in a bucket before one that is entered",
        1,
        lambda m, s: implies(both(is_done(m, s, concerns), _looks_at_one(m), negated(m.sought)), m.bucket(s) < m.here),
    )
    yield Candidate(
        f"a socket that moved stands before an owed one{who}",
        2,
        lambda m, s, t: implies(
            both(waits(m, s, concerns), m.moved(t)), either(m.idx(t) < m.idx(s), m.bucket(t) != m.bucket(s))
        ),
    )
