"""The amounts of fuzzing: seconds for a developer, minutes for CI, hours for a deep run.

The profiles are registered with Hypothesis, and chosen by `--hypothesis-profile`. Hypothesis's own CI profile is not
among them: it draws the same sequences every time, which is right for tests and wrong for a fuzzer.
"""

from __future__ import annotations

import os

from databases import VARIABLE, database_of
from hypothesis import Phase, settings

from sockiter.fuzzing.drivers import HYPOTHESIS_STEPS

DEVELOPER = "developer"
PROFILES = {DEVELOPER: 10, "ci": 1_500, "deep": 50_000}
"""The number of examples of each profile."""


def register() -> None:
    """Register the profiles, and use `developer` unless another profile is chosen.

    The example database is the one that SOCKITER_DATABASE names; by default, Hypothesis's own. Raises ValueError for a bad
    name.
    """
    value = os.environ.get(VARIABLE)
    common = settings(
        settings() if value is None else settings(database=database_of(value)),
        derandomize=False,
        deadline=None,
        # The explain phase would only report lines of the judge.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        stateful_step_count=HYPOTHESIS_STEPS,
        print_blob=False,
        report_multiple_bugs=False,
    )
    for name, examples in PROFILES.items():
        settings.register_profile(name, common, max_examples=examples)
    settings.load_profile(DEVELOPER)
