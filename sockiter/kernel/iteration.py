"""One iteration over real sockets, an operation at a time: what every kind of sockets has in common.

Decided here: how operations become calls, and what of them goes into the history. Not known here: how a socket gets into
a table and to which end of it (`Sockets`), and what the kernel's answers are worth.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from errno import errorcode
from typing import Protocol

from sockiter.errors import MachineLacks
from sockiter.history import GaveUp, History, Returned, Shown, is_last
from sockiter.kernel.bpf import MANY, Walker, read
from sockiter.operations import READS_MAX, Add, Bucket, End, Open, Operation, Read, Remove, reads_max


class Sockets(Protocol):
    """The sockets that one iteration made, by name."""

    @property
    def buckets(self) -> Sequence[int]:
        """The kernel's numbers of the buckets in use, in the order of the walk."""

    def enter(self) -> None:
        """Make sure that the calling thread is in the private namespace."""

    def add(self, name: str, end: End, bucket: Bucket) -> int:
        """Put a new socket into its bucket, and return its cookie; raises `MachineLacks`."""

    def remove(self, name: str) -> None:
        """Take it out for good."""

    def close(self) -> None:
        """Take all of them out; a second call does nothing."""


class Iteration:
    """A `sockiter.backend.Backend` on the running kernel. Its place is not known: the kernel does not tell."""

    __slots__ = ("_fd", "_names", "_order", "_sockets", "_target", "_walker", "history")

    def __init__(self, target: str, walker: Walker, sockets: Sockets) -> None:
        self.history = History()
        self._target = target
        self._walker = walker
        self._sockets = sockets
        self._fd = -1
        self._names: dict[int, str] = {}  # by cookie, and for ever: a read may hand out what was shown before
        # What is in the table until it is opened; from then on, only the kernel knows.
        self._order: defaultdict[Bucket, list[str]] = defaultdict(list)

    def apply(self, operation: Operation) -> None:
        """Carry out one operation; raises `MachineLacks` for one that this target does not know or has no room for."""
        match operation:
            case Read(at=()):
                self._read(operation)
            case Add(name, end, bucket):
                self._names[self._sockets.add(name, end, bucket)] = name
                if self._fd >= 0:
                    self.history.events.append(operation)
                else:
                    names = self._order[bucket]
                    names.insert(0 if end == "head" else len(names), name)
            case Remove(name):
                self._sockets.remove(name)
                if self._fd >= 0:
                    self.history.events.append(operation)
                else:
                    next(names for names in self._order.values() if name in names).remove(name)
            case Open():
                self._sockets.enter()
                self._fd = self._walker.open()
                self.history.opened = tuple(n for bucket in sorted(self._order) for n in self._order[bucket])
            case Read():
                raise MachineLacks(f"{self._target} cannot do anything inside a read")
            case _:
                raise MachineLacks(f"{self._target} cannot do this: {type(operation).__name__.lower()} {operation.name}")

    def state(self) -> tuple[tuple[str, ...], ...] | None:
        """The names in each bucket, as a fresh iterator reads them; None if it does not come to its end."""
        buckets: dict[int, list[str]] = {number: [] for number in self._sockets.buckets}
        self._sockets.enter()
        fd = self._walker.open()
        try:
            for _ in range(READS_MAX):
                records = read(fd, MANY)
                if not records:
                    return tuple(map(tuple, buckets.values()))
                for cookie, bucket in records:
                    buckets[bucket].append(self._name(cookie))
        except OSError:
            return None
        finally:
            os.close(fd)
        return None

    def place(self) -> str:
        """Not known."""
        return ""

    def close(self) -> None:
        """Close the iterator and all sockets; a second call does nothing."""
        fd, self._fd = self._fd, -1
        try:
            if fd >= 0:
                os.close(fd)
        finally:
            self._sockets.close()

    def _read(self, operation: Read) -> None:
        for _ in range(reads_max(operation)):
            returned = self._read_once(MANY if operation.count is None else operation.count)
            if is_last(operation, returned):
                return
        self.history.events.append(GaveUp())

    def _read_once(self, count: int) -> Returned:
        events = self.history.events
        try:
            names = tuple([self._name(cookie) for cookie, _ in read(self._fd, count)])
        except OSError as error:
            returned = Returned((), errorcode.get(error.errno or 0, str(error.errno)))
        else:
            events.extend(map(Shown, names))
            returned = Returned(names)
        events.append(returned)
        return returned

    def _name(self, cookie: int) -> str:
        name = self._names.get(cookie)
        if name is None:  # cannot be: nobody else has sockets in this namespace
            raise RuntimeError(f"{self._target} delivered a socket with cookie {cookie}, which is none of this iteration's")
        return name
