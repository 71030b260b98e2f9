"""The operations of user space on a socket table and on an iterator over that table.

Decided here: the operations, the possible sequences, and the length of a sequence. Not known here: the effect of an
operation on a table (`table`), its text form (`cases`), and the code that draws it or carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, final, get_args

End: TypeAlias = Literal["head", "tail"]
Point: TypeAlias = Literal["show", "bucket", "realloc"]
"""A point inside a read: just before a socket is shown, just before a bucket is locked, or during an allocation."""
POINTS: tuple[Point, ...] = get_args(Point)


class Printed:
    """Printed without default values by tools that use IPython's protocol, such as Hypothesis in a falsifying example."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        written = [(field, getattr(self, field.name)) for field in fields(self)]  # type: ignore[arg-type]
        printer.text(f"{type(self).__name__}(")
        for nth, (field, value) in enumerate((field, value) for field, value in written if value != field.default):
            printer.text(f"{', ' * (nth > 0)}{field.name}=")
            printer.pretty(value)
        printer.text(")")


@dataclass(frozen=True, slots=True, order=True)
class Bucket(Printed):
    """A bucket: its number from 0, and the name of its table, "" for a target's first (or only) table."""

    number: int = 0
    table: str = ""

    def __str__(self) -> str:
        return f"{self.table}:{self.number}" if self.table else str(self.number)


FIRST = Bucket()


def has_tail(table: str) -> bool:
    """Whether sockets can enter a table's buckets at the tail.

    TCP's established sockets cannot: their lists have only a head (inet_ehash_insert of net/ipv4/inet_hashtables.c).
    """
    return table != "established"


@final
@dataclass(frozen=True, slots=True)
class Open:
    """Create the iterator. Every socket that is in the table now and stays must be delivered exactly once."""


@final
@dataclass(frozen=True, slots=True)
class Add(Printed):
    """A new socket enters `bucket` at one end of its list."""

    name: str
    end: End
    bucket: Bucket = FIRST


