"""The two drivers, which feed sequences to triage: swarm's plain loop, and Hypothesis's state machine.

Each driver runs without end or for a number of sequences, in bites, so that the caller can check the time between them.
Triage handles the findings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Protocol

from sockiter.claims import Hazard
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.fuzzing.violations import Violation
from sockiter.oracle import judge

# The sequences of a bite: about 20 ms on models, somewhat more on a kernel.
SWARM_BITE = 500
SWARM_BITE_REAL = 50
HYPOTHESIS_BITE = 100
# Twice the usual length of a minimal case. Later steps are mostly behind the end of the iteration.
HYPOTHESIS_STEPS = 12


@dataclass(frozen=True, slots=True)
class Bite:
    """A number of sequences, their number of operations, and a finding, if there is one."""

    sequences: int
    operations: int
    found: TriagedFinding | None = None


class Driver(Protocol):
    """Runs sequences with these hazards, drawn from this seed, on the target of the triage."""

    def __call__(
        self, triage: Triage, hazards: frozenset[Hazard], seed_text: str, sequences_max: float = math.inf, /
    ) -> Iterator[Bite]:
        """The bites of so many sequences, or bites without end."""


def drive_swarm(
    triage: Triage, hazards: frozenset[Hazard], seed_text: str, sequences_max: float = math.inf
) -> Iterator[Bite]:
    """Run sequences from `Swarm`; half of them aim at pending known failures, which no case has shown yet."""
    room = Room.of(triage.target)
    swarm = Swarm(seed_text, hazards, room)
    begin = triage.session.begin
    shapes = {slots: room.shape(slots) for slots in room.slots_drawn}
    bite = SWARM_BITE_REAL if triage.target.is_real else SWARM_BITE
    left = sequences_max
    while left > 0:
        swarm.aims = sorted((known_failure.hazards for known_failure in triage.pending), key=sorted)
        sequences = operations = 0
        found = None
        while sequences < min(bite, left) and found is None:
            sequence, slots = swarm.sequence()
            sequences += 1
            backend = begin(shapes[slots])
            try:
                for op in sequence:
                    backend.apply(op)
            except Inconclusive:
                continue
            finally:
                backend.close()
            operations += len(sequence)
            if (verdict := judge(backend.history)) and (finding := triage.first_new(sequence, verdict)):
                found = triage.investigate(sequence, slots, finding)
        left -= sequences
        yield Bite(sequences, operations, found)
        if triage.patience.interrupted:
            raise KeyboardInterrupt


def drive_hypothesis(
    triage: Triage, hazards: frozenset[Hazard], seed_text: str, sequences_max: float = math.inf
) -> Iterator[Bite]:
    """Run the state machine again and again, each time with a new seed and a new engine.

    Every second run has only the hazards of a pending known failure, which no case has shown yet. Every fourth run uses the
    target's features. Hypothesis neither shrinks nor stores: the first new finding ends a run, and `Triage.investigate` does
    the rest.
    """
    # Here, since these imports are slow. Searches of models do without them.
    from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    from sockiter.fuzzing.machine import machine_for

    random = Random(seed_text)
    profile = settings(
        max_examples=HYPOTHESIS_BITE,
        stateful_step_count=HYPOTHESIS_STEPS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        # This check measures time, and the same seed must give the same run.
        suppress_health_check=[HealthCheck.too_slow],
    )
    # Hypothesis keeps data for every machine class that it ever ran.
    machines: dict[tuple[frozenset[Hazard], bool], Any] = {}
    left = sequences_max
    runs = count()
    while left > 0:
        run = next(runs)
        aims = sorted((known_failure.hazards for known_failure in triage.pending), key=sorted) if run % 2 else []
        on = random.choice(aims) if aims else hazards
        has_features = run % 4 == 2
        if (on, has_features) not in machines:
            features = triage.target.features if has_features else frozenset()
            machines[on, has_features] = machine_for(triage, on, features=features)
        machine = machines[on, has_features]
        machine.sequences = machine.applied = 0
        found = None
        bite = settings(profile, max_examples=int(min(HYPOTHESIS_BITE, left)))
        try:
            run_state_machine_as_test(seed(random.getrandbits(64))(machine), settings=bite)
        except Violation as violation:
            found = triage.investigate(violation.operations, violation.slots, violation.finding)
        # One that ends in a violation is not always counted.
        left -= max(machine.sequences, 1)
        yield Bite(machine.sequences, machine.applied, found)
        if triage.patience.interrupted:
            raise KeyboardInterrupt


FASTEST = "swarm"
"""The driver with the most sequences a second."""
DRIVERS: dict[str, Driver] = {"hypothesis": drive_hypothesis, "swarm": drive_swarm}
