"""Proofs of a scheme's claims for any number of sockets: an inductive invariant for each set of hazards.

The invariant is found by elimination. All candidates are assumed together; whatever candidate does not follow after some
transition is dropped, until the rest is inductive. Then every violation must be impossible in every transition. An answer
"unknown" of the solver counts as a failure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from sockiter.claims import Hazard, in_order, largest_claims
from sockiter.prove.environment import (
    CANDIDATES,
    CHANGES,
    KEY,
    MONITOR,
    adapted,
    is_turn,
    may_change,
    monitored,
    opening,
    table_of,
    turns,
)
from sockiter.prove.logic import After, Moment, Symbol, Term, both, either, implies, negated
from sockiter.prove.relation import (
    CONTROL,
    END,
    ERROR,
    GROWING,
    LOCKED,
    SHOWING,
    STOPPED,
    Candidate,
    Relation,
    Step,
)
from sockiter.prove.result import Claim, Induction, Proof
from sockiter.prove.solver import (
    VERSION,
    Counted,
    Query,
    Symbolic,
    fresh_flag,
    fresh_number,
    fresh_sockets,
    quantified,
    read,
)
from sockiter.schemes.scheme import AnyScheme, known_failures_of
from sockiter.verdict import Signature

TIMEOUT_MS = 10_000
"""The time limit of an obligation."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition of the whole system. Its parameters: so many sockets, the number of a bucket, and a flag."""

    name: str
    sockets: int
    guard: Callable[..., Term]
    updates: Callable[..., dict[str, Any]]
    step: Step | None = None
    is_turn: bool = False
    is_move: bool = False


def prove(
    scheme: AnyScheme,
    relation: Relation,
    *,
    timeout_ms: int = TIMEOUT_MS,
    progress: Callable[[str], None] = lambda doing: None,
) -> Proof:
    """Prove every claim of a scheme under the hazards that its relation describes."""
    started = time.perf_counter()
    proof = Proof(f"z3 {VERSION}")
    counted = Counted()
    claims = largest_claims(known_failures_of(scheme), scheme.hazards - relation.excluded)
    for hazards, signatures in claims.items():
        progress(", ".join(in_order(hazards)))
        attempt = _Attempt(relation, hazards, timeout_ms, counted)
        proof.invariants[hazards] = attempt.invariant
        proof.claims += [attempt.claim(signature) for signature in sorted(signatures)]
    proof.checks, proof.solver_seconds = counted.checks, counted.seconds
    proof.seconds = time.perf_counter() - started
    return proof


