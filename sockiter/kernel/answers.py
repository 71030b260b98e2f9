"""Whether a target can run on this machine, found out once per process by trying.

Decided here: what counts as an answer and how long it holds. Not known here: what is tried.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from sockiter.errors import MachineLacks

_answers: dict[str, str | None] = {}


def why_missing(target: str, attempt: Callable[[], None]) -> str | None:
    """Why `attempt` failed, in one line, or None; the answer for a target is kept, and nothing is raised."""
    if target not in _answers:
        _answers[target] = _try(target, attempt)
    return _answers[target]


def forget() -> None:
    """Try again when next asked."""
    _answers.clear()


def need_linux() -> None:
    """Raise `MachineLacks` on any other system."""
    if (system := _system()) != "linux":
        raise MachineLacks(f"not Linux: sys.platform is {system!r}")


def _system() -> str:
    return sys.platform


def _try(target: str, attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except MachineLacks as lack:
        return str(lack)
    except Exception as error:  # whatever it is, it must not stop those who only ask
        return f"trying {target} failed: {type(error).__name__}: {error}"
    return None
