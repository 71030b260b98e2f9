"""Real netlink sockets of one protocol, each at the head of a given chain of the kernel's hash table.

The table of a protocol (an rhashtable) has the sockets of all namespaces. Its hash has a random seed, so the module tries
port ids, and learns by walks which of them share a chain: of two sockets of one chain, the later one is in front; of
different chains, the order stays. A table that grows or shrinks gets another seed. So other sockets, in another private
namespace, keep its size between these limits. Their order shows whether it was resized all the same: then the sequence is
tried again.

NETLINK_USERSOCK has sockets of users only: none of the kernel, and of programs hardly any.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import groupby

from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel.libc import unavailable
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.netlink import SOCK_DIAG
from sockiter.kernel.sockets.base import Socket, Sockets, cookie
from sockiter.operations import Bucket, End

PROTOCOL = 2  # NETLINK_USERSOCK
CHAINS_MAX = 8
"""The chains that an iteration can use, the buckets of its cases."""
CHAIN_MAX = 8
"""The sockets of an iteration in a chain: with a 17th socket, the kernel gives the table another seed."""
# The kernel doubles a table that is filled to more than 75 %, and halves one that is filled to less than 30 %. So the table
# keeps its size, however many sessions there are, if each has at most a quarter of these sockets besides.
_BALLAST = 210
SOCKETS_MAX = 52
"""The sockets of an iteration."""
_TRIED = SOCKETS_MAX - CHAINS_MAX
_TRIES_MAX = 5_000
_NEAR = 3
_OTHERS = 40
# The port ids of a chain that are learned at first.
_FIRST = 4
_PORTS = 1 << 16, (1 << 31) - 1

Walked = Callable[[], Sequence[int]]
"""A whole walk over the sockets of the calling thread's namespace, by cookie."""


class Ballast:
    """Sockets in a namespace of their own, which keep the size of the table. `order`: a walk over them, in its own terms."""

    def __init__(self, order: Callable[[], bytes]) -> None:
        self._order = order
        self._known = order()

    def is_in_place(self) -> bool:
        """Whether the table has the same size and seed as when this was last asked."""
        before, self._known = self._known, self._order()
        return before == self._known


@contextmanager
def ballast(session: Namespace, order_in: Callable[[], AbstractContextManager[Callable[[], bytes]]]) -> Iterator[Ballast]:
    """Ballast until the end. `order_in`: the walk over it, for the calling thread's namespace; raises `Unavailable`."""
    own = session.another()
    with ExitStack() as stack:
        stack.callback(own.end)
        stack.callback(session.enter)
        for _ in range(_BALLAST):
            sock = Socket(socket.AF_NETLINK, socket.SOCK_RAW, PROTOCOL)
            stack.callback(sock.close)
            sock.bind((0, 0))
        order = stack.enter_context(order_in())
        session.enter()
        kept = Ballast(order)
        # The kernel resizes the table in a worker.
        for _ in range(_TRIES_MAX):
            if kept.is_in_place():
                break
        else:
            raise Unavailable("the table of netlink sockets is resized all the time")
        yield kept


