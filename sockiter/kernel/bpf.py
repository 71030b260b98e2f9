"""bpf(2), as much of it as an iterator takes: load a program, link it, open iterators, read records.

Decided here: how the attributes of the calls are laid out, and what is said when one is refused. Not known here: what
kind of sockets is walked, and what is made of the records.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sockiter.kernel import libc
from sockiter.kernel.btf import kernel_function
from sockiter.kernel.program import LICENSE, RECORD, writes_a_record

_PROG_LOAD = 5
_LINK_CREATE = 28
_ITER_CREATE = 33
_TRACING = 26  # BPF_PROG_TYPE_TRACING
_TRACE_ITER = 28  # BPF_TRACE_ITER, an attach type
_TAKES = "CAP_BPF and CAP_PERFMON"
_LOG_SIZE = 1 << 16
# type, instructions and where; license; log level, size and where; version, flags, name; interface, attach type;
# six fields of debugging information; BTF id to attach to.
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQII")

BUFFER_SIZE = 8 * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 * 4096
"""What one read can return at most, in bytes: the kernel collects records in a buffer of 8 pages."""


@dataclass(frozen=True, slots=True)
class Walker:
    """A program that is linked to an iterator: every `open` begins a new walk."""

    attributes: bytes

    def open(self) -> int:
        """A descriptor of a new iterator over the sockets in the calling thread's network namespace."""
        try:
            return libc.bpf(_ITER_CREATE, self.attributes, 8)
        except OSError as error:
            raise libc.lacks("bpf(BPF_ITER_CREATE)", error, takes=_TAKES) from error


def read(fd: int, count: int) -> list[tuple[int, int]]:
    """One read(2) for `count` records: pairs of cookie and bucket number, empty at the end; raises OSError."""
    return list(RECORD.iter_unpack(os.read(fd, min(count * RECORD.size, BUFFER_SIZE))))


MANY = BUFFER_SIZE // RECORD.size
"""More records than one read can return."""


@contextmanager
def walker(function: str, *, bucket_at: int) -> Iterator[Walker]:
    """The program, loaded and linked to the iterator whose BTF function this is; raises `MachineLacks`."""
    program = _load(writes_a_record(bucket_at=bucket_at), kernel_function(function), function)
    try:
        link = _link(program)
    finally:
        os.close(program)  # the link holds on to it
    try:
        yield Walker(struct.pack("=II", link, 0))
    finally:
        os.close(link)


def _load(instructions: bytes, btf_id: int, function: str) -> int:
    try:
        return _try_to_load(instructions, btf_id, None)
    except OSError:
        log = ctypes.create_string_buffer(_LOG_SIZE)  # once more, for the verifier's reasons
    try:
        return _try_to_load(instructions, btf_id, log)
    except OSError as error:
        said = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
        why = f" (the verifier: {' | '.join(said[-3:])})" if said else ""
        raise libc.lacks(f"bpf(BPF_PROG_LOAD) for {function}{why}", error, takes=_TAKES) from error


def _try_to_load(instructions: bytes, btf_id: int, log: ctypes.Array[ctypes.c_char] | None) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(LICENSE)
    attributes = _LOAD.pack(
        *(_TRACING, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence)),
        *((1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)),
        *(0, 0, b"sockiter", 0, _TRACE_ITER),
        *(0, 0, 0, 0, 0, 0, 0, btf_id),
    )
    return libc.bpf(_PROG_LOAD, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))


def _link(program: int) -> int:
    attributes = struct.pack("=IIII32x", program, 0, _TRACE_ITER, 0)
    try:
        return libc.bpf(_LINK_CREATE, attributes, len(attributes))
    except OSError as error:
        raise libc.lacks("bpf(BPF_LINK_CREATE)", error, takes=_TAKES) from error
