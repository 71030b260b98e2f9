"""The version of this project, and the commit of its checkout."""

from __future__ import annotations

from pathlib import Path

from sockiter.files import commit_of

__version__ = "0.1.0"


def commit() -> str | None:
    """The commit that this project's checkout of Git is at, as `commit_of` returns it; None for an installed package."""
    return commit_of(Path(__file__).parent.parent)
