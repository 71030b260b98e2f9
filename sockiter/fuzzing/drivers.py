"""The two drivers, which feed sequences to triage: swarm's plain loop, and Hypothesis's state machine.

Each driver runs without end, in bites, so that the caller can check the time between them. Triage handles the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from hypothesis import Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sockiter.claims import Hazard
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.machine import Violation, machine_for
from sockiter.fuzzing.swarm import Swarm
from sockiter.fuzzing.triage import Triage, TriagedFinding
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


Driver: TypeAlias = Callable[[Triage, frozenset[Hazard], str], Iterator[Bite]]
"""Runs sequences with these hazards, drawn from this seed, on the target of the triage, without end."""


def drive_swarm(triage: Triage, hazards: frozenset[Hazard], seed_text: str) -> Iterator[Bite]:
    """Run sequences from `Swarm`; half of them aim at pending known failures, which no case has shown yet."""
    room = Room.of(triage.target)
    swarm = Swarm(seed_text, hazards, room)
    begin = triage.session.begin
    shapes = {slots: room.shape(slots) for slots in room.slots_drawn}
    bite = SWARM_BITE_REAL if triage.target.is_real else SWARM_BITE
    while True:
        swarm.aims = sorted((known_failure.hazards for known_failure in triage.pending), key=sorted)
        sequences = operations = 0
        found = None
        while sequences < bite and found is None:
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
        yield Bite(sequences, operations, found)
        if triage.patience.interrupted:
            raise KeyboardInterrupt


def drive_hypothesis(triage: Triage, hazards: frozenset[Hazard], seed_text: str) -> Iterator[Bite]:
    """Run the state machine again and again, each time with a new seed and a new engine.

    Every second run has only the hazards of a pending known failure, which no case has shown yet. Hypothesis neither
    shrinks nor stores: the first new finding ends a run, and `Triage.investigate` does the rest.
    """
    random = Random(seed_text)
    profile = settings(
        max_examples=HYPOTHESIS_BITE,
        stateful_step_count=HYPOTHESIS_STEPS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
    )
    # Hypothesis keeps data for every machine class that it ever ran.
    machines = {hazards: machine_for(triage, hazards)}
    is_aimed = False
    while True:
        aims = sorted((known_failure.hazards for known_failure in triage.pending), key=sorted) if is_aimed else []
        is_aimed = not is_aimed
        on = random.choice(aims) if aims else hazards
        if on not in machines:
            machines[on] = machine_for(triage, on)
        machine = machines[on]
        machine.sequences = machine.applied = 0
        found = None
        try:
            run_state_machine_as_test(seed(random.getrandbits(64))(machine), settings=profile)
        except Violation as violation:
            found = triage.investigate(violation.operations, violation.slots, violation.finding)
        yield Bite(machine.sequences, machine.applied, found)
        if triage.patience.interrupted:
            raise KeyboardInterrupt


DRIVERS: dict[str, Driver] = {"hypothesis": drive_hypothesis, "swarm": drive_swarm}
