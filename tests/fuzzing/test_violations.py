"""The state machine has an exception for every kind of finding."""

from __future__ import annotations

from sockiter.fuzzing.violations import VIOLATION, Violation
from sockiter.verdict import VIOLATIONS


def test_every_kind_of_new_finding_has_an_exception() -> None:
    assert set(VIOLATION) == {*VIOLATIONS, "refused"}
    assert len(set(VIOLATION.values())) == len(VIOLATION)
    assert all(issubclass(violation, Violation) for violation in VIOLATION.values())