class Chains:
    """The port ids of each chain, in the order of the walk; learned on demand, and again after a resize."""

    def __init__(self, namespace: Namespace, ballast_of: Ballast, walked: Walked) -> None:
        self._namespace = namespace
        self._ballast = ballast_of
        self._walked = walked
        self._random = random.Random(0)
        self._ports: list[list[int]] = []
        self._wanted = _FIRST

    def check(self) -> None:
        """Raise `TooBusy` if the table was resized, and learn the chains anew then."""
        if not self._ballast.is_in_place():
            self._ports = []
            raise TooBusy("the table of netlink sockets was resized meanwhile")

    def want_more(self) -> None:
        """Learn the port ids of full chains, next time; raises `TooBusy`."""
        self._wanted = CHAIN_MAX
        raise TooBusy("port ids of more netlink sockets have to be learned")

    def ports(self, chains: int, wanted: int = 0) -> list[list[int]]:
        """At least `wanted` port ids of each of the first chains, by walks in a namespace without other sockets; raises
        `TooBusy`."""
        self._wanted = max(self._wanted, wanted)
        for _ in range(_TRIES_MAX):
            try:
                self.check()
                if len(self._ports) < CHAINS_MAX:
                    self._choose()
                elif all(len(ports) >= self._wanted for ports in self._ports[:chains]):
                    return [ports[:CHAIN_MAX] for ports in self._ports[:chains]]
                else:
                    self._try()
            except TooBusy:
                continue
        raise TooBusy("the port ids of netlink sockets cannot be learned: their table is resized all the time")

    def _choose(self) -> None:
        # Any port ids in different chains, in the order of a walk.
        ports = [self._random.randint(*_PORTS) for _ in range(4 * CHAINS_MAX)]
        orders = self._orders(ports, [])
        found = [port for port in orders[0] if not self._shares(port, orders)]
        self.check()
        self._ports = [[port] for port in found[:CHAINS_MAX]]

    def _shares(self, port: int, orders: tuple[list[int], list[int]]) -> bool:
        first, second = orders
        at, then = first.index(port), second.index(port)
        return set(first[:at]) != set(second[:then])

    def _try(self) -> None:
        # Which of some new port ids are in one of the chosen chains.
        leaders = [ports[0] for ports in self._ports]
        tried = [self._random.randint(*_PORTS) for _ in range(_TRIED)]
        order = self._order([*leaders, *tried])
        # Those just in front of a chosen one; behind it when they are older, if they are in its chain.
        near = [list(group) for is_leader, group in groupby(order, leaders.__contains__) if not is_leader]
        suspects = [port for group in near for port in group[-_NEAR:]]
        after = {port: at for at, port in enumerate(self._order([*suspects, *leaders]))}
        self.check()
        before = {port: at for at, port in enumerate(order)}
        for ports in self._ports:
            leader = ports[0]
            ports += [port for port in suspects if before[port] < before[leader] and after[port] > after[leader]]

    def _orders(self, some: Sequence[int], others: Sequence[int]) -> tuple[list[int], list[int]]:
        # The port ids in the order of a walk, with sockets added in this order, and in the opposite order.
        both = [*some, *others]
        return self._order(both), self._order(both[::-1])

    def _order(self, ports: Sequence[int]) -> list[int]:
        self._namespace.stay()
        with ExitStack() as stack:
            numbers = {}
            for port in ports:
                sock = Socket(socket.AF_NETLINK, socket.SOCK_RAW, PROTOCOL)
                stack.callback(sock.close)
                sock.bind((port, 0))
                numbers[cookie(sock)] = port
            order = [numbers[number] for number in self._walked()]
        if len(order) != len(ports):
            raise TooBusy("a walk over netlink sockets was begun anew, since their table was resized")
        return order


class NetlinkSockets(Sockets):
    """Netlink sockets in the first chains of `chains`."""

    has_tail = False

    def __init__(
        self, namespace: Namespace, chains: Chains, buckets: int, number_of: Callable[[Socket], int] = cookie
    ) -> None:
        super().__init__(namespace, number_of)
        if buckets > CHAINS_MAX:
            raise Inconclusive(f"an iteration can have {CHAINS_MAX} chains here; the case needs {buckets}")
        self._chains = chains
        self._free = chains.ports(buckets)
        self._ports: dict[Socket, int] = {}
        self._in_chain = [0] * buckets
        self._is_over = False
        self._room = min(self._room, SOCKETS_MAX)

    def check_room(self, elements: Mapping[Bucket, int]) -> None:
        super().check_room(elements)
        if (most := max(elements.values(), default=0)) > CHAIN_MAX:
            raise Inconclusive(f"an iteration can have {CHAIN_MAX} sockets in a chain here; the case needs {most}")
        if most >= min(map(len, self._free)):
            self.prepare(most)

    def prepare(self, changes: int) -> None:
        if not self._held:
            self._free = self._chains.ports(len(self._free), CHAIN_MAX)

    def sweep(self) -> None:
        super().sweep()
        if not self._is_over:
            self._chains.check()

    def close(self) -> None:
        self._is_over = True
        super().close()

    def _new(self) -> Socket:
        return Socket(socket.AF_NETLINK, socket.SOCK_RAW, PROTOCOL)

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        free = self._free[bucket.number]
        if self._in_chain[bucket.number] == CHAIN_MAX:
            raise Inconclusive(f"an iteration can have {CHAIN_MAX} sockets in a chain here; the case needs more")
        if not free:
            self._chains.want_more()
        port = free.pop()
        new.bind((port, 0))
        self._ports[new] = port
        self._in_chain[bucket.number] += 1

    def _take(self, old: Socket, bucket: Bucket) -> None:
        raise NotImplementedError  # its targets do not offer this

    def _leave(self, gone: Socket, bucket: Bucket) -> None:
        self._free[bucket.number].append(self._ports[gone])
        self._in_chain[bucket.number] -= 1

    def _forget(self, gone: Socket) -> None:
        self._ports.pop(gone, None)


@contextmanager
def others(namespace: Namespace) -> Iterator[None]:
    """Until the end, sockets of a later protocol in a namespace: more than a case adds behind open."""
    namespace.enter()
    with ExitStack() as stack:
        for _ in range(_OTHERS):
            sock = Socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG)
            stack.callback(sock.close)
            sock.bind((0, 0))
        yield


def check_protocol() -> None:
    """Raise `Unavailable` if this kernel has no netlink sockets of users."""
    try:
        Socket(socket.AF_NETLINK, socket.SOCK_RAW, PROTOCOL).close()
    except OSError as error:
        raise unavailable("socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK)", error) from error
