"""Write docs/measurements/mutants.md: how soon each driver catches each planted bug, and how many cases do.

Decided here: how that is measured and told. Which bugs there are, `mutants` says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from mutants import MUTANTS, Caught, caught, mutated

from sockiter.cases import load
from sockiter.claims import Harm
from sockiter.fuzzing.drivers import drive_hypothesis, drive_swarm
from sockiter.replay import refused, replay

CASES = [load(path) for path in sorted((Path(__file__).parent / "cases").glob("*.case"))]
SEEDS = "12345"
SEQUENCES = ((drive_swarm, 100_000), (drive_hypothesis, 1_500))

TOP = """\
# The tester is tested

Of each scheme there are some mutants: copies with one bug planted in them, of a kind that is easily written, which make
the scheme do what it claims not to do. `tests/test_mutants.py` holds both drivers and the corpus to catching them, and
to having nothing to say of the schemes as they are. The table tells how soon a driver catches them with all hazards
switched on: in how many sequences, and milliseconds of processor time up to the least case, each the median over five
seeds. Swarm is given 100,000 sequences, Hypothesis 1,500, as many as it has for each test of the fuzz suite in the
profile `ci`; "> 1,500" means that most seeds found nothing in that. (The suite runs every hazard by itself as well,
which catches some of those.) What a mutant does is told with the fewest hazards that were met. The last column counts
the cases in `tests/cases` that come out otherwise on it, and names the one that the test holds to it. The times are of
one run on a machine with two cores, and noisy. The page is written by `python tests/report_mutants.py >
docs/measurements/mutants.md`, in some five minutes.

| scheme | what is wrong | what it does | swarm: sequences | ms | Hypothesis: sequences | ms | cases |
|---|---|---|---|---|---|---|---|
"""

BOTTOM = """
Two kinds are known to be hard. Where hazards stand **in bold**, they have to meet at one point: an allocation during
which two sockets enter at the head, or one that is wanted because sockets entered at the tail, and is refused. Among
all hazards they seldom do, and Hypothesis is not held to it in so few sequences; with just these two on, swarm is done
after some hundred. And what takes a removal *before open* swarm never catches, since all it does before open is add
sockets; Hypothesis does.
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
        harms = {Harm(c.found.kind, c.found.hazards, c.found.moved) for found in tries for c in found if c is not None}
        least = str(min(harms, key=lambda harm: (len(harm.hazards), str(harm))))
        if mutant.together:
            least = f"{least.partition(' under ')[0]} under **{', '.join(mutant.together)}**"
        if mutant.before_open:
            least = f"{least}, *before open*"
        cases = sum(not replay(case, target, target).as_expected for case in CASES if not refused(case, target))
        case = f"{cases}: [{mutant.case}](../../tests/cases/{mutant.case}.case)"
        made.append(f"| `{mutant.scheme}` | {' | '.join([mutant.wrong, least, *swarm, *hypothesis, case])} |\n")
        print(f"{nth} of {len(MUTANTS)}", end="\r", file=sys.stderr, flush=True)
    return made


if __name__ == "__main__":
    print(TOP + "".join(rows()) + BOTTOM, end="")
