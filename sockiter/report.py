"""What happened in one case, as the RFC's table and in words.

Decided here: what a row of the table is, and what is said of a finding. Every sentence states what the history shows: in
which read something happened, and which change was the last before it. What a change did to a scheme is not known here,
and no verdict is come to: that is the oracle's.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sockiter.backend import Backend, Session, Shape, Target, refusal, shape_of
from sockiter.cases import Case
from sockiter.errors import MachineLacks
from sockiter.history import Event, GaveUp, History, Returned, Shown
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
    Rehash,
    Reinsert,
    Remove,
    changes,
)
from sockiter.oracle import judge
from sockiter.simulation import RECORDS_MAX
from sockiter.table import Socket, Table
from sockiter.verdict import VIOLATIONS, Finding, Verdict

Names: TypeAlias = tuple[tuple[str, ...], ...]

FOLD = 48
"""Columns of an event or of a table's state before its cell goes on in another line."""
SENTENCE = 80
"""Columns of the text below the table."""
# Of what is listed: names in a cell, names in a sentence, reads in a sentence.
NAMES_MAX, SAID_MAX, ORDINALS_MAX = 40, 8, 6
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
    """When an event of the history was: after so many reads, or inside the next one. `state` is the table by then."""

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
    backend = session.begin(shape)
    try:
        for op in case.operations[:first]:
            backend.apply(op)
        start = backend.state()
        recorder = _Recorder(backend, start)
        groups = [recorder.rows_of(op) for op in case.operations[first:]]
    finally:
        backend.close()
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
        backend.history,
        tuple(recorder.moments),
        judge(backend.history),
    )


def table(trace: Trace) -> str:
    """The RFC's table of a trace, what the iteration saw, and what is to be said of it.

    Without the last column where the target tells nothing of its place. Long cells go on in further lines of their row.
    """
    titles = ["Time", "Event", "Bucket State", trace.progress][: 4 if trace.progress else 3]
    rows = [
        (
            [str(row.time)],
            [line for event in row.event for line in fold(event, FOLD)],
            state_lines(trace, row.state),
            [place_cell(trace, row)],
        )
        for row in trace.rows
    ]
    widths = [max(map(columns_of, (title, *(line for row in rows for line in row[n])))) for n, title in enumerate(titles)]
    rule = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    lines = [rule, _line(titles, widths), rule]
    for row in rows:
        for nth in range(max(map(len, row))):
            lines.append(_line([cell[nth] if nth < len(cell) else "" for cell in row], widths))
    lines += [rule, "", *_wrapped(f"Iteration sees: {seen(trace)}")]
    for paragraph in words(trace):
        lines += _wrapped(paragraph)
    return "\n".join(lines) + "\n"


def seen(trace: Trace) -> str:
    """What all reads delivered, in order, as the RFC writes it."""
    return f"[{_listed([name for read in trace.history.reads for name in read.delivered], NAMES_MAX)}]"


def words(trace: Trace) -> tuple[str, ...]:
    """What is to be said of an iteration: for each finding what came about and when, and what holds besides."""
    said = [_said(trace, finding) for finding in trace.verdict]
    kinds = {finding.kind for finding in trace.verdict}
    if _end(trace) < len(trace.moments):
        if kinds.isdisjoint(VIOLATIONS):
            said.append("Every socket that was there from open to the end was delivered exactly once.")
    elif "incomplete" not in kinds:
        said.append("No read said the end, so skips were not judged.")
    return tuple(said)


def turn(trace: Trace, finding: Finding) -> int:
    """The event of the history by which a socket's skip, repeat or stale delivery came about.

    A skip: where one that was behind it then was shown, or the end was said, whichever is first. A repeat: where it was
    shown again. Stale: where it was shown first while it was not there.
    """
    name = finding.socket
    shown = [nth for nth, event in enumerate(trace.history.events) if event == Shown(name or "")]
    match finding.kind:
        case "skip":
            passing = (
                nth
                for nth, event in enumerate(trace.history.events)
                if isinstance(event, Shown) and _is_behind(trace.moments[nth].state, event.name, name)
            )
            return min(next(passing, _end(trace)), _end(trace))
        case "repeat":
            return shown[1]
        case _:
            return next(nth for nth in shown if not _is_there(trace.history, name, nth))


