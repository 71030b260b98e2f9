"""The transition system of a table and an iterator over it, modulo the names of the sockets.

Models the same frames as `simulation`, one transition at a time. A change during a waiting read is an ordinary transition,
so any number of changes may happen there. Sockets differ by their positions, and the scheme's canonical form (`Canonical`)
adds everything else that matters; states with equal forms are merged. The scheme's own step functions make every new state,
and the state is kept with its table and its value.

Read in whole records, a file of /proc/net behaves as a BPF iterator does: both step on before they look at the size. A dump
is read in whole messages, since a read inside a message makes no step. If its reader can destroy sockets, it reads any part
of a message: then the table may change between two requests to destroy. A call of a user-space loop ends where its room
ends.

Not known here: earlier deliveries, and the sockets that must still be delivered.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from sockiter.check.effects import Opening, Reopening, Shift, Transition, Turns
from sockiter.check.keys import in_key_order, new_names, with_names
from sockiter.check.states import NO_MESSAGES, Layout, Lives, Messages, PossibleChange, Record, SystemState
from sockiter.claims import CHANGES, HAZARD_OF, INSERTIONS_MAX, Hazard, in_order, without_implied
from sockiter.errors import Unsearchable
from sockiter.frames import reads
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import (
    LISTENING,
    Accept,
    Add,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Point,
    Rehash,
    Reinsert,
    Remove,
    has_tail,
    prevents,
    update_lives,
)
from sockiter.readers import Reader
from sockiter.schemes.scheme import (
    GONE,
    AnyScheme,
    Between,
    Done,
    Grow,
    Room,
    Show,
    Waiting,
    Where,
    buckets_max_of,
    frame_name,
    has_fixed_hash,
    has_keys,
    is_dump,
    is_met,
)
from sockiter.table import Table, empty

# Changes to a socket that stays in the table. A search counts each as a move.
MOVES = (Reinsert, Rehash, Close, Accept)
# The table before open is made of these.
_BEFORE_OPEN: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash"})
ReadLabel: TypeAlias = Literal["read", "read destroying", "fail"] | None


class TransitionSystem:
    """All states of a scheme under some hazards, with limits on the sockets at once and on the buckets of each table.

    States are numbered from 0, the empty table, in the order of their discovery.
    """

    def __init__(
        self,
        scheme: AnyScheme,
        hazards: frozenset[Hazard],
        sockets: int,
        buckets: int,
        batch: int,
        reader: Reader | None = None,
        *,
        any_key: bool = True,
    ) -> None:
        """`reader`: how all reads are made; None for reads of any size, and also destroying ones if that is a hazard.

        `any_key`: the key of a new socket may lie anywhere; otherwise it is above all others.
        """
        self.scheme = scheme
        self.states: list[SystemState] = []
        self._sockets = sockets
        self._batch = batch
        self._numbers: dict[Hashable, int] = {}
        self._known_changes: dict[Hashable, list[PossibleChange]] = {}
        self._known_reads: dict[tuple[int, bool], list[Transition]] = {}
        hazards = without_implied(hazards)
        self._is_dump = is_dump(scheme)
        self._is_loop = frame_name(scheme) == "loop"
        if self._is_dump and "remove" in hazards:
            # A reader that destroys makes the same changes, between the same reads.
            hazards -= {"destroying"}
        self._hazards = hazards
        if (self._is_dump or self._is_loop) and (inside := in_order(hazards - set(CHANGES) - {"destroying"})):
            how = "dumped in messages" if self._is_dump else "walked by a loop"
            raise Unsearchable(f"{scheme.name} is {how}: nothing is known about {', '.join(inside)}")
        if reader is not None and not reads(scheme, reader):
            raise Unsearchable(f"{scheme.name} cannot be read in this way: {reader.name}")
        self._is_silent = reader is not None and reader.silent
        self._stops = reader is None or reader.stops
        self._twice = reader is not None and reader.passes == 2
        if reader is not None:
            self._destroying: tuple[bool, ...] = (reader.destroys,)
        else:
            self._destroying = (True, False) if "destroying" in hazards else (False,)
        # Otherwise a dump is read in whole messages.
        self._takes_parts = self._is_dump and True in self._destroying
        # Insertions are counted if versions could roll over and must not.
        self._insertions = INSERTIONS_MAX if "rollover" in scheme.hazards - hazards else None
        buckets = min(buckets, buckets_max_of(scheme) or buckets)
        table = empty(tuple((name, buckets) for name in scheme.tables))
        # Buckets of the first table have no table name in a case.
        self._buckets = [
            Bucket(number - first, "" if nth == 0 else name)
            for nth, (name, first, end) in enumerate(table.phases)
            for number in range(first, end)
        ]
        self._connects = [name != LISTENING for name, first, end in table.phases for _ in range(first, end)]
        self._has_tail = [has_tail(name) for name, first, end in table.phases for _ in range(first, end)]
        self._has_keys, self._any_key = has_keys(scheme), any_key
        self._has_fixed_hash = has_fixed_hash(scheme)
        # Without a canonical form, nothing is merged.
        self._sorts = self._has_keys and hasattr(scheme, "canonical")
        self._canonical = getattr(scheme, "canonical", with_names if self._has_keys else literal)
        if self._insertions is not None:
            self._canonical = getattr(scheme, "canonical_in_order", self._canonical)
        self._number(SystemState(Layout(table, sockets), None))

    def labelled(self, number: int) -> list[Transition]:
        """The transitions from a state that are lines of a case, except for the beginnings of reads."""
        state = self.states[number]
        transitions = list(self._changes(state))
        if not state.is_open:
            scheme_state = self.scheme.open(self._batch, state.table)
            if scheme_state is None:
                raise Unsearchable(f"{self.scheme.name}: `open` returned None: expected any other hashable value")
            opened, shown = self._opened(state, scheme_state)
            transitions.append(Transition(self._number(opened), Opening(shown), "open"))
        elif state.inside == "realloc" and "enomem" in self._hazards:
            transitions += self._resumed(state, False, "fail")
        elif self._twice and not (state.inside or state.second or state.left):
            second, shown = self._opened(state, self.scheme.open(self._batch, state.table))
            second.second = True
            transitions.append(Transition(self._number(second), Reopening(shown=shown), "again"))
        return transitions

    def begun(self, number: int) -> list[Transition]:
        """The transitions from a state between two reads with which an operation begins that reads."""
        return [transition for destroying in self._destroying for transition in self._begun_once(number, destroying)]

    def internal(self, number: int) -> list[Transition]:
        """The transitions from a state that are no lines of a case. Before open there are none.

        A waiting read continues, or, between two reads, the next read begins. The last transition of a read runs on until
        the next point at which something can happen.
        """
        state = self.states[number]
        if not state.is_open:
            return []
        if self._takes_parts and state.current == "due":
            return [self._destroyed_next(state)]
        if state.current == "due":
            assert isinstance(state.request, Show)
            return [self._destroyed(state, state.request.socket.name, "gone")]
        if state.inside is not None:
            return list(self._resumed(state, True, None))
        return self._begun_once(number, state.destroying)

    def _begun_once(self, number: int, destroying: bool) -> list[Transition]:
        # The same reads begin and go on with the next read of a `read all`.
        known = self._known_reads.get((number, destroying))
        if known is None:
            known = self._known_reads[number, destroying] = list(self._begun(self.states[number], destroying))
        return known

    def _number(self, state: SystemState) -> int:
        key = self._key(state)
        number = self._numbers.setdefault(key, len(self.states))
        if number == len(self.states):
            self.states.append(state)
        return number

    def _key(self, state: SystemState) -> Hashable:
        table, at = state.table, state.at
        # The frame knows the current socket, whether or not the scheme's form includes that socket.
        request = state.request
        lives = tuple(sorted([(state.where[name], life) for name, life in state.lives.items()])) if state.lives else ()
        return (
            (type(at), state.left, state.fresh, state.destroying, state.current, state.second, lives),
            tuple([_placed(records, state) for records in state.messages]) if self._takes_parts else (),
            state.where.position(request.socket) if type(request) is Show else request is not None,
            state.where.lengths,
            self._canonical(at, table, state.where),
            self._insertions and table.ver,
        )

    def _changes(self, state: SystemState) -> Iterator[Transition]:
        if state.inside is not None and (
            state.current
            or HAZARD_OF[state.inside] not in self._hazards
            or (isinstance(state.request, Grow) and state.request.locked)
        ):
            return
        where, new = state.where, self._new_names(state)
        for possible in self._possible(state, new):
            name = where.names[possible.position] if possible.position >= 0 else new[possible.gap]
            change, to, effect = where.behind.get((possible, name)) or self._behind(state, possible, name)
            yield Transition(self._number(self._after(state, change, to)), effect, possible.label)

    def _new_names(self, state: SystemState) -> dict[str, str]:
        # The names that a new socket may get, by the number of the gap between keys ("" without keys).
        table = state.table
        if len(state.where) == self._sockets or (self._insertions is not None and table.ver >= self._insertions):
            return {}
        if not self._has_keys:
            return {"": f"s{table.ver}"}
        return dict(new_names(table, state.at)[: None if self._any_key else 1])

    def _behind(self, state: SystemState, possible: PossibleChange, name: str) -> tuple[Change, Layout, Shift]:
        change: Change = possible.kind(name, *possible.arguments)
        to = self._layout_after(state.where, change)
        # The order of keys is no part of a table's shape.
        effect = possible.effect
        if effect is None or self._has_keys:
            effect = possible.effect = _shift(state, change, to)
        behind = state.where.behind[possible, name] = change, to, effect
        return behind

    def _layout_after(self, where: Layout, change: Change) -> Layout:
        table = where.table if self._has_fixed_hash and type(change) is Rehash else where.table.after(change)
        return Layout(in_key_order(table) if self._sorts else table, self._sockets)

    def _possible(self, state: SystemState, new: Mapping[str, str]) -> list[PossibleChange]:
        # The possible changes depend on the lengths of the buckets, the lives of the sockets, and the gaps between keys.
        table, where = state.table, state.where
        may_insert = self._insertions is None or table.ver < self._insertions
        lives = {where[name]: life for name, life in state.lives.items()} if state.lives else {}
        key = where.lengths, state.is_open, may_insert, frozenset(lives.items()), tuple(new)
        known = self._known_changes.get(key)
        if known is None:
            # Before open, no operation counts as a hazard. There, sockets live as most do, except for new request sockets.
            on = self._hazards if state.is_open else _BEFORE_OPEN | (self._hazards & {"accept"})
            known = self._additions(on, new)
            of = [number for number, length in enumerate(where.lengths) for _ in range(length)]
            for position, own in enumerate(of):
                for possible in self._changes_to(position, own, on, may_insert):
                    if not ((possible.kind is Accept or lives) and prevents(lives.get(position), possible.label)):
                        known.append(possible)
            self._known_changes[key] = known
        return known

    def _additions(self, on: frozenset[Hazard], gaps: Iterable[str]) -> list[PossibleChange]:
        additions: list[PossibleChange] = []
        ends: tuple[End, End] = ("tail", "head")
        for number, bucket in enumerate(self._buckets):
            for end in ends if self._has_tail[number] else ends[1:]:
                if f"add-{end}" in on:
                    for gap in gaps:
                        additions.append(PossibleChange(Add, -1, (end, bucket), gap))
                        if "accept" in on and self._connects[number]:
                            additions.append(PossibleChange(Add, -1, (end, bucket, ("request",)), gap))
        return additions

    def _changes_to(self, position: int, own: int, on: frozenset[Hazard], may_insert: bool) -> Iterator[PossibleChange]:
        # The changes to the socket at a position, in this bucket.
        if "remove" in on:
            yield PossibleChange(Remove, position)
        elif "destroy" in on:
            yield PossibleChange(Destroy, position)
        if may_insert:
            if "reinsert" in on:
                for end in ("tail", "head") if self._has_tail[own] else ("head",):
                    yield PossibleChange(Reinsert, position, (end,))
            if "rehash" in on:
                for number, bucket in enumerate(self._buckets):
                    if number != own:
                        yield PossibleChange(Rehash, position, (bucket,))
            if self._connects[own]:
                if "close" in on:
                    yield PossibleChange(Close, position)
                elif "accept" in on:
                    yield PossibleChange(Accept, position)

    def _destroyed(self, state: SystemState, name: str, current: Literal["due", "gone"]) -> Transition:
        change = Destroy(name)
        to = self._layout_after(state.where, change)
        return Transition(self._number(self._after(state, change, to, current)), _shift(state, change, to), None)

    def _after(
        self, state: SystemState, change: Change, where: Layout, current: Literal["", "due", "gone"] = ""
    ) -> SystemState:
        # The state after a change, which leads to this layout.
        return SystemState(
            where,
            state.at,
            left=state.left,
            inside=state.inside,
            request=state.request,
            fresh=state.fresh,
            destroying=state.destroying,
            current=current,
            second=state.second,
            lives=_lives_after(state.lives, change),
            messages=state.messages,
        )

    def _opened(self, state: SystemState, scheme_state: Any) -> tuple[SystemState, tuple[int, ...]]:
        # The state behind the opening of an iterator, and the sockets that were shown by then.
        opened = state.after(scheme_state)
        return self._filled(opened) if self._is_dump else (opened, ())

    def _filled(self, state: SystemState) -> tuple[SystemState, tuple[int, ...]]:
        # The state behind the filling of the next message of a dump, and its sockets.
        shown: list[int] = []
        records: list[Record] = []
        waiting = self.scheme.begin(state.at, state.table)
        for _ in range(RECORDS_MAX):
            if isinstance(waiting, Done):
                if waiting.error is not None:
                    raise Unsearchable(f"{self.scheme.name}: a dump cannot end with {waiting.error}")
                messages = Messages((), tuple(records)) if self._takes_parts else NO_MESSAGES
                return state.after(waiting.state, left=bool(shown), messages=messages), tuple(shown)
            request = waiting.waits_for
            fits = True
            if type(request) is Show:
                fits = len(shown) < self._batch
                if fits:
                    shown.append(state.where.position(request.socket))
                    if self._takes_parts:
                        records.append(Record(request.socket.name, state.table.where(request.socket.name)[0]))
            waiting = self.scheme.resume(waiting, fits, state.table)
        raise Unsearchable(f"{self.scheme.name} makes more than {RECORDS_MAX} requests in a message")

    def _begun(self, state: SystemState, destroying: bool) -> Iterator[Transition]:
        label: Literal["read", "read destroying"] = "read destroying" if destroying else "read"
        if self._takes_parts:
            yield from self._taken(state, destroying, label)
            return
        if self._is_dump:
            # A message is received, and the next one is filled; or the end is received.
            message, shown = self._filled(state) if state.left else (state.after(state.at), ())
            yield Transition(self._number(message), Turns(shown, len(shown), over=True, handed=state.left), label)
            return
        if state.left:
            # The read only returns the records of a failed read.
            after = state.after(state.at, destroying=destroying)
            yield Transition(self._number(after), Turns(over=True, handed=True), label)
            return
        yield from self._runs(state, self.scheme.begin(state.at, state.table), Turns(), label, destroying)

    def _taken(self, state: SystemState, destroying: bool, label: ReadLabel) -> Iterator[Transition]:
        # The rest of a message, or a message that is received, or a part of either; or the end.
        rest, filled, _ = state.messages
        shown: tuple[int, ...] = ()
        after = state
        if not rest and filled:
            rest = filled
            after, shown = self._filled(state)
            filled = after.messages.filled
        for count in range(1 if self._stops and rest else len(rest), len(rest) + 1):
            is_due = destroying and bool(rest)
            turns = Turns(shown, len(shown), over=not is_due, stops=count < len(rest), handed=bool(rest), taken=count)
            messages = Messages(rest[count:], filled)
            left = bool(messages.rest or filled)
            if is_due:
                messages = messages._replace(due=rest[:count])
            to = after.after(
                after.at,
                left=left,
                destroying=destroying,
                inside="show" if is_due else None,
                current="due" if is_due else "",
                messages=messages,
            )
            yield Transition(self._number(to), turns, label)

    def _destroyed_next(self, state: SystemState) -> Transition:
        # The reader destroys the sockets of the returned records, one after the other; then its read is over.
        messages = state.messages
        while messages.due:
            (name, bucket), messages = messages.due[0], messages._replace(due=messages.due[1:])
            if is_met(self.scheme, name, bucket, state.table):
                before = state.after(
                    state.at, left=state.left, inside="show", destroying=True, current="due", messages=messages
                )
                return self._destroyed(before, name, "due")
        over = state.after(state.at, left=state.left, destroying=True, messages=messages)
        return Transition(self._number(over), Turns(over=True, handed=True), None)

    def _resumed(self, state: SystemState, is_granted: bool, label: Literal["fail"] | None) -> Iterator[Transition]:
        turns = Turns(fresh=True)
        if not state.current:
            turns = _answered(Turns(fresh=state.fresh), state.at.waits_for, state.where)
            if state.destroying and turns.shown:
                yield self._due(state, state.at, turns, label)
                return
        resumed = self.scheme.resume(state.at, is_granted, state.table)
        yield from self._runs(state, resumed, turns, label, state.destroying)

    def _runs(
        self, state: SystemState, waiting: Waiting | Done[Any], turns: Turns, label: ReadLabel, destroying: bool
    ) -> Iterator[Transition]:
        # Continues a read to its next wait or its end, and also to every earlier point at which it may have all its records.
        table, where = state.table, state.where
        for _ in range(RECORDS_MAX):
            if isinstance(waiting, Done):
                yield from self._over(state, waiting, turns, label, destroying)
                return
            request = waiting.waits_for
            if self._stops and self._may_stop(request, turns):
                stopped = self.scheme.resume(waiting, False, table)
                if not isinstance(stopped, Done):
                    raise Unsearchable(f"{self.scheme.name} asks for {stopped.waits_for} after it was stopped")
                yield from self._over(state, stopped, turns, label, destroying, stops=True)
            if (point := self._pause(request)) is not None:
                paused = state.after(
                    waiting,
                    inside=point,
                    request=None if isinstance(request, Between) else request,
                    # A read that shows a socket certainly continues.
                    fresh=turns.fresh and point != "show",
                    destroying=destroying,
                )
                yield Transition(self._number(paused), turns, label)
                return
            shown = len(turns.shown)
            turns = _answered(turns, request, where)
            if destroying and len(turns.shown) > shown:
                yield self._due(state, waiting, turns, label)
                return
            waiting = self.scheme.resume(waiting, True, table)
        raise Unsearchable(f"{self.scheme.name} makes more than {RECORDS_MAX} requests in a read")

    def _may_stop(self, request: object, turns: Turns) -> bool:
        # Whether there is a size with which a read stops here, and not earlier.
        if isinstance(request, Room):
            return turns.fresh or request.sockets > 1
        return type(request) is Show and turns.fresh and not self._is_loop

    def _due(self, state: SystemState, waiting: Waiting, turns: Turns, label: ReadLabel) -> Transition:
        # The current socket was shown, and is destroyed next.
        due = state.after(waiting, inside="show", request=waiting.waits_for, destroying=True, current="due")
        return Transition(self._number(due), turns, label)

    def _over(
        self,
        state: SystemState,
        done: Done[Any],
        turns: Turns,
        label: ReadLabel,
        destroying: bool,
        *,
        stops: bool = False,
    ) -> Iterator[Transition]:
        scheme_state, error = done
        shown, number, looks, allocations, _, _, fresh, *_ = turns
        refused = error is not None
        if self._is_loop and not stops:
            fresh = False  # it takes room for one more to come to the end
        silent = self._is_silent
        if refused and not silent:
            after = state.after(scheme_state, left=True, destroying=destroying)
            left = Turns(shown, number, looks, allocations, True, stops, fresh, refused, True)
            yield Transition(self._number(after), left, label)
            if shown:
                return
        over = Turns(shown, number, looks, allocations, True, stops, fresh, refused, False, False, silent)
        yield Transition(self._number(state.after(scheme_state, destroying=destroying)), over, label)

    def _pause(self, request: object) -> Point | None:
        # The point at which a read waits, if something can happen there.
        hazards = self._hazards
        if isinstance(request, Show):
            return "show" if "show" in hazards else None
        if isinstance(request, Grow):
            return "realloc" if "enomem" in hazards or ("realloc" in hazards and not request.locked) else None
        if isinstance(request, Room):
            return None
        return "bucket" if "between" in hazards else None


def _placed(records: tuple[Record, ...], state: SystemState) -> Hashable:
    # A socket that has left cannot be destroyed, wherever it was.
    where = state.where
    return tuple([(where[name], bucket) if name in where else GONE for name, bucket in records])


def _shift(state: SystemState, change: Change, to: Layout) -> Shift:
    before = state.table
    touched = {before.number(change.bucket)} if isinstance(change, (Add, Rehash)) else set()
    if type(change) is not Add:
        touched.add(before.where(change.name)[0])
    return Shift(
        tuple([to[name] for name in state.where]),
        to[change.name] if type(change) is Add else -1,
        state.where[change.name] if isinstance(change, MOVES) else -1,
        not state.is_open,
        tuple([number in touched for number, bucket in enumerate(before.buckets) for _ in bucket]),
    )


def _lives_after(lives: Lives, change: Change) -> Lives:
    if isinstance(change, (Remove, Destroy)):
        return {name: life for name, life in lives.items() if name != change.name} if lives else lives
    if isinstance(change, (Close, Accept)) or (type(change) is Add and change.properties):
        update_lives(after := dict(lives), change)
        return after
    return lives


def literal(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of a scheme without its own: its whole state or waiting value, and the whole table.

    A search with this form is correct, but may never end.
    """
    form: Hashable = placed((at, table), where)
    return form


