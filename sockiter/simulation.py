"""A backend without a kernel: a table, a scheme that walks it, and the frame that user space reads through.

Decided here: the time when a socket is shown, the end of a run of the walk, and the time of the changes inside a read. Not
known here: the calls of user space (`frames`), the place-keeping of a scheme, and the judgement of a history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sockiter.backend import Shape
from sockiter.claims import Hazard
from sockiter.frames import frame_of
from sockiter.frames.frame import Produced
from sockiter.history import GaveUp, History, Reopened, Shown, is_last
from sockiter.operations import (
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    Fail,
    Life,
    Open,
    Operation,
    Point,
    Read,
    Rehash,
    Remove,
    has_tail,
    prevents,
    reads_max,
    update_lives,
)
from sockiter.readers import Feature
from sockiter.schemes.scheme import (
    AnyScheme,
    Done,
    Grow,
    Room,
    Show,
    buckets_max_of,
    generation_of,
    has_fixed_hash,
    is_dump,
    is_met,
    known_failures_of,
    line_bytes_of,
)
from sockiter.table import Socket, Table, empty

# The maximum number of objects of one read, shown or not. The read then returns to let the scheduler run (MAX_ITER_OBJECTS).
OBJECTS_MAX = 1_000_000


@lru_cache
def _laid_out(shape: Shape, tables: tuple[str, ...]) -> Table:
    return empty(tuple(shape.phases(tables)))


class Allocation(NamedTuple):
    """A requested allocation: the number of sockets shown before it in the same operation, and whether it was granted."""

    turns: int
    granted: bool


class Simulation:
    """A table, an iterator that keeps its place with `scheme`, and the history of both."""

    def __init__(
        self,
        scheme: AnyScheme,
        shape: Shape,
        *,
        records_max: int | None = None,
        objects_max: int = OBJECTS_MAX,
        in_place: frozenset[Hazard] = frozenset(),
    ) -> None:
        """`records_max`: the records of the frame's buffer, if not the usual number. `in_place`: of close and accept those
        whose successor takes its predecessor's place, and not the head."""
        self.scheme = scheme
        self.table = _laid_out(shape, scheme.tables)
        self.history = History()
        # The allocations of the last read operation, in order.
        self.allocations: list[Allocation] = []
        # Most schemes have one table without a name. Buckets of a named first table are recorded without that name.
        self._first_table = scheme.tables[0]
        self._record = self._record_renamed if self._first_table else self.history.events.append
        self._slots = shape.slots
        self._frame = frame_of(scheme)(shape.slots, line_bytes_of(scheme), records_max)
        self._records_max = self._frame.records_max
        self._objects_max = objects_max
        # The scheme's state between two reads; None: not open yet.
        self._between: Any = None
        # The scheme's state after each read(2) of the last operation.
        self._behind_reads: list[Any] = []
        self._gone: set[str] = set()
        self._unwanted: set[str] = set()
        self._lives: dict[str, Life] = {}
        # The first bucket of each socket that was bound by number.
        self._homes: dict[str, Bucket] = {}
        self._in_place = in_place
        # The current operation is silent; the current operation destroys, or an earlier one did.
        self._silent = self._destroying = self._destroyed = False
        # A dump has no program: its reader destroys the sockets of the records that it received. The buckets in which the
        # sockets of all further records were shown.
        self._is_dump = is_dump(scheme)
        self._has_fixed_hash = has_fixed_hash(scheme)
        self._shown_in: deque[int] = deque()
        # The changes inside the current read that are still due, and the progress of that read.
        self._script: dict[tuple[Point, int], list[tuple[int, At]]] = {}
        self._shows = self._looks = 0

    def apply(self, operation: Operation) -> None:
        match operation:
            case Read():
                self._read_operation(operation)
            case Open():
                self._between = self.scheme.open(self._slots, self.table)
                unwanted = self._unwanted
                self.history.opened = tuple(
                    [name for bucket in self.table.buckets for name, _ in bucket if name not in unwanted]
                )
                self.history.buckets = self.table.places()
                self._frame.open(self)
            case Again():
                self._between = self.scheme.open(self._slots, self.table)
                self.history.events.append(Reopened())
                self._silent = self._destroying = False
                self._script = {}
                self._shown_in.clear()
                self._frame.open(self)
            case _:
                self._change(operation)

    def state(self) -> tuple[tuple[str, ...], ...]:
        return self.table.names

    def place(self) -> str:
        return "" if self._between is None else self.scheme.place(self._between)

    def places(self) -> list[str]:
        """The place after each read(2) of the last operation that read."""
        return [self.scheme.place(state) for state in self._behind_reads]

    def close(self) -> None:
        """Do nothing: a simulation holds no resources."""

    def _change(self, change: Change) -> None:
        if type(change) is Add:
            if change.properties:
                self._note(change)
        elif self._destroyed and not self.table.has(change.name):
            return
        elif type(change) is Destroy and change.name in self._homes:
            change = Rehash(change.name, self._homes[change.name])
        table = self._succeeded(change) if isinstance(change, (Close, Accept)) else self.table.after(change)
        if table is not self.table:
            if not (self._has_fixed_hash and type(change) is Rehash):
                self.table = table
            if type(change) is Remove or type(change) is Destroy:
                self._gone.add(change.name)
            if self._between is not None:
                self._record(change)

    def _note(self, add: Add) -> None:
        if "unwanted" in add.properties:
            self._unwanted.add(add.name)
        if "bound" in add.properties:
            self._homes[add.name] = add.bucket
        update_lives(self._lives, add)

    def _succeeded(self, change: Close | Accept) -> Table:
        update_lives(self._lives, change)
        is_in_place = ("close" if type(change) is Close else "accept") in self._in_place
        return self.table.succeeded_in_place(change) if is_in_place else self.table.after(change)

    def _record_renamed(self, change: Change) -> None:
        self.history.changed(change, self._first_table)

    def _change_inside(self, change: Change) -> None:
        # Points are not always reached in the order of their lines. Then a socket may be missing from the table, or may not
        # be able to change in this way yet.
        if isinstance(change, Add) or (
            self.table.has(change.name) and not (self._lives and prevents(self._lives.get(change.name), change))
        ):
            self._change(change)

    def _read_operation(self, operation: Read) -> None:
        self._script = {}
        for index, at in enumerate(operation.at):
            self._script.setdefault((at.point, at.nth), []).append((index, at))
        self._shows = self._looks = 0
        self.allocations = []
        self._behind_reads = []
        self._silent, self._destroying = operation.silent, operation.destroying and not self._is_dump
        self._destroyed = self._destroyed or operation.destroying
        frame = self._frame
        if operation.count is None:
            size = (self._records_max + 1) * frame.record_bytes
        else:
            size = operation.count * (frame.record_bytes if operation.unit == "records" else 1)
        events = self.history.events
        for _ in range(reads_max(operation)):
            returned = frame.read(self, size, silent=operation.silent)
            events.append(returned)
            self._behind_reads.append(self._between)
            if self._is_dump:
                self._received(returned.delivered, destroying=operation.destroying)
            if is_last(operation, returned):
                break
        else:
            events.append(GaveUp())
        if self._script:
            # The changes that are still due, in the order of their lines.
            for _, at in sorted(chain.from_iterable(self._script.values()), key=itemgetter(0)):
                if not isinstance(at.what, Fail):
                    self._change_inside(at.what)

    def _received(self, delivered: Sequence[str], *, destroying: bool) -> None:
        # The records of a dump were received. Their reader destroys the sockets, one after the other.
        for name in delivered:
            bucket = self._shown_in.popleft()
            if destroying and is_met(self.scheme, name, bucket, self.table):
                self._change_inside(Destroy(name))

    def run(self, records: int) -> Produced:
        """One run of the walk, for the frame: from its state between two reads to so many records, an error or the end."""
        # The step after a shown socket precedes the check of the size. So a run that stops in mid-bucket leaves the scheme
        # at the first socket that is not shown.
        produced: list[str] = []
        objects = 0
        again = False
        resume = self.scheme.resume
        step = self.scheme.begin(self._between, self.table)
        while not isinstance(step, Done):
            request = step.waits_for
            granted = True
            if type(request) is Show:
                if len(produced) >= records and not self._silent:
                    granted = False
                elif objects >= self._objects_max:
                    again = self._silent or not produced
                    granted = False
                else:
                    objects += 1
                    granted = self._show(request.socket, produced)
            elif type(request) is Grow:
                granted = self._allocate(request.locked)
            elif type(request) is Room:
                granted = len(produced) + request.sockets <= records
            else:
                self._looks += 1
                if self._script:
                    self._look()
            step = resume(step, granted, self.table)
        self._between, error = step
        if again and error is None:
            error = "EAGAIN"
        return produced, error

    def generation(self) -> int:
        return generation_of(self.scheme, self.table)

    def _show(self, socket: Socket, produced: list[str]) -> bool:
        # False: the record did not fit. The program ran in vain, and the next read starts with this socket.
        name = socket.name
        self._shows += 1
        if self._script:
            for at in self._reached("show", self._shows):
                assert not isinstance(at.what, Fail)
                self._change_inside(at.what)
        # A socket without a name belongs to others, as in a table that all namespaces share.
        if name in self._gone or name in self._unwanted or not name:
            return True
        if self.table.successors and self.table.is_succeeded(socket):
            return True
        if len(produced) == self._records_max and not self._silent:
            return False
        produced.append(name)
        self.history.events.append(Shown(name))
        if self._is_dump:
            self._shown_in.append(self.table.where(name)[0])
        if self._destroying:
            # Only now: a program destroys a socket once its record fits.
            self._change_inside(Destroy(name))
        return True

    def _look(self) -> None:
        for at in self._reached("bucket", self._looks):
            assert not isinstance(at.what, Fail)
            self._change_inside(at.what)

    def _allocate(self, locked: bool) -> bool:
        granted = True
        if self._script:
            for at in self._reached("realloc", len(self.allocations) + 1, only_fail=locked):
                if isinstance(at.what, Fail):
                    granted = False
                else:
                    self._change_inside(at.what)
        self.allocations.append(Allocation(self._shows, granted))
        return granted

    def _reached(self, point: Point, nth: int, *, only_fail: bool = False) -> Sequence[At]:
        here = self._script.pop((point, nth), [])
        if only_fail and (waiting := [(index, at) for index, at in here if not isinstance(at.what, Fail)]):
            self._script[point, nth] = waiting
            here = [(index, at) for index, at in here if isinstance(at.what, Fail)]
        return [at for _, at in here]


class SchemeTarget:
    """A scheme as a target: it runs everywhere, with any number of slots, and its state is visible."""

    is_real = False
    slots: int | None = None
    detected_scheme: str | None = None
    in_place: frozenset[Hazard] = frozenset()

    lacks: Mapping[Feature, str] = {}

    def __init__(self, scheme: AnyScheme) -> None:
        self.scheme = scheme
        self.name = scheme.name
        self.summary = scheme.summary
        self.progress = scheme.progress
        self.hazards = scheme.hazards
        self.features = frame_of(scheme).features
        self.unable: Mapping[Hazard, str] = {}
        self.known_failures = known_failures_of(scheme)
        self.tables = scheme.tables
        self.buckets_max = buckets_max_of(scheme)
        self.has_tail = has_tail(scheme.tables[0])

    def missing(self) -> str | None:
        return None

    @contextmanager
    def session(self) -> Iterator[SchemeTarget]:
        yield self

    def begin(self, shape: Shape) -> Simulation:
        return Simulation(self.scheme, shape)
