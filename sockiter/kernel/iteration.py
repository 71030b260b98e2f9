"""One iteration over real sockets, one operation at a time, for every kind of sockets and every walk.

The module turns operations into system calls, also inside a read, and records the history. Not known here: how a socket
gets to a bucket and an end of it (`sockets`), how a table is walked (`walks`), how a read is stopped (`stops`), and the
judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import errorcode

from sockiter.claims import Hazard
from sockiter.errors import Inconclusive, Unavailable
from sockiter.history import GaveUp, History, Reopened, Returned, Shown, is_last
from sockiter.kernel.bpf.faults import fail_next, fail_none
from sockiter.kernel.bpf.modes import Modes
from sockiter.kernel.bpf.stops import Stop, Stops
from sockiter.kernel.dumps import DiagReader
from sockiter.kernel.elements import Elements
from sockiter.kernel.walks import Reader, Walk
from sockiter.operations import (
    READS_MAX,
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Fail,
    Life,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    prevents,
    reads_max,
    update_lives,
)


class Iteration:
    """A `sockiter.backend.Backend` on the running kernel. Its place is unknown: the kernel does not reveal it.

    `order`: the available buckets, in the order of the walk. `stops`: stops reads, None if reads cannot be stopped.
    `destroys`: whether the iterating program can destroy a socket. `modes`: switches the program's modes, None for a walk
    without a program. `in_place`: as of a `Capabilities`.
    """

    def __init__(
        self,
        target: str,
        walk: Walk,
        elements: Elements,
        order: Sequence[Bucket],
        stops: Stops | None,
        *,
        destroys: bool,
        modes: Modes | None = None,
        in_place: frozenset[Hazard] = frozenset(),
    ) -> None:
        self.history = History()
        self._target = target
        self._walk = walk
        self._elements = elements
        self._stops = stops
        self._destroys = destroys
        self._modes = modes
        self._in_place = in_place
        self._reader: Reader | None = None
        # By the walk's number of a socket. Entries stay, since a read may return sockets that were shown earlier.
        self._names: dict[int, str] = {}
        # The table until open; from then on, only the kernel knows it.
        self._order: dict[Bucket, list[str]] = {bucket: [] for bucket in order}
        self._first_table = order[0].table
        self._lives: dict[str, Life] = {}
        # The first bucket of each socket that is bound by number.
        self._homes: dict[str, Bucket] = {}
        # The sockets that the reader filters out.
        self._unwanted: set[str] = set()
        # Whether the program stores the sockets that it shows, and whether it destroys them, in the current operation.
        self._stores = self._destroying = False
        # Whether a program may have destroyed sockets whose changes are still to come.
        self._has_destroyed = False
        # The sockets recorded as shown and not yet delivered; and the socket of the current stop.
        self._early: list[int] = []
        self._turn: int | None = None
        self._script: list[At] = []
        # The name of a socket that left during the current read. If the walk still held it, no backend would see its turn.
        self._uncounted = ""

    def apply(self, operation: Operation) -> None:
        """Carry out one operation; raises `Unavailable` for an operation that this target does not support or has no room
        for."""
        match operation:
            case Read():
                self._read(operation)
            case Open():
                self._open()
            case Again():
                self._open_again()
            case _ if self._reader is None:
                self._arrange(operation)
            case _:
                self._change(operation)

    def state(self) -> tuple[tuple[str, ...], ...] | None:
        """The names in each bucket, from a new walk; None if that walk does not return all sockets."""
        if self._reader is None:
            return tuple(map(tuple, self._order.values()))
        self._elements.enter()
        buckets: dict[Bucket, list[str]] = {bucket: [] for bucket in self._order}
        fresh = self._walk.open()
        try:
            for _ in range(READS_MAX):
                if not (seen := fresh.read(self._walk.records_max + 1)):
                    break
                for name in map(self._name, seen):
                    buckets[self._elements.bucket(name)].append(name)
        except OSError:
            return None
        finally:
            fresh.close()
        # An iterator that skips without any change does not return all sockets.
        return tuple(map(tuple, buckets.values())) if sum(map(len, buckets.values())) == len(self._elements) else None

    def place(self) -> str:
        """An empty string: the place is unknown."""
        return ""

    def close(self) -> None:
        """Close the iterator and all sockets; a second call does nothing."""
        reader, self._reader = self._reader, None
        try:
            if reader is not None:
                reader.close()
        finally:
            self._elements.close()

    def _place(self, bucket: Bucket) -> Bucket:
        # A bucket without a table name belongs to the first table.
        return bucket if bucket in self._order else Bucket(bucket.number, self._first_table)

    def _arrange(self, change: Change) -> None:
        # Before open there is no walk, so the order of the system calls does not matter.
        if isinstance(change, Add):
            self._note(change)
            bucket = self._order[self._place(change.bucket)]
            bucket.insert(0 if change.end == "head" else len(bucket), change.name)
            return
        bucket = next(names for names in self._order.values() if change.name in names)
        if isinstance(change, Destroy) and change.name in self._homes:
            change = Rehash(change.name, self._homes[change.name])
        match change:
            case Close(name) | Accept(name):
                self._note(change)
                if ("close" if isinstance(change, Close) else "accept") not in self._in_place:
                    bucket.remove(name)
                    bucket.insert(0, name)
            case Remove(name) | Destroy(name):
                bucket.remove(name)
            case Reinsert(name, end):
                bucket.remove(name)
                bucket.insert(0 if end == "head" else len(bucket), name)
            case Rehash(name, to) if bucket is not (destination := self._order[self._place(to)]):
                bucket.remove(name)
                destination.insert(0, name)

    def _open(self) -> None:
        self._elements.check_room({bucket: len(names) for bucket, names in self._order.items()})
        for bucket, names in self._order.items():
            for name in reversed(names) if self._elements.has_head else names:
                self._make(name, bucket)
        self._elements.enter()
        self.history.opened = tuple(name for names in self._order.values() for name in names if name not in self._unwanted)
        self.history.buckets = {
            name: bucket if bucket.table != self._first_table else Bucket(bucket.number)
            for bucket, names in self._order.items()
            for name in names
        }
        self._reader = self._walk.open()
        self._show(self._reader.shown(()))

    def _open_again(self) -> None:
        self._elements.enter()
        reader, self._reader = self._reader, None
        assert reader is not None
        reader.close()
        self._early = []
        self._reader = self._walk.open()
        self.history.events.append(Reopened())
        self._show(self._reader.shown(()))

    def _make(self, name: str, bucket: Bucket) -> None:
        # Put a socket of the table at open to the head of its bucket, or to the only end, as what it is by now.
        life = self._lives.get(name)
        home = self._homes.get(name, bucket)
        self._add(name, "head" if self._elements.has_head else "tail", home, life)
        if home != bucket:
            self._elements.rehash(name, bucket)
        if life == "closed":
            self._elements.finish(name)

    def _add(self, name: str, end: End, bucket: Bucket, life: Life | None) -> None:
        elements = self._elements
        unwanted = name in self._unwanted
        if life == "request":
            number = elements.add_request(name, bucket, unwanted=unwanted)
        elif life == "bound" or unwanted:
            number = elements.add(name, end, bucket, bound=life == "bound", unwanted=unwanted)
        else:
            number = elements.add(name, end, bucket)
        self._names[number] = name

    def _note(self, change: Add | Close | Accept) -> None:
        if isinstance(change, Add):
            if "unwanted" in change.properties:
                self._unwanted.add(change.name)
            if "bound" in change.properties:
                self._homes[change.name] = self._place(change.bucket)
        update_lives(self._lives, change)

    def _change(self, change: Change) -> None:
        match change:
            case Add(name, end, bucket, properties):
                if properties:
                    self._note(change)
                self._add(name, end, self._place(bucket), self._lives.get(name))
            case _ if self._has_destroyed and change.name not in self._elements:
                return  # the program destroyed it
            case Remove(name):
                self._elements.remove(name)
            case Close(name):
                self._note(change)
                self._elements.finish(name)
            case Accept(name):
                self._note(change)
                self._elements.accept(name)
            case Destroy(name):
                before = self._elements.bucket(name)
                if (home := self._elements.destroy(name)) is not None:
                    if home == before:
                        return
                    change = Rehash(name, home)
            case Reinsert(name, end):
                self._elements.reinsert(name, end)
            case Rehash(name, bucket) if not self._elements.rehash(name, self._place(bucket)):
                return
        self.history.changed(change, self._first_table)

    def _read(self, operation: Read) -> None:
        self._script = list(operation.at)
        self._uncounted = ""
        if self._script:
            self._elements.prepare(len(self._script))
            if requests := sum(isinstance(at.what, Add) and "request" in at.what.properties for at in self._script):
                self._elements.prepare_requests(requests)
        if self._stops is not None:
            self._stops.begin()
        if operation.silent or operation.destroying or operation.unit == "bytes" or self._unwanted:
            self._read_in_mode(operation)
        else:
            self._read_on(operation)
        if self._stops is not None and any(isinstance(at.what, Fail) for at in operation.at):
            fail_none(self._stops.thread)
        self._elements.sweep()
        self._check_turns_are_counted()
        for at in self._script:
            if not isinstance(at.what, Fail):
                self._change_inside(at.what)

    def _read_in_mode(self, operation: Read) -> None:
        # The mode ends before anything else walks: the sockets learn their buckets by walks with the same program.
        if self._modes is None:
            self._has_destroyed = self._has_destroyed or operation.destroying
            self._read_on(operation)
            return
        if operation.destroying:
            self._check_entries()
        self._destroying = operation.destroying
        self._has_destroyed = self._has_destroyed or operation.destroying
        self._stores = self._modes.begin(operation, filters=bool(self._unwanted))
        try:
            self._read_on(operation)
        finally:
            self._modes.end()
            self._stores = self._destroying = False

    def _check_entries(self) -> None:
        # bpf_sock_destroy reads a member that only whole sockets have.
        become = any(
            isinstance(at.what, Close) or (isinstance(at.what, Add) and "request" in at.what.properties)
            for at in self._script
        )
        if become or any(self._elements.small(name) for name in self._names.values()):
            why = "a program cannot destroy request sockets and connections in TIME_WAIT"
            raise Inconclusive(f"{self._target}: {why}")

    def _read_on(self, operation: Read) -> None:
        for _ in range(reads_max(operation)):
            returned = self._read_once(operation)
            if is_last(operation, returned):
                break
        else:
            self.history.events.append(GaveUp())

    def _read_once(self, operation: Read) -> Returned:
        reader = self._reader
        assert reader is not None
        count = self._walk.records_max + 1 if operation.count is None else operation.count
        numbers: Sequence[int] = ()
        error = None
        try:
            if self._script:
                if self._stops is None:
                    raise Unavailable(f"{self._target} does not support changes inside a read here")
                numbers = reader.read_with_stops(count, operation.unit, self._stops, self._on_stop)
            else:
                numbers = reader.read(count, operation.unit)
        except OSError as problem:
            error = errorcode.get(problem.errno or 0, str(problem.errno))
        # What was left from earlier reads comes first, also in a silent read, whose program does not run then.
        silent = operation.silent and not numbers
        if self._stores:
            numbers = self._show_stored(numbers, silent=silent)
        elif error is None:
            self._show_read(reader, numbers)
        names = tuple([self._name(number) for number in numbers])
        events = self.history.events
        if error is None and not silent:
            returned = Returned(names, None, reader.is_cut, interrupted=reader.interrupted)
        else:
            returned = Returned(names, error, silent=silent)
        events.append(returned)
        if operation.destroying and self._modes is None:
            self._destroy_received(numbers)
        return returned

    def _destroy_received(self, numbers: Sequence[int]) -> None:
        # As `ss -K`, which goes on if a socket is not found.
        assert isinstance(self._reader, DiagReader)
        for number in numbers:
            if self._reader.destroy(number):
                name = self._name(number)
                self._elements.release(name)
                self.history.events.append(Destroy(name))

    def _show_read(self, reader: Reader, numbers: Sequence[int]) -> None:
        # The sockets that were shown by a read that returned these, and whose program stored none.
        if reader.ages:
            self._show_late(numbers, reader.ages)
        elif (shown := reader.shown(numbers)) is numbers and not self._early:
            self._turn = None
            self.history.events += [Shown(self._name(number)) for number in numbers]
        else:
            self._show(shown)

    def _show(self, shown: Sequence[int]) -> None:
        self._turn = None
        for number in shown:
            if number in self._early:
                self._early.remove(number)
            else:
                self.history.events.append(Shown(self._name(number)))

    def _show_stored(self, returned: Sequence[int], *, silent: bool) -> Sequence[int]:
        # The program stored the sockets that it showed; some were recorded at stops. Returns the delivered sockets.
        assert self._modes is not None
        self._turn = None
        if stored := self._modes.take():
            recorded, self._early = self._early, []
            for number in stored:
                if number in recorded:
                    recorded.remove(number)
                else:
                    self._record_shown(number)
            if not silent:
                self._early += stored
        if silent:
            return stored
        for number in returned:
            self._early.remove(number)
        return returned

    def _show_late(self, returned: Sequence[int], ages: Sequence[int]) -> None:
        # Records the turn of each socket in the read that produced its line. That can be one read too early, when the walk
        # was at its end by then. So it is not before the socket was added.
        events = self.history.events
        for number, age in zip(returned, ages, strict=True):
            name = self._name(number)
            at = len(events)
            while age:
                at -= 1
                if isinstance(events[at], Returned):
                    age -= 1
                elif isinstance(event := events[at], Add) and event.name == name:
                    at += 1
                    break
            events.insert(at, Shown(name))

    def _record_shown(self, number: int) -> None:
        name = self._name(number)
        self.history.events.append(Shown(name))
        if self._destroying and name in self._elements:
            if (home := self._homes.get(name)) is None:
                self._elements.release(name)
                self.history.events.append(Destroy(name))
            elif self._elements.has_returned(name, home):
                self.history.changed(Rehash(name, home), self._first_table)

    def _on_stop(self, stop: Stop) -> bool:
        # A read is stopped. All changes of this point are made before it continues.
        assert self._stops is not None
        self._check_turns_are_counted()
        if self._turn is not None:
            self._early.append(self._turn)
            self._record_shown(self._turn)
        self._turn = None
        due = [at for at in self._script if (at.point, at.nth) == (stop.point, stop.nth)]
        if not stop.others_can_act:
            due = [at for at in due if isinstance(at.what, Fail)]
        for at in due:
            self._script.remove(at)
            if isinstance(at.what, Fail):
                fail_next(self._stops.thread)
            else:
                self._change_inside(at.what, stop)
        name = self._name(stop.cookie) if stop.point == "show" else ""
        if name in self._elements and name not in self._unwanted and self._is_shown(name, stop):
            self._turn = stop.cookie
        return bool(self._script)

    def _check_turns_are_counted(self) -> None:
        # Only stops at each shown socket can count the turns of removed sockets.
        if self._uncounted and any(at.point == "show" for at in self._script):
            reason = "this kernel does not report the turn of a removed socket"
            raise Inconclusive(f"{self._target}: {reason}: {self._uncounted}")

    def _change_inside(self, change: Change, stop: Stop | None = None) -> None:
        # Points are not always reached in the order of their lines. Then a socket may be missing from the table, or may not
        # be able to change in this way yet.
        if not isinstance(change, Add) and (
            change.name not in self._elements or prevents(self._lives.get(change.name), change)
        ):
            return
        if isinstance(change, Rehash) and self._elements.bucket(change.name) == self._place(change.bucket):
            return
        at_its_turn = stop is not None and not isinstance(change, Add) and self._names.get(stop.cookie) == change.name
        if isinstance(change, (Remove, Destroy)) and at_its_turn and self._destroys and self._is_whole(change.name, stop):
            # By the iterating program, which runs for this socket.
            assert self._stops is not None
            assert stop is not None
            self._stops.destroy(stop.cookie)
            self._elements.release(change.name)
            self.history.events.append(change)
            return
        if stop is not None and self._stops is not None and not self._stops.at_entry:
            if at_its_turn:
                raise Inconclusive(f"{self._target}: this kernel holds the lock of socket {change.name} while it is shown")
            if isinstance(change, Destroy) and self._elements.destroys_by_walk:
                lock = f"this kernel holds the lock of socket {self._name(stop.cookie)} while it is shown"
                raise Inconclusive(f"{self._target}: {lock}, and destroying {change.name} takes a walk")
            if isinstance(change, (Remove, Close, Accept, Destroy)):
                self._uncounted = change.name
        self._change(change)

    def _is_shown(self, name: str, stop: Stop) -> bool:
        # Whether the iterator holds what is in the table by now: it does not show a socket that has a successor.
        assert self._stops is not None
        return not self._stops.at_entry or self._elements.small(name) == stop.small

    def _is_whole(self, name: str, stop: Stop | None) -> bool:
        # Whether the iterator holds a socket, which leaves when it is destroyed.
        held = stop.small if stop is not None else None
        return held is None and self._elements.small(name) is None and name not in self._homes

    def _name(self, number: int) -> str:
        name = self._names.get(number)
        if name is None:  # impossible: this namespace has no other sockets
            raise RuntimeError(f"{self._target} delivered socket number {number}, which does not belong to this iteration")
        return name
