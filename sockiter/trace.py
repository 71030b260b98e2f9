"""What happened in one case on one target, step by step.

Decided here: what a step is, how it is written in one line, and what is kept of it: the table and the place after it, and
for every event of the history when it was. Not known here: what is said of a trace, how it is laid out, and what it
proves; the verdict is the oracle's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sockiter.backend import Backend, Session, Shape, Target, patiently, refusal, shape_of
from sockiter.cases import Case
from sockiter.errors import MachineLacks
from sockiter.history import Event, History, Returned
from sockiter.operations import (
    FIRST,
    Add,
    At,
    Bucket,
    Change,
    Fail,
    Open,
    Operation,
    Read,
    Reinsert,
    Remove,
)
from sockiter.oracle import judge
from sockiter.simulation import RECORDS_MAX
from sockiter.table import Socket, Table, empty
from sockiter.verdict import Verdict

Names: TypeAlias = tuple[tuple[str, ...], ...]

NAMES_MAX = 40
"""Names of delivered sockets that are listed before it is only told how many there are."""
# The first and last rows of an operation that makes more reads than anybody looks at.
ROWS_FIRST, ROWS_LAST = 8, 2


@dataclass(frozen=True, slots=True)
class Row:
    """One operation after open, or one read(2) of it, or a change that waited inside a read for a point it never reached.

    `event` is the operation in one line, and indented lines for what happened inside it. `state` is None and `place` ""
    where nobody can know. `until` counts the events of the history up to the end of the row.
    """

    time: int
    event: tuple[str, ...]
    state: Names | None
    place: str
    until: int
    returned: Returned | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event of the history was: after so many reads, or inside the next one. `state` is the table by then.

    A record that was made at open, as the first message of a dump is, was made after no read, and inside of none."""

    reads: int
    inside: bool
    state: Names | None


@dataclass(frozen=True, slots=True)
class Trace:
    """A case carried out on a target.

    `progress` is the title of the rows' `place`, "" where the target tells nothing. `buckets` names the buckets of a state
    in the order of the walk; one that is alone has no name. `start` is the table at open. `moments` has an entry for every
    event of the history.
    """

    case: Case
    target: str
    progress: str
    buckets: tuple[str, ...]
    start: Names | None
    rows: tuple[Row, ...]
    history: History
    moments: tuple[Moment, ...]
    verdict: Verdict


def trace(case: Case, target: Target, session: Session) -> Trace:
    """Carry out a case on a target and keep what there is to see after each step.

    A model is run again for what a `read all` hides, its place between two of its reads; a real iterator is run once.
    Raises `MachineLacks` for a case that this target cannot carry out.
    """
    shape = shape_of(case.operations, slots=case.slots)
    if why := refusal(target, case.operations, shape):
        raise MachineLacks(why)
    first = case.operations.index(Open()) + 1

    def recorded() -> tuple[Names | None, list[list[Row]], list[Moment], History]:
        backend = session.begin(shape)
        try:
            for op in case.operations[:first]:
                backend.apply(op)
            start = backend.state()
            recorder = _Recorder(backend, start, empty(tuple(shape.phases(target.tables))))
            return start, [recorder.rows_of(op) for op in case.operations[first:]], recorder.moments, backend.history
        finally:
            backend.close()

    start, groups, moments, history = patiently(recorded)
    if not target.is_real:
        for index, group in enumerate(groups, start=first):
            if len(reads := _reads(group)) > 1:
                for nth, place in enumerate(_places(session, shape, case.operations[: index + 1], len(reads) - 1)):
                    group[nth] = replace(group[nth], place=place)
    return Trace(
        case,
        target.name,
        target.progress,
        _buckets(shape, target.tables, start),
        start,
        tuple(row for group in groups for row in _cut(group)),
        history,
        tuple(moments),
        judge(history),
    )


def call(change: Change) -> str:
    """A change as the call that made it."""
    match change:
        case Add(name, end, bucket):
            return f"add({name}, {end}{f', {bucket}' if bucket != FIRST else ''})"
        case Remove(name):
            return f"close({name})"
        case Reinsert(name, end):
            return f"reinsert({name}, {end})"
    return f"rehash({change.name}, {change.bucket})"


