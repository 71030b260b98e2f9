"""How much is fuzzed: a developer's seconds, the minutes of CI, or as deep as one has time.

Registered with Hypothesis, and chosen by `--hypothesis-profile`. None of them is the one that Hypothesis loads by itself
where CI is set: it draws the same sequences every time, right for tests and wrong for a fuzzer. None shrinks either: what
fails is shrunk on its operations, by `sockiter.minimize`, hundreds of times faster and to the end.
"""

from __future__ import annotations

from hypothesis import Phase, settings

from sockiter.drivers import HYPOTHESIS_STEPS

DEVELOPER = "developer"


def register() -> None:
    """Make the profiles known, and `developer` the one that is used unless another is chosen."""
    common = settings(
        derandomize=False,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        stateful_step_count=HYPOTHESIS_STEPS,
        print_blob=False,
        report_multiple_bugs=False,
    )
    settings.register_profile(DEVELOPER, common, max_examples=100)
    settings.register_profile("ci", common, max_examples=1_500)
    settings.register_profile("deep", common, max_examples=50_000)
    settings.load_profile(DEVELOPER)