def state_lines(trace: Trace, state: Names | None) -> list[str]:
    """A table's buckets from head to tail in one line, or in as many as it takes; "?" where nobody can know.

    A bucket that is empty all the time is left out.
    """
    if state is None:
        return ["?"]
    cells = [
        (f"{trace.buckets[nth]}: " if trace.buckets[nth] else "") + ("->".join(state[nth]) or "-") for nth in used(trace)
    ]
    one = " | ".join(cells)
    return [one] if columns_of(one) <= FOLD else [line for cell in cells for line in fold(cell, FOLD)]


def used(trace: Trace) -> list[int]:
    """The buckets, by their place in a state, that are not empty all the time; else the first."""
    states = [state for state in (trace.start, *(row.state for row in trace.rows)) if state is not None]
    return sorted({nth for state in states for nth, bucket in enumerate(state) if bucket}) or [0]


def place_cell(trace: Trace, row: Row) -> str:
    """The place as a cell: without the bucket's number where there is one bucket, "-" at the end, "?" if not known."""
    if row.returned is not None and row.returned.is_the_end:
        return "-"
    return (re.sub(r"^[0-9]+:", "", row.place) if len(trace.buckets) == 1 else row.place) or "?"


def fold(text: str, width: int) -> list[str]:
    """A line in pieces of at most so many columns, cut behind commas and before arrows, or else wherever it must be."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = [""]
    for piece in re.split(r"(?<=, )|(?<!\s)(?=->)", text):
        for part in _chopped(piece, width - len(indent)):
            if lines[-1].strip() and columns_of((lines[-1] + part).rstrip()) > width:
                lines.append(indent)
            lines[-1] += part
    return [line.rstrip() for line in lines]


def columns_of(text: str) -> int:
    """The columns that a text takes where a character is of no width, of one, or of two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


class _Recorder:
    # Applies one operation after the other, and makes rows of what it did and moments of what that left in the history.

    def __init__(self, backend: Backend, state: Names | None) -> None:
        self.moments: list[Moment] = []
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
        return [self._row((_call(op),), made=(op,) if events else ())]

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
                self._state = _after(self._state, event)
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
                self._state = _after(self._state, event)
                self.moments.append(Moment(self._reads, False, self._state))
                waited.append(self._row((_call(event), f"  {at.point} {at.nth} was not reached"), made=(event,)))
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


def _after(state: Names | None, change: Change) -> Names | None:
    # Only for what happens inside a read, where the backend cannot be asked. Of two tables it is not known where in the
    # state the second one begins.
    if state is None or (isinstance(change, (Add, Rehash)) and change.bucket.table):
        return None
    return Table(tuple(tuple(Socket(name, 0) for name in bucket) for bucket in state)).after(change).names


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
    counts = dict(shape.buckets)
    first = max(counts.pop("", 0), counts.pop(tables[0], 0))
    several = [
        Bucket(nth, table) for table in tables for nth in range(first if table == tables[0] else counts.get(table, 0))
    ]
    names = [str(bucket) for bucket in several]
    if start is not None and len(start) != len(names):
        names = [str(nth) for nth in range(len(start))]
    return tuple(names) if len(names) > 1 else ("",)


