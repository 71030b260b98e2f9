"""What is not claimed does happen: for every harm that a target admits, a sequence of just its hazards shows it.

Without this, a claim could be as narrow as one likes, and a fuzzer that finds nothing would pass.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from sockiter.backend import Target
from sockiter.claims import Harm
from sockiter.drivers import HYPOTHESIS_BITE, drive_hypothesis
from sockiter.hunt import Hunt
from sockiter.targets import TARGETS

# Found within 20 of them in every one of many runs; a harm that needs more is drawn too thinly.
BITES = 200

_HARMS = [pytest.param(target, harm, id=f"{target.name}-{harm}") for target in TARGETS for harm in target.harms]


@pytest.mark.parametrize(("target", "harm"), _HARMS)
def test_what_is_admitted_happens(target: Target, harm: Harm, here: Callable[[Target], None]) -> None:
    here(target)
    with target.session() as session:
        hunt = Hunt(target, session, {harm})
        for bite in islice(drive_hypothesis(hunt, harm.hazards, f"{target.name}: {harm}"), BITES):
            if bite.found is not None and bite.found.harm == harm:
                assert bite.found.hazards == harm.hazards
                return
    pytest.fail(f"{target.name} did not {harm} in {BITES * HYPOTHESIS_BITE} sequences, although it admits it")
