"""The sockets of one iteration, by name, for every kind of sockets.

The base class tracks the sockets, their buckets, and the room for more. Each kind implements the moves into and out of a
bucket.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import os
import resource
import socket
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.programs import UNWANTED
from sockiter.kernel.elements import Elements
from sockiter.kernel.libc import connect, unavailable
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Bucket, End

SOCKETS_MAX = 16_000
"""The most sockets of an iteration, below the usual limit of open files."""
_SPARE_FILES = 500

Socket = _socket.socket
"""The base class of socket.socket, at half the cost: a fuzzer makes tens of thousands of sockets a second."""

Destroyer: TypeAlias = Callable[[int], None]
"""Destroys the socket with this cookie, from outside of any walk under test; raises `Unavailable`."""

_SO_COOKIE = 57
_SO_MARK = 36
_LOCAL_PORT_RANGE = 51  # IP_LOCAL_PORT_RANGE, Linux 6.3
_LOCAL_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"


class Sockets(Elements):
    """The sockets of one iteration. A target does not offer operations that its kind of sockets lacks.

    `number_of`: the number of a socket in a walk: its cookie or inode.
    """

    def __init__(self, namespace: Namespace, number_of: Callable[[Socket], int] | None = None) -> None:
        self._namespace = namespace
        self._number_of = number_of or cookie
        self._held: dict[str, tuple[Socket, Bucket]] = {}
        self._released: list[Socket] = []
        self._room = descriptors(SOCKETS_MAX)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def enter(self) -> None:
        self._namespace.stay()

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self._check_room()
        self.enter()
        new = None
        try:
            with explain_errors(f"one more socket at the {end} of bucket {bucket}"):
                new = self._new()
                if bound:
                    self._put_bound(new, bucket, end)
                else:
                    self._put(new, bucket, end)
                if unwanted:
                    mark_unwanted(new)
                number = self._number_of(new)
        except BaseException:
            if new is not None:
                new.close()
            raise
        self._held[name] = new, bucket
        return number

    def destroy(self, name: str) -> Bucket | None:
        gone, bucket = self._held[name]
        self._namespace.stay()
        if (home := self._destroy(gone, bucket)) is not None:
            self._held[name] = gone, home
            return home
        del self._held[name]
        self._forget(gone)
        gone.close()
        return None

    def remove(self, name: str) -> None:
        gone, bucket = self._held.pop(name)
        try:
            self._leave(gone, bucket)
        finally:
            self._forget(gone)
            gone.close()

    def release(self, name: str) -> None:
        self._released.append(self._held.pop(name)[0])

    def has_returned(self, name: str, home: Bucket) -> bool:
        survivor, bucket = self._held[name]
        self._held[name] = survivor, home
        return bucket != home

    def sweep(self) -> None:
        while self._released:
            gone = self._released.pop()
            self._forget(gone)
            gone.close()

    def check_room(self, elements: Mapping[Bucket, int]) -> None:
        if (count := sum(elements.values())) > self._room:
            raise Inconclusive(f"an iteration can have {self._room} sockets at a time here; the case needs {count}")

    def _check_room(self) -> None:
        if len(self._held) >= self._room:
            raise Inconclusive(f"an iteration can have {self._room} sockets at a time here; the case needs more")

    def reinsert(self, name: str, end: End) -> None:
        moved, bucket = self._held[name]
        self._namespace.stay()
        with explain_errors(f"a socket, again at the {end} of bucket {bucket}"):
            self._take(moved, bucket)
            self._put(moved, bucket, end)

    def rehash(self, name: str, bucket: Bucket) -> bool:
        moved, old = self._held[name]
        if old == bucket:
            return False
        self._namespace.stay()
        with explain_errors(f"a socket, from bucket {old} to {bucket}"):
            self._move(moved, old, bucket)
        self._held[name] = moved, bucket
        return True

    def bucket(self, name: str) -> Bucket:
        return self._held[name][1]

    def close(self) -> None:
        self.sweep()
        while self._held:
            gone, _ = self._held.popitem()[1]
            self._forget(gone)
            gone.close()

    @abstractmethod
    def _new(self) -> Socket:
        """A socket that is in no bucket."""

    @abstractmethod
    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        """Put a socket that is in no bucket into this one; raises OSError."""

    def _put_bound(self, new: Socket, bucket: Bucket, end: End) -> None:
        raise NotImplementedError  # for kinds that stay in the table after they are destroyed

    def _destroy(self, gone: Socket, bucket: Bucket) -> Bucket | None:
        raise NotImplementedError  # for kinds that can be destroyed

    @abstractmethod
    def _take(self, old: Socket, bucket: Bucket) -> None:
        """Take a socket out of its bucket, so that it can be put in again; raises OSError."""

    def _move(self, moved: Socket, old: Bucket, bucket: Bucket) -> None:
        self._take(moved, old)
        self._put(moved, bucket, "head")

    def _leave(self, gone: Socket, bucket: Bucket) -> None:
        """Make a closing socket leave its bucket, for kinds where close(2) alone is not enough, or not the only way."""

    def _forget(self, gone: Socket) -> None:
        """Forget the data that a kind keeps about a socket."""


def descriptors(most: int) -> int:
    """At most so many descriptors, fewer where the limit of open files is lower."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if files == resource.RLIM_INFINITY else max(min(most, files - _SPARE_FILES), 0)


class LocalPort:
    """Sets the port that the kernel chooses for a socket, so that the socket can give up the port again.

    A port that a socket requests by number is permanent, and so is the socket's place in the table. The choice is set by
    the socket's own port range (Linux 6.3), or else by the namespace's.
    """

    __slots__ = ("_own", "_set")

    def __init__(self) -> None:
        self._own = True
        self._set = 0

    def choose(self, sock: Socket, port: int) -> None:
        """Make the kernel choose this port for the socket's next automatic choice; raises OSError."""
        if self._own:
            try:
                sock.setsockopt(socket.IPPROTO_IP, _LOCAL_PORT_RANGE, (port << 16 | port).to_bytes(4, sys.byteorder))
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:
                    raise
                self._own = False
        if not self._own and self._set != port:
            with open(_LOCAL_PORTS, "w") as file:
                file.write(f"{port} {port}")
            self._set = port


@contextmanager
def explain_errors(action: str) -> Iterator[None]:
    """Turn an OSError of an action into an `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise unavailable(action, error) from error


def cookie(sock: Socket) -> int:
    """The cookie of a socket, which is unique for the kernel's lifetime."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)


def mark_unwanted(sock: Socket, *, is_unwanted: bool = True) -> None:
    """Give a socket the mark by which the iterating program filters it out, or take it away."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, UNWANTED if is_unwanted else 0)


def inode(sock: Socket) -> int:
    """The inode of a socket, which identifies it in /proc."""
    return os.fstat(sock.fileno()).st_ino


def disconnect(sock: Socket) -> None:
    """connect(2) to an address of no family; raises OSError."""
    connect(sock.fileno(), ctypes.create_string_buffer(16), 16)
