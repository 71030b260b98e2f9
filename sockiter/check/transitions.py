"""A table and an iterator over it, with nobody named: the moments that there are, and what leads from one to the next.

Models the same frame of the kernel's read(2) as `simulation`, a step at a time: where a read waits inside, a change is a
step like any other, so that there is no end to what may happen there. Decided here: which moments are one and the same.
Sockets are told apart by where they are, and what else matters a scheme tells (`Canonical`). Every moment is reached once,
by the scheme's own step functions, and is kept with the real table and the real value that it was reached with. Not known
here: what was delivered before, and what is owed to whom.
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
    """A change, by position in the table from 0, over all buckets: where each socket that was there is now (-1: it is out),
    where one is that was not there before, and which was moved, by where it was (-1: none).

    `near`: whether each socket that was there was in a bucket that the change touched.
    """

    to: tuple[int, ...]
    added: int = -1
    moved: int = -1
    before_open: bool = False
    near: tuple[bool, ...] = ()


class Turns(NamedTuple):
    """A read, or a part of one: who was shown, by position; how many turns there were, with those of sockets that were gone,
    how many buckets were looked at, and how many allocations were made.

    `over`: the read is over with it, and said the end, if it had no record and returned no error. `stops`: it is over
    because it had all its records. `fresh`: its last turn made a record. `refused`: it returned an error, and `left` the
    records that it had, if it had any. `handed`: it did nothing but hand those out.
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


class Step(NamedTuple):
    """What leads to another moment: `line` is what stands for it in a case, by position; None: nothing does.

    A `Change` here names a socket by its position, written as a number; one that is added has no name."""

    to: int
    effect: Shift | Turns | Opening
    line: Change | Literal["open", "read", "fail"] | None


