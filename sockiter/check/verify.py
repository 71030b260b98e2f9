"""Verifies that a scheme's canonical form merges only equivalent states, by three comparisons in small scopes.

The search with the canonical form is compared with the search without it, and with every sequence of a few lines on the
real frame and oracle. And all pairs of merged states are explored separately: both states must have the same transitions,
to states that are equivalent in turn. For a wrong merge, the report names the fields in which the two states differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sockiter.check import everything
from sockiter.check.differences import WrongMerge, smallest
from sockiter.check.merges import Merging, compared
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.claims import CHANGES, Hazard, in_order
from sockiter.errors import Unsound
from sockiter.schemes.scheme import AnyScheme, buckets_max_of, frame_name, has_fixed_hash, has_keys, known_failures_of
from sockiter.verdict import Signature

SEARCHES: tuple[tuple[tuple[Hazard, ...], Scope], ...] = (
    (("add-head", "remove", "reinsert", "show"), Scope(2, 1, 1, 5)),
    (("add-head", "remove", "realloc", "enomem"), Scope(2, 1, 1, 5)),
    (("add-tail", "reinsert", "realloc", "enomem"), Scope(2, 1, 1, 5)),
    (("remove", "rehash", "show"), Scope(2, 2, 1, 4)),
    (("remove", "reinsert", "between"), Scope(2, 2, 1, 4)),
    (("close", "accept", "reinsert", "show"), Scope(2, 1, 1, 4)),
    (("close", "destroy", "realloc", "enomem"), Scope(2, 1, 1, 4)),
    (("add-head", "close", "destroying"), Scope(2, 1, 1, 4)),
)
"""The hazards and scopes of the comparisons between the searches and every sequence."""
MERGES: tuple[tuple[tuple[Hazard, ...], Scope], ...] = (
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 1, 1)),
    ((*CHANGES, "show", "between", "realloc", "enomem"), Scope(2, 2, 1)),
    ((*CHANGES, "show", "realloc", "enomem"), Scope(3, 1, 1)),
    (("reinsert", "rollover"), Scope(2, 1, 1)),
    (("add-head", "accept", "reinsert", "show"), Scope(2, 1, 1)),
    (("add-head", "close", "rehash", "destroying"), Scope(2, 1, 1)),
)
"""The hazards and scopes of the comparisons of merged states."""

Progress: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Merged:
    """The comparison of merged states in one scope. `complete`: all states of the scope were reached."""

    hazards: frozenset[Hazard]
    scope: Scope
    states: int
    merged: int
    compared: int
    complete: bool
    wrong: WrongMerge | None = None

    @property
    def agrees(self) -> bool:
        return self.wrong is None


@dataclass(frozen=True, slots=True)
class Compare:
    """The violations in one scope, with the lengths of shortest cases, by each of the three searches.

    The search with the canonical form has None if the scheme has no form, or if the search with the form reports a false
    violation, as `why` explains.
    """

    hazards: frozenset[Hazard]
    scope: Scope
    canonical: dict[Signature, int] | None
    literal: dict[Signature, int]
    everything: dict[Signature, int]
    why: str = ""

    @property
    def agrees(self) -> bool:
        return not self.why and self.canonical in (None, self.literal) and self.literal == self.everything


@dataclass(frozen=True, slots=True)
class Verified:
    """All comparisons for one scheme. `has_form`: it has a canonical form."""

    scheme: str
    has_form: bool
    searches: tuple[Compare, ...]
    merges: tuple[Merged, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        return all(compare.agrees for compare in self.searches) and all(merged.agrees for merged in self.merges)


def verify(scheme: AnyScheme, progress: Progress = lambda doing: None) -> Verified:
    """Make all comparisons; `progress` is called with the current step from time to time.

    Raises a TypeError for a scheme whose states cannot be searched.
    """
    started = time.perf_counter()
    has_form = hasattr(scheme, "canonical")
    searches = [_compare(scheme, hazards, scope, progress) for hazards, scope in _within(SEARCHES, scheme)]
    merges = [_merged(scheme, hazards, scope, progress) for hazards, scope in _within(MERGES, scheme) if has_form]
    return Verified(scheme.name, has_form, tuple(searches), tuple(merges), time.perf_counter() - started)


def _within(
    scopes: Iterable[tuple[tuple[Hazard, ...], Scope]], scheme: AnyScheme
) -> Iterator[tuple[frozenset[Hazard], Scope]]:
    # Versions roll over only under the hazard "rollover".
    possible = [(hazards, scope) for hazards, scope in scopes if "rollover" not in hazards or "rollover" in scheme.hazards]
    yield from dict.fromkeys((frozenset(hazards) & scheme.hazards, scope) for hazards, scope in possible)


class Formless:
    """A scheme without its canonical form."""

    def __init__(self, scheme: AnyScheme) -> None:
        self.name = scheme.name
        self.summary = scheme.summary
        self.progress = scheme.progress
        self.known_failures = known_failures_of(scheme)
        self.hazards = scheme.hazards
        self.tables = scheme.tables
        self.frame = frame_name(scheme)
        self.buckets_max = buckets_max_of(scheme)
        self.has_keys = has_keys(scheme)
        self.has_fixed_hash = has_fixed_hash(scheme)
        self.open = scheme.open
        self.begin = scheme.begin
        self.resume = scheme.resume
        self.place = scheme.place


def _compare(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, progress: Progress) -> Compare:
    under = f"{scheme.name} under {', '.join(in_order(hazards)) or 'no hazard'}"
    progress(f"{under}: searches")
    canonical = None
    why = ""
    if hasattr(scheme, "canonical"):
        try:
            canonical = _searched(scheme, hazards, scope)
        except Unsound as unsound:
            why = str(unsound)
    literal = _searched(Formless(scheme), hazards, scope)
    every = everything.shortest(scheme, hazards, scope, lambda sequences: progress(f"{under}: {sequences:,} sequences"))
    return Compare(hazards, scope, canonical, literal, every, why)


def _searched(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> dict[Signature, int]:
    return {violation.signature: violation.operations for violation in search(scheme, hazards, scope).violations}


def _merged(scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope, progress: Progress) -> Merged:
    progress(f"{scheme.name} under {', '.join(in_order(hazards)) or 'no hazard'}: merged states")
    result = compared(scheme, hazards, scope)
    wrong = None
    if result.differences:
        wrong = smallest(Merging(Formless(scheme), hazards, scope), result)
    return Merged(hazards, scope, result.states, result.merged, result.compared, result.complete, wrong)
