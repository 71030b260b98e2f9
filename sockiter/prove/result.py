"""The results: the comparison of a relation with the code, and the proofs of claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sockiter.claims import Hazard
from sockiter.prove.logic import After, Observed, Symbol
from sockiter.prove.relation import Candidate
from sockiter.prove.words import lines
from sockiter.verdict import Signature

Answer: TypeAlias = Literal["holds", "fails", "unknown"]
"""The answer of the solver to an obligation. "unknown" proves nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A call of the code with a result that the relation does not allow, in words."""

    call: str
    table: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class Tie:
    """The comparison of so many calls in a scope: sockets, buckets, and slots of the batch.

    `difference`: the first one; None: the relation allows all results.
    """

    scope: tuple[int, int, int]
    states: int
    calls: int
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Induction:
    """A counterexample to induction: a moment that satisfies the invariant, and a transition that leads to a violation.

    The moment need not be reachable. `sockets`: the parameters of the transition. `symbols`: those of the iterator.
    """

    transition: str
    sockets: tuple[str, ...]
    before: Observed
    after: After
    symbols: tuple[Symbol, ...]

    def lines(self) -> list[str]:
        """The counterexample in words: the moment before, the transition, and the moment after."""
        known = self.before.all_sockets
        with_sockets = f" ({', '.join(self.sockets)})" if self.sockets else ""
        return [
            *lines(self.before, known, self.symbols),
            f"then: {self.transition}{with_sockets}",
            *lines(self.after, known, self.symbols),
        ]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: a failure that cannot happen under some hazards. `answer`: "holds" if it is proved for any number of sockets.

    If not: the `obligation` that fails, and the counterexample to induction, if the solver has one.
    """

    signature: Signature
    hazards: frozenset[Hazard]
    answer: Answer
    obligation: str = ""
    counterexample: Induction | None = None


@dataclass(slots=True)
class Proof:
    """The proofs of all claims of a scheme. `invariants`: for each set of hazards, the candidates that are left.

    `solver`: its name and version. `checks`: the number of obligations that it was asked.
    """

    solver: str
    claims: list[Claim] = field(default_factory=list)
    invariants: dict[frozenset[Hazard], tuple[Candidate, ...]] = field(default_factory=dict)
    checks: int = 0
    solver_seconds: float = 0.0
    seconds: float = 0.0
