"""A state graph as a page to explore: the reader picks the next operation, and sees what has happened, what is certain, and
what can still happen.

Decided here: what stands on the page, and how the graph is spelled in it. A state has no names in it: they are given on the
way, as in a case. Not known here: what a state is, and what happens in it (`graph`); the script only follows the steps that
are in the page, and knows no rule of the oracle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from sockiter.backend import SLOTS
from sockiter.cases import spell
from sockiter.check.effects import Shift, Turns
from sockiter.check.monitor import OWED, monitor_states
from sockiter.claims import in_order
from sockiter.explore.graph import GraphState, StateGraph, Taken
from sockiter.explore.outlook import DELIVERED, REFUSED, REPEATED, SKIPPED
from sockiter.matrix.matrix import describe
from sockiter.matrix.page import HAZARD_DESCRIPTIONS, KIND_DESCRIPTIONS
from sockiter.operations import READS_MAX, Add, Bucket, Change, Rehash, Reinsert, Remove
from sockiter.report.page import replay_command
from sockiter.report.render import templates
from sockiter.schemes.scheme import Grow, Show
from sockiter.verdict import Kind

T = TypeVar("T", bound=Hashable)

# Bits of a state, of a step of a read.
IS_OPEN, ENDED, IS_CUT, IS_STUCK, MAY_REFUSE, LEFT = (1 << bit for bit in range(6))
OVER, STOPS, FRESH, IS_REFUSED, HANDED, FAIL, BEGINS = (1 << bit for bit in range(7))
# A socket's letter: what became of it, and 3 for each thing that can still become of it (`outlook`).
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SOCKET = "*"
"""The name of the socket in the line of a change."""
GONE = -1


@dataclass(frozen=True, slots=True)
class Finding:
    """The shortest way to a kind of violation, or to one that is certain: where it leads to, and how long it is."""

    kind: Kind
    is_certain: bool
    link: str
    lines: int


class _Interned(dict[Any, int]):
    # Values that are written once, each with its number.
    def number(self, value: Hashable) -> int:
        return self.setdefault(value, len(self))


def html(graph: StateGraph) -> str:
    """A page that needs nothing else."""
    return (
        templates()
        .get_template("explore.html")
        .render(
            scheme=graph.scheme,
            scope=describe(graph.scope),
            graph=graph,
            cut=graph.cut,
            hazards=[(hazard, HAZARD_DESCRIPTIONS[hazard]) for hazard in in_order(graph.hazards)],
            left_out=in_order(graph.left_out),
            findings=list(findings(graph)),
            kinds=KIND_DESCRIPTIONS,
            replay=replay_command(graph.scheme.name),
            # A name may be that of an element.
            document=Markup(json.dumps(document(graph), ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")),
        )
    )


def findings(graph: StateGraph) -> Iterator[Finding]:
    """The shortest ways to what can go wrong, and to where a skip is certain, as far as the graph goes.

    A `read all` is one operation, with nothing inside it.
    """
    happens: dict[Kind, Finding] = {}
    certain: Finding | None = None
    for state in sorted(graph.states, key=lambda state: (state.lines, state.number)):
        here = f"#state-{state.number}"
        if certain is None and any(lost(graph, state)):
            certain = Finding("skip", True, here, state.lines)
        found = [
            (kind, state.lines + taken.edge.lines, f"{here}+{number}")
            for number, taken in enumerate(state.steps)
            for kind, _ in taken.violations
        ]
        if graph.system_state(state).inside is None:
            found += [(kind, state.lines + 1, f"{here}+a") for kind in graph.read_all(state) or ()]
        for kind, lines, link in found:
            if kind not in happens or lines < happens[kind].lines:
                happens[kind] = Finding(kind, False, link, lines)
    for kind in KIND_DESCRIPTIONS:
        if kind == "skip" and certain is not None:
            yield certain
        if kind in happens:
            yield happens[kind]


def lost(graph: StateGraph, state: GraphState) -> Iterator[bool]:
    """Of each socket by position, whether it is certain to be skipped, unless it is closed before."""
    states = monitor_states(graph.scope.sockets)
    for socket, outlook in zip(state.sockets, state.outlook[1:], strict=True):
        yield states[socket].status == OWED and not outlook & DELIVERED


def document(graph: StateGraph) -> dict[str, Any]:
    """The graph as the page's script reads it."""
    layouts, moves, places, violations = (_Interned() for _ in range(4))
    violations.number(())
    states = []
    for state in graph.states:
        steps: list[int] = []
        for taken in state.steps:
            steps += (taken.to, moves.number(_move(taken)), violations.number(taken.violations))
        before = state.before or (-1, -1)
        states.append(
            [
                layouts.number(_layout(graph, state)),
                _flags(graph, state),
                _letters(graph, state),
                places.number(tuple(_place(graph, state))),
                *before,
                state.lines,
                steps,
            ]
        )
    tables = ("", *graph.scheme.tables[1:])
    buckets = [str(Bucket(number, table)) for table in tables for number in range(graph.scope.buckets)]
    return {
        "scheme": graph.scheme.name,
        "progress": graph.scheme.progress,
        "batch": graph.scope.batch if graph.scope.batch != SLOTS else 0,
        "readsMax": READS_MAX,
        "buckets": buckets if len(buckets) > 1 else [""],
        "layouts": list(layouts),
        "moves": list(moves),
        "places": list(places),
        "violations": list(violations),
        "states": states,
    }