def _said(trace: Trace, finding: Finding) -> str:
    name = finding.socket
    match finding.kind:
        case "skip":
            at = turn(trace, finding)
            event = trace.history.events[at]
            if isinstance(event, Shown):
                passed = f"It was passed over {_when(trace, at)}, where {event.name}, behind it, came first."
            else:
                passed = f"{_capital(_ordinals([trace.moments[at].reads + 1]))} said the end without it."
            # One that was delivered after the end was skipped none the less.
            none = "no read until then" if any(name in read.delivered for read in trace.history.reads) else "no read"
            return (
                f"{name} is skipped: it was in the table from open to the end, and {none} delivered it. "
                f"{_moved(trace, finding)} {passed} {_last_change(trace, at, 'that', name)}"
            )
        case "repeat":
            reads = [nth for nth, read in enumerate(trace.history.reads, 1) for one in read.delivered if one == name]
            second = turn(trace, finding)
            last = _last(trace, second)
            if last is None or last < trace.history.events.index(Shown(name or "")):
                between = "Nothing changed between its first turn and its second."
            else:
                between = _last_change(trace, second, "its second turn", name)
            return f"{name} is repeated: {_deliveries(reads)}. {_moved(trace, finding)} {between}"
        case "stale":
            at = turn(trace, finding)
            left = [nth for nth, event in enumerate(trace.history.events[:at]) if event == Remove(name or "")]
            after = f"after {_change(trace, left[-1])}" if left else "when it was not in the table"
            return f"{name} is stale: its turn came {_when(trace, at)}, {after}. {_moved(trace, finding)}"
        case "stuck":
            at = trace.history.events.index(GaveUp())
            nth = trace.moments[at].reads
            answer = trace.history.reads[nth - 1]
            gave = f"returned {answer.error}" if answer.error else f"delivered {_listed(answer.delivered, SAID_MAX)}"
            return (
                f"The iteration is stuck: `read all` gave up after {_ordinals([nth])}, which {gave}; none of its reads said "
                f"the end. {_last_change(trace, at, 'that')}"
            )
        case "refused":
            errors: dict[str, list[int]] = {}
            for nth, read in enumerate(trace.history.reads, 1):
                if read.error is not None:
                    errors.setdefault(read.error, []).append(nth)
            return f"The iteration was refused: {', and '.join(f'{_ordinals(n)} returned {e}' for e, n in errors.items())}."
    return (  # incomplete
        "The iteration is incomplete: no read said the end, so skips were not judged. Of what was read, nothing was "
        "repeated or stale."
    )


def _moved(trace: Trace, finding: Finding) -> str:
    end = _end(trace)
    moves = [
        nth
        for nth, event in enumerate(trace.history.events[:end])
        if isinstance(event, (Reinsert, Rehash)) and event.name == finding.socket
    ]
    if moves:
        return f"{finding.socket} itself was moved, {'last ' if len(moves) > 1 else ''}by {_change(trace, moves[-1])}."
    # One that was moved before open, or after the end, did move, but that had nothing to do with it.
    ever = any(
        isinstance(change, (Reinsert, Rehash)) and change.name == finding.socket
        for op in trace.case.operations
        for change in changes(op)
    )
    if not ever:
        return f"{finding.socket} itself never moved."
    return (
        f"{finding.socket} itself did not move {'between open and the end' if end < len(trace.moments) else 'after open'}."
    )


def _last(trace: Trace, before: int) -> int | None:
    return next((nth for nth in range(before - 1, -1, -1) if isinstance(trace.history.events[nth], Change)), None)


def _last_change(trace: Trace, before: int, what: str, name: str | None = None) -> str:
    # Where it is known in which of several buckets a socket was, the last change there says more than the last of all.
    last = _last(trace, before)
    if last is None:
        return "Nothing had changed since open by then."
    if len(trace.buckets) > 1 and (near := _last_near(trace, before, name)) is not None:
        return f"The last change to its bucket before {what} was {_change(trace, near)}."
    return f"The last change before {what} was {_change(trace, last)}."


