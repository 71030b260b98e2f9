"""A process whose threads come and go on request, run as a program of its own with nothing but the standard library.

It reads numbers of 4 bytes from its standard input: 0 asks for one more thread, any other number is the id of a thread that
is to exit. It writes its own id first, and then the id of each new thread, 0 if there is no room for one. It ends with its
input, so also if the process at the other end is killed.
"""

from __future__ import annotations

import _thread
import os


def serve() -> None:
    """Serve requests until the input ends."""
    _thread.stack_size(1 << 16)
    staying: dict[int, _thread.LockType] = {}
    made: list[int] = []
    _write(os.getpid())
    while request := os.read(0, 4):
        if number := int.from_bytes(request, "little"):
            staying.pop(number).release()
            continue
        lock, started = _thread.allocate_lock(), _thread.allocate_lock()
        lock.acquire()
        started.acquire()
        try:
            _thread.start_new_thread(stay, (made, lock, started))
        except RuntimeError:
            _write(0)
            continue
        started.acquire()
        staying[number := made.pop()] = lock
        _write(number)


def stay(made: list[int], lock: _thread.LockType, started: _thread.LockType) -> None:
    """The life of a thread: until the lock is released."""
    made.append(_thread.get_native_id())
    started.release()
    lock.acquire()


def _write(number: int) -> None:
    os.write(1, number.to_bytes(4, "little"))
