"""Which target a command that looks at one case on one target means."""

from __future__ import annotations

from sockiter.backend import Target
from sockiter.cases import Case
from sockiter.errors import MachineLacks
from sockiter.targets import SCHEME_TARGETS, TARGETS, target_named


def choose(case: Case, name: str | None) -> Target:
    """The target of that name, or else the first one running here that the case expects to fail, or else the first scheme.

    Raises `InputError` for a name that is no target's, `MachineLacks` for a target that does not run here.
    """
    if name is not None:
        target = target_named(name)
        if (missing := target.missing()) is not None:
            raise MachineLacks(f"{target.name} does not run here: {missing}")
        return target
    failing = {expect.target for expect in case.expects}
    for target in TARGETS:
        if target.name in failing and target.missing() is None:
            return target
    return SCHEME_TARGETS[0]
