"""`udp-diag`: the dump of UDP sockets by sock_diag, as `ss -u` requests it.

Models udp_dump of net/ipv4/udp_diag.c, Linux 6.1 to 7.1: a slot in cb->args[0], and a number of sockets in it in
cb->args[1]. The walk is over the hash of the port alone, as in `proc-udp`.
"""

from __future__ import annotations

from sockiter.schemes.dump import Dump
from sockiter.schemes.versions import mainline


class UdpDiag(Dump):
    """Claims: those of `Dump`."""

    name = "udp-diag"
    summary = f"bucket, and count of sockets seen in it ({mainline('udp-diag')})"
