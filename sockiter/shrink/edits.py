"""Edits of sequences: they remove sockets or lines, and replace names, buckets and changes.

The result of an edit may be a sequence that cannot be carried out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from sockiter.operations import Add, Again, At, Bucket, Change, Fail, Open, Operation, Read, Rehash, changes

Operations: TypeAlias = tuple[Operation, ...]
Line: TypeAlias = tuple[int, int]
"""A line of a sequence: the index of the operation, and 0 for the operation itself or, from 1, a change inside it."""


def name_of(number: int) -> str:
    """The name of a socket by its number from 0: A to Z, then S26 and so on."""
    return chr(ord("A") + number) if number < 26 else f"S{number}"


def names_in(operations: Operations) -> list[str]:
    """The names of all sockets, in the order in which they appear."""
    return list(dict.fromkeys(change.name for op in operations for change in changes(op)))


def adds(op: Operation, name: str) -> bool:
    """Whether this operation adds the socket, outside of a read."""
    return type(op) is Add and op.name == name


def without_names(operations: Operations, names: set[str]) -> Operations:
    """The sequence without these sockets and all their changes."""
    kept: list[Operation] = []
    for op in operations:
        if type(op) is Read:
            kept.append(replace(op, at=tuple(at for at in op.at if type(at.what) is Fail or at.what.name not in names)))
        elif type(op) is Open or type(op) is Again or op.name not in names:
            kept.append(op)
    return tuple(kept)


def lines_of(operations: Operations) -> list[Line]:
    """All lines except open."""
    lines: list[Line] = []
    for index, op in enumerate(operations):
        if type(op) is not Open:
            lines.append((index, 0))
        if type(op) is Read:
            lines += [(index, inside) for inside in range(1, len(op.at) + 1)]
    return lines


def without_lines(operations: Operations, lines: set[Line]) -> Operations:
    """The sequence without these lines; a read is removed together with its changes."""
    kept: list[Operation] = []
    for index, op in enumerate(operations):
        if (index, 0) in lines:
            continue
        if type(op) is Read and op.at:
            op = replace(op, at=tuple(at for inside, at in enumerate(op.at, 1) if (index, inside) not in lines))
        kept.append(op)
    return tuple(kept)


def operation_at(operations: Operations, line: Line) -> Operation | Fail:
    """The operation in this line, or the change inside a read."""
    index, inside = line
    op = operations[index]
    return op.at[inside - 1].what if inside and type(op) is Read else op


def with_change(operations: Operations, line: Line, change: Change) -> Operations:
    """The sequence with another change in this line."""
    index, inside = line
    op = operations[index]
    if type(op) is Read:
        at = replace(op.at[inside - 1], what=change)
        return (*operations[:index], replace(op, at=(*op.at[: inside - 1], at, *op.at[inside:])), *operations[index + 1 :])
    return (*operations[:index], change, *operations[index + 1 :])


def buckets_in(operations: Operations) -> list[Bucket]:
    """All named buckets, in their order."""
    return sorted({change.bucket for op in operations for change in changes(op) if isinstance(change, (Add, Rehash))})


def renamed(op: Operation, names: dict[str, str]) -> Operation:
    """The operation with new names for the sockets in `names`, also inside a read."""
    match op:
        case Open() | Again():
            return op
        case Read():
            return replace(op, at=tuple(_renamed_at(at, names) for at in op.at)) if op.at else op
        case _:
            return _renamed_change(op, names)


def _renamed_at(at: At, names: dict[str, str]) -> At:
    return at if type(at.what) is Fail else replace(at, what=_renamed_change(at.what, names))


def _renamed_change(change: Change, names: dict[str, str]) -> Change:
    return replace(change, name=names.get(change.name, change.name))


def rebucketed(op: Operation, bucket: Bucket | None, lower: Bucket) -> Operation:
    """The operation with `lower` in place of `bucket`, or, with None, in place of any bucket."""
    match op:
        case Add(bucket=named) | Rehash(bucket=named) if bucket in (None, named):
            return replace(op, bucket=lower)
        case Read(at=inside) if inside:
            return replace(op, at=tuple(_rebucketed_at(at, bucket, lower) for at in inside))
        case _:
            return op


def _rebucketed_at(at: At, bucket: Bucket | None, lower: Bucket) -> At:
    match at.what:
        case Add(bucket=named) | Rehash(bucket=named) if bucket in (None, named):
            return replace(at, what=replace(at.what, bucket=lower))
        case _:
            return at
