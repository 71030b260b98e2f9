"""The BPF programs: one writes a record for every socket, and one stops a read at the points of changes.

The module also defines the layouts of a record and of the page that programs and user space share.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockiter.kernel.bpf.assembly import STACK, Assembly

LICENSE = b"Dual MIT/GPL"

RECORD = struct.Struct("=QII")
"""A record: the socket's cookie, the number of its bucket, and the index of that bucket's table."""

# Helpers by number.
_LOOK_UP = 1
_GET_SOCKET_COOKIE = 46
_READ_KERNEL = 113
_PID_AND_TGID = 120
_SEQ_WRITE = 127

# The shared page, in words of 8 bytes.
STATE, POINT, ABOUT, ALLOCATIONS, SHOWS, THREAD, DESTROY, TIMED_OUT = range(0, 64, 8)
PAGE = 64
IDLE, ARMED, ASKED = 0, 1, 2
"""States: no stop needed; stop at the next point; stopped, with the point and its subject on the page."""
SHOW, ALLOCATION = 1, 2
_ALLOWED_TO_WAIT = 0x80  # __GFP_FS, which GFP_USER has and GFP_NOWAIT has not
_WITHOUT_WARNING = 0x2000  # __GFP_NOWARN
_NOBODY = 1  # SEQ_START_TOKEN, which is shown before the first socket, and is no socket

# The stack: the record, a key of the map, and a value that was read.
_RECORD_AT, _KEY_AT, _READ_AT = -16, -20, -32


@dataclass(frozen=True, slots=True)
class InContext:
    """The bucket is a 32-bit word of the program's context."""

    offset: int


@dataclass(frozen=True, slots=True)
class OfSocket:
    """The bucket is a 32-bit member of the socket."""

    offset: int


@dataclass(frozen=True, slots=True)
class OfWalk:
    """Bucket and table are 32-bit members of the walk's state, to which the seq_file points (`private`)."""

    private: int
    bucket: int
    table: int


BucketSource: TypeAlias = InContext | OfSocket | OfWalk


def record_program(
    bucket: BucketSource, *, page: int | None = None, destroy: int | None = None, stops: bool = False
) -> bytes:
    """The program for an iterator whose context holds meta and, behind it, the socket.

    The kernel calls this context `struct bpf_iter__udp` and similar. The kernel's last call, without a socket, writes
    nothing. With `page`, a map, and `destroy`, the BTF id of bpf_sock_destroy: the program destroys the socket with the
    cookie under `DESTROY`, and writes no record of it. With `stops`, while the page is armed, the program waits for an
    answer at each socket. The kernel holds the socket's lock during that wait.
    """
    to = Assembly()
    to.load(6, 1, 8)  # the socket, a pointer that may be NULL
    to.jump_if(6, "==", 0, "end")
    to.load(7, 1, 0)
    to.load(7, 7, 0)  # meta->seq
    to.constant(8, 0)
    match bucket:
        case InContext(offset):
            to.load(8, 1, offset, width=4)
        case OfSocket(offset):
            to.load(8, 6, offset, width=4)
    to.store(STACK, _RECORD_AT + 8, 8)
    if isinstance(bucket, OfWalk):
        to.load(8, 7, bucket.private)
        for number, offset in enumerate((bucket.bucket, bucket.table)):
            to.address(1, STACK, _RECORD_AT + 8 + 4 * number)
            to.constant(2, 4)
            to.address(3, 8, offset)
            to.call(_READ_KERNEL)
    to.move(1, 6)
    to.call(_GET_SOCKET_COOKIE)
    to.store(STACK, _RECORD_AT, 0)
    if page is not None:
        _look_up(to, page, "write")
        to.move(9, 0)
        if stops:
            to.load(1, 9, STATE)
            to.jump_if(1, "!=", ARMED, "go on")
            _count(to, SHOWS)
            to.load(1, STACK, _RECORD_AT)
            to.store(9, ABOUT, 1)
            _stand_still(to, SHOW)
            to.place("go on")
        if destroy is not None:
            to.load(1, 9, DESTROY)
            to.load(2, STACK, _RECORD_AT)
            to.subtract(1, 2)
            to.jump_if(1, "!=", 0, "write")
            to.store_constant(9, DESTROY, 0)
            to.move(1, 6)
            to.call_function(destroy)
            to.jump("end")
    to.place("write")
    to.move(1, 7)
    to.address(2, STACK, _RECORD_AT)
    to.constant(3, RECORD.size)
    to.call(_SEQ_WRITE)
    to.place("end")
    to.leave()
    return to.done()


