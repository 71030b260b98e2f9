"""Everything around a scheme: the changes of the table, the turns of sockets, and the monitor of all sockets.

Decided here: when a table may change, and which transition is a violation. The monitor follows the rules of the oracle, for
all sockets at once: `owed` since open, `delivered` and `twice`, itself `moved`, something changed `near` it. Not known here:
the scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from sockiter.claims import MOVES, Hazard
from sockiter.prove.logic import Moment, Symbol, Term, both, changed, choose, either, implies, negated
from sockiter.prove.relation import (
    BETWEEN,
    GROWING,
    LOOKING,
    SHOWING,
    Candidate,
    Relation,
    first_held,
)
from sockiter.schemes.scheme import has_fixed_hash, has_keys

TABLE = (
    Symbol("live", False, of_sockets=True),
    Symbol("used", False, of_sockets=True),  # in the table now, or removed
    Symbol("bucket", 0, of_sockets=True),
    Symbol("idx", 0, of_sockets=True),  # rises from head to tail
    Symbol("ver", 0),
    Symbol("buckets", 0),
)
KEY = Symbol("key", 0, of_sockets=True)
"""The key of a socket, which never changes. Only moments of a relation with keys have it."""
MONITOR = (
    Symbol("opened", False),
    Symbol("ended", False),
    Symbol("turned", False),  # the first of the held sockets has had its turn
    *(Symbol(name, False, of_sockets=True) for name in ("owed", "delivered", "twice", "moved", "near")),
)

BEFORE_OPEN: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash"})


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the table: `changed` has its updates, of the moment, the socket and a bucket's number."""

    name: str
    hazards: frozenset[Hazard]
    guard: Callable[[Moment, Term, Term], Term]
    changed: Callable[[Moment, Term, Term], dict[str, Any]]
    is_move: bool = False


def _enters(moment: Moment, socket: Term, bucket: Term, *, at_head: bool) -> dict[str, Any]:
    ver = moment.ver + 1
    return {
        "live": changed(moment.live, socket, True),
        "used": changed(moment.used, socket, True),
        "bucket": changed(moment.bucket, socket, bucket),
        "idx": changed(moment.idx, socket, -ver if at_head else ver),
        "ver": ver,
    }


def _is_bucket(moment: Moment, bucket: Term) -> Term:
    return both(bucket >= 0, bucket < moment.buckets)


def _is_new(moment: Moment, socket: Term, bucket: Term) -> Term:
    return both(negated(moment.used(socket)), _is_bucket(moment, bucket))


def _stays(moment: Moment, socket: Term, bucket: Term) -> Term:
    return both(moment.live(socket), bucket == moment.bucket(socket))


def _goes(moment: Moment, socket: Term, bucket: Term) -> Term:
    return both(moment.live(socket), bucket != moment.bucket(socket), _is_bucket(moment, bucket))


CHANGES = (
    Change("add head", frozenset({"add-head"}), _is_new, lambda m, s, b: _enters(m, s, b, at_head=True)),
    Change("add tail", frozenset({"add-tail"}), _is_new, lambda m, s, b: _enters(m, s, b, at_head=False)),
    Change(
        "remove",
        frozenset({"remove", "destroy"}),
        _stays,
        lambda m, s, b: {"live": changed(m.live, s, False)},
    ),
    Change("reinsert head", frozenset({"reinsert"}), _stays, lambda m, s, b: _enters(m, s, b, at_head=True), is_move=True),
    Change("reinsert tail", frozenset({"reinsert"}), _stays, lambda m, s, b: _enters(m, s, b, at_head=False), is_move=True),
    Change("rehash", frozenset({"rehash"}), _goes, lambda m, s, b: _enters(m, s, b, at_head=True), is_move=True),
)
"""The changes, each with any of its hazards."""


def table_of(relation: Relation) -> tuple[Symbol, ...]:
    """The symbols of the table, with the keys of sockets if the relation has keys."""
    return (*TABLE, KEY) if has_keys(relation) else TABLE


