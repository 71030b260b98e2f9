"""How much is fuzzed: a developer's seconds, the minutes of CI, or as deep as one has time.

Registered with Hypothesis, and chosen by `--hypothesis-profile`. None of them is the one that Hypothesis loads by itself
where CI is set: it draws the same sequences every time, right for tests and wrong for a fuzzer.
"""

from __future__ import annotations

from hypothesis import Phase, settings

from sockiter.fuzzing.drivers import HYPOTHESIS_STEPS

DEVELOPER = "developer"
PROFILES = {DEVELOPER: 10, "ci": 1_500, "deep": 50_000}
"""The examples of each."""


def register() -> None:
    """Make the profiles known, and `developer` the one that is used unless another is chosen."""
    common = settings(
        derandomize=False,
        deadline=None,
        # The lines that only failing examples run are those of the judge: there is nothing to explain.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        stateful_step_count=HYPOTHESIS_STEPS,
        print_blob=False,
        report_multiple_bugs=False,
    )
    for name, examples in PROFILES.items():
        settings.register_profile(name, common, max_examples=examples)
    settings.load_profile(DEVELOPER)
