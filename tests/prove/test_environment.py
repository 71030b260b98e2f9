"""The monitor of a proof agrees with the oracle, and every formula of an invariant holds wherever random walks lead."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from sockiter.claims import MOVES, Hazard
from sockiter.history import History, Returned, Shown
from sockiter.operations import Add
from sockiter.oracle import judge
from sockiter.prove.environment import (
    CANDIDATES,
    CHANGES,
    MONITOR,
    adapted,
    is_turn,
    may_change,
    monitored,
    opening,
    table_of,
    turns,
)
from sockiter.prove.logic import After, Observed
from sockiter.prove.relation import CONTROL, SHOWING, Candidate, Relation
from sockiter.prove.relations import RELATIONS
from sockiter.prove.tie import changed_table, observed, table_changes
from sockiter.schemes.scheme import AnyScheme, Done, known_failures_of
from sockiter.table import empty
from sockiter.targets import scheme_of, target_named
from sockiter.verdict import Finding

STEPS = 30
GHOSTS = tuple(symbol for symbol in MONITOR if symbol.of_sockets)


class Walk:
    """A random walk of a scheme's code, with the monitor of the proofs and with a history for the oracle."""

    def __init__(self, scheme: AnyScheme, relation: Relation, hazards: frozenset[Hazard], seed: str) -> None:
        self.scheme, self.relation, self.hazards = scheme, relation, hazards
        self.random = Random(seed)
        self.table = empty((("", 2),))
        self.at: Any = None
        self.monitor: dict[str, Any] = {}
        self.history = History()
        self.delivered: list[str] = []
        self.findings: set[Finding] = set()
        self.names = 0

    def moment(self) -> Observed:
        values = {} if self.at is None else dict(self.relation.observe(getattr(self.at, "state", self.at), self.table))
        symbols = (*table_of(self.relation), *MONITOR, *CONTROL, *self.relation.symbols)
        return observed(symbols, self.table, {**values, **self.monitor}, [f"n{nth}" for nth in range(self.names + 1)])

    def update(self, moment: Observed, updates: dict[str, Any]) -> None:
        after = After(moment, updates)
        for symbol in MONITOR:
            value = getattr(after, symbol.name)
            self.monitor[symbol.name] = {s: value(s) for s in moment.all_sockets} if symbol.of_sockets else value

    def step(self) -> None:
        moment = self.moment()
        if not moment.opened and self.names > 3:
            self.update(moment, opening(moment))
            self.at = self.scheme.open(1, self.table)
            self.history.opened = tuple(name for bucket in self.table.buckets for name, _ in bucket)
            self.history.buckets = self.table.places()
        elif not moment.opened or self.random.random() < 0.4:
            self.change(moment)
        elif moment.point == SHOWING and not moment.turned and self.random.random() < 0.8:
            self.turn(moment)
        else:
            self.call(moment)

    def change(self, moment: Observed) -> None:
        change, name, bucket = self.random.choice(list(table_changes(self.table)))
        if isinstance(change, Add):
            change = Add(f"n{self.names}", change.end, change.bucket)
        (kind,) = (kind for kind in adapted(CHANGES, self.relation) if kind.name == name)
        if may_change(moment, kind, self.hazards):
            assert kind.guard(moment, change.name, bucket) is True
            self.names += isinstance(change, Add)
            if kind.is_move and moment.twice(change.name) and not moment.moved(change.name):
                self.findings.add(Finding("repeat", change.name, True))
            self.update(moment, monitored(moment, kind, change.name, bucket))
            self.table = changed_table(self.scheme, self.table, change)
            if moment.opened:
                self.history.events.append(change)

    def turn(self, moment: Observed) -> None:
        (first,) = (s for s in moment.all_sockets if is_turn(moment, s))
        assert first == self.at.waits_for.socket.name
        ((_, updates),) = turns(self.hazards - {"destroying"})
        if moment.live(first):
            self.history.events.append(Shown(first))
            self.delivered.append(first)
            if moment.delivered(first):
                self.findings.add(self.finding("repeat", moment, first))
        self.update(moment, dict(updates(moment, first)))

    def call(self, moment: Observed) -> None:
        granted = self.random.random() < 0.8 or "enomem" not in self.hazards
        if self.at.__class__.__name__ in ("State", "Held", "Last"):
            self.at = self.scheme.begin(self.at, self.table)
        else:
            stops = moment.point == SHOWING
            granted = moment.turned if stops else granted
            if stops and not granted and not self.delivered:
                return
            self.at = self.scheme.resume(self.at, granted, self.table)
        self.monitor["turned"] = False
        if isinstance(self.at, Done):
            outcome = self.at.error
            self.at = self.at.state
            at_end = moment.point != SHOWING or moment.turned
            if not self.delivered and outcome is None and at_end and not moment.ended:
                self.monitor["ended"] = True
                lost = [s for s in moment.all_sockets if moment.owed(s) and not moment.delivered(s)]
                self.findings.update(self.finding("skip", moment, s) for s in lost)
            self.history.events.append(Returned(tuple(self.delivered), outcome))
            self.delivered = []

    def finding(self, kind: Any, moment: Observed, socket: str) -> Finding:
        moved = moment.moved(socket)
        return Finding(kind, socket, moved, not moved and not moment.near(socket))

    def verdict(self) -> set[Finding]:
        return {finding for finding in judge(self.history) if finding.kind in ("skip", "repeat")}


