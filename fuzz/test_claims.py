"""Claims hold: no target does what it does not admit.

Under all hazards together, under each alone, and under the largest sets of them for which it claims something: a sequence
that uses everything rarely says anything of a claim that is void where everything is used.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from sockiter.backend import Target
from sockiter.claims import Hazard, in_order, largest_claims
from sockiter.hunt import Hunt
from sockiter.machine import Violation, machine_for
from sockiter.targets import TARGETS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every target, with all its hazards, without those that void a claim, and with each alone.

    Not by the mark: Hypothesis's plugin takes a marked test for one of @given, which a state machine's is not.
    """
    runs = []
    for target in TARGETS:
        runs.append(pytest.param(target, target.hazards, id=f"{target.name}-all"))
        for hazards in largest_claims(target.harms, target.hazards):
            if left_out := in_order(target.hazards - hazards):
                runs.append(pytest.param(target, hazards, id=f"{target.name}-without-{'-'.join(left_out)}"))
        for hazard in in_order(target.hazards):
            runs.append(pytest.param(target, frozenset({hazard}), id=f"{target.name}-{hazard}"))
    metafunc.parametrize(("target", "hazards"), runs)


def test_claims_hold(
    target: Target,
    hazards: frozenset[Hazard],
    here: Callable[[Target], None],
    keep: Callable[[Hunt, Violation], str],
) -> None:
    here(target)
    with target.session() as session:
        hunt = Hunt(target, session)  # nothing is pending: only what breaks a claim is news
        machine = machine_for(hunt, hazards)
        machine.watches = True  # --hypothesis-show-statistics then tells how often each situation was come to
        try:
            run_state_machine_as_test(machine, settings=settings())
        except Violation as violation:
            pytest.fail(keep(hunt, violation), pytrace=False)


# What Hypothesis's pytest plugin looks for, to count this run in --hypothesis-show-statistics.
test_claims_hold.is_hypothesis_test = True  # type: ignore[attr-defined]
