"""The ways to walk the kernel's sockets: BPF iterators, files of /proc/net, dumps by sock_diag.

A walk opens, reads and closes one of these, and identifies each socket by a number.
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
        """The next sockets, at most `count`; none at the end; raises OSError."""

    def read_with_stops(self, count: int, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        """As `read`, with stops inside the read."""

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        """The sockets that were shown during the last read, or at the beginning of the walk, given the result of that
        read."""

    def close(self) -> None:
        """End the walk."""


class Walk(Protocol):
    """A way to walk. `records_max`: the most sockets that one read can return."""

    records_max: int

    def socket_id(self, sock: Socket, /) -> int:
        """The number that identifies a socket in this walk."""

    def open(self) -> Reader:
        """Begin a walk over the sockets in the calling thread's network namespace; raises `Unavailable`."""


class BpfWalk:
    """A BPF iterator, whose program writes a record for each socket."""

    # A record goes into the buffer only if it leaves space behind it.
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
    """A file of /proc/net with lines of equal width.

    The kernel fills a buffer of one page, and adds a line only if it leaves space behind it. The first line is a title;
    it is read just before the first socket.
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
        raise NotImplementedError  # targets with this walk do not offer stops

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        os.close(self._fd)


def lines(text: bytes) -> list[tuple[int, int]]:
    """The inode and the first number (for UDP the bucket) of each line of /proc/net/udp, /proc/net/tcp and similar files."""
    split = [line.split() for line in text.splitlines()]
    return [(int(words[9]), int(words[0].rstrip(b":"))) for words in split if words[0] != b"sl"]


_MESSAGE = 4096


class DiagWalk:
    """A dump of sock_diag, in messages of at most a page.

    The kernel fills the first message at the request, and every other one when the previous message is received. So a
    socket is shown earlier than it is delivered. A read returns the rest of one message, or else the next message.
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
            # Too small for a second message, so that at most one is filled in advance.
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
        raise NotImplementedError  # targets with this walk do not offer stops

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
