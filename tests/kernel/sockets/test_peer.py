"""The peer of connections: the packets that it writes, and the answers that it understands. Needs no privileges."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

import pytest

from sockiter.errors import Unavailable
from sockiter.kernel.sockets.peer import ADDRESS, HERE, Connection, Peer, a_peer

CONNECTION = Connection(1234, 50001)
FIN, SYN, RST, ACK = 1, 2, 4, 16


class Kernel:
    """The three sockets of a peer in one: what is sent, and the answers to come."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.asked: list[bytes] = []
        self.answers: list[bytes | Exception] = []

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        assert address == (HERE, 0)
        self.sent.append(data)

    def send(self, data: bytes) -> None:
        self.asked.append(data)

    def recv(self, size: int) -> bytes:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def peer(self, *, destroys: bool = True) -> Peer:
        self.answers.append(error(0 if destroys else errno.EOPNOTSUPP))
        one: Any = self
        return Peer(one, one, one)


def error(number: int) -> bytes:
    """The kernel's message about an error, or about none."""
    return struct.pack("=IHHIIi", 36, 2, 0, 0, 0, -number).ljust(36, b"\0")


def found(cookie: int) -> bytes:
    """The kernel's message about a socket: its cookie is the last part of its identity."""
    return struct.pack("=IHHII", 88, 20, 0, 0, 0) + bytes(44) + struct.pack("=Q", cookie) + bytes(20)


def answer(connection: Connection, sequence: int) -> bytes:
    """A packet of the listening socket to the peer."""
    return bytes(20) + struct.pack("!HHI", connection.local_port, connection.port, sequence) + bytes(12)


def sum_of(data: bytes) -> int:
    """The ones' complement sum of 16-bit words, which is 0xFFFF with a right checksum among them."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.mark.parametrize(
    ("action", "sequence", "acknowledged", "flags"),
    [
        (lambda peer: peer.complete(CONNECTION, 0xFFFFFFFF), 0, 0, ACK),
        (lambda peer: peer.complete(CONNECTION, 0xABCD1234), 0, 0xABCD1235, ACK),
        (lambda peer: peer.finish(CONNECTION, 77), 0, 78, FIN | ACK),
        (lambda peer: peer.reset(CONNECTION), 0, 0, RST),
        (lambda peer: peer.reset(CONNECTION, finished=True), 1, 0, RST),
    ],
    ids=["last number", "complete", "finish", "reset", "reset behind a FIN"],
)
def test_a_segment_has_its_numbers_and_a_right_checksum(
    action: Any, sequence: int, acknowledged: int, flags: int, kernel: Kernel
) -> None:
    action(kernel.peer())
    (packet,) = kernel.sent
    source, destination = socket.inet_aton(ADDRESS), socket.inet_aton(HERE)
    assert (packet[0], packet[9], packet[12:16], packet[16:20]) == (0x45, socket.IPPROTO_TCP, source, destination)
    segment = packet[20:]
    words = struct.unpack("!HHIIHHHH", segment)
    assert words[:5] == (1234, 50001, sequence, acknowledged, 5 << 12 | flags)
    assert sum_of(source + destination + struct.pack("!HH", socket.IPPROTO_TCP, len(segment)) + segment) == 0xFFFF


def test_a_handshake_begins_with_a_syn_and_returns_the_number_of_its_own_answer(kernel: Kernel) -> None:
    peer = kernel.peer()
    kernel.answers += [answer(Connection(9, 50001), 1), answer(Connection(1234, 9), 2), answer(CONNECTION, 0xFEDC1234)]
    assert peer.begin(CONNECTION) == 0xFEDC1234
    assert struct.unpack("!HHIIHHHH", kernel.sent[0][20:])[2:5] == (0xFFFFFFFF, 0, 5 << 12 | SYN)


def test_a_handshake_without_an_answer_is_reported(kernel: Kernel) -> None:
    peer = kernel.peer()
    kernel.answers.append(TimeoutError())
    with pytest.raises(Unavailable, match=r"^a listening socket does not answer its peer$"):
        peer.begin(CONNECTION)


def test_a_cookie_is_that_of_the_found_socket_or_none(kernel: Kernel) -> None:
    peer = kernel.peer()
    kernel.answers += [found(0x123456789), error(errno.ENOENT), error(errno.EPERM)]
    assert peer.cookie_of(CONNECTION) == 0x123456789
    assert peer.cookie_of(CONNECTION) is None
    with pytest.raises(OSError, match=os.strerror(errno.EPERM)):
        peer.cookie_of(CONNECTION)
    family, protocol, _, _ = struct.unpack_from("=BBHI", kernel.asked[-1], 16)
    port, other_port, address, other = struct.unpack_from("!HH4s12x4s", kernel.asked[-1], 24)
    assert (family, protocol, port, other_port) == (socket.AF_INET, socket.IPPROTO_TCP, 50001, 1234)
    assert (socket.inet_ntoa(address), socket.inet_ntoa(other)) == (HERE, ADDRESS)
    assert kernel.asked[-1][-8:] == bytes([0xFF] * 8)


@pytest.mark.parametrize(
    ("family", "address", "port", "other"),
    [(socket.AF_INET, HERE, 7, ADDRESS), (socket.AF_INET, HERE, 0, "0.0.0.0"), (socket.AF_INET6, "fd00::1", 0, "::")],
)
def test_a_socket_is_destroyed_by_its_addresses_and_its_cookie(
    family: int, address: str, port: int, other: str, kernel: Kernel
) -> None:
    peer = kernel.peer()
    kernel.answers.append(error(0))
    peer.destroy(family, address, Connection(port, 8), 99)
    request = kernel.asked[-1]
    assert struct.unpack_from("=HH", request, 4) == (21, 5)  # SOCK_DESTROY; with an answer
    size = len(socket.inet_pton(family, address))
    assert request[28 : 28 + size] == socket.inet_pton(family, address)
    assert request[44 : 44 + size] == socket.inet_pton(family, other)
    assert request[-8:] == struct.pack("=Q", 99)


@pytest.mark.parametrize("destroys", [True, False])
def test_whether_sockets_can_be_destroyed_is_found_by_trying(destroys: bool, kernel: Kernel) -> None:
    assert kernel.peer(destroys=destroys).destroys == destroys


def test_an_entry_that_stays_is_reported(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = kernel.peer()
    kernel.answers += [found(5), found(6)]
    peer.wait_until_gone(CONNECTION, 5)  # another has its place
    monkeypatch.setattr("sockiter.kernel.sockets.peer.time.monotonic", iter([0.0, 1.0, 6.0]).__next__)
    kernel.answers += [found(5), found(5)]
    with pytest.raises(Unavailable, match=r"^a socket is still present 5 s after the reset from its peer$"):
        peer.wait_until_gone(CONNECTION, 5)


def test_a_peer_that_may_send_no_packets_names_the_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "")

    monkeypatch.setattr("sockiter.kernel.sockets.peer.socket.socket", refuse)
    message = r"^a raw socket: EPERM \(Operation not permitted\); this requires root, or CAP_NET_RAW$"
    with pytest.raises(Unavailable, match=message), a_peer():
        pass
