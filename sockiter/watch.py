"""Runs a command in a watched child process, if schemes of other packages are installed.

No scheme can end a command silently, for example by `os._exit(0)` or by executing another program. The child announces
its exit status before it ends. A child that ends without that announcement was killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from types import FrameType
from typing import NoReturn

from sockiter.errors import Unavailable
from sockiter.plugins import GROUP

_PR_SET_PDEATHSIG = 1
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def watched(command: Callable[[], None]) -> None:
    """Run a command. If schemes of other packages are installed, run it in a child process and exit with its status.

    If the child ends unannounced, print a line on standard error and exit with status 3.
    """
    names = sorted({entry.name for entry in entry_points(group=GROUP)})
    if not names:
        command()
        return
    reader, writer = map(_beyond_the_streams, os.pipe())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    if child := os.fork():
        os.close(writer)
        _wait(child, reader, before, names)
    os.close(reader)
    with suppress(AttributeError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _set_output_apart()
    _announce_status(command, writer)


def _set_output_apart() -> None:
    # A scheme's output to the descriptor of standard output goes to standard error: a document may be under way.
    with suppress(OSError):  # one of the two may be closed
        os.fstat(2)
        ours = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        os.dup2(2, 1)
        buffering = 1 if sys.stdout.isatty() else -1
        sys.stdout = open(ours, "w", buffering, sys.stdout.encoding, sys.stdout.errors)  # noqa: SIM115


def _beyond_the_streams(descriptor: int) -> int:
    # The caller may have closed standard output. The next opened file must not take its descriptor.
    higher = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return higher


def _announce_status(command: Callable[[], None], writer: int) -> None:
    status = 1
    try:
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        os.write(writer, bytes([status & 0xFF]))
        os.close(writer)


def _wait(child: int, reader: int, mask: set[int] | set[signal.Signals], names: Sequence[str]) -> NoReturn:
    is_ending = False

    def end_child(signum: int, frame: FrameType | None) -> None:
        # A signal to the whole group reached the child as well. There the first signal ends it, and SIGTERM does not
        # count as
        # a second one.
        nonlocal is_ending
        is_ending = True
        os.kill(child, signal.SIGTERM)

    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end_child)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    os.set_blocking(reader, False)
    announced = b""
    with suppress(BlockingIOError):  # an orphan of the child may hold the other end
        announced = os.read(reader, 1)
    if status < 0 and is_ending:
        _complain("interrupted")
        sys.exit(130)
    if not announced or status < 0 or (announced != b"\0" and not status):
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        schemes = textwrap.shorten(" ".join(map(ascii, names)).replace("'", ""), 200, placeholder=" ...")
        _complain(f"ended with {how} in the middle: a scheme of another package ({schemes}) or the system ended it")
        sys.exit(Unavailable.status)
    sys.exit(status)


def _complain(message: str) -> None:
    with suppress(OSError):
        os.write(2, f"sockiter: {message}\n".encode())
