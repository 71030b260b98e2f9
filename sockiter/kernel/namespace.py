"""A private network namespace for one thread, so that nothing here ever touches the host's sockets or settings.

Decided here: how a thread gets into one and out again, and how it is made sure of where it is. Not known here: what is
done inside. A namespace is anonymous: it ends with the last descriptor and process that hold it, however they end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from sockiter.errors import Unavailable
from sockiter.kernel import libc

HERE = "/proc/thread-self/ns/net"

_TAKES = "CAP_SYS_ADMIN"

# Which namespace of ours a thread is in at the moment: the cheap half of the check, for every single socket.
_inside: dict[int, Namespace] = {}


class Namespace:
    """A private network namespace that belongs to the thread that made it.

    Another process to which it is sent has one that is its own, and the same to the kernel.
    """

    __slots__ = ("_before", "_fd", "_name", "_thread")

    def __init__(self, fd: int, name: str, before: int = -1) -> None:
        self._fd = fd
        self._name = name
        self._before = before
        self._thread = get_ident()

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # here, since not every system has it

        return _received, (DupFd(self._fd), self._name)

    def enter(self) -> None:
        """Make sure that the calling thread is in here, by asking the kernel; moves it back in from another one of ours."""
        if get_ident() != self._thread:
            raise RuntimeError("a session is used by another thread than the one that began it")
        if self._fd < 0:
            raise RuntimeError("a session is used after its end")
        if where() != self._name:
            libc.setns(self._fd, libc.CLONE_NEWNET)
        if where() != self._name:
            raise RuntimeError(f"this thread is in {where()}, not in its private {self._name}")
        _inside[self._thread] = self

    def stay(self) -> None:
        """What `enter` does, at next to no cost as long as no other namespace was entered through this module."""
        if _inside.get(get_ident()) is not self:
            self.enter()

    @contextmanager
    def left(self) -> Iterator[None]:
        """The calling thread, which made it, is where it was before, until the end; nothing made there is met in here."""
        _inside.pop(self._thread, None)
        libc.setns(self._before, libc.CLONE_NEWNET)
        try:
            yield
        finally:
            self.enter()

    def end(self) -> None:
        """Let go of it; it cannot be entered any more."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def _received(fd: Any, name: str) -> Namespace:
    return Namespace(fd.detach(), name)


def where() -> str:
    """The network namespace of the calling thread, as the kernel calls it."""
    return os.readlink(HERE)


@contextmanager
def private(*settings: tuple[str, str]) -> Iterator[Namespace]:
    """A private namespace that the calling thread is in until the end; raises `Unavailable`.

    `settings`, files of /proc/sys/net and what to write, are made in a first private namespace, and what they ask of child
    namespaces holds in a second one. A setting that this kernel does not have, or does not let us make, is left out.
    Within one thread, namespaces end in the opposite order to that in which they began.
    """
    thread = get_ident()
    try:
        before, fd = where(), os.open(HERE, os.O_RDONLY)
    except OSError as error:
        raise libc.unavailable(f"open {HERE}", error) from error
    entered = _inside.get(thread)
    namespace = None
    try:
        _leave(before)
        if sum(_made(path, value) for path, value in settings):
            _leave(where())
        namespace = Namespace(os.open(HERE, os.O_RDONLY), where(), fd)
        namespace.enter()
        yield namespace
    finally:
        try:
            if where() != before:
                libc.setns(fd, libc.CLONE_NEWNET)
        finally:
            _inside.pop(thread, None)
            if entered is not None:
                _inside[thread] = entered
            os.close(fd)
            if namespace is not None:
                namespace.end()


def _leave(old: str) -> None:
    try:
        libc.unshare(libc.CLONE_NEWNET)
    except OSError as error:
        raise libc.unavailable("unshare(CLONE_NEWNET)", error, takes=_TAKES) from error
    if where() == old:
        raise Unavailable(f"unshare(CLONE_NEWNET) had no effect: this thread is still in {old}")


def _made(path: str, value: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        return False
    return True
