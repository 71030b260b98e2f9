"""The ways to walk the kernel's sockets: BPF iterators, files of /proc/net, dumps by sock_diag.

A walk opens, reads and closes one of these, and identifies each socket by a number.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, TypeAlias

from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel import diag, netlink
from sockiter.kernel.bpf.loader import BUFFER_SIZE, Walker
from sockiter.kernel.bpf.programs import RECORD
from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.kernel.elements import Elements
from sockiter.kernel.libc import unavailable
from sockiter.operations import Bucket, Unit


class Reader(Protocol):
    """One walk. Elements are numbers, as `Elements.add` returns them.

    `is_cut`: whether the last read(2) ended inside a record. `interrupted`: of a dump, whether the kernel said with the last
    read that the table has changed since the message before. `ages`: how many read(2) calls before the last one each
    returned socket was shown; empty if none was shown earlier.
    """

    @property
    def is_cut(self) -> bool: ...

    @property
    def ages(self) -> Sequence[int]: ...

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        """The sockets of the next records: at most `count`, or those whose last byte is among the next `count` bytes.

        None at the end; raises OSError.
        """

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        """As `read`, with stops inside the read."""

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        """The sockets that were shown during the last read, or at the beginning of the walk, given the result of that
        read."""

    def close(self) -> None:
        """End the walk."""


class Walk(Protocol):
    """A way to walk. `records_max`: the most sockets that one read can return. `is_dump`: it shows sockets before a read."""

    @property
    def records_max(self) -> int: ...

    @property
    def is_dump(self) -> bool: ...

    def open(self) -> Reader:
        """Begin a walk over the sockets in the calling thread's network namespace; raises `Unavailable`."""


class BpfWalk:
    """A BPF iterator, whose program writes a record for each socket."""

    # A record goes into the buffer only if it leaves space behind it.
    records_max = BUFFER_SIZE // RECORD.size - 1
    is_dump = False

    def __init__(self, walker: Walker) -> None:
        self._walker = walker

    def open(self) -> BpfReader:
        return BpfReader(self._walker.open())


class BpfReader:
    __slots__ = ("_fd", "_rest", "is_cut")

    ages: Sequence[int] = ()

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # The first bytes of a record.
        self._rest = b""
        self.is_cut = False

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        size = count * RECORD.size if unit == "records" else count
        return self._cookies(os.read(self._fd, size if size < BUFFER_SIZE else BUFFER_SIZE))

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        size = count * RECORD.size if unit == "records" else count
        return self._cookies(stops.read(self._fd, min(size, BUFFER_SIZE), on_stop))

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        os.close(self._fd)

    def _cookies(self, read: bytes) -> Sequence[int]:
        if self._rest or len(read) % RECORD.size:
            read = self._rest + read
            whole = len(read) // RECORD.size * RECORD.size
            self._rest = read[whole:]
            read = read[:whole]
            self.is_cut = bool(self._rest)
        return [socket_id for socket_id, _, _ in RECORD.iter_unpack(read)]


Parse: TypeAlias = Callable[[bytes], list[tuple[int, int]]]


class ProcWalk:
    """A file of /proc/net with lines of equal width.

    The kernel fills a buffer of one page, and adds a line only if it leaves space behind it. The first line is a title;
    it is read just before the first socket. `title`: its width, None for that of the others. `parse`: returns the inode of
    each of some whole lines, with another number.
    """

    is_dump = False

    def __init__(self, name: str, width: int, *, title: int | None = None, parse: Parse | None = None) -> None:
        self._path = f"/proc/thread-self/net/{name}"
        self._width = width
        self._title = width if title is None else title
        self._parse = parse or lines
        self.records_max = (os.sysconf("SC_PAGE_SIZE") - 1) // width

    def open(self) -> ProcReader:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return ProcReader(fd, self._width, title=self._title, parse=self._parse)
        except OSError as error:
            raise unavailable(f"open {self._path}", error) from error


class UnpaddedWalk(ProcWalk):
    """A file of /proc/net whose lines are not padded. They have equal width as long as all inodes have as many digits.

    Its width is measured before each walk; lines of other widths are inconclusive. `width`: where there are no lines.
    """

    def open(self) -> ProcReader:
        try:
            with open(self._path, "rb") as file:
                title, *others = file.read().splitlines(keepends=True)
        except OSError as error:
            raise unavailable(f"open {self._path}", error) from error
        self._title = len(title)
        if others:
            self._width = len(others[0])
            self.records_max = (os.sysconf("SC_PAGE_SIZE") - 1) // self._width
        reader = super().open()
        reader.need_equal_width = True
        return reader


