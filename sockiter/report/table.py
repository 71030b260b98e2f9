"""A trace as the RFC's table, with its explanation below.

The module decides the columns, the buckets, the text of a cell, and the folding of long lines. Pictures and pages use the
same cells.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from sockiter.report.explain import words
from sockiter.report.trace import NAMES_MAX, Names, Trace, TraceRow, listed

FOLD = 48
"""The width of an event or a bucket state, in columns; longer cells are folded."""
SENTENCE = 80
"""The width of the text below the table, in columns."""
BUCKETS_MAX, SOCKETS_MAX = 20, 60
"""The limits of buckets in a state, and of sockets in all of them; the others are only counted."""


def table(trace: Trace) -> str:
    """The RFC's table of a trace, the delivered sockets, and the explanation.

    The last column is missing if the target does not report its place. Long cells take several lines.
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
    """All delivered sockets in order, in the notation of the RFC."""
    return f"[{listed([name for read in trace.history.reads for name in read.delivered], NAMES_MAX)}]"


def state_lines(trace: Trace, state: Names | None, buckets: Sequence[int]) -> list[str]:
    """The buckets of a table, each from head to tail, in one line or several; "?" for an unknown state.

    `buckets`: the result of `used`. Very many buckets or sockets are cut, and their number is given.
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
    """The number of sockets of a bucket that are listed, for this number of used buckets."""
    return SOCKETS_MAX // min(len(buckets), BUCKETS_MAX)


def used(trace: Trace) -> list[int]:
    """The indices of the buckets that are not always empty; if all are, the first."""
    states = (trace.start, *(row.state for row in trace.rows))
    return sorted({nth for state in states if state is not None for nth, bucket in enumerate(state) if bucket}) or [0]


def place_cell(trace: Trace, row: TraceRow) -> str:
    """The place as a cell: without the bucket's number if there is only one bucket, "-" at the end, "?" if unknown."""
    if row.returned is not None and row.returned.is_the_end:
        return "-"
    return (re.sub(r"^[0-9]+:", "", row.place) if len(trace.buckets) == 1 else row.place) or "?"


def fold(text: str, width: int) -> list[str]:
    """A line in pieces of at most `width` columns, cut behind commas and before arrows, or else anywhere."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = [""]
    for piece in re.split(r"(?<=, )|(?<!\s)(?=->)", text):
        for part in _chopped(piece, width - len(indent)):
            if lines[-1].strip() and columns_of((lines[-1] + part).rstrip()) > width:
                lines.append(indent)
            lines[-1] += part
    return [line.rstrip() for line in lines]


def columns_of(text: str) -> int:
    """The width of a text in columns; a character takes zero, one or two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    # `zip` drops the cells of a column that is left out.
    padded = (cell + " " * (width - columns_of(cell)) for cell, width in zip(cells, widths, strict=False))
    return f"| {' | '.join(padded)} |"


def _wrapped(paragraph: str) -> list[str]:
    # An operation is not broken.
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
