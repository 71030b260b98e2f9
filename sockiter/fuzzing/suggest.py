"""Known failures to declare for what broke a claim, with the fewest hazards, as lines of Python.

Decided here: which of several findings one known failure explains, and how it is written. Not known here: how a finding was
come by.
"""

from __future__ import annotations

from collections.abc import Iterable

from sockiter.check.search import at_most, search
from sockiter.check.shortest import STATES_MAX, spanned
from sockiter.claims import Hazard, KnownFailure, in_order, known_failure
from sockiter.errors import SockiterError, Unsearchable
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.operations import length
from sockiter.schemes.scheme import AnyScheme
from sockiter.verdict import KINDS


def declaration(known: KnownFailure) -> str:
    """A known failure as a scheme declares it: `known_failure("skip", "remove", moved=True)`."""
    hazards = in_order(known.hazards)
    arguments = [f'"{word}"' for word in (known.kind, *hazards)]
    arguments += ["moved=True"] if known.moved else []
    # Where `known_failure` finds that out by itself, it is left out.
    arguments += ["elsewhere=True"] if known.elsewhere and not known_failure(known.kind, *hazards).elsewhere else []
    return f"known_failure({', '.join(arguments)})"


def suggested(scheme: AnyScheme, broken: Iterable[TriagedFinding]) -> tuple[KnownFailure, ...]:
    """The known failures that explain the findings that broke a claim of a scheme, the simplest first.

    Each has the fewest hazards, as far as a search of the case's scope shows it. None is explained by another one.
    """
    least = {_least(scheme, found) for found in broken}
    return tuple(sorted((one for one in least if not any(covers(other, one) for other in least)), key=_rank))


def _least(scheme: AnyScheme, found: TriagedFinding) -> KnownFailure:
    hazards = found.hazards
    for hazard in in_order(hazards):
        if _happens(scheme, found, fewer := hazards - {hazard}):
            hazards = fewer
    return KnownFailure(found.kind, hazards, found.moved, found.elsewhere)


def _happens(scheme: AnyScheme, found: TriagedFinding, hazards: frozenset[Hazard]) -> bool:
    case = found.case
    # With fewer hazards it may take a line more.
    scope = spanned(scheme, case.operations, case.slots, length(case.operations) + 1)
    try:
        return bool(search(scheme, hazards, scope, signatures=[found.signature], progress=at_most(STATES_MAX)).violations)
    except (SockiterError, Unsearchable):
        return False


def covers(other: KnownFailure, one: KnownFailure) -> bool:
    """Whether another known failure explains all that this one does."""
    return other != one and other.explains(one.signature) and other.hazards <= one.hazards


def _rank(known: KnownFailure) -> tuple[int, int, list[Hazard], bool]:
    return KINDS.index(known.kind), len(known.hazards), in_order(known.hazards), known.moved
