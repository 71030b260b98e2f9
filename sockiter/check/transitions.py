"""The transition system of a table and an iterator over it, modulo the names of the sockets.

Models the same read(2) frame of the kernel as `simulation`, one transition at a time. A change during a waiting read is
an ordinary transition, so any number of changes may happen there. Sockets differ by their positions, and the scheme's
canonical form (`Canonical`) adds everything else that matters; states with equal forms are merged. The scheme's own step
functions make every new state, and the state is kept with its table and its value.

Not known here: earlier deliveries, and the sockets that must still be delivered.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Literal, NamedTuple

from sockiter.claims import HAZARD_OF, HAZARDS, INSERTIONS_MAX, Hazard
from sockiter.errors import Unsearchable
from sockiter.operations import Add, Bucket, Change, End, Point, Rehash, Reinsert, Remove, has_tail
from sockiter.schemes.scheme import AnyScheme, Between, Done, Grow, Show, Waiting, Where
from sockiter.simulation import RECORDS_MAX
from sockiter.table import Table, empty


class Shift(NamedTuple):
    """A change, in terms of positions in the table, from 0, over all buckets.

    `to`: the new position of each present socket (-1: it is removed). `added`: the position of a new socket. `moved`: the
    former position of a moved socket. -1 stands for none in both. `near`: for each present socket, whether the change
    touched its bucket.
    """

    to: tuple[int, ...]
    added: int = -1
    moved: int = -1
    before_open: bool = False
    near: tuple[bool, ...] = ()


class Turns(NamedTuple):
    """A read, or a part of one: the shown sockets by position, and the numbers of turns, looks and allocations.

    `turns` includes the turns of removed sockets, and `looks` counts visited buckets. `over`: the read returns; without a
    record and without an error, it returned the end. `stops`: it returns because it has all its records. `fresh`: its
    last turn made a record. `refused`: it returns an error, and `left` its records, if it has any. `handed`: it only
    returned the records of a failed read.
    """

    shown: tuple[int, ...] = ()
    turns: int = 0
    looks: int = 0
    allocations: int = 0
    over: bool = False
    stops: bool = False
    fresh: bool = False
    refused: bool = False
    left: bool = False
    handed: bool = False


class Opening(NamedTuple):
    """The iterator is opened."""


class Transition(NamedTuple):
    """A transition to the state with the number `to`. `label`: its line in a case, by position; None: it has no line.

    A `Change` in a label refers to a socket by its position, written as a number; an added socket has no name.
    """

    to: int
    effect: Shift | Turns | Opening
    label: Change | Literal["open", "read", "fail"] | None


class SystemState:
    """A state of the table and the iterator: before open, between two reads, or inside a waiting read.

    `at`: the scheme's state or waiting value, None before open. `inside`: the point of a waiting read; `request`: its
    request. `left`: records of a failed read are still to be returned. `fresh`: the last turn of this read made a record.
    `where`: the positions of the sockets.
    """

    __slots__ = ("at", "fresh", "inside", "left", "request", "table", "where")

    def __init__(
        self,
        table: Table,
        where: Where,
        at: Any,
        *,
        left: bool = False,
        inside: Point | None = None,
        request: Show | Grow | None = None,
        fresh: bool = False,
    ) -> None:
        self.table = table
        self.where = where
        self.at = at
        self.left = left
        self.inside = inside
        self.request = request
        self.fresh = fresh

    @property
    def is_open(self) -> bool:
        return self.at is not None


class TransitionSystem:
    """All states of a scheme under some hazards, with limits on the sockets at once and on the buckets of each table.

    States are numbered from 0, the empty table, in the order of their discovery.
    """

    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], sockets: int, buckets: int, batch: int) -> None:
        self.scheme = scheme
        self.states: list[SystemState] = []
        self._sockets = sockets
        self._batch = batch
        self._numbers: dict[Hashable, int] = {}
        self._hazards = hazards
        # Insertions are counted if versions could roll over and must not.
        self._insertions = INSERTIONS_MAX if "rollover" in scheme.hazards - hazards else None
        table = empty(tuple((name, buckets) for name in scheme.tables))
        # Buckets of the first table have no table name in a case.
        self._buckets = [
            Bucket(number - first, "" if nth == 0 else name)
            for nth, (name, first, end) in enumerate(table.phases)
            for number in range(first, end)
        ]
        self._has_tail = [has_tail(name) for name, first, end in table.phases for _ in range(first, end)]
        self._canonical = getattr(scheme, "canonical", literal)
        if self._insertions is not None:
            self._canonical = getattr(scheme, "canonical_in_order", self._canonical)
        self._number(SystemState(table, Where(table, sockets), None))

    def labelled(self, number: int) -> list[Transition]:
        """The transitions from a state that are lines of a case, except for the beginnings of reads."""
        state = self.states[number]
        transitions = list(self._changes(state))
        if not state.is_open:
            scheme_state = self.scheme.open(self._batch, state.table)
            if scheme_state is None:
                raise Unsearchable(f"{self.scheme.name}: `open` returned None: expected any other hashable value")
            opened = SystemState(state.table, state.where, scheme_state)
            transitions.append(Transition(self._number(opened), Opening(), "open"))
        elif state.inside == "realloc" and "enomem" in self._hazards:
            transitions += self._resumed(state, False, "fail")
        return transitions

    def internal(self, number: int) -> list[Transition]:
        """The transitions from a state that are no lines of a case. Before open there are none.

        A waiting read continues, or, between two reads, the next read begins. The last transition of a read runs on until
        the next point at which something can happen.
        """
        state = self.states[number]
        if not state.is_open:
            return []
        if state.inside is not None:
            return list(self._resumed(state, True, None))
        return list(self._begun(state))

    def _number(self, state: SystemState) -> int:
        key = self._key(state)
        number = self._numbers.setdefault(key, len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def _key(self, state: SystemState) -> Hashable:
        table, at = state.table, state.at
        # The frame knows the current socket, whether or not the scheme's form includes that socket.
        request = state.request
        return (
            (type(at), state.left, state.fresh),
            state.where[request.socket.name] if type(request) is Show else request is not None,
            tuple([len(bucket) for bucket in table.buckets]),
            self._canonical(at, table, state.where),
            self._insertions and table.ver,
        )

    def _changes(self, state: SystemState) -> Iterator[Transition]:
        if state.inside is not None and (
            HAZARD_OF[state.inside] not in self._hazards or (isinstance(state.request, Grow) and state.request.locked)
        ):
            return
        table = state.table
        # Before open, no operation counts as a hazard.
        on = self._hazards if state.is_open else frozenset(HAZARDS)
        may_insert = self._insertions is None or table.ver < self._insertions
        ends: tuple[End, End] = ("tail", "head")
        if may_insert and len(state.where) < self._sockets:
            new = f"s{table.ver}"
            for number, bucket in enumerate(self._buckets):
                for end in ends if self._has_tail[number] else ends[1:]:
                    if f"add-{end}" in on:
                        yield self._changed(state, Add(new, end, bucket), Add("", end, bucket), {number})
        of = [number for number, bucket in enumerate(table.buckets) for _ in bucket]
        for name, position in state.where.items():
            own = of[position]
            written = str(position)
            if "remove" in on:
                yield self._changed(state, Remove(name), Remove(written), {own})
            if not may_insert:
                continue
            if "reinsert" in on:
                for end in ends if self._has_tail[own] else ends[1:]:
                    yield self._changed(state, Reinsert(name, end), Reinsert(written, end), {own})
            if "rehash" in on:
                for number, bucket in enumerate(self._buckets):
                    if number != own:
                        yield self._changed(state, Rehash(name, bucket), Rehash(written, bucket), {own, number})

    def _changed(self, state: SystemState, change: Change, label: Change, touched: set[int]) -> Transition:
        table = state.table.after(change)
        where = Where(table, self._sockets)
        after = SystemState(
            table,
            where,
            state.at,
            left=state.left,
            inside=state.inside,
            request=state.request,
            fresh=state.fresh,
        )
        effect = Shift(
            tuple([where[name] for name in state.where]),
            where[change.name] if type(change) is Add else -1,
            state.where[change.name] if type(change) is Reinsert or type(change) is Rehash else -1,
            not state.is_open,
            tuple([number in touched for number, bucket in enumerate(state.table.buckets) for _ in bucket]),
        )
        return Transition(self._number(after), effect, label)

    def _begun(self, state: SystemState) -> Iterator[Transition]:
        if state.left:
            # The read only returns the records of a failed read.
            after = SystemState(state.table, state.where, state.at)
            yield Transition(self._number(after), Turns(over=True, handed=True), "read")
            return
        yield from self._runs(state, self.scheme.begin(state.at, state.table), Turns(), "read")

    def _resumed(self, state: SystemState, is_granted: bool, label: Literal["fail"] | None) -> Iterator[Transition]:
        turns = _answered(Turns(fresh=state.fresh), state.at.waits_for, state.where)
        yield from self._runs(state, self.scheme.resume(state.at, is_granted, state.table), turns, label)

    def _runs(
        self, state: SystemState, waiting: Waiting | Done[Any], turns: Turns, label: Literal["read", "fail"] | None
    ) -> Iterator[Transition]:
        # Continues a read to its next wait or its end, and also to every earlier point at which it may have all its records.
        table, where = state.table, state.where
        for _ in range(RECORDS_MAX):
            if isinstance(waiting, Done):
                yield from self._over(state, waiting, turns, label)
                return
            request = waiting.waits_for
            if type(request) is Show and turns.fresh:
                stopped = self.scheme.resume(waiting, False, table)
                if not isinstance(stopped, Done):
                    raise Unsearchable(f"{self.scheme.name} asks for {stopped.waits_for} after it was stopped")
                yield from self._over(state, stopped, turns._replace(stops=True), label)
            if (point := self._pause(request)) is not None:
                paused = SystemState(
                    table,
                    where,
                    waiting,
                    inside=point,
                    request=None if isinstance(request, Between) else request,
                    # A read that shows a socket certainly continues.
                    fresh=turns.fresh and point != "show",
                )
                yield Transition(self._number(paused), turns, label)
                return
            turns = _answered(turns, request, where)
            waiting = self.scheme.resume(waiting, True, table)
        raise Unsearchable(f"{self.scheme.name} makes more than {RECORDS_MAX} requests in a read")

    def _over(
        self, state: SystemState, done: Done[Any], turns: Turns, label: Literal["read", "fail"] | None
    ) -> Iterator[Transition]:
        scheme_state, error = done
        turns = turns._replace(refused=error is not None, over=True)
        if turns.refused:
            after = SystemState(state.table, state.where, scheme_state, left=True)
            yield Transition(self._number(after), turns._replace(left=True), label)
            if turns.shown:
                return
        yield Transition(self._number(SystemState(state.table, state.where, scheme_state)), turns, label)

    def _pause(self, request: object) -> Point | None:
        # The point at which a read waits, if something can happen there.
        hazards = self._hazards
        if isinstance(request, Show):
            return "show" if "show" in hazards else None
        if isinstance(request, Grow):
            return "realloc" if "enomem" in hazards or ("realloc" in hazards and not request.locked) else None
        return "bucket" if "between" in hazards else None


def literal(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of a scheme without its own: its whole state or waiting value, and the whole table.

    A search with this form is correct, but may never end.
    """
    form: Hashable = placed((at, table), where)
    return form


def placed(value: Any, where: Where) -> Any:
    """A value with positions in place of the names of sockets in the table; equal only for values of the same types.

    Raises `Unsearchable` for a value without such a form.
    """
    if isinstance(value, str):
        return (Where, where[value]) if value in where else value
    if isinstance(value, tuple):
        return (type(value), *[placed(part, where) for part in value])
    if isinstance(value, frozenset):
        return type(value), frozenset(placed(part, where) for part in value)
    if value is None or type(value) is int:
        return value
    if isinstance(value, (int, float, bytes)):
        return type(value), value
    raise Unsearchable(
        f"a {type(value).__name__} in a state or waiting value: expected numbers, strings, and tuples of them"
    )


def _answered(turns: Turns, request: object, where: Where) -> Turns:
    # A socket that has left the table has a turn, but makes no record.
    if isinstance(request, Show):
        position = where[request.socket.name]
        if position < 0:
            return turns._replace(turns=turns.turns + 1, fresh=False)
        return turns._replace(turns=turns.turns + 1, fresh=True, shown=(*turns.shown, position))
    if isinstance(request, Grow):
        return turns._replace(allocations=turns.allocations + 1)
    return turns._replace(looks=turns.looks + 1)
