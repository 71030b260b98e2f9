"""What a target can do on this machine, found out once per process by trying.

Decided here: what counts as an answer and how long it holds. Not known here: what is tried.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sockiter.claims import Hazard
from sockiter.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Answer:
    """`missing`: why a target does not run here, None if it does. `unable`: the hazards that it cannot be put through here,
    though elsewhere, and why. `scheme`: the name of the one that delivers what it does, None if there is none."""

    missing: str | None = None
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    has_tail: bool = True
    scheme: str | None = None


_answers: dict[str, Answer] = {}


def answer(target: str, attempt: Callable[[], Answer]) -> Answer:
    """What `attempt` finds out, or why it failed, in one line; the answer for a target is kept, and nothing is raised."""
    if target not in _answers:
        _answers[target] = _try(target, attempt)
    return _answers[target]


def forget() -> None:
    """Try again when next asked."""
    _answers.clear()


def need_linux() -> None:
    """Raise `Unavailable` on any other system."""
    if (system := _system()) != "linux":
        raise Unavailable(f"not Linux: sys.platform is {system!r}")


def _system() -> str:
    return sys.platform


def _try(target: str, attempt: Callable[[], Answer]) -> Answer:
    try:
        return attempt()
    except Unavailable as lack:
        return Answer(str(lack))
    except Exception as error:  # whatever it is, it must not stop those who only ask
        return Answer(f"trying {target} failed: {type(error).__name__}: {error}")
