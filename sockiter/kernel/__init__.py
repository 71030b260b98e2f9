"""The iterators of the running kernel as targets."""

from __future__ import annotations

from sockiter.backend import Target
from sockiter.kernel.udp import KernelUdp

KERNEL_TARGETS: tuple[Target, ...] = (KernelUdp(),)
