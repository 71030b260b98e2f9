"""The protocols between drivers and the systems under test: a target, its session, and a backend for one iteration.

Models and running kernels implement the same protocols. Drivers, replay and the minimizer depend on these protocols only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from sockiter.claims import Hazard, KnownFailure, hazards_of, in_order
from sockiter.errors import Inconclusive, TooBusy
from sockiter.history import History
from sockiter.operations import LISTENING, Accept, Add, Bucket, Close, Open, Operation, Rehash, Reinsert, changes
from sockiter.readers import SPELLED, Feature, features_of, lacking

SLOTS = 16
"""The slots of an iterator's batch at open, in every kernel that has batches."""
TRIES = 3
"""Attempts at a sequence that times out on a busy machine."""

T = TypeVar("T")

ReasonKind = Literal[
    "missing", "hazard", "feature", "connection", "tail", "table", "slots", "expectation", "inconclusive", "failed"
]
"""A prerequisite is missing here. The target does not support a hazard or a feature of the case; a socket is no connection;
the target has no tail, no such table, or other slots at open. The case expects nothing of the target. The target could not
carry out or judge the case this time. Its session failed."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a case does not run on a target. `text` is one line; `hazards` are the unsupported ones of the kind "hazard"."""

    kind: ReasonKind
    text: str
    hazards: tuple[Hazard, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a backend: the number of buckets of each named table, and the slots at open.

    A table that no operation names has no buckets. The first table ("") always has at least one bucket.
    """

    buckets: tuple[tuple[str, int], ...] = (("", 1),)
    slots: int = SLOTS

    def phases(self, tables: Sequence[str]) -> list[tuple[str, int]]:
        """The tables in the order of the walk, each with its number of buckets. Tables behind the first may have none."""
        counts = dict(self.buckets)
        first = max(counts.get("", 0), counts.get(tables[0], 0), 1)
        return [(tables[0], first), *((table, counts.get(table, 0)) for table in tables[1:])]


class Backend(Protocol):
    """One iteration over one table, driven an operation at a time."""

    history: History

    def apply(self, operation: Operation) -> None:
        """Carry out one operation and record its result in `history`.

        The operations of one backend, in order, form a sequence that `operations.check` accepts, or the beginning of one.
        """

    def state(self) -> tuple[tuple[str, ...], ...] | None:
        """The names in each bucket from head to tail, in the order of the walk; None where the backend cannot see them."""

    def place(self) -> str:
        """The position of the iterator, in the iterator's own terms; "" where the backend cannot see the position."""

    def close(self) -> None:
        """End the iteration and release its resources; a second call does nothing."""


class Session(Protocol):
    """Resources that a target sets up once for many iterations. One thread uses a session."""

    def begin(self, shape: Shape) -> Backend:
        """Return a backend with an empty table and an iterator that is not open yet. Ends the iteration of an earlier
        call."""


class Target(Protocol):
    """Something that walks sockets: a scheme in the simulation, or an iterator of the running kernel."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """A description in one line."""

    @property
    def progress(self) -> str:
        """The column title for `Backend.place`, as in the RFC's tables; "" where `place` returns nothing."""

    @property
    def hazards(self) -> frozenset[Hazard]:
        """The hazards that this target supports."""

    @property
    def unable(self) -> Mapping[Hazard, str]:
        """The reasons why this target does not support other hazards, where a reason is known."""

    @property
    def features(self) -> frozenset[Feature]:
        """The features of sequences that this target supports."""

    @property
    def lacks(self) -> Mapping[Feature, str]:
        """The reasons why this target does not support other features, where a reason is known."""

    @property
    def detected_scheme(self) -> str | None:
        """The name of the scheme that the running kernel was detected to use. None for a model, and where no known scheme
        matches."""

    @property
    def in_place(self) -> frozenset[Hazard]:
        """Of close and accept those whose successor takes its predecessor's place; other successors go to the head."""

    @property
    def has_tail(self) -> bool:
        """Whether sockets can be reinserted at the tail of the first table."""

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """The known failures of this target. The target claims to have no others."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables in the order of the walk; the first is also called ""."""

    @property
    def buckets_max(self) -> int | None:
        """The most buckets of each table, 1 for a target that walks one list; None: any number."""

    @property
    def slots(self) -> int | None:
        """The only number of slots at open that this target supports; None: any number."""

    @property
    def is_real(self) -> bool:
        """Whether this target is the running kernel: each step costs system calls, and its internal state is hidden."""

    def missing(self) -> str | None:
        """The missing prerequisite on this machine, in one line that names the probe; None: the target runs here."""

    def session(self) -> AbstractContextManager[Session]:
        """Set up the shared resources of many iterations and release them at the end; raises `Unavailable`."""


def shape_of(operations: Iterable[Operation], *, slots: int = SLOTS) -> Shape:
    """The smallest shape in which the operations can be carried out."""
    highest: dict[str, int] = {"": 0}
    for op in operations:
        for change in changes(op):
            if isinstance(change, (Add, Rehash)):
                bucket: Bucket = change.bucket
                highest[bucket.table] = max(highest.get(bucket.table, 0), bucket.number)
    return Shape(tuple((table, number + 1) for table, number in highest.items()), slots)


def refusal(target: Target, operations: Sequence[Operation], shape: Shape) -> Reason | None:
    """The reason why this target cannot carry out the operations on any machine; None: it can."""
    hazards = hazards_of(operations)
    if target.is_real and any(type(op) is Close for op in operations):
        # Also above `open`: on a kernel, the connection has to be there to be closed.
        hazards |= {"close"}
    if why := barred(target, hazards):
        return why
    if missing := lacking(features_of(operations), target.features):
        reasons = [f" ({target.lacks[feature]})" if feature in target.lacks else "" for feature in missing]
        spelled = [SPELLED[feature] + why for feature, why in zip(missing, reasons, strict=True)]
        return Reason("feature", f"{target.name} does not support {', '.join(spelled)}")
    if (name := _not_a_connection(operations, target.tables)) is not None:
        text = f"{target.name}: {name} is a listening socket; only connections can be closed or accepted"
        return Reason("connection", text)
    if not target.has_tail and (name := _reinserted_at_tail(operations)) is not None:
        return Reason("tail", f"{target.name} has buckets without a tail: {name} cannot be reinserted there")
    for table, number in shape.buckets:
        if table and table not in target.tables:
            return Reason("table", f"{target.name} has no table named {table!r}")
        if target.buckets_max is not None and number > target.buckets_max:
            return Reason("table", f"{target.name} has {_buckets(target.buckets_max)}; the case needs {number}")
    if target.slots is not None and shape.slots != target.slots:
        return Reason("slots", f"{target.name} has {target.slots} slots at open; the case needs {shape.slots}")
    return None


def barred(target: Target, hazards: Iterable[Hazard]) -> Reason | None:
    """The hazards that a target does not support, with the reasons; None: it supports all of them."""
    unable = in_order(frozenset(hazards) - target.hazards)
    reasons = [f"{hazard} ({target.unable[hazard]})" if hazard in target.unable else hazard for hazard in unable]
    return Reason("hazard", f"{target.name} does not support: {', '.join(reasons)}", tuple(unable)) if unable else None


def _buckets(number: int) -> str:
    return "one bucket" if number == 1 else f"{number} buckets"


def _reinserted_at_tail(operations: Sequence[Operation]) -> str | None:
    opened = False
    for op in operations:
        opened = opened or type(op) is Open
        for change in changes(op):
            if opened and type(change) is Reinsert and change.end == "tail":
                return change.name
    return None


def _not_a_connection(operations: Sequence[Operation], tables: Sequence[str]) -> str | None:
    # The first socket in a table of listening sockets that is closed, or enters as a request socket.
    if LISTENING not in tables:
        return None
    listening: set[str] = set()
    for op in operations:
        for change in changes(op):
            if isinstance(change, (Add, Rehash)):
                is_listening = (change.bucket.table or tables[0]) == LISTENING
                (listening.add if is_listening else listening.discard)(change.name)
                if is_listening and isinstance(change, Add) and "request" in change.properties:
                    return change.name
            elif isinstance(change, (Close, Accept)) and change.name in listening:
                return change.name
    return None


def run(session: Session, target: Target, operations: Sequence[Operation], *, slots: int = SLOTS) -> History:
    """Carry out a whole sequence; raises `Inconclusive` if this target cannot carry out the sequence."""
    shape = shape_of(operations, slots=slots)
    if why := refusal(target, operations, shape):
        raise Inconclusive(why.text)
    return patiently(lambda: carried_out(session.begin(shape), operations))


def carried_out(backend: Backend, operations: Iterable[Operation]) -> History:
    """Carry out the operations and return their history. The backend is closed in any case."""
    try:
        for op in operations:
            backend.apply(op)
        return backend.history
    finally:
        backend.close()


def patiently(attempt: Callable[[], T]) -> T:
    """Return the result of an attempt. A timeout on a busy machine causes a retry; the last attempt raises `TooBusy`."""
    for _ in range(TRIES - 1):
        with suppress(TooBusy):
            return attempt()
    return attempt()
