"""The alphabet: what user space can do to a socket table and to an iterator that walks it.

Decided here: which operations there are, which sequences of them make sense, and how long a sequence is. Not known here:
what any operation does to a table (`table`), how it is written down (`cases`), who draws it or carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, final, get_args

End: TypeAlias = Literal["head", "tail"]
Point: TypeAlias = Literal["show", "bucket", "realloc"]
"""A point inside a read: a socket is about to be shown, a bucket is about to be locked, an allocation is under way."""
POINTS: tuple[Point, ...] = get_args(Point)


class Printed:
    """Printed without its defaults by whatever knows IPython's protocol, as Hypothesis does in a falsifying example."""

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
    """One bucket: its number from 0, and the table it is in, "" for a target's first (or only) table."""

    number: int = 0
    table: str = ""

    def __str__(self) -> str:
        return f"{self.table}:{self.number}" if self.table else str(self.number)


FIRST = Bucket()


def has_tail(table: str) -> bool:
    """Whether sockets can enter a table's buckets at the tail: not TCP's established ones, whose lists have only a head
    (inet_ehash_insert of net/ipv4/inet_hashtables.c)."""
    return table != "established"


@final
@dataclass(frozen=True, slots=True)
class Open:
    """The iterator is created: what is in the table now, and stays, is owed exactly one delivery."""


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
    """A socket leaves its bucket and enters the same one again at `end`; to its owner it was there the whole time."""

    name: str
    end: End


@final
@dataclass(frozen=True, slots=True)
class Rehash(Printed):
    """A socket moves to the head of `bucket`; nothing happens to one that is there already."""

    name: str
    bucket: Bucket


@final
@dataclass(frozen=True, slots=True)
class Fail:
    """The allocation that is about to be made is refused."""


Change: TypeAlias = Add | Remove | Reinsert | Rehash


@final
@dataclass(frozen=True, slots=True)
class At:
    """A change or a refusal inside a read: before its `nth` socket is shown, before its `nth` bucket is locked, or while it
    makes its `nth` allocation, from 1.

    A bucket that is empty when the walk comes by is not locked, and does not count.

    A point that the read does not reach, and a change at an allocation that is made with the bucket lock held, where
    nothing can come in between: the change happens when the operation is over, so that every target ends with the same
    table. A `Fail` that is not reached is without effect, and so is a change to a socket that is not in the table when its
    point is reached, because the line that adds or removes it has a point that was reached in another order.
    """

    point: Point
    nth: int
    what: Change | Fail


@final
@dataclass(frozen=True, slots=True)
class Read:
    """One read(2) for `count` records, or, with None, reads of many records until one returns nothing and no error.

    With `gives_up`, which goes with None, the first error ends the operation as well. The points of `at` are counted over
    the whole operation, all its reads together. Those of one point are in order.
    """

    count: int | None
    at: tuple[At, ...] = ()
    gives_up: bool = False


Operation: TypeAlias = Open | Add | Remove | Reinsert | Rehash | Read

# How many reads a `Read(None)` makes before it gives up (the verdict is then stuck), besides one for every `Fail` in
# it. A read that asks for many records ends with the last socket, with an error, or with a full buffer, so that a
# table would have to hold 100 buffers of sockets before this could be met in good faith.
READS_MAX = 100


def reads_max(read: Read) -> int:
    """How many read(2) calls this operation may make."""
    return 1 if read.count is not None else READS_MAX + len(read.at)


def length(operations: Sequence[Operation]) -> int:
    """The number of operation lines: every operation counts 1, and everything inside a read 1 more."""
    return len(operations) + sum(len(op.at) for op in operations if type(op) is Read)


def changes(operation: Operation) -> Iterator[Change]:
    """The changes to the table that this operation makes or brings along, in order."""
    match operation:
        case Read(at=inside):
            for at in inside:
                if not isinstance(at.what, Fail):
                    yield at.what
        case Add() | Remove() | Reinsert() | Rehash():
            yield operation


class Impossible(Exception):
    """A sequence that no user space could bring about: `index` of the operation, `inside` of its `at`, and why."""

    def __init__(self, index: int, inside: int | None, why: str) -> None:
        super().__init__(why)
        self.index = index
        self.inside = inside


def check(operations: Sequence[Operation]) -> None:
    """Raise `Impossible` for the first operation that cannot be carried out; do nothing for a sequence that can.

    A name is given once and for ever; a socket has to be in the table to be removed, put in again or moved, and goes to the
    tail only where there is one; the iterator is opened once, and read only after that.
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
    """The sequence without what cannot be carried out any more, for one that was cut up; `check` accepts the result.

    Needs an `Open` somewhere: a sequence without one is returned empty.
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
    # Carries the change over into the names of all sockets and the table that each of those in one is in. Returns why it is
    # impossible, and carries nothing over, or "".
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
