"""The uses of tables by drawn sequences, for tests that every kind of change uses each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sockiter.operations import Add, Change, Rehash, Reinsert


@dataclass
class TableUses:
    """Counts by table: adds and reinserts also by end, and moves by the table that they lead to."""

    adds: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    reinserts: Counter[tuple[str, str]] = field(default_factory=Counter)


def table_uses(sequences: Iterable[Iterable[Change]]) -> TableUses:
    """The uses of tables by the changes of sequences, each of which begins with empty tables."""
    uses = TableUses()
    for changes in sequences:
        # The table of each socket.
        tables: dict[str, str] = {}
        for change in changes:
            match change:
                case Add(name, end, bucket):
                    uses.adds[bucket.table, end] += 1
                    tables[name] = bucket.table
                case Rehash(name, bucket):
                    uses.moves[bucket.table] += 1
                    tables[name] = bucket.table
                case Reinsert(name, end):
                    uses.reinserts[tables[name], end] += 1
    return uses
