"""States of a table and an iterator over it, as values; `transitions` leads from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from sockiter.check.effects import Shift
from sockiter.operations import Change, Life, Point
from sockiter.schemes.scheme import Grow, Show, Where
from sockiter.table import Table

Lives: TypeAlias = Mapping[str, Life]
NO_LIVES: Lives = MappingProxyType({})


class Record(NamedTuple):
    """A record of a dump: the name of its socket, and the position of the bucket in which that was shown."""

    name: str
    bucket: int


class Messages(NamedTuple):
    """The records of a dump: the rest of the message that is read, and the next message.

    `due`: records that were returned, and whose sockets are to be destroyed.
    """

    rest: tuple[Record, ...] = ()
    filled: tuple[Record, ...] = ()
    due: tuple[Record, ...] = ()


NO_MESSAGES = Messages()


class Layout(Where):
    """The positions in a table, with all that follows from the table alone: states with this table share it.

    `lengths`: of the buckets. `names`: of the sockets, by position. `behind`: changes, with the layouts that they lead to
    and their effects; states with the same table make each change once.
    """

    __slots__ = ("behind", "lengths", "names", "table")

    def __init__(self, table: Table, sockets: int) -> None:
        super().__init__(table, sockets)
        self.table = table
        self.lengths = tuple([len(bucket) for bucket in table.buckets])
        self.names = list(self)
        self.behind: dict[tuple[PossibleChange, str], tuple[Change, Layout, Shift]] = {}


class SystemState:
    """A state of the table and the iterator: before open, between two reads, or inside a waiting read.

    `at`: the scheme's state or waiting value, None before open. `inside`: the point of a waiting read; `request`: its
    request. `left`: records of a failed read, or the next message of a dump, are still to be returned. `fresh`: the last
    turn of this read made a record. `where`: the positions of the sockets. `destroying`: the current operation destroys each
    socket that it shows. `current`: the socket that was just shown, to be destroyed next ("due") or destroyed ("gone").
    `second`: in the second pass. `lives`: of the sockets that cannot change as others do. `messages`: of a dump whose reader
    can destroy sockets.
    """

    __slots__ = (
        *("at", "current", "destroying", "fresh", "inside", "left", "lives", "messages", "request", "second", "table"),
        "where",
    )

    def __init__(
        self,
        where: Layout,
        at: Any,
        *,
        left: bool = False,
        inside: Point | None = None,
        request: Show | Grow | None = None,
        fresh: bool = False,
        destroying: bool = False,
        current: Literal["", "due", "gone"] = "",
        second: bool = False,
        lives: Lives = NO_LIVES,
        messages: Messages = NO_MESSAGES,
    ) -> None:
        self.table = where.table
        self.where = where
        self.at = at
        self.left = left
        self.inside = inside
        self.request = request
        self.fresh = fresh
        self.destroying = destroying
        self.current = current
        self.second = second
        self.lives = lives
        self.messages = messages

    def after(self, at: Any, **others: Any) -> SystemState:
        """A state behind this one, between two reads or inside one, with the same table."""
        return SystemState(self.where, at, second=self.second, lives=self.lives, **others)

    @property
    def is_open(self) -> bool:
        return self.at is not None


class PossibleChange:
    """A change of all tables whose buckets have some lengths: its type, the position of its socket (-1: a new one), and its
    arguments behind the name. `gap`: of a new socket's key. `effect`: None until it was computed."""

    __slots__ = ("arguments", "effect", "gap", "kind", "label", "position")

    def __init__(self, kind: Any, position: int, arguments: tuple[Any, ...] = (), gap: str = "") -> None:
        self.gap = gap
        self.kind = kind
        self.position = position
        self.arguments = arguments
        self.label: Change = kind(gap if position < 0 else str(position), *arguments)
        self.effect: Shift | None = None
