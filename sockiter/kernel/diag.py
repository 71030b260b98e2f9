"""sock_diag: the requests for all sockets, and the offset of a socket's cookie in an answer.

The requests ask for all attributes. pyroute2 lays out the messages.
"""

from __future__ import annotations

import socket
import struct

from sockiter.kernel.netlink import encoded, with_header

# In `struct inet_diag_msg`, the cookie follows four bytes and, of `struct inet_diag_sockid`, two ports, two addresses and
# a device. In `struct unix_diag_msg`, it follows four bytes and an inode.
INET_COOKIE_AT = 4 + 4 + 32 + 4
UNIX_COOKIE_AT = 4 + 4
# In `struct packet_diag_msg`, the cookie follows four bytes and an inode.
PACKET_COOKIE_AT = 4 + 4
# In `struct netlink_diag_msg`, it follows four bytes, two port ids, a group and an inode.
NETLINK_COOKIE_AT = 4 + 4 + 4 + 4 + 4

_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
DESTROY = 21  # SOCK_DESTROY
_ADDRESSES_AT = 4  # `struct inet_diag_sockid` in `struct inet_diag_msg`
_ADDRESSES_SIZE = 48
_DUMP = 0x300
_ALL = 0xFFFFFFFF
# All states of sockets in the tables. Another, TCP_BOUND_INACTIVE of Linux 6.8, lists sockets that are only bound.
_IN_A_TABLE = (1 << 13) - 1
_EVERYTHING_OF_INET = 0xFF
_EVERYTHING_OF_UNIX = 0x7F
_EVERYTHING_OF_PACKET = 0x7F
_EVERYTHING_OF_NETLINK = 0xF
# `struct inet_diag_req_v2`: family, protocol, extensions, states; ports, addresses, device, and cookie.
_ONE = struct.Struct("=BBHI")
_PORTS = struct.Struct("!HH16s16s")
_COOKIE = struct.Struct("=IQ")
# `struct packet_diag_req` and `struct netlink_diag_req`: family, protocol, padding, inode, attributes, and cookie.
_LIST = struct.Struct("=BBHIIQ")
_ANY_COOKIE = (1 << 64) - 1


def inet_request(family: int, protocol: int) -> bytes:
    """A request for all sockets of a family and a protocol, in any state."""
    from pyroute2.netlink.diag import inet_diag_req  # here, since this import is slow

    request = inet_diag_req()
    fields = {
        "sdiag_family": family,
        "sdiag_protocol": protocol,
        "idiag_states": _IN_A_TABLE,
        "idiag_ext": _EVERYTHING_OF_INET,
    }
    for field, value in fields.items():
        request[field] = value
    return encoded(request, _BY_FAMILY, _DUMP)


def one_inet_request(
    family: int, address: str, port: int, other_address: str, other_port: int, cookie: int = _ANY_COOKIE
) -> bytes:
    """A request about one TCP socket, without the header, since this one is made for every single socket."""
    ends = _PORTS.pack(port, other_port, socket.inet_pton(family, address), socket.inet_pton(family, other_address))
    return _ONE.pack(family, socket.IPPROTO_TCP, 0, _IN_A_TABLE) + ends + _COOKIE.pack(0, cookie)


def addresses_in(answer: bytes | memoryview, at: int = 0) -> bytes:
    """The addresses and the cookie of a socket in an answer to `inet_request`."""
    return bytes(answer[at + _ADDRESSES_AT : at + _ADDRESSES_AT + _ADDRESSES_SIZE])


def destroy_request(kind: bytes, addresses: bytes) -> bytes:
    """A request to destroy the socket with these addresses and this cookie, without the header.

    `kind`: its family and its protocol, as in `inet_request`.
    """
    return _ONE.pack(*kind, 0, _IN_A_TABLE) + addresses


NO_ADDRESSES = bytes(_ADDRESSES_SIZE)
"""The addresses of no socket."""


def unix_request() -> bytes:
    """A request for all UNIX sockets."""
    from pyroute2.netlink.diag import unix_diag_req

    request = unix_diag_req()
    fields = {"sdiag_family": socket.AF_UNIX, "udiag_states": _ALL, "udiag_show": _EVERYTHING_OF_UNIX}
    for field, value in fields.items():
        request[field] = value
    return encoded(request, _BY_FAMILY, _DUMP)


def packet_request() -> bytes:
    """A request for all packet sockets."""
    request = _LIST.pack(socket.AF_PACKET, 0, 0, 0, _EVERYTHING_OF_PACKET, _ANY_COOKIE)
    return with_header(request, _BY_FAMILY, flags=_DUMP)


def netlink_request(protocol: int, *, everything: bool = True) -> bytes:
    """A request for all netlink sockets of a protocol; `everything`: with all attributes."""
    request = _LIST.pack(socket.AF_NETLINK, protocol, 0, 0, _EVERYTHING_OF_NETLINK * everything, _ANY_COOKIE)
    return with_header(request, _BY_FAMILY, flags=_DUMP)
