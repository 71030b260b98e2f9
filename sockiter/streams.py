"""Opens the null device in place of missing standard streams.

This must happen before another file is opened. A new file gets the lowest free descriptor, so text for standard output
would be written into that file. Even a library can open one: ctypes does, where libffi keeps its own file open.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def complete() -> None:
    """Open the null device for every closed standard stream; do nothing if all three are open."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Not by its number: another file may have it.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def discard(stream: TextIO) -> None:
    """Send the unwritten rest of a stream to the null device, so that Python does not try to write it again at exit.

    Does nothing for a stream without a descriptor.
    """
    with open(os.devnull, "w") as nowhere, suppress(io.UnsupportedOperation):
        os.dup2(nowhere.fileno(), stream.fileno())