def scheme_named(name: str) -> AnyScheme:
    scheme = scheme_of(target_named(name))
    assert scheme is not None
    return scheme


def walks(name: str, without: Iterable[str], count: int) -> list[Walk]:
    scheme, relation = scheme_named(name), RELATIONS[name]
    hazards = scheme.hazards - relation.excluded - frozenset(without)
    return [Walk(scheme, relation, hazards, f"{name} {nth}") for nth in range(count)]


def holds(moment: Observed, candidate: Candidate) -> bool:
    sockets = [s for s in moment.all_sockets if moment.used(s) or moment.held(s)][:6]
    if candidate.sockets == 0:
        return bool(candidate.holds(moment))
    if candidate.sockets == 1:
        return all(candidate.holds(moment, s) for s in sockets)
    if candidate.sockets == 2:
        return all(candidate.holds(moment, s, t) for s in sockets for t in sockets)
    return all(candidate.holds(moment, s, t, u) for s in sockets for t in sockets for u in sockets)


def test_a_new_socket_has_the_key_of_a_removed_one_or_a_new_one() -> None:
    relation = RELATIONS["key-order"]
    values = {"live": {"A": True}, "used": {"A": True, "B": True}, "buckets": 1}
    keys = {"A": 1, "B": 2, "like A": 1, "like B": 2, "C": 3}
    moment = Observed(table_of(relation), keys, {**values, "key": keys})
    guards = [change.guard for change in adapted(CHANGES, relation) if change.name.startswith("add")]
    assert [[s for s in keys if guard(moment, s, 0)] for guard in guards] == [["like B", "C"]] * 2


def test_only_a_fixed_hash_keeps_a_rehashed_socket_in_its_bucket() -> None:
    moment = Observed(table_of(RELATIONS["key-home"]), ("A",), {"live": {"A": True}, "buckets": 2})
    changed = {
        name: change.changed(moment, "A", 1)
        for name in ("key-home", "key-order")
        for change in adapted(CHANGES, RELATIONS[name])
        if change.name == "rehash"
    }
    assert changed["key-home"] == {}
    assert changed["key-order"]["bucket"]("A") == 1


@pytest.mark.parametrize("name", RELATIONS)
def test_every_formula_holds_where_nothing_moves(name: str) -> None:
    without = {*MOVES, "enomem", "remove", "destroy", "destroying"}
    for walk in walks(name, without, 3):
        candidates = (*CANDIDATES, *walk.relation.candidates(walk.hazards))
        for _ in range(STEPS):
            walk.step()
            moment = walk.moment()
            assert [candidate.name for candidate in candidates if not holds(moment, candidate)] == []
        assert walk.history.events


@pytest.mark.parametrize("name", RELATIONS)
def test_every_formula_and_every_rank_has_a_value_where_sockets_move(name: str) -> None:
    for walk in walks(name, (), 1):
        for _ in range(STEPS):
            walk.step()
            moment = walk.moment()
            candidates = walk.relation.candidates(walk.hazards)
            assert {type(holds(moment, candidate)) for candidate in candidates} == {bool}
            for rank in walk.relation.rank(moment):
                assert isinstance(rank("n0") if callable(rank) else rank, int)


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", RELATIONS)
def test_the_monitor_agrees_with_the_oracle(name: str) -> None:
    kinds: set[str] = set()
    for walk in walks(name, (), 30):
        for _ in range(3 * STEPS):
            walk.step()
        assert walk.verdict() == walk.findings
        kinds.update(finding.kind for finding in walk.findings)
    known = {failure.kind for failure in known_failures_of(scheme_named(name))}
    assert kinds == known & {"skip", "repeat"}
