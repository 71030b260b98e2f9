"""The capabilities of a target on this machine, probed once per process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.readers import Feature


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The result of a probe. `missing`: the reason why a target does not run here, None if it runs.

    `unable`: hazards that the target does not support here but elsewhere, with the reasons; `lacks`: the same of
    features. `scheme`: the name of the detected scheme, None if no scheme matches. `ahead`: the records of a dump's message,
    0 for other walks; `largest`: those of the largest message, 0 where the size of a message is not chosen. `in_place`: of
    close and accept those whose successor was detected to take its predecessor's place; the successors of others enter at
    the head.
    """

    missing: str | None = None
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    has_tail: bool = True
    scheme: str | None = None

    lacks: Mapping[Feature, str] = field(default_factory=dict)
    ahead: int = 0
    largest: int = 0
    in_place: frozenset[Hazard] = frozenset()


_capabilities: dict[str, Capabilities] = {}


def probe(target: str, attempt: Callable[[], Capabilities]) -> Capabilities:
    """The result of `attempt`, or the reason for its failure in one line. The result is cached; this function never
    raises."""
    if target not in _capabilities:
        _capabilities[target] = _try(target, attempt)
    return _capabilities[target]


def known(target: str) -> Capabilities | None:
    """The result of an earlier `probe`, for another process of this machine; None if there was none."""
    return _capabilities.get(target)


def take_over(target: str, capabilities: Capabilities) -> None:
    """Take over the result of another process of this machine, in place of a probe."""
    _capabilities.setdefault(target, capabilities)


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
    except Exception as error:  # no error may stop a caller that only lists targets
        return Capabilities(f"probing {target} failed: {type(error).__name__}: {error}")
