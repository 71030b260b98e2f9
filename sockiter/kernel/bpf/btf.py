"""BTF, the kernel's description of its own types: finds functions, and the offsets of struct members.

One walk over the headers finds a type (some 100,000 types in about 20 ms, once per process).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from functools import cache

from sockiter.errors import Unavailable
from sockiter.kernel.libc import unavailable

VMLINUX = "/sys/kernel/btf/vmlinux"

_MAGIC = 0xEB9F
_STRUCT, _UNION, _FUNC = 4, 5, 12
# The sizes behind a type's header of three words: words in all, and words for each of its members.
_WORDS = {
    1: (1, 0),  # INT
    2: (0, 0),  # PTR
    3: (3, 0),  # ARRAY
    _STRUCT: (0, 3),
    _UNION: (0, 3),
    6: (0, 2),  # ENUM
    7: (0, 0),  # FWD
    8: (0, 0),  # TYPEDEF
    9: (0, 0),  # VOLATILE
    10: (0, 0),  # CONST
    11: (0, 0),  # RESTRICT
    _FUNC: (0, 0),
    13: (0, 2),  # FUNC_PROTO
    14: (1, 0),  # VAR
    15: (0, 3),  # DATASEC
    16: (0, 0),  # FLOAT
    17: (1, 0),  # DECL_TAG
    18: (0, 0),  # TYPE_TAG
    19: (0, 3),  # ENUM64
}


class Types:
    """The types of one BTF; raises `Unavailable` for data that is no BTF."""

    __slots__ = ("_at", "_first", "_size", "_strings", "_words")

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or struct.unpack_from("=H", data)[0] != _MAGIC:
            raise Unavailable(f"{VMLINUX} is no BTF: it begins with {data[:2].hex() or 'nothing'}; expected magic 0xeb9f")
        header, types, types_size, strings, self._size = struct.unpack_from("=IIIII", data, 4)
        self._first = header + strings
        self._strings = data
        self._words = array("I", data[header + types : header + types + types_size])
        # The offset of each type by its id, which counts from 1.
        self._at = array("I", [0])
        steps = _Steps()
        at, end = 0, len(self._words)
        while at < end:
            self._at.append(at)
            at += steps[self._words[at + 1]]

    def function(self, name: str) -> int | None:
        """The id of a function, None if there is no such function."""
        return self._find(name, _FUNC)

    def argument(self, function: int, name: str) -> int | None:
        """The index of a function's argument by name, from 0, for a function id; None if there is no such argument."""
        prototype = self._at[self._words[self._at[function] + 2]]
        names = self._words[prototype + 3 : prototype + 3 + 2 * (self._words[prototype + 1] & 0xFFFF) : 2]
        name_offset = self._string(name)
        return names.index(name_offset) if name_offset in names else None

    def member(self, of: str, name: str) -> int | None:
        """The offset of a struct member in bytes; None if there is no such struct or member.

        Members of an unnamed struct or union inside the struct count as members of the struct.
        """
        found = self._find(of, _STRUCT)
        return None if found is None else self._member(found, self._string(name))

    def _member(self, of: int, name: int) -> int | None:
        at = self._at[of]
        info = self._words[at + 1]
        # With the flag, the lower 24 bits are the offset, and the bits above are the width of a bit field.
        mask = 0xFFFFFF if info >> 31 else 0xFFFFFFFF
        for member in range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3):
            named, kind, bits = self._words[member : member + 3]
            if named == name:
                return (bits & mask) // 8
            if not named and self._kind(kind) in (_STRUCT, _UNION):
                inside = self._member(kind, name)
                if inside is not None:
                    return (bits & mask) // 8 + inside
        return None

    def _kind(self, number: int) -> int:
        return self._words[self._at[number] + 1] >> 24 & 31

    def _find(self, name: str, kind: int) -> int | None:
        if (name_offset := self._string(name)) < 0:
            return None
        # The number may occur anywhere, not only at the beginning of a type.
        at = -1
        while (at := self._next(name_offset, at + 1)) >= 0:
            number = bisect_left(self._at, at, 1)
            if number < len(self._at) and self._at[number] == at and self._kind(number) == kind:
                return number
        return None

    def _next(self, word: int, first: int) -> int:
        try:
            return self._words.index(word, first)
        except ValueError:
            return -1

    def _string(self, name: str) -> int:
        # Strings are stored once and end with a zero byte. The first string is empty, so every string follows a zero byte.
        before = self._strings.find(b"\0" + name.encode() + b"\0", self._first, self._first + self._size)
        return -1 if before < 0 else before + 1 - self._first


@cache
def kernel_types() -> Types:
    """The types of the running kernel; raises `Unavailable`."""
    try:
        with open(VMLINUX, "rb") as file:
            data = file.read()
    except OSError as error:
        raise unavailable(f"no BTF: open {VMLINUX}", error) from error
    return Types(data)


@cache
def kernel_function(name: str) -> int:
    """The BTF id of a function of the running kernel; raises `Unavailable`."""
    found = kernel_types().function(name)
    if found is None:
        raise Unavailable(f"this kernel has no {name}: no such function in {VMLINUX}")
    return found


@cache
def kernel_member(of: str, name: str) -> int:
    """The offset of a struct member of the running kernel, in bytes; raises `Unavailable`."""
    found = kernel_types().member(of, name)
    if found is None:
        raise Unavailable(f"this kernel has no member {name} in struct {of}, by {VMLINUX}")
    return found


class _Steps(dict[int, int]):
    # Maps a type's second word to the type's number of words. There are few different words, so nearly every look-up hits.
    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 31
        if kind not in _WORDS:
            raise Unavailable(f"{VMLINUX} has a type of kind {kind}, which is unknown; known: 1 to {max(_WORDS)}")
        fixed, each = _WORDS[kind]
        step = self[info] = 3 + fixed + each * (info & 0xFFFF)
        return step
