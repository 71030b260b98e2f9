"""`tcp-diag`: the dump of TCP sockets by sock_diag, as `ss -t` requests it.

Models inet_diag_dump_icsk of net/ipv4/inet_diag.c as the sources of Linux 6.1 to 7.1 have it; only 6.18.44 was measured. In
cb->args are a table, a bucket, and a number of sockets in it. The walk covers the listening sockets (lhash2) and then the
established ones (ehash). The count starts anew in the second table, so this dump lacks the failure of `offset-tcp` there.

Not modelled: of an established bucket, the kernel collects up to 16 sockets with references, and fills the message without
the lock. Bound sockets that neither listen nor connect have a table of their own between the two (Linux 6.8).
"""

from __future__ import annotations

from sockiter.claims import known_failure
from sockiter.schemes.dump import Dump
from sockiter.schemes.offset_tcp import TABLES
from sockiter.schemes.scheme import SUCCESSIONS
from sockiter.schemes.versions import mainline


class TcpDiag(Dump):
    """Claims: those of `Dump`; a connection that closes or is accepted counts as a move."""

    name = "tcp-diag"
    summary = f"table, bucket, and count of sockets seen in it ({mainline('tcp-diag')})"
    hazards = Dump.hazards | SUCCESSIONS
    tables = TABLES
    known_failures = (
        *Dump.known_failures,
        known_failure("skip", "close", moved=True),
        known_failure("repeat", "close"),
        known_failure("repeat", "close", moved=True),
    )
