"""The ways to walk a table of the kernel: BPF iterators and files of /proc/net. `dumps` and `loops` have others.

A walk opens, reads and closes one of these, and identifies each element by a number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.bpf.loader import BUFFER_SIZE, Walker
from sockiter.kernel.bpf.programs import RECORD
from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.kernel.libc import unavailable
from sockiter.operations import Unit


class Reader(Protocol):
    """One walk. Elements are numbers, as `Elements.add` returns them.

    `is_cut`: whether the last read(2) ended inside a record. `interrupted`: of a dump, whether the kernel said with the last
    read that the table has changed since the message before. `ages`: how many read(2) calls before the last one each
    returned socket was shown; empty if none was shown earlier.
    """

    @property
    def is_cut(self) -> bool: ...

    @property
    def interrupted(self) -> bool: ...

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

    interrupted = False
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

    interrupted = False

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


_NETLINK_FILE = "/proc/thread-self/net/netlink"


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

    is_cut = interrupted = False
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
