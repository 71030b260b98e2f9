"""The operations per second of each driver, on the same simulation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from pytest_benchmark.fixture import BenchmarkFixture

from sockiter.claims import Hazard
from sockiter.fuzzing.drivers import Bite, drive_hypothesis, drive_swarm
from sockiter.fuzzing.machine import SocketMachine, machine_for
from sockiter.fuzzing.triage import Triage
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from tests.benchmarks.naive import NaiveMachine, naive_machine

TARGET = SchemeTarget(OffsetUdp())
HAZARDS: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove"})
SEEDS = count(1)

Ratio = Callable[[str, Callable[[], float], Callable[[], float], float], float]


Rates = tuple[float, float]
"""Sequences and operations in a second of processor time."""


def quiet_triage() -> Triage:
    """A triage that finds nothing new, so that rates are those of running and judging alone."""
    return Triage(TARGET, TARGET)


def driven(bites: Iterator[Bite], seconds: float) -> Rates:
    """The rates of a driver, over at least so many seconds."""
    sequences = operations = 0
    started = time.process_time()
    while (took := time.process_time() - started) < seconds:
        bite = next(bites)
        sequences += bite.sequences
        operations += bite.operations
    return sequences / took, operations / took


def run_as_it_is(machine: type[NaiveMachine] | type[SocketMachine]) -> Rates:
    """The rates of a machine over 100 runs, with the number of steps that Hypothesis has by itself."""
    profile = settings(
        max_examples=100,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),  # as every machine's own TestCase has it
    )
    machine.sequences = machine.applied = 0
    started = time.process_time()
    run_state_machine_as_test(seed(next(SEEDS))(machine), settings=profile)
    took = time.process_time() - started
    return machine.sequences / took, machine.applied / took


def naive() -> Rates:
    return run_as_it_is(naive_machine(TARGET))


def test_swarm_makes_thirty_times_the_operations_of_a_naive_machine(ratio: Ratio) -> None:
    bites = drive_swarm(quiet_triage(), HAZARDS, "1")

    assert ratio("operations a second, swarm against naive", lambda: driven(bites, 0.3)[1], lambda: naive()[1], 30) >= 30


def test_the_projects_machine_makes_a_third_of_the_operations_of_a_naive_one_over_as_many_steps(ratio: Ratio) -> None:
    # It judges every read, draws names and ends from the present sockets, and has rules that are switched off.
    machine = machine_for(quiet_triage(), HAZARDS)
    what = "operations a second, machine against naive, as many steps"

    assert ratio(what, lambda: run_as_it_is(machine)[1], lambda: naive()[1], 0.33) >= 0.33


def test_hypothesis_as_it_is_driven_runs_half_as_many_sequences_as_a_naive_machine(ratio: Ratio) -> None:
    # It is driven in short runs, which find things sooner than long ones with more operations a second. It makes about as
    # many sequences; the floor leaves room for a noisy machine.
    bites = drive_hypothesis(quiet_triage(), HAZARDS, "1")

    ratio("operations a second, machine as driven against naive", lambda: driven(bites, 0.5)[1], lambda: naive()[1], 0)
    what = "sequences a second, machine as driven against naive"
    assert ratio(what, lambda: driven(bites, 0.5)[0], lambda: naive()[0], 0.5) >= 0.5


def test_a_bite_of_swarm(benchmark: BenchmarkFixture) -> None:
    bites = drive_swarm(quiet_triage(), HAZARDS, "1")

    assert benchmark(lambda: next(bites)).found is None


def test_swarm_runs_a_thousand_sequences_a_second_on_the_kernel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = KERNEL_UDP
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    # The kernel's failures are of no interest here, so no finding is new.
    monkeypatch.setattr(Triage, "first_new", lambda triage, operations, verdict: None)
    rates = []
    with target.session() as session:
        bites = drive_swarm(Triage(target, session), target.hazards, "1")
        for _ in range(5):
            sequences = 0
            started = time.perf_counter()
            while (took := time.perf_counter() - started) < 1:
                sequences += next(bites).sequences
            rates.append(sequences / took)
    with capsys.disabled():
        print(f"\nsequences a second, swarm on kernel:udp: {sorted(rates)[2]:,.0f} (floor 1000)", end="")
    assert sorted(rates)[2] >= 1000
