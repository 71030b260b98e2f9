"""The walks over UDP sockets: bpf_iter_udp, /proc/net/udp, and sock_diag.

The module defines the sockets for each walk, and the set-up of its session.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.kernel.bpf.loader import whole_walk
from sockiter.kernel.bpf.programs import InContext
from sockiter.kernel.bpf.setup import load_destroyer, load_iterator
from sockiter.kernel.diag import INET_COOKIE_AT, inet_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.netlink import bring_up
from sockiter.kernel.sockets.base import Destroyer, Socket, cookie, inode
from sockiter.kernel.sockets.udp import Places, UdpSockets
from sockiter.kernel.target import (
    DUMP_READS,
    FILE_READS,
    NO_BATCH,
    NO_BYTES_OF_UNPADDED,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_PROGRAM_IN_FILE,
    NO_STOP,
    PROGRAM_READS,
    UNPADDED_READS,
    KernelTarget,
    SessionSetup,
    with_destruction,
)
from sockiter.kernel.walks import BpfWalk, ProcWalk, UnpaddedWalk, Walk, lines

# A namespace with this setting (6.2 and later) has its own table, which makes a walk short. 128 is the minimum.
_SMALL_TABLE = ("/proc/sys/net/ipv4/udp_child_hash_entries", "128")
# `struct bpf_iter__udp`: meta, the socket, its owner, and then the bucket.
_BUCKET_AT = 24
_WIDTH = 128  # of a line of /proc/net/udp
_WIDTH6 = 170  # of a line of /proc/net/udp6 with an inode of 8 digits
_NO_CONNECTION: dict[Hazard, str] = dict.fromkeys(("close", "accept"), "UDP has no handshakes, and no successors of sockets")
_IPV4 = "this walk returns IPv4 sockets, which go to the head"


@contextmanager
def _bpf() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private(_SMALL_TABLE))
        bring_up(namespace)
        iterator = load_iterator(stack, "udp", InContext(_BUCKET_AT))
        destroyer, unable = _destroyer(stack)
        places = Places(namespace, partial(whole_walk, iterator.walker), family=socket.AF_INET6)
        yield SessionSetup(
            namespace,
            BpfWalk(iterator.walker),
            partial(_make_sockets, namespace, places, destroyer, cookie),
            iterator.stops,
            iterator.destroys,
            places.has_tail,
            {**unable, **iterator.unable},
            iterator.modes,
            iterator.lacks,
        )


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private(_SMALL_TABLE))
        yield _by_port(stack, namespace, ProcWalk("udp", _WIDTH), inode)


@contextmanager
def _proc6() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private(_SMALL_TABLE))
        yield _by_port(stack, namespace, UnpaddedWalk("udp6", _WIDTH6), inode, socket.AF_INET6)


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private(_SMALL_TABLE))
        walk = DiagWalk(inet_request(socket.AF_INET, socket.IPPROTO_UDP), INET_COOKIE_AT)
        yield with_destruction(_by_port(stack, namespace, walk, cookie), walk)


KERNEL_UDP = KernelTarget(
    "kernel:udp",
    "the running kernel's UDP socket iterator (bpf_iter_udp)",
    _bpf,
    frozenset(
        {"add-head", "add-tail", "remove", "reinsert", "rehash", "destroy", "destroying", "show", "realloc", "enomem"}
    ),
    schemes=("cookie-udp", "offset-udp", "rank"),
    never={**NO_STOP, **_NO_CONNECTION},
    reads=PROGRAM_READS | {"bound"},
)
KERNEL_PROC_UDP = KernelTarget(
    "kernel:proc-udp",
    "partial reads of the running kernel's /proc/net/udp",
    _proc,
    frozenset({"add-head", "remove", "reinsert", "rehash", "destroy"}),
    schemes=("proc-udp",),
    slots=None,
    read_max=(4096 - 1) // _WIDTH,
    never={
        **NO_STOP,
        **NO_BATCH,
        **NO_DESTROYING,
        **_NO_CONNECTION,
        "add-tail": _IPV4,
        "show": "the bucket's lock is held for a whole read",
    },
    reads=FILE_READS,
    never_reads=NO_PROGRAM_IN_FILE,
)
KERNEL_PROC_UDP6 = replace(
    KERNEL_PROC_UDP,
    name="kernel:proc-udp6",
    summary="partial reads of the running kernel's /proc/net/udp6",
    set_up=_proc6,
    offers=KERNEL_PROC_UDP.offers | {"add-tail"},
    read_max=(4096 - 1) // _WIDTH6,
    never={hazard: why for hazard, why in KERNEL_PROC_UDP.never.items() if hazard != "add-tail"},
    reads=UNPADDED_READS,
    never_reads=NO_BYTES_OF_UNPADDED,
)
KERNEL_UDP_DIAG = KernelTarget(
    "kernel:udp-diag",
    "the running kernel's dump of UDP sockets by sock_diag",
    _diag,
    frozenset({"add-head", "remove", "reinsert", "rehash", "destroy", "destroying"}),
    schemes=("udp-diag",),
    slots=None,
    never={
        **NO_STOP,
        **NO_BATCH,
        **_NO_CONNECTION,
        "add-tail": _IPV4,
        "show": "the bucket's lock is held while a message is filled",
    },
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)


def _make_sockets(
    namespace: Namespace, places: Places, destroyer: Destroyer | None, number_of: Callable[[Socket], int], shape: Shape
) -> UdpSockets:
    return UdpSockets(namespace, places, places.ports(max(number for _, number in shape.buckets)), destroyer, number_of)


def _destroyer(stack: ExitStack) -> tuple[Destroyer | None, dict[Hazard, str]]:
    # SOCK_DESTROY does not find every UDP socket: it looks one up by addresses, which several sockets may share.
    try:
        return load_destroyer(stack, "udp", InContext(_BUCKET_AT)), {}
    except Unavailable as lack:
        return None, {"destroy": f"UDP sockets that share a port can only be destroyed by bpf_sock_destroy: {lack}"}


def _by_port(
    stack: ExitStack,
    namespace: Namespace,
    walk: Walk,
    number_of: Callable[[Socket], int],
    family: int = socket.AF_INET,
) -> SessionSetup:
    bring_up(namespace)
    destroyer, unable = _destroyer(stack)
    name = "udp" if family == socket.AF_INET else "udp6"
    places = Places(namespace, partial(_seen_in_proc, name), family=family, number_of=inode)
    if places.by_address:
        raise Unavailable(f"/proc/net/{name} does not list sockets in the order of the table by port")
    make_sockets = partial(_make_sockets, namespace, places, destroyer, number_of)
    return SessionSetup(namespace, walk, make_sockets, has_tail=places.has_tail, unable=unable)


def _seen_in_proc(name: str) -> list[tuple[int, int]]:
    with open(f"/proc/thread-self/net/{name}", "rb") as file:
        return lines(file.read())
