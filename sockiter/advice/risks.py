"""The risks of a reader: which of its sockets a walk can lose, deliver twice or leave alive, and under which events.

Searched on a scheme, in a scope. An event is a change as its cause knows it. Changes come at any time: between two reads,
while a socket is shown, between two buckets, and while memory is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, get_args

from sockiter.cases import Case
from sockiter.check.monitor import MONITORED
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.check.search import search
from sockiter.claims import Hazard, hazards_of
from sockiter.readers import Reader
from sockiter.schemes.scheme import AnyScheme, is_dump, known_failures_of
from sockiter.verdict import Kind, Signature

Effect: TypeAlias = Literal["lost", "survives", "doubled", "endless", "error"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
"""What can happen to a socket that was there from beginning to end, or to the walk; the worst first."""
_EFFECT_OF: dict[Kind, Effect] = {"skip": "lost", "repeat": "doubled", "stuck": "endless", "refused": "error"}
EFFECTIVE: frozenset[Kind] = frozenset(_EFFECT_OF)
"""The kinds of findings that are effects. A socket that was shown when it had left can be discarded by its owner."""


class Event(NamedTuple):
    """A kind of event: its name, its description, its hazards, and its description where it is the affected socket's own."""

    name: str
    summary: str
    hazards: frozenset[Hazard]
    own: str = ""


EVENTS: tuple[Event, ...] = (
    Event("open", "another socket opens", frozenset({"add-head", "add-tail"})),
    Event("leave", "another socket closes and leaves", frozenset({"remove"})),
    Event(
        "succeed",
        "another connection closes into TIME_WAIT or completes its handshake",
        frozenset({"close", "accept"}),
        "it closes into TIME_WAIT or completes its handshake",
    ),
    Event(
        "relisten",
        "another socket stops listening and listens again",
        frozenset({"reinsert"}),
        "it stops listening and listens again",
    ),
    Event(
        "move",
        "another socket moves between buckets, as by connect()",
        frozenset({"rehash"}),
        "it moves between buckets, as by connect()",
    ),
    Event("memory", "an allocation fails", frozenset({"enomem"})),
)
TIMES: frozenset[Hazard] = frozenset({"show", "between", "realloc"})
"""The hazards of changes inside a read, which no program can rule out."""
SOCKETS = 3
"""Sockets at once in the searches: every known failure of the kernels' schemes needs at most so many."""
SOCKETS_ALONE = 7
"""Sockets at once where only the reader changes the table: two dumps that destroy lose none of fewer."""


@dataclass(frozen=True, slots=True)
class Risk:
    """An effect, the least events that cause it, and a shortest case. `own`: the affected socket took part in an event."""

    effect: Effect
    own: bool
    events: tuple[Event, ...]
    case: Case

    @property
    def is_rare(self) -> bool:
        """Whether an allocation has to fail."""
        return any("enomem" in event.hazards for event in self.events)


@dataclass(frozen=True, slots=True)
class ReaderRisks:
    """All risks of a reader of a scheme in a scope. `incomplete`: the reason why there may be more; "" if there are not."""

    scheme: str
    reader: Reader
    scope: Scope
    risks: tuple[Risk, ...]
    incomplete: str = ""


def scope_of(scheme: AnyScheme, sockets: int = SOCKETS) -> Scope:
    """The scope for a scheme: two buckets, in one table or in two, and batches that have to grow, or dumps of several
    messages."""
    return Scope(sockets=sockets, buckets=2 if len(scheme.tables) == 1 else 1, batch=1 if is_dump(scheme) else 2)


def risks_of(
    scheme: AnyScheme,
    reader: Reader,
    scope: Scope,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> ReaderRisks:
    """Search a scheme for all risks of a reader. `progress` is called as by `search`, and may raise `StopSearch`."""
    events = tuple(event for event in EVENTS if event.hazards & scheme.hazards)

    def searched(events: Iterable[Event], signatures: Iterable[Signature]) -> SearchResult:
        hazards = TIMES.union(*(event.hazards for event in events)) - (TIMES if is_dump(scheme) else set())
        size = scope
        if not events and reader.destroys:
            size = replace(scope, sockets=max(scope.sockets, SOCKETS_ALONE), buckets=1)
        return search(scheme, hazards, size, reader=reader, signatures=frozenset(signatures), progress=progress)

    everything = searched(events, MONITORED)
    found: list[Risk] = []
    incomplete = everything.incomplete
    for alike in _alike(everything.violations):
        signatures = {violation.signature for violation in alike}
        least: list[tuple[Event, ...]] = []
        # Fewer events first. A violation under some events is one under any more.
        for causes in sorted(
            _causes(scheme, alike, events), key=lambda of: (len(of), [events.index(event) for event in of])
        ):
            if any(set(fewer) <= set(causes) for fewer in least):
                continue
            result = everything if set(causes) == set(events) else searched(causes, signatures)
            incomplete = incomplete or result.incomplete
            shortest = min(_of(result.violations, signatures), key=lambda v: v.operations, default=None)
            if shortest is not None:
                least.append(causes)
                found.append(Risk(effect_of(shortest.kind, reader), shortest.moved, causes, shortest.case))
    found.sort(key=lambda risk: (EFFECTS.index(risk.effect), risk.own, len(risk.events)))
    return ReaderRisks(scheme.name, reader, scope, tuple(found), incomplete)


def effect_of(kind: Kind, reader: Reader) -> Effect:
    """The effect of a finding, for this reader. A skipped socket survives a reader that destroys."""
    return "survives" if kind == "skip" and reader.destroys else _EFFECT_OF[kind]


def _alike(violations: Iterable[Counterexample]) -> list[list[Counterexample]]:
    # To a user, the bucket of a change does not matter.
    groups: dict[tuple[Kind, bool], list[Counterexample]] = {}
    for violation in violations:
        groups.setdefault((violation.kind, violation.moved), []).append(violation)
    return list(groups.values())


def _of(violations: Iterable[Counterexample], signatures: set[Signature]) -> Iterator[Counterexample]:
    return (violation for violation in violations if violation.signature in signatures)


def _causes(scheme: AnyScheme, violations: list[Counterexample], events: tuple[Event, ...]) -> set[tuple[Event, ...]]:
    # The sets of events that may be least. A reader is a special case of all, so the known failures of the scheme are
    # candidates; it may need more than they say, and the case that was found has enough.
    kinds = {(violation.kind, violation.moved) for violation in violations}
    hazard_sets = [failure.hazards for failure in known_failures_of(scheme) if (failure.kind, failure.moved) in kinds]
    hazard_sets += [hazards_of(violation.case.operations) for violation in violations]
    causes = {tuple(event for event in events if event.hazards & hazards) for hazards in hazard_sets}
    return causes | {tuple(event for event in more if event != one) for more in causes for one in more}