def placed(value: Any, where: Where) -> Any:
    """A value with positions in place of the names of sockets in the table; equal only for values of the same types.

    Raises `Unsearchable` for a value without such a form.
    """
    if isinstance(value, str):
        return (Where, where[value]) if value in where else value
    if isinstance(value, tuple):
        return (type(value), *[placed(part, where) for part in value])
    if isinstance(value, frozenset):
        return type(value), frozenset(placed(part, where) for part in value)
    if value is None or type(value) is int:
        return value
    if isinstance(value, (int, float, bytes)):
        return type(value), value
    raise Unsearchable(
        f"a {type(value).__name__} in a state or waiting value: expected numbers, strings, and tuples of them"
    )


def _answered(turns: Turns, request: object, where: Where) -> Turns:
    shown, number, looks, allocations, _, _, fresh, *_ = turns
    if isinstance(request, Show):
        # A socket that has left the table has a turn, but makes no record.
        position = where.position(request.socket)
        fresh = position >= 0
        return Turns((*shown, position) if fresh else shown, number + 1, looks, allocations, fresh=fresh)
    if isinstance(request, Grow):
        return Turns(shown, number, looks, allocations + 1, fresh=fresh)
    if isinstance(request, Room):
        return turns
    return Turns(shown, number, looks + 1, allocations, fresh=fresh)
