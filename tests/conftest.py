"""What several test files need: a Hypothesis profile that draws the same every time, and targets the machine may lack."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from sockiter.kernel.udp import KernelUdp

settings.register_profile("tests", derandomize=True, database=None, deadline=None, print_blob=False)
settings.load_profile("tests")


@pytest.fixture
def kernel_udp() -> KernelUdp:
    """The kernel's UDP iterator; skips where it cannot run, or fails with SOCKITER_REQUIRE_KERNEL=1."""
    target = KernelUdp()
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    return target
