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
STATE, POINT, ABOUT, ALLOCATIONS, SHOWS, THREAD, DESTROY, TIMED_OUT, MODE, STORED, HELD = range(0, 88, 8)
PAGE = 88
IDLE, ARMED, ASKED = 0, 1, 2
"""States: no stop needed; stop at the next point; stopped, with the point and its subject on the page."""
SHOW, ALLOCATION = 1, 2
STORING, SILENT, DESTROYING, FILTERING = 1, 2, 4, 8
"""Bits of the mode: store each record in the log; write no record, which requires `STORING`; destroy each socket once its
record is written and stored, which requires `STORING`; leave out sockets with the mark `UNWANTED`."""
UNWANTED = 0x50C417
"""The mark (SO_MARK) of sockets that the program filters out. It routes no packet: private namespaces have no such rules."""
_REQUEST, _TIME_WAIT = 12, 6  # TCP_NEW_SYN_RECV and TCP_TIME_WAIT, the states of smaller objects than a socket
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


@dataclass(frozen=True, slots=True)
class Unknown:
    """The bucket is not recorded."""


BucketSource: TypeAlias = InContext | OfSocket | OfWalk | Unknown


@dataclass(frozen=True, slots=True)
class Cookie:
    """The element is a socket, identified by its cookie. The context has meta and, behind it, the socket."""


@dataclass(frozen=True, slots=True)
class Value:
    """The element is of a BPF map, identified by its value of 64 bits. The context has meta, map, key and value."""


@dataclass(frozen=True, slots=True)
class ThreadId:
    """The element is a thread, identified by its id. The context has meta and the thread. A leader of a process is left out.

    `pid` and `tgid`: the offsets of both ids in a task.
    """

    pid: int
    tgid: int


ElementSource: TypeAlias = Cookie | Value | ThreadId


@dataclass(frozen=True, slots=True)
class MarkOffsets:
    """The offsets of a socket's state, and of the mark of a socket, of a request socket, and of a TIME_WAIT entry."""

    state: int
    socket: int
    request: int
    time_wait: int


