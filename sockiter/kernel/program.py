"""The program that runs for every socket: 16 instructions that write one record.

Decided here: what the program does and what a record looks like. Not known here: how a program gets into the kernel.
"""

from __future__ import annotations

import struct

LICENSE = b"Dual MIT/GPL"

RECORD = struct.Struct("=QI4x")
"""A record: the socket's cookie, and the number of its bucket."""

_LOAD_64 = 0x79  # dst = *(u64 *)(src + offset)
_LOAD_32 = 0x61
_STORE_64 = 0x7B  # *(u64 *)(dst + offset) = src
_STORE_32 = 0x63
_STORE_CONSTANT_32 = 0x62
_MOVE = 0xBF
_MOVE_CONSTANT = 0xB7
_ADD_CONSTANT = 0x07
_JUMP_IF_EQUAL = 0x15
_CALL = 0x85
_EXIT = 0x95

_GET_SOCKET_COOKIE = 46
_SEQ_WRITE = 127
_STACK = 10  # the register that points to the end of the stack


def writes_a_record(*, bucket_at: int) -> bytes:
    """The program for an iterator whose context holds meta, the socket and, at `bucket_at`, a 32-bit bucket number.

    The context is what the kernel calls `struct bpf_iter__udp` and the like. A call without a socket, which the kernel
    makes at the end, writes nothing.
    """
    instructions = (
        (_LOAD_64, 6, 1, 8, 0),  # the socket, a pointer that may be NULL
        (_JUMP_IF_EQUAL, 6, 0, 12, 0),
        (_LOAD_64, 7, 1, 0, 0),  # meta
        (_LOAD_32, 8, 1, bucket_at, 0),
        (_MOVE, 1, 6, 0, 0),
        (_CALL, 0, 0, 0, _GET_SOCKET_COOKIE),
        (_STORE_64, _STACK, 0, -16, 0),
        (_STORE_32, _STACK, 8, -8, 0),
        (_STORE_CONSTANT_32, _STACK, 0, -4, 0),
        (_LOAD_64, 1, 7, 0, 0),  # meta->seq
        (_MOVE, 2, _STACK, 0, 0),
        (_ADD_CONSTANT, 2, 0, 0, -16),
        (_MOVE_CONSTANT, 3, 0, 0, RECORD.size),
        (_CALL, 0, 0, 0, _SEQ_WRITE),
        (_MOVE_CONSTANT, 0, 0, 0, 0),
        (_EXIT, 0, 0, 0, 0),
    )
    return b"".join(
        struct.pack("<BBhi", code, source << 4 | target, offset, constant)
        for code, target, source, offset, constant in instructions
    )
