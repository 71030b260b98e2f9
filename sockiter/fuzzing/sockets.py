"""The sockets of a sequence during its construction, and the possible next changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sockiter.claims import Hazard
from sockiter.fuzzing.limits import Room
from sockiter.operations import Add, Change, Rehash, Reinsert, Remove
from sockiter.shrink.edits import name_of


class Sockets:
    """The sockets in a target's tables, each with the name of its table, and the numbers of added and inserted sockets.

    `rolls_over`: insertions beyond the room's limit are allowed.
    """

    def __init__(self, room: Room, *, rolls_over: bool = False) -> None:
        self.room = room
        self.rolls_over = rolls_over
        self.tables: dict[str, str] = {}
        self.added = self.inserted = 0

    def __copy__(self) -> Sockets:
        clone = Sockets(self.room, rolls_over=self.rolls_over)
        clone.tables, clone.added, clone.inserted = self.tables.copy(), self.added, self.inserted
        return clone

    @property
    def new_name(self) -> str:
        """The name of the next added socket."""
        return name_of(self.added)

    @property
    def with_tail(self) -> tuple[str, ...]:
        """The sockets in tables with a tail for reinsertion."""
        return tuple(name for name, table in self.tables.items() if self.room.reinserts_at_tail(table))

    @property
    def without_tail(self) -> tuple[str, ...]:
        """The other sockets."""
        return tuple(name for name, table in self.tables.items() if not self.room.reinserts_at_tail(table))

    @property
    def may_insert(self) -> bool:
        """Whether one more insertion is allowed."""
        most = self.room.insertions
        return most is None or self.rolls_over or self.inserted < most

    def may(self, kind: Hazard) -> bool:
        """Whether a change of this kind is possible."""
        match kind:
            case "remove":
                return bool(self.tables)
            case "reinsert" | "rehash":
                return bool(self.tables) and self.may_insert
        return self.may_insert

    def change(self, kind: Hazard, pick: Callable[[Sequence[Any]], Any]) -> Change:
        """A possible change of one kind; `pick` chooses among its options.

        It draws indices instead of making a strategy for the change. The options differ at every step, and a new strategy
        takes ten times as long as an index.
        """
        match kind:
            case "add-head":
                return Add(self.new_name, "head", pick(self.room.buckets))
            case "add-tail":
                return Add(self.new_name, "tail", pick(self.room.buckets_with_tail))
            case "remove":
                return Remove(pick(tuple(self.tables)))
            case "reinsert":
                if tailed := self.with_tail:
                    return Reinsert(pick(tailed), pick(("tail", "head")))
                return Reinsert(pick(tuple(self.tables)), "head")
        return Rehash(pick(tuple(self.tables)), pick(self.room.buckets))

    def carry_over(self, change: Change) -> None:
        """Apply a change."""
        match change:
            case Add(name, _, bucket):
                self.tables[name] = bucket.table
                self.added += 1
            case Rehash(name, bucket):
                self.tables[name] = bucket.table
            case Remove(name):
                del self.tables[name]
        self.inserted += type(change) is not Remove