class Moment:
    """One moment: before open, between two reads, or inside one that waits.

    `at`: the scheme's state or waiting value, None before open. `inside`: the point at which a read waits, and `request`
    for what. `left`: records of a read that failed are still to be handed out. `fresh`: the last turn of this read made a
    record. `where`: the positions of the sockets.
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


class Skeleton:
    """All moments of a scheme under some hazards, with at most so many sockets at once, in so many buckets of each table.

    Moments are numbered from 0, the empty table, as they are met.
    """

    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], sockets: int, buckets: int, batch: int) -> None:
        self.scheme = scheme
        self.moments: list[Moment] = []
        self._sockets = sockets
        self._batch = batch
        self._numbers: dict[Hashable, int] = {}
        self._hazards = hazards
        # Where versions roll over and must not, insertions are counted.
        self._insertions = INSERTIONS_MAX if "rollover" in scheme.hazards - hazards else None
        table = empty(tuple((name, buckets) for name in scheme.tables))
        # The first table goes without a name in a case.
        self._buckets = [
            Bucket(number - first, "" if nth == 0 else name)
            for nth, (name, first, end) in enumerate(table.phases)
            for number in range(first, end)
        ]
        self._has_tail = [has_tail(name) for name, first, end in table.phases for _ in range(first, end)]
        self._canonical = getattr(scheme, "canonical", literal)
        if self._insertions is not None:
            self._canonical = getattr(scheme, "canonical_in_order", self._canonical)
        self._number(Moment(table, Where(table, sockets), None))

    def lines(self, number: int) -> list[Step]:
        """The steps from a moment that are lines of a case, but for reads that begin there."""
        moment = self.moments[number]
        steps = list(self._changes(moment))
        if not moment.is_open:
            state = self.scheme.open(self._batch, moment.table)
            if state is None:
                raise Unsearchable(f"{self.scheme.name}: `open` returned None: expected any other value that has a hash")
            opened = Moment(moment.table, moment.where, state)
            steps.append(Step(self._number(opened), Opening(), "open"))
        elif moment.inside == "realloc" and "enomem" in self._hazards:
            steps += self._resumed(moment, False, "fail")
        return steps

    def onwards(self, number: int) -> list[Step]:
        """The steps from a moment that no line stands for: a read that waits goes on, or, between two, the next one begins;
        the last of them as far as it can go with nothing in its way. Before open there are none."""
        moment = self.moments[number]
        if not moment.is_open:
            return []
        if moment.inside is not None:
            return list(self._resumed(moment, True, None))
        return list(self._begins(moment))

    def _number(self, moment: Moment) -> int:
        key = self._key(moment)
        number = self._numbers.setdefault(key, len(self.moments))
        if number == len(self.moments):
            self.moments.append(moment)
        return number

    def _key(self, moment: Moment) -> Hashable:
        table, at = moment.table, moment.at
        # The frame knows whose turn it is, whether or not the scheme's form includes that.
        request = moment.request
        return (
            (type(at), moment.left, moment.fresh),
            moment.where[request.socket.name] if type(request) is Show else request is not None,
            tuple([len(bucket) for bucket in table.buckets]),
            self._canonical(at, table, moment.where),
            self._insertions and table.ver,
        )

    def _changes(self, moment: Moment) -> Iterator[Step]:
        if moment.inside is not None and (
            HAZARD_OF[moment.inside] not in self._hazards or (isinstance(moment.request, Grow) and moment.request.locked)
        ):
            return
        table = moment.table
        # Before open nothing is a hazard.
        on = self._hazards if moment.is_open else frozenset(HAZARDS)
        may_insert = self._insertions is None or table.ver < self._insertions
        ends: tuple[End, End] = ("tail", "head")
        if may_insert and len(moment.where) < self._sockets:
            new = f"s{table.ver}"
            for number, bucket in enumerate(self._buckets):
                for end in ends if self._has_tail[number] else ends[1:]:
                    if f"add-{end}" in on:
                        yield self._changed(moment, Add(new, end, bucket), Add("", end, bucket), {number})
        of = [number for number, bucket in enumerate(table.buckets) for _ in bucket]
        for name, position in moment.where.items():
            here = of[position]
            written = str(position)
            if "remove" in on:
                yield self._changed(moment, Remove(name), Remove(written), {here})
            if not may_insert:
                continue
            if "reinsert" in on:
                for end in ends if self._has_tail[here] else ends[1:]:
                    yield self._changed(moment, Reinsert(name, end), Reinsert(written, end), {here})
            if "rehash" in on:
                for number, bucket in enumerate(self._buckets):
                    if number != here:
                        yield self._changed(moment, Rehash(name, bucket), Rehash(written, bucket), {here, number})

    def _changed(self, moment: Moment, change: Change, line: Change, touched: set[int]) -> Step:
        table = moment.table.after(change)
        where = Where(table, self._sockets)
        after = Moment(
            table,
            where,
            moment.at,
            left=moment.left,
            inside=moment.inside,
            request=moment.request,
            fresh=moment.fresh,
        )
        effect = Shift(
            tuple([where[name] for name in moment.where]),
            where[change.name] if type(change) is Add else -1,
            moment.where[change.name] if type(change) is Reinsert or type(change) is Rehash else -1,
            not moment.is_open,
            tuple([number in touched for number, bucket in enumerate(moment.table.buckets) for _ in bucket]),
        )
        return Step(self._number(after), effect, line)

    def _begins(self, moment: Moment) -> Iterator[Step]:
        if moment.left:
            # What is left is handed out, and nothing else is done.
            after = Moment(moment.table, moment.where, moment.at)
            yield Step(self._number(after), Turns(over=True, handed=True), "read")
            return
        yield from self._runs(moment, self.scheme.begin(moment.at, moment.table), Turns(), "read")

    def _resumed(self, moment: Moment, is_granted: bool, line: Literal["fail"] | None) -> Iterator[Step]:
        turns = _answered(Turns(fresh=moment.fresh), moment.at.waits_for, moment.where)
        yield from self._runs(moment, self.scheme.resume(moment.at, is_granted, moment.table), turns, line)

    def _runs(
        self, moment: Moment, step: Waiting | Done[Any], turns: Turns, line: Literal["read", "fail"] | None
    ) -> Iterator[Step]:
        # Goes on with a read to where it waits or is over, and besides to everywhere on the way where it may have all its
        # records.
        table, where = moment.table, moment.where
        for _ in range(RECORDS_MAX):
            if isinstance(step, Done):
                yield from self._over(moment, step, turns, line)
                return
            request = step.waits_for
            if type(request) is Show and turns.fresh:
                stopped = self.scheme.resume(step, False, table)
                if not isinstance(stopped, Done):
                    raise Unsearchable(f"{self.scheme.name} asks for {stopped.waits_for} after it was told to stop")
                yield from self._over(moment, stopped, turns._replace(stops=True), line)
            if (point := self._pause(request)) is not None:
                paused = Moment(
                    table,
                    where,
                    step,
                    inside=point,
                    request=None if isinstance(request, Between) else request,
                    # At a socket's turn it was settled that the read goes on.
                    fresh=turns.fresh and point != "show",
                )
                yield Step(self._number(paused), turns, line)
                return
            turns = _answered(turns, request, where)
            step = self.scheme.resume(step, True, table)
        raise Unsearchable(f"{self.scheme.name} asks for more than {RECORDS_MAX} things in a read")

    def _over(self, moment: Moment, done: Done[Any], turns: Turns, line: Literal["read", "fail"] | None) -> Iterator[Step]:
        state, error = done
        turns = turns._replace(refused=error is not None, over=True)
        if turns.refused:
            after = Moment(moment.table, moment.where, state, left=True)
            yield Step(self._number(after), turns._replace(left=True), line)
            if turns.shown:
                return
        yield Step(self._number(Moment(moment.table, moment.where, state)), turns, line)

    def _pause(self, request: object) -> Point | None:
        # Where a read waits, if anything can happen there.
        hazards = self._hazards
        if isinstance(request, Show):
            return "show" if "show" in hazards else None
        if isinstance(request, Grow):
            return "realloc" if "enomem" in hazards or ("realloc" in hazards and not request.locked) else None
        return "bucket" if "between" in hazards else None


def literal(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of a scheme that has none of its own: its whole state or waiting value, and the whole table, so
    that a search is right, but may never come to its end."""
    form: Hashable = placed((at, table), where)
    return form


def placed(value: Any, where: Where) -> Any:
    """A value with positions in place of the names of sockets in the table; equal only for values of the same types.

    Raises `Unsearchable` for a value that has no such form.
    """
    if isinstance(value, str):
        return (Where, where[value]) if value in where else value
    if isinstance(value, tuple):
        return (type(value), *[placed(one, where) for one in value])
    if isinstance(value, frozenset):
        return type(value), frozenset(placed(one, where) for one in value)
    if value is None or type(value) is int:
        return value
    if isinstance(value, (int, float, bytes)):
        return type(value), value
    raise Unsearchable(f"a {type(value).__name__} in a state or waiting value: expected numbers, texts, and tuples of them")


def _answered(turns: Turns, request: object, where: Where) -> Turns:
    # A socket that is not in the table any more has its turn, and makes no record.
    if isinstance(request, Show):
        position = where[request.socket.name]
        if position < 0:
            return turns._replace(turns=turns.turns + 1, fresh=False)
        return turns._replace(turns=turns.turns + 1, fresh=True, shown=(*turns.shown, position))
    if isinstance(request, Grow):
        return turns._replace(allocations=turns.allocations + 1)
    return turns._replace(looks=turns.looks + 1)
