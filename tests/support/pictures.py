"""Traces to draw, and pictures and pages, parsed as XML or HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree

from sockiter.cases import loads
from sockiter.history import Event, History, Returned
from sockiter.operations import Remove
from sockiter.oracle import judge
from sockiter.report.trace import EventTime, Trace, TraceRow, trace
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from tests.support.paths import CASES

EVIL = """# </title><script>alert(1)</script> & "quotes"
add <script>alert(2)</script> tail
add a&amp;"b' tail
add connection-to-a-pod-with-a-very-long-name tail
open
read 1
remove <script>alert(2)</script>
read all
"""
SVG = "{http://www.w3.org/2000/svg}"


def traced(text: str, scheme: AnyScheme | None = None) -> Trace:
    target = SchemeTarget(scheme or OffsetUdp())
    with target.session() as session:
        return trace(loads(text), target, session)


def scenario(name: str, scheme: AnyScheme) -> Trace:
    return traced((CASES / f"{name}.case").read_text(), scheme)


def unknown(events: Sequence[Event], *, text: str = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread 1\n") -> Trace:
    """A trace of a real iterator, whose table and place are unknown."""
    rows = [
        TraceRow(
            time,
            (f"event {time}",),
            None,
            "",
            time,
            event if isinstance(event, Returned) else None,
            (event,) if isinstance(event, Remove) else (),
        )
        for time, event in enumerate(events, 1)
    ]
    history = History(("A", "B"), list(events))
    event_times = tuple(EventTime(0, False, None) for _ in events)
    return Trace(loads(text), "real", "", ("",), None, tuple(rows), history, event_times, judge(history))


class Picture:
    """An SVG, by bands and boxes."""

    def __init__(self, text: str) -> None:
        self.root = ElementTree.fromstring(text)
        self.bands = [group for group in self.root.iter(f"{SVG}g") if "data-time" in group.attrib]

    def classes(self, band: int) -> list[tuple[str, str]]:
        """The sockets of a band from left to right, each with its marks."""
        boxes = [group for group in self.bands[band].iter(f"{SVG}g") if "data-socket" in group.attrib]
        return [(box.attrib["data-socket"], box.attrib["class"].removeprefix("box ")) for box in boxes]

    def marks(self, socket: str) -> list[set[str] | None]:
        """The marks of one socket in every band, None where it is not to be seen."""
        found = (dict(self.classes(nth)).get(socket) for nth in range(len(self.bands)))
        return [None if marks is None else set(marks.split()) for marks in found]

    def texts(self, look: str) -> list[str]:
        """The texts of one look, from top to bottom."""
        return [text.text or "" for text in self.root.iter(f"{SVG}text") if text.attrib.get("class", "") == look]


class Tags(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def scripts_of(text: str) -> list[str]:
    """The scripts of a page, as they stand in it."""
    return re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
