"""What a scheme is: how an iterator keeps its place in a table, and nothing else.

Decided here: how a scheme and the frame of the kernel's read(2) speak with each other. Between two reads a scheme's state
is a hashable value. Inside a read it is a generator that yields wherever the kernel lets go of the bucket lock, and is
sent what happened there together with the table as it is by then. One text so serves fuzzing, replay, and a search that
runs the generator again with every script of replies. A scheme knows neither histories nor verdicts.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable
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


AnyScheme: TypeAlias = Scheme[Any]
