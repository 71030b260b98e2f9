"""Workers: processes with a job each, which are started, heard, stopped and waited for.

Decided here: that no message of a worker is lost, however it ends, or whoever interrupts; that no worker is left behind, nor
works on after its time or without its main process. Ctrl-C and what `timeout` sends go to the whole group, and so does the
hang-up of a terminal: the main process alone decides what they mean, and workers ignore them. Not known here: the jobs,
the messages, and what becomes of them.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import multiprocessing
import os
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

from sockiter import rights
from sockiter.files import abandoned

# How long workers may take after a stop, or after their time is up, for their current work: shrinking, on a slow kernel.
PATIENCE_S = 4.0
TO_THE_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1

# Not a plain fork, which would copy whatever threads of this process hold; a server forks the workers, with all modules
# loaded already.
_CONTEXT = multiprocessing.get_context("forkserver")

Lot = TypeVar("Lot")
Job = TypeVar("Job")


class Workers(ABC, Generic[Lot, Job]):
    """So many workers, and the lots that wait for one. Each worker has a job, which is a lot's or a part of it.

    `work` is what a worker does: it is called there with its job and with its connection. `run` may be
    interrupted by a KeyboardInterrupt once: it then waits for what the workers are at, and returns.
    """

    def __init__(self, lots: Iterable[Lot], *, workers: int, work: Callable[[Job, Connection], None]) -> None:
        self.interrupted = False
        self.running: dict[Connection, tuple[BaseProcess, Lot]] = {}
        self._waiting = deque(lots)
        self._until = math.inf
        self._last: dict[Connection, Any] = {}
        self._late: set[Connection] = set()
        self._workers = workers
        self._work = work

    @abstractmethod
    def _job(self, lot: Lot, /) -> Job:
        """The job of the worker that is about to be started for a lot, which may be put back among those that wait."""

    @abstractmethod
    def _on_message(self, lot: Lot, message: Any, /) -> None:
        """Take over a message of a worker."""

    @abstractmethod
    def _on_death(self, lot: Lot, why: str, /) -> None:
        """Record that a worker ended before its time."""

    @abstractmethod
    def _is_end(self, message: Any, /) -> bool:
        """Whether a worker that sent this message last, or None where it sent none, has done its job."""

    def _on_unfinished(self, lot: Lot, last: Any, /) -> None:
        """Save the work of a worker that ended before its time, or did not stop, by its last message, if any."""

    def _on_over(self) -> None:
        """Take over whatever is left when no worker runs any more."""

    def _next(self) -> Lot:
        # Which of those that wait is worked on next; there is one.
        return self._waiting.popleft()

    def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Work until nothing waits any more; `progress` is called some ten times a second, from this thread."""
        _CONTEXT.set_forkserver_preload([self._work.__module__])
        start_server()
        try:
            while self._waiting or self.running:
                self._look_at_the_clock()
                while self._waiting and len(self.running) < self._workers:
                    with undisturbed():
                        self._start(self._next())
                self._receive()
                progress()
        except KeyboardInterrupt:
            self.interrupted = True
            self._stop(progress)
        finally:
            for connection, (process, lot) in self.running.items():
                process.kill()
                process.join()
                self._on_unfinished(lot, self._last.pop(connection, None))
                connection.close()
            self.running.clear()
            self._on_over()

    def _look_at_the_clock(self) -> None:
        # Nothing is begun when the time is up; what is under way has some patience more.
        now = time.monotonic()
        if now >= self._until:
            self._waiting.clear()
        if now >= self._until + PATIENCE_S:
            for connection in self.running.keys() - self._late:
                self._late.add(connection)
                self.running[connection][0].kill()

    def _stop(self, progress: Callable[[], None]) -> None:
        for connection in self.running:
            try:
                connection.send("stop")
            except OSError:
                continue  # it has ended by itself
        patience = time.monotonic() + PATIENCE_S
        while self.running and time.monotonic() < patience:
            self._receive()
            progress()

    def _start(self, lot: Lot) -> None:
        job = self._job(lot)
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=self._work, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()
        self.running[ours] = (process, lot)

    def _receive(self) -> None:
        for connection in wait(list(self.running), timeout=0.1) if self.running else ():
            assert isinstance(connection, Connection)
            process, lot = self.running[connection]
            with undisturbed():
                is_over = not self._receive_message(connection, lot)
            if is_over:
                process.join()
                with undisturbed():
                    last = self._last.pop(connection, None)
                    if connection in self._late:
                        self._late.remove(connection)
                        self._on_death(lot, f"was killed: it went on for {PATIENCE_S:.0f} s after the time was up")
                        self._on_unfinished(lot, last)
                    elif process.exitcode or not (self.interrupted or self._is_end(last)):
                        # Whatever its exit code: the last message of a worker that is done says so, unless it was stopped.
                        self._on_death(lot, f"ended with exit code {process.exitcode}: the scheme or the system ended it")
                        self._on_unfinished(lot, last)
                    connection.close()
                    del self.running[connection]

    def _receive_message(self, connection: Connection, lot: Lot) -> bool:
        # One message. False: the worker is gone, and all of its messages were received.
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return False
        self._last[connection] = message
        self._on_message(lot, message)
        return True


