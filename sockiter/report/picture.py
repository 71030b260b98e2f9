"""A trace as an SVG picture, and as a page with the picture, the table, the explanation and the case.

The module decides the layout, and the marks of a socket in each row. The templates decide the look of the marks. The events
come from `trace`, the sentences from `explain`, and the texts of cells from `table`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
import textwrap
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, TypeAlias

from markupsafe import Markup

from sockiter.cases import dumps
from sockiter.history import Returned
from sockiter.operations import Add, Rehash, Reinsert
from sockiter.report.explain import sentences, turns, words
from sockiter.report.table import BUCKETS_MAX, columns_of, fold, place_cell, seen, sockets_most, used
from sockiter.report.trace import NAMES_MAX, Trace, TraceRow, listed
from sockiter.verdict import VIOLATIONS, Kind, describe

if TYPE_CHECKING:
    from jinja2 import Environment

Mark: TypeAlias = Literal["unseen", "delivered", "now", "added", "moved", "gone", "away", "skipped", "repeated", "stale"]
"""A mark of a socket in a row: delivered so far or by this row, changed by this row, or a finding."""

HARMS: dict[Kind, Mark] = {"skip": "skipped", "repeat": "repeated", "stale": "stale"}
MEANINGS: dict[Mark, str] = {
    "unseen": "unseen",
    "delivered": "delivered",
    "now": "delivered by this read",
    "added": "added",
    "moved": "moved",
    "gone": "closed",
    "away": "moved away",
    "skipped": "skipped",
    "repeated": "repeated",
    "stale": "stale",
}
# The marks with a word below the box, in order of precedence: findings first.
TAGGED: tuple[Mark, ...] = ("skipped", "repeated", "stale", "gone", "away", "moved", "added")

# Pixels. FIXED, PROSE and HEADING are the widths of a character: in the fixed font, in text, and in the heading.
PAD, TIME, EVENT_LEAST, PLACE_LEAST = 24, 54, 120, 60
FIXED, PROSE, HEADING = 7.9, 6.9, 9.8
LINE, HEADING_LINE, CAPTION_LINE, LEGEND_LINE = 19, 25, 21, 28
BOX, BOX_LEAST, GAP, CURSOR, TAG, AIR = 28, 46, 26, 13, 15, 10
CHAIN_LEAST, CHAIN_MOST = 260, 640
# Characters of an event's line, and of a name. The box's tooltip has the full name.
EVENT_COLUMNS, NAME_COLUMNS = 32, 18
HEADING_LINES = 3
ORDERS_MAX = 2


@dataclass(frozen=True, slots=True)
class Item:
    """A socket in a row: its `marks`, the `tag` below it, and in `order` its positions in this row's read.

    A loose socket was delivered from an unknown position, so no arrow links it to the socket before it.
    """

    name: str
    marks: tuple[Mark, ...]
    tag: str
    order: str
    loose: bool

    @property
    def label(self) -> str:
        return (
            self.name
            if columns_of(self.name) <= NAME_COLUMNS
            else f"{fold(self.name[:NAME_COLUMNS], NAME_COLUMNS - 1)[0]}\u2026"
        )

    @property
    def width(self) -> int:
        return max(BOX_LEAST, round(columns_of(self.label) * FIXED) + 20)

    @property
    def is_out(self) -> bool:
        return "gone" in self.marks or "away" in self.marks


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The table at open (`row` is None) or after a row: each bucket by its name, with its sockets from head to tail.

    `place` is the text of the place's cell. `harm` is the worst finding of the row, "" for none. `delivered` lists what was
    delivered by then, in order.
    """

    row: TraceRow | None
    buckets: tuple[tuple[str, list[Item]], ...]
    place: str
    harm: Mark | Literal[""]
    delivered: str


@dataclass(frozen=True, slots=True)
class Panel:
    """The part of a page that shows one target. `kinds`: the kinds of its findings, each once; `replay`: the command,
    without the file."""

    target: str
    anchor: str
    verdict: str
    kinds: str
    look: str
    sentences: tuple[tuple[str, str], ...]
    snapshots: tuple[Snapshot, ...]
    progress: str
    seen: str
    replay: str
    picture: Markup


@dataclass(frozen=True, slots=True)
class Box:
    """An item, and the position of its upper left corner."""

    item: Item
    x: float
    y: float


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
    """A row of the picture; `harm` is the worst finding of the row, "" for none."""

    y: float
    height: float
    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    harm: str
    time: str


def svg(trace: Trace) -> str:
    """The picture of a trace: a self-contained SVG that follows the reader's light or dark theme.

    It has a band for the table at open and a band for every row, with the sockets of each bucket from head to tail.
    """
    return _svg(trace, snapshots(trace), is_alone=True)


