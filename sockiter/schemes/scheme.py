"""A scheme: how an iterator keeps its place in a table.

A scheme is a pair of step functions over values. Between two reads its state is a hashable value. Inside a read, wherever
the kernel lets go of the bucket lock, a waiting value says what the read waits for, and `resume` goes on from that value.
So the same text serves fuzzing, replay and an exhaustive search, and nothing ever looks inside a running function. A scheme
knows neither histories nor verdicts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import chain
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from sockiter.claims import HAZARDS, Hazard, KnownFailure
from sockiter.table import Socket, Table


class Show(NamedTuple):
    """A socket is about to be shown. Granted: it was shown, or had left the table by then. Refused: the read is full."""

    socket: Socket


class Grow(NamedTuple):
    """A batch of `slots` slots is about to be allocated. Granted or refused.

    `locked`: the bucket lock is held meanwhile, so that the table stays as it is.
    """

    slots: int
    locked: bool = False


class Between(NamedTuple):
    """No bucket is locked, and the next one that is not empty is about to be. Always granted."""


BETWEEN = Between()

Request: TypeAlias = Show | Grow | Between

S = TypeVar("S", bound=Hashable)
W = TypeVar("W", bound="Waiting")


class Done(NamedTuple, Generic[S]):
    """A read is over: the state that it leaves behind, and the name of an errno, or None (stopped, or at the end)."""

    state: S
    error: str | None = None


class Waiting(Protocol):
    """A read that waits, as a hashable value."""

    @property
    def waits_for(self) -> Request:
        """The request that `resume` is called with an answer to."""

    def __hash__(self) -> int: ...


GONE = -1
"""The position of a socket that is not in the table any more."""


class Where(dict[str, int]):
    """The position of each socket in a table, from 0, from bucket to bucket and from head to tail, by name.

    `where[name]` of any other socket is `GONE`. A name is given once and for ever, as a cookie is: a socket that is gone
    never comes back.
    """

    __slots__ = ("_sockets",)

    def __init__(self, table: Table, sockets: int) -> None:
        super().__init__((name, at) for at, (name, _) in enumerate(chain.from_iterable(table.buckets)))
        self._sockets = sockets

    def __missing__(self, name: str) -> int:
        return GONE

    def slots(self, slots: int) -> int:
        """The slots of a batch, as far as they matter: no more than the sockets that the table may ever have at once."""
        return min(slots, self._sockets)

    def of(self, sockets: Iterable[Socket]) -> tuple[int, ...]:
        """The positions of some sockets, in their order."""
        return tuple([self[name] for name, _ in sockets])

    def left(self, cookies: Iterable[str]) -> tuple[int, ...]:
        """The positions of the sockets with these cookies that are still in the table; `GONE` alone where none is."""
        there = tuple([self[cookie] for cookie in cookies if cookie in self])
        return there or (GONE,) * any(True for _ in cookies)


ANY_HAZARD: frozenset[Hazard] = frozenset(HAZARDS) - {"rollover"}
"""The hazards of a table and an iterator that locks one bucket at a time, where versions are wide enough."""


ONE_TABLE = ("",)
"""The tables of a scheme that walks one, which then needs no name."""


class Scheme(Protocol[S, W]):
    """One way for an iterator to keep its place."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """One line: where the place is kept, and by which kernels."""

    @property
    def progress(self) -> str:
        """The title of the column that `place` fills in the RFC's tables."""

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """The known failures; all else it claims not to do."""

    @property
    def hazards(self) -> frozenset[Hazard]:
        """The hazards that its table and its reads can meet."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that it walks, in order, each a phase of the table it is given; `ONE_TABLE` for most."""

    def open(self, slots: int, table: Table) -> S:
        """The state of a fresh iterator over this table, whose batch has so many slots. Never None."""

    def begin(self, state: S, table: Table) -> W | Done[S]:
        """A read(2) enters the iterator: the first thing that it waits for, or its end."""

    def resume(self, waiting: W, granted: bool, table: Table) -> W | Done[S]:
        """The read goes on from a waiting value, with the table as it is by now.

        Where a socket was about to be shown and was not, the read is over: this returns `Done`, with a state from which that
        socket is the next one.
        """

    def place(self, state: S) -> str:
        """The state in a few characters, as the RFC's tables show it under `progress`."""


class Canonical(Protocol):
    """The part of a scheme that lets an exhaustive search end. A scheme may leave it out."""

    def canonical(self, at: Any, table: Table, where: Where) -> Hashable:
        """Whatever can still matter of a state or a waiting value, and of the table, with positions in place of names.

        `at` is None before open. The search merges two states if they are of the same type, their buckets have the same
        lengths, and this is equal for both. So it must include everything else of the table that the scheme
        depends on. A read that waits to show a socket is going to show it. A scheme whose versions roll over may have
        `canonical_in_order` as well, for searches in which none does.
        """


AnyScheme: TypeAlias = Scheme[Any, Any]


def known_failures_of(scheme: AnyScheme) -> tuple[KnownFailure, ...]:
    """The known failures of a scheme, which one of another package may declare as `harms`, the earlier name."""
    declared: tuple[KnownFailure, ...] = scheme.harms if hasattr(scheme, "harms") else scheme.known_failures
    return declared


def by_position(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form for a scheme that depends on the positions of sockets and on nothing else of the table.

    Every socket, and every text that is the name of one, becomes a position or `GONE`; tuples are gone through. Other values
    stay as they are.
    """
    if isinstance(at, Socket):
        return where[at.name]
    if isinstance(at, str):
        return where[at] if at in where or any(at == name for name, _ in table.gone) else at
    if isinstance(at, tuple):
        return tuple([by_position(one, table, where) for one in at])
    form: Hashable = at
    return form
