"""The walks over the kernel's tables of netlink sockets as targets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.kernel import netlink
from sockiter.kernel.bpf.btf import kernel_member
from sockiter.kernel.bpf.loader import walker
from sockiter.kernel.bpf.programs import OfSocket, record_program
from sockiter.kernel.diag import NETLINK_COOKIE_AT, netlink_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.sockets.base import Socket, cookie, inode
from sockiter.kernel.sockets.netlink import (
    CHAIN_MAX,
    CHAINS_MAX,
    PROTOCOL,
    Chains,
    NetlinkSockets,
    ballast,
    check_protocol,
    others,
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
from sockiter.kernel.walks import BpfWalk, NetlinkFileWalk
from sockiter.operations import Bucket
from sockiter.readers import Feature

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
# A line has 92 bytes.
_LINES = (4096 - 1) // 92
_ONE_PROTOCOL: dict[Feature, str] = dict.fromkeys(
    ("bytes", "silent", "unwanted"), "the walk also covers the sockets of other protocols, which are left out"
)


_DUMP = DiagWalk(netlink_request(PROTOCOL), NETLINK_COOKIE_AT)


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, make_sockets = _set_up(stack, cookie)
        yield SessionSetup(namespace, _DUMP.measured(make_sockets(Shape())), make_sockets, has_tail=False)


@contextmanager
def _bpf() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, make_sockets = _set_up(stack, cookie)
        stack.enter_context(others(namespace))
        program = record_program(
            OfSocket(kernel_member("sock_common", "skc_hash")), only=(kernel_member("sock", "sk_protocol"), PROTOCOL)
        )
        loaded = stack.enter_context(walker("bpf_iter_netlink", program))
        yield SessionSetup(namespace, BpfWalk(loaded), make_sockets, has_tail=False)


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, make_sockets = _set_up(stack, inode)
        stack.enter_context(others(namespace))
        one = make_sockets(Shape())
        try:
            one.add("measured", "head", Bucket())
            walk = NetlinkFileWalk.measured(PROTOCOL)
        finally:
            one.close()
        yield SessionSetup(namespace, walk, make_sockets, has_tail=False)


def _set_up(stack: ExitStack, number_of: Callable[[Socket], int]) -> tuple[Namespace, Callable[[Shape], NetlinkSockets]]:
    check_protocol()
    namespace = stack.enter_context(private())
    chains = Chains(namespace, stack.enter_context(ballast(namespace, _order)), _DUMP.whole)

    def make_sockets(shape: Shape) -> NetlinkSockets:
        return NetlinkSockets(namespace, chains, max(number for _, number in shape.buckets), number_of)

    return namespace, make_sockets


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
KERNEL_NETLINK = KernelTarget(
    "kernel:netlink",
    "the running kernel's netlink socket iterator (bpf_iter_netlink)",
    _bpf,
    frozenset({"add-head", "remove"}),
    schemes=("netlink",),
    buckets_max=CHAINS_MAX,
    bucket_holds=CHAIN_MAX,
    slots=None,
    never=_NEVER,
    reads=frozenset({"again"}),
    never_reads=_ONE_PROTOCOL,
)
KERNEL_PROC_NETLINK = KernelTarget(
    "kernel:proc-netlink",
    "partial reads of the running kernel's /proc/net/netlink",
    _proc,
    frozenset({"add-head", "remove"}),
    schemes=("proc-netlink",),
    buckets_max=CHAINS_MAX,
    bucket_holds=CHAIN_MAX,
    slots=None,
    read_max=_LINES,
    never=_NEVER,
    reads=frozenset({"again"}),
    never_reads=_ONE_PROTOCOL,
)


@contextmanager
def _order() -> Iterator[Callable[[], bytes]]:
    # The order of the sockets in the calling thread's namespace, as the bytes of a dump.
    request = netlink_request(PROTOCOL, everything=False)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as sock:

        def order() -> bytes:
            sock.send(request)
            dumped = b""
            while not netlink.is_last(message := sock.recv(_ALL)):
                dumped += message
            return dumped + message

        yield order
