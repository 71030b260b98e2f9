"""System calls without a Python wrapper, and the messages for their failures.

The calls use ctypes and the C library of the process. Importing this module has no effect, so every system can import it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from functools import cache
from typing import Any

from sockiter.errors import Unavailable

CLONE_NEWNET = 0x40000000

# The number of bpf(2), for which the C library has no wrapper. Only 64-bit little-endian machines: the layout of
# `bpf.Instruction` requires that.
_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361}


# The number of listns(2), on every machine.
_LISTNS = 470


def bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char], size: int) -> int:
    """bpf(2): a file descriptor (close-on-exec) or 0; raises OSError."""
    return _checked(_library().syscall(_bpf_number(), command, attributes, size))


def listns(request: bytes, ids: ctypes.Array[ctypes.c_uint64]) -> int:
    """listns(2): the number of ids; raises OSError."""
    call = _library()["syscall"]  # a new object, with argument types of its own
    call.argtypes = (ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
    call.restype = ctypes.c_long
    return _checked(call(_LISTNS, request, ids, len(ids), 0))


def unshare(flags: int) -> None:
    """unshare(2) for the calling thread; raises OSError."""
    _checked(_library().unshare(flags))


def setns(fd: int, flags: int) -> None:
    """setns(2) for the calling thread; raises OSError."""
    _checked(_library().setns(fd, flags))


def connect(fd: int, address: ctypes.Array[ctypes.c_char], size: int) -> None:
    """connect(2) to an address that Python cannot express; raises OSError."""
    _checked(_library().connect(fd, address, size))


def unavailable(probe: str, error: OSError, *, takes: str = "") -> Unavailable:
    """The exception for a `probe` that ended in `error`; `takes` is the privilege that the probe requires."""
    number = error.errno or 0
    message = f"{probe}: {errno.errorcode.get(number, number)} ({os.strerror(number)})"
    if takes and number in (errno.EPERM, errno.EACCES):
        message += f"; this requires root, or {takes}"
    return Unavailable(message)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@cache
def _library() -> Any:  # a ctypes.CDLL, which finds its functions by name on demand
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_long)
    library.syscall.restype = ctypes.c_long
    return library


@cache
def _bpf_number() -> int:
    machine = platform.machine()
    if machine not in _BPF or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise Unavailable(f"bpf(2) has no known number on machine {machine!r}; expected one of {', '.join(_BPF)}")
    return _BPF[machine]
