"""Ids of peer namespaces: the elements of the list that RTM_GETNSID dumps, in the order of the ids.

A namespace that gives ids to others is new for every iteration. Its peers are kept for later iterations: an id ends with
either namespace, and in no other way. The kernel removes the ids of a namespace in a worker, some time after the last
descriptor is closed, and then sends RTM_DELNSID.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from sockiter.errors import Inconclusive, TooBusy
from sockiter.kernel import netlink
from sockiter.kernel.elements import Elements
from sockiter.kernel.libc import unavailable
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import descriptors
from sockiter.operations import Bucket, End

PEERS_MAX = 4_000
"""The most ids of an iteration."""
ROUTE = 0  # NETLINK_ROUTE
ID_AT = 4 + 4
"""The offset of an id in an answer: behind `struct rtgenmsg`, with its padding, and the header of NETNSA_NSID."""
_NEW_ID, _DELETED_ID, _GET_ID = 88, 89, 90
_DUMP = 0x300
_NSID, _FD = 1, 3
# `struct rtgenmsg` with its padding, and two attributes of four bytes.
_GENERAL = struct.Struct("=B3x")
_REQUEST = struct.Struct("=B3xHHiHHI")
_ATTRIBUTE_BYTES = 8
_GROUP = 1 << 28 - 1  # RTNLGRP_NSID
_REMOVED_S = 20.0
# The ids of different iterations differ, so that one that was removed is not seen again. They are from 0 to 2 ** 31 - 1.
_FIRST_ID, _IDS, _LAST_ID = 1 << 16, 1 << 14, 1 << 30


def ids_request() -> bytes:
    """A request for all ids that a namespace gives to others."""
    return netlink.with_header(_GENERAL.pack(socket.AF_UNSPEC), _GET_ID, flags=_DUMP)


class Peers:
    """Namespaces that can get an id. `session`: the namespace of the session. `room`: the most of them in an iteration."""

    def __init__(self, session: Namespace) -> None:
        self.session = session
        self._free: list[Namespace] = []
        self._next_id = _FIRST_ID
        self.room = descriptors(PEERS_MAX)

    def take(self) -> Namespace:
        """A namespace to give an id to. The calling thread may be in any namespace afterwards."""
        return self._free.pop() if self._free else self.session.another()

    def put(self, peer: Namespace) -> None:
        """Keep a namespace for a later iteration."""
        self._free.append(peer)

    def first_id(self) -> int:
        """The first id of an iteration; there are as many unused ones below it and above it as an iteration may need."""
        self._next_id = first = self._next_id + 2 * _IDS if self._next_id < _LAST_ID else _FIRST_ID
        return first

    def end(self) -> None:
        """Release all kept namespaces."""
        while self._free:
            self._free.pop().end()


@contextmanager
def kept_peers(session: Namespace) -> Iterator[Peers]:
    """Namespaces for all iterations of a session, until the end."""
    peers = Peers(session)
    try:
        yield peers
    finally:
        peers.end()


class Ids(Elements):
    """The ids that a new namespace gives to some peers: lower than all others at the head, and higher at the tail."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._held: dict[str, tuple[Namespace, int]] = {}
        self._low = self._high = peers.first_id()
        self._is_over = False
        self.own_namespace = self._own = peers.session.another()
        self._route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def bucket(self, name: str) -> Bucket:
        return Bucket()

    def enter(self) -> None:
        self._own.stay()

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        if len(self._held) >= self._peers.room:
            raise Inconclusive(f"an iteration can have {self._peers.room} peers at a time here; the case needs more")
        peer = self._peers.take()
        if end == "head":
            self._low -= 1
        else:
            self._high += 1
        number = self._low if end == "head" else self._high - 1
        self._held[name] = peer, number
        self.enter()
        attributes = _ATTRIBUTE_BYTES, _NSID, number, _ATTRIBUTE_BYTES, _FD, peer.fileno()
        request = _REQUEST.pack(socket.AF_UNSPEC, *attributes)
        self._route.send(netlink.with_header(request, _NEW_ID, acknowledged=True))
        error = netlink.error_of(self._route.recv(4096))
        if error is not None:
            raise unavailable("RTM_NEWNSID", error, takes="CAP_NET_ADMIN") from error
        return number

    def remove(self, name: str) -> None:
        peer, number = self._held.pop(name)
        self.enter()
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE) as route:
            route.bind((0, _GROUP))
            route.settimeout(_REMOVED_S)
            peer.end()
            try:
                while not _is_removal(route.recv(4096), number):
                    pass
            except TimeoutError:
                raise TooBusy(f"the kernel has not removed a namespace within {_REMOVED_S:g} s") from None

    def close(self) -> None:
        while self._held:
            self._peers.put(self._held.popitem()[1][0])
        if not self._is_over:
            self._is_over = True
            self._route.close()
            self._peers.session.enter()
            self._own.end()


def _is_removal(message: bytes, number: int) -> bool:
    _, kind = netlink.header(message, 0)
    found: tuple[int] = struct.unpack_from("=i", message, netlink.HEADER_SIZE + ID_AT)
    return kind == _DELETED_ID and found == (number,)
