"""Real UNIX sockets, each in a given bucket, at its head: these buckets have no tail.

A socket's name determines its bucket. The kernel hashes an unnamed socket by its memory address, and a file's socket by
its inode. So only an abstract name lets a caller choose the bucket. The module learns the buckets of names by reading the
iterator.

A socket keeps its name for good, so it can be neither reinserted nor moved.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from sockiter.errors import Inconclusive
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import Socket, Sockets, cookie, inode
from sockiter.operations import Bucket, End

Look: TypeAlias = Callable[[], Sequence[tuple[int, ...]]]
"""A whole walk: the cookie of each socket, and the number of its bucket."""

_CHUNK = 512
_LONGEST = 108
_NAMES_MAX = 16 * _CHUNK
LINE_BYTES = 160
"""The width of a line of /proc/net/unix."""
TITLE_BYTES = 56
"""The width of its title."""
# Where the inode is in a line, at least how long it is, and how long the line is without the inode and the name.
_INODE_AT = 53
_INODE_DIGITS = 5
_BESIDE = _INODE_AT + 2


class Places:
    """The buckets of names; learned on demand, and kept."""

    def __init__(self, namespace: Namespace, look: Look) -> None:
        namespace.stay()
        self._look = look
        self._beginnings: dict[int, int] = {}  # the beginning of a name, for each bucket
        self._tried = 0

    def buckets(self, count: int) -> list[tuple[int, int]]:
        """The first `count` buckets in the order of the walk, each with the beginning of its names; raises
        `Inconclusive`."""
        while len(self._beginnings) < count and self._tried < _NAMES_MAX:
            with ExitStack() as stack:
                tried = {}
                for number in range(self._tried, self._tried + _CHUNK):
                    if b"\n" in name(number, 0):
                        continue  # it would end a line of /proc/net/unix
                    stack.callback((sock := Socket(socket.AF_UNIX, socket.SOCK_STREAM)).close)
                    sock.bind(name(number, 0))
                    tried[cookie(sock)] = number
                for socket_id, bucket, *_ in self._look():
                    if socket_id in tried:
                        self._beginnings.setdefault(bucket, tried[socket_id])
            self._tried += _CHUNK
        if len(self._beginnings) < count:
            raise Inconclusive(f"names get into {len(self._beginnings)} UNIX buckets here; the case needs {count}")
        return sorted(self._beginnings.items())[:count]


class UnixSockets(Sockets):
    """UNIX sockets in the buckets of `places`, each given by its number and the beginning of its names."""

    has_tail = False

    def __init__(self, namespace: Namespace, places: list[tuple[int, int]]) -> None:
        super().__init__(namespace)
        self._places = places
        self._made = 0

    def _new(self) -> Socket:
        return Socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        beginning = self._places[bucket.number][1]
        while b"\n" in name(beginning, self._made):
            self._made += 1
        new.bind(self._name(new, beginning, self._made))
        self._made += 1

    def _name(self, new: Socket, beginning: int, number: int) -> bytes:
        return name(beginning, number)

    def _take(self, old: Socket, bucket: Bucket) -> None:
        raise NotImplementedError  # its targets do not offer this


class LinedUnixSockets(UnixSockets):
    """UNIX sockets whose lines in /proc/net/unix have equal width: the longer the inode, the shorter the name."""

    def __init__(self, namespace: Namespace, places: list[tuple[int, int]]) -> None:
        super().__init__(namespace, places)
        self._number_of = inode

    def _name(self, new: Socket, beginning: int, number: int) -> bytes:
        return name(beginning, number)[: LINE_BYTES - _BESIDE - max(len(str(inode(new))), _INODE_DIGITS)]


def inodes(text: bytes) -> list[tuple[int, int]]:
    """The inode of each line of /proc/net/unix, and 0 in place of a bucket."""
    return [(int(line[_INODE_AT:].split(None, 1)[0]), 0) for line in text.split(b"\n")[:-1]]


def name(beginning: int, number: int) -> bytes:
    """An abstract name of the maximum length, since then fewer sockets fit into a message of sock_diag.

    The kernel's hash is an end-around sum of 16-bit words. A word and its complement make the name unique without
    changing the bucket that its beginning determines.
    """
    words = [word ^ mask for word in (number & 0xFFFF, number >> 16) for mask in (0, 0xFFFF)]
    return struct.pack("<HI4H", 0, beginning, *words).ljust(_LONGEST, b"\0")
