"""The scope of a search, and its results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sockiter.cases import Case
from sockiter.claims import Hazard, without_implied
from sockiter.operations import length
from sockiter.verdict import Kind, Signature

SUCCESSION_MAX = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """The limits of a search: sockets in the table at once, buckets in each table, slots at open, and lines of a case.

    `ops` None: sequences of any length.
    """

    sockets: int = 4
    buckets: int = 1
    batch: int = 2
    ops: int | None = None

    def under(self, hazards: Collection[Hazard]) -> Scope:
        """This scope, reduced where some hazards make it infeasible.

        With rolled-over versions, buckets are out of order, and every index matters as it is. That takes so many states
        that at most 3 sockets in one bucket are feasible, and 2 with more than one other hazard. Under close, each socket
        may be closed or not, and a walk may hold its predecessor. With more than `SUCCESSION_MAX` other hazards, that takes
        so many states that 3 sockets in one bucket of each table are feasible.
        """
        if "rollover" in hazards:
            return replace(self, sockets=min(self.sockets, 3 if len(hazards) <= 2 else 2), buckets=1)
        if len(without_implied(frozenset(hazards))) > SUCCESSION_MAX + 1 and not {"close", "accept"}.isdisjoint(hazards):
            return replace(self, sockets=min(self.sockets, 3), buckets=1)
        return self


SCOPE = Scope(sockets=3, buckets=2, batch=2)
"""The scope of a search by the command line, the Python interface and the checks of `sockiter.testing`, by default."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A possible violation: its kind, the rest of its `Signature`, and a shortest case that causes it."""

    kind: Kind
    moved: bool
    case: Case
    elsewhere: bool = False

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    @property
    def operations(self) -> int:
        """The length of the case, in lines."""
        return length(self.case.operations)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of one search, with its violations, shortest first.

    `incomplete`: the reason for an early stop, in one line; "" if the whole scope was searched. Then only `violations`
    can happen in the scope.
    """

    scheme: str
    hazards: frozenset[Hazard]
    scope: Scope
    states: int
    transitions: int
    seconds: float
    violations: tuple[Counterexample, ...]
    incomplete: str = ""

    @property
    def complete(self) -> bool:
        return not self.incomplete
