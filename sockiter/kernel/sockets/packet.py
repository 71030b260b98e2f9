"""Real packet sockets, in the one list of a namespace of their own, at its tail.

A socket enters the list when it is made, and leaves it when it is closed. It is bound to no protocol, so it receives
nothing. Each has a filter, since then fewer sockets fit into a message of sock_diag.

A closing socket leaves the list at once, but close(2) then waits for a grace period of RCU. So other threads close sockets.
The sockets of an iteration are in a new namespace: those of the last one may still be closing.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

from sockiter.errors import TooBusy
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.sockets.base import Socket, Sockets, cookie
from sockiter.operations import Bucket, End

INSTRUCTIONS = 60
"""The instructions of a socket's filter, 8 bytes each in a record."""
_SO_ATTACH_FILTER = 26
_RETURN = struct.pack("=HBBI", 0x06, 0, 0, 0)
# `struct sock_fprog`: the number of instructions, and their address.
_PROGRAM = struct.Struct("@HP")
_THREADS = 32
_CLOSING_MAX = 200
_PATIENCE_S = 5.0


class Closers:
    """Threads that close sockets. At most so many sockets are still closing."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._closing: deque[Future[None]] = deque()

    def close(self, sock: Socket) -> None:
        """Begin to close a socket."""
        self._closing.append(self._threads.submit(sock.close))
        if len(self._closing) > _CLOSING_MAX:
            self._closing.popleft().result()


@contextmanager
def closing_threads() -> Iterator[Closers]:
    """Threads that close sockets; at the end, all of these are closed."""
    with ThreadPoolExecutor(_THREADS) as threads:
        # All threads begin now, so that a session has the same threads all the time.
        begun = Barrier(_THREADS + 1)
        for _ in range(_THREADS):
            threads.submit(begun.wait)
        begun.wait()
        yield Closers(threads)


class PacketSockets(Sockets):
    """Packet sockets in the list of a new namespace. `listed`: the cookies in the list of the calling thread's namespace."""

    has_head = False

    def __init__(self, session: Namespace, closers: Closers, listed: Callable[[], Sequence[int]]) -> None:
        self.own_namespace = session.another()
        super().__init__(self.own_namespace)
        self._session = session
        self._closers = closers
        self._listed = listed
        self._is_over = False

    def remove(self, name: str) -> None:
        gone, _ = self._held.pop(name)
        number = cookie(gone)
        self.enter()
        self._closers.close(gone)
        until = time.monotonic() + _PATIENCE_S
        while number in self._listed():
            if time.monotonic() > until:
                raise TooBusy("a closing packet socket takes too long to leave its list")
            time.sleep(0)  # otherwise the closing thread would wait for the interpreter

    def close(self) -> None:
        while self._held:
            self._closers.close(self._held.popitem()[1][0])
        if not self._is_over:
            self._is_over = True
            self._session.enter()
            self._namespace.end()

    def _new(self) -> Socket:
        return Socket(socket.AF_PACKET, socket.SOCK_RAW, 0)

    def _put(self, new: Socket, bucket: Bucket, end: End) -> None:
        attach_filter(new, INSTRUCTIONS)

    def _take(self, old: Socket, bucket: Bucket) -> None:
        raise NotImplementedError  # its target does not offer this


def attach_filter(sock: Socket, instructions: int) -> None:
    """Give a socket a filter of so many instructions, which drops everything; raises OSError."""
    code = ctypes.create_string_buffer(_RETURN * instructions)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(instructions, ctypes.addressof(code)))
