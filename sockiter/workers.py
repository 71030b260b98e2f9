"""Worker processes: they are started with a job, send messages, are stopped, and are waited for.

No message is lost, however a worker ends and whoever interrupts. No worker stays behind, works on after its time, or
outlives its main process. Ctrl-C, the signals of `timeout`, and the hang-up of a terminal reach the whole process group.
Only the main process reacts to them; workers ignore them. A pool has workers on other machines in place of processes.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import multiprocessing
import os
import shutil
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.util import get_temp_dir
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

from sockiter import rights
from sockiter.files import abandoned

# The time that workers have for their current work after a stop or after the time limit: shrinking on a slow kernel.
PATIENCE_S = 4.0
# On a busy machine, a worker gets only part of a processor, and more time: at most this factor.
PATIENCE_TIMES_MAX = 8.0
# An interrupt that was lost is repeated after this time.
_AGAIN_S = 0.01
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
TO_THE_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1

# Not a plain fork, which would copy the locks of this process's threads. A server, with all modules loaded, forks the
# workers.
_CONTEXT = multiprocessing.get_context("forkserver")

Lot = TypeVar("Lot")
Job = TypeVar("Job")


class Worker(Protocol):
    """What the main process knows of a worker: its exit code, None while it runs, and two ways to end it."""

    @property
    def exitcode(self) -> int | None: ...

    def kill(self) -> None: ...

    def join(self) -> None: ...


class Channel(Protocol):
    """The main process's end of a connection to a worker."""

    def send(self, message: Any, /) -> None: ...

    def recv(self) -> Any:
        """The next message; raises EOFError if the worker is gone and has left none."""

    def close(self) -> None: ...


class Pool(Protocol):
    """Workers that are no processes of this machine."""

    patience_s: float
    """The seconds that workers have to report after a stop."""

    def has_room(self, place: str, /) -> bool:
        """Whether a worker that can do jobs at this place is free."""

    def start(self, place: str, job: Any, /) -> tuple[Worker, Channel]:
        """Give a job to a worker that can do jobs at this place."""

    def wait(self, channels: Sequence[Channel], timeout_s: float, /) -> list[Channel]:
        """Those that have a message, or whose worker is gone; waits for one, at most so long."""

    def why(self, worker: Worker, /) -> str:
        """Why this worker ended early, as the end of a sentence about it."""