def entry_stop_program(
    point: Literal["show", "allocation"],
    *,
    page: int,
    namespace: tuple[int, int],
    argument: int | None,
    cookie: int = 0,
    unwarned: bool = False,
) -> bytes:
    """The program for the entry of a kernel function. While the page is armed, it stops the thread named on the page.

    At a show, `argument` is the index of the socket argument, and `cookie` is the offset of the cookie in a socket. The
    page then has that cookie. At an allocation, `argument` is the index of the flags, None for none. The page then has 1
    if others can make changes meanwhile, and 0 if the bucket's lock is held. `unwarned`: stop only at allocations whose
    failure causes no warning, such as a batch's. The program waits for the answer, or for a timeout, which it records.
    `namespace`: device and inode of the namespace of our process ids.
    """
    to = Assembly()
    to.move(6, 1)
    _look_up(to, page, "end")
    to.move(9, 0)
    to.load(1, 9, STATE)
    to.jump_if(1, "!=", ARMED, "end")
    to.constant_64(1, namespace[0])
    to.constant_64(2, namespace[1])
    to.address(3, STACK, _READ_AT)
    to.constant(4, 8)
    to.call(_PID_AND_TGID)
    to.jump_if(0, "!=", 0, "end")
    to.load(1, STACK, _READ_AT, width=4)
    to.load(2, 9, THREAD)
    to.subtract(1, 2)
    to.jump_if(1, "!=", 0, "end")
    if point == "show":
        assert argument is not None
        to.load(3, 6, 8 * argument)
        to.jump_if(3, "==", _NOBODY, "end")
        _count(to, SHOWS)  # uses only register 1
        to.add_constant(3, cookie)
        to.address(1, STACK, _READ_AT)
        to.constant(2, 8)
        to.call(_READ_KERNEL)
        to.load(1, STACK, _READ_AT)
        to.store(9, ABOUT, 1)
        _stand_still(to, SHOW)
    else:
        if unwarned:
            assert argument is not None
            to.load(1, 6, 8 * argument)
            to.jump_if(1, "bit", _WITHOUT_WARNING, "count")
            to.jump("end")
        to.place("count")
        _count(to, ALLOCATIONS)
        to.store_constant(9, ABOUT, 1)
        if argument is not None:
            to.load(1, 6, 8 * argument)
            to.jump_if(1, "bit", _ALLOWED_TO_WAIT, "ask")
            to.store_constant(9, ABOUT, 0)
        to.place("ask")
        _stand_still(to, ALLOCATION)
    to.place("end")
    to.leave()
    return to.done()


def _count(to: Assembly, counter: int) -> None:
    to.load(1, 9, counter)
    to.add_constant(1, 1)
    to.store(9, counter, 1)


def _stand_still(to: Assembly, point: int) -> None:
    # Report this point on the page in register 9, and wait for the answer.
    to.store_constant(9, POINT, point)
    to.store_constant(9, STATE, ASKED)
    to.place("wait")
    to.load(1, 9, STATE)
    to.jump_if(1, "!=", ASKED, "answered")
    to.jump_on_timeout("timeout")
    to.jump("wait")
    to.place("timeout")
    to.store_constant(9, TIMED_OUT, 1)
    to.place("answered")


def _look_up(to: Assembly, page: int, otherwise: str) -> None:
    # Puts the page into register 0.
    to.store_constant(STACK, _KEY_AT, 0, width=4)
    to.address(2, STACK, _KEY_AT)
    to.map_of(1, page)
    to.call(_LOOK_UP)
    to.jump_if(0, "==", 0, otherwise)