def record_program(
    bucket: BucketSource,
    *,
    element: ElementSource = Cookie(),
    page: int | None = None,
    destroy: int | None = None,
    stops: bool = False,
    log: int | None = None,
    marks: MarkOffsets | None = None,
    only: tuple[int, int] | None = None,
) -> bytes:
    """The program for an iterator whose context holds meta and, behind it, the socket, or another kind of element.

    The kernel calls this context `struct bpf_iter__udp` and similar. The kernel's last call, without an element, writes
    nothing. With `page`, a map, and `destroy`, the BTF id of bpf_sock_destroy: the program destroys the socket with the
    cookie under `DESTROY`, and writes no record of it. With `stops`, while the page is armed, the program waits for an
    answer at each socket. The kernel holds the socket's lock during that wait.

    The mode on the page takes effect with `log`, a map of records, or, for `FILTERING`, with `marks`. If the log is full,
    `STORED` counts on, and the program neither stores nor destroys.

    `only`: write nothing of a socket whose 16-bit member at this offset has another value.
    """
    to = Assembly()
    to.load(6, 1, 24 if isinstance(element, Value) else 8)  # the element, a pointer that may be NULL
    to.jump_if(6, "==", 0, "end")
    if only is not None:
        to.load(2, 6, only[0], width=2)
        to.jump_if(2, "!=", only[1], "end")
    to.load(7, 1, 0)
    to.load(7, 7, 0)  # meta->seq
    to.constant(8, 0)
    if isinstance(bucket, InContext):
        to.load(8, 1, bucket.offset, width=4)
    elif isinstance(bucket, OfSocket):
        to.load(8, 6, bucket.offset, width=4)
    to.store(STACK, _RECORD_AT + 8, 8)
    if isinstance(bucket, OfWalk):
        to.load(8, 7, bucket.private)
        for number, offset in enumerate((bucket.bucket, bucket.table)):
            to.address(1, STACK, _RECORD_AT + 8 + 4 * number)
            to.constant(2, 4)
            to.address(3, 8, offset)
            to.call(_READ_KERNEL)
    if isinstance(element, Cookie):
        to.move(1, 6)
        to.call(_GET_SOCKET_COOKIE)
        to.store(STACK, _RECORD_AT, 0)
    elif isinstance(element, Value):
        to.load(1, 6, 0)
        to.store(STACK, _RECORD_AT, 1)
    else:
        to.load(1, 6, element.pid, width=4)
        to.store(STACK, _RECORD_AT, 1)
        to.load(2, 6, element.tgid, width=4)
        to.subtract(1, 2)
        to.jump_if(1, "==", 0, "end")
    if page is not None:
        _begin_look_up(to, page)
        to.move(9, 0)
        to.jump_if(9, "==", 0, "write")
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
            to.jump_if(1, "!=", 0, "shown")
            to.store_constant(9, DESTROY, 0)
            to.move(1, 6)
            to.call_function(destroy)
            to.jump("end")
        to.place("shown")
        if marks is not None:
            _leave_out_unwanted(to, marks)
        if log is not None:
            to.load(1, 9, MODE)
            to.jump_if(1, "bit", SILENT, "store")
    to.place("write")
    to.move(1, 7)
    to.address(2, STACK, _RECORD_AT)
    to.constant(3, RECORD.size)
    to.call(_SEQ_WRITE)
    if page is not None and log is not None:
        to.jump_if(0, "!=", 0, "end")  # it did not fit
        to.jump_if(9, "==", 0, "end")
        to.load(1, 9, MODE)
        to.jump_if(1, "bit", STORING, "store")
        to.jump("end")
        to.place("store")
        _store(to, log)
        if destroy is not None:
            to.load(1, 9, MODE)
            to.jump_if(1, "bit", DESTROYING, "destroy")
            to.jump("end")
            to.place("destroy")
            to.move(1, 6)
            to.call_function(destroy)
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
    state: int = 0,
    unwarned: bool = False,
) -> bytes:
    """The program for the entry of a kernel function. While the page is armed, it stops the thread named on the page.

    At a show, `argument` is the index of the socket argument, and `cookie` and `state` are the offsets of the cookie and
    the state in a socket. The page then has that cookie, and that state under `HELD`. At an allocation, `argument` is the
    index of the flags, None for none. The page then has 1 if others can make changes meanwhile, and 0 if the bucket's lock
    is held. `unwarned`: stop only at allocations whose failure causes no warning, such as a batch's. The program waits for
    the answer, or for a timeout, which it records. `namespace`: device and inode of the namespace of our process ids.
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
        to.load(3, 6, 8 * argument)
        to.add_constant(3, state)
        to.store_constant(STACK, _READ_AT, 0)
        to.address(1, STACK, _READ_AT)
        to.constant(2, 1)
        to.call(_READ_KERNEL)
        to.load(1, STACK, _READ_AT)
        to.store(9, HELD, 1)
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


def _leave_out_unwanted(to: Assembly, marks: MarkOffsets) -> None:
    # The socket in register 6. Where its mark is depends on its state.
    to.load(1, 9, MODE)
    to.jump_if(1, "bit", FILTERING, "which mark")
    to.jump("wanted")
    to.place("which mark")
    to.store_constant(STACK, _READ_AT, 0)
    _read(to, marks.state, 1)
    to.load(1, STACK, _READ_AT)
    to.address(3, 6, marks.request)
    to.jump_if(1, "==", _REQUEST, "read mark")
    to.address(3, 6, marks.time_wait)
    to.jump_if(1, "==", _TIME_WAIT, "read mark")
    to.address(3, 6, marks.socket)
    to.place("read mark")
    to.address(1, STACK, _READ_AT)
    to.constant(2, 4)
    to.call(_READ_KERNEL)
    to.load(1, STACK, _READ_AT, width=4)
    to.jump_if(1, "==", UNWANTED, "end")
    to.place("wanted")


def _read(to: Assembly, offset: int, size: int) -> None:
    # Reads a member of the socket in register 6 to the stack.
    to.address(1, STACK, _READ_AT)
    to.constant(2, size)
    to.address(3, 6, offset)
    to.call(_READ_KERNEL)


def _store(to: Assembly, log: int) -> None:
    # Stores the record in the next place of the log. Goes to the end if there is none.
    to.load(1, 9, STORED)
    to.store(STACK, _KEY_AT, 1, width=4)
    to.add_constant(1, 1)
    to.store(9, STORED, 1)
    to.address(2, STACK, _KEY_AT)
    to.map_of(1, log)
    to.call(_LOOK_UP)
    to.jump_if(0, "==", 0, "end")
    for word in (0, 8):
        to.load(1, STACK, _RECORD_AT + word)
        to.store(0, word, 1)


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
    _begin_look_up(to, page)
    to.jump_if(0, "==", 0, otherwise)


def _begin_look_up(to: Assembly, page: int) -> None:
    # Puts the page into register 0, or 0.
    to.store_constant(STACK, _KEY_AT, 0, width=4)
    to.address(2, STACK, _KEY_AT)
    to.map_of(1, page)
    to.call(_LOOK_UP)
