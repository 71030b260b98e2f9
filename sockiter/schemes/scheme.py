"""A scheme: how an iterator keeps its place in a table.

A scheme is a pair of step functions over values. Between two reads its state is a hashable value. Wherever the kernel
releases the bucket lock inside a read, a waiting value names the awaited event, and `resume` continues from that value.
So the same code serves fuzzing, replay and an exhaustive search, and no code ever inspects a running function.

Not known here: histories and verdicts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import count
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from sockiter.claims import HAZARDS, Hazard, KnownFailure
from sockiter.table import Socket, Table


class Show(NamedTuple):
    """A socket is about to be shown. Granted: it was shown, or had left the table. Refused: the read is full."""

    socket: Socket


class Grow(NamedTuple):
    """A batch of `slots` slots is about to be allocated. Granted or refused.

    `locked`: the bucket lock is held during the allocation, so the table cannot change.
    """

    slots: int
    locked: bool = False


class Between(NamedTuple):
    """No bucket is locked, and the next non-empty bucket is about to be. Always granted."""


BETWEEN = Between()


class Room(NamedTuple):
    """In a user-space loop, the walk is about to take `sockets` at once, and shows them one by one.

    Granted if the reader's call has room for so many more records. Refused: the call ends, with an error or without.
    """

    sockets: int


Request: TypeAlias = Show | Grow | Between | Room

S = TypeVar("S", bound=Hashable)
W = TypeVar("W", bound="Waiting")


class Done(NamedTuple, Generic[S]):
    """The end of a read: the state that it leaves, and the name of an errno, or None if it stopped or reached the end."""

    state: S
    error: str | None = None


class Waiting(Protocol):
    """A waiting read, as a hashable value."""

    @property
    def waits_for(self) -> Request:
        """The request that `resume` answers."""

    def __hash__(self) -> int: ...


GONE = -1
"""The position of a socket that has left the table."""


class Where(dict[str, int]):
    """The position of each socket in a table, by name: from 0, from bucket to bucket and from head to tail.

    `where[name]` of any other socket is `GONE`. A name is never used twice, just as a cookie: a removed socket never
    returns. A socket that has a successor with the same name is at a position below `GONE`.
    """

    __slots__ = ("_sockets", "_table")

    def __init__(self, table: Table, sockets: int) -> None:
        super().__init__(zip([name for bucket in table.buckets for name, _ in bucket], count(), strict=False))
        self._sockets = sockets
        self._table = table

    def __missing__(self, name: str) -> int:
        return GONE

    def slots(self, slots: int) -> int:
        """The relevant slots of a batch: at most the number of sockets that the table may ever have at once."""
        return min(slots, self._sockets)

    def of(self, sockets: Iterable[Socket]) -> tuple[int, ...]:
        """The positions of some sockets, in their order."""
        if self._table.successors:
            return tuple([self.position(socket) for socket in sockets])
        return tuple([self[name] for name, _ in sockets])

    def position(self, socket: Socket) -> int:
        """The position of a socket, which is below `GONE` if it has a successor in the table."""
        position = self[socket.name]
        if position >= 0 and self._table.successors and self._table.is_succeeded(socket):
            return GONE - 1 - position
        return position

    def left(self, cookies: Iterable[str]) -> tuple[int, ...]:
        """The positions of the sockets with these cookies that are still in the table; only `GONE` if none of them is."""
        there = tuple([self[cookie] for cookie in cookies if cookie in self])
        return there or (GONE,) * any(True for _ in cookies)


SUCCESSIONS: frozenset[Hazard] = frozenset({"close", "accept"})
"""The hazards of a table of connections, in which one entry succeeds another."""
ANY_HAZARD: frozenset[Hazard] = frozenset(HAZARDS) - {"rollover"} - SUCCESSIONS
"""The hazards of a table and an iterator that locks one bucket at a time, with versions that are wide enough.

A scheme for connections has the `SUCCESSIONS` as well.
"""


ONE_TABLE = ("",)
"""The tables of a scheme with a single table, which needs no name."""


class Scheme(Protocol[S, W]):
    """One way for an iterator to keep its place."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """One line: the representation of the place, and the kernels that use the scheme."""

    @property
    def progress(self) -> str:
        """The title of the column that `place` fills in the RFC's tables."""

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """The known failures. The scheme claims to have no others."""

    @property
    def hazards(self) -> frozenset[Hazard]:
        """The hazards that its table and its reads can meet."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables in the order of the walk, each a phase of the given table; `ONE_TABLE` for most
        schemes."""

    def open(self, slots: int, table: Table) -> S:
        """The state of a new iterator over this table, with a batch of the given slots. Never None."""

    def begin(self, state: S, table: Table) -> W | Done[S]:
        """Start a read(2): the first awaited request, or the end of the read."""

    def resume(self, waiting: W, granted: bool, table: Table) -> W | Done[S]:
        """Continue a read from a waiting value, with the table as it is now.

        A refused `Show` ends the read: the result is `Done`, with a state in which that socket is the next one.
        """

    def place(self, state: S) -> str:
        """The state in a few characters, for the column `progress` of the RFC's tables."""


