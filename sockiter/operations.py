"""The operations of user space on a socket table and on an iterator over that table.

Decided here: the operations, the possible sequences, and the length of a sequence. Not known here: the effect of an
operation on a table (`table`), its text form (`cases`), and the code that draws it or carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias, final, get_args

End: TypeAlias = Literal["head", "tail"]
Property: TypeAlias = Literal["unwanted", "request", "bound"]
"""A property that a socket gets when it is added."""
PROPERTIES: tuple[Property, ...] = get_args(Property)
Point: TypeAlias = Literal["show", "bucket", "realloc"]
"""A point inside a read: just before a socket is shown, just before a bucket is locked, or during an allocation."""
POINTS: tuple[Point, ...] = get_args(Point)
Unit: TypeAlias = Literal["records", "bytes"]


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


LISTENING = "listening"
"""The table of TCP's listening sockets. Sockets in any other table may be connections."""


_WITHOUT_TAIL = frozenset({"established", "map"})


def has_tail(table: str) -> bool:
    """Whether sockets can enter a table's buckets at the tail.

    TCP's established sockets and the elements of a BPF map cannot: they always enter at the head (inet_ehash_insert of
    net/ipv4/inet_hashtables.c, htab_map_update_elem of kernel/bpf/hashtab.c).
    """
    return table not in _WITHOUT_TAIL


@final
@dataclass(frozen=True, slots=True)
class Open:
    """Create the iterator. Every socket that is in the table now and stays must be delivered exactly once."""


@final
@dataclass(frozen=True, slots=True)
class Add(Printed):
    """A new socket enters `bucket` at one end of its list.

    `properties`, in the order of `PROPERTIES`: `unwanted`, the reader filters it out, so that it takes part in the walk and
    is owed to nobody; `request`, a handshake that is not complete, which `Accept` completes; `bound`, its port was bound by
    number, so that `Destroy` leaves it in the table.
    """

    name: str
    end: End
    bucket: Bucket = FIRST
    properties: tuple[Property, ...] = ()


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
class Close:
    """The program closes a connection, and its peer does. A TIME_WAIT entry with the same cookie succeeds the socket.

    The successor enters the same bucket, at the head or in the place of its predecessor, as the kernel does it
    (inet_twsk_hashdance_schedule of net/ipv4/inet_timewait_sock.c).
    """

    name: str


@final
@dataclass(frozen=True, slots=True)
class Accept:
    """A handshake completes. A connection with the same cookie succeeds the request socket, as for `Close`.

    In the kernel: inet_ehash_nolisten of net/ipv4/inet_hashtables.c.
    """

    name: str


@final
@dataclass(frozen=True, slots=True)
class Destroy:
    """The socket is destroyed by bpf_sock_destroy or SOCK_DESTROY, and not by its owner.

    It leaves the table, except for a `bound` one, which returns to the head of the bucket of its `Add` if it was moved.
    """

    name: str


@final
@dataclass(frozen=True, slots=True)
class Fail:
    """The allocation at this point is refused."""


Change: TypeAlias = Add | Remove | Reinsert | Rehash | Close | Accept | Destroy


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
class Read(Printed):
    """One read(2) for `count` records or bytes; with None, reads of many records until one returns nothing and no error.

    With `gives_up`, which requires None, the first error ends the operation as well. The points of `at` are counted over
    all reads of the operation. The points of each kind are in order. `unit`: of the count; a read in bytes may end inside
    a record, and the record is delivered with its last byte. `silent`, which requires None: the program stores the records
    in a map and writes nothing, so that a read never stops before the end. `destroying`: the program destroys every
    wanted socket that it shows.
    """

    count: int | None
    at: tuple[At, ...] = ()
    gives_up: bool = False
    unit: Unit = "records"
    silent: bool = False
    destroying: bool = False


@final
@dataclass(frozen=True, slots=True)
class Again:
    """A second pass: a new iterator replaces the first. The reader joins the deliveries of all passes by cookie."""


Operation: TypeAlias = Open | Again | Read | Change

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
        case Open() | Again():
            pass
        case _:
            yield operation


class Impossible(Exception):
    """A sequence that user space cannot cause: the `index` of the operation, `inside` of its `at`, and the reason."""

    def __init__(self, index: int, inside: int | None, why: str) -> None:
        super().__init__(why)
        self.index = index
        self.inside = inside


