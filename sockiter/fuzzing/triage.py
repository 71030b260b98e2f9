"""Triage: decides which findings of one target are new, and turns a new finding into a case.

A new finding is reproduced, shrunk, and classified: it breaks a claim, or a known failure explains it.
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
from sockiter.targets import scheme_of
from sockiter.verdict import Finding, Kind, Signature, Verdict

# The number of reruns of a finding's sequence on a running kernel before shrinking. A model needs no rerun.
RERUNS = 5
# The state limit of the search for a shortest case of a known failure. Most are found within some hundred states; more
# time is better spent on sequences that may break a claim. A limit in states makes the same run find the same cases.
STATES_MAX_KNOWN = 4_000


FindingKey: TypeAlias = tuple[Signature, frozenset[Hazard]]
"""The identity of a finding, for the decision whether it is new: its signature, and the hazards of the sequence."""


@dataclass(frozen=True, slots=True)
class TriagedFinding:
    """A finding with its shrunk case, the hazards of that case, and its relation to the target's claims.

    `known_failure`: the known failure of the target that explains it; None: it breaks a claim. `reproduced` of `reruns`
    runs of the drawn sequence had the finding again; a case that was never reproduced is the drawn sequence, not shrunk.
    `shortest`: no shorter case has the same failure, with its hazards and with as many sockets at once, buckets and
    slots. `cut_short`: shrinking was stopped by the time limit, so several known failures may explain it.
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
        """The stem of its file name."""
        return self._shown.stem(self.target)

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    @property
    def _shown(self) -> KnownFailure:
        # The known failure, or an unknown one of the same signature and hazards.
        return KnownFailure(self.kind, self.hazards, self.moved, self.elsewhere)


@dataclass(slots=True)
class Triage:
    """One target, in its own session, and the findings on it that were investigated.

    A finding is new once for each set of hazards: a claim can be broken under few hazards and void under many. `pending`:
    the known failures that no case has shown yet. `drawn` is called with each finding before it is shrunk; `patience`
    limits the shrinking.
    """

    target: Target
    session: Session
    pending: set[KnownFailure] = field(default_factory=set)
    investigated: set[FindingKey] = field(default_factory=set)
    patience: Patience = field(default_factory=Patience)
    drawn: Callable[[TriagedFinding], None] = lambda found: None

    @classmethod
    def of(cls, target: Target, session: Session, hazards: Iterable[Hazard]) -> Triage:
        """A triage in which all known failures under these hazards are pending."""
        return cls(target, session, set(within(target.known_failures, hazards)))

    def hazards_of(self, operations: Sequence[Operation]) -> frozenset[Hazard]:
        """The hazards that a sequence uses on this target."""
        return hazards_of(operations, narrow="rollover" in self.target.hazards)

    def first_new(self, operations: tuple[Operation, ...], verdict: Verdict) -> Finding | None:
        """The first finding of a verdict that is new under the hazards of this sequence."""
        hazards = self.hazards_of(operations)
        return next((finding for finding in verdict if self.is_new(finding, hazards)), None)

    def is_new(self, finding: Finding, hazards: frozenset[Hazard]) -> bool:
        """Whether a finding is worth an investigation; an incomplete iteration is not.

        A finding is new if it was not investigated before with these hazards, and either no known failure explains it, or
        only pending ones do. If a case has already shown one of the known failures that explain the finding, it is
        skipped: shrinking would nearly always end with that one. A finding that only a known failure of another signature
        explains is also skipped: shrinking keeps the signature.
        """
        if finding.kind == "incomplete" or (finding.signature, hazards) in self.investigated:
            return False
        explanations = explaining(self.target.known_failures, finding.signature, hazards)
        can_show = not explanations or any(failure.signature == finding.signature for failure in explanations)
        return can_show and self.pending.issuperset(explanations)

    def investigate(self, operations: tuple[Operation, ...], slots: int, finding: Finding) -> TriagedFinding | None:
        """Reproduce the finding, shrink it, and classify it.

        None if a known failure explains it, and this is not the first case for that known failure with only its hazards.
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
                # For a known failure that other findings were shrunk to before, the search is already done.
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
            # Only a case with just the hazards of the known failure, and with no change nearby, shows that they suffice.
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
    """The simplest sequence with the same failure, its slots, and whether no shorter one exists for certain.

    If `patience` ends, the simplest sequence so far."""
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
    """The shortest sequence with the same failure, its slots, and whether it is certainly the shortest.

    A search with a limit of states decides this for a scheme; for a running kernel it is never certain."""
    if (scheme := scheme_of(target)) is not None and target.slots is None and not patience.ended:
        return shortest(scheme, operations, slots, finding.signature, fails, patience=patience, states_max=states_max)
    return operations, slots, False


def fails_as(finding: Finding, target: Target, session: Session) -> Fails:
    """A predicate for sequences: whether a sequence leads to a finding with the same signature.

    So shrinking never turns a rare defect into a common one of the same kind. For example, a skip without any change in
    the socket's bucket is different from a skip next to a closed socket.
    """

    def fails(operations: tuple[Operation, ...], slots: int) -> bool:
        try:
            verdict = judge(run(session, target, operations, slots=slots))
        except Inconclusive:
            return False
        return any(found.signature == finding.signature for found in verdict)

    return fails
