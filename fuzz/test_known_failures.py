"""Known failures happen: for every known failure of a target, a sequence of just its hazards shows it.

Without this, a claim could be as narrow as one likes, and a fuzzer that finds nothing would pass. The state machine has as
many tries as the profile gives it; what it has not shown by then, the plain loop has to.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

import pytest
from hypothesis import settings
from profiles import PROFILES

from sockiter.backend import Target
from sockiter.claims import KnownFailure
from sockiter.fuzzing.drivers import HYPOTHESIS_BITE, drive_hypothesis, drive_swarm
from sockiter.fuzzing.triage import Triage
from sockiter.targets import TARGETS

# Met once in some 300,000 sequences: eleven operations in one order, or moves just when versions roll over.
# The search has shown them; tests/cases has them.
TOO_RARE = {
    ("cookie-udp", "skip under rehash, realloc"),
    ("index-detect", "repeat (elsewhere) under rehash, rollover"),
}
# Shown by swarm alone, since 550 runs of the state machine did not; all else is first left to the state machine.
_GROWTH = (
    "a batch has to grow, or to be refused that, while sockets move; several operations to a rule did not show it either"
)
BY_SWARM = {
    ("offset-udp", "repeat under rehash"): "a socket has to come to the head of the bucket that is being read",
    ("unix", "repeat under add-head, realloc"): _GROWTH,
    ("unix", "repeat under reinsert, enomem"): _GROWTH,
    ("unix", "repeat under rehash, enomem"): _GROWTH,
    ("unix", "repeat under add-tail, reinsert, realloc"): _GROWTH,
}
# Found within 20 of them in every one of many runs; a harm that needs more is drawn too thinly.
SWARM_BITES = 100
# Sequences of the state machine for each of the profile's examples: what is rare takes more than what is not. A developer's
# are less than one bite, and leave it all to the plain loop.
SEQUENCES_AN_EXAMPLE = 3


def is_exact(target: Target) -> bool:
    """Whether all known failures of a target are expected to happen.

    Of an iterator of the kernel that walks by no scheme, or whose buckets have no tail as its scheme's do, it is only said
    that nothing else happens.
    """
    return not target.is_real or (target.detected_scheme is not None and target.has_tail)


_KNOWN_FAILURES = [
    pytest.param(target, known_failure, id=f"{target.name}-{known_failure}")
    for target in TARGETS
    if is_exact(target)
    for known_failure in target.known_failures
    if (target.name, str(known_failure)) not in TOO_RARE
]


@pytest.mark.parametrize(("target", "known_failure"), _KNOWN_FAILURES)
def test_known_failures_happen(target: Target, known_failure: KnownFailure, here: Callable[[Target], None]) -> None:
    here(target)
    if "rollover" in known_failure.hazards and settings().max_examples < PROFILES["ci"]:
        pytest.skip("hundreds of insertions in a sequence: takes the profile ci")
    name = f"{target.name}: {known_failure}"
    with target.session() as session:
        triage = Triage(target, session, {known_failure})
        tries = settings().max_examples * SEQUENCES_AN_EXAMPLE // HYPOTHESIS_BITE
        by_swarm = (target.name, str(known_failure)) in BY_SWARM
        bites = chain(
            islice(drive_hypothesis(triage, known_failure.hazards, name), 0 if by_swarm else tries),
            islice(drive_swarm(triage, known_failure.hazards, name), SWARM_BITES),
        )
        sequences = 0
        for bite in bites:
            sequences += bite.sequences
            if bite.found is not None and bite.found.known_failure == known_failure:
                assert bite.found.hazards == known_failure.hazards
                return
    pytest.fail(f"{target.name} did not {known_failure} in {sequences} sequences, although it admits it")
