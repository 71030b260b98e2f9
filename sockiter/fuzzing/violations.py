"""The exceptions with which the state machine raises new findings, since Hypothesis needs exceptions."""

from __future__ import annotations

from sockiter.fuzzing.triage import Triage
from sockiter.operations import Operation
from sockiter.verdict import Finding, Kind, Verdict


class Violation(AssertionError):
    """A new finding on a target, with the triage, the sequence and slots, the whole verdict, and the finding."""

    def __init__(
        self, triage: Triage, operations: tuple[Operation, ...], slots: int, verdict: Verdict, finding: Finding
    ) -> None:
        super().__init__(str(finding))
        self.triage = triage
        self.operations = operations
        self.slots = slots
        self.verdict = verdict
        self.finding = finding


class Skipped(Violation):
    """A socket was not delivered."""


class Repeated(Violation):
    """A socket was delivered more than once."""


class Stale(Violation):
    """A socket was delivered that was not in the table."""


class Stuck(Violation):
    """The iteration did not end."""


class Refused(Violation):
    """A read returned an error."""


VIOLATION: dict[Kind, type[Violation]] = {
    "skip": Skipped,
    "repeat": Repeated,
    "stale": Stale,
    "stuck": Stuck,
    "refused": Refused,
}
