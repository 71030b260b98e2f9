"""A private network namespace for one thread, so that the host's own sockets and settings stay untouched.

The module moves a thread into a namespace and out again, and verifies the thread's namespace. A namespace is anonymous:
it ends with the last descriptor and process that hold it, however they end.
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

# The namespace of this project that a thread is in: the cheap half of the check, made for every single socket.
_inside: dict[int, Namespace] = {}


class Namespace:
    """A private network namespace, owned by the thread that made it.

    A process that receives a `Namespace` gets its own descriptor of the same namespace.
    """

    __slots__ = ("_before", "_fd", "_name", "_thread")

    def __init__(self, fd: int, name: str, before: int = -1) -> None:
        self._fd = fd
        self._name = name
        self._before = before
        self._thread = get_ident()

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # here, since some systems lack it

        return _received, (DupFd(self._fd), self._name)

    def enter(self) -> None:
        """Verify by a system call that the calling thread is in here; return to here from another namespace of this
        project."""
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
        """Verify as `enter`, at almost no cost if this module has entered no other namespace in between."""
        if _inside.get(get_ident()) is not self:
            self.enter()

    @contextmanager
    def left(self) -> Iterator[None]:
        """Until the end, the calling thread, which made the namespace, is in its original one."""
        _inside.pop(self._thread, None)
        libc.setns(self._before, libc.CLONE_NEWNET)
        try:
            yield
        finally:
            self.enter()

    def another(self) -> Namespace:
        """A new private namespace, which the calling thread enters; raises `Unavailable`. Its settings are the kernel's."""
        self.stay()
        _leave(where())
        namespace = Namespace(os.open(HERE, os.O_RDONLY), where())
        _inside[self._thread] = namespace
        return namespace

    def fileno(self) -> int:
        """The descriptor of the namespace, for requests that name it."""
        return self._fd

    def end(self) -> None:
        """Release the namespace; it cannot be entered any more."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def _received(fd: Any, name: str) -> Namespace:
    return Namespace(fd.detach(), name)


def where() -> str:
    """The kernel's name for the network namespace of the calling thread."""
    return os.readlink(HERE)


@contextmanager
def private(*settings: tuple[str, str]) -> Iterator[Namespace]:
    """A private namespace for the calling thread until the end; raises `Unavailable`.

    `settings`: files of /proc/sys/net and their values. They are set in a first private namespace, and settings for child
    namespaces take effect in a second one. A setting that this kernel lacks or refuses is left out. Within one thread,
    namespaces must end in the opposite order of their beginnings.
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
