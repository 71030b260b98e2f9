"""The walks over the kernel's tables of netlink sockets as targets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.kernel import netlink
from sockiter.kernel.diag import NETLINK_COOKIE_AT, netlink_request
from sockiter.kernel.namespace import private
from sockiter.kernel.sockets.netlink import (
    CHAIN_MAX,
    CHAINS_MAX,
    PROTOCOL,
    Chains,
    NetlinkSockets,
    ballast,
    check_protocol,
)
from sockiter.kernel.target import (
    DUMP_READS,
    NO_BATCH,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_STOP,
    KernelTarget,
    SessionSetup,
)
from sockiter.kernel.walks import DiagWalk

_BOUND = "the port id of a netlink socket is permanent and determines its chain"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **NO_DESTROYING,
    **dict.fromkeys(("close", "accept"), "this table has no connections"),
    **dict.fromkeys(("reinsert", "rehash"), _BOUND),
    "add-tail": "netlink sockets go to the head of a chain",
    "destroy": "the kernel destroys only TCP and UDP sockets on request",
    "show": "there is no known way to stop this walk",
}
_ALL = 32_768


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    check_protocol()
    with private() as namespace, ballast(namespace, _order) as kept:
        walk = DiagWalk(netlink_request(PROTOCOL), NETLINK_COOKIE_AT)
        chains = Chains(namespace, kept, walk.whole)

        def make_sockets(shape: Shape) -> NetlinkSockets:
            return NetlinkSockets(namespace, chains, max(number for _, number in shape.buckets))

        yield SessionSetup(namespace, walk.measured(make_sockets(Shape())), make_sockets, has_tail=False)


KERNEL_NETLINK_DIAG = KernelTarget(
    "kernel:netlink-diag",
    "the running kernel's dump of the netlink sockets of a protocol by sock_diag",
    _diag,
    frozenset({"add-head", "remove"}),
    schemes=("netlink-diag",),
    buckets_max=CHAINS_MAX,
    bucket_holds=CHAIN_MAX,
    slots=None,
    never=_NEVER,
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)


def _order() -> Callable[[], bytes]:
    # The order of the sockets in the calling thread's namespace, as the bytes of a dump.
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
    request = netlink_request(PROTOCOL, everything=False)

    def order() -> bytes:
        sock.send(request)
        dumped = b""
        while True:
            message = sock.recv(_ALL)
            dumped += message
            if netlink.is_last(message):
                return dumped

    return order
