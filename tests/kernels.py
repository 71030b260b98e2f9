"""A kernel whose answers are made up, for the tests of what stands above it."""

from __future__ import annotations

import pytest
from command import NO_KERNEL

from sockiter.kernel.answers import Answer

ABSENT = Answer(NO_KERNEL)
# It can be added to and removed from, and walks by no scheme that is known.
LIMITED = Answer(unable=dict.fromkeys(("reinsert", "rehash", "show", "realloc", "enomem"), "it is a small one"))


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Every kernel's target has this answer, whatever it is on this machine."""
    monkeypatch.setattr("sockiter.kernel.target.answer", lambda target, attempt: answer)
