"""The sockets of a sequence during its construction, and the possible next changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sockiter.claims import Hazard
from sockiter.fuzzing.limits import Room
from sockiter.operations import (
    FIRST,
    Accept,
    Add,
    Change,
    Close,
    Destroy,
    Life,
    Rehash,
    Reinsert,
    Remove,
    prevents,
    update_lives,
)
from sockiter.shrink.edits import name_of

NAMES_DRAWN = 3
"""The number of names that a new socket may have, where the order of names counts."""

# A change of each kind to a socket; whether it is possible depends only on the socket's life and table.
_CHANGES: dict[Hazard, Change] = {
    "reinsert": Reinsert("", "head"),
    "rehash": Rehash("", FIRST),
    "close": Close(""),
    "accept": Accept(""),
}


class Sockets:
    """The sockets in a target's tables, each with the name of its table, and the numbers of added and inserted sockets.

    `rolls_over`: insertions beyond the room's limit are allowed. `lives`: of the sockets that cannot change as others do.
    A socket that a destroying read destroyed is still among the sockets: a change to it has no effect.
    """

    def __init__(self, room: Room, *, rolls_over: bool = False) -> None:
        self.room = room
        self.rolls_over = rolls_over
        self.tables: dict[str, str] = {}
        self.lives: dict[str, Life] = {}
        self.added = self.inserted = 0
        # If the order of names counts: all names so far.
        self.used: frozenset[str] = frozenset()

    def __copy__(self) -> Sockets:
        clone = Sockets(self.room, rolls_over=self.rolls_over)
        clone.tables, clone.lives = self.tables.copy(), self.lives.copy()
        clone.added, clone.inserted, clone.used = self.added, self.inserted, self.used
        return clone

    @property
    def new_names(self) -> tuple[str, ...]:
        """The possible names of the next added socket, the usual one first; some, if the order of names counts."""
        if not self.room.has_keys:
            return (name_of(self.added),)
        names = (name_of(number) for number in range(self.added + NAMES_DRAWN))
        return tuple(name for name in names if name not in self.used)

    @property
    def with_tail(self) -> tuple[str, ...]:
        """The sockets that can be reinserted, in tables with a tail for that."""
        return tuple(name for name in self.able("reinsert") if self.room.reinserts_at_tail(self.tables[name]))

    @property
    def without_tail(self) -> tuple[str, ...]:
        """The other sockets that can be reinserted."""
        return tuple(name for name in self.able("reinsert") if not self.room.reinserts_at_tail(self.tables[name]))

    @property
    def may_insert(self) -> bool:
        """Whether one more insertion is allowed."""
        most = self.room.insertions
        return most is None or self.rolls_over or self.inserted < most

    def able(self, kind: Hazard) -> tuple[str, ...]:
        """The sockets that can change in this way."""
        names = tuple(self.tables)
        if kind == "close":
            names = tuple(name for name in names if self.room.connects(self.tables[name]))
        if kind == "accept" or (self.lives and kind in _CHANGES):
            change = _CHANGES[kind]
            names = tuple(name for name in names if not prevents(self.lives.get(name), change))
        if kind == "rehash" and not self._may_move_bound:
            names = tuple(name for name in names if self.lives.get(name) != "bound")
        return names

    @property
    def _may_move_bound(self) -> bool:
        # A bound socket that moved may return when it is destroyed: two insertions.
        most = self.room.insertions
        return most is None or self.rolls_over or self.inserted + 1 < most

    def may(self, kind: Hazard) -> bool:
        """Whether a change of this kind is possible."""
        match kind:
            case "add-head" | "add-tail":
                return self.may_insert
            case "remove" | "destroy":
                return bool(self.tables)
        return self.may_insert and bool(self.able(kind))

    def change(self, kind: Hazard, pick: Callable[[Sequence[Any]], Any]) -> Change:
        """A possible change of one kind; `pick` chooses among its options.

        It draws indices instead of making a strategy for the change. The options differ at every step, and a new strategy
        takes ten times as long as an index.
        """
        match kind:
            case "add-head":
                return Add(self._name(pick), "head", pick(self.room.buckets))
            case "add-tail":
                return Add(self._name(pick), "tail", pick(self.room.buckets_with_tail))
            case "remove":
                return Remove(pick(tuple(self.tables)))
            case "destroy":
                return Destroy(pick(tuple(self.tables)))
            case "close":
                return Close(pick(self.able(kind)))
            case "accept":
                return Accept(pick(self.able(kind)))
            case "reinsert":
                if tailed := self.with_tail:
                    return Reinsert(pick(tailed), pick(("tail", "head")))
                return Reinsert(pick(self.able(kind)), "head")
        return Rehash(pick(self.able(kind)), pick(self.room.buckets))

    def _name(self, pick: Callable[[Sequence[Any]], Any]) -> str:
        names = self.new_names
        name: str = pick(names) if len(names) > 1 else names[0]
        return name

    def carry_over(self, change: Change) -> None:
        """Apply a change."""
        name = change.name
        life = self.lives.get(name)
        match change:
            case Add(name, _, bucket):
                self.tables[name] = bucket.table
                self.added += 1
                if self.room.has_keys:
                    self.used |= {name}
            case Rehash(name, bucket):
                self.tables[name] = bucket.table
                self.inserted += life == "bound"
            case Remove() | Destroy() if type(change) is Remove or life != "bound":
                del self.tables[name]
                self.lives.pop(name, None)
        update_lives(self.lives, change)
        self.inserted += not isinstance(change, (Remove, Destroy))