def adapted(changes: Iterable[Change], relation: Relation) -> Iterator[Change]:
    """The changes of the table that a relation describes."""
    for change in changes:
        if has_keys(relation) and change.name.startswith("add"):
            yield replace(change, guard=partial(_is_new_with_key, change))
        elif has_fixed_hash(relation) and change.name == "rehash":
            # The socket moves in another table.
            yield replace(change, changed=lambda m, s, b: {})
        else:
            yield change


def _is_new_with_key(change: Change, moment: Moment, socket: Term, bucket: Term) -> Term:
    # A new socket may have the key of a removed one, as it may have its address.
    is_unique = moment.every(lambda other: implies(moment.live(other), moment.key(other) != moment.key(socket)))
    return both(change.guard(moment, socket, bucket), is_unique)


def may_change(moment: Moment, change: Change, hazards: frozenset[Hazard]) -> Term:
    """Whether the table may change in this way now."""
    if not change.hazards & hazards:
        return both(negated(moment.opened), bool(change.hazards & BEFORE_OPEN))
    return either(
        moment.point == BETWEEN,
        both("show" in hazards, moment.point == SHOWING, negated(moment.turned)),
        both("between" in hazards, moment.point == LOOKING),
        both("realloc" in hazards, moment.point == GROWING),
    )


def monitored(moment: Moment, change: Change, socket: Term, bucket: Term) -> dict[str, Any]:
    """The updates of the monitor at a change."""
    # A new socket was in no bucket.
    touched = bucket if change.name.startswith("add") else moment.bucket(socket)

    def near(other: Term) -> Term:
        is_near = either(moment.bucket(other) == bucket, moment.bucket(other) == touched, other == socket)
        return either(moment.near(other), both(moment.opened, is_near))

    updates: dict[str, Any] = {"near": near}
    if change.name == "remove":
        updates["owed"] = changed(moment.owed, socket, False)
    if change.is_move:
        updates["moved"] = lambda other: either(
            moment.moved(other), both(other == socket, moment.opened, negated(moment.ended))
        )
    return updates


def opening(moment: Moment) -> dict[str, Any]:
    """The updates of the monitor when the iterator is opened."""
    return {"opened": True, "owed": moment.live}


def turns(hazards: frozenset[Hazard]) -> Iterator[tuple[str, Callable[[Moment, Term], Mapping[str, Any]]]]:
    """The turns that the first of the held sockets may have: their names, and their updates."""
    yield "show", _turn
    if "destroying" in hazards:
        yield "show and destroy", _turn_and_destroy


def is_turn(moment: Moment, socket: Term) -> Term:
    """Whether it is the turn of a socket."""
    return both(moment.opened, moment.point == SHOWING, negated(moment.turned), first_held(moment, socket))


def _turn(moment: Moment, socket: Term) -> dict[str, Any]:
    # The frame delivers no socket that has left the table.
    delivered = either(moment.delivered(socket), moment.live(socket))
    return {
        "turned": True,
        "delivered": changed(moment.delivered, socket, delivered),
        "twice": changed(
            moment.twice, socket, either(moment.twice(socket), both(moment.delivered(socket), moment.live(socket)))
        ),
    }


def _turn_and_destroy(moment: Moment, socket: Term) -> dict[str, Any]:
    (remove,) = (change for change in CHANGES if change.name == "remove")
    bucket = moment.bucket(socket)
    removed = remove.changed(moment, socket, bucket) | monitored(moment, remove, socket, bucket)
    kept = {name: _chosen(moment.live(socket), value, getattr(moment, name)) for name, value in removed.items()}
    return _turn(moment, socket) | kept


def _chosen(condition: Term, then: Callable[[Term], Term], otherwise: Callable[[Term], Term]) -> Callable[[Term], Term]:
    return lambda socket: choose(condition, then(socket), otherwise(socket))


