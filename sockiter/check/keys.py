"""The keys of sockets in a transition system: the name of a new socket can be anywhere in the order of the other names.

A scheme with keys compares names, and does nothing else with them. So a search need not try every name: one in each gap
between two names that the table has or the iterator remembers is enough. The order of a list does not matter to such a
scheme, so the search keeps each list in the order of keys. A search without the scheme's canonical form does not: the
comparison of both (`verify`) shows that nothing is lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from typing import Any

from sockiter.schemes.scheme import Where
from sockiter.table import Socket, Table

# The digits of names, as fractions. The first one is never the last digit of a name, so that there is always a lower name.
_DIGITS = "0123456789"


def new_names(table: Table, at: Any) -> list[tuple[str, str]]:
    """A new name for each gap in the order of the names in the table and in a state or waiting value.

    Each with the number of its gap, from the last gap to the first. No removed socket ever had the name.
    """
    known = sorted({*(name for bucket in table.buckets for name, _ in bucket), *_mentioned(at)})
    used = sorted({*known, *(name for name, _ in table.gone)})
    names = []
    for gap, low in reversed([*enumerate(("", *known))]):
        above = bisect_right(used, low)
        names.append((str(gap), between(low, used[above] if above < len(used) else None)))
    return names


def between(low: str, high: str | None) -> str:
    """A name that sorts between two names, each of which is "" or a result of this function; None: above `low`."""
    name = ""
    while True:
        nth = len(name)
        first = _DIGITS.index(low[nth]) if nth < len(low) else 0
        last = len(_DIGITS) if high is None or nth >= len(high) else _DIGITS.index(high[nth])
        if last - first > 1:
            return name + _DIGITS[(first + last) // 2]
        name += _DIGITS[first]
        if first < last:
            high = None


def in_key_order(table: Table) -> Table:
    """The table with each list in the order of names."""
    return table._replace(buckets=tuple([tuple(sorted(bucket)) for bucket in table.buckets]))


def with_names(at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of a scheme with keys and without a form of its own: everything as it is."""
    return at, table


def _mentioned(value: Any) -> Iterator[str]:
    # The names in a value.
    if isinstance(value, Socket):
        yield value.name
    elif isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _mentioned(part)