def snapshots(trace: Trace) -> list[Snapshot]:
    """The table at open and after every row of a trace, with the marks of its sockets."""
    harms = _harms(trace)
    fresh = {(since, mark) for of in harms.values() for mark, since in of}
    buckets = used(trace)
    delivered: list[str] = []
    done = 0
    found: list[Snapshot] = []
    for nth, row in enumerate((None, *trace.rows)):
        until = row.until if row is not None else 0
        for event in trace.history.events[done:until]:
            if isinstance(event, Returned):
                delivered += event.delivered
        done = until
        worst = [mark for mark in HARMS.values() if (nth, mark) in fresh]
        place = "" if row is None or not trace.progress else place_cell(trace, row)
        chains = tuple(_chains(trace, nth, harms, buckets, set(delivered)))
        found.append(Snapshot(row, chains, place, worst[0] if worst else "", listed(delivered, NAMES_MAX)))
    return found


def _svg(trace: Trace, table_snapshots: Sequence[Snapshot], *, is_alone: bool, has_style: bool = True) -> str:
    # A page has its own heading and explanation, so its picture has neither. Several pictures share one style.
    chains = [list(snapshot.buckets) for snapshot in table_snapshots]

    events = max(columns_of(line) for snapshot in table_snapshots for line in _events(snapshot.row))
    left = PAD + TIME + max(EVENT_LEAST, round(events * FIXED)) + PAD
    indent = max((round(columns_of(name) * FIXED) + 14 for name in trace.buckets if name), default=0)
    longest = max(sum(item.width + GAP for item in items) for buckets in chains for _, items in buckets)
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
            title=_title(trace),
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


def html(trace: Trace, others: Sequence[Trace] = (), absent: Sequence[tuple[str, str]] = ()) -> str:
    """A self-contained page: a trace step by step, its table, picture and explanation, and the case.

    `others`: traces of the same case on other targets, each behind a tab, or beside the first. `absent`: targets without a
    trace, each with the reason.
    """
    return (
        templates()
        .get_template("page.html")
        .render(
            title=_title(trace),
            panels=[_panel(one, is_first=one is trace) for one in (trace, *others)],
            absent=absent,
            case=dumps(trace.case),
        )
    )


def _panel(trace: Trace, *, is_first: bool) -> Panel:
    of_trace = snapshots(trace)
    return Panel(
        trace.target,
        f"on-{trace.target.replace(':', '-')}",
        describe(trace.verdict),
        ", ".join(dict.fromkeys(finding.kind for finding in trace.verdict)) or describe(trace.verdict),
        _look(trace),
        tuple(looks(trace)),
        tuple(of_trace),
        trace.progress,
        seen(trace),
        replay_command(trace.target),
        Markup(_svg(trace, of_trace, is_alone=False, has_style=is_first)),  # made by a template that escapes
    )


def replay_command(target: str) -> str:
    """The command that replays a case on a target, without the case's file."""
    return shlex.join(["sockiter", "replay", "--target", target])


@functools.cache
def templates() -> Environment:
    """The templates of pictures and pages; they escape every value."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, since this import is slow

    environment = Environment(
        loader=PackageLoader("sockiter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"meanings": MEANINGS, "policy": policy}
    return environment


def policy(*scripts: str) -> str:
    """The Content Security Policy of a page: it runs these scripts and no other, and loads nothing."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _title(trace: Trace) -> str:
    return " ".join(filter(None, trace.case.comment)) or f"{trace.target}: {describe(trace.verdict)}"


_Harms: TypeAlias = dict[str | None, list[tuple[Mark, int]]]


def _harms(trace: Trace) -> _Harms:
    # The findings of each socket, each with the number of the first band that shows it.
    found: _Harms = {}
    ends = [row.until for row in trace.rows]
    for finding, at in turns(trace).items():
        found.setdefault(finding.socket, []).append((HARMS[finding.kind], bisect_right(ends, at) + 1))
    return found


def _chains(
    trace: Trace, nth: int, harms: _Harms, used: Sequence[int], delivered: Collection[str]
) -> list[tuple[str, list[Item]]]:
    # The buckets of a band, each with its name and its sockets. Sockets that this row removed stay at their place. Delivered
    # sockets that are in no bucket follow in the last one. Long lists are cut.
    row = trace.rows[nth - 1] if nth else None
    state = trace.start if row is None else row.state
    before = trace.rows[nth - 2].state if nth > 1 else trace.start
    read = row.returned.delivered if row is not None and row.returned is not None else ()
    orders: dict[str, list[str]] = {}
    for order, name in enumerate(read, 1):
        orders.setdefault(name, []).append(str(order))
    added, moved = set(), set()
    for change in row.changes if row is not None else ():
        if isinstance(change, Add):
            added.add(change.name)
        elif isinstance(change, (Reinsert, Rehash)):
            moved.add(change.name)
    present = set(chain.from_iterable(state or ()))

    def item(name: str, *, here: bool, loose: bool = False) -> Item:
        harm = [(mark, since) for mark, since in harms.get(name, ()) if since <= nth]
        marks: list[Mark] = ["delivered" if name in delivered else "unseen"]
        marks += ["now"] if name in orders else []
        marks += ["added"] if name in added else []
        marks += ["moved"] if name in moved and here else []
        marks += [] if here or state is None else ["away" if name in present else "gone"]
        marks += [mark for mark, _ in harm]
        fresh = {mark for mark, since in harm if since == nth} | (set(marks) - set(HARMS.values()))
        tag = next((MEANINGS[mark] for mark in TAGGED if mark in fresh), "")
        turns = orders.get(name, []) if len(read) > 1 else []
        order = ",".join(turns[:ORDERS_MAX]) + ("\u2026" if len(turns) > ORDERS_MAX else "")
        return Item(name, tuple(marks), tag.removesuffix(" away"), order, loose)

    most = sockets_most(used)
    buckets: list[tuple[str, list[Item]]] = []
    if state is None:
        buckets.append(("", []))
    else:
        for bucket in used[:BUCKETS_MAX]:
            here = set(state[bucket])
            names = _merged(before[bucket] if before is not None else (), state[bucket])
            items = [item(name, here=name in here) for name in names[:most]]
            buckets.append((trace.buckets[bucket], items + _more(len(names) - most)))
    shown = present if before is None or state is None else present.union(*before)
    loose = [name for name in orders if name not in shown]
    buckets[-1][1].extend([item(name, here=False, loose=True) for name in loose[:most]] + _more(len(loose) - most))
    if len(used) > BUCKETS_MAX and state is not None:
        buckets.append((f"{len(used) - BUCKETS_MAX} more buckets", []))
    return buckets


