"""Measures a reader on the kernel: walks with random changes, and the number of walks with each effect."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sockiter.advice.risks import EFFECTIVE, Effect, effect_of
from sockiter.backend import Target, run
from sockiter.cases import Case
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.operations import length
from sockiter.oracle import judge
from sockiter.readers import Reader

# Sequences between two progress reports.
REPORT = 50


@dataclass(slots=True)
class Measured:
    """The number of walks, of those in which each effect happened, and a short case of each effect.

    `own`: counted apart are walks in which an effect concerned only sockets that changed themselves.
    """

    target: str
    reader: Reader
    seed: str
    walks: int = 0
    effects: Counter[tuple[Effect, bool]] = field(default_factory=Counter)
    cases: dict[tuple[Effect, bool], Case] = field(default_factory=dict)
    seconds: float = 0.0


def measure(
    target: Target, reader: Reader, seconds: float, seed: str, report: Callable[[int], None] = lambda walks: None
) -> Measured:
    """Walk for some seconds with random changes; raises `Unavailable` if the target does not run here.

    The same seed draws the same sequences. `report` receives the number of walks so far; a KeyboardInterrupt from it ends
    the measurement, with the walks so far.
    """
    measured = Measured(target.name, reader, seed)
    room = Room.of(target)
    swarm = Swarm(f"{seed}/{target.name}/{reader.name}", target.hazards, room, reader=reader)
    with target.session() as session, suppress(KeyboardInterrupt):
        started = time.monotonic()
        while (took := time.monotonic() - started) < seconds:
            operations, slots = swarm.sequence()
            with suppress(Inconclusive):
                verdict = judge(run(session, target, operations, slots=slots))
                measured.walks += 1
                found = {
                    (effect_of(finding.kind, reader), finding.moved) for finding in verdict if finding.kind in EFFECTIVE
                }
                for effect in found:
                    measured.effects[effect] += 1
                    known = measured.cases.get(effect)
                    if known is None or length(operations) < length(known.operations):
                        measured.cases[effect] = Case(operations, slots)
            measured.seconds = took
            if measured.walks % REPORT == 0:
                report(measured.walks)
    return measured
