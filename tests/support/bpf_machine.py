"""A machine for the programs: the part of BPF that they use, with simulated kernel helpers. It is slow."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from sockiter.kernel.bpf.programs import PAGE

STACK, PAGE_AT, CONTEXT, OBJECTS, LOG_AT = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
LOG = 9
"""The descriptor of the log; any other map is the page."""
_BITS = (1 << 64) - 1
# Rounds of a loop after which may_goto is taken.
_TIRED = 50


@dataclass
class Machine:
    """`objects`: the kernel's memory from `OBJECTS` on. `meanwhile` is called in each round of a loop, and may
    change the page. `thread` and `group`: the thread that runs the program, by namespace, None for no thread."""

    objects: bytearray = field(default_factory=lambda: bytearray(256))
    meanwhile: Callable[[Machine], None] = lambda machine: None
    cookies: dict[int, int] = field(default_factory=dict)
    thread: int | None = 7
    has_page: bool = True
    log_size: int = 2
    has_room: bool = True

    def __post_init__(self) -> None:
        self.page = bytearray(PAGE)
        self.log = bytearray(16 * self.log_size)
        self.context = bytearray(64)
        self.written: list[tuple[int, bytes]] = []
        self.destroyed: list[int] = []
        self.namespaces: list[tuple[int, int]] = []

    def word(self, at: int) -> int:
        """A word of the page."""
        return int(struct.unpack_from("<Q", self.page, at)[0])

    def put(self, at: int, value: int) -> None:
        struct.pack_into("<Q", self.page, at, value)

    def pass_on(self, *arguments: int) -> None:
        """The argument of the program: the words of its context."""
        struct.pack_into(f"<{len(arguments)}Q", self.context, 0, *arguments)

    def run(self, program: bytes) -> None:
        """To its end, whose result has to be 0."""
        self._stack = bytearray(512)
        code = [struct.unpack_from("<BBhi", program, at) for at in range(0, len(program), 8)]
        registers = [0] * 11
        registers[1], registers[10] = CONTEXT, STACK + 512
        at = rounds = 0
        while True:
            operation, both, offset, constant = code[at]
            target, source = both & 15, both >> 4
            at += 1
            match operation:
                case 0x61 | 0x79:
                    registers[target] = self._load(registers[source] + offset, 4 if operation == 0x61 else 8)
                case 0x63 | 0x7B:
                    self._store(registers[target] + offset, registers[source], 4 if operation == 0x63 else 8)
                case 0x62 | 0x7A:
                    self._store(registers[target] + offset, constant, 4 if operation == 0x62 else 8)
                case 0xBF:
                    registers[target] = registers[source]
                case 0xB7:
                    registers[target] = constant & _BITS
                case 0x18:
                    registers[target] = (constant & 0xFFFFFFFF) | (code[at][3] & 0xFFFFFFFF) << 32
                    at += 1
                case 0x07:
                    registers[target] = (registers[target] + constant) & _BITS
                case 0x1F:
                    registers[target] = (registers[target] - registers[source]) & _BITS
                case 0x05:
                    self.meanwhile(self)
                    at += offset
                case 0x15:
                    at += offset if registers[target] == constant else 0
                case 0x55:
                    at += offset if registers[target] != constant else 0
                case 0x45:
                    at += offset if registers[target] & constant else 0
                case 0xE5:
                    rounds += 1
                    at += offset if rounds > _TIRED else 0
                case 0x85:
                    registers[0] = self._destroy(registers[1]) if source else self._call(constant, registers[1:6])
                    registers[1:6] = [0xDEAD] * 5  # as a call may leave them
                case _:
                    assert (operation, registers[0]) == (0x95, 0)
                    return

    def _call(self, helper: int, given: list[int]) -> int:
        match helper:
            case 1:
                if given[0] == LOG:
                    key = self._load(given[1], 4)
                    return LOG_AT + 16 * key if key < self.log_size else 0
                assert self._load(given[1], 4) == 0
                return PAGE_AT if self.has_page else 0
            case 46:
                return self.cookies[given[0]]
            case 113:
                for number in range(given[1]):
                    self._store(given[0] + number, self._load(given[2] + number, 1), 1)
                return 0
            case 120:
                self.namespaces.append((given[0], given[1]))
                if self.thread is None:
                    return _BITS - 21  # EINVAL
                self._store(given[2], self.thread, 4)
                self._store(given[2] + 4, 1, 4)
                return 0
            case _:
                assert helper == 127
                if not self.has_room:
                    return _BITS - 74  # EOVERFLOW
                self.written.append((given[0], bytes(self._load(given[1] + n, 1) for n in range(given[2]))))
                return 0

    def _destroy(self, one: int) -> int:
        self.destroyed.append(one)
        return 0

    def _region(self, address: int, size: int) -> tuple[bytearray, int]:
        regions = (
            *((STACK, self._stack), (PAGE_AT, self.page), (CONTEXT, self.context), (OBJECTS, self.objects)),
            (LOG_AT, self.log),
        )
        for base, region in regions:
            if base <= address and address + size <= base + len(region):
                return region, address - base
        raise AssertionError(f"nothing is at {address:#x}")

    def _load(self, address: int, size: int) -> int:
        region, at = self._region(address, size)
        return int.from_bytes(region[at : at + size], "little")

    def _store(self, address: int, value: int, size: int) -> None:
        region, at = self._region(address, size)
        region[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
