"""Netlink, as much of it as it takes to bring a private namespace up, and to ask for sockets by sock_diag.

Decided here: that the sockets for it are opened by the calling thread, and nobody else, since only that is sure to be in the
private namespace; the messages are laid out by pyroute2. Not known here: what sockets are for.
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
_NEW_LINK, _NEW_ROUTE = 16, 24
_CREATE = 0x400
_UP = 1
_LOOPBACK = 1  # always the first
_LOCAL_TABLE, _LOCAL, _STATIC, _ON_HOST = 255, 2, 4, 254


def bring_up(namespace: Namespace) -> None:
    """Give the namespace a loopback device that takes everything to 10.0.0.0/8 for its own; raises `Unavailable`."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # here, since it takes longer than all the rest
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


def encoded(message: Any, kind: int, flags: int) -> bytes:
    """A message of pyroute2's as bytes, with this type, as a request."""
    message["header"]["type"] = kind
    message["header"]["flags"] = _REQUEST | flags
    message.encode()
    return bytes(message.data)


def header(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Size and type of the message there."""
    size, kind, _, _, _ = _HEADER.unpack_from(data, at)
    return size, kind


def error_of(data: bytes, at: int = 0) -> OSError | None:
    """The error that a message of type `ERROR` or `DONE` tells of, None if it tells of none."""
    number = -struct.unpack_from("=i", data, at + HEADER_SIZE)[0]
    return OSError(number, os.strerror(number)) if number else None


def _request(purpose: str, message: Any, kind: int) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink_socket:
        netlink_socket.send(encoded(message, kind, _ACK | _CREATE))
        error = error_of(netlink_socket.recv(4096))
    if error is not None:
        raise unavailable(f"netlink: {purpose}", error, takes="CAP_NET_ADMIN") from error