def listed(names: Sequence[str], most: int) -> str:
    """The names, or the first of them and how many there are in all."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])}, ... ({len(names)} in all)"


class _Recorder:
    # Applies one operation after the other, and makes rows of what it did and moments of what that left in the history.

    def __init__(self, backend: Backend, state: Names | None, blank: Table) -> None:
        # A dump has the records of its first message by now.
        self.moments = [Moment(0, False, state) for _ in backend.history.events]
        self._blank = blank
        self._backend = backend
        self._state = state
        self._time = 0
        self._reads = 0

    def rows_of(self, op: Operation) -> list[Row]:
        done = len(self.moments)
        self._backend.apply(op)
        events = self._backend.history.events[done:]
        if isinstance(op, Read):
            rows = self._read(op, events)
            self._state = self._backend.state()
            return rows
        assert not isinstance(op, Open)  # there is one, and it is behind us
        self._state = self._backend.state()
        self.moments += [Moment(self._reads, False, self._state) for _ in events]
        self._time += 1
        return [self._row((call(op),), made=(op,) if events else ())]

    def _read(self, op: Read, events: Sequence[Event]) -> list[Row]:
        last = max(nth for nth, event in enumerate(events) if isinstance(event, Returned))
        # In which read an `at` was reached, the history tells by its change; one that left none is told of the first read.
        open_ats = list(range(len(op.at)))
        lines: list[list[int]] = [[]]
        made: list[Change] = []
        rows: list[Row] = []
        for nth, event in enumerate(events[: last + 1]):
            if isinstance(event, Change):
                lines[-1].append(_taken(op.at, open_ats, event))
                made.append(event)
                self._state = _after(self._blank, self._state, event)
            self.moments.append(Moment(self._reads, True, self._state))
            if isinstance(event, Returned):
                self._reads += 1
                self._time += 1
                # Where the place was between two reads of one operation is not known yet.
                row = self._row((_answer(event),), made=made, returned=event)
                rows.append(row if nth == last else replace(row, place=""))
                lines.append([])
                made = []
        waited: list[Row] = []
        for event in events[last + 1 :]:
            if isinstance(event, Change):
                at = op.at[_taken(op.at, open_ats, event)]
                self._state = _after(self._blank, self._state, event)
                self.moments.append(Moment(self._reads, False, self._state))
                waited.append(self._row((call(event), f"  {at.point} {at.nth} was not reached"), made=(event,)))
            else:
                self.moments.append(Moment(self._reads, False, self._state))
        lines[0] += open_ats
        return [
            *(
                replace(row, event=(*row.event, *(_inside(op.at[n]) for n in sorted(of))))
                for row, of in zip(rows, lines, strict=False)
            ),
            *waited,
        ]

    def _row(self, event: tuple[str, ...], *, made: Sequence[Change], returned: Returned | None = None) -> Row:
        return Row(self._time, event, self._state, self._backend.place(), len(self.moments), returned, tuple(made))


def _taken(ats: Sequence[At], open_ats: list[int], change: Change) -> int:
    # The `at` that this change was: of equal ones that are still open, the first to be reached.
    found = min((nth for nth in open_ats if ats[nth].what == change), key=lambda nth: ats[nth].nth)
    open_ats.remove(found)
    return found


def _after(blank: Table, state: Names | None, change: Change) -> Names | None:
    # Only for what happens inside a read, where the backend cannot be asked. A state that is not laid out as the case asks
    # for says nothing of what becomes of it.
    if state is None or len(state) != len(blank.buckets):
        return None
    return blank._replace(buckets=tuple(tuple(Socket(name, 0) for name in bucket) for bucket in state)).after(change).names


def _places(session: Session, shape: Shape, operations: Sequence[Operation], count: int) -> list[str]:
    # The place after each of the first `count` reads that the last operation, a `read all`, made. With something inside
    # only after the first: from the second read on, its points could not be told from those of one read.
    *before, last = operations
    assert isinstance(last, Read)
    backend = session.begin(shape)
    try:
        for op in before:
            backend.apply(op)
        places = []
        for _ in range(1 if last.at else count):
            backend.apply(Read(RECORDS_MAX + 1, last.at))
            places.append(backend.place())
        return places
    finally:
        backend.close()


def _reads(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.returned is not None]


def _cut(rows: list[Row]) -> list[Row]:
    # The rows of one operation, without those in the middle of very many reads.
    reads = _reads(rows)
    hidden = len(reads) - ROWS_FIRST - ROWS_LAST
    if hidden <= 1:
        return rows
    last = reads[ROWS_FIRST - 1]
    note = f"  ({hidden} more reads are not shown)"
    return [*reads[: ROWS_FIRST - 1], replace(last, event=(*last.event, note)), *rows[ROWS_FIRST + hidden :]]


def _buckets(shape: Shape, tables: Sequence[str], start: Names | None) -> tuple[str, ...]:
    names = [str(Bucket(nth, table)) for table, count in shape.phases(tables) for nth in range(count)]
    if start is not None and len(start) != len(names):
        names = [str(nth) for nth in range(len(start))]
    return tuple(names) if len(names) > 1 else ("",)


def _answer(returned: Returned) -> str:
    return f"read(iter_fd) -> {returned.error or listed(returned.delivered, NAMES_MAX) or '0'}"


def _inside(at: At) -> str:
    return f"  at {at.point} {at.nth}: {'fail' if isinstance(at.what, Fail) else call(at.what)}"
