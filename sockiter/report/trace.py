"""Records the events of one case on one target, step by step.

A step is one line of text, with the table and the place after it. Every event of the history has a time. The verdict is the
oracle's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from sockiter.backend import Backend, Session, Shape, Target, patiently, refusal, shape_of
from sockiter.cases import Case
from sockiter.errors import Unavailable
from sockiter.history import Event, History, Returned, Shown
from sockiter.operations import (
    FIRST,
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    Fail,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
)
from sockiter.oracle import judge
from sockiter.simulation import Simulation
from sockiter.table import Socket, Table, empty
from sockiter.verdict import Verdict

Names: TypeAlias = tuple[tuple[str, ...], ...]

NAMES_MAX = 40
"""The limit of listed names of delivered sockets; the others are only counted."""
# The first and last rows that are kept of an operation with very many reads.
ROWS_FIRST, ROWS_LAST = 8, 2
# The same for a case.
CASE_ROWS_FIRST, CASE_ROWS_LAST = 80, 20
INSIDE_MAX = 60
"""The limit of listed lines inside a read; the others are only counted."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One operation after open, or one read(2) of it, or a change inside a read at a point that the read did not reach.

    `event` is the operation in one line, and an indented line for each change inside it. An unknown `state` is None, and an
    unknown `place` is "". `until` counts the events of the history up to the end of the row. `operation` is the number of
    the operation, from 1 for the first after open.
    """

    time: int
    event: tuple[str, ...]
    state: Names | None
    place: str
    until: int
    returned: Returned | None = None
    changes: tuple[Change, ...] = ()
    operation: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class EventTime:
    """The time of an event of the history: after `reads` reads, or inside the next read. `state` is the table at that time.

    A record that was made at open, such as the first message of a dump, has 0 reads and is not inside a read.
    """

    reads: int
    inside: bool
    state: Names | None


@dataclass(frozen=True, slots=True)
class Trace:
    """A case carried out on a target.

    `progress` is the title of the rows' `place`, "" if the target does not report its place. `buckets` names the buckets of
    a state in the order of the walk; a single bucket has no name. `start` is the table at open. `event_times` has an entry
    for each event of the history.
    """

    case: Case
    target: str
    progress: str
    buckets: tuple[str, ...]
    start: Names | None
    rows: tuple[TraceRow, ...]
    history: History
    event_times: tuple[EventTime, ...]
    verdict: Verdict


def trace(case: Case, target: Target, session: Session) -> Trace:
    """Carry out a case on a target and record each step.

    If there are very many rows, the middle is left out, and the row before it has the number of hidden rows.
    Raises `Unavailable` for a case that this target cannot carry out.
    """
    shape = shape_of(case.operations, slots=case.slots)
    if why := refusal(target, case.operations, shape):
        raise Unavailable(why.text)
    first = case.operations.index(Open()) + 1

    def recorded() -> tuple[Names | None, list[list[TraceRow]], list[EventTime], History]:
        backend = session.begin(shape)
        try:
            for op in case.operations[:first]:
                backend.apply(op)
            start = backend.state()
            blank = empty(tuple(shape.phases(target.tables)))
            recorder = _Recorder(backend, start, blank, has_program="silent" in target.features)
            return start, [recorder.rows_of(op) for op in case.operations[first:]], recorder.event_times, backend.history
        finally:
            backend.close()

    start, groups, event_times, history = patiently(recorded)
    return Trace(
        case,
        target.name,
        target.progress,
        _buckets(shape, target.tables, start),
        start,
        tuple(_cut(_numbered(groups), CASE_ROWS_FIRST, CASE_ROWS_LAST, "steps")),
        history,
        tuple(event_times),
        judge(history),
    )


def call(change: Change) -> str:
    """A change as the call that made it.

    A socket is removed by close(2). A connection is closed (`Close`) by shutdown(2), and its peer's FIN: close(2) alone
    would leave FIN_WAIT entries.
    """
    match change:
        case Add(name, end, bucket):
            return f"add({name}, {end}{f', {bucket}' if bucket != FIRST else ''})"
        case Remove(name):
            return f"close({name})"
        case Reinsert(name, end):
            return f"reinsert({name}, {end})"
        case Rehash(name, bucket):
            return f"rehash({name}, {bucket})"
        case Close(name):
            return f"shutdown({name})"
        case Accept(name):
            return f"accept({name})"
    return f"destroy({change.name})"


def listed(names: Sequence[str], most: int) -> str:
    """The names, or the first `most` names and the number of all."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])}, ... ({len(names)} in all)"


