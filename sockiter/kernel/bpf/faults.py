"""Allocations that fail on purpose, on a kernel that was built for it.

Decided here: how a thread's next allocation is made to fail, and what a kernel must have. Not known here: which allocation
that is. No setting of the machine is changed: `sockiter vm` makes those that it takes in a guest of its own.
"""

from __future__ import annotations

from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.kernel.libc import unavailable

_FAIL_NTH = Path("/proc/self/fail-nth")
_FAILSLAB = Path("/sys/kernel/debug/failslab/ignore-gfp-wait")


def need_faults() -> None:
    """Raise `Unavailable` where no allocation of an iterator can be made to fail."""
    if not _FAIL_NTH.exists():
        raise Unavailable(f"no {_FAIL_NTH}: the kernel was built without fault injection; see docs/how-to/other-kernels.md")
    try:
        spared = _FAILSLAB.read_text().strip()
    except OSError as error:
        raise unavailable(f"open {_FAILSLAB}", error) from error
    if spared != "N":
        raise Unavailable(f"{_FAILSLAB} says {spared!r}, so that only allocations that cannot wait fail; write N to it")


def fail_next(thread: int) -> None:
    """The next allocation that this thread of the process makes in the kernel fails."""
    _file(thread).write_text("1")


def fail_none(thread: int) -> None:
    """None fails any more, in case that none was made."""
    _file(thread).write_text("0")


def _file(thread: int) -> Path:
    return Path(f"/proc/self/task/{thread}/fail-nth")
