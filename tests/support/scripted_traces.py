"""Traces for tests: of a case on a scheme, and of a target with scripted answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

from sockiter.backend import Shape
from sockiter.cases import loads
from sockiter.claims import HAZARDS, Hazard, KnownFailure
from sockiter.history import Event, History, Returned
from sockiter.operations import Open, Operation
from sockiter.readers import FEATURES, Feature
from sockiter.report.trace import Names, Trace, trace
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, AnyScheme, Grow
from sockiter.simulation import SchemeTarget
from sockiter.table import Table
from tests.support.generator_schemes import Generated, Reading

END = Returned(())


def traced(text: str, scheme: AnyScheme) -> Trace:
    target = SchemeTarget(scheme)
    with target.session() as session:
        return trace(loads(text), target, session)


class Place(NamedTuple):
    shown: int = 0


class Impatient(Generated):
    """Walks the first bucket, wants memory before every read, and returns ENOMEM where it is refused; or always."""

    name = "impatient"
    summary = "wants memory"
    progress = "Shown"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    known_failures = ()

    def __init__(self, *, is_hopeless: bool = False) -> None:
        self.is_hopeless = is_hopeless

    def open(self, slots: int, table: Table) -> Place:
        return Place()

    def read(self, state: Place, table: Table) -> Reading:
        granted, table = yield Grow(1)
        if self.is_hopeless or not granted:
            return state, "ENOMEM"
        shown = state.shown
        for socket in table.buckets[0][shown:]:
            goes_on, table = yield socket
            if not goes_on:
                break
            shown += 1
        return Place(shown), None

    def place(self, state: Place) -> str:
        return f"0:{state.shown}"


class Scripted:
    """A scripted target: the events at open and of each later operation, and the table after each."""

    name = "scripted"
    summary = "does as told"
    progress = ""
    hazards: frozenset[Hazard] = frozenset(HAZARDS)
    known_failures: tuple[KnownFailure, ...] = ()
    buckets_max = None
    slots = None
    unable: ClassVar[dict[Hazard, str]] = {}
    has_tail = True
    features = frozenset(FEATURES)
    lacks: Mapping[Feature, str] = {}
    in_place: ClassVar[frozenset[Hazard]] = frozenset()
    detected_scheme = None
    is_real = True

    def __init__(
        self,
        opened: Sequence[str],
        script: Sequence[Sequence[Event]],
        *,
        states: Sequence[Names] | None = None,
        tables: tuple[str, ...] = ("",),
        at_open: Sequence[Event] = (),
    ) -> None:
        self._at_open = at_open
        self.tables = tables
        self.history = History(tuple(opened))
        self._script = list(script)
        self._states = None if states is None else list(states)

    def missing(self) -> None:
        return None

    @contextmanager
    def session(self) -> Iterator[Scripted]:
        yield self

    def begin(self, shape: Shape) -> Scripted:
        self._is_open = False
        return self

    def apply(self, operation: Operation) -> None:
        if self._is_open:
            self.history.events += self._script.pop(0)
            if self._states is not None and len(self._states) > 1:
                self._states.pop(0)
        if isinstance(operation, Open):
            self._is_open = True
            self.history.events += self._at_open

    def state(self) -> Names | None:
        return None if self._states is None else self._states[0]

    def place(self) -> str:
        return ""

    def close(self) -> None:
        pass


def scripted(
    text: str,
    opened: str,
    script: Sequence[Sequence[Event]],
    *,
    states: Sequence[Names] | None = None,
    at_open: Sequence[Event] = (),
) -> Trace:
    target = Scripted(opened.split(), script, states=states, at_open=at_open)
    return trace(loads(text), target, target)
