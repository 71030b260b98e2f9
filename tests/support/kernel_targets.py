"""The running kernel, where it is available, and a kernel with simulated answers, for the tests of the layers above."""

from __future__ import annotations

import os

import pytest

from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget
from tests.support.command import NO_KERNEL

ABSENT = Capabilities(NO_KERNEL)
# It can be added to and removed from, and walks by no scheme that is known.
LIMITED = Capabilities(unable=dict.fromkeys(("reinsert", "rehash", "show", "realloc", "enomem"), "it is a small one"))


def here(target: KernelTarget) -> KernelTarget:
    """A target that runs here; the test is skipped where it does not, or fails with SOCKITER_REQUIRE_KERNEL=1."""
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    return target


def with_capabilities(monkeypatch: pytest.MonkeyPatch, answer: Capabilities) -> None:
    """Every kernel's target has this answer, whatever it is on this machine."""
    monkeypatch.setattr("sockiter.kernel.target.probe", lambda target, attempt: answer)
