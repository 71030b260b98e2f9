"""The relation of `full-batch-held`: a bucket is captured whole, and its sockets are held until they were shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sockiter.claims import Hazard
from sockiter.prove.environment import concerned, is_done, waits
from sockiter.prove.logic import Answer, Moment, Symbol, Term, both, either, implies, negated, nobody
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
from sockiter.schemes.full_batch import Growing, Held, Looking, Showing
from sockiter.table import Table


class FullBatchHeldRelation:
    """`here`: the next bucket to capture. `offset`: of that bucket, always 0."""

    excluded: frozenset[Hazard] = frozenset({"close", "accept"})
    symbols: tuple[Symbol, ...] = (Symbol("here", 0), Symbol("offset", 0))

    @property
    def start(self) -> Updates:
        return {}

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        match at:
            case Looking(bucket, offset):
                return {"point": LOOKING, "here": bucket, "offset": offset}
            case Growing(bucket, offset, locked=locked):
                return {"point": LOCKED if locked else GROWING, "here": bucket, "offset": offset}
            case Showing(bucket, batch=batch):
                return {"point": SHOWING, "here": bucket + 1, **held_values(name for name, _ in batch)}
        assert isinstance(at, Held)
        return {"here": at.bucket, **held_values(name for name, _ in at.batch)}

    @property
    def steps(self) -> tuple[Step, ...]:
        return (
            Step("show the held sockets", "begin", BETWEEN, 0, _some_held, lambda m: {"point": SHOWING, "outcome": NOTHING}),
            *_walk("begin", "begin", BETWEEN, lambda m: Way(negated(_some_held(m)), m.here, {})),
            *_looks("", LOOKING, GROWING),
            *_looks(" with the larger batch", GROWING, LOCKED),
            *_looks(" with the batch of the exact size", LOCKED, None),
            _fails("fail", GROWING),
            _fails("fail under the lock", LOCKED),
            step_to_next(),
            *_walk("step behind the bucket", "granted", SHOWING, _behind, sockets=1),
            Step("stop before a socket", "refused", SHOWING, 0, _always, lambda m: {"point": BETWEEN, "outcome": STOPPED}),
        )

    def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
        yield Candidate("a read is in a bucket", 0, lambda m: implies(_looks_at_one(m), m.here < m.buckets))
        yield Candidate("the bucket is one of the table, or the end", 0, lambda m: both(m.here >= 0, m.here <= m.buckets))
        yield Candidate("behind the end there is no bucket", 0, lambda m: implies(m.ended, m.here == m.buckets))
        yield Candidate(
            "no socket is held while a bucket is captured, or behind the end",
            1,
            lambda m, s: implies(either(_looks_at_one(m), m.ended), negated(m.held(s))),
        )
        # A socket that is inserted again stays in its bucket.
        for who, concerns in concerned(hazards, frozenset({"rehash"})):
            yield Candidate(
                f"an owed socket{who} is delivered, held, or in a bucket to come",
                1,
                lambda m, s, concerns=concerns: implies(waits(m, s, concerns), either(m.held(s), m.bucket(s) >= m.here)),
            )
            yield Candidate(
                f"a delivered socket{who} is in a bucket before",
                1,
                lambda m, s, concerns=concerns: implies(is_done(m, s, concerns), m.bucket(s) < m.here),
            )
            yield Candidate(
                f"a delivered socket{who} is not held, or has its turn",
                1,
                lambda m, s, concerns=concerns: implies(
                    both(is_done(m, s, concerns), m.held(s)), both(m.turned, first_held(m, s))
                ),
            )
            yield Candidate(
                f"a held socket{who} is in a bucket before",
                1,
                lambda m, s, concerns=concerns: implies(both(m.held(s), m.live(s), concerns(m, s)), m.bucket(s) < m.here),
            )

    def rank(self, moment: Moment) -> Sequence[Rank]:
        return (moment.here, moment.held)


def _always(m: Moment) -> Term:
    return True


def _some_held(m: Moment) -> Term:
    return m.some(m.held)


def _looks_at_one(m: Moment) -> Term:
    return either(m.point == LOOKING, m.point == GROWING, m.point == LOCKED)


def _is_here(m: Moment, s: Term) -> Term:
    return both(m.live(s), m.bucket(s) == m.here)


def _some_here(m: Moment) -> Term:
    return m.some(lambda s: _is_here(m, s))


def _behind(m: Moment, c: Term) -> Way:
    return Way(only_held(m, c), m.here, {"held": nobody})


def _walk(name: str, answer: Answer, point: int, way: Callable[..., Way], *, sockets: int = 0) -> Iterator[Step]:
    return walk(name, answer, point, way, at_next=lambda m, filled: {}, at_end=lambda m: {}, sockets=sockets)


def _looks(how: str, point: int, grown: int | None) -> Iterator[Step]:
    # The steps that capture a bucket. `grown`: the point of the next allocation, if the batch can be too small.
    def all_here(m: Moment) -> Updates:
        here = {"held": lambda s: _is_here(m, s), "turn": m.idx}
        return {**here, "point": SHOWING, "outcome": NOTHING, "here": m.here + 1}

    yield Step(f"take all{how}", "granted", point, 0, _some_here, all_here)
    if grown is not None:
        yield Step(f"grow{how}", "granted", point, 0, _some_here, lambda m: {"point": grown, "outcome": NOTHING})
        yield from _walk(f"find none{how}", "granted", point, lambda m: Way(negated(_some_here(m)), m.here + 1, {}))


def _fails(name: str, point: int) -> Step:
    return Step(name, "refused", point, 0, _always, lambda m: {"point": BETWEEN, "outcome": ERROR})
