"""What several test files need: targets that the machine may lack."""

from __future__ import annotations

import os

import pytest

from sockiter.kernel.udp import KernelUdp


@pytest.fixture
def kernel_udp() -> KernelUdp:
    """The kernel's UDP iterator; skips where it cannot run, or fails with SOCKITER_REQUIRE_KERNEL=1."""
    target = KernelUdp()
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    return target
