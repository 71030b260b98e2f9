"""A trace as an SVG picture.

The module decides the layout. `snapshots` decides the marks of a socket in each row, and the template their look.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from sockiter.report.explain import words
from sockiter.report.render import templates
from sockiter.report.snapshots import MEANINGS, Item, Mark, Snapshot, look_of, looks, snapshots
from sockiter.report.table import columns_of, fold, seen
from sockiter.report.trace import Trace, TraceRow
from sockiter.verdict import describe

# Pixels. FIXED, PROSE and HEADING are the widths of a character: in the fixed font, in text, and in the heading.
PAD, TIME, EVENT_LEAST, PLACE_LEAST = 24, 54, 120, 60
FIXED, PROSE, HEADING = 7.9, 6.9, 9.8
LINE, HEADING_LINE, CAPTION_LINE, LEGEND_LINE = 19, 25, 21, 28
BOX, BOX_LEAST, GAP, CURSOR, TAG, AIR = 28, 46, 26, 13, 15, 10
CHAIN_LEAST, CHAIN_MOST = 260, 640
# Characters of an event's line.
EVENT_COLUMNS = 32
HEADING_LINES = 3


@dataclass(frozen=True, slots=True)
class Box:
    """An item, the position of its upper left corner, and its width."""

    item: Item
    x: float
    y: float
    width: int


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow to a box from the box before it; `faint` if one of the two sockets is no longer in the list."""

    x: float
    y: float
    faint: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text, its start, and the class of its look."""

    text: str
    x: float
    y: float
    look: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A row of the picture; `failure` is the worst finding of the row, "" for none."""

    y: float
    height: float
    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    failure: str
    time: str


def svg(trace: Trace) -> str:
    """The picture of a trace: a self-contained SVG that follows the reader's light or dark theme.

    It has a band for the table at open and a band for every row, with the sockets of each bucket from head to tail.
    """
    return svg_of(trace, snapshots(trace), is_alone=True)


def svg_of(trace: Trace, table_snapshots: Sequence[Snapshot], *, is_alone: bool, has_style: bool = True) -> str:
    """The picture of a trace with these snapshots.

    If not `is_alone`, it is in a page, which has its own heading and explanation. Several pictures share one style.
    """
    chains = [list(snapshot.buckets) for snapshot in table_snapshots]

    events = max(columns_of(line) for snapshot in table_snapshots for line in _events(snapshot.row))
    left = PAD + TIME + max(EVENT_LEAST, round(events * FIXED)) + PAD
    indent = max((round(columns_of(name) * FIXED) + 14 for name in trace.buckets if name), default=0)
    longest = max(sum(_width(item) + GAP for item in items) for buckets in chains for _, items in buckets)
    right = left + min(max(indent + longest, CHAIN_LEAST), CHAIN_MOST)
    place = max(
        PLACE_LEAST,
        round(len(trace.progress) * PROSE),
        *(round(columns_of(snapshot.place) * FIXED) for snapshot in table_snapshots),
    )
    width = right + (PAD + place if trace.progress else 0) + PAD

    heading, y = _heading(trace, width) if is_alone else ([], float(PAD))
    y += AIR
    titles = [Text("Time", PAD, y), Text("Event", PAD + TIME, y), Text("Bucket State, head to tail", left, y)]
    titles += [Text(trace.progress, right + PAD, y)] if trace.progress else []
    y += AIR
    bands = []
    for snapshot in table_snapshots:
        band = _band(snapshot, y, left, left + indent, right)
        bands.append(band)
        y += band.height
    bottom = y
    legend, y = _legend(chains, width, y + LEGEND_LINE)
    caption, y = _caption(trace, width, y + CAPTION_LINE) if is_alone else ([], y)
    return (
        templates()
        .get_template("picture.svg")
        .render(
            title=title_of(trace),
            description=[*words(trace), f"Iteration sees: {seen(trace)}"],
            width=width,
            height=round(y + AIR),
            heading=heading,
            titles=titles,
            bands=bands,
            legend=legend,
            caption=caption,
            meanings=MEANINGS,
            box_height=BOX,
            bottom=bottom,
            gap=GAP,
            has_style=has_style,
        )
    )


def title_of(trace: Trace) -> str:
    """The title of a trace: the comment of its case, or else its verdict."""
    return " ".join(filter(None, trace.case.comment)) or f"{trace.target}: {describe(trace.verdict)}"


