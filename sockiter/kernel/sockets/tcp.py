"""Real TCP sockets, listening or established, each in a given bucket and at a given end of it.

An address and a port determine a socket's bucket. The module learns these buckets from the running kernel by reading its
iterator. It computes only one thing: the listening table's hash of an address and a port is an exclusive or with the
port.

Every listening socket has its own address, so that it can be put at either end of its bucket: the kernel puts IPv6
sockets with SO_REUSEPORT at the tail, and all others at the head. An established socket needs no peer, thanks to
TCP_REPAIR.
"""

from __future__ import annotations

import select
import socket
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeAlias

from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import LocalPort, Socket, Sockets, cookie, disconnect
from sockiter.operations import Bucket, End

ESTABLISHED = "established"
TABLES = ("listening", ESTABLISHED)

Look: TypeAlias = Callable[[], list[tuple[int, int, int]]]
"""A whole walk: the cookie of each socket, the number of its bucket, and the index of its table in `TABLES`."""

# Arbitrary ports, in the kernel's own range for automatic choices. Sockets that listen only for this module's own use get
# the second port, and established sockets the third.
# and established sockets the third.
_PORT = 40000
_NOWHERE = 40001
_ESTABLISHED_PORT = 50000
_FIRST_REMOTE_PORT = 1024
_LEAST_PORT = 1024
# An address that no socket of an iteration gets, and a bucket of every kernel, behind all established ones.
_NOBODYS = 0
_FAR_BEHIND = 63
_CHUNK = 64
_ADDRESSES_MAX = 20_000
_TCP_REPAIR = 19
_FREEBIND: dict[int, tuple[int, int]] = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
_LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
# The time for a socket to notice its reset: some microseconds, as the loopback device delivers at once.
_RESET_MS = 5_000


class Places:
    """The buckets of addresses and ports; learned on demand, and kept.

    Buckets of both tables have the kernel's own numbers, from 0.
    """

    def __init__(self, namespace: Namespace, look: Look, family: int) -> None:
        namespace.stay()
        self.family = family
        self.local_port = LocalPort()
        self._look = look
        # The bucket of each address with `_PORT`, by the address's number.
        self._hashes: list[int] = []
        # Peers' ports by bucket; all ports that were tried.
        self._remote: defaultdict[int, list[int]] = defaultdict(list)
        self._tried = _FIRST_REMOTE_PORT

    def listening(self, number: int, bucket: int) -> tuple[str, int] | None:
        """The address of this number, and the port that puts it into this bucket; None if there is no such port."""
        self.know(number + 1)
        port = _PORT ^ self._hashes[number] ^ bucket
        return (self._address(number), port) if port >= _LEAST_PORT and port != _NOWHERE else None

    def know(self, count: int) -> None:
        """Learn the buckets of this number of addresses in total; raises `Inconclusive`."""
        while len(self._hashes) < count:
            self._learn_some_addresses()

    def remote_port(self, bucket: int) -> int:
        """A peer's port that puts an established socket into this bucket; the caller owns it until `give_back`."""
        self.prepare(bucket, 1)
        return self._remote[bucket].pop()

    def prepare(self, bucket: int, count: int) -> None:
        """Keep this number of ports available for an established bucket; raises `Inconclusive`."""
        while len(self._remote[bucket]) < count:
            if self._tried >= _ESTABLISHED_PORT - _CHUNK:
                raise Inconclusive(f"no further port leads to bucket {bucket} of the established sockets")
            self._learn_some_remote_ports()

    def give_back(self, bucket: int, port: int) -> None:
        self._remote[bucket].append(port)

    def connect(self, new: Socket, port: int) -> None:
        """Make a socket established without a peer; raises OSError."""
        new.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        self.local_port.choose(new, _ESTABLISHED_PORT)
        new.connect((_LOOPBACK[self.family], port))

    def listen(self, new: Socket, address: str, port: int, end: End) -> None:
        """Bind a socket and let it listen; raises OSError."""
        new.setsockopt(*_FREEBIND[self.family], 1)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, end == "tail")
        self.local_port.choose(new, port)
        new.bind((address, 0))
        new.listen(1)

    def new(self) -> Socket:
        return Socket(self.family, socket.SOCK_STREAM)

    def _address(self, number: int) -> str:
        high, low = divmod(number, 250)
        return f"fd00::{high + 1:x}:{low + 1:x}" if self.family == socket.AF_INET6 else f"127.1.{high}.{low + 1}"

    def _learn_some_addresses(self) -> None:
        known = len(self._hashes)
        if known >= _ADDRESSES_MAX:
            raise Inconclusive(f"none of {known} addresses leads one more socket to a bucket of the listening table")
        with ExitStack() as stack:
            cookies = []
            for number in range(known, known + _CHUNK):
                stack.callback((sock := self.new()).close)
                self.listen(sock, self._address(number), _PORT, "head")
                cookies.append(cookie(sock))
            buckets = {socket_id: bucket for socket_id, bucket, _ in self._look()}
        self._hashes += [buckets[socket_id] for socket_id in cookies]

    def _learn_some_remote_ports(self) -> None:
        # With one listening socket far behind: without any, a counting iterator (`offset-tcp`) skips established sockets.
        place = self.listening(_NOBODYS, _FAR_BEHIND) or self.listening(_NOBODYS, _FAR_BEHIND - 1)
        assert place is not None  # neighbouring ports are not both too low
        with ExitStack() as stack:
            stack.callback((listening := self.new()).close)
            self.listen(listening, *place, "head")
            ports = {}
            for port in range(self._tried, self._tried + _CHUNK):
                stack.callback((sock := self.new()).close)
                self.connect(sock, port)
                ports[cookie(sock)] = port
            for socket_id, bucket, _ in self._look():
                if socket_id in ports:
                    self._remote[bucket].append(ports[socket_id])
        self._tried += _CHUNK