@final
@dataclass(frozen=True, slots=True)
class Remove:
    """A socket leaves the table for good."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Reinsert:
    """A socket leaves its bucket and enters the same bucket again at `end`; its owner sees it open the whole time."""

    name: str
    end: End


@final
@dataclass(frozen=True, slots=True)
class Rehash(Printed):
    """A socket moves to the head of `bucket`; no effect if it is there already."""

    name: str
    bucket: Bucket


@final
@dataclass(frozen=True, slots=True)
class Fail:
    """The allocation at this point is refused."""


Change: TypeAlias = Add | Remove | Reinsert | Rehash


@final
@dataclass(frozen=True, slots=True)
class At:
    """A change or a refusal inside a read, at one of three points. `nth` counts from 1.

    The point is just before the `nth` socket is shown, just before the `nth` bucket is locked, or during the `nth`
    allocation. A bucket that is empty when the walk reaches it is not locked, and does not count.

    Some changes happen only at the end of the operation, so that every target ends with the same table: a change at a
    point that the read does not reach, and a change at an allocation under the bucket lock. A `Fail` at a point that the
    read does not reach has no effect. A change has no effect if its socket is not in the table at that point. That can
    happen because points are not always reached in the order of their lines.
    """

    point: Point
    nth: int
    what: Change | Fail


@final
@dataclass(frozen=True, slots=True)
class Read:
    """One read(2) for `count` records; with None, reads of many records until one returns nothing and no error.

    With `gives_up`, which requires None, the first error ends the operation as well. The points of `at` are counted over
    all reads of the operation. The points of each kind are in order.
    """

    count: int | None
    at: tuple[At, ...] = ()
    gives_up: bool = False


Operation: TypeAlias = Open | Add | Remove | Reinsert | Rehash | Read

# The number of reads that a `Read(None)` makes before it gives up (the verdict is then stuck), besides one for every
# `Fail` in it. A read of many records ends with the last socket, with an error, or with a full buffer. So a table needs
# 100 buffers of sockets to reach this limit without a bug.
READS_MAX = 100


def reads_max(read: Read) -> int:
    """The maximum number of read(2) calls of this operation."""
    return 1 if read.count is not None else READS_MAX + len(read.at)


def length(operations: Sequence[Operation]) -> int:
    """The number of operation lines: every operation counts 1, and every change inside a read counts 1 more."""
    return len(operations) + sum(len(op.at) for op in operations if type(op) is Read)


def changes(operation: Operation) -> Iterator[Change]:
    """The changes to the table that this operation makes or contains, in order."""
    match operation:
        case Read(at=inside):
            for at in inside:
                if not isinstance(at.what, Fail):
                    yield at.what
        case Add() | Remove() | Reinsert() | Rehash():
            yield operation


class Impossible(Exception):
    """A sequence that user space cannot cause: the `index` of the operation, `inside` of its `at`, and the reason."""

    def __init__(self, index: int, inside: int | None, why: str) -> None:
        super().__init__(why)
        self.index = index
        self.inside = inside


def check(operations: Sequence[Operation]) -> None:
    """Raise `Impossible` for the first operation that cannot be carried out; do nothing for a possible sequence.

    A name is never used twice. Only a socket in the table can be removed, reinserted or moved. A socket can enter at the
    tail only in a table with tails. The iterator is opened once, and all reads follow.
    """
    present: dict[str, str] = {}
    known: set[str] = set()
    opened = False
    for index, op in enumerate(operations):
        if type(op) is Open:
            if opened:
                raise Impossible(index, None, "the iterator is open already; expected one `open`")
            opened = True
        elif type(op) is Read:
            if not opened:
                raise Impossible(index, None, "a read before open; expected `open` above the first read")
            for inside, at in enumerate(op.at):
                if type(at.what) is not Fail and (why := _step(at.what, present, known)):
                    raise Impossible(index, inside, why)
        elif why := _step(op, present, known):
            raise Impossible(index, None, why)
    if not opened:
        raise Impossible(len(operations), None, "the iterator is never opened; expected one `open`")


def possible(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The sequence without its impossible operations, for a sequence that lost operations; `check` accepts the result.

    The sequence must contain an `Open`; otherwise the result is empty.
    """
    present: dict[str, str] = {}
    known: set[str] = set()
    opened = False
    kept: list[Operation] = []
    for op in operations:
        if type(op) is Open:
            if not opened:
                kept.append(op)
            opened = True
        elif type(op) is Read:
            if not opened:
                continue
            if op.at:
                inside = tuple(a for a in op.at if type(a.what) is Fail or not _step(a.what, present, known))
                kept.append(op if len(inside) == len(op.at) else replace(op, at=inside))
            else:
                kept.append(op)
        elif not _step(op, present, known):
            kept.append(op)
    return tuple(kept) if opened else ()


def _step(change: Change, present: dict[str, str], known: set[str]) -> str:
    # Updates the known names, and the table of each present socket. Returns "", or, without an update, the reason why the
    # change is impossible.
    name = change.name
    if type(change) is Add:
        if name in known:
            return f"a socket named {name!r} was added before; expected a name that is new"
        if change.end == "tail" and not has_tail(change.bucket.table):
            return f"table {change.bucket.table!r} takes sockets at the head only; expected `head`"
        known.add(name)
        present[name] = change.bucket.table
    elif name not in present:
        gone = "is not in the table any more" if name in known else "was never added"
        return f"socket {name!r} {gone}; expected one that is in the table"
    elif type(change) is Remove:
        del present[name]
    elif type(change) is Rehash:
        present[name] = change.bucket.table
    elif type(change) is Reinsert and change.end == "tail" and not has_tail(present[name]):
        return f"socket {name!r} is in table {present[name]!r}, which takes sockets at the head only; expected `head`"
    return ""
