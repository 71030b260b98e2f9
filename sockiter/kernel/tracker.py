"""Tracked connections of a private namespace: ctnetlink makes and deletes them, and the order of a dump tells their
buckets.

The hash has a secret seed, and differs between namespaces. So many connections are made in one order and then in the
opposite one: a new entry enters at the head of its bucket. What stands in the opposite order in the second dump is one
bucket.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.kernel import netlink
from sockiter.kernel.libc import unavailable

NETFILTER = 12  # NETLINK_NETFILTER
ADDRESS_AT = 4 + 4 + 4 + 4
"""The offset of an entry's source address in an answer: behind `struct nfgenmsg` and three attribute headers."""
_NEW, _GET, _DELETE = 0x100, 0x101, 0x102
_CREATE, _EXCLUSIVE, _DUMP = 0x400, 0x200, 0x300
_NESTED = 0x8000
_ORIGINAL, _REPLY, _TIMEOUT = 1, 2, 7
_TIMEOUT_S = 500_000
_PORTS = 20_000, 30_000
_OTHER = bytes((10, 99, 99, 99))
_UDP = 17
_CHUNK = 200
_BUCKETS = Path("/proc/sys/net/netfilter/nf_conntrack_buckets")


def entries_request() -> bytes:
    """A request for all IPv4 entries of a namespace."""
    return netlink.with_header(_general(), _GET, flags=_DUMP)


def address(number: int) -> bytes:
    """The source address of the connection with this number, below 2**21: 10, and three numbers of three digits each."""
    return bytes((10, 100 + (number >> 14), 100 + (number >> 7 & 127), 100 + (number & 127)))


def number_in_walk(number: int) -> int:
    """The number of a connection in walks: its source address, as a number of the machine's byte order."""
    return int.from_bytes(address(number), sys.byteorder)


_SOURCE = re.compile(rb"src=(\d+)\.(\d+)\.(\d+)\.(\d+) ")


def sources(text: bytes) -> list[tuple[int, int]]:
    """The number of each line of /proc/net/nf_conntrack, and 0 in place of a bucket."""
    found = [_SOURCE.search(line) for line in text.splitlines()]
    return [(int.from_bytes(bytes(map(int, match.groups())), sys.byteorder), 0) for match in found if match]


class Tracker:
    """Makes and deletes connections in the calling thread's network namespace, with one socket."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
        except OSError as error:
            raise unavailable("a socket of NETLINK_NETFILTER", error) from error

    def make(self, numbers: Iterable[int]) -> None:
        """Make connections, one after the other; raises `Unavailable`."""
        self._request(_NEW, _CREATE | _EXCLUSIVE, numbers)

    def delete(self, numbers: Iterable[int]) -> None:
        """Delete connections; raises `Unavailable`."""
        self._request(_DELETE, 0, numbers)

    def listed(self) -> list[int]:
        """The numbers of all connections, in the order of a dump, as walks have them."""
        self._socket.send(entries_request())
        numbers: list[int] = []
        while True:
            data = self._socket.recv(1 << 16)
            at = 0
            while at < len(data):
                size, kind = netlink.header(data, at)
                if kind in (netlink.DONE, netlink.ERROR):
                    return numbers
                place = at + netlink.HEADER_SIZE + ADDRESS_AT
                numbers.append(int.from_bytes(data[place : place + 4], sys.byteorder))
                at += size + 3 & ~3

    def close(self) -> None:
        self._socket.close()

    def _request(self, kind: int, flags: int, numbers: Iterable[int]) -> None:
        waiting = list(numbers)
        for first in range(0, len(waiting), _CHUNK):
            *others, last = [_entry(number, is_new=kind == _NEW) for number in waiting[first : first + _CHUNK]]
            requests = [netlink.with_header(other, kind, flags=flags) for other in others]
            requests.append(netlink.with_header(last, kind, flags=flags, acknowledged=True))
            self._socket.send(b"".join(requests))
            # Only the last one is acknowledged. Errors of others come first.
            if error := netlink.error_of(self._socket.recv(1 << 16)):
                raise unavailable("ctnetlink", error) from error


def groups(tracker: Tracker, candidates: int) -> list[list[int]]:
    """The numbers of so many connections, bucket by bucket in the order of the walk; buckets without any are left out."""
    numbers = range(candidates)
    tracker.make(numbers)
    forwards = tracker.listed()
    tracker.delete(numbers)
    tracker.make(reversed(numbers))
    backwards = tracker.listed()
    tracker.delete(numbers)
    number_of = {number_in_walk(number): number for number in numbers}
    place = {number: at for at, number in enumerate(backwards)}
    buckets: list[list[int]] = []
    while forwards:
        behind = place[forwards[0]] + 1 - (len(backwards) - len(forwards))
        buckets.append([number_of[walked] for walked in forwards[:behind]])
        forwards = forwards[behind:]
    return buckets


def need_small_table(most: int) -> int:
    """The buckets of the table of all namespaces; raises `Unavailable` if there are more than `most`."""
    try:
        buckets = int(_BUCKETS.read_text())
    except OSError as error:
        raise unavailable(str(_BUCKETS), error) from error
    if buckets > most:
        raise Unavailable(
            f"the table of tracked connections has {buckets} buckets and a secret seed, so that too few connections get "
            f"into one bucket: it takes at most {most}, as in a guest after `sysctl net.netfilter.nf_conntrack_buckets=512`"
        )
    return buckets


def _general() -> bytes:
    return struct.pack("=BBH", socket.AF_INET, 0, 0)


def _entry(number: int, *, is_new: bool) -> bytes:
    one = address(number)
    entry = _general() + _tuple(_ORIGINAL, one, _OTHER, _PORTS)
    if is_new:
        entry += _tuple(_REPLY, _OTHER, one, _PORTS[::-1]) + _attribute(_TIMEOUT, struct.pack("!I", _TIMEOUT_S))
    return entry


def _tuple(kind: int, source: bytes, destination: bytes, ports: Sequence[int]) -> bytes:
    addresses = _attribute(1, source) + _attribute(2, destination)
    protocol = _attribute(1, bytes((_UDP,)))
    for nth, port in enumerate(ports):
        protocol += _attribute(2 + nth, struct.pack("!H", port))
    return _attribute(_NESTED | kind, _attribute(_NESTED | 1, addresses) + _attribute(_NESTED | 2, protocol))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
