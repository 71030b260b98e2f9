"""The registry of schemes. A new scheme is a file in this folder and a line here."""

from __future__ import annotations

from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.index_detect import IndexDetect
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.netlink_diag import NetlinkDiag
from sockiter.schemes.netlink_walk import Netlink, ProcNetlink
from sockiter.schemes.nsid import Nsid
from sockiter.schemes.nsid_count import NsidCount
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.packet_diag import PacketDiag
from sockiter.schemes.proc_tcp import ProcTcp
from sockiter.schemes.proc_udp import ProcUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.removal_count import RemovalCount
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme
from sockiter.schemes.tcp_diag import TcpDiag
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.schemes.unix import Unix
from sockiter.schemes.unix_diag import UnixDiag

# The schemes of earlier Linux versions, the RFC's proposal and its alternatives, and the schemes of current Linux: of its
# iterators, and then of its files and dumps.
SCHEMES: tuple[AnyScheme, ...] = (
    OffsetUdp(),
    OffsetTcp(),
    Rank(),
    Unix(),
    Index(),
    IndexSnapshot(),
    IndexNarrow(),
    IndexDetect(),
    RemovalCount(),
    FullBatch(),
    FullBatchHeld(),
    Restart(),
    CookieUdp(),
    CookieTcp(),
    ProcUdp(),
    ProcTcp(),
    UdpDiag(),
    TcpDiag(),
    UnixDiag(),
    PacketDiag(),
    Nsid(),
    NsidCount(),
    NetlinkDiag(),
    Netlink(),
    ProcNetlink(),
)
