"""A process that makes and keeps namespaces on request, run as a program of its own with nothing but the standard library.

The namespaces are UTS namespaces of a user namespace of its own, in which nothing else can make any. The process reads
numbers of 8 bytes from its standard input: 0 asks for one more namespace, any other number is the id of one to give up. It
answers every request with a number: the id of the new namespace, and 0 if it gave one up. It begins with two numbers: the
ids of its user namespace and of its own UTS namespace. It ends with its input, and its namespaces with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys

_NEW_UTS, _NEW_USER = 0x04000000, 0x10000000
_GET_ID = 0x8008B70D  # NS_GET_ID, which returns 64 bits


def serve() -> None:
    """Serve requests until the input ends."""
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    checked(libc.unshare(_NEW_USER | _NEW_UTS))
    home = _opened("uts")
    _write(_id_of(_opened("user")))
    _write(_id_of(home))
    kept: dict[int, int] = {}
    while request := os.read(0, 8):
        if number := int.from_bytes(request, "little"):
            os.close(kept.pop(number))
            _write(0)
            continue
        checked(libc.unshare(_NEW_UTS))
        made = _opened("uts")
        checked(libc.setns(home, _NEW_UTS))
        kept[number := _id_of(made)] = made
        _write(number)


def _opened(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _id_of(fd: int) -> int:
    return int.from_bytes(fcntl.ioctl(fd, _GET_ID, bytes(8)), sys.byteorder)


def _write(number: int) -> None:
    os.write(1, number.to_bytes(8, "little"))
