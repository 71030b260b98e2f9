"""Fault injection: makes a thread's next allocation fail, on a kernel that was built for it.

The module changes no setting of the machine. `sockiter vm` makes the necessary settings inside its own guest.
"""

from __future__ import annotations

from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.kernel.libc import unavailable

_FAIL_NTH = Path("/proc/self/fail-nth")
_FAILSLAB = Path("/sys/kernel/debug/failslab/ignore-gfp-wait")


def need_faults() -> None:
    """Raise `Unavailable` if allocations of an iterator cannot be made to fail."""
    if not _FAIL_NTH.exists():
        raise Unavailable(f"no {_FAIL_NTH}: the kernel was built without fault injection; see docs/how-to/other-kernels.md")
    try:
        spared = _FAILSLAB.read_text().strip()
    except OSError as error:
        raise unavailable(f"open {_FAILSLAB}", error) from error
    if spared != "N":
        raise Unavailable(f"{_FAILSLAB} is {spared!r}, so only allocations that cannot wait fail; write N to it")


def fail_next(thread: int) -> None:
    """Make the next allocation of this thread of the process in the kernel fail."""
    _file(thread).write_text("1")


def fail_none(thread: int) -> None:
    """Cancel `fail_next`, in case that the thread made no allocation."""
    _file(thread).write_text("0")


def _file(thread: int) -> Path:
    return Path(f"/proc/self/task/{thread}/fail-nth")
