"""What one target has been found to do so far: which finding is news, and how news becomes a case.

Decided here: when a finding is worth following, whether it can be had again, and whether it breaks a claim or was admitted.
Not known here: which driver brought it, and where its case is kept.
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

# How often a finding on a running kernel is sought again before it is shrunk. A model needs no second run.
RERUNS = 5
# Of what a target admits, a shortest case is nice to have, and most are found in some hundred states; the time that the
# others take is better spent on sequences that may break a claim. In states, so that the same run comes to the same cases.
STATES_MAX_KNOWN = 4_000


Followed: TypeAlias = tuple[Signature, frozenset[Hazard]]
"""What makes a finding news, or not: its signature, and the hazards of the sequence."""


@dataclass(frozen=True, slots=True)
class Found:
    """A finding with the least case that shows it, the hazards of that, and what it says of the target's claims.

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
        # Admitted or not.
        return KnownFailure(self.kind, self.hazards, self.moved, self.elsewhere)


@dataclass(slots=True)
class Hunt:
    """One target, in a session of its own, and the findings on it that were followed.

    A finding is news once for each set of hazards in whose company it is met: a claim can be broken under few hazards
    that is void under many. `pending` holds what the target admits and nothing has shown yet. `drawn` is called with what is
    about to be shrunk, for which there is `patience`.
    """

    target: Target
    session: Session
    pending: set[KnownFailure] = field(default_factory=set)
    followed: set[Followed] = field(default_factory=set)
    patience: Patience = field(default_factory=Patience)
    drawn: Callable[[Found], None] = lambda found: None

    @classmethod
    def of(cls, target: Target, session: Session, hazards: Iterable[Hazard]) -> Hunt:
        """A hunt for what the target admits under these hazards, and for what it does not."""
        return cls(target, session, set(within(target.known_failures, hazards)))

    def hazards_of(self, operations: Sequence[Operation]) -> frozenset[Hazard]:
        """The hazards that a sequence uses on this target."""
        return hazards_of(operations, narrow="rollover" in self.target.hazards)

    def news(self, operations: tuple[Operation, ...], verdict: Verdict) -> Finding | None:
        """The first finding of a verdict that is worth following; an iteration that was not judged to its end is none.

        Worth it is what the target does not admit under the hazards of this sequence, or admits but has not been shown to
        do, and what was not followed before with these hazards. What one shown harm accounts for is left alone, whichever
        others might, too: shrinking would nearly always end with the one that was shown. So is what only a harm with another
        signature accounts for: shrinking keeps the signature.
        """
        hazards = self.hazards_of(operations)
        for finding in verdict:
            if finding.kind != "incomplete" and (finding.signature, hazards) not in self.followed:
                admitted = explaining(self.target.known_failures, finding.signature, hazards)
                can_show = not admitted or any(known_failure.signature == finding.signature for known_failure in admitted)
                if can_show and self.pending.issuperset(admitted):
                    return finding
        return None

    def follow(self, operations: tuple[Operation, ...], slots: int, finding: Finding) -> Found | None:
        """Have the finding again, shrink it, and tell what it is worth.

        None where the target admits it, and this is not the first case to show it by these hazards alone.
        """
        as_followed = (finding.signature, self.hazards_of(operations))
        self.followed.add(as_followed)

        reruns = RERUNS if self.target.is_real else 1
        length = len(operations)
        if as_drawn := self._found(finding, operations, slots, length, 0, reruns, cut_short=True):
            self.drawn(as_drawn)
        fails = fails_as(finding, self.target, self.session)
        reproduced = 0
        is_shortest = False
        try:
            reproduced = sum(fails(operations, slots) for _ in range(reruns))
            if reproduced:
                operations, slots = minimize(operations, slots, fails, patience=self.patience)
                is_admitted = as_drawn is None or as_drawn.known_failure is not None
                shown = (finding.signature, self.hazards_of(operations))
                # What others were shrunk to before, and is admitted, has been searched.
                if not is_admitted or shown == as_followed or shown not in self.followed:
                    operations, slots, is_shortest = searched(
                        operations,
                        slots,
                        finding,
                        self.target,
                        fails,
                        self.patience,
                        states_max=STATES_MAX_KNOWN if is_admitted else STATES_MAX,
                    )
        except KeyboardInterrupt:
            self.patience.interrupt()
        self.followed.add((finding.signature, self.hazards_of(operations)))
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
    ) -> Found | None:
        hazards = self.hazards_of(operations)
        known_failure = None
        if admitted := explaining(self.target.known_failures, finding.signature, hazards):
            # Only a case with no other hazard than those of the harm, and with nothing nearer, shows that they suffice.
            shown = (finding.signature, hazards)
            known_failure = next(
                (known_failure for known_failure in admitted if (known_failure.signature, known_failure.hazards) == shown),
                None,
            )
            if known_failure is None and cut_short:
                known_failure = admitted[0]
            if known_failure not in self.pending:
                return None
        case = Case(operations, slots)
        return Found(
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
    """A predicate for sequences: whether one comes to a finding with the same signature.

    So shrinking never turns a rare defect into a common one of the same kind: the skip of a socket in whose bucket nothing
    changes stays apart from that of a neighbour of the socket that closes.
    """

    def fails(operations: tuple[Operation, ...], slots: int) -> bool:
        try:
            verdict = judge(run(session, target, operations, slots=slots))
        except Inconclusive:
            return False
        return any(other.signature == finding.signature for other in verdict)

    return fails
