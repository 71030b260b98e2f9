"""Checks every call of a scheme from another package: its result, its duration, and its exceptions.

A mistake becomes a `SchemeFault` with a one-line message: the class, the method, the field, the value, and the expected
value. Every command reports that error.
"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, is_dataclass
from types import FrameType
from typing import Any, TypeVar

from sockiter import rights
from sockiter.errors import SchemeFault, Unavailable
from sockiter.schemes.scheme import (
    AnyScheme,
    Between,
    Done,
    Grow,
    Room,
    Show,
    Where,
    buckets_max_of,
    frame_name,
    has_fixed_hash,
    has_keys,
    known_failures_of,
    line_bytes_of,
)
from sockiter.table import Socket, Table

LIMIT_S = 10.0
"""The limit of processor time for a call, in seconds. A call may exceed the limit by up to half of it."""
AGAIN_S = 0.01
"""The interval, in seconds, between two attempts to end an overdue call."""
TRIES = 500
"""The number of such attempts before the process ends."""
WAITS_MAX = 100_000
"""The most allocations and buckets that a read may wait for between two sockets."""

# The longest form of a value or of an error's message, in characters.
_TEXT_MAX = 300
_NO_VALUE = object()
_PACKAGE = f"{os.path.dirname(__file__)}{os.sep}"

T = TypeVar("T")


class Overdue(BaseException):
    """Raised inside an overdue call. No `except Exception` catches it."""


class _Watch:
    # The clock of this process. It ticks during calls, and stops at a tick without a call. Starting and stopping it with
    # every call would take longer than most calls. It counts processor time. So waiting, a busy machine, and a stopped
    # process do not count.

    def __init__(self) -> None:
        # The current call, in words, and its number; "" and 0: none.
        self.name = ""
        self.call = 0
        self.interrupted = False
        self.is_on = False
        self._calls = 0
        self._seen = self._ticks = self._tries = 0
        self._before: dict[int, Any] = {}

    def begin(self, name: str) -> tuple[str, int]:
        # Returns the argument for `end`.
        if not self.is_on:
            self._start()
        before = self.name, self.call
        self._calls += 1
        self.name, self.call = name, self._calls
        return before

    def end(self, before: tuple[str, int]) -> None:
        self.name, self.call = before

    def stop(self) -> None:
        """Stop the clock and restore the signal handlers."""
        if self.is_on:
            self.is_on = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            for number, handler in self._before.items():
                if signal.getsignal(number) in (self._tick, self._interrupt):
                    signal.signal(number, handler)

    def _start(self) -> None:
        self._before = {signal.SIGVTALRM: signal.signal(signal.SIGVTALRM, self._tick)}
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                self._before[number] = signal.signal(number, self._interrupt)
        self._seen = self._ticks = self._tries = 0
        self.is_on = True
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S / 2, LIMIT_S / 2)

    def _tick(self, signum: int, frame: FrameType | None) -> None:
        if not self.call:
            self.stop()
        elif self.call != self._seen:
            self._seen, self._ticks = self.call, 0
        else:
            self._ticks += 1
            if self._ticks >= 2:
                self._end_call()

    def _end_call(self) -> None:
        # A scheme may catch everything, but not everywhere.
        self._tries += 1
        if self._tries == 1:
            signal.setitimer(signal.ITIMER_VIRTUAL, AGAIN_S, AGAIN_S)
        if self._tries > TRIES:
            os.write(2, f"sockiter: {self.name} does not end, and catches the exceptions that should end it\n".encode())
            os._exit(Unavailable.status)
        raise Overdue

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        self.interrupted = bool(self.call)
        self._before[signum](signum, frame)


_WATCH = _Watch()


def guarded(name: str, scheme: str, call: Callable[[], T]) -> T:
    """Return the result of a call, named `name`; raise a `SchemeFault` for its exceptions and for an overdue call.

    A user's interrupt stays a KeyboardInterrupt, even if the call catches it.
    """
    if rights.is_reserved():
        # Other packages run without the capabilities of this process.
        with rights.lowered():
            return _guarded(name, scheme, call)
    return _guarded(name, scheme, call)


def _guarded(name: str, scheme: str, call: Callable[[], T]) -> T:
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread receives signals.
        return _checked(name, scheme, call)
    before = _WATCH.begin(name)
    try:
        return _checked(name, scheme, call)
    except Overdue:
        _WATCH.stop()
        raise SchemeFault(f"{scheme} failed: {name} did not end within {LIMIT_S:g} s of processor time") from None
    finally:
        _WATCH.end(before)
        if _WATCH.interrupted:
            _WATCH.interrupted = False
            raise KeyboardInterrupt


def stop_clock() -> None:
    """Restore the signal handlers that the time limit replaced; the next call installs them again."""
    _WATCH.stop()


def _checked(name: str, scheme: str, call: Callable[[], T]) -> T:
    out, sys.stdout = sys.stdout, sys.stderr  # standard output may hold a JSON document
    try:
        return call()
    except (SchemeFault, Overdue):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _innermost(error).startswith(_PACKAGE):
            raise  # from a handler of this project, so from the user
        raise SchemeFault(f"{scheme} failed: {name} raised {in_a_line(error)}{_place_of(error)}") from error
    finally:
        sys.stdout = out


def _place_of(error: BaseException) -> str:
    file = _innermost(error)
    # A call with the wrong arguments fails here, and not inside the method.
    return "" if file.startswith(f"{__file__}:") else f" ({file})"


def _innermost(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


class Guarded:
    """A scheme with checked calls. It has a `canonical` if the scheme has one."""

    def __init__(self, scheme: AnyScheme) -> None:
        self.name = scheme.name
        self.summary = scheme.summary
        self.progress = scheme.progress
        self.known_failures = known_failures_of(scheme)
        self.hazards = scheme.hazards
        self.tables = scheme.tables
        self.frame = frame_name(scheme)
        self.line_bytes = line_bytes_of(scheme)
        self.buckets_max = buckets_max_of(scheme)
        self.has_keys = has_keys(scheme)
        self.has_fixed_hash = has_fixed_hash(scheme)
        self.has_generation = getattr(scheme, "has_generation", False)
        self.shares_addresses = getattr(scheme, "shares_addresses", False)
        self.relation = getattr(scheme, "relation", None)
        self._scheme = scheme
        self._class = type(scheme).__name__
        # The number of waits of the current read since its last shown socket, and its last step. A search resumes other
        # reads.
        self._waits = 0
        self._last: Any = None
        for method in ("canonical", "canonical_in_order"):
            if hasattr(scheme, method):
                setattr(self, method, self._form(method))

    def open(self, slots: int, table: Table) -> Any:
        """As `Scheme.open`."""
        return self._call("open", lambda: self._state("open returned", self._scheme.open(slots, table)))

    def begin(self, state: Any, table: Table) -> Any:
        """As `Scheme.begin`."""
        self._waits = 0
        return self._call("begin", lambda: self._step("begin", self._scheme.begin(state, table), table))

    def resume(self, waiting: Any, granted: bool, table: Table) -> Any:
        """As `Scheme.resume`."""

        if waiting is not self._last:
            self._waits = 0

        def resumed() -> Any:
            step = self._step("resume", self._scheme.resume(waiting, granted, table), table)
            request = type(waiting.waits_for)
            if not granted and not isinstance(step, Done) and request in (Show, Room):
                raise self._fault(f"resume returned {text(step)} for a {request.__name__} that was refused: expected Done")
            return step

        return self._call("resume", resumed)

    def place(self, state: Any) -> str:
        """As `Scheme.place`."""

        def placed() -> str:
            place = self._scheme.place(state)
            if not isinstance(place, str):
                raise self._fault(f"place returned {text(place)}: expected a str")
            return place

        return self._call("place", placed)

    def _form(self, method: str) -> Callable[[Any, Table, Where], Hashable]:
        canonical = getattr(self._scheme, method)

        def form(at: Any, table: Table, where: Where) -> Hashable:
            def formed() -> Hashable:
                value = canonical(at, table, where)
                if isinstance(value, Iterator):
                    raise self._fault(f"{method} returned {text(value)}: expected a value, such as a tuple")
                self._hashed(method, value)
                return value  # type: ignore[no-any-return]

            return self._call(method, formed)

        return form

    def _call(self, method: str, call: Callable[[], T]) -> T:
        return guarded(f"{self._class}.{method}", self.name, call)

    def _fault(self, problem: str) -> SchemeFault:
        return SchemeFault(f"{self.name} failed: {self._class}.{problem}")

    def _state(self, context: str, state: Any) -> Any:
        if state is None:
            raise self._fault(f"{context} None: expected a state, which is any other hashable value")
        self._hashed(context.split()[0], state)
        return state

    def _hashed(self, method: str, value: Any) -> None:
        try:
            hash(value)
        except TypeError:
            path, part = unhashable(value)
            raise self._fault(
                f"{method} returned a value that has no hash: {path} is {text(part)}, a {type(part).__name__}"
            ) from None

    def _step(self, method: str, step: Any, table: Table) -> Any:
        if isinstance(step, Done):
            self._state(f"{method} returned Done with the state", step.state)
            if step.error is not None and not (isinstance(step.error, str) and step.error):
                raise self._fault(
                    f"{method} returned Done with the error {text(step.error)}: expected the name of an errno, or None"
                )
            return step
        self._hashed(method, step)
        request = getattr(step, "waits_for", _NO_VALUE)
        if request is _NO_VALUE:
            raise self._fault(f"{method} returned {text(step)}: expected Done, or a value that has `waits_for`")
        self._last = step
        at = f"{method} returned {type(step).__name__}, whose waits_for"
        if type(request) is Show:
            self._waits = 0
            self._check_socket(at, request.socket, table)
            return step
        if type(request) is Grow:
            if type(request.slots) is not int or request.slots < 1:
                raise self._fault(f"{at} is a Grow of slots={text(request.slots)}: expected a positive int")
            if type(request.locked) is not bool:
                raise self._fault(f"{at} is a Grow of locked={text(request.locked)}: expected a bool")
        elif type(request) is Room:
            if self.frame != "loop":
                raise self._fault(f"{at} is a Room, in the frame {self.frame!r}: expected one in a loop")
            if type(request.sockets) is not int or request.sockets < 1:
                raise self._fault(f"{at} is a Room of sockets={text(request.sockets)}: expected a positive int")
        elif type(request) is not Between:
            raise self._fault(f"{at} is {text(request)}: expected Show, Grow, Between or Room")
        self._waits += 1
        if self._waits > WAITS_MAX:
            raise self._fault(f"{method} never ends a read: it waited {WAITS_MAX:,} times and showed nothing")
        return step

    def _check_socket(self, at: str, socket: Any, table: Table) -> None:
        if not isinstance(socket, Socket):
            raise self._fault(f"{at} is a Show of socket={text(socket)}: expected a Socket of the table")
        if not table.has(socket.name) and all(socket.name != name for name, _ in table.gone):
            raise self._fault(f"{at} is a Show of {text(socket)}, which never was in the table")


def unhashable(value: Any, path: str = "") -> tuple[str, Any]:
    """The innermost part of a value that has no hash, and the path to that part, such as `State.seen[0]`."""
    path = path or type(value).__name__
    for name, part in _parts(value):
        try:
            hash(part)
        except TypeError:
            return unhashable(part, f"{path}{name}")
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    # The parts that the hash of a value is computed from. A list never has a hash, whatever its elements are.
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        for nth, part in enumerate(value):
            yield f".{names[nth]}" if names else f"[{nth}]", part
    elif is_dataclass(value) and type(value).__hash__ is not None:
        for field in fields(value):
            yield f".{field.name}", getattr(value, field.name)


def in_a_line(error: BaseException) -> str:
    """An error's class and message; the class alone if the message is empty or cannot be formatted."""
    try:
        message = _shortened(str(error))
    except Overdue:
        raise
    except BaseException:
        message = "its message cannot be formatted"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def text(value: Any, longest: int = _TEXT_MAX) -> str:
    """The `repr` of a value in a line of limited length; the type of the value if `repr` fails."""
    try:
        return _shortened(repr(value), longest)
    except Overdue:
        raise
    except BaseException:
        return f"a {type(value).__name__}"


def _shortened(words: str, longest: int = _TEXT_MAX) -> str:
    one_line = " ".join(words.split())
    printable = "".join([letter if letter.isprintable() else "?" for letter in one_line])
    return textwrap.shorten(printable, longest, placeholder=" ...")
