"""The time in which each driver refutes each known failure, by scheme and kind, from a cold start with all hazards.

Prints the rows of docs/measurements/time-to-refute.md. The time includes shrinking: it ends with the shortest case.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median, quantiles

import pytest

from sockiter.fuzzing.drivers import DRIVERS
from sockiter.fuzzing.triage import Triage
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Kind

SEEDS = 20
# The limit of the median time. A seed that takes twice as long is given up, and counts as that long.
LIMIT_S = 30.0
GIVEN_UP_S = 2 * LIMIT_S

Sought = tuple[Kind, bool]
"""A kind of failure, and whether the socket that suffers it had moved."""
Took = tuple[float, float]
"""Sequences, and seconds of processor time."""


def refuted(scheme: AnyScheme, driver: str, number: int) -> dict[Sought, Took]:
    """The time until each kind was refuted for the first time, under any hazards."""
    target = SchemeTarget(scheme)
    triage = Triage.of(target, target, target.hazards)
    sought = {(known_failure.kind, known_failure.moved) for known_failure in target.known_failures}
    took: dict[Sought, Took] = {}
    sequences = 0
    started = time.process_time()
    for bite in DRIVERS[driver](triage, target.hazards, f"time to refute/{number}"):
        sequences += bite.sequences
        seconds = time.process_time() - started
        if bite.found is not None:
            took.setdefault((bite.found.kind, bite.found.moved), (sequences, seconds))
        if took.keys() >= sought:
            return took
        if seconds > GIVEN_UP_S:
            return dict.fromkeys(sought, (sequences, seconds)) | took
    raise AssertionError  # a driver never ends


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_nothing_takes_longer_than_half_a_minute_to_refute(scheme: AnyScheme, tell: Callable[[str], None]) -> None:
    for driver in sorted(DRIVERS, reverse=True):
        runs: defaultdict[Sought, list[Took]] = defaultdict(list)
        for number in range(SEEDS):
            for sought, took in refuted(scheme, driver, number).items():
                runs[sought].append(took)
        for (kind, moved), all_took in sorted(runs.items()):
            sequences, seconds = ([took[which] for took in all_took] for which in (0, 1))
            tell(
                f"| {scheme.name} | {kind}{', moved' if moved else ''} | {driver} | {median(sequences):,.0f} | "
                f"{quantiles(sequences, n=10)[-1]:,.0f} | {median(seconds):.2f} | {quantiles(seconds, n=10)[-1]:.2f} |"
            )
            assert median(seconds) <= LIMIT_S
