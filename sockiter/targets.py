"""Every target there is: the schemes, in the simulation, and the iterators of the running kernel.

Decided here: which targets a user can name. What a target is, `backend` says; how each works, `schemes` and `kernel`.
"""

from __future__ import annotations

from sockiter.backend import Target
from sockiter.errors import InputError
from sockiter.kernel import KERNEL_TARGETS
from sockiter.schemes import SCHEMES
from sockiter.simulation import SchemeTarget

SCHEME_TARGETS: tuple[Target, ...] = tuple(SchemeTarget(scheme) for scheme in SCHEMES)
TARGETS: tuple[Target, ...] = (*SCHEME_TARGETS, *KERNEL_TARGETS)


def target_named(name: str) -> Target:
    """The target of that name; an `InputError` that lists them all where there is none."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise InputError(f"no target is named {name!r}: expected one of {', '.join(target.name for target in TARGETS)}")
