"""The ways to walk the kernel's sockets: BPF iterators, files of /proc/net, dumps by sock_diag.

Decided here: how each is begun and read, and by which number it knows a socket. Not known here: which sockets there are,
and the use of what a walk returns.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Protocol

from sockiter.kernel import netlink
from sockiter.kernel.bpf.loader import BUFFER_SIZE, Walker
from sockiter.kernel.bpf.programs import RECORD
from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.kernel.libc import unavailable
from sockiter.kernel.sockets.base import Socket, cookie, inode


class Reader(Protocol):
    """One walk. Sockets are numbers, as `Walk.socket_id` returns them."""

    def read(self, count: int) -> Sequence[int]:
        """The next sockets, `count` of them at most, none at the end; raises OSError."""

    def read_with_stops(self, count: int, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        """The same, with stops inside."""

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        """The sockets whose turn came during the last read, or at the beginning of the walk, given what it returned."""

    def close(self) -> None:
        """End the walk."""


class Walk(Protocol):
    """A way to walk. `records_max`: as many sockets as one read can return."""

    records_max: int

    def socket_id(self, sock: Socket, /) -> int:
        """The number by which this walk knows a socket."""

    def open(self) -> Reader:
        """Begin a walk over the sockets in the calling thread's network namespace; raises `Unavailable`."""


class BpfWalk:
    """By a BPF iterator, whose program writes a record of each socket."""

    # A record goes into the buffer only if something is left behind it.
    records_max = BUFFER_SIZE // RECORD.size - 1

    def socket_id(self, sock: Socket, /) -> int:
        return cookie(sock)

    def __init__(self, walker: Walker) -> None:
        self._walker = walker

    def open(self) -> BpfReader:
        return BpfReader(self._walker.open())


class BpfReader:
    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, count: int) -> Sequence[int]:
        return _cookies(os.read(self._fd, min(count * RECORD.size, BUFFER_SIZE)))

    def read_with_stops(self, count: int, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        return _cookies(stops.read(self._fd, min(count * RECORD.size, BUFFER_SIZE), on_stop))

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        os.close(self._fd)


class ProcWalk:
    """By a file of /proc/net whose lines all have the same width.

    The file is read into a buffer of a page, which takes a line only if something is left behind it. The first line is a
    title; it is read just before the first socket.
    """

    def socket_id(self, sock: Socket, /) -> int:
        return inode(sock)

    def __init__(self, name: str, width: int) -> None:
        self._path = f"/proc/thread-self/net/{name}"
        self._width = width
        self.records_max = (os.sysconf("SC_PAGE_SIZE") - 1) // width

    def open(self) -> ProcReader:
        try:
            return ProcReader(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), self._width)
        except OSError as error:
            raise unavailable(f"open {self._path}", error) from error


class ProcReader:
    __slots__ = ("_begun", "_fd", "_width")

    def __init__(self, fd: int, width: int) -> None:
        self._fd = fd
        self._width = width
        self._begun = False

    def read(self, count: int) -> Sequence[int]:
        if not self._begun:
            os.read(self._fd, self._width)
            self._begun = True
        return [number for number, _ in lines(os.read(self._fd, count * self._width))]

    def read_with_stops(self, count: int, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # what targets that are walked so do not offer

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        os.close(self._fd)


def lines(text: bytes) -> list[tuple[int, int]]:
    """The inode and the first number (a bucket, for UDP) of each line of /proc/net/udp, /proc/net/tcp and the like."""
    split = [line.split() for line in text.splitlines()]
    return [(int(words[9]), int(words[0].rstrip(b":"))) for words in split if words[0] != b"sl"]


_MESSAGE = 4096


class DiagWalk:
    """By a dump of sock_diag, into messages of at most a page.

    The kernel fills the first one when it is asked, and each other when the one before it is received, so that the turn of
    a socket comes that much before it is delivered. A read hands out what is left of one message, or else the next one.
    """

    records_max = _MESSAGE

    def socket_id(self, sock: Socket, /) -> int:
        return cookie(sock)

    def __init__(self, request: bytes, cookie_at: int) -> None:
        self._request = request
        self._cookie_at = netlink.HEADER_SIZE + cookie_at

    def open(self) -> DiagReader:
        netlink_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
        try:
            # So small that a second message would not find room: no more than one is filled ahead.
            netlink_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            netlink_socket.send(self._request)
        except OSError as error:
            netlink_socket.close()
            raise unavailable("sock_diag", error) from error
        return DiagReader(netlink_socket, self._cookie_at)


class DiagReader:
    __slots__ = ("_cookie_at", "_ended", "_left", "_shown", "_socket")

    def __init__(self, netlink_socket: socket.socket, cookie_at: int) -> None:
        self._socket = netlink_socket
        self._cookie_at = cookie_at
        self._left: list[int] = []
        self._ended = False
        self._shown: list[int] = []
        self._look_ahead()

    def read(self, count: int) -> Sequence[int]:
        if not self._left and not self._ended:
            self._left = self._cookies(self._socket.recv(_MESSAGE))
            if not self._ended:
                self._look_ahead()
        returned, self._left = self._left[:count], self._left[count:]
        return returned

    def read_with_stops(self, count: int, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # what targets that are walked so do not offer

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        shown, self._shown = self._shown, []
        return shown

    def close(self) -> None:
        self._socket.close()

    def _look_ahead(self) -> None:
        ended = self._ended
        self._shown += self._cookies(self._socket.recv(_MESSAGE, socket.MSG_PEEK))
        self._ended = ended

    def _cookies(self, data: bytes) -> list[int]:
        cookies = []
        at = 0
        while at < len(data):
            size, kind = netlink.header(data, at)
            if kind in (netlink.DONE, netlink.ERROR):
                self._ended = True
                if error := netlink.error_of(data, at):
                    raise error
                break
            cookies.append(int.from_bytes(data[at + self._cookie_at : at + self._cookie_at + 8], "little"))
            at += size + 3 & ~3
        return cookies


def _cookies(records: bytes) -> Sequence[int]:
    return [socket_id for socket_id, _, _ in RECORD.iter_unpack(records)]
