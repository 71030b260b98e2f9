"""Every target there is: the schemes, in the simulation, those of other packages, and the iterators of the running kernel.

Decided here: which targets a user can name, and which of them are the project's own schemes. What a target is, `backend`
says; how each works, `schemes` and `kernel`; what a package has to give, `installed`.
"""

from __future__ import annotations

from sockiter.backend import Target
from sockiter.errors import InputError
from sockiter.installed import installed
from sockiter.kernel import KERNEL_TARGETS
from sockiter.schemes import SCHEMES
from sockiter.simulation import SchemeTarget

SCHEME_TARGETS: tuple[Target, ...] = tuple(SchemeTarget(scheme) for scheme in SCHEMES)
"""The project's own schemes, whatever else is installed: what every case is recorded on."""
INSTALLED_TARGETS: tuple[Target, ...] = installed({target.name for target in (*SCHEME_TARGETS, *KERNEL_TARGETS)})
"""The schemes of other packages. A case says something of one only where it names it: whoever wrote it may not know it."""
TARGETS: tuple[Target, ...] = (*SCHEME_TARGETS, *INSTALLED_TARGETS, *KERNEL_TARGETS)


def target_named(name: str) -> Target:
    """The target of that name; an `InputError` that lists them all where there is none."""
    for target in TARGETS:
        if target.name == name:
            return target
    raise InputError(f"no target is named {name!r}: expected one of {', '.join(target.name for target in TARGETS)}")
