"""Real TCP sockets, listening or established, each in a given bucket and at a given end of it.

An address and a port determine a socket's bucket. The module learns these buckets from the running kernel by reading its
iterator. It computes only one thing: the listening table's hash of an address and a port is an exclusive or with the
port.

Every listening socket has its own address, so that it can be put at either end of its bucket: the kernel puts IPv6
sockets with SO_REUSEPORT at the tail, and all others at the head. An established socket needs no handshake, thanks to
TCP_REPAIR. Its peer does not exist; `peer` writes the packets of that side, which close a connection, begin a handshake and
complete it. A socket listens for a handshake only while such a packet is sent, so that no walk shows that socket.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel.bpf.stops import Small
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import (
    Destroyer,
    LocalPort,
    Socket,
    Sockets,
    cookie,
    disconnect,
    explain_errors,
    mark_unwanted,
)
from sockiter.kernel.sockets.peer import ADDRESS, HERE, Connection, Peer, hung_up
from sockiter.operations import Bucket, End

ESTABLISHED = "established"
TABLES = ("listening", ESTABLISHED)

ESTABLISHED_MAX = 3_750
"""The most established sockets of a bucket at open: at least so many ports of the peer lead to each of 16 buckets."""

Look: TypeAlias = Callable[[], list[tuple[int, int, int]]]
"""A whole walk: the cookie of each socket, the number of its bucket, and the index of its table in `TABLES`."""

# Arbitrary ports, in the kernel's own range for automatic choices. Sockets that listen only for this module's own use get
# the second port, established sockets the third, and request sockets the fourth.
_PORT = 40000
_NOWHERE = 40001
_ESTABLISHED_PORT = 50000
_REQUEST_PORT = 50001
_FIRST_REMOTE_PORT = 1024
_REMOTE_PORTS_END = 65_000
_LEAST_PORT = 1024
_TWO_DIGITS = 10
# An address that no socket of an iteration gets, and a bucket of every kernel, behind all established ones.
_NOBODYS = 0
_FAR_BEHIND = 63
_CHUNK = 64
_ADDRESSES_MAX = 20_000
_TCP_REPAIR, _REPAIR_QUEUE, _QUEUE_SEQUENCE, _REPAIR_WINDOW = 19, 20, 21, 29
_WITHOUT_PROBE = -1  # TCP_REPAIR_OFF_NO_WP, Linux 4.20
_SEND_QUEUE = 2
# `struct tcp_repair_window`: the peer accepts a FIN.
_SOME_WINDOW = struct.pack("=5I", 0, 1000, 1000, 0, 0)
# The longest queue of handshakes that the kernel allows by default.
_HANDSHAKES_MAX = 4096
# A request socket leaves at its first timer, after 1 s, if nobody listens.
_REQUEST_S = 0.9
# The time for a connection to be accepted: some microseconds.
_ACCEPT_S = 5.0
_FREEBIND: dict[int, tuple[int, int]] = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
_MAPPED: dict[int, str] = {socket.AF_INET: "", socket.AF_INET6: "::ffff:"}


@dataclass(eq=False, slots=True)
class Entry:
    """An entry of the kernel's table without a descriptor: a request socket, or a connection in TIME_WAIT.

    Of a request socket: the sequence number of the answer to its peer, and the time of its last moment.
    """

    connection: Connection
    cookie: int
    answer: int | None = None
    until: float = 0.0

    @property
    def small(self) -> Small:
        return "TIME_WAIT" if self.answer is None else "request"


class Places:
    """The buckets of addresses and ports; learned on demand, and kept.

    Buckets of both tables have the kernel's own numbers, from 0.
    """

    lines_up = False
    """Whether the lines of listening sockets in /proc/net/tcp6 are as wide as those of others."""

    def __init__(self, namespace: Namespace, look: Look, family: int, peer: Peer | None = None, no_peer: str = "") -> None:
        namespace.stay()
        self.family = family
        self.peer = peer
        self._no_peer = no_peer
        self.local_port = LocalPort()
        # Listens on the port of request sockets, now and then.
        self._listener: Socket | None = None
        self._look = look
        # The bucket of each address with `_PORT`, by the address's number.
        self._hashes: list[int] = []
        # By the port on this side: peers' ports by bucket, and the first port that was not tried.
        self._remote: dict[int, defaultdict[int, list[int]]] = {
            port: defaultdict(list) for port in (_ESTABLISHED_PORT, _REQUEST_PORT)
        }
        self._tried = dict.fromkeys(self._remote, _FIRST_REMOTE_PORT)

    def need_peer(self) -> Peer:
        """The peer of connections; raises `Unavailable`."""
        if self.peer is None:
            raise Unavailable(self._no_peer)
        return self.peer

    def listening(self, number: int, bucket: int) -> tuple[str, int] | None:
        """The address of this number, and the port that puts it into this bucket; None if there is no such port."""
        self.know(number + 1)
        port = _PORT ^ self._hashes[number] ^ bucket
        return (self._address(number), port) if port >= _LEAST_PORT and port != _NOWHERE else None

    def know(self, count: int) -> None:
        """Learn the buckets of this number of addresses in total; raises `Inconclusive`."""
        while len(self._hashes) < count:
            self._learn_some_addresses()

    def unused(self, bucket: int, local_port: int = _ESTABLISHED_PORT) -> Connection:
        """A connection that leads to this bucket; the caller owns it until `give_back`."""
        self.prepare(bucket, 1, local_port)
        return Connection(self._remote[local_port][bucket].pop(), local_port)

    def prepare(self, bucket: int, count: int, local_port: int = _ESTABLISHED_PORT) -> None:
        """Keep this number of ports available for an established bucket; raises `Inconclusive`."""
        remote = self._remote[local_port][bucket]
        while len(remote) < count:
            if self._tried[local_port] >= _REMOTE_PORTS_END - _CHUNK:
                raise Inconclusive(f"no further port leads to bucket {bucket} of the established sockets")
            if local_port == _REQUEST_PORT:
                self._learn_some_request_ports()
            else:
                self._learn_some_remote_ports()

    def give_back(self, bucket: int, connection: Connection) -> None:
        self._remote[connection.local_port][bucket].append(connection.port)

    def connect(self, new: Socket, connection: Connection) -> None:
        """Make a socket established without a peer; raises OSError."""
        new.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        self.local_port.choose(new, _ESTABLISHED_PORT)
        new.connect((_MAPPED[self.family] + ADDRESS, connection.port))

    @contextmanager
    def handshakes(self) -> Iterator[Socket]:
        """A socket that listens for handshakes until the end; raises OSError."""
        if (listener := self._listener) is None:
            self._listener = listener = self.new()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.settimeout(_ACCEPT_S)
            listener.bind((_MAPPED[self.family] + HERE, _REQUEST_PORT))
        listener.listen(_HANDSHAKES_MAX)
        try:
            yield listener
        finally:
            listener.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the socket that listens now and then; a second call does nothing."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def listen(self, new: Socket, address: str, port: int, end: End) -> None:
        """Bind a socket and let it listen; raises OSError."""
        new.setsockopt(*_FREEBIND[self.family], 1)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, end == "tail")
        self.local_port.choose(new, port)
        new.bind((address, 0))
        if self.lines_up:
            # The last number of the line: where others have -1.
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, _TWO_DIGITS)
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
        with self._far_behind(), ExitStack() as stack:
            ports = {}
            for port in self._next_ports(_ESTABLISHED_PORT):
                stack.callback((sock := self.new()).close)
                self.connect(sock, Connection(port, _ESTABLISHED_PORT))
                ports[cookie(sock)] = port
            self._learn(ports, _ESTABLISHED_PORT)

    def _learn_some_request_ports(self) -> None:
        peer = self.need_peer()
        with self._far_behind(), self.handshakes():
            connections: dict[int, Connection] = {}
            for port in self._next_ports(_REQUEST_PORT):
                connection = Connection(port, _REQUEST_PORT)
                peer.begin(connection)
                connections[peer.cookie_of(connection) or 0] = connection
            self._learn({socket_id: port for socket_id, (port, _) in connections.items()}, _REQUEST_PORT)
            for socket_id, connection in connections.items():
                peer.reset(connection)
                peer.wait_until_gone(connection, socket_id)

    @contextmanager
    def _far_behind(self) -> Iterator[None]:
        # With one listening socket far behind: without any, a counting iterator (`offset-tcp`) skips established sockets.
        place = self.listening(_NOBODYS, _FAR_BEHIND) or self.listening(_NOBODYS, _FAR_BEHIND - 1)
        assert place is not None  # neighbouring ports are not both too low
        listening = self.new()
        try:
            self.listen(listening, *place, "head")
            yield
        finally:
            listening.close()

    def _next_ports(self, local_port: int) -> range:
        first = self._tried[local_port]
        self._tried[local_port] += _CHUNK
        return range(first, first + _CHUNK)

    def _learn(self, ports: dict[int, int], local_port: int) -> None:
        for socket_id, bucket, _ in self._look():
            if socket_id in ports:
                self._remote[local_port][bucket].append(ports[socket_id])


class TcpSockets(Sockets):
    """TCP sockets in the kernel's buckets of the same numbers; a bucket without a table name is in the first table.

    `established`: the number of buckets of established sockets that may be used. `destroyer`: destroys sockets if the
    kernel lacks SOCK_DESTROY.
    """

    def __init__(
        self,
        namespace: Namespace,
        places: Places,
        first: str,
        established: int,
        destroyer: Destroyer | None = None,
        number_of: Callable[[Socket], int] = cookie,
    ) -> None:
        super().__init__(namespace, number_of)
        self._established = established
        self._places = places
        self._first = first
        self._destroyer = destroyer
        self.destroys_by_walk = places.peer is None or not places.peer.destroys
        self.has_tail = first != ESTABLISHED and places.family == socket.AF_INET6
        self._numbers: dict[Socket, int] = {}  # each socket's address number, present or last
        self._free: list[int] = []
        self._given = _NOBODYS + 1
        self._connections: dict[Socket, tuple[int, Connection]] = {}  # of established sockets: bucket and connection
        # By socket and bucket, the connection that it had there: a socket that returns has its address again.
        self._kept: dict[Socket, dict[int, Connection]] = {}
        self._entries: dict[str, tuple[Entry, Bucket]] = {}
        self._removed = 0

    def __len__(self) -> int:
        return len(self._held) + len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._held or name in self._entries

    def bucket(self, name: str) -> Bucket:
        return self._entries[name][1] if name in self._entries else super().bucket(name)

    def check_room(self, elements: Mapping[Bucket, int]) -> None:
        super().check_room(elements)
        for bucket, count in elements.items():
            if self._is_established(bucket) and count > ESTABLISHED_MAX:
                why = f"a bucket of established sockets has room for {ESTABLISHED_MAX} here"
                raise Inconclusive(f"{why}; the case needs {count} in bucket {bucket.number}")

    def connects(self, bucket: Bucket) -> bool:
        return self._is_established(bucket)

    def small(self, name: str) -> Small | None:
        return self._entries[name][0].small if name in self._entries else None

    def prepare(self, changes: int) -> None:
        for bucket in range(self._established):
            self._places.prepare(bucket, changes)
        self._places.know(self._given + 2 * changes)

    def prepare_requests(self, changes: int) -> None:
        for bucket in range(self._established):
            self._places.prepare(bucket, changes, _REQUEST_PORT)

    def add_request(self, name: str, bucket: Bucket, *, unwanted: bool = False) -> int:
        self._check_room()
        self.enter()
        peer = self._places.need_peer()
        connection = self._places.unused(bucket.number, _REQUEST_PORT)
        with explain_errors(f"one more request socket in bucket {bucket}"), self._places.handshakes() as listener:
            # A request socket, and all its successors, have the mark of the listening one.
            mark_unwanted(listener, is_unwanted=unwanted)
            until = time.monotonic() + _REQUEST_S
            answer = peer.begin(connection)
            socket_id = peer.cookie_of(connection)
        if socket_id is None:
            raise Unavailable("sock_diag does not find a request socket")
        self._entries[name] = Entry(connection, socket_id, answer, until), bucket
        return socket_id

    def accept(self, name: str) -> None:
        entry, bucket = self._entries[name]
        self.enter()
        self._check_time(entry)
        assert entry.answer is not None
        with explain_errors("accept(2) of a handshake"), self._places.handshakes() as listener:
            self._places.need_peer().complete(entry.connection, entry.answer)
            fd, _ = listener._accept()  # type: ignore[attr-defined]  # socket.socket has it from its base class
            accepted = Socket(fileno=fd)
            accepted.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)  # its end is silent, as of every other
        del self._entries[name]
        self._held[name] = accepted, bucket
        self._connections[accepted] = bucket.number, entry.connection

    def finish(self, name: str) -> None:
        closing, bucket = self._held[name]
        self.enter()
        peer = self._places.need_peer()
        connection = self._connections[closing][1]
        with explain_errors("the end of a connection"):
            socket_id = cookie(closing)
            closing.setsockopt(socket.IPPROTO_TCP, _REPAIR_QUEUE, _SEND_QUEUE)
            sequence = closing.getsockopt(socket.IPPROTO_TCP, _QUEUE_SEQUENCE)
            closing.setsockopt(socket.IPPROTO_TCP, _REPAIR_WINDOW, _SOME_WINDOW)
            closing.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, _WITHOUT_PROBE)
            # The end of TCP_REPAIR clears this option. Without it, nobody could listen on the port of an accepted one.
            closing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            closing.shutdown(socket.SHUT_WR)
            peer.finish(connection, sequence)
        if not hung_up(closing):
            raise Unavailable("a connection goes on after its last packet")
        del self._held[name]
        self._entries[name] = Entry(connection, socket_id), bucket
        del self._connections[closing]
        closing.close()

    def remove(self, name: str) -> None:
        if name not in self._entries:
            super().remove(name)
            return
        entry, _ = self._entries[name]
        self.enter()
        peer = self._places.need_peer()
        peer.reset(entry.connection, finished=entry.answer is None)
        peer.wait_until_gone(entry.connection, entry.cookie)
        self._has_left(name)

    def destroy(self, name: str) -> Bucket | None:
        if name not in self._entries:
            return super().destroy(name)
        entry, _ = self._entries[name]
        self.enter()
        try:
            self._places.need_peer().destroy(socket.AF_INET, HERE, entry.connection, entry.cookie)
        except OSError:  # old kernels refuse it for a connection in TIME_WAIT
            self.remove(name)
        else:
            self._has_left(name)
        return None

    def sweep(self) -> None:
        super().sweep()
        for entry, _ in self._entries.values():
            self._check_time(entry)

    def close(self) -> None:
        try:
            for name in list(self._entries):
                self.remove(name)
        finally:
            super().close()

    def _has_left(self, name: str) -> None:
        entry, bucket = self._entries.pop(name)
        self._places.give_back(bucket.number, entry.connection)

    def _check_time(self, entry: Entry) -> None:
        if entry.answer is not None and time.monotonic() > entry.until:
            raise TooBusy("a request socket may have timed out: this machine is too busy")

    def _new(self) -> Socket:
        return self._places.new()

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        if self._is_established(bucket):
            kept = self._kept.get(new, {}).pop(bucket.number, None)
            connection = kept or self._places.unused(bucket.number)
            self._connections[new] = bucket.number, connection
            self._places.connect(new, connection)
        else:
            self._places.listen(new, *self._address(new, bucket.number), end)

    def _take(self, old: Socket, bucket: Bucket) -> None:
        if self._is_established(bucket):
            disconnect(old)
            old.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
            number, connection = self._connections.pop(old)
            if connection.local_port == _ESTABLISHED_PORT:
                self._kept.setdefault(old, {})[number] = connection
            else:
                self._places.give_back(number, connection)
        else:
            old.shutdown(socket.SHUT_RD)

    def _move(self, moved: Socket, old: Bucket, bucket: Bucket) -> None:
        self._take(moved, old)
        if self._is_established(bucket) and not self._is_established(old):
            # Otherwise it would keep its own address, which it gives up only for the wildcard address.
            self._places.listen(moved, "", _NOWHERE, "tail")
            moved.shutdown(socket.SHUT_RD)
            if self._places.family == socket.AF_INET6:
                # Its own address was an IPv6 one, and the peer's is not.
                moved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._put(moved, bucket, "head")

    def _leave(self, gone: Socket, bucket: Bucket) -> None:
        if self._is_established(bucket) and self._places.peer is not None:
            # By close(2) and by a reset from the peer, alternately.
            self._removed += 1
            if self._removed % 2:
                self._places.peer.reset(self._connections[gone][1])
                if not hung_up(gone):
                    raise Unavailable("an established socket is still present after the reset from its peer")

    def _destroy(self, gone: Socket, bucket: Bucket) -> None:
        peer = self._places.peer
        if peer is None or not peer.destroys:
            assert self._destroyer is not None  # otherwise a target does not offer this
            self._destroyer(cookie(gone))
        elif self._is_established(bucket):
            peer.destroy(socket.AF_INET, HERE, self._connections[gone][1], cookie(gone))
        else:
            address, port = gone.getsockname()[:2]
            peer.destroy(self._places.family, address, Connection(0, port), cookie(gone))

    def _forget(self, gone: Socket) -> None:
        if (number := self._numbers.pop(gone, None)) is not None:
            self._free.append(number)
        if (place := self._connections.pop(gone, None)) is not None:
            self._places.give_back(*place)
        for number, connection in self._kept.pop(gone, {}).items():
            self._places.give_back(number, connection)

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