class TcpSockets(Sockets):
    """TCP sockets in the kernel's buckets of the same numbers; a bucket without a table name is in the first table.

    `established`: the number of buckets of established sockets that may be used.
    """

    def __init__(self, namespace: Namespace, places: Places, first: str, established: int) -> None:
        super().__init__(namespace)
        self._established = established
        self._places = places
        self._first = first
        self.has_tail = first != ESTABLISHED and places.family == socket.AF_INET6
        self._numbers: dict[Socket, int] = {}  # each socket's address number, present or last
        self._free: list[int] = []
        self._given = _NOBODYS + 1
        self._peers: dict[Socket, tuple[int, int]] = {}  # of established sockets: bucket and port
        self._removed = 0

    def prepare(self, changes: int) -> None:
        for bucket in range(self._established):
            self._places.prepare(bucket, changes)
        self._places.know(self._given + 2 * changes)

    def _new(self) -> Socket:
        return self._places.new()

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        if self._is_established(bucket):
            port = self._places.remote_port(bucket.number)
            self._peers[new] = bucket.number, port
            self._places.connect(new, port)
        else:
            self._places.listen(new, *self._address(new, bucket.number), end)

    def _take(self, old: Socket, bucket: Bucket) -> None:
        if self._is_established(bucket):
            disconnect(old)
            old.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
            self._places.give_back(*self._peers.pop(old))
        else:
            old.shutdown(socket.SHUT_RD)

    def _move(self, moved: Socket, old: Bucket, bucket: Bucket) -> None:
        self._take(moved, old)
        if self._is_established(bucket) and not self._is_established(old):
            # Otherwise it would keep its own address, which it gives up only for the wildcard address.
            self._places.listen(moved, "", _NOWHERE, "tail")
            moved.shutdown(socket.SHUT_RD)
        self._put(moved, bucket, "head")

    def _leave(self, gone: Socket, bucket: Bucket) -> None:
        if self._is_established(bucket):
            # By close(2) and by a reset from the peer, alternately.
            self._removed += 1
            if self._removed % 2:
                self._reset(gone)

    def _reset(self, sock: Socket) -> None:
        # The end of TCP_REPAIR sends a packet to the peer. The kernel has no such peer, and answers with a reset.
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        if not poll.poll(_RESET_MS):
            raise Unavailable(f"an established socket is still present {_RESET_MS // 1000} s after its reset")

    def _forget(self, gone: Socket) -> None:
        if (number := self._numbers.pop(gone, None)) is not None:
            self._free.append(number)
        if (peer := self._peers.pop(gone, None)) is not None:
            self._places.give_back(*peer)

    def _address(self, new: Socket, bucket: int) -> tuple[str, int]:
        # The socket's own address, or, if that address has no port for this bucket, another unused one.
        if (number := self._numbers.pop(new, None)) is not None:
            self._free.append(number)
        for at in range(len(self._free) - 1, -1, -1):
            if (place := self._places.listening(self._free[at], bucket)) is not None:
                self._numbers[new] = self._free.pop(at)
                return place
        while True:
            number = self._given
            self._given += 1
            if (place := self._places.listening(number, bucket)) is not None:
                self._numbers[new] = number
                return place
            self._free.append(number)

    def _is_established(self, bucket: Bucket) -> bool:
        return (bucket.table or self._first) == ESTABLISHED
