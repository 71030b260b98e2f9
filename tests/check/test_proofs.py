"""The claims of each scheme, proved by search: for sequences of any length, with each hazard alone, and with all of them.

The scopes are one bucket with 5 sockets, and two buckets with 4. With all hazards at once these searches take minutes. So
they have 3 sockets here; `tox -e explore` runs them in full.
"""

from __future__ import annotations

import functools

import pytest

from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.claims import MOVES, Hazard, in_order, within
from sockiter.matrix.matrix import ALL, NONE, SIGNATURES, Cell, Column, claims, verdicts
from sockiter.simulation import SchemeTarget
from sockiter.targets import SCHEME_TARGETS
from sockiter.verdict import Signature

SCHEMES = [target for target in SCHEME_TARGETS if isinstance(target, SchemeTarget)]
ONE_BUCKET, TWO_BUCKETS, THREE_BUCKETS = Scope(5, 1, 2), Scope(4, 2, 2), Scope(3, 3, 1)
SCOPES = pytest.mark.parametrize(
    "scope",
    [Scope(3, 1, 2), *(pytest.param(scope, marks=pytest.mark.deep) for scope in (ONE_BUCKET, TWO_BUCKETS))],
    ids=lambda scope: f"{scope.sockets}-sockets-{scope.buckets}-buckets",
)
EVERY_SCHEME = pytest.mark.parametrize("target", SCHEMES, ids=lambda target: target.name)
# These take a minute where others take seconds: where narrow versions roll over, every index is a state of its own.
WITHOUT_THE_LARGEST = pytest.mark.parametrize(
    "target",
    [
        pytest.param(
            target,
            marks=[pytest.mark.deep]
            * (target.name in {"index-narrow", "index-detect", "index-snapshot", "cookie-tcp", "offset-tcp"}),
        )
        for target in SCHEMES
    ],
    ids=lambda target: target.name,
)
# Many moments inside a read, each with a batch in hand, or two tables.
LARGE = {"index", "index-snapshot", "index-narrow", "index-detect", "removal-count", "restart", "cookie-tcp", "offset-tcp"}


pytestmark = pytest.mark.slow


def happens(target: SchemeTarget, column: Column, scope: Scope) -> frozenset[Signature]:
    """All failures under some hazards, and none that a claim excludes."""
    return happens_in(target, column, scope.under(column.hazards))


@functools.cache
def happens_in(target: SchemeTarget, column: Column, scope: Scope) -> frozenset[Signature]:
    result = search(target.scheme, column.hazards, scope)
    assert result.complete
    assert [one.name for one in verdicts(target, Cell(column, column.hazards, result)) if one.breaks_a_claim] == []
    return frozenset(one.signature for one in result.violations)


@WITHOUT_THE_LARGEST
def test_each_hazard_alone_causes_the_known_failures_and_no_others(target: SchemeTarget) -> None:
    for column in (NONE, *(Column(hazard, frozenset({hazard})) for hazard in in_order(target.hazards))):
        known_failures = within(target.known_failures, column.hazards)
        found = happens(target, column, ONE_BUCKET) | happens(target, column, TWO_BUCKETS)
        if "rehash" in column.hazards and any(known_failure.elsewhere for known_failure in known_failures):
            # A move touches two buckets, so that it takes a third to be elsewhere.
            found |= happens(target, column, THREE_BUCKETS)
        assert {known_failure.signature for known_failure in known_failures} <= found, column.name
        assert all(any(known_failure.explains(one) for known_failure in known_failures) for one in found), column.name


@EVERY_SCHEME
def test_all_hazards_together_do_nothing_else_in_two_buckets(target: SchemeTarget) -> None:
    happens(target, Column(ALL.name, target.hazards - {"rollover"}), Scope(2, 2, 1))


@SCOPES
@EVERY_SCHEME
def test_all_hazards_together_cause_the_known_failures_and_no_others(target: SchemeTarget, scope: Scope) -> None:
    if target.name in LARGE and scope in (ONE_BUCKET, TWO_BUCKETS):
        scope = Scope(scope.sockets - 1, scope.buckets, scope.batch)
    # Where narrow versions roll over, every index is a state of its own: a minute, and more.
    hazards = target.hazards - ({"rollover"} if target.name == "index-narrow" else set())
    happens(target, Column(ALL.name, hazards), scope)


@WITHOUT_THE_LARGEST
def test_each_claim_is_kept_by_itself(target: SchemeTarget) -> None:
    for column in claims(target):
        if "rollover" not in column.hazards or target.name != "index-narrow":
            happens(target, column, Scope(3, 2, 2))


def test_the_claims_to_be_proved_leave_out_trivial_ones() -> None:
    def says_nothing(target: SchemeTarget, hazards: frozenset[Hazard]) -> bool:
        admitted = within(target.known_failures, hazards)
        return not hazards & MOVES and all(
            any(known_failure.explains(one) for known_failure in admitted)
            for one in SIGNATURES
            if not one.moved and any(known_failure.explains(one) for known_failure in target.known_failures)
        )

    for target in SCHEMES:
        assert [column.name for column in claims(target) if says_nothing(target, column.hazards)] == []
