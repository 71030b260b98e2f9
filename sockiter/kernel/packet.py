"""The dump of packet sockets by sock_diag as a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.kernel.diag import PACKET_COOKIE_AT, packet_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import private
from sockiter.kernel.sockets.packet import PacketSockets, closing_threads
from sockiter.kernel.target import (
    DUMP_READS,
    NO_BATCH,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_STOP,
    KernelTarget,
    SessionSetup,
)

_UNMOVED = "a packet socket stays in its place until it is closed"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **NO_DESTROYING,
    **dict.fromkeys(("close", "accept"), "this list has no connections"),
    **dict.fromkeys(("reinsert", "rehash"), _UNMOVED),
    "add-head": "packet sockets go to the tail",
    "destroy": "the kernel destroys only TCP and UDP sockets on request",
    "show": "the list's lock is held while a message is filled",
}


@contextmanager
def _diag() -> Iterator[SessionSetup]:
    with private() as namespace, closing_threads() as closers:
        walk = DiagWalk(packet_request(), PACKET_COOKIE_AT)

        def make_sockets(_: Shape) -> PacketSockets:
            return PacketSockets(namespace, closers, walk.whole)

        yield SessionSetup(namespace, walk.measured(make_sockets(Shape())), make_sockets)


KERNEL_PACKET_DIAG = KernelTarget(
    "kernel:packet-diag",
    "the running kernel's dump of packet sockets by sock_diag",
    _diag,
    frozenset({"add-tail", "remove"}),
    schemes=("packet-diag",),
    buckets_max=1,
    slots=None,
    never=_NEVER,
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)
