"""The seam between what is done and who does it: a target, its session, and a backend for one iteration.

Decided here: what every target has to offer, be it a model or a running kernel. Drivers, replay and the minimizer know
these protocols and nothing below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sockiter.claims import Hazard, KnownFailure, hazards_of, in_order
from sockiter.errors import Inconclusive, TooBusy
from sockiter.history import History
from sockiter.operations import Add, Bucket, Open, Operation, Rehash, Reinsert, changes

SLOTS = 16
"""The slots of an iterator's batch at open, in every kernel that has batches."""
TRIES = 3
"""How often a sequence is tried for which the machine is too busy."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a backend must be laid out for: the number of buckets of each table that is named, and the slots at open.

    A sequence that names no bucket of a table needs none of it, but the first table ("") always has one bucket.
    """

    buckets: tuple[tuple[str, int], ...] = (("", 1),)
    slots: int = SLOTS

    def phases(self, tables: Sequence[str]) -> list[tuple[str, int]]:
        """The tables in the order of the walk, each with its number of buckets, which may be none but for the first."""
        counts = dict(self.buckets)
        first = max(counts.get("", 0), counts.get(tables[0], 0), 1)
        return [(tables[0], first), *((table, counts.get(table, 0)) for table in tables[1:])]


class Backend(Protocol):
    """One iteration over one table, driven an operation at a time."""

    history: History

    def apply(self, operation: Operation) -> None:
        """Carry out one operation and record what came of it in `history`.

        The operations of one backend, in order, are a sequence that `operations.check` accepts, or the beginning of one.
        """

    def state(self) -> tuple[tuple[str, ...], ...] | None:
        """The names in each bucket from head to tail, in the order of the walk; None where nobody can know."""

    def place(self) -> str:
        """How far the iterator has come, in its own terms ("" where nobody can know)."""

    def close(self) -> None:
        """End the iteration and let go of everything it held; a second call does nothing."""


class Session(Protocol):
    """What a target needs once for many iterations; one thread uses it."""

    def begin(self, shape: Shape) -> Backend:
        """A fresh, empty table and an iterator that is not open yet. Ends what an earlier call began."""


class Target(Protocol):
    """Something that walks sockets: a scheme in the simulation, or an iterator of the running kernel."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """One line: what it is."""

    @property
    def progress(self) -> str:
        """The title of what `Backend.place` tells, as in the RFC's tables; "" where it tells nothing."""

    @property
    def hazards(self) -> frozenset[Hazard]:
        """The hazards that it can be put through."""

    @property
    def unable(self) -> Mapping[Hazard, str]:
        """Why it cannot be put through other hazards, where there is more to say than that it cannot."""

    @property
    def detected_scheme(self) -> str | None:
        """The name of the scheme that the running kernel was detected to use; None for any other target, and where no known
        scheme matches."""

    @property
    def has_tail(self) -> bool:
        """Whether sockets can be put in again at the tail of its first table."""

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """What it admits; all else it claims not to do."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables in the order of the walk; the first is also called ""."""

    @property
    def slots(self) -> int | None:
        """The only number of slots at open that it can have; None: any."""

    @property
    def is_real(self) -> bool:
        """Whether this is the running kernel: a step costs system calls and nothing inside it can be seen."""

    def missing(self) -> str | None:
        """What the machine lacks to run it, in one line that says what was probed; None: it runs here."""

    def session(self) -> AbstractContextManager[Session]:
        """Set up what many iterations share, and take it down again; raises `Unavailable`."""


def shape_of(operations: Iterable[Operation], *, slots: int = SLOTS) -> Shape:
    """The least shape in which the operations can be carried out."""
    highest: dict[str, int] = {"": 0}
    for op in operations:
        for change in changes(op):
            if isinstance(change, (Add, Rehash)):
                bucket: Bucket = change.bucket
                highest[bucket.table] = max(highest.get(bucket.table, 0), bucket.number)
    return Shape(tuple((table, number + 1) for table, number in highest.items()), slots)


def refusal(target: Target, operations: Sequence[Operation], shape: Shape) -> str | None:
    """Why this target cannot carry out these operations on any machine, in one line; None: it can."""
    if why := barred(target, hazards_of(operations)):
        return why
    if not target.has_tail and (name := _reinserted_at_tail(operations)) is not None:
        return f"{target.name} has buckets without a tail: {name} cannot be put in there again"
    for table, _ in shape.buckets:
        if table and table not in target.tables:
            return f"{target.name} has no table named {table!r}"
    if target.slots is not None and shape.slots != target.slots:
        return f"{target.name} has {target.slots} slots at open; the case asks for {shape.slots}"
    return None


def barred(target: Target, hazards: Iterable[Hazard]) -> str | None:
    """Which of these hazards a target cannot be put through, and why, in one line; None: it can be put through all."""
    unable = in_order(frozenset(hazards) - target.hazards)
    reasons = [f"{hazard} ({target.unable[hazard]})" if hazard in target.unable else hazard for hazard in unable]
    return f"{target.name} cannot be put through: {', '.join(reasons)}" if reasons else None


def _reinserted_at_tail(operations: Sequence[Operation]) -> str | None:
    opened = False
    for op in operations:
        opened = opened or type(op) is Open
        for change in changes(op):
            if opened and type(change) is Reinsert and change.end == "tail":
                return change.name
    return None


def run(session: Session, target: Target, operations: Sequence[Operation], *, slots: int = SLOTS) -> History:
    """Carry out a whole sequence; raises `Inconclusive` for one that this target cannot carry out."""
    shape = shape_of(operations, slots=slots)
    if why := refusal(target, operations, shape):
        raise Inconclusive(why)
    return patiently(lambda: carried_out(session.begin(shape), operations))


def carried_out(backend: Backend, operations: Iterable[Operation]) -> History:
    """What came of these operations; the backend is closed, however they end."""
    try:
        for op in operations:
            backend.apply(op)
        return backend.history
    finally:
        backend.close()


def patiently(attempt: Callable[[], T]) -> T:
    """What an attempt comes to, which is made again where the machine is too busy for it; the last one raises `TooBusy`."""
    for _ in range(TRIES - 1):
        with suppress(TooBusy):
            return attempt()
    return attempt()
