"""State machines for pytest and Hypothesis's tools to collect: which there are for a target, and one for a scheme."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import TestCase

from hypothesis import settings

from sockiter.backend import Target
from sockiter.claims import Hazard, in_order, largest_claims
from sockiter.fuzzing.machine import machine_for
from sockiter.fuzzing.triage import Triage
from sockiter.plugins import checked
from sockiter.schemes.scheme import AnyScheme

EXAMPLES_MIN = 5
"""The examples of each machine, at least."""


def runs(target: Target) -> Iterator[tuple[str, frozenset[Hazard]]]:
    """The sets of hazards that a target is fuzzed under, each with a name: all, those of each claim, and each alone."""
    yield "all", target.hazards
    for hazards in largest_claims(target.known_failures, target.hazards):
        if left_out := in_order(target.hazards - hazards):
            yield f"without_{'_'.join(left_out)}", hazards
    for hazard in in_order(target.hazards):
        yield hazard, frozenset({hazard})


def fuzz_case(scheme: AnyScheme) -> type[TestCase]:
    """The `TestCase` class of a scheme's state machine, under all its hazards.

    A module that has it as `TestMachine = fuzz_case(MyScheme())` is collected by pytest, and by HypoFuzz.
    """
    target = checked(scheme)
    machine = machine_for(Triage(target, target), target.hazards, target.name, features=target.features)
    machine.TestCase.settings = settings()
    return machine.TestCase