class _Recorder:
    # Applies the operations in order; records a row for each, and the times of its events.

    def __init__(self, backend: Backend, state: Names | None, blank: Table, *, has_program: bool) -> None:
        # A dump already has the records of its first message.
        self.event_times = [EventTime(0, False, state) for _ in backend.history.events]
        self._blank = blank
        self._has_program = has_program
        self._backend = backend
        self._state = state
        self._time = 0
        self._reads = 0

    def rows_of(self, op: Operation) -> list[TraceRow]:
        done = len(self.event_times)
        self._backend.apply(op)
        events = self._backend.history.events[done:]
        if isinstance(op, Read):
            rows = self._read(op, events)
            self._state = self._backend.state()
            return rows
        assert not isinstance(op, Open)  # there is one, and it is behind us
        self._state = self._backend.state()
        self.event_times += [EventTime(self._reads, False, self._state) for _ in events]
        self._time += 1
        if isinstance(op, Again):
            return [self._row(("open again",), made=())]
        return [self._row((call(op),), made=(op,) if events else ())]

    def _read(self, op: Read, events: Sequence[Event]) -> list[TraceRow]:
        last = max(nth for nth, event in enumerate(events) if isinstance(event, Returned))
        # The change in the history shows which read reached an `at`. An `at` without a change is listed in the first read.
        open_ats = _PendingAts(op.at)
        lines: list[list[int]] = [[]]
        # The sockets that each read itself destroyed.
        destroyed: list[list[str]] = [[]]
        made: list[Change] = []
        rows: list[TraceRow] = []
        # Of a dump: the sockets that its reader destroyed after the last row; None once another record is made.
        requested: list[str] | None = None
        places = self._places(op)
        table = self._table() if any(isinstance(event, Change) for event in events) else None
        for nth, event in enumerate(events[: last + 1]):
            if isinstance(event, Shown):
                requested = None
            elif isinstance(event, Change):
                line = open_ats.take(event)
                if line is None and requested is not None:
                    table = self._requested(rows, requested, event, table)
                    continue
                if line is None:
                    destroyed[-1].append(_destroyed_text(event))
                else:
                    lines[-1].append(line)
                made.append(event)
                table = self._change(table, event)
            self.event_times.append(EventTime(self._reads, True, self._state))
            if isinstance(event, Returned):
                self._reads += 1
                self._time += 1
                row = self._row(_read_text(event, destroyed[-1]), made=made, returned=event)
                rows.append(row if nth == last else replace(row, place=next(places, "")))
                lines.append([])
                destroyed.append([])
                made = []
                requested = []
        waited: list[TraceRow] = []
        for event in events[last + 1 :]:
            if isinstance(event, Change):
                line = open_ats.take(event)
                if line is None:
                    assert requested is not None  # a program destroys sockets inside reads only
                    table = self._requested(rows, requested, event, table)
                    continue
                at = op.at[line]
                table = self._change(table, event)
                self.event_times.append(EventTime(self._reads, False, self._state))
                waited.append(self._row((call(event), f"  {at.point} {at.nth} was not reached"), made=(event,)))
            else:
                self.event_times.append(EventTime(self._reads, False, self._state))
        if op.destroying and not self._has_program:
            rows = [_with_survivors(row) for row in rows]
        lines[0] += open_ats.left()
        return [
            *(
                replace(row, event=(*row.event, *_inside([op.at[n] for n in sorted(of)])))
                for row, of in zip(rows, lines, strict=False)
            ),
            *waited,
        ]

    def _requested(self, rows: list[TraceRow], requested: list[str], change: Change, table: Table | None) -> Table | None:
        # The reader of a dump destroys a socket of the last row.
        after = self._change(table, change)
        self.event_times.append(EventTime(self._reads, False, self._state))
        requested.append(_destroyed_text(change))
        row = rows[-1]
        rows[-1] = replace(
            row,
            event=(row.event[0], f"  the reader destroyed {listed(requested, NAMES_MAX)}"),
            state=self._state,
            until=len(self.event_times),
            changes=(*row.changes, change),
        )
        return after

    def _places(self, op: Read) -> Iterator[str]:
        # Only a model reports its place between two reads of one operation; with changes inside, only after the first read.
        places = self._backend.places() if isinstance(self._backend, Simulation) else []
        return iter(places[:1] if op.at else places)

    def _table(self) -> Table | None:
        # The table for changes inside a read, where the backend cannot report its state. The effect of a change on a state
        # with other buckets than the case's is unknown.
        if self._state is None or len(self._state) != len(self._blank.buckets):
            return None
        return self._blank._replace(buckets=tuple(tuple(Socket(name, 0) for name in bucket) for bucket in self._state))

    def _change(self, table: Table | None, change: Change) -> Table | None:
        if table is None or self._state is None:
            self._state = None
            return None
        after = table.after(change)
        state = self._state
        for nth, (old, new) in enumerate(zip(table.buckets, after.buckets, strict=True)):
            if old is not new:
                state = (*state[:nth], tuple(name for name, _ in new), *state[nth + 1 :])
        self._state = state
        return after

    def _row(self, event: tuple[str, ...], *, made: Sequence[Change], returned: Returned | None = None) -> TraceRow:
        return TraceRow(self._time, event, self._state, self._backend.place(), len(self.event_times), returned, tuple(made))