class Workers(ABC, Generic[Lot, Job]):
    """A number of workers, and the lots that wait for one. A worker's job is a lot or a part of it.

    A worker calls `work` with its job and its connection. A KeyboardInterrupt may interrupt `run` once: it then waits for
    the current work of the workers, and returns. With a `pool`, its workers do the jobs, in its own way, and no process is
    started here.
    """

    def __init__(
        self, lots: Iterable[Lot], *, workers: int, work: Callable[[Job, Connection], None], pool: Pool | None = None
    ) -> None:
        self.interrupted = False
        self.running: dict[Channel, tuple[Worker, Lot]] = {}
        self._waiting = deque(lots)
        self._until = math.inf
        self._last: dict[Channel, Any] = {}
        self._late: set[Channel] = set()
        self._workers = workers
        self._work = work
        self._pool = pool

    @abstractmethod
    def _job(self, lot: Lot, /) -> Job:
        """The job of the next worker of a lot. The method may put the lot back among the waiting ones."""

    @abstractmethod
    def _on_message(self, lot: Lot, message: Any, /) -> None:
        """Process a worker's message."""

    @abstractmethod
    def _on_death(self, lot: Lot, why: str, /) -> None:
        """Record that a worker ended early."""

    @abstractmethod
    def _is_end(self, message: Any, /) -> bool:
        """Whether a worker has done its job, given its last message (None: it sent none)."""

    def _on_unfinished(self, lot: Lot, last: Any, /) -> None:
        """Save the work of a worker that ended early or did not stop, from its last message, if any."""

    def _place(self, lot: Lot, /) -> str:
        """Where a lot must be worked on, in the words of a pool."""
        return ""

    def _on_over(self) -> None:
        """Take over whatever is left when no worker runs any more."""

    def _next(self) -> Lot:
        # The next of the waiting lots; there is at least one.
        return self._waiting.popleft()

    def _ready(self) -> bool:
        # Whether a lot waits for which a worker is free. With a pool, that lot becomes the next one.
        if self._pool is None:
            return bool(self._waiting) and len(self.running) < self._workers
        for nth, lot in enumerate(self._waiting):
            if self._pool.has_room(self._place(lot)):
                del self._waiting[nth]
                self._waiting.appendleft(lot)
                return True
        return False

    def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Work until no lot waits any more; `progress` is called about ten times a second, from this thread."""
        if self._pool is None:
            _CONTEXT.set_forkserver_preload([self._work.__module__])
            start_server()
        try:
            while self._waiting or self.running:
                self._look_at_the_clock()
                while self._ready():
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
        # No lot is started after the time limit. Running workers have some extra time.
        now = time.monotonic()
        if now >= self._until:
            self._waiting.clear()
        if now >= self._until + patience_s():
            for connection in self.running.keys() - self._late:
                self._late.add(connection)
                self.running[connection][0].kill()

    def _stop(self, progress: Callable[[], None]) -> None:
        for connection in self.running:
            try:
                connection.send("stop")
            except OSError:
                continue  # it has ended by itself
        patience = time.monotonic() + (patience_s() if self._pool is None else self._pool.patience_s)
        while self.running and time.monotonic() < patience:
            self._receive()
            progress()

    def _start(self, lot: Lot) -> None:
        job = self._job(lot)
        if self._pool is not None:
            worker, channel = self._pool.start(self._place(lot), job)
            self.running[channel] = (worker, lot)
            return
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=self._work, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()
        self.running[ours] = (process, lot)

    def _receive(self) -> None:
        for connection in self._with_messages():
            process, lot = self.running[connection]
            with undisturbed():
                is_over = not self._receive_message(connection, lot)
            if is_over:
                process.join()
                with undisturbed():
                    last = self._last.pop(connection, None)
                    if connection in self._late:
                        self._late.remove(connection)
                        self._on_death(lot, f"was killed: it went on for {patience_s():.0f} s after the time was up")
                        self._on_unfinished(lot, last)
                    elif process.exitcode or not (self.interrupted or self._is_end(last)):
                        # The exit code does not matter: the last message of a worker that is done says so, unless it was
                        # stopped.
                        self._on_death(lot, self._why_ended(process))
                        self._on_unfinished(lot, last)
                    connection.close()
                    del self.running[connection]

    def _with_messages(self) -> Sequence[Channel]:
        if self._pool is not None:
            return self._pool.wait(list(self.running), 0.1)
        return wait(list(self.running), timeout=0.1) if self.running else ()  # type: ignore[arg-type, return-value]

    def _why_ended(self, worker: Worker) -> str:
        if self._pool is not None:
            return self._pool.why(worker)
        return f"ended with exit code {worker.exitcode}: the scheme or the system ended it"

    def _receive_message(self, connection: Channel, lot: Lot) -> bool:
        # One message. False: the worker is gone, and all of its messages were received.
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return False
        self._last[connection] = message
        self._on_message(lot, message)
        return True


def patience_s() -> float:
    """The seconds that a worker may take after its time limit: `PATIENCE_S`, times the load per processor if above 1."""
    load, _, _ = os.getloadavg()
    return PATIENCE_S * min(max(load / (os.cpu_count() or 1), 1.0), PATIENCE_TIMES_MAX)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay interrupts until the end. They could lose half a message, or a worker that is in no list yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_server() -> None:
    """Start the server that forks workers; they ignore signals to the group. Does nothing if the server runs already."""
    _remove_abandoned()
    # Workers inherit this from the server, so they ignore the signals from the start.
    handlers = [(number, signal.signal(number, signal.SIG_IGN)) for number in TO_THE_GROUP]
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    _mark_as_ours()


# multiprocessing keeps the server's socket in a directory with a general name. This file marks the directory as this
# project's. The main process locks the file for its lifetime.
_OURS = ".sockiter"
_marks: dict[str, int] = {}


def _mark_as_ours() -> None:
    directory = get_temp_dir()
    if directory not in _marks:
        path = os.path.join(directory, _OURS)
        _marks[directory] = mark = os.open(f"{path}.new", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(mark, fcntl.LOCK_EX)
        os.rename(f"{path}.new", path)  # it has this name only when it is locked


def _remove_abandoned() -> None:
    # Remove the directories of killed main processes. multiprocessing does not use $TMPDIR if a socket's path would be too
    # long there.
    for mark in Path(get_temp_dir()).parent.glob(f"pymp-*/{_OURS}"):
        with suppress(OSError), abandoned(mark) as is_abandoned:
            if is_abandoned and mark.parent.lstat().st_uid == os.geteuid():
                shutil.rmtree(mark.parent)


@contextmanager
def interrupted_at(when: float) -> Iterator[None]:
    """Raise a KeyboardInterrupt at this time of the monotonic clock, for code without a time limit; never after the end.

    Code that the interrupt leaves in a wrong state may fail behind it: such an error is an interrupt, too. An interrupt in a
    callback that cannot raise, such as the garbage collector's, is repeated.
    """
    is_over = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal is_over
        is_over = True
        raise KeyboardInterrupt

    def repeated(unraisable: sys.UnraisableHookArgs) -> None:
        if is_over and issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook(unraisable)

    if when == math.inf:
        yield
        return
    before, hook = signal.signal(signal.SIGALRM, interrupt), sys.unraisablehook
    sys.unraisablehook = repeated
    try:
        signal.setitimer(signal.ITIMER_REAL, max(when - time.monotonic(), 1e-6))
        yield
    except Exception as error:
        if is_over:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = hook


def starved_s() -> float:
    """How long this thread was ready to run without a processor, since it began; 0 where the system does not count that."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def serving(connection: Connection) -> AbstractContextManager[None]:
    """The context of a worker's work and messages, until it is done or the main process has ended; closes its connection."""
    return _Serving(connection)


def _die_with_the_server() -> None:
    # The server always ends with the main process. SIGALRM acts as an interrupt, so that unfinished work can be saved.
    with suppress(AttributeError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGALRM)


class _Serving:
    # Not a generator: it and an error of `send` would keep each other alive, and the unsent message, until the garbage
    # collection. CPython 3.12.1 crashes in that case (a BytesIO with a view of it), and 3.13 warns.
    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        if multiprocessing.parent_process() is not None:
            rights.lower()
            _die_with_the_server()
            with suppress(OSError):  # standard error may be closed
                os.dup2(2, 1)  # a scheme's output is no part of a document
        for number in TO_THE_GROUP:
            signal.signal(number, signal.SIG_IGN)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._connection.close()
        return isinstance(error, OSError)
