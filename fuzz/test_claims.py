"""Claims hold: every failure of a target is a known failure.

Each target has one state machine with all its hazards, and one for each hazard alone. It also has one for each of its
claims, under a largest set of hazards for which the target makes the claim. A sequence with all hazards rarely tests a
claim that holds only under some of them. A hazard alone gets half of the examples, since the sets of the claims include
it. The state machines are `TestCase` classes, collected like those of any state machine.
"""

from __future__ import annotations

import os
import re
from unittest import TestCase

import pytest
from hypothesis import settings
from sessions import LateSession

from sockiter.backend import Target
from sockiter.claims import Hazard
from sockiter.fuzzing.machine import machine_for
from sockiter.fuzzing.triage import Triage
from sockiter.targets import TARGETS
from sockiter.testing.machines import runs


def case_of(target: Target, run: str, hazards: frozenset[Hazard]) -> type[TestCase]:
    """The test case of a target under these hazards, named after both: OffsetUdp_add_head, KernelUdp_all."""
    target_name = "".join(word.capitalize() for word in re.split(r"\W+", target.name))
    # No known failure is pending: only a broken claim is a new finding.
    machine = machine_for(Triage(target, LateSession(target)), hazards, f"{target_name}_{run.replace('-', '_')}")
    machine.measures_coverage = True  # --hypothesis-show-statistics then reports how often each coverage goal was reached
    machine.TestCase.settings = settings(max_examples=settings().max_examples // (2 if len(hazards) == 1 else 1))
    return machine.TestCase


for _target in TARGETS:
    _missing = None if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else _target.missing()
    for _run, _hazards in runs(_target):
        _case = case_of(_target, _run, _hazards)
        if _missing is not None:
            _case = pytest.mark.skip(reason=f"{_target.name}: {_missing}")(_case)
        globals()[_case.__name__.removesuffix(".TestCase")] = _case
del _case
