"""Real UDP sockets, each in the bucket and at the end of it where it is wanted.

Decided here: which kind of socket, bound to which port, gets where. Learned from the running kernel by reading its
iterator, not computed: which port is in which bucket, and that an IPv6 socket goes to the tail. Not known here: what
an iteration over them shows.
"""

from __future__ import annotations

import _socket
import os
import socket
import sys
from collections.abc import Sequence

from sockiter.errors import MachineLacks
from sockiter.kernel.bpf import MANY, Walker, read
from sockiter.kernel.libc import lacks
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Bucket, End

SOCKETS_MAX = 16_000
"""How many sockets an iteration may have, well below the usual limits to open files."""

# The class that socket.socket wraps, at half the cost: a fuzzer makes tens of thousands a second.
_Socket = _socket.socket

_SO_COOKIE = 57
_FIRST_PORT = 1024
_PORTS_END = 65536
# Ports are tried this many at a time.
_CHUNK = 256
_TRIED: tuple[End, ...] = ("head", "tail", "head")


class Ports:
    """Which port is in which bucket; learned when it is first asked for, and kept."""

    __slots__ = ("_namespace", "_next", "_ports", "_walker")

    def __init__(self, walker: Walker, namespace: Namespace) -> None:
        self._walker = walker
        self._namespace = namespace
        self._next = _FIRST_PORT
        self._ports: dict[int, int] = {}  # one port of each bucket
        namespace.stay()
        self._learn_the_ends()

    def places(self, count: int) -> tuple[tuple[int, int], ...]:
        """The first `count` buckets in the order of the walk, each with a port; raises `MachineLacks` if there are fewer."""
        grows = True
        while len(self._ports) < count and grows:
            grows = self._learn_some_ports()
        if len(self._ports) < count:
            raise MachineLacks(f"the kernel's UDP table has {len(self._ports)} buckets here; the case asks for {count}")
        return tuple(sorted(self._ports.items())[:count])

    def _learn_some_ports(self) -> bool:
        # Returns whether this told of new buckets. The hash of a port is an exclusive or with it, so that 256 ports in a
        # row that bring nothing new mean that there is nothing more.
        before = len(self._ports)
        ports = range(self._next, min(self._next + _CHUNK, _PORTS_END))
        self._next = ports.stop
        sockets: list[_Socket] = []
        try:
            cookies = {}
            for port in ports:
                sockets.append(_bound("head", port))
                cookies[_cookie(sockets[-1])] = port
            for cookie, bucket in _walk(self._walker):
                self._ports.setdefault(bucket, cookies[cookie])
        finally:
            for one in sockets:
                one.close()
        return len(self._ports) > before

    def _learn_the_ends(self) -> None:
        # Up to 6.4 the iterator walks another table, the one by port alone, which every socket enters at the head: there a
        # case that says tail cannot be carried out, and next to all of them do.
        sockets: list[_Socket] = []
        try:
            for end in _TRIED:
                sockets.append(_bound(end, _FIRST_PORT))
            first, second, third = map(_cookie, sockets)
            order = [cookie for cookie, _ in _walk(self._walker)]
        finally:
            for one in sockets:
                one.close()
        if order == [third, second, first]:
            raise MachineLacks("the running kernel's iterator walks a table that has no tail adds (as Linux before 6.5)")
        if order != [third, first, second]:
            raise MachineLacks("sockets that were added at head, tail and head are walked in neither of the known orders")


class UdpSockets:
    """The sockets of one iteration, in the buckets that `places` says, each by its number and a port in it."""

    __slots__ = ("_namespace", "_places", "_sockets")

    def __init__(self, namespace: Namespace, places: tuple[tuple[int, int], ...]) -> None:
        self._namespace = namespace
        self._places = places
        self._sockets: dict[str, _Socket] = {}

    @property
    def buckets(self) -> Sequence[int]:
        """The kernel's numbers of the buckets, in the order of the walk."""
        return [number for number, _ in self._places]

    def enter(self) -> None:
        """Make sure that the calling thread is in the private namespace."""
        self._namespace.stay()

    def add(self, name: str, end: End, bucket: Bucket) -> int:
        """Bind a new socket, and return its cookie; raises `MachineLacks`."""
        if len(self._sockets) >= SOCKETS_MAX:
            raise MachineLacks(f"an iteration can have {SOCKETS_MAX} sockets at a time; the case asks for more")
        self._namespace.stay()
        new = self._sockets[name] = _bound(end, self._places[bucket.number][1])
        return _cookie(new)

    def remove(self, name: str) -> None:
        """Close it."""
        self._sockets.pop(name).close()

    def close(self) -> None:
        """Close all of them; a second call does nothing."""
        while self._sockets:
            self._sockets.popitem()[1].close()


def _bound(end: End, port: int) -> _Socket:
    # An IPv6 socket with SO_REUSEPORT goes to the tail, all others to the head; they share the bucket and, as the one takes
    # no IPv4, the port.
    new = None
    try:
        if end == "head":
            new = _Socket(socket.AF_INET, socket.SOCK_DGRAM)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            new.bind(("0.0.0.0", port))
        else:
            new = _Socket(socket.AF_INET6, socket.SOCK_DGRAM)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            new.bind(("::", port))
    except BaseException as error:
        if new is not None:
            new.close()
        if isinstance(error, OSError):
            raise lacks(f"one more UDP socket at the {end} of a bucket", error) from error
        raise
    return new


def _cookie(one: _Socket) -> int:
    return int.from_bytes(one.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)


def _walk(walker: Walker) -> list[tuple[int, int]]:
    # A whole walk over a table that does not change, shorter than what one read returns.
    fd = walker.open()
    try:
        return read(fd, MANY)
    except OSError as error:
        raise lacks("read of a UDP iterator", error) from error
    finally:
        os.close(fd)