def _more(number: int) -> list[Item]:
    return [Item(f"\u2026 {number} more", (), "", "", True)] if number > 0 else []


def _merged(before: Iterable[str], now: tuple[str, ...]) -> list[str]:
    # The list, and the sockets that have left it, each behind its former predecessor.
    merged: list[str] = []
    there = set(now)
    behind: dict[str | None, list[str]] = {}
    last: str | None = None
    for name in before:
        if name in there:
            last = name
        else:
            behind.setdefault(last, []).append(name)
    for previous in (None, *now):
        merged += [previous] if previous is not None else []
        merged += behind.get(previous, [])
    return merged


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
                boxes.append(Box(item, x, at))
                x += item.width
                before = item
    time = "open" if row is None else str(row.time)
    texts += [Text(time, PAD, top + 19, "time"), Text(snapshot.place, right + PAD, top + 19, "place")]
    events = _events(row)
    for nth, event in enumerate(events):
        inner = event.startswith(" ")
        shift = (len(event) - len(event.lstrip())) * FIXED
        texts.append(Text(event.strip(), PAD + TIME + shift, top + 19 + nth * LINE, "event inner" if inner else "event"))
    height = max(bottom, top + len(events) * LINE + AIR + 4) - y
    return Band(y, height, tuple(text for text in texts if text.text), tuple(boxes), tuple(links), snapshot.harm, time)


def _events(row: TraceRow | None) -> list[str]:
    return [line for text in (("open",) if row is None else row.event) for line in fold(text, EVENT_COLUMNS)]


def _lines(items: list[Item], width: float) -> list[list[Item]]:
    # Each line takes as many items as fit. All lines but the first start with an arrow.
    lines: list[list[Item]] = [[]]
    taken = 0
    for item in items:
        if lines[-1] and taken + GAP + item.width > width:
            lines.append([])
            taken = 0
        taken += item.width + (GAP if lines[-1] or len(lines) > 1 else 0)
        lines[-1].append(item)
    return lines


def _heading(trace: Trace, width: float) -> tuple[list[Text], float]:
    lines = textwrap.wrap(_title(trace), int((width - 2 * PAD) / HEADING), max_lines=HEADING_LINES, placeholder=" \u2026")
    verdict_text = textwrap.shorten(
        describe(trace.verdict), int((width - 2 * PAD) / PROSE) - len(trace.target), placeholder=" \u2026"
    )
    y = float(PAD + 14)
    texts = []
    for line in lines:
        texts.append(Text(line, PAD, y, "heading"))
        y += HEADING_LINE
    texts.append(Text(f"{trace.target}: {verdict_text}", PAD, y, f"verdict {_look(trace)}"))
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


def _look(trace: Trace) -> str:
    return "bad" if any(finding.kind in VIOLATIONS for finding in trace.verdict) else "good"


def looks(trace: Trace) -> list[tuple[str, str]]:
    """The sentences about a trace, each with the class of its look."""
    # Sentences about other facts look good if there is no violation.
    besides = "good" if _look(trace) == "good" else "note"
    return [(sentence, _look_of(kind) if kind is not None else besides) for kind, sentence in sentences(trace)]


def _look_of(kind: Kind) -> str:
    return HARMS.get(kind) or ("bad" if kind in VIOLATIONS else "note")


def _caption(trace: Trace, width: float, y: float) -> tuple[list[Text], float]:
    texts = []
    for sentence, look in [(f"Iteration sees: {seen(trace)}", "seen"), *looks(trace)]:
        for nth, line in enumerate(textwrap.wrap(sentence, int((width - 2 * PAD - 18) / PROSE), break_on_hyphens=False)):
            texts.append(Text(line, PAD, y, f"caption {look}" if nth == 0 else "caption more"))
            y += CAPTION_LINE
        y += 5
    return texts, y - CAPTION_LINE + AIR