class Canonical(Protocol):
    """The part of a scheme that lets an exhaustive search end. A scheme may leave it out."""

    def canonical(self, at: Any, table: Table, where: Where) -> Hashable:
        """The part of a state or waiting value, and of the table, that still matters, with positions in place of names.

        `at` is None before open. The search merges two states if they have the same type, their buckets have the same
        lengths, and their canonical forms are equal. So the form must include everything else of the table that the
        scheme depends on. A read that waits to show a socket will show it. A scheme whose versions roll over may also
        have `canonical_in_order`, for searches without rollover.
        """


AnyScheme: TypeAlias = Scheme[Any, Any]

FrameName: TypeAlias = Literal["bpf_seq", "seq_file", "netlink", "loop"]
"""A frame: how the calls of a reader become steps of a walk."""
LINE_BYTES = 128
"""The width of a line, for a scheme in the frame `seq_file` that names none."""


def frame_name(scheme: AnyScheme) -> FrameName:
    """The name of a scheme's frame: its attribute `frame`, or "bpf_seq" without one."""
    name: FrameName = getattr(scheme, "frame", "bpf_seq")
    return name


def is_dump(scheme: AnyScheme) -> bool:
    """Whether a scheme is walked message by message, each filled before the one before it is read."""
    return frame_name(scheme) == "netlink"


def buckets_max_of(scheme: AnyScheme) -> int | None:
    """The most buckets of each table of a scheme: its attribute `buckets_max`, 1 for one list; None, any number, without."""
    most: int | None = getattr(scheme, "buckets_max", None)
    return most


def has_keys(scheme: object) -> bool:
    """Whether a scheme, or its relation in a proof, compares the names of sockets, as keys: its attribute `has_keys`.

    Then a search gives a new socket a name anywhere in the order of the other names, and a fuzzer draws names in any order.
    """
    return bool(getattr(scheme, "has_keys", False))


def has_fixed_hash(scheme: object) -> bool:
    """Whether no element of the table of a scheme, or of its relation, changes its bucket: its attribute `has_fixed_hash`.

    Then a move to another bucket is a change of the element, in another table, and leaves the walked table as it is.
    """
    return bool(getattr(scheme, "has_fixed_hash", False))


def line_bytes_of(scheme: AnyScheme) -> int:
    """The width of a line in the frame `seq_file`: the scheme's attribute `line_bytes`, if it has one."""
    width: int = getattr(scheme, "line_bytes", LINE_BYTES)
    return width


def generation_of(scheme: AnyScheme, table: Table) -> int:
    """The generation of a table, by which the kernel detects that a dump was interrupted; 0 if the walk keeps none.

    A scheme with the attribute `has_generation` keeps one. Every change of the table raises it.
    """
    return 1 + table.ver + sum(table.removals) if getattr(scheme, "has_generation", False) else 0


def is_met(scheme: AnyScheme, name: str, bucket: int, table: Table) -> bool:
    """Whether a request to destroy the socket of a record meets that socket.

    The kernel looks it up by the addresses of the record, and then compares the cookie. `bucket`: the position of the
    socket's bucket when it was shown. A moved socket has other addresses. Sockets that share one address differ only by
    their places: of a scheme with `shares_addresses`, a request meets the first socket of the bucket.
    """
    if not table.has(name):
        return False
    number, position = table.where(name)
    return number == bucket and (position == 0 or not getattr(scheme, "shares_addresses", False))


def known_failures_of(scheme: AnyScheme) -> tuple[KnownFailure, ...]:
    """The known failures of a scheme. A scheme of another package may declare them as `harms`, the earlier name."""
    declared: tuple[KnownFailure, ...] = scheme.harms if hasattr(scheme, "harms") else scheme.known_failures
    return declared


def by_position(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form for a scheme that depends only on the positions of sockets and on nothing else of the table.

    Every socket and every name of a socket becomes a position or `GONE`, also inside tuples. Other values stay as they are.
    """
    if isinstance(at, Socket):
        return where.position(at)
    if isinstance(at, str):
        return where[at] if at in where or any(at == name for name, _ in table.gone) else at
    if isinstance(at, tuple):
        return tuple([by_position(part, table, where) for part in at])
    form: Hashable = at
    return form
