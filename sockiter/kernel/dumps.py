"""Dumps over netlink: of sock_diag, rtnetlink and ctnetlink. A walk sends the request, a reader receives the messages."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sockiter.errors import Unavailable
from sockiter.kernel import diag, netlink
from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.kernel.elements import Elements
from sockiter.kernel.libc import unavailable
from sockiter.operations import Bucket, Unit

# A message has NLMSG_GOODSIZE bytes: a page, at most 8192, less `struct skb_shared_info`. It has more where the socket has
# received with a larger buffer, up to 32 KB. With a buffer of the size of its messages, all of them have room for as many
# records.
_MESSAGE = min(os.sysconf("SC_PAGE_SIZE"), 8192) - 320
_LARGEST = 32_768 - 320
_NOOP = 1


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
