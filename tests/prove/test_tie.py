"""The relation of a scheme allows every call of its code, and no call of a scheme with a planted bug in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sockiter.operations import Add, Bucket
from sockiter.prove import environment, tie
from sockiter.prove.environment import CHANGES
from sockiter.prove.logic import Moment, Term
from sockiter.prove.relation import LOCKED, LOOKING, Relation, Step, Updates, key_of
from sockiter.prove.relations import RELATIONS, relation_of
from sockiter.prove.result import Difference
from sockiter.prove.tie import orders, tied, written
from sockiter.schemes.full_batch import Growing, Looking
from sockiter.schemes.scheme import AnyScheme, Done
from sockiter.table import Table, empty
from sockiter.targets import scheme_of, target_named
from tests.support.counting import Counting, CountingRelation, Last, Showing
from tests.support.mutants import MUTANTS, Mutant, tie_of

SMALL = (2, 1, 1)
# With two buckets, and with a batch that takes more than one socket.
SCOPES = ((2, 2, 1), (3, 1, 2), (4, 1, 1))


def named(name: str) -> AnyScheme:
    scheme = scheme_of(target_named(name))
    assert scheme is not None
    return scheme


def difference(relation: Relation, scheme: AnyScheme | None = None) -> Difference:
    found = tied(scheme or Counting(), relation, scope=SMALL).difference
    assert found is not None
    return found


def test_the_relation_of_a_simple_scheme_allows_its_calls() -> None:
    doing: list[str] = []
    result = tied(Counting(), CountingRelation(), scope=SMALL, progress=doing.append)
    assert (result.scope, result.states, result.calls, result.difference) == (SMALL, 9, 24, None)
    assert doing == ["0 states"]


@pytest.mark.parametrize("name", RELATIONS)
def test_the_relation_of_a_scheme_allows_its_calls(name: str) -> None:
    assert tied(named(name), RELATIONS[name], scope=SMALL).difference is None


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES, ids=str)
@pytest.mark.parametrize("name", RELATIONS)
def test_the_relation_of_a_scheme_allows_its_calls_in_larger_scopes(name: str, scope: tuple[int, int, int]) -> None:
    assert tied(named(name), RELATIONS[name], scope=scope).difference is None


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "mutant", [pytest.param(mutant, id=str(mutant)) for mutant in MUTANTS if mutant.scheme in RELATIONS]
)
def test_a_planted_bug_is_a_difference(mutant: Mutant) -> None:
    results = (tie_of(mutant, scope) for scope in SCOPES)
    assert any(result.difference is not None for result in results)


def test_a_scheme_of_another_package_has_its_relation_as_an_attribute() -> None:
    relation = CountingRelation()

    class Own(Counting):
        def __init__(self) -> None:
            self.relation = relation

    assert relation_of(Own()) is relation
    assert relation_of(Counting()) is None
    assert relation_of(named("index")) is RELATIONS["index"]


def test_the_lists_of_a_table_are_compared_in_every_order() -> None:
    table = empty((("", 2),))
    for name, bucket in (("1", 0), ("2", 0), ("3", 1)):
        table = table.after(Add(name, "tail", Bucket(bucket)))
    assert [written(other) for other in orders(table)] == [
        "bucket 0: 1 (1) 2 (2), bucket 1: 3 (3)",
        "bucket 0: 2 (1) 1 (2), bucket 1: 3 (3)",
    ]


def test_keys_as_numbers_are_in_the_order_of_names() -> None:
    names = ["", "0", "05", "1", "15", "5", "A", "B", "new"]
    assert all(key_of(low) < key_of(high) for low, high in pairwise(names))


def test_a_relation_without_the_fixed_hash_of_its_scheme_is_a_difference() -> None:
    found = tied(named("key-home"), RELATIONS["key-order"], scope=(1, 2, 1)).difference
    assert found is not None
    assert (found.call[:6], found.why) == ("Rehash", "in the relation, bucket is another")


def test_another_start_is_a_difference() -> None:
    class OtherStart(CountingRelation):
        @property
        def start(self) -> Updates:
            return {"fresh": False}

    assert difference(OtherStart()) == Difference(
        "open", "bucket 0: empty", "", "Last(idx=None)", "the relation does not begin with this fresh"
    )


def test_a_step_that_the_relation_does_not_have_is_a_difference() -> None:
    class WithoutBegin(CountingRelation):
        @property
        def steps(self) -> tuple[Step, ...]:
            return tuple(step for step in super().steps if step.answer != "begin")

    found = difference(WithoutBegin())
    assert (found.call, found.before, found.why) == (
        "begin",
        "Last(idx=None)",
        "the relation has no such step between two reads",
    )


def test_a_step_with_other_updates_is_a_difference_that_names_the_symbol() -> None:
    class OtherTurns(CountingRelation):
        def shows(self, s: Term) -> Updates:
            return {**super().shows(s), "held": lambda t: True}

    assert difference(OtherTurns()).why == "'find the first socket' has another held"


def test_another_order_of_turns_is_a_difference() -> None:
    class Backwards(CountingRelation):
        def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
            seen = dict(super().observe(at, table))
            if isinstance(at, Showing):
                # As if the whole bucket were held.
                names = [socket.name for socket in table.buckets[0]]
                seen |= {"held": dict.fromkeys(names, True), "turn": {name: nth for nth, name in enumerate(names)}}
            return seen

        def shows(self, s: Term) -> Updates:
            return {**super().shows(s), "held": lambda t: True, "turn": lambda t: 0}

    assert difference(Backwards()).why == "'find the first socket' has another turn"


def test_a_wait_that_the_relation_does_not_know_is_a_difference() -> None:
    class AtLooking(CountingRelation):
        def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
            seen = super().observe(at, table)
            return {**seen, "point": LOOKING} if "point" in seen else seen

    assert difference(AtLooking()).why.startswith("the relation knows no wait for Show(socket=Socket(")


def test_each_request_has_a_point_of_its_own() -> None:
    class AtNone(CountingRelation):
        symbols = (*CountingRelation.symbols,)

        def observe(self, at: Any, table: Table) -> Mapping[str, Any]:
            return {"fresh": True, "point": LOCKED if isinstance(at, Growing) and at.locked else 0}

    class Waits(Counting):
        first: Any = Looking(0, 0, 1)

        def begin(self, state: Any, table: Table) -> Any:
            return self.first

        def resume(self, waiting: Any, granted: bool, table: Table) -> Any:
            return Done(Last(None))

    class Grows(Waits):
        first = Growing(0, 0, 1, 2, False)

    assert "knows no wait for Between()" in difference(AtNone(), Waits()).why
    assert "knows no wait for Grow(slots=2, locked=False)" in difference(AtNone(), Grows()).why


def test_a_change_that_the_relation_does_not_allow_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(moment: Moment, socket: Term, bucket: Term) -> Term:
        return False

    monkeypatch.setattr(tie, "CHANGES", tuple(replace(change, guard=never) for change in CHANGES))
    assert difference(CountingRelation()) == Difference(
        "Add(name='new', end='head', bucket=Bucket(number=0, table=''), properties=())",
        "bucket 0: empty",
        "",
        "bucket 0: new (-1)",
        "the relation does not allow this change",
    )


def test_a_change_with_another_effect_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tuple(replace(change, changed=lambda m, s, b: {}) for change in environment.CHANGES)
    monkeypatch.setattr(tie, "CHANGES", nothing)
    assert difference(CountingRelation()).why == "in the relation, live is another"
