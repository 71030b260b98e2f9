"""Turns a path through the transition system, which has no socket names, into the operations of a case.

The module chooses the names of the sockets, the number of records of each read, and the points of changes inside a read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sockiter.check.effects import Opening, Shift, Transition, Turns
from sockiter.check.monitor import Mode
from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.errors import Unsound
from sockiter.operations import (
    Add,
    Again,
    At,
    Change,
    Fail,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
)
from sockiter.readers import Reader
from sockiter.shrink.edits import name_of, renamed


class PathStep(NamedTuple):
    """A step of a path: its first state, its transition, and the mode of the read."""

    state: SystemState
    transition: Transition
    mode: Mode


def to_operations(path: Iterable[PathStep], reader: Reader | None = None) -> tuple[Operation, ...]:
    """The operations for a path from the empty table, ending in a `read all`, or in a `walk` of a silent reader; sockets are
    named in the order of their adds."""
    builder = OperationsBuilder()
    if reader is not None:
        builder.is_silent, builder.destroys = reader.silent, reader.destroys
    for step in path:
        builder.add(*step)
    builder.finish()
    return tuple(builder.operations)


class Unmerged(TransitionSystem):
    """A transition system that merges no states, to follow a path with the names that the sockets have on it."""

    def _number(self, state: SystemState) -> int:
        self.states.append(state)
        return len(self.states) - 1

    def followed(self, path: Iterable[PathStep], states: Sequence[SystemState]) -> Iterator[PathStep]:
        """The same steps without merged states; `states`: those of the system that the path is from."""
        number = 0
        for step in path:
            key = self._key(states[step.transition.to])
            of_step = step.transition[1:]
            step = step._replace(state=self.states[number])
            for transition in self._transitions(number):
                if transition[1:] == of_step and self._key(self.states[transition.to]) == key:
                    break
            else:
                raise Unsound(
                    f"{self.scheme.name}: the search merges different states; run `sockiter check --verify "
                    f"{self.scheme.name}` for details"
                )
            yield step._replace(transition=transition)
            number = transition.to

    def names(self, path: Iterable[PathStep]) -> list[str]:
        """The names of the added sockets, in the order of their additions."""
        added = [(step.transition.to, step.transition.effect) for step in path]
        return [
            [*self.states[to].where][effect.added] for to, effect in added if isinstance(effect, Shift) and effect.added >= 0
        ]

    def _transitions(self, number: int) -> list[Transition]:
        state = self.states[number]
        begun = self.begun(number) if state.is_open and not state.inside else []
        return [*self.labelled(number), *begun, *self.internal(number)]


def named_by_key(operations: Iterable[Operation], keys: Sequence[str]) -> tuple[Operation, ...]:
    """Operations whose sockets are named in the order of their adds, with names in the order of their keys instead."""
    names = {name_of(keys.index(key)): name_of(rank) for rank, key in enumerate(sorted(keys))}
    return tuple([renamed(operation, names) for operation in operations])


@dataclass(slots=True)
class OperationsBuilder:
    """Collects the operations of a path, step by step. A read is added when it is over, or by `finish`.

    `names`: the names of the sockets in the table, by position.
    """

    is_silent: bool = False
    # Of the current operation, or the last one.
    destroys: bool = False
    operations: list[Operation] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    # The number of added sockets.
    added: int = 0
    # The current operation: the changes inside it, and the counts of its points; None: there is no current operation.
    inside: list[At] | None = None
    turns: int = 0
    looks: int = 0
    allocations: int = 0
    # The records of the current read(2), and the records that a failed read left behind, or that are in the next message.
    records: int = 0
    left: int = 0
    # Of a message of a dump, the records that the current read returned.
    taken: int = 0
    mode: Mode = "one"
    # Whether the last read was refused for want of room, so that a larger one would not be.
    lacked_room: bool = False

    def add(self, state: SystemState, transition: Transition, mode: Mode) -> None:
        effect = transition.effect
        if isinstance(effect, Shift):
            if transition.label is None:
                self._destroyed(effect)
                return
            assert isinstance(transition.label, Change)
            change = self._named(transition.label, effect)
            if self.inside is None:
                self.operations.append(change)
            else:
                self.inside.append(self._at(state, change))
        elif isinstance(effect, Turns):
            if mode != "on":
                self.inside, self.turns, self.looks, self.allocations, self.mode = [], 0, 0, 0, mode
                self.destroys = transition.label == "read destroying"
            self._read(state, transition, effect)
        else:
            self.operations.append(Open() if isinstance(effect, Opening) else Again())
            self.left = len(effect.shown)

    def finish(self) -> None:
        if self.inside is not None:
            self.operations.append(self._made(Read(None, tuple(self.inside))))
            return
        last = self.operations[-1]
        if isinstance(last, Read) and not self.lacked_room:
            self.operations[-1] = self._made(Read(None, last.at))
        else:
            self.operations.append(self._made(Read(None)))

    def _made(self, read: Read) -> Read:
        return replace(read, silent=self.is_silent, destroying=self.destroys)

    def _destroyed(self, effect: Shift) -> None:
        self.names = [name for name, to in zip(self.names, effect.to, strict=True) if to >= 0]

    def _named(self, label: Change, effect: Shift) -> Change:
        # A label refers to a socket by its position.
        match label:
            case Add(_, end, bucket, properties):
                change: Change = Add(name_of(self.added), end, bucket, properties)
                self.added += 1
            case Remove(position):
                change = Remove(self.names[int(position)])
            case Reinsert(position, end):
                change = Reinsert(self.names[int(position)], end)
            case Rehash(position, bucket):
                change = Rehash(self.names[int(position)], bucket)
            case _:
                change = type(label)(self.names[int(label.name)])
        now = {to: name for name, to in zip(self.names, effect.to, strict=True) if to >= 0}
        if effect.added >= 0:
            now[effect.added] = change.name
        self.names = [now[position] for position in range(len(now))]
        return change

    def _at(self, state: SystemState, change: Change | Fail) -> At:
        assert state.inside is not None
        before = {"show": self.turns, "bucket": self.looks, "realloc": self.allocations}
        return At(state.inside, before[state.inside] + 1, change)

    def _read(self, state: SystemState, transition: Transition, effect: Turns) -> None:
        assert self.inside is not None
        if transition.label == "fail":
            self.inside.append(self._at(state, Fail()))
        self.turns += effect.turns
        self.looks += effect.looks
        self.allocations += effect.allocations
        self.records += len(effect.shown)
        self.taken = effect.taken or self.taken
        if not effect.over:
            return
        # The smallest number of records with which the read does not stop earlier.
        count = self.records if effect.fresh else self.records + 1
        if effect.handed:
            count = self.taken or self.left
        self.lacked_room = effect.stops and effect.refused
        is_end = not (self.records or effect.refused or effect.handed)
        self.left = self.records if effect.refused or effect.handed else 0
        self.records = self.taken = 0
        if self.is_silent:
            # One read(2) of a silent reader ends with an error or at the end.
            if self.mode == "one" or not effect.refused:
                read = Read(None, tuple(self.inside), gives_up=effect.refused)
                self.operations.append(self._made(read))
                self.inside = None
        elif self.mode == "one" or is_end:
            self.operations.append(self._made(Read(count if self.mode == "one" else None, tuple(self.inside))))
            self.inside = None
