"""An assembler for BPF: it encodes instructions of 8 bytes, and resolves named jump targets."""

from __future__ import annotations

import struct

STACK = 10
"""The register that holds the end of the stack."""

_MAP_BY_FD = 1  # BPF_PSEUDO_MAP_FD
_KERNEL_FUNCTION = 2  # BPF_PSEUDO_KFUNC_CALL
_LOAD = {2: 0x69, 4: 0x61, 8: 0x79}  # dst = *(src + offset)
_STORE = {4: 0x63, 8: 0x7B}  # *(dst + offset) = src
_STORE_CONSTANT = {4: 0x62, 8: 0x7A}
_CONDITIONS = {"==": 0x15, "!=": 0x55, "bit": 0x45}


class Assembly:
    """A program under construction. Registers are numbers, 10 the stack's; widths are in bytes, 4 or 8, of loads also 2."""

    def __init__(self) -> None:
        self._instructions: list[tuple[int, int, int, int, int]] = []
        self._places: dict[str, int] = {}
        self._jumps: dict[int, str] = {}

    def load(self, register: int, base: int, offset: int, *, width: int = 8) -> None:
        self._add(_LOAD[width], register, base, offset)

    def store(self, base: int, offset: int, register: int, *, width: int = 8) -> None:
        self._add(_STORE[width], base, register, offset)

    def store_constant(self, base: int, offset: int, constant: int, *, width: int = 8) -> None:
        self._add(_STORE_CONSTANT[width], base, 0, offset, constant)

    def move(self, register: int, source: int) -> None:
        self._add(0xBF, register, source)

    def constant(self, register: int, value: int) -> None:
        self._add(0xB7, register, 0, 0, value)

    def constant_64(self, register: int, value: int) -> None:
        self._wide(register, 0, value)

    def map_of(self, register: int, fd: int) -> None:
        """The map of this descriptor. The program holds a reference to the map once it is loaded."""
        self._wide(register, _MAP_BY_FD, fd)

    def add_constant(self, register: int, value: int) -> None:
        self._add(0x07, register, 0, 0, value)

    def subtract(self, register: int, source: int) -> None:
        self._add(0x1F, register, source)

    def address(self, register: int, base: int, offset: int) -> None:
        """base + offset."""
        self.move(register, base)
        self.add_constant(register, offset)

    def call(self, helper: int) -> None:
        self._add(0x85, constant=helper)

    def call_function(self, btf_id: int) -> None:
        """Call a function of the kernel that programs may call."""
        self._add(0x85, source=_KERNEL_FUNCTION, constant=btf_id)

    def jump(self, place: str) -> None:
        self._jump_to(place, 0x05)

    def jump_if(self, register: int, condition: str, constant: int, place: str) -> None:
        """`condition`: "==", "!=", or "bit" for any set bit of the constant."""
        self._jump_to(place, _CONDITIONS[condition], register, constant)

    def jump_on_timeout(self, place: str) -> None:
        """Jump out of an endless loop (may_goto, Linux 6.9): taken after millions of rounds, or some hundred
        milliseconds."""
        self._jump_to(place, 0xE5)

    def place(self, name: str) -> None:
        """Give the next instruction a name as a jump target."""
        self._places[name] = len(self._instructions)

    def leave(self) -> None:
        """End the program with the result 0."""
        self.constant(0, 0)
        self._add(0x95)

    def done(self) -> bytes:
        """The program with resolved jumps."""
        program = bytearray()
        for number, (code, target, source, offset, constant) in enumerate(self._instructions):
            if number in self._jumps:
                offset = self._places[self._jumps[number]] - number - 1
            program += struct.pack("<BBhi", code, source << 4 | target, offset, constant)
        return bytes(program)

    def _jump_to(self, place: str, code: int, register: int = 0, constant: int = 0) -> None:
        self._jumps[len(self._instructions)] = place
        self._add(code, register, 0, 0, constant)

    def _wide(self, register: int, source: int, value: int) -> None:
        low, high = struct.unpack("<ii", struct.pack("<Q", value))
        self._add(0x18, register, source, 0, low)
        self._add(0, constant=high)

    def _add(self, code: int, target: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> None:
        self._instructions.append((code, target, source, offset, constant))
