"""What a search covers, and its results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sockiter.cases import Case
from sockiter.claims import Hazard
from sockiter.operations import length
from sockiter.verdict import Kind, Signature


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search covers: at most so many sockets in the table at once, buckets in each table, slots at open, and lines
    of a case; None: sequences of any length."""

    sockets: int = 4
    buckets: int = 1
    batch: int = 2
    ops: int | None = None

    def under(self, hazards: Collection[Hazard]) -> Scope:
        """This scope, or what of it is within reach under some hazards.

        Where versions roll over, nothing is in the order of the indexes any more, and every index counts as it is: that
        takes so many states that 3 sockets in a bucket are the most, and 2 where more than one hazard comes with it.
        """
        if "rollover" not in hazards:
            return self
        return replace(self, sockets=min(self.sockets, 3 if len(hazards) <= 2 else 2), buckets=1)


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A violation that can happen: its kind, the rest of its `Signature`, and a shortest case in which it happens."""

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
    """The result of one search. `incomplete`: why it stopped early, in one line; "" where all was covered, so that nothing
    but `violations` can happen in the scope. `violations` are shortest first."""

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
