"""Write docs/measurements/mutants.md: how fast each driver catches each planted bug, and how many cases catch it.

`support.mutants` has the bugs.
"""

from __future__ import annotations

import sys
from statistics import median

from sockiter.cases import load
from sockiter.claims import KnownFailure
from sockiter.fuzzing.drivers import drive_hypothesis, drive_swarm
from sockiter.replay import refused, replay
from tests.support.mutants import MUTANTS, Caught, caught, mutated
from tests.support.paths import CASES

CORPUS = [load(path) for path in sorted(CASES.glob("*.case"))]
SEEDS = "12345"
SEQUENCES = ((drive_swarm, 100_000), (drive_hypothesis, 1_500))

TOP = """\
# Planted bugs

Each scheme has some mutants: copies with one planted bug, of a kind that is easily written, which break a claim of the
scheme. `tests/test_mutants.py` requires that both drivers and the corpus catch them, and that neither finds anything in
the unchanged schemes.

The table shows how soon a driver catches each mutant with all hazards on: the number of sequences, and the milliseconds
of processor time up to the shortest case, each the median over five seeds. Swarm gets 100,000 sequences. Hypothesis
gets 1,500, as many as for each test of the fuzz suite in the profile `ci`; "> 1,500" means that most seeds found
nothing within that. (The suite also runs every hazard by itself, which catches some of those.) The effect is given with
the fewest hazards that were met. The last column counts the cases in `tests/cases` that fail on the mutant, and names
the one that the test requires. The times are of one run on a machine with two cores, and noisy. `python -m
tests.report_mutants > docs/measurements/mutants.md` writes the page, in some five minutes.

| scheme | bug | effect | swarm: sequences | ms | Hypothesis: sequences | ms | cases |
|---|---|---|---|---|---|---|---|
"""

BOTTOM = """
Two kinds are hard. If hazards stand **in bold**, they have to meet at one point: an allocation during which two sockets
enter at the head, or an allocation that is needed because sockets entered at the tail, and is refused. Among all
hazards this is rare, and Hypothesis is not required to find it in so few sequences. With just these two hazards, swarm
needs some hundred sequences. And swarm never catches a bug that takes a removal *before open*, since it only adds
sockets before open; Hypothesis does.
"""


def measured(tries: list[Caught | None], sequences_max: int) -> tuple[str, str]:
    """The median of the sequences, and of the milliseconds; beyond all bounds where most tries found nothing."""
    sequences = median(float("inf") if done is None else done.sequences for done in tries)
    if sequences == float("inf"):
        return f"> {sequences_max:,}", "-"
    return f"{sequences:,.0f}", f"{1000 * median(float('inf') if done is None else done.seconds for done in tries):,.0f}"


def rows() -> list[str]:
    """A row of the table for every mutant."""
    made = []
    for nth, mutant in enumerate(MUTANTS, 1):
        target = mutated(mutant)
        tries = [[caught(target, driver, seed, most, shrinks=True) for seed in SEEDS] for driver, most in SEQUENCES]
        swarm, hypothesis = (measured(found, most) for found, (_, most) in zip(tries, SEQUENCES, strict=True))
        known_failures = {
            KnownFailure(c.found.kind, c.found.hazards, c.found.moved) for found in tries for c in found if c is not None
        }
        least = str(min(known_failures, key=lambda known_failure: (len(known_failure.hazards), str(known_failure))))
        if mutant.together:
            least = f"{least.partition(' under ')[0]} under **{', '.join(mutant.together)}**"
        if mutant.before_open:
            least = f"{least}, *before open*"
        cases = sum(not replay(case, target, target).as_expected for case in CORPUS if not refused(case, target))
        case = f"{cases}: [{mutant.case}](../../tests/cases/{mutant.case}.case)"
        made.append(f"| `{mutant.scheme}` | {' | '.join([mutant.wrong, least, *swarm, *hypothesis, case])} |\n")
        print(f"{nth} of {len(MUTANTS)}", end="\r", file=sys.stderr, flush=True)
    return made


if __name__ == "__main__":
    print(TOP + "".join(rows()) + BOTTOM, end="")
