"""A table and an iterator over it, with nobody named: the moments that there are, and what leads from one to the next.

Models the same frame of the kernel's read(2) as `simulation`, a step at a time: where a read is paused inside, a change is a
step like any other, so that there is no end to what may happen there. Decided here: which moments are one and the same.
Sockets are told apart by where they are, and what else matters a scheme tells (`Canonical`). Every moment is reached once,
by the scheme's own code, and is kept with the real table and the real state that it was reached with. Not known here: what
was delivered before, and what is owed to whom.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

from sockiter.claims import HAZARDS, INSERTIONS_MAX, Hazard
from sockiter.operations import Add, Bucket, Change, End, Rehash, Reinsert, Remove, has_tail
from sockiter.paused import in_hand
from sockiter.schemes.scheme import GONE, AnyScheme, Grow, Hand, Reply, Where
from sockiter.simulation import RECORDS_MAX
from sockiter.table import Socket, Table, empty

Replies: TypeAlias = tuple[Reply, ...]


class Shift(NamedTuple):
    """A change, by position in the table from 0, over all buckets: where each socket that was there is now (-1: it is out),
    where one is that was not there before, and which was moved, by where it was (-1: none)."""

    to: tuple[int, ...]
    added: int = -1
    moved: int = -1
    before_open: bool = False


class Turns(NamedTuple):
    """A read, or a part of one: who was shown, by position; how many turns there were, with those of sockets that were gone,
    and how many allocations.

    `over`: the read is over with it, and said the end, if it had no record and returned no error. `stops`: it is over
    because it had all its records. `fresh`: its last turn made a record. `refused`: it returned an error, and `left` the
    records that it had, if it had any. `handed`: it did nothing but hand those out.
    """

    shown: tuple[int, ...] = ()
    turns: int = 0
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


@dataclass(slots=True)
class Moment:
    """One moment: before open, between two reads, or paused inside one, where `hand` is in hand.

    `left`: records of a read that failed are still to be handed out. `inside`: the point at which a read is paused.
    """

    table: Table
    state: Any = None
    left: bool = False
    inside: Literal["", "show", "realloc"] = ""
    is_open: bool = True
    # How a paused read got here: the state and table that it began with, and the replies since.
    start: tuple[Any, Table] | None = None
    replies: Replies = ()
    request: Socket | Grow | None = None
    hand: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[int, ...] = ()
    # Whether the last turn of this read made a record.
    fresh: bool = False

    # Where each socket is, over all buckets.
    positions: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.positions = {name: at for at, (name, _) in enumerate(chain.from_iterable(self.table.buckets))}


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
        self._pauses = ("show" in hazards, bool({"realloc", "enomem"} & hazards))
        # Where versions roll over and must not, insertions are counted.
        self._insertions = INSERTIONS_MAX if "rollover" in scheme.hazards - hazards else None
        table = empty([(name, buckets) for name in scheme.tables])
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
        self._clamps = hasattr(scheme, "canonical")
        self._number(Moment(table, is_open=False))

    def lines(self, number: int) -> list[Step]:
        """The steps from a moment that are lines of a case, but for reads that begin there."""
        moment = self.moments[number]
        steps = list(self._changes(moment))
        if not moment.is_open:
            opened = Moment(moment.table, self.scheme.open(self._batch, moment.table))
            steps.append(Step(self._number(opened), Opening(), "open"))
        elif moment.inside == "realloc" and "enomem" in self._hazards:
            steps += self._onwards(moment, False, "fail")
        return steps

    def onwards(self, number: int) -> list[Step]:
        """The steps from a moment that no line stands for: a paused read goes on, or, between two, the next one begins; the
        last of them as far as it can go with nothing in its way. Before open there are none."""
        moment = self.moments[number]
        if not moment.is_open:
            return []
        if moment.inside:
            return list(self._onwards(moment, True, None))
        return list(self._begins(moment))

    def _number(self, moment: Moment) -> int:
        key = self._key(moment)
        number = self._numbers.setdefault(key, len(self.moments))
        if number == len(self.moments):
            self.moments.append(moment)
        return number

    def _key(self, moment: Moment) -> Hashable:
        table = moment.table
        hand = moment.hand if moment.inside else _fields(moment.state) if moment.is_open else {}
        if self._clamps and hand.get("slots", 0) > self._sockets:
            hand = {**hand, "slots": self._sockets}
        where = moment.positions
        # Whose turn it is the frame knows, whether or not the scheme still does.
        request = moment.request
        of = where.get(request.name, GONE) if isinstance(request, Socket) else request is not None and request.locked
        return (
            (moment.is_open, moment.left, moment.inside, moment.where, moment.fresh),
            of,
            tuple([len(bucket) for bucket in table.buckets]),
            self._canonical(hand, table, where),
            self._insertions and table.ver,
        )

    def _changes(self, moment: Moment) -> Iterator[Step]:
        point: Hazard | None = None
        if moment.inside:
            point = moment.inside
            if point not in self._hazards or (isinstance(moment.request, Grow) and moment.request.locked):
                return
        table = moment.table
        names = moment.positions
        # Before open nothing is a hazard.
        on = self._hazards if moment.is_open else frozenset(HAZARDS)
        may_insert = self._insertions is None or table.ver < self._insertions
        ends: tuple[End, End] = ("tail", "head")
        if may_insert and len(names) < self._sockets:
            new = f"s{table.ver}"
            for number, bucket in enumerate(self._buckets):
                for end in ends if self._has_tail[number] else ends[1:]:
                    if f"add-{end}" in on:
                        yield self._changed(moment, names, Add(new, end, bucket), Add("", end, bucket))
        of = [number for number, bucket in enumerate(table.buckets) for _ in bucket]
        for name, position in names.items():
            written = str(position)
            if "remove" in on:
                yield self._changed(moment, names, Remove(name), Remove(written))
            if not may_insert:
                continue
            if "reinsert" in on:
                for end in ends if self._has_tail[of[position]] else ends[1:]:
                    yield self._changed(moment, names, Reinsert(name, end), Reinsert(written, end))
            if "rehash" in on:
                for number, bucket in enumerate(self._buckets):
                    if number != of[position]:
                        yield self._changed(moment, names, Rehash(name, bucket), Rehash(written, bucket))

    def _changed(self, moment: Moment, names: Mapping[str, int], change: Change, line: Change) -> Step:
        table = moment.table.after(change)
        # Not `replace`, which would make the whole search a tenth slower.
        after = Moment(
            table,
            moment.state,
            moment.left,
            moment.inside,
            moment.is_open,
            moment.start,
            moment.replies,
            moment.request,
            moment.hand,
            moment.where,
            moment.fresh,
        )
        now = after.positions
        added = now[change.name] if type(change) is Add else -1
        moved = names[change.name] if type(change) is Reinsert or type(change) is Rehash else -1
        return Step(
            self._number(after), Shift(tuple([now.get(name, -1) for name in names]), added, moved, not moment.is_open), line
        )

    def _begins(self, moment: Moment) -> Iterator[Step]:
        if moment.left:
            # What is left is handed out, and nothing else is done.
            yield Step(self._number(Moment(moment.table, moment.state)), Turns(over=True, handed=True), "read")
            return
        yield from self._runs(moment, (moment.state, moment.table), (), Turns(), "read")

    def _onwards(self, moment: Moment, is_granted: bool, line: Literal["fail"] | None) -> Iterator[Step]:
        assert moment.start is not None
        turns = Turns(fresh=moment.fresh)
        if moment.inside == "show":
            assert isinstance(moment.request, Socket)
            turns = _shown(turns, moment.request.name, moment.positions)
        else:
            turns = turns._replace(allocations=1)
        replies = (*moment.replies, (is_granted, moment.table))
        yield from self._runs(moment, moment.start, replies, turns, line)

    def _runs(
        self,
        moment: Moment,
        start: tuple[Any, Table],
        replies: Replies,
        turns: Turns,
        line: Literal["read", "fail"] | None,
    ) -> Iterator[Step]:
        # Goes on with a read from behind its last reply to where it is paused or over, and besides to everywhere on the way
        # where it may have all its records.
        table, names = moment.table, moment.positions
        reading = self.scheme.read(*start)
        try:
            request = next(reading)
            for reply in replies:
                request = reading.send(reply)
            while len(replies) <= RECORDS_MAX:
                goes_on = True
                if isinstance(request, Grow):
                    if self._pauses[1]:
                        yield self._paused(table, start, replies, request, reading, turns, line)
                        return
                    turns = turns._replace(allocations=turns.allocations + 1)
                elif turns.stops:
                    goes_on = False
                else:
                    if turns.fresh:
                        # The same way once more, to stop here.
                        stopped = turns._replace(stops=True)
                        yield from self._runs(moment, start, (*replies, (False, table)), stopped, line)
                    if self._pauses[0]:
                        yield self._paused(table, start, replies, request, reading, turns, line)
                        return
                    turns = _shown(turns, request.name, names)
                replies = (*replies, (goes_on, table))
                request = reading.send(replies[-1])
            raise TypeError(f"{self.scheme.name} asks for more than {RECORDS_MAX} things in a read")
        except StopIteration as stop:
            state, error = stop.value
        turns = turns._replace(refused=error is not None, over=True)
        if turns.refused:
            yield Step(self._number(Moment(table, state, left=True)), turns._replace(left=True), line)
            if turns.shown:
                return
        yield Step(self._number(Moment(table, state)), turns, line)

    def _paused(
        self,
        table: Table,
        start: tuple[Any, Table],
        replies: Replies,
        request: Socket | Grow,
        reading: Any,
        turns: Turns,
        line: Literal["read", "fail"] | None,
    ) -> Step:
        where, hand = in_hand(reading)
        hand = {name: value for name, value in hand.items() if value is not self.scheme}
        is_show = isinstance(request, Socket)
        paused = Moment(
            table,
            inside="show" if is_show else "realloc",
            start=start,
            replies=replies,
            request=request,
            hand=hand,
            where=where,
            # At a socket's turn it was settled that the read goes on.
            fresh=turns.fresh and not is_show,
        )
        if turns.stops:
            raise TypeError(f"{self.scheme.name} asks for a larger batch after it was told to stop")
        return Step(self._number(paused), turns, line)


def literal(hand: Hand, table: Table, where: Where) -> Hashable:
    """The canonical form of a scheme that has none of its own: all that it has in hand, and all there is to the table, so
    that a search is right, but may never come to its end."""
    names = {name: f"@{position}" for name, position in where.items()}
    form: Hashable = renamed((tuple(hand.items()), table), names)
    return form


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A value in which sockets go by other names; what is no name stays as it is. A TypeError for what has no such form."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, tuple):
        return tuple(renamed(one, names) for one in value)
    if isinstance(value, frozenset):
        return frozenset(renamed(one, names) for one in value)
    if value is None or isinstance(value, (int, float, bytes)):
        return value
    raise TypeError(f"a {type(value).__name__} in what a scheme has in hand: expected numbers, texts, and tuples of them")


def _fields(state: Any) -> dict[str, Any]:
    fields: dict[str, Any] = state._asdict() if hasattr(state, "_asdict") else {"state": state}
    return fields


def _shown(turns: Turns, name: str, names: Mapping[str, int]) -> Turns:
    # A socket's turn; one that is not in the table any more makes no record.
    if name not in names:
        return turns._replace(turns=turns.turns + 1, fresh=False)
    return turns._replace(turns=turns.turns + 1, fresh=True, shown=(*turns.shown, names[name]))
