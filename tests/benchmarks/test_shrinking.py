"""Shrinking to a shortest case: swarm and `minimize` against a naive machine that Hypothesis shrinks."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sockiter.claims import Hazard, KnownFailure, known_failure
from sockiter.fuzzing.drivers import Driver, drive_hypothesis, drive_swarm
from sockiter.fuzzing.triage import Triage
from sockiter.operations import length
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from tests.benchmarks.naive import NaiveViolation, naive_machine

TARGET = SchemeTarget(OffsetUdp())
HAZARDS: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove"})
SEEDS = 20
# The yardstick takes some ten seconds for each of its seeds.
NAIVE_SEEDS = 4

Sample = tuple[float, int]
"""Seconds of processor time from the start to a least case, and the operations in that."""


def driven(driver: Driver, sought: KnownFailure, number: int) -> Sample:
    started = time.process_time()
    triage = Triage(TARGET, TARGET, {sought})
    for bite in driver(triage, HAZARDS, str(number)):
        if bite.found is not None and bite.found.known_failure == sought:
            return time.process_time() - started, length(bite.found.case.operations)
    raise AssertionError


def naively(sought: KnownFailure, number: int) -> Sample:
    profile = settings(
        max_examples=10_000,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),  # as every machine's own TestCase has it
    )
    started = time.process_time()
    with pytest.raises(NaiveViolation) as caught:
        run_state_machine_as_test(seed(number)(naive_machine(TARGET, sought.kind)), settings=profile)
    return time.process_time() - started, length(caught.value.operations)


@pytest.mark.parametrize("sought", [known_failure("skip", "remove"), known_failure("repeat", "add-head")], ids=str)
def test_a_least_case_comes_a_hundred_times_sooner_and_is_no_longer(
    sought: KnownFailure, tell: Callable[[str], None]
) -> None:
    sides: tuple[list[Sample], list[Sample], list[Sample]] = ([], [], [])
    for number in range(SEEDS):
        sides[0].append(driven(drive_swarm, sought, number))
        sides[1].append(driven(drive_hypothesis, sought, number))
        if number % (SEEDS // NAIVE_SEEDS) == 0:
            sides[2].append(naively(sought, number))
    swarm, machine, naive = (
        (median(seconds for seconds, _ in side), median(operations for _, operations in side)) for side in sides
    )
    for what, ours, floor in (("swarm", swarm, 100), ("machine", machine, 0)):
        tell(
            f"start to least case, {sought}, {what} against naive: {1000 * ours[0]:,.1f} against {1000 * naive[0]:,.0f} ms, "
            f"{naive[0] / ours[0]:,.1f} times (floor {floor}); {ours[1]:g} against {naive[1]:g} operations"
        )

    assert swarm[1] == machine[1] == 6 <= naive[1]
    assert naive[0] / swarm[0] >= 100
