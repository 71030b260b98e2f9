"""The relation of a scheme: its steps as guarded updates of a moment, and the candidates for its invariant.

A relation describes the scheme's `begin` and `resume`. It may allow more than the code does, never less: `tie` compares it
with the code. A step has parameters, which are sockets. It allows a transition if some sockets satisfy its guard, and the
next moment has its updates and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from sockiter.claims import Hazard
from sockiter.prove.logic import Answer, Moment, Symbol, Term, both, choose, implies, negated
from sockiter.table import Table

BETWEEN, LOOKING, GROWING, LOCKED, SHOWING = range(5)
"""The point of an iterator: between two reads; or in a read, before a bucket is locked, before an allocation without and
with the lock of the bucket, before a socket is shown."""
POINTS = ("between two reads", "before a bucket", "in an allocation", "in an allocation under the lock", "before a socket")

NOTHING, STOPPED, END, ERROR = range(4)
"""The outcome of a step: the read goes on; or it stopped, came to the end of the walk, or failed."""

CONTROL = (
    Symbol("point", 0),
    Symbol("outcome", 0),
    # The sockets that are held or remembered, and their turns.
    Symbol("held", False, of_sockets=True),
    Symbol("turn", 0, of_sockets=True, order_in="held"),
)
"""The part of an iterator that every relation has."""

Updates: TypeAlias = dict[str, Any]
"""New values and functions, by the names of their symbols."""
Rank: TypeAlias = Term | Callable[[Term], Term]
"""A number that rises, or a set of sockets that shrinks."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a scheme: the `answer` at the `point`. `sockets`: the number of its parameters.

    `guard` and `updates` are functions of the moment and the parameters.
    """

    name: str
    answer: Answer
    point: int
    sockets: int
    guard: Callable[..., Term]
    updates: Callable[..., Updates]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A formula that may belong to the invariant: it holds for all so many sockets."""

    name: str
    sockets: int
    holds: Callable[..., Term]


class Relation(Protocol):
    """What a proof needs of a scheme. A scheme of another package has it as its attribute `relation`.

    Optional attributes are `has_keys` and `has_fixed_hash`, as of a scheme.
    """

    @property
    def excluded(self) -> frozenset[Hazard]:
        """The hazards that it does not describe. Nothing is proved under them."""

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbols of the iterator, besides `CONTROL`."""

    @property
    def start(self) -> Updates:
        """The values of a new iterator that are not the defaults."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps."""

    def candidates(self, hazards: frozenset[Hazard]) -> Iterable[Candidate]:
        """Formulas for the invariant under these hazards. The proof keeps those that are inductive together."""

    def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
        """The values of a state or waiting value, by the names of the symbols, except for `outcome`.

        A symbol that is missing has its default.
        """

    def rank(self, moment: Moment) -> Sequence[Rank]:
        """The progress of a walk: the first part that changes rises at every step, so that a walk without changes ends.

        A function of sockets rises if it holds for fewer sockets. The point of the read is one more part, the last.
        """


def key_of(name: str) -> int:
    """The key of a socket as a number. Numbers are in the order of the names."""
    return int.from_bytes(name.encode().ljust(_KEY_BYTES, b"\0"), "big")


_KEY_BYTES = 64  # more than the names of any search have


def held_values(sockets: Iterable[str]) -> Updates:
    """The values of `held` and `turn` for the names of the held sockets, in the order of their turns."""
    turn = {name: nth for nth, name in enumerate(sockets)}
    return {"held": dict.fromkeys(turn, True), "turn": turn}


def first_held(m: Moment, s: Term) -> Term:
    """Whether it is the turn of a held socket next."""
    return both(m.held(s), m.every(lambda t: implies(m.held(t), m.turn(s) <= m.turn(t))))


def only_held(m: Moment, s: Term) -> Term:
    """Whether no other socket is held."""
    return both(m.held(s), m.every(lambda t: implies(m.held(t), t == s)))


def step_to_next(also: Callable[[Moment, Term], Updates] = lambda m, c: {}) -> Step:
    """The step from a shown socket to the next one of the batch; `also`: its updates besides those of the batch."""
    return Step(
        "step to the next socket",
        "granted",
        SHOWING,
        1,
        lambda m, c: both(first_held(m, c), m.some(lambda s: both(m.held(s), s != c))),
        lambda m, c: {"outcome": NOTHING, "held": lambda s: both(m.held(s), s != c), **also(m, c)},
    )


class Way(NamedTuple):
    """How a walk goes on, from a bucket on: its condition, the bucket, and the updates that come first."""

    condition: Term
    since: Term
    updates: Updates


def walk(
    name: str,
    answer: Answer,
    point: int,
    way: Callable[..., Way],
    *,
    at_next: Callable[[Moment, Term], Updates],
    at_end: Callable[[Moment], Updates],
    sockets: int = 0,
) -> Iterator[Step]:
    """The steps to the next bucket that has a socket, and to the end of the walk.

    `way`: of the moment and the parameters. `at_next`: the updates at the next bucket, of the moment and its number.
    """

    def goes_on(m: Moment, *given: Term) -> Term:
        *others, found = given
        condition, since, _ = way(m, *others)
        nearest = m.every(lambda s: implies(both(m.live(s), m.bucket(s) >= since), m.bucket(found) <= m.bucket(s)))
        return both(condition, m.live(found), m.bucket(found) >= since, nearest)

    def next_bucket(m: Moment, *given: Term) -> Updates:
        *others, found = given
        filled = m.bucket(found)
        here = {"point": LOOKING, "outcome": NOTHING, "here": filled}
        return {**way(m, *others).updates, **here, **at_next(m, filled)}

    def ends(m: Moment, *given: Term) -> Term:
        condition, since, _ = way(m, *given)
        return both(condition, m.every(lambda s: negated(both(m.live(s), m.bucket(s) >= since))))

    def end(m: Moment, *given: Term) -> Updates:
        _, since, updates = way(m, *given)
        here = choose(since > m.buckets, since, m.buckets)
        return {**updates, "point": BETWEEN, "outcome": END, "here": here, **at_end(m)}

    yield Step(f"{name}, then to the next bucket", answer, point, sockets + 1, goes_on, next_bucket)
    yield Step(f"{name}, then to the end", answer, point, sockets, ends, end)
