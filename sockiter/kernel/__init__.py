"""The iterators of the running kernel as targets."""

from __future__ import annotations

from sockiter.kernel.bpf_map import KERNEL_MAP_BATCH, KERNEL_MAP_ITER, KERNEL_MAP_NEXT_KEY
from sockiter.kernel.conntrack import KERNEL_CONNTRACK, KERNEL_PROC_CONNTRACK
from sockiter.kernel.listns import KERNEL_LISTNS
from sockiter.kernel.nsid import KERNEL_NSID
from sockiter.kernel.packet import KERNEL_PACKET_DIAG
from sockiter.kernel.rhashtable import KERNEL_NETLINK, KERNEL_NETLINK_DIAG, KERNEL_PROC_NETLINK
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.tcp import KERNEL_PROC_TCP, KERNEL_PROC_TCP6, KERNEL_TCP, KERNEL_TCP_DIAG, KERNEL_TCP_ESTABLISHED
from sockiter.kernel.threads import KERNEL_THREADS
from sockiter.kernel.udp import KERNEL_PROC_UDP, KERNEL_PROC_UDP6, KERNEL_UDP, KERNEL_UDP_DIAG
from sockiter.kernel.unix import KERNEL_PROC_UNIX, KERNEL_UNIX, KERNEL_UNIX_DIAG

KERNEL_TARGETS: tuple[KernelTarget, ...] = (
    KERNEL_UDP,
    KERNEL_TCP,
    KERNEL_TCP_ESTABLISHED,
    KERNEL_UNIX,
    KERNEL_PROC_UDP,
    KERNEL_PROC_TCP,
    KERNEL_UDP_DIAG,
    KERNEL_TCP_DIAG,
    KERNEL_UNIX_DIAG,
    KERNEL_PACKET_DIAG,
    KERNEL_NSID,
    KERNEL_NETLINK_DIAG,
    KERNEL_NETLINK,
    KERNEL_PROC_NETLINK,
    KERNEL_MAP_NEXT_KEY,
    KERNEL_MAP_BATCH,
    KERNEL_MAP_ITER,
    KERNEL_PROC_UNIX,
    KERNEL_THREADS,
    KERNEL_CONNTRACK,
    KERNEL_PROC_CONNTRACK,
    KERNEL_LISTNS,
    KERNEL_PROC_UDP6,
    KERNEL_PROC_TCP6,
)
