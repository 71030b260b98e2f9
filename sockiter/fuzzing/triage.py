"""Triage: which findings of one target are new, and how a new finding becomes a case.

Decided here: when a finding is investigated, whether it can be reproduced, and whether it breaks a claim or a known
failure explains it. Not known here: which driver found it, and where its case is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sockiter.backend import Session, Target, run
from sockiter.cases import Case
from sockiter.check.shortest import STATES_MAX, shortest
from sockiter.claims import Hazard, KnownFailure, explaining, hazards_of, within
from sockiter.errors import Inconclusive
from sockiter.operations import Operation
from sockiter.oracle import judge
from sockiter.shrink.minimize import Fails, Patience, minimize
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Finding, Kind, Signature, Verdict

# How often the sequence of a finding on a running kernel is run again before it is shrunk. A model needs no second run.
RERUNS = 5
# For a known failure, a shortest case is nice to have, and most are found in some hundred states; the time that the
# others take is better spent on sequences that may break a claim. In states, so that the same run comes to the same cases.
STATES_MAX_KNOWN = 4_000


FindingKey: TypeAlias = tuple[Signature, frozenset[Hazard]]
"""What decides whether a finding is new: its signature, and the hazards of the sequence."""


@dataclass(frozen=True, slots=True)
class TriagedFinding:
    """A finding with the least case that shows it, the hazards of that, and its relation to the target's claims.

    `known_failure`: the target's that explains it; None: it breaks a claim. `reproduced` of `reruns` runs of the drawn
    sequence led to the finding again; a case that never did is that sequence, not shrunk. `shortest`: it is certain that no
    shorter case does the same with its hazards, and with as many sockets at once, buckets and slots as it has. `cut_short`:
    there was no time to shrink it to the end, so that several known failures may explain it.
    """

    target: str
    kind: Kind
    moved: bool
    case: Case
    hazards: frozenset[Hazard]
    known_failure: KnownFailure | None
    drawn: int
    reproduced: int
    reruns: int
    shortest: bool = False
    elsewhere: bool = False
    cut_short: bool = False

    def __str__(self) -> str:
        return f"{self.target}: {self._shown}"

    @property
    def stem(self) -> str:
        """The beginning of the name of its file."""
        return self._shown.stem(self.target)

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    @property
    def _shown(self) -> KnownFailure:
        # Known or not.
        return KnownFailure(self.kind, self.hazards, self.moved, self.elsewhere)


@dataclass(slots=True)
class Triage:
    """One target, in a session of its own, and the findings on it that were investigated.

    A finding is new once for each set of hazards under which it occurs: a claim can be broken under few hazards that is void
    under many. `pending` holds the known failures that no case has shown yet. `drawn` is called with each finding that is
    about to be shrunk, for which there is `patience`.
    """

    target: Target
    session: Session
    pending: set[KnownFailure] = field(default_factory=set)
    investigated: set[FindingKey] = field(default_factory=set)
    patience: Patience = field(default_factory=Patience)
    drawn: Callable[[TriagedFinding], None] = lambda found: None

    @classmethod
    def of(cls, target: Target, session: Session, hazards: Iterable[Hazard]) -> Triage:
        """Triage with all known failures pending that these hazards suffice for."""
        return cls(target, session, set(within(target.known_failures, hazards)))

    def hazards_of(self, operations: Sequence[Operation]) -> frozenset[Hazard]:
        """The hazards that a sequence uses on this target."""
        return hazards_of(operations, narrow="rollover" in self.target.hazards)

    def first_new(self, operations: tuple[Operation, ...], verdict: Verdict) -> Finding | None:
        """The first finding of a verdict that is new under the hazards of this sequence."""
        hazards = self.hazards_of(operations)
        return next((finding for finding in verdict if self.is_new(finding, hazards)), None)

    def is_new(self, finding: Finding, hazards: frozenset[Hazard]) -> bool:
        """Whether a finding is worth an investigation; an iteration that was not judged to its end is not.

        A finding is new if no known failure explains it under these hazards, or only known failures that no case has shown
        yet, and if it was not investigated before with these hazards. If a case has shown one of several known failures that
        explain it, it is left alone: shrinking would nearly always end with that one. So is a finding that only a known
        failure with another signature explains: shrinking keeps the signature.
        """
        if finding.kind == "incomplete" or (finding.signature, hazards) in self.investigated:
            return False
        explanations = explaining(self.target.known_failures, finding.signature, hazards)
        can_show = not explanations or any(failure.signature == finding.signature for failure in explanations)
        return can_show and self.pending.issuperset(explanations)

    def investigate(self, operations: tuple[Operation, ...], slots: int, finding: Finding) -> TriagedFinding | None:
        """Reproduce the finding, shrink it, and classify it.

        None where a known failure explains it, and this is not the first case to show that one by its hazards alone.
        """
        drawn_key = (finding.signature, self.hazards_of(operations))
        self.investigated.add(drawn_key)

        reruns = RERUNS if self.target.is_real else 1
        length = len(operations)
        if drawn_finding := self._found(finding, operations, slots, length, 0, reruns, cut_short=True):
            self.drawn(drawn_finding)
        fails = fails_as(finding, self.target, self.session)
        reproduced = 0
        is_shortest = False
        try:
            reproduced = sum(fails(operations, slots) for _ in range(reruns))
            if reproduced:
                operations, slots = minimize(operations, slots, fails, patience=self.patience)
                is_known = drawn_finding is None or drawn_finding.known_failure is not None
                shown = (finding.signature, self.hazards_of(operations))
                # A known failure that other findings were shrunk to before has been searched.
                if not is_known or shown == drawn_key or shown not in self.investigated:
                    operations, slots, is_shortest = searched(
                        operations,
                        slots,
                        finding,
                        self.target,
                        fails,
                        self.patience,
                        states_max=STATES_MAX_KNOWN if is_known else STATES_MAX,
                    )
        except KeyboardInterrupt:
            self.patience.interrupt()
        self.investigated.add((finding.signature, self.hazards_of(operations)))
        found = self._found(
            finding, operations, slots, length, reproduced, reruns, shortest=is_shortest, cut_short=self.patience.ended
        )
        if found is not None and found.known_failure is not None:
            self.pending.remove(found.known_failure)
        return found

    def _found(
        self,
        finding: Finding,
        operations: tuple[Operation, ...],
        slots: int,
        drawn: int,
        reproduced: int,
        reruns: int,
        *,
        shortest: bool = False,
        cut_short: bool,
    ) -> TriagedFinding | None:
        hazards = self.hazards_of(operations)
        known_failure = None
        if explanations := explaining(self.target.known_failures, finding.signature, hazards):
            # Only a case with the hazards of the known failure alone, and with nothing nearer, shows that they suffice.
            shown = (finding.signature, hazards)
            known_failure = next(
                (failure for failure in explanations if (failure.signature, failure.hazards) == shown),
                None,
            )
            if known_failure is None and cut_short:
                known_failure = explanations[0]
            if known_failure not in self.pending:
                return None
        case = Case(operations, slots)
        return TriagedFinding(
            self.target.name,
            finding.kind,
            finding.moved,
            case,
            hazards,
            known_failure,
            drawn,
            reproduced,
            reruns,
            shortest,
            finding.elsewhere,
            cut_short,
        )


def shrunk(
    operations: tuple[Operation, ...],
    slots: int,
    finding: Finding,
    target: Target,
    fails: Fails,
    patience: Patience | None = None,
) -> tuple[tuple[Operation, ...], int, bool]:
    """The least sequence that fails as this one does, its slots, and whether it is certain that none is shorter. Where
    `patience` ends, the least so far."""
    patience = patience or Patience()
    return searched(*minimize(operations, slots, fails, patience=patience), finding, target, fails, patience)


def searched(
    operations: tuple[Operation, ...],
    slots: int,
    finding: Finding,
    target: Target,
    fails: Fails,
    patience: Patience,
    *,
    states_max: int = STATES_MAX,
) -> tuple[tuple[Operation, ...], int, bool]:
    """The shortest sequence that fails as this one does, its slots, and whether that is certain: of a scheme this can be
    searched, in so many states, of a running kernel not."""
    if isinstance(target, SchemeTarget) and target.slots is None and not patience.ended:
        return shortest(target.scheme, operations, slots, finding.signature, fails, patience=patience, states_max=states_max)
    return operations, slots, False


def fails_as(finding: Finding, target: Target, session: Session) -> Fails:
    """A predicate for sequences: whether one leads to a finding with the same signature.

    So shrinking never turns a rare defect into a common one of the same kind: the skip of a socket in whose bucket nothing
    changes stays apart from that of a neighbour of the socket that closes.
    """

    def fails(operations: tuple[Operation, ...], slots: int) -> bool:
        try:
            verdict = judge(run(session, target, operations, slots=slots))
        except Inconclusive:
            return False
        return any(found.signature == finding.signature for found in verdict)

    return fails
