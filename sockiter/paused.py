"""What a generator that is paused has in hand: where it stands, and the values that its way from there can depend on.

Decided here: which local variables still matter at a `yield`. A variable that is certain to be set again before it is read
does not, so that two reads which got to the same point by different ways are told to be the same. Not known here: what the
values mean.

CPython keeps the iterator of a `for` loop in no variable; what is left of it is told too. Seen to work from 3.11 to 3.13.
"""

from __future__ import annotations

import dis
import functools
import gc
import re
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType, GeneratorType
from typing import Any, NamedTuple

# `LOAD_FAST`, `STORE_FAST`, and those that are two in one, each with the names in order.
_ACCESS = re.compile(r"(LOAD|STORE|DELETE)_FAST(_AND_CLEAR)?")
_WAY_OUT = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"})
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)


class Hand(NamedTuple):
    """`where`: the points at which a generator, and those that it delegates to, are paused. `values`: by variable, and by
    `loop 1`, `loop 2`, … what loops have left; of two that share a name, the inner one has a prime."""

    where: tuple[int, ...]
    values: dict[str, Any]


def in_hand(generator: Any) -> Hand:
    """What a generator that is paused at a `yield` has in hand; the generator itself is left as it is.

    Not to be told is what is referred to by a variable of an enclosing function, and what waits in an expression.
    """
    where: list[int] = []
    values: dict[str, Any] = {}
    inner = generator
    while isinstance(inner, GeneratorType):
        frame: Any = inner.gi_frame
        where.append(frame.f_lasti)
        variables = frame.f_locals
        of_this = {name: variables[name] for name in sorted(live(frame.f_code)[frame.f_lasti]) if name in variables}
        # A generator refers to its variables, to what its loops run through, and to the one that it delegates to.
        referents = gc.get_referents(inner)
        loops = [left for left in referents if isinstance(left, Iterator) and not isinstance(left, GeneratorType)]
        of_this.update((f"loop {number}", rest(left)) for number, left in enumerate(loops, 1))
        for name, value in of_this.items():
            while name in values:
                name += "'"
            values[name] = value
        inner = inner.gi_yieldfrom
    return Hand(tuple(where), values)


def rest(iterator: Iterator[Any]) -> tuple[Any, ...]:
    """What a loop over a tuple, a list, a range, or an enumeration of one has left, and the number it has come to; the
    iterator itself is left as it is. A TypeError for one over anything else."""
    reduced: Any = iterator.__reduce__()
    kind, arguments, *position = reduced
    if kind is enumerate:
        inner, number = arguments
        return (number, rest(inner))
    if kind is not iter or not isinstance(arguments[0], (tuple, list, range)):
        raise TypeError(f"a loop over a {type(iterator).__name__} cannot be looked into")
    return tuple(arguments[0][position[0] if position else 0 :])


@functools.cache
def live(code: CodeType) -> dict[int, frozenset[str]]:
    """The variables that can be read, before they are set, on a way onwards from behind each instruction, by its offset.

    Ways by which an exception is caught do not count: nothing is raised into a generator that keeps a place.
    """
    instructions = list(dis.get_instructions(code))
    following = {here.offset: after.offset for here, after in pairwise(instructions)}
    onwards: dict[int, list[int]] = {}
    for instruction in instructions:
        ways = [instruction.argval] if instruction.opcode in _JUMPS else []
        jumps_always = instruction.opname.startswith("JUMP_") and "IF" not in instruction.opname
        if not jumps_always and instruction.opname not in _WAY_OUT and instruction.offset in following:
            ways.append(following[instruction.offset])
        onwards[instruction.offset] = ways
    before: dict[int, frozenset[str]] = {instruction.offset: frozenset() for instruction in instructions}
    behind = dict(before)
    # What is shared with an inner function may be read at any time.
    shared = frozenset(code.co_cellvars) | frozenset(code.co_freevars)
    changed = True
    while changed:
        changed = False
        for instruction in reversed(instructions):
            offset = instruction.offset
            behind[offset] = shared.union(*(before[way] for way in onwards[offset]))
            names = behind[offset]
            for kind, name in reversed(_accesses(instruction)):
                names = names - {name} if kind == "STORE" else names | {name}
            if names != before[offset]:
                before[offset] = names
                changed = True
    return behind


def _accesses(instruction: dis.Instruction) -> list[tuple[str, str]]:
    # What is done to which variable, in order.
    kinds = [match[0] for match in _ACCESS.findall(instruction.opname)]
    names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
    return list(zip(kinds, names, strict=True)) if kinds else []
