"""The UDP socket iterator of the running kernel: the target, and what its iterations share.

Decided here: what is claimed of it, and when a machine can run it. Not known here: how sockets get to where they are
wanted (`udp_sockets`), and how an iteration goes (`iteration`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sockiter.backend import SLOTS, Backend, Shape, refusal
from sockiter.claims import Harm, Hazard
from sockiter.errors import MachineLacks
from sockiter.kernel.answers import need_linux, why_missing
from sockiter.kernel.bpf import Walker, walker
from sockiter.kernel.iteration import Iteration
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.udp_sockets import Ports, UdpSockets
from sockiter.operations import Add, Open, Read

# `struct bpf_iter__udp`: meta, the socket, its owner, and then the bucket.
_FUNCTION = "bpf_iter_udp"
_BUCKET_AT = 24
# A namespace made under this setting (6.2 and later) has a table of its own, and a short walk. 128 is the least.
_SMALL_TABLE = ("/proc/sys/net/ipv4/udp_child_hash_entries", "128")


@dataclass(frozen=True, slots=True)
class KernelUdp:
    """bpf_iter_udp, on UDP's table of sockets by address and port. It claims what its users rely on: each socket once."""

    name: str = "kernel:udp"
    summary: str = "the running kernel's UDP socket iterator (bpf_iter_udp)"
    progress: str = ""
    hazards: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove"})
    harms: tuple[Harm, ...] = ()
    tables: tuple[str, ...] = ("",)
    slots: int | None = SLOTS
    is_real: bool = True

    def missing(self) -> str | None:
        """What the machine lacks, found out by running a short iteration once per process."""
        return why_missing(self.name, self._attempt)

    @contextmanager
    def session(self) -> Iterator[UdpSession]:
        """A private namespace, which the calling thread is in until the end, and a loaded program."""
        need_linux()
        with walker(_FUNCTION, bucket_at=_BUCKET_AT) as loaded, private(_SMALL_TABLE) as namespace:
            session = UdpSession(self, loaded, namespace)
            try:
                yield session
            finally:
                session.close()

    def _attempt(self) -> None:
        with self.session() as session:
            backend = session.begin(Shape())
            for operation in (Add("A", "head"), Open(), Read(1)):
                backend.apply(operation)


class UdpSession:
    """Begins one iteration after the other in one private namespace."""

    __slots__ = ("_current", "_namespace", "_ports", "_target", "_walker")

    def __init__(self, target: KernelUdp, loaded: Walker, namespace: Namespace) -> None:
        self._target = target
        self._walker = loaded
        self._namespace = namespace
        self._ports = Ports(loaded, namespace)
        self._current: Iteration | None = None

    def begin(self, shape: Shape) -> Backend:
        """An empty table; raises `MachineLacks` for a shape that this kernel's table does not have."""
        self.close()
        if why := refusal(self._target, (), shape):
            raise MachineLacks(why)
        self._namespace.enter()
        places = self._ports.places(max(number for _, number in shape.buckets))
        sockets = UdpSockets(self._namespace, places)
        self._current = Iteration(self._target.name, self._walker, sockets)
        return self._current

    def close(self) -> None:
        """End what was begun last."""
        if self._current is not None:
            self._current.close()
            self._current = None
