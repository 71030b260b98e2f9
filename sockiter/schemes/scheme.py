"""What a scheme is: how an iterator keeps its place in a table, and nothing else.

Decided here: how a scheme and the frame of the kernel's read(2) speak with each other. Between two reads a scheme's state
is a hashable value. Inside a read it is a generator that yields wherever the kernel lets go of the bucket lock, and is
sent what happened there together with the table as it is by then. One text so serves fuzzing, replay, and a search that
runs the generator again with every script of replies. A scheme knows neither histories nor verdicts.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from sockiter.claims import HAZARDS, Harm, Hazard
from sockiter.table import Socket, Table


class Grow(NamedTuple):
    """An allocation of a batch of `slots` slots is wanted; `locked`: with the bucket lock held, so that nothing changes."""

    slots: int
    locked: bool = False


Request: TypeAlias = Socket | Grow
"""A socket is about to be shown, or a larger batch is wanted."""

Reply: TypeAlias = tuple[bool, Table]
"""Whether to go on, and the table by now. After a socket: it was shown, go on; or it was not, stop before it. After a
`Grow`: granted, or refused."""

S = TypeVar("S", bound=Hashable)

Reading: TypeAlias = Generator[Request, Reply, tuple[S, str | None]]
"""A read under way. It returns the state that it leaves behind, and None (stopped, or at the end) or an errno's name."""

Hand: TypeAlias = Mapping[str, Any]
"""What a scheme has in hand: the fields of its state, between two reads; inside one, the variables that still matter where
the generator waits, and what its loops have left, as `loop 1` and so on (`paused`); nothing, as long as it is not open."""

Where: TypeAlias = Mapping[str, int]
"""Where the sockets in the table are: their positions from 0, from bucket to bucket and from head to tail, by name."""

GONE = -1
"""Where a socket is that is not in the table any more."""

ANY_HAZARD: frozenset[Hazard] = frozenset(HAZARDS) - {"rollover"}
"""All that a table and an iterator can be put through where versions are wide enough."""


ONE_TABLE = ("",)
"""The tables of a scheme that walks one, which then needs no name."""


class Scheme(Protocol[S]):
    """One way to keep one's place. `read` is called with the state that the last call left, or with `open`'s."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def progress(self) -> str:
        """The title of what `place` tells."""

    @property
    def harms(self) -> tuple[Harm, ...]: ...

    @property
    def hazards(self) -> frozenset[Hazard]: ...

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that it walks, in order, each a phase of the table it is given; `ONE_TABLE` for most."""

    def open(self, slots: int, table: Table) -> S:
        """The state of a fresh iterator over this table, whose batch has so many slots."""

    def read(self, state: S, table: Table) -> Reading[S]:
        """Walk on from `state`: the sockets to be shown, in order, until the frame says stop or there are no more.

        The frame sends stop only in place of showing a socket; by then the step behind the last shown one is made.
        """

    def place(self, state: S) -> str:
        """The state as the RFC's tables write it, in a cell titled `progress`."""


class Canonical(Protocol):
    """What a scheme may offer besides, so that an exhaustive search of it comes to an end."""

    def canonical(self, hand: Hand, table: Table, where: Where) -> Hashable:
        """What of a hand can still make a difference, without names.

        The search takes two moments for one if this is the same for both and their buckets are as long. So it has to tell
        of the table whatever else there is to it than which socket is where. A read that waits at a socket's turn is going
        to show it. `slots` in a hand is never told to be more than the sockets that there can be. A scheme whose versions
        roll over may have `canonical_in_order` as well, for searches in which none does.
        """


AnyScheme: TypeAlias = Scheme[Any]


def by_position(hand: Hand, table: Table, where: Where) -> Hashable:
    """The canonical form for a scheme that goes by which socket is where, and by nothing else of the table.

    For a socket that it has in hand, and for a name, there is where it is, or `GONE`.
    """
    return tuple([_by_position(value, where) for value in hand.values()])


def _by_position(value: Any, where: Where) -> Any:
    if isinstance(value, Socket):
        return where.get(value.name, GONE)
    if isinstance(value, str):
        return where.get(value, GONE)
    if isinstance(value, Table):
        return tuple([where.get(socket.name, GONE) for bucket in value.buckets for socket in bucket])
    if isinstance(value, tuple):
        return tuple([_by_position(one, where) for one in value])
    return value


def left(cookies: Iterable[str], where: Where) -> tuple[int, ...]:
    """Where the sockets of some cookies are, of those that still are somewhere; `GONE` where there are others only.

    A name is given once and for ever, as a cookie is: one that is gone is never met again.
    """
    there = tuple([where[cookie] for cookie in cookies if cookie in where])
    return there or (GONE,) * any(True for _ in cookies)
