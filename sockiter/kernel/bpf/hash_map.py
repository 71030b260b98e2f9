"""A BPF hash map with known buckets, and the calls of user space on it.

BPF_F_ZERO_SEED makes the buckets known. A map has as many buckets as elements, rounded up to a power of two.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sockiter.kernel import libc

VALUE_BYTES = 8

_CREATE, _UPDATE, _DELETE, _NEXT_KEY, _LOOKUP_BATCH = 0, 2, 3, 4, 24
_HASH = 1  # BPF_MAP_TYPE_HASH
_NO_PREALLOC, _ZERO_SEED = 1, 1 << 6
_TAKES = "CAP_SYS_ADMIN"
# The map, the address of a key, that of a value or of the next key, and flags.
_ELEMENT = struct.Struct("=I4xQQQ")
# The addresses of the place, of the next place, of keys and of values; their number, the map, and flags.
_BATCH = struct.Struct("=QQQQIIQQ")
_COUNT_AT = 32


class HashMap:
    """An open map. It can be sent to another process."""

    __slots__ = ("_delete", "_key", "_next", "_next_key", "_update", "_value", "fd", "key_bytes", "made")

    def __init__(self, fd: int, key_bytes: int) -> None:
        self.fd = fd
        self.key_bytes = key_bytes
        # The number of elements that were ever made. So no element has the number of an earlier one.
        self.made = 0
        self._key = ctypes.create_string_buffer(key_bytes)
        self._value = ctypes.create_string_buffer(VALUE_BYTES)
        self._next = ctypes.create_string_buffer(key_bytes)
        key, value, following = map(ctypes.addressof, (self._key, self._value, self._next))
        self._update = _ELEMENT.pack(fd, key, value, 0)
        self._delete = _ELEMENT.pack(fd, key, 0, 0)
        self._next_key = _ELEMENT.pack(fd, key, following, 0)

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # here, since some systems lack it

        return _received, (DupFd(self.fd), self.key_bytes)

    def update(self, key: bytes, value: int) -> None:
        """Put an element at the head of its bucket, in place of one with this key; raises OSError."""
        self._key.raw = key
        self._value.raw = value.to_bytes(VALUE_BYTES, "little")
        libc.bpf(_UPDATE, self._update, _ELEMENT.size)

    def delete(self, key: bytes) -> None:
        """Remove an element; raises OSError."""
        self._key.raw = key
        libc.bpf(_DELETE, self._delete, _ELEMENT.size)

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key behind this one, or the first one; None at the end; raises OSError."""
        if key is None:
            attributes = _ELEMENT.pack(self.fd, 0, ctypes.addressof(self._next), 0)
        else:
            self._key.raw = key
            attributes = self._next_key
        try:
            libc.bpf(_NEXT_KEY, attributes, _ELEMENT.size)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return self._next.raw

    def batch(self, place: bytes | None, room: int) -> Batch:
        """One call for the next whole buckets, with room for so many elements. `place`: as the call before has left it."""
        return Batch(self, place, room)


class Batch:
    """The result of a call for whole buckets: the values of the elements, the place behind them, the end or an error."""

    __slots__ = ("error", "is_end", "place", "values")

    def __init__(self, hash_map: HashMap, place: bytes | None, room: int) -> None:
        before = ctypes.create_string_buffer(place, 4) if place is not None else None
        behind = ctypes.create_string_buffer(place or b"", 4)
        keys = ctypes.create_string_buffer(room * hash_map.key_bytes)
        values = ctypes.create_string_buffer(room * VALUE_BYTES)
        addresses = [0 if buffer is None else ctypes.addressof(buffer) for buffer in (before, behind, keys, values)]
        attributes = ctypes.create_string_buffer(_BATCH.pack(*addresses, room, hash_map.fd, 0, 0), _BATCH.size)
        self.is_end = False
        self.error: OSError | None = None
        try:
            libc.bpf(_LOOKUP_BATCH, attributes, _BATCH.size)
        except OSError as error:
            # The end may come with elements.
            self.is_end = error.errno == errno.ENOENT
            self.error = None if self.is_end else error
        count = 0 if self.error else int.from_bytes(attributes.raw[_COUNT_AT : _COUNT_AT + 4], "little")
        self.place = behind.raw
        self.values = memoryview(values).cast("B")[: count * VALUE_BYTES].cast("Q").tolist()


@contextmanager
def hash_map(key_bytes: int, elements_max: int, *, preallocated: bool = False) -> Iterator[HashMap]:
    """A map for at most so many elements, until the end; raises `Unavailable`."""
    flags = _ZERO_SEED | (0 if preallocated else _NO_PREALLOC)
    attributes = struct.pack("=IIIII44x", _HASH, key_bytes, VALUE_BYTES, elements_max, flags)
    try:
        fd = libc.bpf(_CREATE, attributes, len(attributes))
    except OSError as error:
        raise libc.unavailable("bpf(BPF_MAP_CREATE) with BPF_F_ZERO_SEED", error, takes=_TAKES) from error
    try:
        yield HashMap(fd, key_bytes)
    finally:
        os.close(fd)


def _received(map_fd: Any, key_bytes: int) -> HashMap:
    return HashMap(map_fd.detach(), key_bytes)
