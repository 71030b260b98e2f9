"""BTF, the kernel's description of its own types: where in it a function is.

Decided here: how the id of a function is found, by one walk over the headers of the types (some 100,000 in about 10 ms).
Not known here: what the id is good for.
"""

from __future__ import annotations

import struct
from array import array
from functools import cache

from sockiter.errors import MachineLacks
from sockiter.kernel.libc import lacks

VMLINUX = "/sys/kernel/btf/vmlinux"

_MAGIC = 0xEB9F
_FUNC = 12
# What follows the three words of a type's header: words in all, and words for each of its members.
_WORDS = {
    1: (1, 0),  # INT
    2: (0, 0),  # PTR
    3: (3, 0),  # ARRAY
    4: (0, 3),  # STRUCT
    5: (0, 3),  # UNION
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


@cache
def kernel_function(name: str) -> int:
    """The BTF id of a function of the running kernel; raises `MachineLacks`."""
    try:
        with open(VMLINUX, "rb") as file:
            data = file.read()
    except OSError as error:
        raise lacks(f"no BTF: open {VMLINUX}", error) from error
    found = function_id(data, name)
    if found is None:
        raise MachineLacks(f"this kernel has no iterator {name}: no such function in {VMLINUX}")
    return found


def function_id(data: bytes, name: str) -> int | None:
    """The id of the FUNC called `name` in this BTF, None if there is none; raises `MachineLacks` for what is no BTF."""
    if len(data) < 24 or struct.unpack_from("=H", data)[0] != _MAGIC:
        raise MachineLacks(f"{VMLINUX} is no BTF: it begins with {data[:2].hex() or 'nothing'}; expected magic 0xeb9f")
    header, types, types_size, strings, strings_size = struct.unpack_from("=IIIII", data, 4)
    start = header + strings
    # Strings are stored once and end with a zero byte; the first one is empty, so that each has a zero byte before it.
    before = data.find(b"\0" + name.encode() + b"\0", start, start + strings_size)
    if before < 0:
        return None
    wanted = before + 1 - start
    words = array("I", data[header + types : header + types + types_size])
    steps = _Steps()
    at, number, end = 0, 1, len(words)
    while at < end:
        info = words[at + 1]
        if words[at] == wanted and info >> 24 & 31 == _FUNC:
            return number
        at += steps[info]
        number += 1
    return None


class _Steps(dict[int, int]):
    # From a type's second word to the number of its words. There are few different ones: nearly every look-up hits.
    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 31
        if kind not in _WORDS:
            raise MachineLacks(f"{VMLINUX} has a type of kind {kind}, which is not known here; known: 1 to {max(_WORDS)}")
        fixed, each = _WORDS[kind]
        step = self[info] = 3 + fixed + each * (info & 0xFFFF)
        return step
