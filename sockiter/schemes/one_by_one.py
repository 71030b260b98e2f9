"""A base class for schemes without a batch, which take sockets one by one: such a scheme implements `after(place,
table)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from sockiter.schemes.scheme import BETWEEN, ONE_TABLE, Between, Done, Show, by_position
from sockiter.table import Socket, Table

P = TypeVar("P", bound=Hashable)


class Found(NamedTuple, Generic[P]):
    """The next socket, and the place behind it."""

    socket: Socket
    behind: P


class Further(NamedTuple, Generic[P]):
    """No socket here; the walk releases its lock and continues from this place."""

    place: P


class State(NamedTuple, Generic[P]):
    """`place`: behind the last shown socket."""

    place: P


class Showing(NamedTuple, Generic[P]):
    """The socket behind `place` is about to be shown; the next place is `behind`."""

    place: P
    socket: Socket
    behind: P

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


class Looking(NamedTuple, Generic[P]):
    """No lock is held; the walk is about to continue from `place`."""

    place: P

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class OneByOne(ABC, Generic[P]):
    """A scheme without a batch; `start` is its place before the first socket."""

    tables: tuple[str, ...] = ONE_TABLE
    start: P

    @abstractmethod
    def after(self, place: P, table: Table) -> Found[P] | Further[P] | None:
        """The socket behind a place, with the place behind that socket; None at the end of the table.

        `Further` where the walk releases its lock before it continues.
        """

    def between_reads(self, place: P) -> P:
        """The part of a place that the iterator remembers between reads: all of it, unless overridden."""
        return place

    def end(self, place: P, table: Table) -> P:
        """The place at the end of the table, where nothing is behind this place: the same place, unless overridden."""
        return place

    def open(self, slots: int, table: Table) -> State[P]:
        return State(self.start)

    def begin(self, state: State[P], table: Table) -> Showing[P] | Looking[P] | Done[State[P]]:
        return self._from(state.place, table)

    def resume(
        self, waiting: Showing[P] | Looking[P], granted: bool, table: Table
    ) -> Showing[P] | Looking[P] | Done[State[P]]:
        if isinstance(waiting, Looking):
            return self._from(waiting.place, table)
        return self._from(waiting.behind, table) if granted else self._done(waiting.place)

    canonical = staticmethod(by_position)

    def place(self, state: State[P]) -> str:
        return str(state.place)

    def _from(self, place: P, table: Table) -> Showing[P] | Looking[P] | Done[State[P]]:
        match self.after(place, table):
            case Found(socket, behind):
                return Showing(place, socket, behind)
            case Further(further):
                return Looking(further)
        return self._done(self.end(place, table))

    def _done(self, place: P) -> Done[State[P]]:
        return Done(State(self.between_reads(place)))
