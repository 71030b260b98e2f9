"""The socket table: buckets in order, each a list of sockets from head to tail.

All changes to a table are in this file. A table is a value: a change gives a new one, so that a search can keep every
table it has been at. Not known here: who walks it, and what has been seen.
"""

from __future__ import annotations

from typing import NamedTuple

from sockiter.operations import Add, Change, Rehash, Reinsert, Remove


class Socket(NamedTuple):
    """A socket in its bucket: its name, and the index that the RFC's scheme gave it when it was inserted."""

    name: str
    idx: int


class Table(NamedTuple):
    """The buckets in the order of the walk, and `ver`, the number of insertions so far."""

    buckets: tuple[tuple[Socket, ...], ...]
    ver: int = 0

    def after(self, change: Change) -> Table:
        """The table after a change; the very same one when nothing changed, as by a move to where the socket is.

        An insertion raises `ver` and gives the socket the idx -ver at the head and +ver at the tail; a move is an
        insertion at the head. A bucket that the table has not got is an IndexError, a socket that is not in it a
        KeyError: neither can come out of `operations.check` and `backend.shape_of`.
        """
        buckets, ver = self
        if type(change) is Add:
            return Table(_inserted(buckets, change.bucket.number, change.name, change.end == "head", ver + 1), ver + 1)
        number, position = self.where(change.name)
        bucket = buckets[number]
        if type(change) is Rehash and change.bucket.number == number:
            return self
        buckets = _replaced(buckets, number, bucket[:position] + bucket[position + 1 :])
        if type(change) is Remove:
            return Table(buckets, ver)
        if type(change) is Rehash:
            return Table(_inserted(buckets, change.bucket.number, change.name, True, ver + 1), ver + 1)
        assert type(change) is Reinsert
        return Table(_inserted(buckets, number, change.name, change.end == "head", ver + 1), ver + 1)

    def where(self, name: str) -> tuple[int, int]:
        """The number of the bucket that a socket is in, and its position there from the head; KeyError if it is in none."""
        for number, bucket in enumerate(self.buckets):
            for position, socket in enumerate(bucket):
                if socket.name == name:
                    return number, position
        raise KeyError(name)

    def has(self, name: str) -> bool:
        """Whether a socket is in the table."""
        return any(socket.name == name for bucket in self.buckets for socket in bucket)

    def now(self, socket: Socket) -> Socket:
        """The socket as it is by now; as it was when it is not in the table any more."""
        try:
            number, position = self.where(socket.name)
        except KeyError:
            return socket
        return self.buckets[number][position]

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names in each bucket from head to tail."""
        return tuple(tuple(socket.name for socket in bucket) for bucket in self.buckets)


def empty(buckets: int) -> Table:
    """A table of so many empty buckets."""
    return Table(((),) * buckets)


_Buckets = tuple[tuple[Socket, ...], ...]


def _inserted(buckets: _Buckets, number: int, name: str, at_head: bool, ver: int) -> _Buckets:
    bucket = buckets[number]
    return _replaced(buckets, number, (Socket(name, -ver), *bucket) if at_head else (*bucket, Socket(name, ver)))


def _replaced(buckets: _Buckets, number: int, bucket: tuple[Socket, ...]) -> _Buckets:
    return (*buckets[:number], bucket, *buckets[number + 1 :])
