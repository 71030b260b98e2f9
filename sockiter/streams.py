"""The three standard streams: a process that is started without one of them gets a null device in its place.

Decided here: that this happens before anything else opens a file. The next file that is opened takes the lowest free
descriptor: what is meant for standard output would be written into it. A library may be the first (ctypes is, where libffi
keeps its own file open).
"""

import os
import sys


def complete() -> None:
    """Open the null device for every standard stream that is closed; do nothing where there are all three."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Not by its number: another file may have it.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
