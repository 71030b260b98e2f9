"""Real UDP sockets, each in a given bucket and at a given end of it.

A port and an address determine a socket's bucket. The module learns these buckets from the running kernel by reading its
tables, and also whether sockets can be put at the tail.

All sockets are bound to the wildcard address. Those of one bucket share one port by SO_REUSEADDR. The kernel keeps the
sockets in two tables, by port alone and by address and port. In both, IPv6 sockets with SO_REUSEPORT go to the tail, and
all others to the head.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import Destroyer, LocalPort, Socket, Sockets, cookie, disconnect
from sockiter.operations import Bucket, End

Look: TypeAlias = Callable[[], Sequence[tuple[int, ...]]]
"""A whole walk over a table: the cookie or the inode of each socket, and the number of its bucket."""

# In the kernel's own range for automatic choices.
_FIRST_PORT = 32768
_PORTS_END = 60999
# The number of ports or addresses per attempt. If this number of addresses leads to one bucket, addresses do not count.
_CHUNK = 256
_TRIED = 8
_ADDRESSES_MAX = 8 * _CHUNK


class Places:
    """The bucket of each port, and the address that leads from a port to a bucket; learned on demand, and kept.

    `look`: a walk over the iterated table. `number_of`: the number of a socket in it, its cookie or inode. `has_tail`:
    whether sockets can be put at the tail. `by_address`: whether connecting moves a socket, since the address counts
    as well.
    """

    __slots__ = (
        *("_addresses", "_family", "_local_port", "_look", "_namespace", "_next", "_number_of", "_ports"),
        *(
            "by_address",
            "has_tail",
        ),
    )

    def __init__(
        self, namespace: Namespace, look: Look, *, family: int, number_of: Callable[[Socket], int] = cookie
    ) -> None:
        self._namespace = namespace
        self._look = look
        self._number_of = number_of
        self._family = family
        self._local_port = LocalPort()
        self._next = _FIRST_PORT
        self._ports: dict[int, int] = {}  # one port of each bucket
        self._addresses: dict[int, dict[int, str]] = {}  # by port, and then by bucket
        namespace.stay()
        self.has_tail = self._learn_the_order()
        moved = self._seen([(_FIRST_PORT, _address(number)) for number in range(_TRIED)])
        self.by_address = len({bucket for _, bucket in moved}) > 1

    def ports(self, count: int) -> list[tuple[int, int]]:
        """The first `count` buckets in the order of the walk, each with a port; raises `Inconclusive` if there are fewer."""
        grows = True
        while len(self._ports) < count and grows:
            grows = self._learn_some_ports()
        if len(self._ports) < count:
            raise Inconclusive(f"the kernel's UDP table has {len(self._ports)} buckets here; the case needs {count}")
        return sorted(self._ports.items())[:count]

    def learn(self, port: int, bucket: int) -> str:
        """The address that leads a socket of this port to this bucket; raises `Inconclusive`."""
        known = self._addresses.setdefault(port, {})
        first = 0
        while bucket not in known:
            if first >= _ADDRESSES_MAX:
                raise Inconclusive(f"none of {first} addresses leads from port {port} to bucket {bucket} of the UDP table")
            for found, number in self._seen([(port, _address(n)) for n in range(first, first + _CHUNK)]):
                known.setdefault(number, _address(first + found))
            first += _CHUNK
        return known[bucket]

    def connect(self, sock: Socket, port: int, bucket: int) -> None:
        """Connect a socket of this port, which moves it to this bucket; raises OSError, or `Inconclusive`."""
        sock.connect((self._spelled(self.learn(port, bucket)), 9))

    def new(self) -> Socket:
        """An unbound socket."""
        new = Socket(self._family, socket.SOCK_DGRAM)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return new

    def bind(self, new: Socket, port: int, end: End) -> None:
        """Bind a socket, at this end of its bucket if the bucket has both; raises OSError."""
        if self._family == socket.AF_INET6:
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, end == "tail")
        self._local_port.choose(new, port)
        new.bind(("", 0))

    def bind_by_number(self, new: Socket, port: int, end: End) -> None:
        """Bind a socket to a port for good; raises OSError."""
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, end == "tail")
        new.bind(("", port))

    def _spelled(self, address: str) -> str:
        return f"::ffff:{address}" if self._family == socket.AF_INET6 else address

    def _learn_some_ports(self) -> bool:
        # Returns whether there were new buckets. The hash of a port is an exclusive or with the port. So if 256
        # consecutive ports
        # lead to no new bucket, there are no more buckets.
        before = len(self._ports)
        ports = range(self._next, min(self._next + _CHUNK, _PORTS_END))
        self._next = ports.stop
        for found, bucket in self._seen([(port, None) for port in ports]):
            self._ports.setdefault(bucket, ports[found])
        return len(self._ports) > before

    def _learn_the_order(self) -> bool:
        # Returns whether there is a tail.
        tried: Sequence[End] = ("head", "tail", "head")
        order = [number for number, _ in self._seen([(_FIRST_PORT, None)] * 3, tried)]
        if order not in ([2, 1, 0], [2, 0, 1]):
            raise Unavailable("sockets added at head, tail and head are walked in no known order")
        return order == [2, 0, 1]

    def _seen(self, bindings: Sequence[tuple[int, str | None]], ends: Sequence[End] = ()) -> list[tuple[int, int]]:
        # For sockets of these ports, connected to these addresses: their indexes in the order of the walk, and their
        # buckets.
        with ExitStack() as stack:
            numbers = {}
            for number, (port, address) in enumerate(bindings):
                sock = self.new()
                stack.callback(sock.close)
                self.bind(sock, port, ends[number] if ends else "head")
                if address is not None:
                    sock.connect((self._spelled(address), 9))
                numbers[self._number_of(sock)] = number
            return [(numbers[socket_id], bucket) for socket_id, bucket, *_ in self._look() if socket_id in numbers]


class UdpSockets(Sockets):
    """UDP sockets in the buckets of `ports`, each given by its number and a port in it.

    In the table by address, connecting moves a socket. In the table by port, only another port does, which takes the
    socket out for a moment. `destroyer`: destroys a socket, wherever it is.
    """

    destroys_by_walk = True

    def __init__(
        self,
        namespace: Namespace,
        places: Places,
        ports: list[tuple[int, int]],
        destroyer: Destroyer | None = None,
        number_of: Callable[[Socket], int] = cookie,
    ) -> None:
        super().__init__(namespace, number_of)
        self._destroyer = destroyer
        self._places = places
        self._ports = ports
        self.has_tail = places.has_tail
        self._home: dict[Socket, int] = {}  # each socket's index in `ports` of its bound port
        self._bound: set[Socket] = set()  # the sockets that are bound by number

    def prepare(self, changes: int) -> None:
        if self._places.by_address:
            for _, port in self._ports:
                for bucket, other_port in self._ports:
                    if other_port != port:
                        self._places.learn(port, bucket)

    def _new(self) -> Socket:
        return self._places.new()

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        self._places.bind(new, self._ports[bucket.number][1], end)
        self._home[new] = bucket.number

    def _put_bound(self, new: Socket, bucket: Bucket, end: End) -> None:
        self._places.bind_by_number(new, self._ports[bucket.number][1], end)
        self._home[new] = bucket.number
        self._bound.add(new)

    def _take(self, old: Socket, bucket: Bucket) -> None:
        disconnect(old)

    def _destroy(self, gone: Socket, bucket: Bucket) -> Bucket | None:
        assert self._destroyer is not None  # otherwise a target does not offer this
        self._destroyer(cookie(gone))
        return Bucket(self._home[gone], bucket.table) if gone in self._bound else None

    def _move(self, moved: Socket, old: Bucket, bucket: Bucket) -> None:
        home = self._home[moved]
        if moved in self._bound:
            self._move_bound(moved, old, bucket)
            return
        if not self._places.by_address or bucket.number == home:
            super()._move(moved, old, bucket)
            return
        if old.number != home:  # connected: only a socket on the wildcard address can move
            self._take(moved, old)
            self._put(moved, Bucket(home), "head")
        self._places.connect(moved, self._ports[home][1], self._ports[bucket.number][0])

    def _move_bound(self, moved: Socket, old: Bucket, bucket: Bucket) -> None:
        # A disconnected socket keeps its port, and returns to the bucket of the wildcard address.
        home = self._home[moved]
        if old.number != home:
            disconnect(moved)
        if bucket.number != home:
            self._places.connect(moved, self._ports[home][1], self._ports[bucket.number][0])

    def _forget(self, gone: Socket) -> None:
        self._home.pop(gone, None)
        self._bound.discard(gone)


def _address(number: int) -> str:
    # One of the addresses that `namespace` makes local.
    return f"10.0.{number // 250}.{number % 250 + 1}"
