"""Tests for a scheme, in a package of its own: fuzz, proof, known failures, and the canonical form."""

from sockiter.testing.checks import (
    ClaimBroken,
    SchemeTests,
    assert_canonical_form_is_sound,
    assert_claims_are_proved,
    assert_claims_hold,
    assert_known_failures_happen,
    assert_nothing_new_is_fuzzed,
)

__all__ = [
    "ClaimBroken",
    "SchemeTests",
    "assert_canonical_form_is_sound",
    "assert_claims_are_proved",
    "assert_claims_hold",
    "assert_known_failures_happen",
    "assert_nothing_new_is_fuzzed",
]
