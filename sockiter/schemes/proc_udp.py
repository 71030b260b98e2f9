"""`proc-udp`: /proc/net/udp keeps its place as `rank` does, and is read as a file.

Models udp_seq_start, udp_seq_next and udp_get_idx of net/ipv4/udp.c, Linux 6.1 to 7.1. Read in whole lines, this walk has
the known failures of `rank`. There is no program in it that could destroy a socket.
/proc/net/udp6 is the same walk, with wider lines.
"""

from __future__ import annotations

from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import SUCCESSIONS, FrameName
from sockiter.schemes.versions import mainline


class ProcUdp(Rank):
    """Claims: those of `rank`."""

    name = "proc-udp"
    summary = f"count of lines read of the whole table ({mainline('proc-udp')})"
    hazards = Rank.hazards - {"destroying"} - SUCCESSIONS
    frame: FrameName = "seq_file"
    line_bytes = 128