CANDIDATES = (
    Candidate(
        "the indexes of two sockets differ",
        2,
        lambda m, s, t: implies(both(s != t, m.used(s), m.used(t)), m.idx(s) != m.idx(t)),
    ),
    Candidate(
        "an index is within the version", 1, lambda m, s: implies(m.used(s), both(m.idx(s) <= m.ver, m.idx(s) >= -m.ver))
    ),
    Candidate("the version counts from 0", 0, lambda m: m.ver >= 0),
    Candidate(
        "a socket is in a bucket", 1, lambda m, s: implies(m.used(s), both(m.bucket(s) >= 0, m.bucket(s) < m.buckets))
    ),
    Candidate(
        "a socket that never was in the table has no past",
        1,
        lambda m, s: implies(
            negated(m.used(s)),
            negated(either(m.live(s), m.held(s), m.owed(s), m.delivered(s), m.twice(s), m.moved(s))),
        ),
    ),
    Candidate("an owed socket is in the table", 1, lambda m, s: implies(m.owed(s), m.live(s))),
    Candidate(
        "nothing happens before open",
        1,
        lambda m, s: implies(
            negated(m.opened),
            negated(either(m.held(s), m.owed(s), m.delivered(s), m.twice(s), m.moved(s), m.near(s), m.turned, m.ended)),
        ),
    ),
    Candidate("before open, no read waits", 0, lambda m: implies(negated(m.opened), m.point == BETWEEN)),
    Candidate("a turn is the turn of a held socket", 0, lambda m: implies(m.turned, m.point == SHOWING)),
    Candidate("no read waits behind the end", 0, lambda m: implies(m.ended, m.point == BETWEEN)),
    Candidate(
        "the turns of two held sockets differ",
        2,
        lambda m, s, t: implies(both(s != t, m.held(s), m.held(t)), m.turn(s) != m.turn(t)),
    ),
    Candidate("a change is near a socket that moved", 1, lambda m, s: implies(m.moved(s), m.near(s))),
    Candidate(
        "a change is near all sockets of a bucket, or near none",
        2,
        lambda m, s, t: implies(both(m.live(s), m.live(t), m.bucket(s) == m.bucket(t)), m.near(s) == m.near(t)),
    ),
    Candidate(
        "a socket that had its turn is delivered",
        1,
        lambda m, s: implies(both(m.turned, first_held(m, s), m.live(s)), m.delivered(s)),
    ),
    Candidate("no socket has moved", 1, lambda m, s: negated(m.moved(s))),
    Candidate("no socket is delivered twice", 1, lambda m, s: negated(m.twice(s))),
)
"""Formulas about the table and the monitor, for the invariant of any scheme."""

Concerns: TypeAlias = Callable[[Moment, Term], Term]
"""Which sockets a candidate concerns."""
ALL: tuple[str, Concerns] = ("", lambda m, s: True)
UNMOVED: tuple[str, Concerns] = (" that did not move", lambda m, s: negated(m.moved(s)))
NEAR_NOTHING: tuple[str, Concerns] = (
    " near which nothing changed",
    lambda m, s: negated(either(m.moved(s), m.near(s))),
)


def concerned(hazards: frozenset[Hazard], moves: frozenset[Hazard] = MOVES) -> tuple[tuple[str, Concerns], ...]:
    """The sockets that candidates concern under these hazards: all, unless some of the `moves` are among the hazards."""
    return (UNMOVED, NEAR_NOTHING) if moves & hazards else (ALL,)


def waits(m: Moment, s: Term, concerns: Concerns) -> Term:
    """Whether a socket is owed, and not delivered yet."""
    return both(m.opened, m.owed(s), negated(m.delivered(s)), concerns(m, s))


def is_done(m: Moment, s: Term, concerns: Concerns) -> Term:
    """Whether a socket is delivered, and still in the table."""
    return both(m.delivered(s), m.live(s), concerns(m, s))
