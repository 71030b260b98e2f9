"""The walks over UNIX sockets: bpf_iter_unix, sock_diag, and /proc/net/unix.

The module defines the set-up of a session for each walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.kernel.bpf.btf import kernel_member
from sockiter.kernel.bpf.loader import whole_walk
from sockiter.kernel.bpf.programs import OfSocket
from sockiter.kernel.bpf.setup import LoadedIterator, load_iterator
from sockiter.kernel.diag import UNIX_COOKIE_AT, unix_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.sockets.unix import LINE_BYTES, TITLE_BYTES, LinedUnixSockets, Places, UnixSockets, inodes
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
from sockiter.kernel.walks import BpfWalk, ProcWalk

_NAMED = "the name of a UNIX socket is permanent and determines its bucket"
_NO_CONNECTION = "this table has no handshakes, and no successors of sockets"
_UNDESTROYABLE = "the kernel destroys only TCP and UDP sockets on request"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **dict.fromkeys(("close", "accept"), _NO_CONNECTION),
    "destroy": _UNDESTROYABLE,
    "add-tail": "UNIX sockets go to the head",
    "reinsert": _NAMED,
    "rehash": _NAMED,
}


@contextmanager
def _bpf() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, iterator, places = _set_up(stack)
        yield SessionSetup(
            namespace,
            BpfWalk(iterator.walker),
            partial(_make_sockets, namespace, places, UnixSockets),
            iterator.stops,
            has_tail=False,
            unable=iterator.unable,
            modes=iterator.modes,
            lacks=iterator.lacks,
        )


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, places = _set_up(stack)
        walk = DiagWalk(unix_request(), UNIX_COOKIE_AT)
        yield SessionSetup(namespace, walk, partial(_make_sockets, namespace, places, UnixSockets), has_tail=False)


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace, _, places = _set_up(stack)
        walk = ProcWalk("unix", LINE_BYTES, title=TITLE_BYTES, parse=inodes)
        yield SessionSetup(namespace, walk, partial(_make_sockets, namespace, places, LinedUnixSockets), has_tail=False)


KERNEL_UNIX = KernelTarget(
    "kernel:unix",
    "the running kernel's UNIX socket iterator (bpf_iter_unix)",
    _bpf,
    frozenset({"add-head", "remove", "show", "realloc", "enomem"}),
    schemes=("unix",),
    never={**_NEVER, "destroying": "bpf_sock_destroy takes TCP and UDP sockets only"},
)
KERNEL_UNIX_DIAG = KernelTarget(
    "kernel:unix-diag",
    "the running kernel's dump of UNIX sockets by sock_diag",
    _diag,
    frozenset({"add-head", "remove"}),
    schemes=("unix-diag",),
    slots=None,
    never={
        **_NEVER,
        **NO_BATCH,
        "destroying": _UNDESTROYABLE,
        "show": "the bucket's lock is held while a message is filled",
    },
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)


KERNEL_PROC_UNIX = KernelTarget(
    "kernel:proc-unix",
    "partial reads of the running kernel's /proc/net/unix",
    _proc,
    frozenset({"add-head", "remove"}),
    schemes=("proc-unix",),
    slots=None,
    never={**_NEVER, **NO_BATCH, **NO_DESTROYING, "show": "the bucket's lock is held from its first line to its last"},
    read_max=(4096 - 1) // LINE_BYTES,
    reads=FILE_READS,
    never_reads=NO_PROGRAM_IN_FILE,
)


def _set_up(stack: ExitStack) -> tuple[Namespace, LoadedIterator, Places]:
    namespace = stack.enter_context(private())
    iterator = load_iterator(stack, "unix", OfSocket(kernel_member("sock_common", "skc_hash")), destroys=False)
    return namespace, iterator, Places(namespace, partial(whole_walk, iterator.walker))


def _make_sockets(namespace: Namespace, places: Places, kind: type[UnixSockets], shape: Shape) -> UnixSockets:
    return kind(namespace, places.buckets(max(number for _, number in shape.buckets)))
