"""`udp-diag`: the dump of UDP sockets by sock_diag, as `ss -u` requests it.

Models udp_dump of net/ipv4/udp_diag.c as the sources of Linux 6.1 to 7.1 have it; only 6.18.44 was measured. A slot is in
cb->args[0], and a number of sockets in it in cb->args[1]. The walk is over the hash of the port alone, as in `proc-udp`.

A request to destroy a socket (__udp_diag_destroy) looks it up as for a packet. Of the sockets that share an address and a
port by SO_REUSEADDR, it meets the first. If its cookie is another one, nothing is destroyed.
"""

from __future__ import annotations

from sockiter.schemes.dump import Dump
from sockiter.schemes.versions import mainline


class UdpDiag(Dump):
    """Claims: those of `Dump`."""

    name = "udp-diag"
    shares_addresses = True
    summary = f"bucket, and count of sockets seen in it ({mainline('udp-diag')})"
