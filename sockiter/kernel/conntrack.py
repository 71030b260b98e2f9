"""The walks over tracked connections: dumps by ctnetlink, and /proc/net/nf_conntrack.

The table is shared by all namespaces, and a walk shows the connections of one. A small table is needed, so that enough
connections get into one bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.elements import NumberedElements
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.target import (
    DUMP_READS,
    NO_BATCH,
    NO_DESTROYING,
    NO_PROGRAM_IN_DUMP,
    NO_PROGRAM_IN_FILE,
    NO_STOP,
    KernelTarget,
    SessionSetup,
)
from sockiter.kernel.tracker import (
    ADDRESS_AT,
    NETFILTER,
    Tracker,
    entries_request,
    groups,
    need_small_table,
    number_in_walk,
    sources,
)
from sockiter.kernel.walks import ProcWalk
from sockiter.operations import Bucket, End

BUCKETS_MAX = 1024
PER_BUCKET = 200
"""The connections of a bucket, on average: more than the records of a message."""
LINE_BYTES = 180
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **NO_DESTROYING,
    **dict.fromkeys(("close", "accept", "destroy"), "entries of the table are no sockets"),
    "add-tail": "an entry enters at the head",
    "reinsert": "an entry stays in its place until it is deleted",
    "rehash": "the addresses of a connection determine its bucket",
}


class Connections(NumberedElements):
    """The connections of one iteration, each of one bucket of `places`."""

    has_tail = False

    def __init__(self, namespace: Namespace, tracker: Tracker, places: list[list[int]]) -> None:
        super().__init__(namespace)
        self._tracker = tracker
        self._free = [list(numbers) for numbers in places]

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.enter()
        # Each connection only once: a line that was read late could be of an earlier one.
        if bucket.number >= len(self._free) or not (free := self._free[bucket.number]):
            raise Inconclusive(f"no more connections get into bucket {bucket} here")
        number = free.pop()
        self._tracker.make([number])
        self._held[name] = number, bucket
        return number_in_walk(number)

    def _end(self, number: int, bucket: Bucket) -> None:
        self._tracker.delete([number])

    def close(self) -> None:
        self._tracker.delete([number for number, _ in self._held.values()])
        self._held.clear()


@contextmanager
def _set_up() -> Iterator[tuple[Namespace, Tracker, list[list[int]]]]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private())
        buckets = need_small_table(BUCKETS_MAX)
        tracker = stack.enter_context(closing(Tracker()))
        yield namespace, tracker, groups(tracker, buckets * PER_BUCKET)


@contextmanager
def _dump() -> Iterator[SessionSetup]:
    with _set_up() as (namespace, tracker, places):

        def make(_: Shape) -> Connections:
            return Connections(namespace, tracker, places)

        walk = DiagWalk(entries_request(), ADDRESS_AT, 4, NETFILTER, "ctnetlink")
        yield SessionSetup(namespace, walk.measured(make(Shape())), make, has_tail=False)


@contextmanager
def _proc() -> Iterator[SessionSetup]:
    with _set_up() as (namespace, tracker, places):

        def make(_: Shape) -> Connections:
            return Connections(namespace, tracker, places)

        _need_lines(make(Shape()))
        walk = ProcWalk("nf_conntrack", LINE_BYTES, title=0, parse=sources)
        yield SessionSetup(namespace, walk, make, has_tail=False)


def _need_lines(connections: Connections) -> None:
    connections.add("measured", "head", Bucket())
    try:
        reader = ProcWalk("nf_conntrack", 1 << 12, title=0, parse=_width).open()
        try:
            width = sum(reader.read(1))
        finally:
            reader.close()
    finally:
        connections.close()
    if width != LINE_BYTES:
        raise Unavailable(f"a line of /proc/net/nf_conntrack has {width} bytes on this kernel: expected {LINE_BYTES}")


def _width(text: bytes) -> list[tuple[int, int]]:
    return [(len(text), 0)]


KERNEL_CONNTRACK = KernelTarget(
    "kernel:conntrack",
    "the running kernel's dump of tracked connections by ctnetlink",
    _dump,
    frozenset({"add-head", "remove"}),
    schemes=("conntrack",),
    slots=None,
    never={**_NEVER, "show": "the bucket's lock is held while a message is filled"},
    reads=DUMP_READS,
    never_reads=NO_PROGRAM_IN_DUMP,
)
KERNEL_PROC_CONNTRACK = KernelTarget(
    "kernel:proc-conntrack",
    "partial reads of the running kernel's /proc/net/nf_conntrack",
    _proc,
    frozenset({"add-head", "remove"}),
    schemes=("proc-conntrack",),
    slots=None,
    never={**_NEVER, "show": "nothing stops a read"},
    read_max=(4096 - 1) // LINE_BYTES,
    reads=frozenset({"again"}),
    never_reads={**NO_PROGRAM_IN_FILE, "bytes": "the width of a line depends on the kernel"},
)
