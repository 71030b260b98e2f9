"""sock_diag: the requests for all sockets, and the offset of a socket's cookie in an answer.

The requests ask for no additional attributes. pyroute2 lays out the messages.
"""

from __future__ import annotations

import socket

from sockiter.kernel.netlink import encoded

# In `struct inet_diag_msg`, the cookie follows four bytes and, of `struct inet_diag_sockid`, two ports, two addresses and
# a device. In `struct unix_diag_msg`, it follows four bytes and an inode.
INET_COOKIE_AT = 4 + 4 + 32 + 4
UNIX_COOKIE_AT = 4 + 4

_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_DUMP = 0x300
_ALL = 0xFFFFFFFF
_EVERYTHING_OF_INET = 0xFF
_EVERYTHING_OF_UNIX = 0x7F


def inet_request(family: int, protocol: int) -> bytes:
    """A request for all sockets of a family and a protocol, in any state."""
    from pyroute2.netlink.diag import inet_diag_req  # here, since this import is slow

    request = inet_diag_req()
    fields = {"sdiag_family": family, "sdiag_protocol": protocol, "idiag_states": _ALL, "idiag_ext": _EVERYTHING_OF_INET}
    for field, value in fields.items():
        request[field] = value
    return encoded(request, _BY_FAMILY, _DUMP)


def unix_request() -> bytes:
    """A request for all UNIX sockets."""
    from pyroute2.netlink.diag import unix_diag_req

    request = unix_diag_req()
    fields = {"sdiag_family": socket.AF_UNIX, "udiag_states": _ALL, "udiag_show": _EVERYTHING_OF_UNIX}
    for field, value in fields.items():
        request[field] = value
    return encoded(request, _BY_FAMILY, _DUMP)