def _band(snapshot: Snapshot, y: float, left: float, start: float, right: float) -> Band:
    row = snapshot.row
    boxes: list[Box] = []
    links: list[Link] = []
    texts: list[Text] = []
    bottom = y + AIR
    top = 0.0
    for name, of in snapshot.buckets:
        for nth, line in enumerate(_lines(of, right - start)):
            # The height of a line includes the marks above and below its boxes.
            at = bottom + (CURSOR if any("now" in item.marks for item in line) else 0)
            bottom = at + BOX + (TAG if any(item.tag for item in line) else 0) + AIR
            top = top or at
            if nth == 0:
                texts.append(Text(name, left, at + 19, "bucket"))
            if not line:
                unknown = row is not None and row.state is None
                texts.append(Text("not known" if unknown else "empty", start, at + 19, "nothing"))
            x = start
            before = None if nth == 0 else boxes[-1].item
            for item in line:
                if before is not None:
                    if not item.loose:
                        links.append(Link(x, at + BOX / 2, item.is_out or before.is_out))
                    x += GAP
                boxes.append(box := Box(item, x, at, _width(item)))
                x += box.width
                before = item
    time = "open" if row is None else str(row.time)
    texts += [Text(time, PAD, top + 19, "time"), Text(snapshot.place, right + PAD, top + 19, "place")]
    events = _events(row)
    for nth, event in enumerate(events):
        inner = event.startswith(" ")
        shift = (len(event) - len(event.lstrip())) * FIXED
        texts.append(Text(event.strip(), PAD + TIME + shift, top + 19 + nth * LINE, "event inner" if inner else "event"))
    height = max(bottom, top + len(events) * LINE + AIR + 4) - y
    return Band(y, height, tuple(text for text in texts if text.text), tuple(boxes), tuple(links), snapshot.failure, time)


def _events(row: TraceRow | None) -> list[str]:
    return [line for text in (("open",) if row is None else row.event) for line in fold(text, EVENT_COLUMNS)]


def _lines(items: list[Item], width: float) -> list[list[Item]]:
    # Each line takes as many items as fit. All lines but the first start with an arrow.
    lines: list[list[Item]] = [[]]
    taken = 0
    for item in items:
        own = _width(item)
        if lines[-1] and taken + GAP + own > width:
            lines.append([])
            taken = 0
        taken += own + (GAP if lines[-1] or len(lines) > 1 else 0)
        lines[-1].append(item)
    return lines


def _width(item: Item) -> int:
    return max(BOX_LEAST, round(columns_of(item.label) * FIXED) + 20)


def _heading(trace: Trace, width: float) -> tuple[list[Text], float]:
    lines = textwrap.wrap(title_of(trace), int((width - 2 * PAD) / HEADING), max_lines=HEADING_LINES, placeholder=" \u2026")
    verdict_text = textwrap.shorten(
        describe(trace.verdict), int((width - 2 * PAD) / PROSE) - len(trace.target), placeholder=" \u2026"
    )
    y = float(PAD + 14)
    texts = []
    for line in lines:
        texts.append(Text(line, PAD, y, "heading"))
        y += HEADING_LINE
    texts.append(Text(f"{trace.target}: {verdict_text}", PAD, y, f"verdict {look_of(trace)}"))
    return texts, y + HEADING_LINE


def _legend(chains: list[list[tuple[str, list[Item]]]], width: float, y: float) -> tuple[list[tuple[Mark, Text]], float]:
    present = {mark for buckets in chains for _, items in buckets for item in items for mark in item.marks}
    legend: list[tuple[Mark, Text]] = []
    x = float(PAD)
    for mark, meaning in MEANINGS.items():
        if mark in present:
            taken = 30 + len(meaning) * PROSE + 18
            if x + taken > width - PAD and x > PAD:
                x = PAD
                y += LEGEND_LINE
            legend.append((mark, Text(meaning, x, y)))
            x += taken
    return legend, y + LEGEND_LINE / 2


def _caption(trace: Trace, width: float, y: float) -> tuple[list[Text], float]:
    texts = []
    for sentence, look in [(f"Iteration sees: {seen(trace)}", "seen"), *looks(trace)]:
        for nth, line in enumerate(textwrap.wrap(sentence, int((width - 2 * PAD - 18) / PROSE), break_on_hyphens=False)):
            texts.append(Text(line, PAD, y, f"caption {look}" if nth == 0 else "caption more"))
            y += CAPTION_LINE
        y += 5
    return texts, y - CAPTION_LINE + AIR