class _PendingAts:
    # The lines inside a read that have not yet appeared in the history.

    def __init__(self, ats: Sequence[At]) -> None:
        self._lines: dict[Change | Fail, list[tuple[int, int]]] = {}
        for line, at in enumerate(ats):
            self._lines.setdefault(at.what, []).append((at.nth, line))
        for lines in self._lines.values():
            lines.sort(reverse=True)

    def take(self, change: Change) -> int | None:
        """The line of this change; of equal lines that are still pending, the first that the read reaches.

        None: no line made it, but the read, which destroys the sockets that it shows. A `bound` socket that is destroyed
        moves back instead.
        """
        made_by: list[Change] = [change]
        if isinstance(change, Rehash):
            made_by.append(Destroy(change.name))
        for one in made_by:
            if self._lines.get(one):
                return self._lines[one].pop()[1]
        return None

    def left(self) -> list[int]:
        return [line for lines in self._lines.values() for _, line in lines]


def _numbered(groups: Sequence[list[TraceRow]]) -> list[TraceRow]:
    return [replace(row, operation=nth) for nth, group in enumerate(groups, 1) for row in _cut_reads(group)]


def _reads(rows: Sequence[TraceRow]) -> list[TraceRow]:
    return [row for row in rows if row.returned is not None]


def _cut_reads(rows: list[TraceRow]) -> list[TraceRow]:
    # The rows of one operation, without the middle of very many reads.
    reads = _reads(rows)
    return [*_cut(reads, ROWS_FIRST, ROWS_LAST, "reads"), *rows[len(reads) :]]


def _cut(rows: list[TraceRow], first: int, last: int, noun: str) -> list[TraceRow]:
    hidden = len(rows) - first - last
    if hidden <= 1:
        return rows
    before = rows[first - 1]
    note = f"  ({hidden} more {noun} are not shown)"
    return [*rows[: first - 1], replace(before, event=(*before.event, note)), *rows[first + hidden :]]


def _buckets(shape: Shape, tables: Sequence[str], start: Names | None) -> tuple[str, ...]:
    names = [str(Bucket(nth, table)) for table, count in shape.phases(tables) for nth in range(count)]
    if start is not None and len(start) != len(names):
        names = [str(nth) for nth in range(len(start))]
    return tuple(names) if len(names) > 1 else ("",)


def _read_text(returned: Returned, destroyed: Sequence[str] = ()) -> tuple[str, ...]:
    # What a read returned or stored, and the sockets that its program destroyed.
    names = listed(returned.delivered, NAMES_MAX)
    if returned.silent:
        text = f"read(iter_fd) -> {returned.error or '0'}{f', and stored {names}' if names else ''}"
    elif returned.cut:
        text = f"read(iter_fd) -> {f'{names}, ' if names else ''}part of a record"
    else:
        text = f"read(iter_fd) -> {returned.error or names or '0'}{' (interrupted)' * returned.interrupted}"
    return (text, f"  the program destroyed {listed(destroyed, NAMES_MAX)}") if destroyed else (text,)


def _with_survivors(row: TraceRow) -> TraceRow:
    # A request to destroy a socket of a dump may meet another one, or none.
    destroyed = {change.name for change in row.changes}
    present = {name for bucket in row.state or () for name in bucket}
    delivered = row.returned.delivered if row.returned is not None else ()
    survivors = [name for name in delivered if name in present - destroyed]
    if not survivors:
        return row
    return replace(row, event=(*row.event, f"  {listed(survivors, NAMES_MAX)} stayed in the table"))


def _destroyed_text(change: Change) -> str:
    return change.name + (" (it stays, bound by number)" if isinstance(change, Rehash) else "")


def _inside(ats: Sequence[At]) -> list[str]:
    lines = [
        f"  at {at.point} {at.nth}: {'fail' if isinstance(at.what, Fail) else call(at.what)}" for at in ats[:INSIDE_MAX]
    ]
    return [*lines, f"  ({len(ats) - INSIDE_MAX} more lines are not shown)"] if len(ats) > INSIDE_MAX else lines