class ProcReader:
    """Reads lines. The kernel keeps the rest of a line for the next read.

    When a read ends with the last byte of such a rest, the kernel produces the next line all the same, and keeps it
    (seq_read_iter of fs/seq_file.c). `need_equal_width`: reads are in whole lines, and a line of another width is
    inconclusive.
    """

    __slots__ = (
        *("_fd", "_kept", "_late", "_number", "_parse", "_rest", "_shown_in", "_title", "_width", "ages", "is_cut"),
        "need_equal_width",
    )

    def __init__(self, fd: int, width: int, *, title: int, parse: Parse) -> None:
        self._fd = fd
        self._width = width
        self._parse = parse
        # The width of a title that is still to be read.
        self._title = title
        # The first bytes of a line, and the number of bytes that the kernel keeps for the next read.
        self._rest = b""
        self._kept = 0
        # The number of lines of the last read that an earlier one has cut.
        self._late = 0
        # The number of the last read; and, for each line that was not returned to its end, the number of the read that
        # produced it.
        self._number = 0
        self._shown_in: deque[int] = deque()
        self.ages: Sequence[int] = ()
        self.is_cut = False
        self.need_equal_width = False

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        if self._title:
            os.read(self._fd, self._title)
            self._title = 0
        size = count * self._width if unit == "records" else count
        read = os.read(self._fd, size)
        if self._kept or unit == "bytes":
            self._follow(size, len(read))
            numbers = self._numbers(read)
            self.ages = [self._number - self._shown_in.popleft() for _ in numbers]
            return numbers
        self.ages = ()
        return self._numbers(read)

    def _numbers(self, read: bytes) -> list[int]:
        if self.need_equal_width and any(line[self._width - 1 :] != b"\n" for line in read.splitlines(keepends=True)):
            raise Inconclusive(f"lines of this file are not all {self._width} bytes wide: their inodes differ in length")
        # A race may meet lines of another width, and so reads that cut a line.
        self._late = 1 if self._rest else 0
        read, end, self._rest = (self._rest + read).rpartition(b"\n")
        self.is_cut = bool(self._rest)
        return [number for number, _ in self._parse(read + end)]

    def _follow(self, size: int, returned: int) -> None:
        # Work out which lines this read produced, and how much the kernel keeps of them.
        self._number += 1
        if not returned:
            # The end; so there was no line that the last read could produce in advance.
            self._shown_in.clear()
            self._kept = 0
        elif size < self._kept:
            self._kept -= size
        else:
            room = size - self._kept
            filled = returned == size
            produced = max(1, -(-room // self._width)) if filled else (returned - self._kept) // self._width
            self._shown_in.extend([self._number] * produced)
            self._kept = produced * self._width - room if filled else 0

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # targets with this walk do not offer stops

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned[self._late :] if self._late else returned

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class NetlinkFileWalk:
    """/proc/net/netlink, with lines of equal width, of which those of one protocol count.

    `title_bytes`: the first line. `before`: the number of sockets of earlier protocols in the namespace. There are also
    sockets of later protocols: with the first of them, the walk is read to its end.
    """

    protocol: int
    title_bytes: int
    width: int
    before: int

    is_dump: ClassVar[bool] = False

    @classmethod
    def measured(cls, protocol: int) -> NetlinkFileWalk:
        """For the calling thread's namespace, in which a socket of the protocol is open; raises `Unavailable`."""
        try:
            with open(_NETLINK_FILE, "rb") as file:
                title, *rest = file.read().splitlines(keepends=True)
        except OSError as error:
            raise unavailable(f"open {_NETLINK_FILE}", error) from error
        protocols = [int(line.split()[1]) for line in rest]
        widths = {len(line) for line in rest}
        if len(widths) != 1 or protocol not in protocols or max(protocols) == protocol:
            raise Unavailable(f"{_NETLINK_FILE}: lines of {sorted(widths)} bytes, of the protocols {sorted(set(protocols))}")
        return cls(protocol, len(title), widths.pop(), sum(other < protocol for other in protocols))

    @property
    def records_max(self) -> int:
        return (os.sysconf("SC_PAGE_SIZE") - 1) // self.width

    def open(self) -> NetlinkFileReader:
        try:
            return NetlinkFileReader(os.open(_NETLINK_FILE, os.O_RDONLY | os.O_CLOEXEC), self)
        except OSError as error:
            raise unavailable(f"open {_NETLINK_FILE}", error) from error


class NetlinkFileReader:
    __slots__ = ("_begun", "_fd", "_walk")

    is_cut = False
    ages: Sequence[int] = ()

    def __init__(self, fd: int, walk: NetlinkFileWalk) -> None:
        self._fd = fd
        self._walk = walk
        self._begun = False

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        walk = self._walk
        if not self._begun:
            self._begun = True
            for size in (walk.title_bytes, *[walk.width] * walk.before):
                os.read(self._fd, size)
        found = [line.split() for line in os.read(self._fd, count * walk.width).splitlines()]
        ours = [int(words[-1]) for words in found if int(words[1]) == walk.protocol]
        if len(ours) < len(found):
            while os.read(self._fd, BUFFER_SIZE):
                pass
        return ours

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # targets with this walk do not offer stops

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        os.close(self._fd)


def lines(text: bytes) -> list[tuple[int, int]]:
    """The inode and the first number (for UDP the bucket) of each line of /proc/net/udp, /proc/net/tcp and similar files."""
    split = [line.split() for line in text.splitlines()]
    return [(int(words[9]), int(words[0].rstrip(b":"))) for words in split if words[0] != b"sl"]


# A message has NLMSG_GOODSIZE bytes: a page, at most 8192, less `struct skb_shared_info`. It has more where the socket has
# received with a larger buffer, up to 32 KB. With a buffer of the size of its messages, all of them have room for as many
# records.
_MESSAGE = min(os.sysconf("SC_PAGE_SIZE"), 8192) - 320
_LARGEST = 32_768 - 320
_NOOP = 1
_NETLINK_FILE = "/proc/thread-self/net/netlink"


@dataclass(frozen=True, slots=True)
class DiagWalk:
    """A dump, in messages of equal size: of sock_diag, or of another netlink `protocol`, which is called `dump` in errors.

    The kernel fills the first message at the request, and every other one when the previous message is received. So an
    element is shown earlier than it is delivered. A read returns the rest of one message, or else the next message. A reader
    can destroy the sockets that it received, if they are TCP or UDP sockets.

    `number_at`, `number_bytes`: the place of an element's number in a record. `record_bytes`: the size of all records, 0 if
    it was not measured. `message_bytes`: the size of a message.
    """

    request: bytes
    number_at: int
    number_bytes: int = 8
    protocol: int = netlink.SOCK_DIAG
    dump: str = "sock_diag"
    record_bytes: int = 0
    message_bytes: int = _MESSAGE

    records_max: ClassVar[int] = _LARGEST
    is_dump: ClassVar[bool] = True

    def measured(self, elements: Elements) -> DiagWalk:
        """The same walk, with the size of a record of these elements, of which there are none; raises `Unavailable`."""
        elements.enter()
        try:
            elements.add("measured", "head" if elements.has_head else "tail", Bucket())
            reader = self.open()
            try:
                if not (size := reader.first_bytes()):
                    raise Unavailable(f"{self.dump}: the dump of one element is empty")
            finally:
                reader.close()
        finally:
            elements.close()
        return replace(self, record_bytes=size)

    @property
    def largest(self) -> int:
        """The records of the largest message; 0 if a record was not measured."""
        return _LARGEST // self.record_bytes if self.record_bytes else 0

    def sized(self, records: int) -> DiagWalk:
        """The same walk in messages of so many records, or as many as possible; but not in smaller messages than usual."""
        size = min(records * self.record_bytes, _LARGEST)
        return replace(self, message_bytes=size) if size > self.message_bytes else self

    def whole(self) -> list[int]:
        """The numbers of all elements in the calling thread's namespace, by a dump of its own."""
        reader = replace(self, message_bytes=_LARGEST).open()
        try:
            numbers: list[int] = []
            while more := reader.read(_LARGEST):
                numbers += more
            return numbers
        finally:
            reader.close()

    def open(self) -> DiagReader:
        netlink_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.protocol)
        try:
            # Too small for a second message, so that at most one is filled in advance.
            netlink_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            if self.message_bytes > _MESSAGE:
                # An acknowledgment, received with a larger buffer.
                netlink_socket.send(netlink.with_header(b"", _NOOP, acknowledged=True))
                netlink_socket.recv(self.message_bytes)
            netlink_socket.send(self.request)
        except OSError as error:
            netlink_socket.close()
            raise unavailable(self.dump, error) from error
        try:
            return DiagReader(netlink_socket, self)
        except BaseException:  # the first message is read already
            netlink_socket.close()
            raise

    def cannot_destroy(self) -> str:
        """The reason why a reader cannot destroy sockets in the calling thread's network namespace; "" if it can."""
        reader = self.open()
        try:
            # The kernel looks for a socket only if it can destroy one.
            reader.request_destruction(diag.NO_ADDRESSES)
        except OSError as error:
            return f"SOCK_DESTROY: {error.strerror}"
        finally:
            reader.close()
        return ""


class DiagReader:
    __slots__ = (
        *("_destroyer", "_ended", "_has_changed", "_left", "_received", "_shown", "_socket", "_walk"),
        "interrupted",
    )

    is_cut = False
    ages: Sequence[int] = ()

    def __init__(self, netlink_socket: socket.socket, walk: DiagWalk) -> None:
        self._socket = netlink_socket
        self._walk = walk
        self._received = b""
        self._destroyer: socket.socket | None = None
        self._left: list[int] = []
        self._ended = False
        self._shown: list[int] = []
        # Whether one of the last messages that were looked at has the flag of an interrupted dump.
        self._has_changed = self.interrupted = False
        self._look_ahead()

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        self.interrupted = False
        if not self._left and not self._ended:
            self._received = self._socket.recv(self._walk.message_bytes)
            self._has_changed = False
            self._left = self._numbers(self._received)
            self.interrupted = self._has_changed
            if not self._ended:
                self._look_ahead()
        returned, self._left = self._left[:count], self._left[count:]
        return returned

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # targets with this walk do not offer stops

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        shown, self._shown = self._shown, []
        return shown

    def destroy(self, number: int) -> bool:
        """Destroy a socket of the last message, as `ss -K` does; False if its addresses lead to no socket, or to another."""
        data, at = self._received, 0
        while self._number(data, at) != number:
            at += netlink.header(data, at)[0] + 3 & ~3
        return self.request_destruction(diag.addresses_in(data, at + netlink.HEADER_SIZE))

    def request_destruction(self, addresses: bytes) -> bool:
        """Request to destroy the socket with these addresses and this cookie; False if there is none; raises OSError."""
        if (destroyer := self._destroyer) is None:
            self._destroyer = destroyer = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
        # The family and the protocol of the sockets.
        kind = self._walk.request[netlink.HEADER_SIZE : netlink.HEADER_SIZE + 2]
        request = diag.destroy_request(kind, addresses)
        destroyer.send(netlink.with_header(request, diag.DESTROY, acknowledged=True))
        error = netlink.error_of(destroyer.recv(_MESSAGE))
        if error is not None and error.errno != errno.ENOENT:
            raise error
        return error is None

    def close(self) -> None:
        self._socket.close()
        if self._destroyer is not None:
            self._destroyer.close()

    def _look_ahead(self) -> None:
        ended = self._ended
        self._shown += self._numbers(self._peek())
        self._ended = ended

    def first_bytes(self) -> int:
        """The size of the first record of the next message, with its padding; 0 if there is none."""
        size, kind = netlink.header(self._peek(), 0)
        return 0 if kind in (netlink.DONE, netlink.ERROR) else size + 3 & ~3

    def _peek(self) -> bytes:
        return self._socket.recv(self._walk.message_bytes, socket.MSG_PEEK)

    def _numbers(self, data: bytes) -> list[int]:
        walk = self._walk
        numbers = []
        at = 0
        while at < len(data):
            size, kind = netlink.header(data, at)
            if at + size > len(data):
                raise Unavailable(f"{walk.dump}: this kernel fills messages of more than {walk.message_bytes} bytes")
            self._has_changed = self._has_changed or netlink.is_interrupted(data, at)
            if kind in (netlink.DONE, netlink.ERROR):
                self._ended = True
                if error := netlink.error_of(data, at):
                    raise error
                break
            numbers.append(self._number(data, at))
            at += size + 3 & ~3
        return numbers

    def _number(self, data: bytes, at: int) -> int:
        at += netlink.HEADER_SIZE + self._walk.number_at
        return int.from_bytes(data[at : at + self._walk.number_bytes], sys.byteorder)
