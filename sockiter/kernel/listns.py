"""The walk over namespaces by listns(2), Linux 6.19 and later, in calls for some ids.

The namespaces are those of a user namespace that belongs to the session: a call lists no others. A new one comes last.
"""

from __future__ import annotations

import ctypes
import errno
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.errors import Inconclusive
from sockiter.frames.loop import RECORDS_MAX
from sockiter.kernel import libc
from sockiter.kernel.answering import AnsweringProcess, started
from sockiter.kernel.elements import NumberedElements
from sockiter.kernel.loops import LoopReader
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.target import NO_BATCH, NO_PROGRAM_IN_FILE, NO_STOP, KernelTarget, SessionSetup
from sockiter.operations import Bucket, End, Unit

# Size, the last id, the kinds of namespaces, and the id of the user namespace that owns them (`struct ns_id_req`).
_REQUEST = struct.Struct("=I4xQI4xQ")
_NEW_UTS = 0x04000000
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **dict.fromkeys(("close", "accept", "destroy"), "namespaces are no sockets"),
    **dict.fromkeys(("add-head", "reinsert", "rehash"), "a new namespace comes last, and keeps its id"),
    "destroying": "no program runs for the namespaces",
    "show": "nothing stops a call",
}


class NamespaceProcess(AnsweringProcess):
    """A process that makes and keeps namespaces. `owner`: the id of their user namespace; `first`: the id before theirs."""

    number_bytes = 8
    has_ended = "a process with namespaces of its own has ended: unshare(2) or NS_GET_ID of ioctl(2) failed"

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        self.owner = self._answer()
        self.first = self._answer()

    def make(self) -> int:
        """Make a namespace, and return its id."""
        return self._asked(0)

    def give_up(self, number: int) -> None:
        """Give up a namespace, which is gone at once."""
        self._asked(number)

    def _asked(self, number: int) -> int:
        self._ask(number)
        return self._answer()


class ListedNamespaces(NumberedElements):
    """The namespaces of one iteration, which has no others before and afterwards."""

    has_head = False

    def __init__(self, namespace: Namespace, process: NamespaceProcess) -> None:
        super().__init__(namespace)
        self._process = process

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.enter()
        if len(self._held) >= RECORDS_MAX:
            raise Inconclusive(f"an iteration can have {RECORDS_MAX} namespaces at a time; the case needs more")
        number = self._process.make()
        self._held[name] = number, bucket
        return number

    def _end(self, number: int, bucket: Bucket) -> None:
        self._process.give_up(number)


class ListnsWalk:
    """A loop of listns(2) over the namespaces of one owner, behind an id."""

    records_max = RECORDS_MAX
    is_dump = False

    def __init__(self, owner: int, first: int) -> None:
        self._owner = owner
        self._first = first

    def open(self) -> ListnsReader:
        return ListnsReader(self._owner, self._first)


class ListnsReader(LoopReader):
    """A read is one call. ENOENT ends the loop."""

    __slots__ = ("_last", "_owner")

    def __init__(self, owner: int, last: int) -> None:
        super().__init__()
        self._owner = owner
        self._last = last

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        if self._ended:
            return ()
        ids = (ctypes.c_uint64 * min(count, RECORDS_MAX))()
        try:
            listed = ids[: libc.listns(_REQUEST.pack(_REQUEST.size, self._last, _NEW_UTS, self._owner), ids)]
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            listed = []
        # A call with less than it has room for has come to the end of the list.
        self._ended = len(listed) < len(ids)
        self._last = listed[-1] if listed else self._last
        return listed


@contextmanager
def namespace_process() -> Iterator[NamespaceProcess]:
    """A process that makes and keeps namespaces, until the end; raises `Unavailable`."""
    with started("namespace_process", stderr=subprocess.DEVNULL) as process:
        try:
            yield NamespaceProcess(process)
        finally:
            process.kill()


@contextmanager
def _listns() -> Iterator[SessionSetup]:
    _need_listns()
    with ExitStack() as stack:
        namespace = stack.enter_context(private())
        process = stack.enter_context(namespace_process())

        def make(shape: Shape) -> ListedNamespaces:
            return ListedNamespaces(namespace, process)

        yield SessionSetup(namespace, ListnsWalk(process.owner, process.first), make)


def _need_listns() -> None:
    try:
        libc.listns(_REQUEST.pack(_REQUEST.size, 0, _NEW_UTS, 0), (ctypes.c_uint64 * 1)())
    except OSError as error:
        raise libc.unavailable("listns(2), which requires Linux 6.19 or later", error) from error


KERNEL_LISTNS = KernelTarget(
    "kernel:listns",
    "the running kernel's list of namespaces in calls for some ids (listns)",
    _listns,
    frozenset({"add-tail", "remove"}),
    schemes=("listns",),
    buckets_max=1,
    slots=None,
    never=_NEVER,
    read_max=RECORDS_MAX,
    reads=frozenset({"again"}),
    never_reads={**NO_PROGRAM_IN_FILE, "bytes": "a call returns whole ids"},
)
