"""A counterexample to induction in words."""

from __future__ import annotations

from sockiter.prove.environment import MONITOR, table_of
from sockiter.prove.logic import After, Observed
from sockiter.prove.relation import CONTROL
from sockiter.prove.relations import RELATIONS
from sockiter.prove.words import lines


def test_a_socket_is_written_with_its_key_if_the_relation_has_keys() -> None:
    relation = RELATIONS["key-order"]
    symbols = (*CONTROL, *relation.symbols)
    values = {"live": {"s1": True}, "idx": {"s1": 4}, "key": {"s1": 7}, "owed": {"s1": True}}
    before = Observed((*table_of(relation), *MONITOR, *symbols), ("s1",), values)
    for moment in (before, After(before, {})):
        assert list(lines(moment, ("s1",), symbols)) == [
            "bucket 0: s1 (4, key 7, owed)",
            "iterator: between two reads, here 0, fresh false, place 0, whole false",
        ]
