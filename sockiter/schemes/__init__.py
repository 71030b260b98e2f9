"""The registry of schemes. A new scheme is a file in this folder and a line here."""

from __future__ import annotations

from sockiter.schemes.conntrack import Conntrack
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.index_detect import IndexDetect
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.key_order import KeyHome, KeyOrder
from sockiter.schemes.listns import Listns
from sockiter.schemes.map_batch import MapBatch
from sockiter.schemes.map_iter import MapIter
from sockiter.schemes.map_next_key import MapNextKey
from sockiter.schemes.netlink_diag import NetlinkDiag
from sockiter.schemes.netlink_walk import Netlink, ProcNetlink
from sockiter.schemes.nsid import Nsid
from sockiter.schemes.nsid_count import NsidCount
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.packet_diag import PacketDiag
from sockiter.schemes.proc_conntrack import ProcConntrack
from sockiter.schemes.proc_tcp import ProcTcp
from sockiter.schemes.proc_udp import ProcUdp
from sockiter.schemes.proc_unix import ProcUnix
from sockiter.schemes.rank import Rank
from sockiter.schemes.removal_count import RemovalCount
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme
from sockiter.schemes.tcp_diag import TcpDiag
from sockiter.schemes.threads import Threads
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.schemes.unix import Unix
from sockiter.schemes.unix_diag import UnixDiag

GROUPS: tuple[tuple[str, tuple[AnyScheme, ...]], ...] = (
    ("Sockets by count", (OffsetUdp(), OffsetTcp(), Rank(), Unix())),
    (
        "The RFC's ways",
        (Index(), IndexSnapshot(), IndexNarrow(), IndexDetect(), RemovalCount(), FullBatch(), FullBatchHeld(), Restart()),
    ),
    ("Sockets by cookie", (CookieUdp(), CookieTcp())),
    ("Sockets by key", (KeyOrder(), KeyHome())),
    ("Files and dumps", (ProcUdp(), ProcTcp(), UdpDiag(), TcpDiag(), UnixDiag(), ProcUnix())),
    ("BPF maps", (MapNextKey(), MapBatch(), MapIter())),
    ("Netlink and packets", (NetlinkDiag(), Netlink(), ProcNetlink(), PacketDiag())),
    ("Namespaces", (Nsid(), NsidCount(), Listns())),
    ("Other tables", (Threads(), Conntrack(), ProcConntrack())),
)
"""The schemes in groups, each with its title."""
SCHEMES: tuple[AnyScheme, ...] = tuple(scheme for _, schemes in GROUPS for scheme in schemes)
