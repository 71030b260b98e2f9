"""A trace as the RFC's table, with what is to be said of it below.

Decided here: which columns and buckets there are, what a cell holds, and where a line that is too long goes on. Not known
here: how a trace came about, what is said of it, and any other form than text; a picture takes its cells from here.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from sockiter.report.explain import words
from sockiter.report.trace import NAMES_MAX, Names, Trace, TraceRow, listed

FOLD = 48
"""Columns of an event or of a table's state before its cell goes on in another line."""
SENTENCE = 80
"""Columns of the text below the table."""
BUCKETS_MAX, SOCKETS_MAX = 20, 60
"""Buckets of a state, and sockets of all of them, that are listed before it is only told how many there are."""


def table(trace: Trace) -> str:
    """The RFC's table of a trace, what the iteration saw, and what is to be said of it.

    Without the last column where the target tells nothing of its place. Long cells go on in further lines of their row.
    """
    titles = ["Time", "Event", "Bucket State", trace.progress][: 4 if trace.progress else 3]
    buckets = used(trace)
    rows = [
        (
            [str(row.time)],
            [line for event in row.event for line in fold(event, FOLD)],
            state_lines(trace, row.state, buckets),
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
    return f"[{listed([name for read in trace.history.reads for name in read.delivered], NAMES_MAX)}]"


def state_lines(trace: Trace, state: Names | None, buckets: Sequence[int]) -> list[str]:
    """A table's buckets from head to tail in one line, or in as many as it takes; "?" where nobody can know.

    `buckets`: those that are `used`. Of very many buckets or sockets the first are there, and how many there are.
    """
    if state is None:
        return ["?"]
    most = sockets_most(buckets)
    cells = [
        (f"{trace.buckets[nth]}: " if trace.buckets[nth] else "") + (_chain(state[nth], most) or "-")
        for nth in buckets[:BUCKETS_MAX]
    ]
    if len(buckets) > BUCKETS_MAX:
        cells.append(f"({len(buckets) - BUCKETS_MAX} more buckets are not shown)")
    single_line = " | ".join(cells)
    return [single_line] if columns_of(single_line) <= FOLD else [line for cell in cells for line in fold(cell, FOLD)]


def _chain(names: Sequence[str], most: int) -> str:
    more = [f"... ({len(names)} in all)"] if len(names) > most else []
    return "->".join([*names[:most], *more])


def sockets_most(buckets: Sequence[int]) -> int:
    """How many sockets of a bucket are listed, where so many buckets are used."""
    return SOCKETS_MAX // min(len(buckets), BUCKETS_MAX)


def used(trace: Trace) -> list[int]:
    """The buckets, by their place in a state, that are not empty all the time; else the first."""
    states = (trace.start, *(row.state for row in trace.rows))
    return sorted({nth for state in states if state is not None for nth, bucket in enumerate(state) if bucket}) or [0]


def place_cell(trace: Trace, row: TraceRow) -> str:
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
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


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
    if piece.isascii():
        yield from (piece[at : at + width] for at in range(0, max(len(piece), 1), width))
        return
    part, columns = "", 0
    for char in piece:
        if columns + columns_of(char) > width:
            yield part
            part, columns = "", 0
        part += char
        columns += columns_of(char)
    yield part
