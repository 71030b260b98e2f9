"""The tie between a relation and the code: the relation allows every step of the code, in a whole search.

In every state of an exhaustive search, each call of `open`, `begin` and `resume`, and each change of the table, is compared
with the relation. A call with another result is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations, product
from typing import Any

from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import Hazard
from sockiter.operations import Add, Bucket, Rehash, Reinsert, Remove
from sockiter.operations import Change as TableChange
from sockiter.prove.environment import CHANGES, adapted, table_of
from sockiter.prove.logic import After, Answer, Moment, Observed, Symbol
from sockiter.prove.relation import (
    CONTROL,
    END,
    ERROR,
    GROWING,
    LOCKED,
    LOOKING,
    NOTHING,
    POINTS,
    SHOWING,
    STOPPED,
    Relation,
    Step,
    key_of,
)
from sockiter.prove.result import Difference, Tie
from sockiter.schemes.scheme import AnyScheme, Done, Grow, Show, has_fixed_hash, has_keys
from sockiter.table import Socket, Table

SCOPES = ((3, 2, 1), (4, 1, 1))
"""The sockets, buckets and slots of the searches: with two buckets, and with a batch that grows twice."""


def tied(
    scheme: AnyScheme,
    relation: Relation,
    *,
    scope: tuple[int, int, int],
    progress: Callable[[str], None] = lambda doing: None,
) -> Tie:
    """Compare every transition of the code in a scope with the relation."""
    return _Comparison(scheme, relation, scope).run(progress)


class _Comparison:
    def __init__(self, scheme: AnyScheme, relation: Relation, scope: tuple[int, int, int]) -> None:
        self.scheme = scheme
        self.relation = relation
        self.hazards: frozenset[Hazard] = scheme.hazards - relation.excluded - {"destroy", "destroying"}
        self.system = TransitionSystem(scheme, self.hazards, *scope)
        self.scope = scope
        self.symbols = (*table_of(relation), *CONTROL, *relation.symbols)
        self.changes = {change.name: change for change in adapted(CHANGES, relation)}
        self.calls = 0
        self.steps: dict[tuple[Answer, int], list[Step]] = {}
        for step in relation.steps:
            self.steps.setdefault((step.answer, step.point), []).append(step)

    def run(self, progress: Callable[[str], None]) -> Tie:
        number = 0
        states = self.system.states
        while number < len(states):
            if number % 256 == 0:
                progress(f"{number:,} states")
            state = states[number]
            for transitions in (self.system.labelled(number), self.system.internal(number)):
                del transitions  # the states that they lead to are numbered now
            if state.is_open and state.inside is None:
                self.system.begun(number)
            for difference in self._differences(state):
                return Tie(self.scope, number + 1, self.calls, difference)
            number += 1
        return Tie(self.scope, number, self.calls)

    def _differences(self, state: SystemState) -> Iterator[Difference]:
        # The search keeps the lists of a scheme with keys in the order of keys.
        tables = orders(state.table) if has_keys(self.scheme) else (state.table,)
        return (difference for table in tables for difference in self._checks(state, table) if difference is not None)

    def _checks(self, state: SystemState, table: Table) -> Iterator[Difference | None]:
        at, scheme = state.at, self.scheme
        if not state.is_open:
            yield from self._changes(table)
            yield self._opened(table, scheme.open(self.scope[2], table))
        elif state.inside is None:
            yield self._stepped(table, at, "begin", scheme.begin(at, table))
        else:
            yield self._stepped(table, at, "granted", scheme.resume(at, True, table))
            if isinstance(at.waits_for, (Show, Grow)):
                yield self._stepped(table, at, "refused", scheme.resume(at, False, table))

    def _opened(self, table: Table, at: Any) -> Difference | None:
        self.calls += 1
        after = self._observed(table, at)
        expected = {symbol.name: symbol.default for symbol in (*CONTROL, *self.relation.symbols)} | dict(self.relation.start)
        for symbol in (*CONTROL, *self.relation.symbols):
            if not symbol.of_sockets and getattr(after, symbol.name) != expected[symbol.name]:
                return Difference(
                    "open", written(table), "", str(at), f"the relation does not begin with this {symbol.name}"
                )
        return None

    def _stepped(self, table: Table, at: Any, answer: Answer, result: Any) -> Difference | None:
        self.calls += 1
        before = self._observed(table, at)
        after = self._observed(table, result, answer)
        call = answer if answer == "begin" else f"resume, {answer}"

        def difference(why: str) -> Difference:
            return Difference(call, written(table), str(at), str(result), why)

        if (why := self._request(after, result)) is not None:
            return difference(why)
        possible = []
        for step in self.steps.get((answer, before.point), ()):
            for given in product(before.all_sockets, repeat=step.sockets):
                if step.guard(before, *given) is True:
                    if (wrong := self._wrong(After(before, step.updates(before, *given)), after)) is None:
                        return None
                    possible.append(f"{step.name!r} has another {wrong}")
        at_point = f"the relation has no such step {POINTS[before.point]}"
        return difference("; ".join(dict.fromkeys(possible)) or at_point)

    def _request(self, after: Observed, result: Any) -> str | None:
        # A waiting value must wait for the socket whose turn it is in the relation.
        if isinstance(result, Done):
            return None
        request = result.waits_for
        if isinstance(request, Show):
            is_right = after.point == SHOWING and after.turn(request.socket.name) == 0 and after.held(request.socket.name)
        elif isinstance(request, Grow):
            is_right = after.point == (LOCKED if request.locked else GROWING)
        else:
            is_right = after.point == LOOKING
        return None if is_right else f"the relation knows no wait for {request} here"

    def _wrong(self, expected: Moment, found: Observed) -> str | None:
        # The name of a symbol in which two moments differ.
        for symbol in self.symbols:
            ours, theirs = getattr(expected, symbol.name), getattr(found, symbol.name)
            if not symbol.of_sockets:
                if ours != theirs:
                    return symbol.name
            elif symbol.order_in:
                among = [socket for socket in found.all_sockets if getattr(found, symbol.order_in)(socket)]
                if sorted(among, key=ours) != sorted(among, key=theirs) or len({ours(socket) for socket in among}) < len(
                    among
                ):
                    return symbol.name
            elif any(ours(socket) != theirs(socket) for socket in found.all_sockets):
                return symbol.name
        return None

    def _observed(self, table: Table, at: Any, answer: Answer | None = None) -> Observed:
        outcome = NOTHING
        if isinstance(at, Done):
            outcome = ERROR if at.error is not None else STOPPED if answer == "refused" else END
            at = at.state
        values: dict[str, Any] = {} if at is None else dict(self.relation.observe(at, table))
        values["outcome"] = outcome
        return observed(self.symbols, table, values)

    def _changes(self, table: Table) -> Iterator[Difference | None]:
        for change, name, bucket in table_changes(table):
            self.calls += 1
            after = changed_table(self.scheme, table, change)
            found = self._observed(after, None)
            kind = self.changes[name]
            before = observed(self.symbols, table, {}, (change.name,))
            if kind.guard(before, change.name, bucket) is not True:
                yield Difference(str(change), written(table), "", written(after), "the relation does not allow this change")
            elif (wrong := self._wrong(After(before, kind.changed(before, change.name, bucket)), found)) is not None:
                yield Difference(str(change), written(table), "", written(after), f"in the relation, {wrong} is another")


def observed(symbols: Iterable[Symbol], table: Table, values: Mapping[str, Any], others: Iterable[str] = ()) -> Observed:
    """The moment of a table, and of an iterator with these values. `others`: more sockets that it knows."""
    live, idx, bucket = {}, {}, {}
    for number, sockets in enumerate(table.buckets):
        for socket in sockets:
            live[socket.name], idx[socket.name], bucket[socket.name] = True, socket.idx, number
    for socket in table.gone:
        idx[socket.name] = socket.idx
    named = [name for value in values.values() if isinstance(value, dict) for name in value]
    known = [*live, *(name for name in (*named, *others) if name not in live)]
    every = {
        "live": live,
        "used": dict.fromkeys(idx, True),
        "bucket": bucket,
        "idx": idx,
        "ver": table.ver,
        "buckets": len(table.buckets),
        "key": {name: key_of(name) for name in known},
    }
    return Observed(symbols, dict.fromkeys(known), {**every, **values})


def table_changes(table: Table) -> Iterator[tuple[TableChange, str, int]]:
    """Every change of a table, with its name in the relation, and its bucket."""
    for number in range(len(table.buckets)):
        yield Add("new", "head", Bucket(number)), "add head", number
        yield Add("new", "tail", Bucket(number)), "add tail", number
    for number, sockets in enumerate(table.buckets):
        for name, _ in sockets:
            yield Remove(name), "remove", number
            yield Reinsert(name, "head"), "reinsert head", number
            yield Reinsert(name, "tail"), "reinsert tail", number
            for to in range(len(table.buckets)):
                if to != number:
                    yield Rehash(name, Bucket(to)), "rehash", to


def changed_table(scheme: AnyScheme, table: Table, change: TableChange) -> Table:
    """The walked table after a change: a `rehash` is a move in another table if the hash is fixed."""
    return table if has_fixed_hash(scheme) and isinstance(change, Rehash) else table.after(change)


def orders(table: Table) -> Iterator[Table]:
    """The table with its lists in every order."""
    for buckets in product(*map(permutations, table.buckets)):
        lists = [
            tuple([Socket(name, idx) for (name, _), (_, idx) in zip(names, places, strict=True)])
            for names, places in zip(buckets, table.buckets, strict=True)
        ]
        yield table._replace(buckets=tuple(lists))


def written(table: Table) -> str:
    """A table in words: its buckets, with the sockets from head to tail."""
    return ", ".join(
        f"bucket {number}: {' '.join(f'{name} ({idx})' for name, idx in sockets) or 'empty'}"
        for number, sockets in enumerate(table.buckets)
    )
