"""The capabilities of a target on this machine, probed once per process.

Decided here: what counts as a result, and how long it holds. Not known here: how a target is probed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sockiter.claims import Hazard
from sockiter.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`missing`: why a target does not run here, None if it does. `unable`: the hazards that it cannot be put through here,
    though elsewhere, and why. `scheme`: the name of the one that delivers what it does, None if there is none."""

    missing: str | None = None
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    has_tail: bool = True
    scheme: str | None = None


_capabilities: dict[str, Capabilities] = {}


def probe(target: str, attempt: Callable[[], Capabilities]) -> Capabilities:
    """The result of `attempt`, or why it failed, in one line. The result for a target is cached, and nothing is raised."""
    if target not in _capabilities:
        _capabilities[target] = _try(target, attempt)
    return _capabilities[target]


def forget() -> None:
    """Clear the cache."""
    _capabilities.clear()


def need_linux() -> None:
    """Raise `Unavailable` on any other system."""
    if (system := _system()) != "linux":
        raise Unavailable(f"not Linux: sys.platform is {system!r}")


def _system() -> str:
    return sys.platform


def _try(target: str, attempt: Callable[[], Capabilities]) -> Capabilities:
    try:
        return attempt()
    except Unavailable as lack:
        return Capabilities(str(lack))
    except Exception as error:  # whatever it is, it must not stop those who only ask
        return Capabilities(f"trying {target} failed: {type(error).__name__}: {error}")
