"""The walks over TCP sockets: bpf_iter_tcp, /proc/net/tcp, and sock_diag.

The module defines the sockets for each walk, and the set-up of its session.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sockiter.backend import Shape
from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.btf import kernel_member
from sockiter.kernel.bpf.loader import whole_walk
from sockiter.kernel.bpf.programs import OfWalk
from sockiter.kernel.bpf.setup import LoadedIterator, load_iterator
from sockiter.kernel.diag import INET_COOKIE_AT, inet_request
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.netlink import bring_up
from sockiter.kernel.sockets.tcp import ESTABLISHED, TABLES, Places, TcpSockets
from sockiter.kernel.target import (
    DUMP_READS,
    FILE_READS,
    NO_BATCH,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_PROGRAM_IN_FILE,
    NO_STOP,
    KernelTarget,
    SessionSetup,
)
from sockiter.kernel.walks import BpfWalk, DiagWalk, ProcWalk

# In a namespace with this setting (6.1 and later), the established sockets have a separate table with this number of
# buckets, which makes a walk short. The table of the listening sockets is shared by all namespaces.
_BUCKETS = 16
_SMALL_TABLE = ("/proc/sys/net/ipv4/tcp_child_ehash_entries", str(_BUCKETS))
_LISTENING_BUCKETS = 64  # the smallest number of any kernel
_WIDTH = 150  # of a line of /proc/net/tcp
_IPV4 = "this walk returns IPv4 sockets, which go to the head"
_HELD = "the bucket's lock is held while sockets are shown"


@contextmanager
def _bpf(first: str) -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, iterator, places = _set_up(stack, socket.AF_INET6)
        walk, make_sockets = BpfWalk(iterator.walker), partial(_make_sockets, namespace, places, first)
        yield SessionSetup(
            namespace,
            walk,
            make_sockets,
            iterator.stops,
            iterator.destroys,
            first != ESTABLISHED,
            iterator.unable,
            iterator.modes,
            iterator.lacks,
        )


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, places = _set_up(stack, socket.AF_INET)
        yield SessionSetup(
            namespace, ProcWalk("tcp", _WIDTH), partial(_make_sockets, namespace, places, TABLES[0]), has_tail=False
        )


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, places = _set_up(stack, socket.AF_INET6)
        walk = DiagWalk(inet_request(socket.AF_INET6, socket.IPPROTO_TCP), INET_COOKIE_AT)
        yield SessionSetup(namespace, walk, partial(_make_sockets, namespace, places, TABLES[0]))


KERNEL_TCP = KernelTarget(
    "kernel:tcp",
    "the running kernel's TCP socket iterator (bpf_iter_tcp), mainly on listening sockets",
    partial(_bpf, TABLES[0]),
    frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash", "destroying", "show", "realloc", "enomem"}),
    schemes=("cookie-tcp", "offset-tcp"),
    tables=TABLES,
)
KERNEL_TCP_ESTABLISHED = KernelTarget(
    "kernel:tcp-established",
    "the same iterator on established sockets only",
    partial(_bpf, ESTABLISHED),
    frozenset({"add-head", "remove", "reinsert", "rehash", "destroying", "show", "realloc", "enomem"}),
    schemes=("cookie-tcp", "offset-tcp"),
    tables=(ESTABLISHED,),
    never={**NO_STOP, "add-tail": "established sockets go to the head"},
)
KERNEL_PROC_TCP = KernelTarget(
    "kernel:proc-tcp",
    "partial reads of the running kernel's /proc/net/tcp",
    _proc,
    frozenset({"add-head", "remove", "reinsert", "rehash"}),
    schemes=("proc-tcp",),
    tables=TABLES,
    slots=None,
    read_max=(4096 - 1) // _WIDTH,
    never={**NO_STOP, **NO_BATCH, **NO_DESTROYING, "add-tail": _IPV4, "show": _HELD},
    reads=FILE_READS,
    never_reads=NO_PROGRAM_IN_FILE,
)
KERNEL_TCP_DIAG = KernelTarget(
    "kernel:tcp-diag",
    "the running kernel's dump of TCP sockets by sock_diag",
    _diag,
    frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash"}),
    schemes=("tcp-diag",),
    tables=TABLES,
    slots=None,
    never={**NO_STOP, **NO_BATCH, **NO_DESTROYING, "show": "the kernel does not signal when it fills a message"},
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)


def _set_up(stack: ExitStack, family: int) -> tuple[Namespace, LoadedIterator, Places]:
    namespace = stack.enter_context(private(_SMALL_TABLE))
    bring_up(namespace)
    place = OfWalk(
        private=kernel_member("seq_file", "private"),
        bucket=kernel_member("tcp_iter_state", "bucket"),
        table=kernel_member("tcp_iter_state", "state"),
    )
    iterator = load_iterator(stack, "tcp", place)
    return namespace, iterator, Places(namespace, partial(whole_walk, iterator.walker), family)


def _make_sockets(namespace: Namespace, places: Places, first: str, shape: Shape) -> TcpSockets:
    established = 0
    for table, count in shape.buckets:
        is_established = (table or first) == ESTABLISHED
        buckets_max = _BUCKETS if is_established else _LISTENING_BUCKETS
        established = max(established, count if is_established else 0)
        if count > buckets_max:
            raise Inconclusive(
                f"the kernel's table of {table or first} sockets has {buckets_max} buckets here; the case needs {count}"
            )
    return TcpSockets(namespace, places, first, established)
