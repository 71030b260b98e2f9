"""Real UNIX sockets, each in a given bucket, at its head: these buckets have no tail.

Decided here: which name gets a socket where. The kernel chooses the bucket of a socket without a name by where in memory
it is, and that of a file's by its inode; only the bucket of an abstract name is a caller's to choose. Learned by reading
the iterator: which name is in which bucket. Not known here: what an iteration shows.

A socket has its name for good, so that it can be neither put in again nor moved.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from sockiter.errors import Inconclusive
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import Socket, Sockets, cookie
from sockiter.operations import Bucket, End

Look: TypeAlias = Callable[[], Sequence[tuple[int, ...]]]
"""A whole walk: the cookie of each socket, and the number of its bucket."""

_CHUNK = 512
_LONGEST = 108
_NAMES_MAX = 16 * _CHUNK


class Places:
    """Which names are in which bucket; learned when first asked for, and kept."""

    def __init__(self, namespace: Namespace, look: Look) -> None:
        namespace.stay()
        self._look = look
        self._beginnings: dict[int, int] = {}  # of a name in each bucket
        self._tried = 0

    def buckets(self, count: int) -> list[tuple[int, int]]:
        """The first `count` buckets in the order of the walk, each with what its names begin with; raises `Inconclusive`."""
        while len(self._beginnings) < count and self._tried < _NAMES_MAX:
            with ExitStack() as stack:
                tried = {}
                for number in range(self._tried, self._tried + _CHUNK):
                    stack.callback((sock := Socket(socket.AF_UNIX, socket.SOCK_STREAM)).close)
                    sock.bind(name(number, 0))
                    tried[cookie(sock)] = number
                for socket_id, bucket, *_ in self._look():
                    if socket_id in tried:
                        self._beginnings.setdefault(bucket, tried[socket_id])
            self._tried += _CHUNK
        if len(self._beginnings) < count:
            raise Inconclusive(f"names get into {len(self._beginnings)} UNIX buckets here; the case asks for {count}")
        return sorted(self._beginnings.items())[:count]


class UnixSockets(Sockets):
    """UNIX sockets in the buckets that `places` says, each by its number and what names in it begin with."""

    has_tail = False

    def __init__(self, namespace: Namespace, places: list[tuple[int, int]]) -> None:
        super().__init__(namespace)
        self._places = places
        self._made = 0

    def _new(self) -> Socket:
        return Socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        new.bind(name(self._places[bucket.number][1], self._made))
        self._made += 1

    def _take(self, old: Socket, bucket: Bucket) -> None:
        raise NotImplementedError  # what its targets do not offer


def name(beginning: int, number: int) -> bytes:
    """An abstract name, as long as can be, since fewer then fit into a message of sock_diag.

    The kernel's hash adds up words of 16 bits, end around, so that a word and its complement, which make a name one of many,
    leave it in the bucket that it has by its beginning.
    """
    words = [word ^ mask for word in (number & 0xFFFF, number >> 16) for mask in (0, 0xFFFF)]
    return struct.pack("<HI4H", 0, beginning, *words).ljust(_LONGEST, b"\0")
