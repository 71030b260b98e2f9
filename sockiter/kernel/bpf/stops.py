"""Stops inside a read: the read waits at a show or an allocation, while another thread makes a change.

A program reports each point on a shared page and waits for an answer. Programs at the entry of two kernel functions are
best: the function that shows a socket, where no lock is held yet, and the one that allocates a larger batch. If the
kernel's functions cannot be traced, the iterating program reports instead. It sees only sockets that are still present,
one at a time, and locked. Two processors are required, since a program cannot sleep.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_native_id
from typing import Literal, TypeAlias

from sockiter.errors import TooBusy, Unavailable
from sockiter.kernel.bpf.btf import kernel_function, kernel_member, kernel_types
from sockiter.kernel.bpf.loader import at_entry
from sockiter.kernel.bpf.programs import (
    ABOUT,
    ALLOCATION,
    ALLOCATIONS,
    ARMED,
    ASKED,
    DESTROY,
    HELD,
    IDLE,
    POINT,
    SHOWS,
    STATE,
    THREAD,
    TIMED_OUT,
    entry_stop_program,
)
from sockiter.operations import Point

# Since 6.10, and before.
_ALLOCATING_FUNCTIONS = ("__kvmalloc_node_noprof", "kvmalloc_node")
# TCP_NEW_SYN_RECV and TCP_TIME_WAIT: the states of objects that are no sockets. Only a stop at an entry reports a state.
Small: TypeAlias = Literal["request", "TIME_WAIT"]
"""The kinds of objects that take a socket's place in the kernel's table, and have no descriptor."""
_SMALL: dict[int, Small] = {12: "request", 6: "TIME_WAIT"}
_PROCESSES = "/proc/thread-self/ns/pid"


@dataclass(frozen=True, slots=True)
class Stop:
    """The point of a stop: the n-th show, of the socket with this cookie, or the n-th allocation.

    `others_can_act`: whether others can make changes meanwhile; otherwise the bucket's lock is held. `small`: the kind of
    the object that the iterator holds, None for a socket.
    """

    point: Point
    nth: int
    cookie: int = 0
    others_can_act: bool = True
    small: Small | None = None


OnStop: TypeAlias = Callable[[Stop], bool]
"""Called at each stop; returns whether there is another change to stop for."""


class Stops:
    """Reads with stops. `words`: the shared page. One thread uses this object, and a second thread reads.

    `at_entry`: at stops no lock is held, and removed sockets cause stops, too.
    """

    __slots__ = ("_here", "_reader", "_words", "at_entry", "thread")

    def __init__(
        self, words: memoryview, reader: ThreadPoolExecutor, processors: tuple[int, int], *, at_entry: bool
    ) -> None:
        self.at_entry = at_entry
        self._words = words
        self._reader = reader
        self._here = {processors[0]}
        self.thread: int = reader.submit(_pin_thread, {processors[1]}).result()
        words[THREAD // 8] = self.thread

    def begin(self) -> None:
        """Restart the counts of shows and allocations at 1."""
        self._words[SHOWS // 8] = self._words[ALLOCATIONS // 8] = 0

    def destroy(self, cookie: int) -> None:
        """Make the iterating program destroy this socket at its turn, and write no record of it."""
        self._words[DESTROY // 8] = cookie

    def read(self, fd: int, size: int, on_stop: OnStop) -> bytes:
        """read(2) that stops at each show and each allocation, as long as there are changes to stop for; raises OSError."""
        words = self._words
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._here)
        words[TIMED_OUT // 8] = 0
        words[STATE // 8] = ARMED
        reading = self._reader.submit(os.read, fd, size)
        try:
            while not reading.done():
                if words[STATE // 8] != ASKED:
                    time.sleep(0)  # otherwise the reader would wait for the interpreter
                    continue
                more = on_stop(self._stop())
                words[STATE // 8] = ARMED if more else IDLE
                if not more:
                    break
        finally:
            words[STATE // 8] = IDLE
            reading.exception()  # waits
            os.sched_setaffinity(0, before)
        if words[TIMED_OUT // 8]:
            raise TooBusy("a stopped read timed out and continued: this machine is too busy")
        return reading.result()

    def _stop(self) -> Stop:
        words = self._words
        about = words[ABOUT // 8]
        if words[POINT // 8] == ALLOCATION:
            return Stop("realloc", words[ALLOCATIONS // 8], others_can_act=bool(about))
        return Stop("show", words[SHOWS // 8], about, small=_SMALL.get(words[HELD // 8]))


def two_processors(purpose: str = "stopping a read") -> tuple[int, int]:
    """A processor for this process, and one for stopped reads; `Unavailable` names the `purpose` that needs two.

    Processes may use different pairs. A stopped read keeps every other thread off its processor. So no process has its main
    thread on a processor for stopped reads: two such processes would wait for each other.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise Unavailable(f"{purpose} requires two processors; there is one")
    first = os.getpid() % (len(processors) // 2) * 2
    return processors[first], processors[first + 1]


@contextmanager
def stoppable_reads(words: memoryview, *, at_entry: bool) -> Iterator[Stops]:
    """Reads with stops, until the end, made by programs that share this page; raises `Unavailable`."""
    processors = two_processors()
    with ThreadPoolExecutor(1) as reader:
        yield Stops(words, reader, processors, at_entry=at_entry)


@contextmanager
def attach_stops(family: str, page: int) -> Iterator[None]:
    """Attach stops to the functions of bpf_iter_<family> that show and allocate, until the end; raises `Unavailable`."""
    status = os.stat(_PROCESSES)
    namespace = status.st_dev, status.st_ino
    show = f"bpf_iter_{family}_seq_show"
    cookie = kernel_member("sock_common", "skc_cookie")
    state = kernel_member("sock_common", "skc_state")
    show_program = entry_stop_program("show", page=page, namespace=namespace, argument=1, cookie=cookie, state=state)
    grow, is_any = _allocating_function(family)
    # Before 6.16 there are no flags: every allocation may wait.
    flags = kernel_types().argument(kernel_function(grow), "flags")
    grow_program = entry_stop_program("allocation", page=page, namespace=namespace, argument=flags, unwarned=is_any)
    with at_entry(show, show_program), at_entry(grow, grow_program):
        yield


def _allocating_function(family: str) -> tuple[str, bool]:
    # The function that allocates a batch; if the compiler inlined it, the general allocation function.
    grow = f"bpf_iter_{family}_realloc_batch"
    if kernel_types().function(grow) is not None:
        return grow, False
    return next(
        (name for name in _ALLOCATING_FUNCTIONS if kernel_types().function(name) is not None), _ALLOCATING_FUNCTIONS[-1]
    ), True


def _pin_thread(processors: set[int]) -> int:
    os.sched_setaffinity(0, processors)
    return get_native_id()
