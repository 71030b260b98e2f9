"""The part of netlink that brings a private namespace up and requests sockets by sock_diag.

Only the calling thread is certain to be in the private namespace. So that thread opens the netlink sockets, and pyroute2
only lays out the messages.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from sockiter.kernel.libc import unavailable
from sockiter.kernel.namespace import Namespace

SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_HEADER = struct.Struct("=IHHII")
HEADER_SIZE = _HEADER.size
DONE, ERROR = 3, 2

_REQUEST, _ACK = 1, 4
_INTERRUPTED = 16  # NLM_F_DUMP_INTR
_NEW_LINK, _NEW_ROUTE = 16, 24
_CREATE = 0x400
_UP = 1
_LOOPBACK = 1  # always the first device
_LOCAL_TABLE, _LOCAL, _STATIC, _ON_HOST = 255, 2, 4, 254
_MAIN_TABLE, _UNICAST, _ON_LINK = 254, 1, 253


def bring_up(namespace: Namespace) -> None:
    """Bring up a loopback device that treats all of 10.0.0.0/8 as local; raises `Unavailable`."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # here, since this import is slow
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    namespace.enter()
    link, route = ifinfmsg(), rtmsg()
    for field, value in {"index": _LOOPBACK, "flags": _UP, "change": _UP}.items():
        link[field] = value
    fields = {"table": _LOCAL_TABLE, "type": _LOCAL, "proto": _STATIC, "scope": _ON_HOST, "dst_len": 8}
    for field, value in {"family": socket.AF_INET, **fields}.items():
        route[field] = value
    route["attrs"] = [["RTA_DST", "10.0.0.0"], ["RTA_OIF", _LOOPBACK]]
    _request("a loopback device", link, _NEW_LINK)
    _request("a local route", route, _NEW_ROUTE)


def lead_nowhere(namespace: Namespace, address: str, source: str) -> None:
    """Let packets from `source` to an IPv4 address vanish: its route leads to the loopback device; raises `Unavailable`.

    `bring_up` comes first. The device returns such a packet, and the kernel drops it, since the address is not local.
    """
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    namespace.enter()
    route = rtmsg()
    fields = {"table": _MAIN_TABLE, "type": _UNICAST, "proto": _STATIC, "scope": _ON_LINK, "dst_len": 32}
    for field, value in {"family": socket.AF_INET, **fields}.items():
        route[field] = value
    route["attrs"] = [["RTA_DST", address], ["RTA_PREFSRC", source], ["RTA_OIF", _LOOPBACK]]
    _request("a route to nowhere", route, _NEW_ROUTE)


def with_header(request: bytes, kind: int, *, acknowledged: bool = False, flags: int = 0) -> bytes:
    """A request of this type, which gets an answer in any case if `acknowledged`, else a message or an error."""
    return _HEADER.pack(HEADER_SIZE + len(request), kind, _REQUEST | _ACK * acknowledged | flags, 0, 0) + request


def encoded(message: Any, kind: int, flags: int) -> bytes:
    """A pyroute2 message as bytes: a request of this type."""
    message["header"]["type"] = kind
    message["header"]["flags"] = _REQUEST | flags
    message.encode()
    return bytes(message.data)


def header(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The size and type of the message at this offset."""
    size, kind, _, _, _ = _HEADER.unpack_from(data, at)
    return size, kind


def is_last(data: bytes) -> bool:
    """Whether a message of a dump contains the end of the dump."""
    at = 0
    while at < len(data):
        size, kind = header(data, at)
        if kind in (DONE, ERROR):
            return True
        at += size + 3 & ~3
    return False


def is_interrupted(data: bytes | memoryview, at: int) -> bool:
    """Whether the message at this offset has the flag of a dump whose table has changed since the message before."""
    return bool(_HEADER.unpack_from(data, at)[2] & _INTERRUPTED)


def error_of(data: bytes, at: int = 0) -> OSError | None:
    """The error in a message of type `ERROR` or `DONE`; None if it reports success."""
    number = -struct.unpack_from("=i", data, at + HEADER_SIZE)[0]
    return OSError(number, os.strerror(number)) if number else None


def _request(purpose: str, message: Any, kind: int) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink_socket:
        netlink_socket.send(encoded(message, kind, _ACK | _CREATE))
        error = error_of(netlink_socket.recv(4096))
    if error is not None:
        raise unavailable(f"netlink: {purpose}", error, takes="CAP_NET_ADMIN") from error
