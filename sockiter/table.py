"""The socket table: buckets in order, each a list of sockets from head to tail.

All changes to a table are in this file. A table is a value: a change gives a new table, so that a search can keep every
earlier one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from sockiter.operations import Accept, Add, Bucket, Change, Close, Destroy, Rehash, Reinsert, Remove, has_tail

LARGE = 64
"""From this number of insertions on, sockets are looked up in an index by name instead of one by one."""


class Socket(NamedTuple):
    """A socket in its bucket: its name, and the index that the RFC's scheme gave it when it was inserted.

    A successor has the name of its predecessor, as it has its cookie. It has an index of its own at the head, and an
    `InheritedIndex` in its predecessor's place.
    """

    name: str
    idx: int


class InheritedIndex(int):
    """The index of a socket that took its predecessor's place, at the version `since`."""

    since: int

    @classmethod
    def of(cls, idx: int, since: int) -> InheritedIndex:
        inherited = cls(idx)
        inherited.since = since
        return inherited


Buckets: TypeAlias = tuple[tuple[Socket, ...], ...]
"""Buckets in the order of the walk, each from head to tail."""


class Succession(NamedTuple):
    """The last form of a socket with a successor, and the version at which that entered."""

    predecessor: Socket
    since: int


class Phase(NamedTuple):
    """A part of the walk, such as TCP's listening sockets or its established sockets.

    `name` is the table name in a `Bucket`. The phase has the buckets from `first` to below `end`.
    """

    name: str
    first: int
    end: int