@contextmanager
def undisturbed() -> Iterator[None]:
    """An interrupt waits until the end: half of a message, or a worker that is in no list, would be lost."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_server() -> None:
    """Start the server that forks workers; they ignore what goes to the group. Does nothing if it is there already."""
    _remove_abandoned()
    # They do from their first moment on, since it does.
    handlers = [(number, signal.signal(number, signal.SIG_IGN)) for number in TO_THE_GROUP]
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    _mark_as_ours()


# multiprocessing keeps the server's socket in a directory that is named as in all programs. This file in it says that
# it is one of this project's, and is locked for as long as the main process lives.
_OURS = ".sockiter"
_marks: dict[str, int] = {}


def _mark_as_ours() -> None:
    directory = get_temp_dir()
    if directory not in _marks:
        path = os.path.join(directory, _OURS)
        _marks[directory] = mark = os.open(f"{path}.new", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(mark, fcntl.LOCK_EX)
        os.rename(f"{path}.new", path)  # it is locked from the moment on when it has this name


def _remove_abandoned() -> None:
    # What main processes have left that were killed.
    # Where multiprocessing has ours: that is not $TMPDIR where its name is too long for that of a socket.
    for mark in Path(get_temp_dir()).parent.glob(f"pymp-*/{_OURS}"):
        with suppress(OSError), abandoned(mark) as is_abandoned:
            if is_abandoned and mark.parent.lstat().st_uid == os.geteuid():
                shutil.rmtree(mark.parent)


@contextmanager
def interrupted_at(when: float) -> Iterator[None]:
    """A KeyboardInterrupt at this time of the monotonic clock, for what does not look at the clock; never after the end."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if when == math.inf:
        yield
        return
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(when - time.monotonic(), 1e-6))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def serving(connection: Connection) -> AbstractContextManager[None]:
    """The context of a worker's work and messages, until it is done or the main process is gone; closes its connection."""
    return _Serving(connection)


def _die_with_the_server() -> None:
    # The server ends with the main process, however that does. An alarm is an interrupt where something is to be saved.
    with suppress(AttributeError):  # there is none but on Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGALRM)


class _Serving:
    # No generator: that and an error of `send` would keep each other, and with them what was to be sent, until the garbage
    # is collected, which CPython 3.12.1 does not survive (a BytesIO with a view of it), and 3.13 complains of.
    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        if multiprocessing.parent_process() is not None:
            rights.lower()
            _die_with_the_server()
            with suppress(OSError):  # standard error may be closed
                os.dup2(2, 1)  # a worker prints nothing, and what a scheme prints is no part of a document
        for number in TO_THE_GROUP:
            signal.signal(number, signal.SIG_IGN)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._connection.close()
        return isinstance(error, OSError)
