"""The part of bpf(2) that an iterator needs: load programs, link them, open iterators, read records, share a page.

The module lays out the attributes of the calls, and reports failures with the verifier's reasons.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sockiter.kernel import libc
from sockiter.kernel.bpf.btf import kernel_function
from sockiter.kernel.bpf.programs import LICENSE, RECORD

_MAP_CREATE = 0
_PROG_LOAD = 5
_RAW_TRACEPOINT_OPEN = 17
_LINK_CREATE = 28
_ITER_CREATE = 33
_ARRAY = 2  # BPF_MAP_TYPE_ARRAY
_TO_BE_MAPPED = 1 << 10  # BPF_F_MMAPABLE
_TRACING = 26  # BPF_PROG_TYPE_TRACING
_AT_ENTRY = 24  # BPF_TRACE_FENTRY, an attach type
_TRACE_ITER = 28  # BPF_TRACE_ITER
_TAKES = "CAP_BPF and CAP_PERFMON"
_LOG_SIZE = 1 << 16
# type, instructions and their address; license; log level, size and address; version, flags, name; interface, attach type;
# six fields of debugging information; BTF id of the attach target.
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
# The link of the iterator, and flags.
_CREATE = struct.Struct("=II")

BUFFER_SIZE = 8 * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 * 4096
"""The most bytes of one read: the kernel collects records in a buffer of 8 pages."""


@dataclass(frozen=True, slots=True)
class Walker:
    """A program that is linked to an iterator: every `open` begins a new walk. It can be sent to another process."""

    attributes: bytes

    @classmethod
    def of(cls, link: int) -> Walker:
        return cls(_CREATE.pack(link, 0))

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # here, since some systems lack it

        return _received, (DupFd(_CREATE.unpack(self.attributes)[0]),)

    def open(self) -> int:
        """A descriptor of a new iterator over the sockets in the calling thread's network namespace."""
        try:
            return libc.bpf(_ITER_CREATE, self.attributes, 8)
        except OSError as error:
            raise libc.unavailable("bpf(BPF_ITER_CREATE)", error, takes=_TAKES) from error


def _received(link: Any) -> Walker:
    return Walker.of(link.detach())


def whole_walk(walker: Walker) -> list[tuple[int, int, int]]:
    """The cookie, bucket and table of each socket, from a walk over unchanging tables; raises `Unavailable`."""
    fd = walker.open()
    seen: list[tuple[int, int, int]] = []
    try:
        while records := os.read(fd, BUFFER_SIZE):
            seen += RECORD.iter_unpack(records)
    except OSError as error:
        raise libc.unavailable("read of an iterator", error) from error
    finally:
        os.close(fd)
    return seen


@contextmanager
def walker(function: str, instructions: bytes, about: bytes = b"") -> Iterator[Walker]:
    """Load a program and link it to the iterator with this BTF function; raises `Unavailable`.

    `about`: the map or the process whose elements the iterator walks (`union bpf_iter_link_info`).
    """
    program = _load(instructions, function, _TRACE_ITER)
    try:
        info = ctypes.create_string_buffer(about, len(about)) if about else None
        address = 0 if info is None else ctypes.addressof(info)
        attributes = struct.pack("=IIIIQI20x", program, 0, _TRACE_ITER, 0, address, len(about))
        link = _linked("bpf(BPF_LINK_CREATE)", _LINK_CREATE, attributes)
    finally:
        os.close(program)  # the link keeps the program alive
    try:
        yield Walker.of(link)
    finally:
        os.close(link)


@contextmanager
def at_entry(function: str, instructions: bytes) -> Iterator[None]:
    """Run a program at every entry of this kernel function until the end; raises `Unavailable`."""
    program = _load(instructions, function, _AT_ENTRY)
    try:
        link = _linked(f"bpf(BPF_RAW_TRACEPOINT_OPEN) at {function}", _RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", 0, program))
    finally:
        os.close(program)
    try:
        yield
    finally:
        os.close(link)


@contextmanager
def shared_array(size: int, count: int = 1) -> Iterator[tuple[int, memoryview]]:
    """A map of `count` values of `size` bytes, a multiple of 8, shared by programs and this process: its descriptor, and
    its 64-bit words; raises `Unavailable`."""
    attributes = struct.pack("=IIIII44x", _ARRAY, 4, size, count, _TO_BE_MAPPED)
    try:
        fd = libc.bpf(_MAP_CREATE, attributes, len(attributes))
    except OSError as error:
        raise libc.unavailable("bpf(BPF_MAP_CREATE)", error, takes=_TAKES) from error
    try:
        page_size = os.sysconf("SC_PAGE_SIZE")
        mapped = -(-size * count // page_size) * page_size
        with mmap.mmap(fd, mapped) as pages, memoryview(pages) as view, view.cast("Q") as words:
            yield fd, words
    finally:
        os.close(fd)


def _load(instructions: bytes, function: str, attach: int) -> int:
    btf_id = kernel_function(function)
    try:
        return _try_to_load(instructions, btf_id, attach, None)
    except OSError:
        log = ctypes.create_string_buffer(_LOG_SIZE)  # again, for the verifier's reasons
    try:
        return _try_to_load(instructions, btf_id, attach, log)
    except OSError as error:
        log_lines = [line for line in log.value.decode(errors="replace").splitlines() if line.strip()]
        why = f" (the verifier: {' | '.join(log_lines[-3:])})" if log_lines else ""
        raise libc.unavailable(f"bpf(BPF_PROG_LOAD) for {function}{why}", error, takes=_TAKES) from error


def _try_to_load(instructions: bytes, btf_id: int, attach: int, log: ctypes.Array[ctypes.c_char] | None) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(LICENSE)
    attributes = _LOAD.pack(
        *(_TRACING, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence)),
        *((1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)),
        *(0, 0, b"sockiter", 0, attach),
        *(0, 0, 0, 0, 0, 0, 0, btf_id),
    )
    return libc.bpf(_PROG_LOAD, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes))


def _linked(call: str, command: int, attributes: bytes) -> int:
    try:
        return libc.bpf(command, attributes, len(attributes))
    except OSError as error:
        raise libc.unavailable(call, error, takes=_TAKES) from error