class _Attempt:
    def __init__(self, relation: Relation, hazards: frozenset[Hazard], timeout_ms: int, counted: Counted) -> None:
        self.relation = relation
        self.hazards = hazards
        self.timeout_ms = timeout_ms
        self.counted = counted
        self.symbols = (*table_of(relation), *MONITOR, *CONTROL, *relation.symbols)
        self.now = Symbolic(self.symbols)
        self.transitions = tuple(self._transitions())
        self.parameters = {transition.name: _Parameters(transition.sockets) for transition in self.transitions}
        self.invariant: tuple[Candidate, ...] = (*CANDIDATES, *relation.candidates(hazards))
        self.witnesses = fresh_sockets(max((candidate.sockets for candidate in self.invariant), default=0))
        self.formulas: dict[tuple[str, str], Term] = {}
        self._begin()
        while self._reduce():
            pass

    def claim(self, signature: Signature) -> Claim:
        assumed = self._assumed()
        for transition in self.transitions:
            goal = self._goal(signature, transition)
            if goal is True:
                continue
            given = self.parameters[transition.name].terms
            query = Query([*assumed, transition.guard(self.now, *given)], self.timeout_ms, self.counted)
            answer, model = query.follows([goal])
            if answer != "holds":
                return Claim(signature, self.hazards, answer, transition.name, model and self._induction(transition, model))
        return Claim(signature, self.hazards, "holds")

    def _assumed(self) -> list[Term]:
        return [self._formula("", self.now, candidate) for candidate in self.invariant]

    def _formula(self, transition: str, moment: Moment, candidate: Candidate) -> Term:
        # A candidate in the present moment, for all sockets; or after a transition, for some that stand for any. All
        # candidates share these, so that a counterexample needs few sockets.
        key = transition, candidate.name
        if key not in self.formulas:
            self.formulas[key] = (
                candidate.holds(moment, *self.witnesses[: candidate.sockets])
                if transition
                else quantified(moment, candidate.sockets, candidate.holds)
            )
        return self.formulas[key]

    def _begin(self) -> None:
        # The empty table, before open.
        any_value = {"buckets": self.now.buckets} | ({"key": self.now.key} if KEY in self.symbols else {})
        first = After(self.now, _defaults(self.symbols) | any_value | self.relation.start)
        kept = []
        for candidate in self.invariant:
            query = Query([first.buckets >= 0], self.timeout_ms, self.counted)
            if query.follows([quantified(first, candidate.sockets, candidate.holds)])[0] == "holds":
                kept.append(candidate)
        self.invariant = tuple(kept)

    def _reduce(self) -> bool:
        # Drop the candidates that do not follow after some transition. Whether there were some.
        count = len(self.invariant)
        for transition in self.transitions:
            given = self.parameters[transition.name].terms
            guard = transition.guard(self.now, *given)
            after = After(self.now, transition.updates(self.now, *given))
            query = Query([*self._assumed(), guard], self.timeout_ms, self.counted)
            left = list(self.invariant)
            while True:
                goals = [self._formula(transition.name, after, candidate) for candidate in left]
                answer, model = query.follows(goals)
                if answer == "holds":
                    break
                dropped = self._dropped(left, transition, model) if model is not None else []
                if not dropped:
                    # No model, or none that can be read: one candidate after the other.
                    pairs = zip(left, goals, strict=True)
                    left = [candidate for candidate, goal in pairs if query.follows([goal])[0] == "holds"]
                    break
                left = [candidate for candidate in left if candidate not in dropped]
            self.invariant = tuple(left)
        return len(self.invariant) < count

    def _dropped(self, candidates: Sequence[Candidate], transition: Transition, model: Any) -> list[Candidate]:
        found = self._induction(transition, model)
        return [candidate for candidate in candidates if not _holds(found.after, found.before.all_sockets, candidate)]

    def _induction(self, transition: Transition, model: Any) -> Induction:
        parameters = self.parameters[transition.name]
        before, given = read(model, self.symbols, self.now, parameters.sockets, parameters.number, parameters.flag)
        after = After(before, transition.updates(before, *given))
        return Induction(
            transition.name, tuple(given[: transition.sockets]), before, after, (*CONTROL, *self.relation.symbols)
        )

    def _transitions(self) -> Iterator[Transition]:
        hazards, relation = self.hazards, self.relation
        start = _defaults((*CONTROL, *relation.symbols)) | relation.start
        yield Transition("open", 0, lambda m, b, f: negated(m.opened), lambda m, b, f: {**opening(m), **start})
        for change in adapted(CHANGES, relation):
            yield Transition(
                change.name,
                1,
                lambda m, s, b, f, change=change: both(may_change(m, change, hazards), change.guard(m, s, b)),
                lambda m, s, b, f, change=change: {**change.changed(m, s, b), **monitored(m, change, s, b)},
                is_move=change.is_move,
            )
        for name, updates in turns(hazards):
            yield Transition(
                name,
                1,
                lambda m, s, b, f: is_turn(m, s),
                lambda m, s, b, f, updates=updates: dict(updates(m, s)),
                is_turn=True,
            )
        for step in relation.steps:
            if step.answer == "refused" and step.point in (GROWING, LOCKED) and "enomem" not in hazards:
                continue
            yield Transition(
                step.name,
                step.sockets,
                lambda m, *given, step=step: _may_step(m, step, given[:-2]),
                lambda m, *given, step=step: _stepped(m, step, given[:-2], given[-1]),
                step=step,
            )

    def _goal(self, signature: Signature, transition: Transition) -> Term:
        # The violation does not happen in this transition.
        now = self.now
        given = self.parameters[transition.name].terms
        step = transition.step

        def is_meant(socket: Term) -> Term:
            if signature.moved:
                return now.moved(socket)
            return both(negated(now.moved(socket)), negated(now.near(socket)) if signature.elsewhere else now.near(socket))

        if signature.kind == "repeat":
            if transition.is_turn:
                return negated(both(now.live(given[0]), now.delivered(given[0]), is_meant(given[0])))
            return negated(now.twice(given[0])) if transition.is_move and signature.moved else True
        if step is None:
            # The frame delivers only sockets in the table.
            return True
        after = After(now, transition.updates(now, *given))
        if signature.kind == "skip":
            lost = now.some(lambda s: both(now.owed(s), negated(now.delivered(s)), is_meant(s)))
            return implies(after.outcome == END, negated(lost))
        if signature.kind == "refused":
            return after.outcome != ERROR
        if signature.kind == "stuck" and after.outcome not in (END, ERROR):
            return self._advances(now, after, step)
        return True

    def _advances(self, now: Moment, after: Moment, step: Step) -> Term:
        # A refusal comes from outside. What a read has gained before it stops, it must not lose.
        if step.answer == "refused" and after.outcome != STOPPED:
            return True
        rises: Term = True if step.answer == "refused" else after.point > step.point
        for ours, theirs in zip(reversed(self.relation.rank(now)), reversed(self.relation.rank(after)), strict=True):
            rises = _rises(now, ours, theirs, rises)
        return rises


def _rises(moment: Moment, ours: Any, theirs: Any, rest: Term) -> Term:
    if not callable(ours):
        return either(theirs > ours, both(theirs == ours, rest))
    fewer = moment.every(lambda socket: implies(theirs(socket), ours(socket)))
    is_less = moment.some(lambda socket: both(ours(socket), negated(theirs(socket))))
    return both(fewer, either(is_less, rest))


class _Parameters:
    def __init__(self, sockets: int) -> None:
        self.sockets = fresh_sockets(sockets)
        self.number = fresh_number()
        self.flag = fresh_flag()

    @property
    def terms(self) -> tuple[Term, ...]:
        return (*self.sockets, self.number, self.flag)


def _may_step(m: Moment, step: Step, given: Sequence[Term]) -> Term:
    turned: Term = True
    if step.point == SHOWING:
        turned = m.turned if step.answer == "granted" else negated(m.turned)
    return both(m.opened, m.point == step.point, turned, step.guard(m, *given))


def _stepped(m: Moment, step: Step, given: Sequence[Term], flag: Term) -> dict[str, Any]:
    updates = dict(step.updates(m, *given)) | {"turned": False}
    if updates["outcome"] == END:
        # Only a read without records returns the end.
        updates["ended"] = either(m.ended, flag)
    return updates


def _holds(after: After, sockets: Sequence[str], candidate: Candidate) -> bool:
    return all(candidate.holds(after, *given) for given in product(sockets, repeat=candidate.sockets))


def _defaults(symbols: Iterable[Symbol]) -> dict[str, Any]:
    return {symbol.name: _constant(symbol.default) if symbol.of_sockets else symbol.default for symbol in symbols}


def _constant(value: Term) -> Callable[[Term], Term]:
    return lambda socket: value
