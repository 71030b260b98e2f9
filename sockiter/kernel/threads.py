"""The walk over the threads of a process by the BPF iterator of tasks (bpf_iter_task).

The threads are those of a process that belongs to the session. The program leaves out its leader. A new thread comes last.
"""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel.answering import AnsweringProcess, started
from sockiter.kernel.bpf.btf import kernel_member
from sockiter.kernel.bpf.programs import ThreadId
from sockiter.kernel.bpf.setup import load_recorder
from sockiter.kernel.elements import NumberedElements
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.target import NO_BATCH, NO_STOP, KernelTarget, SessionSetup
from sockiter.kernel.walks import BpfWalk
from sockiter.operations import Bucket, End

_PATIENCE_S = 5.0
_NO_SOCKET = "threads are no sockets"
_ONE_LIST = "a new thread comes last, and keeps its place"
_NEVER: dict[Hazard, str] = {
    **NO_STOP,
    **NO_BATCH,
    **dict.fromkeys(("close", "accept", "destroy"), _NO_SOCKET),
    **dict.fromkeys(("add-head", "reinsert", "rehash"), _ONE_LIST),
    "destroying": "the program ends no thread",
    "show": "a thread that exits while it is shown is not awaited",
}


class ThreadProcess(AnsweringProcess):
    """A process whose threads come and go. `pid`: its id, and that of its leader."""

    number_bytes = 4
    has_ended = "the process with threads has ended"

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        self.pid = self._answer()

    def start(self) -> int:
        """Start a thread, and return its id; raises `Inconclusive` if there is no room for one."""
        self._ask(0)
        if not (number := self._answer()):
            raise Inconclusive("the process has no room for another thread here")
        return number

    def end(self, number: int) -> None:
        """Make a thread exit, and wait until it is gone; raises `TooBusy` after some seconds."""
        self._ask(number)
        until = time.monotonic() + _PATIENCE_S
        while _is_there(number):
            if time.monotonic() > until:
                raise TooBusy("a thread takes too long to exit")
            os.sched_yield()

    def close(self) -> None:
        """End the process."""
        with self._process:  # closes its input
            self._process.kill()


class Threads(NumberedElements):
    """The threads of one iteration, which has no others before and afterwards."""

    has_tail = True
    has_head = False

    def __init__(self, namespace: Namespace, process: ThreadProcess) -> None:
        super().__init__(namespace)
        self._process = process

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.enter()
        number = self._process.start()
        self._held[name] = number, bucket
        return number

    def _end(self, number: int, bucket: Bucket) -> None:
        self._process.end(number)


@contextmanager
def thread_process() -> Iterator[ThreadProcess]:
    """A process without threads but its leader, until the end."""
    made = ThreadProcess(started("thread_process"))
    try:
        yield made
    finally:
        made.close()


@contextmanager
def _iterator() -> Iterator[SessionSetup]:
    with ExitStack() as stack:
        namespace = stack.enter_context(private())
        process = stack.enter_context(thread_process())
        element = ThreadId(kernel_member("task_struct", "pid"), kernel_member("task_struct", "tgid"))
        walker, modes, lacks = load_recorder(stack, "bpf_iter_task", element, struct.pack("=III", 0, process.pid, 0))
        walk = BpfWalk(walker)
        _need_same_ids(process, walk)

        def make(shape: Shape) -> Threads:
            return Threads(namespace, process)

        yield SessionSetup(namespace, walk, make, modes=modes, lacks=lacks)


def _need_same_ids(process: ThreadProcess, walk: BpfWalk) -> None:
    # The program sees the ids of the first PID namespace.
    number = process.start()
    reader = walk.open()
    try:
        seen = list(reader.read(9))
    finally:
        reader.close()
        process.end(number)
    if seen != [number]:
        raise Unavailable(f"the iterator of a process with one thread {number} showed {seen}: is this a PID namespace?")


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


KERNEL_THREADS = KernelTarget(
    "kernel:threads",
    "the running kernel's iterator over the threads of a process (bpf_iter_task)",
    _iterator,
    frozenset({"add-tail", "remove"}),
    schemes=("threads",),
    buckets_max=1,
    slots=None,
    never=_NEVER,
    reads=frozenset({"bytes", "silent", "again"}),
    never_reads={"unwanted": "a thread has no mark"},
)
