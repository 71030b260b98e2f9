"""The peer of real TCP connections: it writes the packets of the other side, so that no second socket is needed.

Packets to the peer's address vanish: a route leads them to the loopback device, where the address is not local. So only
the packets of this module make a connection go on, and each state lasts until then. All addresses are IPv4; an IPv6
socket uses them as v4-mapped ones. sock_diag returns the cookies of sockets without a descriptor, and destroys sockets.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from sockiter.errors import Unavailable
from sockiter.kernel import netlink
from sockiter.kernel.diag import INET_COOKIE_AT, one_inet_request
from sockiter.kernel.libc import unavailable
from sockiter.kernel.sockets.base import Socket, cookie

ADDRESS = "192.0.2.1"
"""The address of the peer: one of those that are reserved for documentation (RFC 5737)."""
HERE = "127.0.0.1"
"""The address of all connections on this side."""
FIRST_SEQUENCE = 0
"""The peer's sequence number in an established connection."""

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_WINDOW = 65535
_NUMBERS = 1 << 32
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIHHHH")
_SOURCE, _DESTINATION = socket.inet_aton(ADDRESS), socket.inet_aton(HERE)
_HEADER = _IP.pack(0x45, 0, _IP.size + _TCP.size, 0, 0, 64, socket.IPPROTO_TCP, 0, _SOURCE, _DESTINATION)
# The part of the checksum that no segment changes: the addresses, the protocol, the length, and the window.
_CONSTANT_SUM = sum(struct.unpack("!4H", _SOURCE + _DESTINATION)) + socket.IPPROTO_TCP + _TCP.size + _WINDOW

_ETHERTYPE_IP = 0x800
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER
_FLAGS_AT = _IP.size + 13
# Only packets with SYN and ACK: load the flags; if they are these, take the packet; else leave it.
_ANSWERS = struct.pack("=HBBIHBBIHBBIHBBI", *(0x30, 0, 0, _FLAGS_AT, 0x15, 0, 1, _SYN | _ACK, 6, 0, 0, 0xFFFF, 6, 0, 0, 0))
_MESSAGE = 4096
_GET, _DESTROY = 20, 21  # SOCK_DIAG_BY_FAMILY, SOCK_DESTROY
# The time for the kernel to deliver a packet: some microseconds, as the loopback device delivers at once.
_PATIENCE_S = 5.0
_TAKES = "CAP_NET_RAW"


class Connection(NamedTuple):
    """The port of the peer, and the port on this side."""

    port: int
    local_port: int


class Peer:
    """The peer of the connections of one namespace. `destroys`: whether the kernel supports SOCK_DESTROY."""

    def __init__(self, raw: socket.socket, answers: socket.socket, diag: socket.socket) -> None:
        self._raw = raw
        self._answers = answers
        self._diag = diag
        self.destroys = self._can_destroy()

    def begin(self, connection: Connection) -> int:
        """Begin a handshake with a listening socket of this port; return the sequence number of its answer.

        Raises `Unavailable` if there is no answer.
        """
        self._send(connection, FIRST_SEQUENCE - 1, 0, _SYN)
        expected = struct.pack("!HH", connection.local_port, connection.port)
        while True:
            try:
                answer = self._answers.recv(_MESSAGE)
            except TimeoutError:
                raise Unavailable("a listening socket does not answer its peer") from None
            if answer[_IP.size : _IP.size + 4] == expected:
                return int.from_bytes(answer[_IP.size + 4 : _IP.size + 8], "big")

    def complete(self, connection: Connection, answer: int) -> None:
        """Complete a handshake, given the sequence number of the answer."""
        self._send(connection, FIRST_SEQUENCE, answer + 1, _ACK)

    def finish(self, connection: Connection, sequence: int) -> None:
        """Acknowledge the end of a connection, and end it from this side, too; `sequence`: of the FIN."""
        self._send(connection, FIRST_SEQUENCE, sequence + 1, _FIN | _ACK)

    def reset(self, connection: Connection, *, finished: bool = False) -> None:
        """Reset a connection, or a handshake."""
        self._send(connection, FIRST_SEQUENCE + finished, 0, _RST)

    def cookie_of(self, connection: Connection) -> int | None:
        """The cookie of an entry in the table of established sockets; else of a listening socket; else None."""
        try:
            return self._ask(_GET, one_inet_request(socket.AF_INET, HERE, connection.local_port, ADDRESS, connection.port))
        except FileNotFoundError:
            return None

    def destroy(self, family: int, address: str, connection: Connection, cookie: int) -> None:
        """Destroy a socket by SOCK_DESTROY. The peer's port of a listening socket is 0; raises OSError."""
        other = ADDRESS if connection.port else "0.0.0.0" if family == socket.AF_INET else "::"
        self._ask(_DESTROY, one_inet_request(family, address, connection.local_port, other, connection.port, cookie))

    def _can_destroy(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.bind((HERE, 0))
            sock.listen()
            port: int = sock.getsockname()[1]
            try:
                self.destroy(socket.AF_INET, HERE, Connection(0, port), cookie(sock))
            except OSError:
                return False
        return True

    def wait_until_gone(self, connection: Connection, cookie: int) -> None:
        """Wait until the kernel has removed an entry; raises `Unavailable`."""
        until = time.monotonic() + _PATIENCE_S
        while self.cookie_of(connection) == cookie:
            if time.monotonic() > until:
                raise Unavailable(f"a socket is still present {_PATIENCE_S:.0f} s after the reset from its peer")

    def _send(self, connection: Connection, sequence: int, acknowledged: int, flags: int) -> None:
        sequence %= _NUMBERS
        acknowledged %= _NUMBERS
        port, local_port = connection
        offset_and_flags = 5 << 12 | flags
        total = _CONSTANT_SUM + port + local_port + offset_and_flags
        total += (sequence >> 16) + (sequence & 0xFFFF) + (acknowledged >> 16) + (acknowledged & 0xFFFF)
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        segment = _TCP.pack(port, local_port, sequence, acknowledged, offset_and_flags, _WINDOW, ~total & 0xFFFF, 0)
        self._raw.sendto(_HEADER + segment, (HERE, 0))

    def _ask(self, kind: int, request: bytes) -> int:
        self._diag.send(netlink.with_header(request, kind, acknowledged=kind == _DESTROY))
        answer = self._diag.recv(_MESSAGE)
        _, answered = netlink.header(answer, 0)
        if answered != netlink.ERROR:
            at = netlink.HEADER_SIZE + INET_COOKIE_AT
            return int.from_bytes(answer[at : at + 8], "little")
        if error := netlink.error_of(answer):
            raise error
        return 0


def hung_up(sock: Socket) -> bool:
    """Wait until a connection has ended; False: it has not, in some seconds."""
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return bool(poll.poll(int(_PATIENCE_S * 1000)))


@contextmanager
def a_peer() -> Iterator[Peer]:
    """A peer in the calling thread's namespace until the end; raises `Unavailable`."""
    code = ctypes.create_string_buffer(_ANSWERS, len(_ANSWERS))
    with ExitStack() as stack:
        probe = "a raw socket"
        try:
            raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
            probe = "a packet socket"
            answers = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
            answers.setsockopt(
                socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(_ANSWERS) // 8, ctypes.addressof(code))
            )
            answers.bind(("lo", _ETHERTYPE_IP))
            answers.settimeout(_PATIENCE_S)
            probe = "sock_diag"
            diag = stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG))
            peer = Peer(raw, answers, diag)
        except OSError as error:
            raise unavailable(probe, error, takes=_TAKES) from error
        yield peer
