"""The table after each row of a trace, with the marks of its sockets: the content of pictures and pages.

The module decides the marks of a socket in each row, and the looks of sentences. The events come from `trace`, the
sentences from `explain`, and the texts of cells from `table`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from sockiter.history import Returned
from sockiter.operations import Accept, Add, Close, Rehash, Reinsert
from sockiter.report.explain import sentences, turns
from sockiter.report.table import BUCKETS_MAX, columns_of, fold, place_cell, sockets_most, used
from sockiter.report.trace import NAMES_MAX, Trace, TraceRow, listed
from sockiter.verdict import VIOLATIONS, Kind

Mark: TypeAlias = Literal["unseen", "delivered", "now", "added", "moved", "gone", "away", "skipped", "repeated", "stale"]
"""A mark of a socket in a row: delivered so far or by this row, changed by this row, or a finding."""

FAILURE_MARKS: dict[Kind, Mark] = {"skip": "skipped", "repeat": "repeated", "stale": "stale"}
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

# Characters of a name on its box. The box's tooltip has the full name.
NAME_COLUMNS = 18
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
    def is_out(self) -> bool:
        return "gone" in self.marks or "away" in self.marks


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The table at open (`row` is None) or after a row: each bucket by its name, with its sockets from head to tail.

    `place` is the text of the place's cell. `failure` is the worst finding of the row, "" for none. `delivered` lists
    the deliveries so far, in order.
    """

    row: TraceRow | None
    buckets: tuple[tuple[str, list[Item]], ...]
    place: str
    failure: Mark | Literal[""]
    delivered: str


def snapshots(trace: Trace) -> list[Snapshot]:
    """The table at open and after every row of a trace, with the marks of its sockets."""
    failures = _failures(trace)
    fresh = {(since, mark) for of in failures.values() for mark, since in of}
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
        worst = [mark for mark in FAILURE_MARKS.values() if (nth, mark) in fresh]
        place = "" if row is None or not trace.progress else place_cell(trace, row)
        chains = tuple(_chains(trace, nth, failures, buckets, set(delivered)))
        found.append(Snapshot(row, chains, place, worst[0] if worst else "", listed(delivered, NAMES_MAX)))
    return found


_Failures: TypeAlias = dict[str | None, list[tuple[Mark, int]]]


def _failures(trace: Trace) -> _Failures:
    # The findings of each socket, each with the number of the first band that shows it.
    found: _Failures = {}
    ends = [row.until for row in trace.rows]
    for finding, at in turns(trace).items():
        found.setdefault(finding.socket, []).append((FAILURE_MARKS[finding.kind], bisect_right(ends, at) + 1))
    return found


def _chains(
    trace: Trace, nth: int, failures: _Failures, used: Sequence[int], delivered: Collection[str]
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
        elif isinstance(change, (Reinsert, Rehash, Close, Accept)):
            moved.add(change.name)
    present = set(chain.from_iterable(state or ()))

    def item(name: str, *, here: bool, loose: bool = False) -> Item:
        failure = [(mark, since) for mark, since in failures.get(name, ()) if since <= nth]
        marks: list[Mark] = ["delivered" if name in delivered else "unseen"]
        marks += ["now"] if name in orders else []
        marks += ["added"] if name in added else []
        marks += ["moved"] if name in moved and here else []
        marks += [] if here or state is None else ["away" if name in present else "gone"]
        marks += [mark for mark, _ in failure]
        fresh = {mark for mark, since in failure if since == nth} | (set(marks) - set(FAILURE_MARKS.values()))
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


def look_of(trace: Trace) -> str:
    """The class of the look of a trace's verdict."""
    return "bad" if any(finding.kind in VIOLATIONS for finding in trace.verdict) else "good"


def looks(trace: Trace) -> list[tuple[str, str]]:
    """The sentences about a trace, each with the class of its look."""
    # Sentences about other facts look good if there is no violation.
    besides = "good" if look_of(trace) == "good" else "note"
    return [(sentence, _look_of_kind(kind) if kind is not None else besides) for kind, sentence in sentences(trace)]


def _look_of_kind(kind: Kind) -> str:
    return FAILURE_MARKS.get(kind) or ("bad" if kind in VIOLATIONS else "note")