class Table(NamedTuple):
    """The buckets in the order of the walk, one phase after the other.

    `ver` is the number of insertions so far. `removals` has the number of removals from each bucket. A move counts as both.
    `gone` has the removed sockets, as they were at their removal. `successors`: all successions so far, in order.
    """

    buckets: Buckets
    ver: int
    removals: tuple[int, ...]
    phases: tuple[Phase, ...]
    gone: tuple[Socket, ...] = ()
    successors: tuple[Succession, ...] = ()

    def after(self, change: Change) -> Table:
        """The table after a change; the same object if nothing changed, as after a move to the same bucket.

        An insertion raises `ver`, and gives the socket the idx -ver at the head or +ver at the tail. A move is an
        insertion at the head, and so is every insertion into a table without tails. A successor enters at the head. An
        unknown bucket raises IndexError,
        and an unknown socket KeyError. Sequences that `operations.check` accepts, in their `backend.shape_of`, cause
        neither.
        """
        buckets, ver, removals, phases, gone, successors = self
        if type(change) is Add:
            number = self.number(change.bucket)
            buckets = _inserted(buckets, number, change.name, change.end == "head", ver + 1)
            table = Table(buckets, ver + 1, removals, phases, gone, successors)
            return table if ver < LARGE else _followed(self, table, change, number)
        name = change.name
        number, position = self.where(name)
        bucket = buckets[number]
        kind = type(change)
        to = self.number(change.bucket) if type(change) is Rehash else number
        if kind is Rehash and to == number:
            return self
        if kind is Close or kind is Accept:
            successors = (*successors, Succession(bucket[position], ver + 1))
        buckets = _replaced(buckets, number, bucket[:position] + bucket[position + 1 :])
        removals = (*removals[:number], removals[number] + 1, *removals[number + 1 :])
        if kind is Remove or kind is Destroy:
            table = Table(buckets, ver, removals, phases, (*gone, bucket[position]), successors)
            return table if ver < LARGE else _followed(self, table, change, number)
        at_head = type(change) is not Reinsert or change.end == "head" or not self._has_tail(number)
        buckets = _inserted(buckets, to, name, at_head, ver + 1)
        table = Table(buckets, ver + 1, removals, phases, gone, successors)
        return table if ver < LARGE else _followed(self, table, change, to)

    def succeeded_in_place(self, change: Close | Accept) -> Table:
        """The table after a successor took the place of its predecessor, instead of the head of the bucket."""
        name = change.name
        number, position = self.where(name)
        bucket = self.buckets[number]
        ver = self.ver + 1
        successor = Socket(name, InheritedIndex.of(bucket[position].idx, ver))
        buckets = _replaced(self.buckets, number, (*bucket[:position], successor, *bucket[position + 1 :]))
        successors = (*self.successors, Succession(bucket[position], ver))
        # The index by name, if there is one, does not follow this change; the next use makes a new one.
        return self._replace(buckets=buckets, ver=ver, successors=successors)

    def is_succeeded(self, socket: Socket) -> bool:
        """Whether a socket, as an iterator holds it, has a successor and is in the table no more."""
        return self._predecessor(socket) is not None

    def number(self, bucket: Bucket) -> int:
        """The position of a bucket in the walk, from 0; a bucket without a table name belongs to the first phase."""
        for phase in self.phases:
            if not bucket.table or bucket.table == phase.name:
                if (number := phase.first + bucket.number) < phase.end:
                    return number
                break
        raise IndexError(bucket)

    def first_filled(self, bucket: int) -> int:
        """The position in the walk of the first non-empty bucket from `bucket` on; behind the last bucket if all are
        empty."""
        buckets = self.buckets
        while bucket < len(buckets) and not buckets[bucket]:
            bucket += 1
        return bucket

    def buckets_of(self, phase: int) -> Buckets:
        """The buckets of one phase, by its number from 0."""
        _, first, end = self.phases[phase]
        return self.buckets[first:end]

    def where(self, name: str) -> tuple[int, int]:
        """The position in the walk of a socket's bucket, and the socket's position there from the head; KeyError if
        missing."""
        if self.ver >= LARGE:
            number, socket = _LATEST.of(self).present[name]
            return number, _position(self.buckets[number], socket)
        for number, bucket in enumerate(self.buckets):
            for position, socket in enumerate(bucket):
                if socket.name == name:
                    return number, position
        raise KeyError(name)

    def places(self) -> dict[str, Bucket]:
        """The bucket of each socket; buckets of the first table have no table name."""
        places = {}
        for nth, (table, first, end) in enumerate(self.phases):
            for number in range(first, end):
                if sockets := self.buckets[number]:
                    bucket = Bucket(number - first, table if nth else "")
                    for name, _ in sockets:
                        places[name] = bucket
        return places

    def has(self, name: str) -> bool:
        """Whether a socket is in the table."""
        if self.ver >= LARGE:
            return name in _LATEST.of(self).present
        return any(socket.name == name for bucket in self.buckets for socket in bucket)

    def now(self, socket: Socket) -> Socket:
        """The present form of a socket in the table; its last form if it has left the table, or has a successor."""
        if self.successors and (predecessor := self._predecessor(socket)) is not None:
            return predecessor
        if self.ver >= LARGE:
            names = _LATEST.of(self)
            return names.present[socket.name][1] if socket.name in names.present else names.gone.get(socket.name, socket)
        for sockets in (*self.buckets, self.gone):
            for candidate in sockets:
                if candidate.name == socket.name:
                    return candidate
        return socket

    def _predecessor(self, socket: Socket) -> Socket | None:
        # The last form of a socket that has a successor.
        entered = socket.idx.since if isinstance(socket.idx, InheritedIndex) else abs(socket.idx)
        for predecessor, since in self.successors:
            if predecessor.name == socket.name and entered < since:
                return predecessor
        return None

    def _has_tail(self, number: int) -> bool:
        return all(has_tail(name) for name, first, end in self.phases if first <= number < end)

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names in each bucket from head to tail."""
        return tuple(tuple(socket.name for socket in bucket) for bucket in self.buckets)


def empty(phases: Iterable[tuple[str, int]]) -> Table:
    """A table without sockets: the phases in the order of the walk, each with its name and number of buckets."""
    made: list[Phase] = []
    end = 0
    for name, buckets in phases:
        made.append(Phase(name, end, end + buckets))
        end += buckets
    return Table(((),) * end, 0, (0,) * end, tuple(made))


# Adding tuples takes a quarter of the time of unpacking them into a new tuple, if they are long.


def _inserted(buckets: Buckets, number: int, name: str, at_head: bool, ver: int) -> Buckets:
    bucket = buckets[number]
    if at_head:
        return _replaced(buckets, number, (Socket(name, -ver),) + bucket)  # noqa: RUF005
    return _replaced(buckets, number, bucket + (Socket(name, ver),))  # noqa: RUF005


def _replaced(buckets: Buckets, number: int, bucket: tuple[Socket, ...]) -> Buckets:
    return buckets[:number] + (bucket,) + buckets[number + 1 :]  # noqa: RUF005


def _position(bucket: tuple[Socket, ...], socket: Socket) -> int:
    # A bucket that only `Table.after` has changed is sorted by index.
    position = bisect_left(bucket, socket.idx, key=itemgetter(1))
    return position if bucket[position : position + 1] == (socket,) else bucket.index(socket)


class _Names:
    # An index of a table's sockets by name: the present sockets with the position of their bucket in the walk, and the
    # gone ones.

    def __init__(self, table: Table) -> None:
        self.table = table
        self.present = {socket.name: (number, socket) for number, bucket in enumerate(table.buckets) for socket in bucket}
        self.gone = {socket.name: socket for socket in table.gone}

    def follow(self, table: Table, change: Change, number: int) -> None:
        # Update the index to the table after a change in this bucket.
        name = change.name
        self.table = table
        if type(change) is Remove or type(change) is Destroy:
            self.gone[name] = self.present.pop(name)[1]
        else:
            bucket = table.buckets[number]
            self.present[name] = number, bucket[0] if bucket[0].name == name else bucket[-1]


class _Latest(threading.local):
    # The index of the most recent table. It follows that table's changes, so that a long iteration builds the index once.

    def __init__(self) -> None:
        self.names: _Names | None = None

    def of(self, table: Table) -> _Names:
        names = self.names
        if names is None or names.table is not table:
            self.names = names = _Names(table)
        return names


_LATEST = _Latest()


def _followed(before: Table, table: Table, change: Change, number: int) -> Table:
    names = _LATEST.names
    if names is not None and names.table is before:
        names.follow(table, change, number)
    return table