def _layout(graph: StateGraph, state: GraphState) -> Hashable:
    # The lengths of the buckets; where a read waits, and for which socket, or for how many slots.
    system = graph.system_state(state)
    lengths = tuple(len(bucket) for bucket in system.table.buckets)
    match system.request:
        case Show(socket):
            return lengths, system.inside, system.where[socket.name]
        case Grow(slots):
            return lengths, system.inside, slots
        case _:
            return lengths, system.inside or "", GONE


def _flags(graph: StateGraph, state: GraphState) -> int:
    flags = IS_CUT * state.is_cut | IS_STUCK * state.is_stuck | LEFT * graph.system_state(state).left
    if state.monitor is not None:
        ended = monitor_states(graph.scope.sockets)[state.monitor].ended
        flags |= IS_OPEN | ENDED * ended | MAY_REFUSE * bool(state.outlook[0] & REFUSED)
    return flags


def _letters(graph: StateGraph, state: GraphState) -> str:
    states = monitor_states(graph.scope.sockets)
    return "".join(
        LETTERS[states[socket].status + 3 * (outlook & (DELIVERED | SKIPPED | REPEATED))]
        for socket, outlook in zip(state.sockets, state.outlook[1:], strict=True)
    )


def _place(graph: StateGraph, state: GraphState) -> Iterator[str | int]:
    # With positions in place of the names of sockets in the table.
    positions = {name: position for position, name in enumerate(state.names)}
    for word in re.split(r"(\w+)", state.place):
        if word:
            yield positions.get(word, word)


def _move(taken: Taken) -> Hashable:
    transition = taken.edge.transition
    match transition.effect:
        case Shift(to, added, moved):
            assert isinstance(transition.label, Change)
            line, position = _line(transition.label)
            return line, position, to, added, moved
        case Turns() as turns:
            flags = OVER * turns.over | STOPS * turns.stops | FRESH * turns.fresh | IS_REFUSED * turns.refused
            flags |= HANDED * turns.handed | FAIL * (transition.label == "fail") | BEGINS * (taken.edge.mode == "one")
            return turns.shown, turns.turns, turns.looks, turns.allocations, flags
        case _:
            return ()


def _line(change: Change) -> tuple[str, int]:
    # The line of a change, with `SOCKET` for the name, and the position of that socket.
    match change:
        case Add(_, end, bucket):
            return spell(Add(SOCKET, end, bucket))[0], GONE
        case Remove(position):
            return spell(Remove(SOCKET))[0], int(position)
        case Reinsert(position, end):
            return spell(Reinsert(SOCKET, end))[0], int(position)
    # The graph leaves out all others.
    assert isinstance(change, Rehash)
    return spell(Rehash(SOCKET, change.bucket))[0], int(change.name)
