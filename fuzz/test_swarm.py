"""Claims hold in the plain loop, which runs many times as many sequences as the state machine in the same time."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

import pytest
from hypothesis import settings

from sockiter.backend import Session, Target
from sockiter.fuzzing.drivers import drive_swarm
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.targets import TARGETS

# For each of the profile's examples, which are few and slow. An iteration of a real kernel is slow too.
SEQUENCES = 200
SEQUENCES_REAL = 10


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_swarm_breaks_no_claim(
    target: Target,
    here: Callable[[Target], None],
    keep: Callable[[TriagedFinding, Session, str, str], str],
    request: pytest.FixtureRequest,
) -> None:
    here(target)
    seed = request.config.getoption("--hypothesis-seed") or f"{SystemRandom().getrandbits(32)}"
    left = settings().max_examples * (SEQUENCES_REAL if target.is_real else SEQUENCES)
    with target.session() as session:
        # No known failure is pending: only a broken claim is a new finding.
        triage = Triage(target, session)
        for bite in drive_swarm(triage, target.hazards, f"{seed}/{target.name}"):
            if bite.found is not None:
                pytest.fail(keep(bite.found, session, "swarm", f"{seed}/{target.name}"))
            left -= bite.sequences
            if left <= 0:
                break