def _last_near(trace: Trace, before: int, name: str | None) -> int | None:
    states = [trace.start, *(moment.state for moment in trace.moments[: before + 1])]
    numbers = [nth for nth, bucket in enumerate(states[-1] or ()) if name in bucket]
    for nth in range(before - 1, -1, -1):
        old, new = states[nth], states[nth + 1]
        if old is not None and new is not None and any(old[number] != new[number] for number in numbers):
            return nth
    return None


def _change(trace: Trace, nth: int) -> str:
    event = trace.history.events[nth]
    assert isinstance(event, Change)
    return f"{_call(event)}, {_when(trace, nth)}"


def _when(trace: Trace, nth: int) -> str:
    moment = trace.moments[nth]
    if moment.inside:
        within = "inside" if isinstance(trace.history.events[nth], Change) else "in"
        return f"{within} {_ordinals([moment.reads + 1])}"
    if moment.reads == len(trace.history.reads):
        return f"after {_ordinals([moment.reads])}"
    if moment.reads == 0:
        return f"before {_ordinals([1])}"
    return f"between the {_ordinal(moment.reads)} and {_ordinal(moment.reads + 1)} read"


def _end(trace: Trace) -> int:
    # The event that ended the iteration; the number of events if none did.
    ends = (nth for nth, event in enumerate(trace.history.events) if isinstance(event, Returned) and event.is_the_end)
    return next(ends, len(trace.history.events))


def _is_behind(state: Names | None, name: str, other: str | None) -> bool:
    order = [socket for bucket in state or () for socket in bucket]
    return name in order and other in order and order.index(name) > order.index(other)


def _is_there(history: History, name: str | None, before: int) -> bool:
    there = name in history.opened
    for event in history.events[:before]:
        if isinstance(event, (Add, Remove)) and event.name == name:
            there = isinstance(event, Add)
    return there


def _deliveries(reads: list[int]) -> str:
    # Who delivered a socket more than once; a read stands in the list once for each time.
    different = sorted(set(reads))
    if len(different) == 1:
        return f"{_ordinals(different)} delivered it {'twice' if len(reads) == 2 else f'{len(reads)} times'}"
    if len(reads) == 2:
        return f"{_ordinals(different)} both delivered it"
    return f"it was delivered {len(reads)} times, by {_ordinals(different)}"


def _ordinals(reads: Sequence[int]) -> str:
    if len(reads) > ORDINALS_MAX:
        return f"{len(reads)} reads from the {_ordinal(reads[0])} to the {_ordinal(reads[-1])}"
    *others, last = map(_ordinal, reads)
    return f"the {', '.join(others)} and {last} reads" if others else f"the {last} read"


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _call(change: Change) -> str:
    match change:
        case Add(name, end, bucket):
            return f"add({name}, {end}{f', {bucket}' if bucket != FIRST else ''})"
        case Remove(name):
            return f"close({name})"
        case Reinsert(name, end):
            return f"reinsert({name}, {end})"
    return f"rehash({change.name}, {change.bucket})"


def _answer(returned: Returned) -> str:
    return f"read(iter_fd) -> {returned.error or _listed(returned.delivered, NAMES_MAX) or '0'}"


def _inside(at: At) -> str:
    return f"  at {at.point} {at.nth}: {'fail' if isinstance(at.what, Fail) else _call(at.what)}"


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])}, ... ({len(names)} in all)"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    # The cells beyond the widths are those of a column that is left out.
    padded = (cell + " " * (width - columns_of(cell)) for cell, width in zip(cells, widths, strict=False))
    return f"| {' | '.join(padded)} |"


def _wrapped(paragraph: str) -> list[str]:
    # An operation stays in one line.
    whole = re.sub(r"\(\S+(?:, \S+){1,2}\)", lambda call: call[0].replace(" ", "\xa0"), paragraph)
    lines = textwrap.wrap(whole, SENTENCE, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _chopped(piece: str, width: int) -> Iterator[str]:
    part = ""
    for char in piece:
        if columns_of(part + char) > width:
            yield part
            part = ""
        part += char
    yield part
