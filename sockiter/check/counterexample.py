"""From the steps of a search, which name nobody, back to operations.

Decided here: who is who, how many records a read is for, and which point of a read something happens at. Not known here: how
the steps were come by, and what they prove.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sockiter.check.monitor import Mode
from sockiter.check.transitions import Moment, Shift, Step, Turns
from sockiter.operations import Add, At, Change, Fail, Open, Operation, Read, Rehash, Reinsert, Remove
from sockiter.shrink.edits import name_of


class Told(NamedTuple):
    """A step that was taken: from which moment, and how it is read."""

    moment: Moment
    step: Step
    mode: Mode


def retold(path: Iterable[Told]) -> tuple[Operation, ...]:
    """The operations for a path from the empty table on, ending in a `read all`; the sockets' names are in the order of
    their adds."""
    story = _Story()
    for told in path:
        story.tell(*told)
    story.end()
    return tuple(story.operations)


@dataclass(slots=True)
class _Story:
    operations: list[Operation] = field(default_factory=list)
    # Who is where, by position; how many were ever added.
    names: list[str] = field(default_factory=list)
    added: int = 0
    # The operation under way: what is inside it, and how far its points are counted; None: there is none.
    inside: list[At] | None = None
    turns: int = 0
    looks: int = 0
    allocations: int = 0
    # The read(2) under way: its records; and those that one which failed has left.
    records: int = 0
    left: int = 0
    mode: Mode = "one"

    def tell(self, moment: Moment, step: Step, mode: Mode) -> None:
        what = step.effect
        if isinstance(what, Shift):
            assert isinstance(step.line, Change)
            change = self._named(step.line, what)
            if self.inside is None:
                self.operations.append(change)
            else:
                self.inside.append(self._at(moment, change))
        elif isinstance(what, Turns):
            if mode != "on":
                self.inside, self.turns, self.looks, self.allocations, self.mode = [], 0, 0, 0, mode
            self._read(moment, step, what)
        else:
            self.operations.append(Open())

    def end(self) -> None:
        if self.inside is not None:
            self.operations.append(Read(None, tuple(self.inside)))
            return
        last = self.operations[-1]
        if isinstance(last, Read):
            self.operations[-1] = Read(None, last.at)
        else:
            self.operations.append(Read(None))

    def _named(self, line: Change, what: Shift) -> Change:
        # A line names a socket by its position.
        match line:
            case Add(_, end, bucket):
                change: Change = Add(name_of(self.added), end, bucket)
                self.added += 1
            case Remove(position):
                change = Remove(self.names[int(position)])
            case Reinsert(position, end):
                change = Reinsert(self.names[int(position)], end)
            case _:
                change = Rehash(self.names[int(line.name)], line.bucket)
        now = {to: name for name, to in zip(self.names, what.to, strict=True) if to >= 0}
        if what.added >= 0:
            now[what.added] = change.name
        self.names = [now[position] for position in range(len(now))]
        return change

    def _at(self, moment: Moment, what: Change | Fail) -> At:
        assert moment.inside is not None
        before = {"show": self.turns, "bucket": self.looks, "realloc": self.allocations}
        return At(moment.inside, before[moment.inside] + 1, what)

    def _read(self, moment: Moment, step: Step, what: Turns) -> None:
        assert self.inside is not None
        if step.line == "fail":
            self.inside.append(self._at(moment, Fail()))
        self.turns += what.turns
        self.looks += what.looks
        self.allocations += what.allocations
        self.records += len(what.shown)
        if not what.over:
            return
        # For so many records that it does not stop before this.
        count = self.records if what.fresh else self.records + 1
        if what.handed:
            count = self.left
        is_end = not (self.records or what.refused or what.handed)
        self.left = self.records if what.refused else 0
        self.records = 0
        if self.mode == "one" or is_end:
            self.operations.append(Read(count if self.mode == "one" else None, tuple(self.inside)))
            self.inside = None
