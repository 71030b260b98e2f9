"""`packet-diag`: the dump of packet sockets by sock_diag, as `ss -0` requests it.

Models packet_diag_dump of net/packet/diag.c, Linux 3.7 to 7.1: a number of sockets in cb->args[0]. A new socket enters the
namespace's list at its tail (packet_create of net/packet/af_packet.c), and leaves it only when it is closed.

Not modelled: a record that is larger than a message. The kernel takes the empty message for the end of the dump.
"""

from __future__ import annotations

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.one_list import OneList
from sockiter.schemes.versions import mainline


class PacketDiag(OneList):
    """Claims: no repeat, no stale socket, always an end, no error; no skip without a removal."""

    name = "packet-diag"
    summary = f"count of sockets seen in one list ({mainline('packet-diag')})"
    hazards: frozenset[Hazard] = frozenset({"add-tail", "remove"})
    known_failures = (known_failure("skip", "remove"),)
