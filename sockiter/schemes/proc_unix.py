"""`proc-unix`: /proc/net/unix keeps a bucket and a position in it, as the dump by sock_diag does, and is read as a file.

Models unix_seq_start, unix_seq_next, unix_get_first and unix_from_bucket of net/unix/af_unix.c, Linux 5.18 to 7.1: the
bucket, and the position of the next socket from 1, in the two halves of one number. A bucket is locked from its first shown
socket to its last. The name of a UNIX socket determines its bucket, so that on a kernel no socket moves.
"""

from __future__ import annotations

from sockiter.schemes.dump import Dump
from sockiter.schemes.scheme import FrameName
from sockiter.schemes.versions import mainline


class ProcUnix(Dump):
    """Claims: those of `Dump`."""

    name = "proc-unix"
    summary = f"bucket, and count of sockets read in it ({mainline('proc-unix')})"
    hazards = Dump.hazards - {"destroying"}
    frame: FrameName = "seq_file"
    line_bytes = 160
