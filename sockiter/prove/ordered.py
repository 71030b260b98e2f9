"""A place in a bucket by an order of its sockets: what the relations of such schemes have in common.

Each socket has a number: its index, or its key. A batch has unseen sockets in the order of their numbers. Of the symbols of
the iterator, `here` is the bucket. `fresh`: no socket of it was shown; or else `place` is the number of the last one.
`whole`: the batch has all unseen sockets of the bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from sockiter.prove.environment import Concerns, is_done, waits
from sockiter.prove.logic import After, Answer, Moment, Term, both, choose, either, implies, negated, nobody
from sockiter.prove.relation import (
    BETWEEN,
    END,
    SHOWING,
    STOPPED,
    Candidate,
    Step,
    Updates,
    Way,
    first_held,
    only_held,
    step_to_next,
    walk,
)


@dataclass(frozen=True, slots=True)
class Order:
    """An order of sockets: the `number` of each. `at_end`: the updates at the end of the walk."""

    number: Callable[[Moment, Term], Term]
    at_end: Callable[[Moment], Updates]

    def is_beyond(self, m: Moment, s: Term) -> Term:
        """Whether the number of a socket is beyond the place in the bucket."""
        return either(m.fresh, self.number(m, s) > m.place)

    def ahead(self, m: Moment, s: Term) -> Term:
        """Whether the walk will look at a socket again."""
        return either(m.bucket(s) > m.here, both(m.bucket(s) == m.here, self.is_beyond(m, s)))

    def unseen(self, m: Moment, s: Term) -> Term:
        """Whether a socket is an unseen one of the bucket."""
        return both(m.live(s), m.bucket(s) == m.here, self.is_beyond(m, s))

    def none_unseen(self, m: Moment) -> Term:
        """Whether the bucket has no unseen socket."""
        return m.every(lambda s: negated(self.unseen(m, s)))

    def walk(self, name: str, answer: Answer, point: int, way: Callable[..., Way], *, sockets: int = 0) -> Iterator[Step]:
        """The steps of `relation.walk`; in a bucket that is entered, no socket was shown."""
        for step in walk(name, answer, point, way, at_next=lambda m, filled: {}, at_end=self.at_end, sockets=sockets):
            yield replace(step, updates=partial(_fresh_in_the_next, step))

    def steps_of_a_batch(self, part: str) -> Iterator[Step]:
        """The steps while a batch is shown; `part` names one that has not all unseen sockets."""

        def behind(m: Moment, c: Term) -> Updates:
            return {"fresh": False, "place": self.number(m, c), "held": nobody, "whole": False}

        def behind_whole(m: Moment, c: Term) -> Way:
            return Way(both(m.whole, only_held(m, c)), m.here + 1, behind(m, c))

        def behind_part(m: Moment, c: Term) -> Way:
            return Way(both(negated(m.whole), only_held(m, c)), m.here, behind(m, c))

        yield step_to_next(lambda m, c: {"fresh": False, "place": self.number(m, c)})
        yield from self.walk("step behind the bucket", "granted", SHOWING, behind_whole, sockets=1)
        yield from self.walk(f"step behind the {part}", "granted", SHOWING, behind_part, sockets=1)
        yield Step(
            "stop before a socket",
            "refused",
            SHOWING,
            0,
            lambda m: True,
            lambda m: {"point": BETWEEN, "outcome": STOPPED, "held": nobody, "whole": False},
        )

    def delivered(self, who: str, concerns: Concerns) -> Candidate:
        """A delivered socket is behind the place."""
        return Candidate(
            f"a delivered socket{who} is behind, or has its turn",
            1,
            lambda m, s: implies(
                is_done(m, s, concerns), either(negated(self.ahead(m, s)), both(m.turned, first_held(m, s)))
            ),
        )

    def owed(self, who: str, concerns: Concerns) -> Iterator[Candidate]:
        """An owed socket is ahead, and in a batch that has all of its bucket."""
        yield Candidate(
            f"an owed socket{who} is delivered, or ahead",
            1,
            lambda m, s: implies(waits(m, s, concerns), self.ahead(m, s)),
        )
        yield Candidate(
            f"a batch with all unseen sockets has every owed socket{who} of its bucket",
            1,
            lambda m, s: implies(both(waits(m, s, concerns), m.whole, m.bucket(s) == m.here), m.held(s)),
        )


BOUNDS = (
    Candidate("a batch is whole only while it is shown", 0, lambda m: implies(m.whole, m.point == SHOWING)),
    Candidate("the bucket is one of the table, or the end", 0, lambda m: both(m.here >= 0, m.here <= m.buckets)),
    Candidate("a read is in a bucket", 0, lambda m: implies(m.point != BETWEEN, m.here < m.buckets)),
    Candidate("behind the end there is no bucket", 0, lambda m: implies(m.ended, m.here == m.buckets)),
)
"""Candidates for the bounds of the bucket and of the batch."""


def _fresh_in_the_next(step: Step, m: Moment, *given: Term) -> Updates:
    # The updates of a step that may enter another bucket.
    updates = step.updates(m, *given)
    now = After(m, updates)
    if updates["outcome"] == END:
        return updates
    enters = now.here != m.here
    return {**updates, "fresh": either(enters, now.fresh), "place": choose(enters, 0, now.place)}
