"""The walks over TCP sockets: bpf_iter_tcp, /proc/net/tcp, and sock_diag.

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
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.bpf.btf import kernel_member
from sockiter.kernel.bpf.loader import whole_walk
from sockiter.kernel.bpf.programs import OfWalk
from sockiter.kernel.bpf.setup import LoadedIterator, load_destroyer, load_iterator
from sockiter.kernel.diag import INET_COOKIE_AT, inet_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.netlink import bring_up, lead_nowhere
from sockiter.kernel.sockets.base import Destroyer, Socket, cookie, inode
from sockiter.kernel.sockets.peer import ADDRESS, HERE, Peer, a_peer
from sockiter.kernel.sockets.tcp import ESTABLISHED, TABLES, Places, TcpSockets
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
from sockiter.kernel.walks import BpfWalk, ProcWalk, UnpaddedWalk
from sockiter.readers import Feature

# In a namespace with this setting (6.1 and later), the established sockets have a separate table with this number of
# buckets, which makes a walk short. The table of the listening sockets is shared by all namespaces.
_BUCKETS = 16
_SMALL_TABLE = ("/proc/sys/net/ipv4/tcp_child_ehash_entries", str(_BUCKETS))
_LISTENING_BUCKETS = 64  # the smallest number of any kernel
_WIDTH = 150  # of a line of /proc/net/tcp
_WIDTH6 = 181  # of a line of /proc/net/tcp6 with an inode of 8 digits
_IPV4 = "this walk returns IPv4 sockets, which go to the head"
_NO_INODE = "/proc/net/tcp gives no inode of a connection in TIME_WAIT or of a request socket, so its lines have no identity"
_SMALL_RECORDS: dict[Hazard, str] = dict.fromkeys(
    ("close", "accept"), "records of request sockets and of connections in TIME_WAIT are smaller, so more fit into a message"
)
# In a namespace with few buckets, the kernel allows half as many connections in TIME_WAIT.
_TIME_WAIT_MAX = "/proc/sys/net/ipv4/tcp_max_tw_buckets"
_MANY = "100000"
_HEAD: frozenset[Hazard] = frozenset({"add-head", "remove", "reinsert", "rehash", "destroy"})
_INSIDE: frozenset[Hazard] = frozenset({"destroying", "show", "realloc", "enomem"})
_LIFE: frozenset[Hazard] = frozenset({"close", "accept"})
_TAIL: frozenset[Hazard] = frozenset({"add-tail"})
_FEATURES: frozenset[Feature] = frozenset({"request"})
_HELD = "the bucket's lock is held while sockets are shown"


@contextmanager
def _bpf(first: str) -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, iterator, make_sockets, unable = _set_up(stack, socket.AF_INET6, first)
        walk = BpfWalk(iterator.walker)
        unable = {**unable, **iterator.unable}
        yield SessionSetup(
            namespace,
            walk,
            make_sockets,
            iterator.stops,
            iterator.destroys,
            first != ESTABLISHED,
            unable,
            iterator.modes,
            iterator.lacks,
        )


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, make_sockets, unable = _set_up(stack, socket.AF_INET, TABLES[0], inode)
        yield SessionSetup(namespace, ProcWalk("tcp", _WIDTH), make_sockets, has_tail=False, unable=unable)


@contextmanager
def _proc6() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, make_sockets, unable = _set_up(stack, socket.AF_INET6, TABLES[0], inode, lines_up=True)
        yield SessionSetup(namespace, UnpaddedWalk("tcp6", _WIDTH6), make_sockets, unable=unable)


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, make_sockets, unable = _set_up(stack, socket.AF_INET6, TABLES[0])
        walk = DiagWalk(inet_request(socket.AF_INET6, socket.IPPROTO_TCP), INET_COOKIE_AT)
        yield with_destruction(SessionSetup(namespace, walk, make_sockets, unable=unable), walk)


KERNEL_TCP = KernelTarget(
    "kernel:tcp",
    "the running kernel's TCP socket iterator (bpf_iter_tcp), mainly on listening sockets",
    partial(_bpf, TABLES[0]),
    _HEAD | _TAIL | _LIFE | _INSIDE,
    schemes=("cookie-tcp", "offset-tcp"),
    tables=TABLES,
    reads=PROGRAM_READS | _FEATURES,
)
KERNEL_TCP_ESTABLISHED = KernelTarget(
    "kernel:tcp-established",
    "the same iterator on established sockets only",
    partial(_bpf, ESTABLISHED),
    _HEAD | _LIFE | _INSIDE,
    schemes=("cookie-tcp", "offset-tcp"),
    tables=(ESTABLISHED,),
    reads=PROGRAM_READS | _FEATURES,
    never={**NO_STOP, "add-tail": "established sockets go to the head"},
)
KERNEL_PROC_TCP = KernelTarget(
    "kernel:proc-tcp",
    "partial reads of the running kernel's /proc/net/tcp",
    _proc,
    _HEAD,
    schemes=("proc-tcp",),
    tables=TABLES,
    slots=None,
    read_max=(4096 - 1) // _WIDTH,
    never={
        **NO_STOP,
        **NO_BATCH,
        **NO_DESTROYING,
        "add-tail": _IPV4,
        "show": _HELD,
        "close": _NO_INODE,
        "accept": _NO_INODE,
    },
    reads=FILE_READS,
    never_reads=NO_PROGRAM_IN_FILE,
)
KERNEL_PROC_TCP6 = replace(
    KERNEL_PROC_TCP,
    name="kernel:proc-tcp6",
    summary="partial reads of the running kernel's /proc/net/tcp6",
    set_up=_proc6,
    offers=_HEAD | _TAIL,
    read_max=(4096 - 1) // _WIDTH6,
    never={hazard: why for hazard, why in KERNEL_PROC_TCP.never.items() if hazard != "add-tail"},
    reads=UNPADDED_READS,
    never_reads=NO_BYTES_OF_UNPADDED,
)
KERNEL_TCP_DIAG = KernelTarget(
    "kernel:tcp-diag",
    "the running kernel's dump of TCP sockets by sock_diag",
    _diag,
    _HEAD | _TAIL | {"destroying"},
    schemes=("tcp-diag",),
    tables=TABLES,
    slots=None,
    never={
        **NO_STOP,
        **NO_BATCH,
        "show": "the kernel does not signal when it fills a message",
        **_SMALL_RECORDS,
    },
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)


def _set_up(
    stack: ExitStack,
    family: int,
    first: str,
    number_of: Callable[[Socket], int] = cookie,
    *,
    lines_up: bool = False,
) -> tuple[Namespace, LoadedIterator, Callable[[Shape], TcpSockets], dict[Hazard, str]]:
    namespace = stack.enter_context(private(_SMALL_TABLE))
    bring_up(namespace)
    lead_nowhere(namespace, ADDRESS, HERE)
    place = OfWalk(
        private=kernel_member("seq_file", "private"),
        bucket=kernel_member("tcp_iter_state", "bucket"),
        table=kernel_member("tcp_iter_state", "state"),
    )
    iterator = load_iterator(stack, "tcp", place)
    unable: dict[Hazard, str] = {}
    peer: Peer | None = None
    destroyer: Destroyer | None = None
    no_peer = ""
    try:
        peer = stack.enter_context(a_peer())
        with open(_TIME_WAIT_MAX, "w") as file:
            file.write(_MANY)
    except Unavailable as lack:
        no_peer = f"the peer of a connection needs packets: {lack}"
        unable.update(dict.fromkeys(("close", "accept"), no_peer))
    if peer is None or not peer.destroys:
        try:
            destroyer = load_destroyer(stack, "tcp", place)
        except Unavailable as lack:
            unable["destroy"] = f"this kernel has neither SOCK_DESTROY nor bpf_sock_destroy: {lack}"
    places = Places(namespace, partial(whole_walk, iterator.walker), family, peer, no_peer)
    places.lines_up = lines_up
    stack.callback(places.close)
    return namespace, iterator, partial(_make_sockets, namespace, places, first, destroyer, number_of), unable


def _make_sockets(
    namespace: Namespace,
    places: Places,
    first: str,
    destroyer: Destroyer | None,
    number_of: Callable[[Socket], int],
    shape: Shape,
) -> TcpSockets:
    established = 0
    for table, count in shape.buckets:
        is_established = (table or first) == ESTABLISHED
        buckets_max = _BUCKETS if is_established else _LISTENING_BUCKETS
        established = max(established, count if is_established else 0)
        if count > buckets_max:
            raise Inconclusive(
                f"the kernel's table of {table or first} sockets has {buckets_max} buckets here; the case needs {count}"
            )
    return TcpSockets(namespace, places, first, established, destroyer, number_of)
