"""`unix-diag`: the dump of UNIX sockets by sock_diag, as `ss -x` requests it.

Models unix_diag_dump of net/unix/diag.c as the sources of Linux 6.1 to 7.1 have it; only 6.18.44 was measured. A slot is in
cb->args[0], and a number of sockets in it in cb->args[1]. The name of a UNIX socket determines its bucket, so that on a
kernel no socket moves. The kernel destroys no UNIX socket on request.
"""

from __future__ import annotations

from sockiter.schemes.dump import Dump
from sockiter.schemes.versions import mainline


class UnixDiag(Dump):
    """Claims: those of `Dump`."""

    name = "unix-diag"
    hazards = Dump.hazards - {"destroying"}
    summary = f"bucket, and count of sockets seen in it ({mainline('unix-diag')})"