def check(operations: Sequence[Operation]) -> None:
    """Raise `Impossible` for the first operation that cannot be carried out; do nothing for a possible sequence.

    A name is never used twice. Only a socket in the table can change. A socket can enter at the tail only in a table with
    tails. Only a request socket can be accepted, once, and a closed connection can only leave. The iterator is opened once,
    and all reads and further passes follow.
    """
    sockets = _Sockets()
    opened = False
    for index, op in enumerate(operations):
        if type(op) is Open:
            if opened:
                raise Impossible(index, None, "the iterator is open already; expected one `open`")
            opened = True
        elif type(op) is Again:
            if not opened:
                raise Impossible(index, None, "a second pass before open; expected `open` above `again`")
        elif type(op) is Read:
            if not opened:
                raise Impossible(index, None, "a read before open; expected `open` above the first read")
            for inside, at in enumerate(op.at):
                if type(at.what) is not Fail and (why := sockets.step(at.what)):
                    raise Impossible(index, inside, why)
        elif why := sockets.step(op):
            raise Impossible(index, None, why)
    if not opened:
        raise Impossible(len(operations), None, "the iterator is never opened; expected one `open`")


def possible(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The sequence without its impossible operations, for a sequence that lost operations; `check` accepts the result.

    The sequence must contain an `Open`; otherwise the result is empty.
    """
    sockets = _Sockets()
    opened = False
    kept: list[Operation] = []
    for op in operations:
        if type(op) is Open:
            if not opened:
                kept.append(op)
            opened = True
        elif type(op) is Again:
            if opened:
                kept.append(op)
        elif type(op) is Read:
            if not opened:
                continue
            if op.at:
                inside = tuple(a for a in op.at if type(a.what) is Fail or not sockets.step(a.what))
                kept.append(op if len(inside) == len(op.at) else replace(op, at=inside))
            else:
                kept.append(op)
        elif not sockets.step(op):
            kept.append(op)
    return tuple(kept) if opened else ()


Life: TypeAlias = Literal["request", "closed", "bound"]
"""A socket that cannot change as others do: a request socket, a closed connection, a socket that was bound by number."""


def life_of(add: Add) -> Life | None:
    """The life of a new socket; None for most."""
    return "request" if "request" in add.properties else "bound" if "bound" in add.properties else None


def prevents(life: Life | None, change: Change) -> str:
    """The reason why a socket in the table cannot change like this in its present life, behind its name; "" if it can."""
    match life, change:
        case ("closed" | "request", Remove() | Destroy()) | ("request", Accept()):
            return ""
        case "closed", _:
            return "was closed, and can only leave the table; expected `remove` or `destroy`"
        case "request", _:
            return "is a request socket; expected `accept`, `remove` or `destroy`"
        case "bound", Reinsert():
            return "is bound by number, and keeps its place; expected a socket without `bound`"
        case _, Accept():
            return "is no request socket; expected one that was added with `request`"
    return ""


def update_lives(lives: dict[str, Life], change: Change) -> None:
    """Update the lives of sockets by name after a change; most sockets have none, and a socket that leaves keeps its own."""
    match change:
        case Add():
            if change.properties and (life := life_of(change)) is not None:
                lives[change.name] = life
        case Close(name):
            lives[name] = "closed"
        case Accept(name):
            lives.pop(name, None)


class _Sockets:
    # The names so far: the table and the life of each present socket.

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._tables: dict[str, str] = {}
        # Only of sockets with a life of their own: request sockets, closed connections, and sockets bound by number.
        self._lives: dict[str, Life] = {}

    def step(self, change: Change) -> str:
        """Make a change. Returns "", or, without the change, the reason why it is impossible."""
        name = change.name
        tables = self._tables
        if type(change) is Add:
            if name in self._known:
                return f"a socket named {name!r} was added before; expected a name that is new"
            if change.end == "tail" and not has_tail(change.bucket.table):
                return f"table {change.bucket.table!r} takes sockets at the head only; expected `head`"
            self._known.add(name)
            tables[name] = change.bucket.table
            update_lives(self._lives, change)
            return ""
        if name not in tables:
            gone = "is not in the table any more" if name in self._known else "was never added"
            return f"socket {name!r} {gone}; expected one that is in the table"
        if (self._lives or type(change) is Accept) and (why := prevents(self._lives.get(name), change)):
            return f"socket {name!r} {why}"
        if type(change) is Remove or (type(change) is Destroy and self._lives.get(name) != "bound"):
            del tables[name]
        elif type(change) is Rehash:
            tables[name] = change.bucket.table
        elif type(change) is Reinsert and change.end == "tail" and not has_tail(tables[name]):
            return f"socket {name!r} is in table {tables[name]!r}, which takes sockets at the head only; expected `head`"
        else:
            update_lives(self._lives, change)
        return ""
