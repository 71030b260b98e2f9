"""A counterexample to induction in words: the table, the iterator, and what has become of each socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sockiter.prove.logic import Moment, Symbol
from sockiter.prove.relation import POINTS

_PAST = ("owed", "delivered", "twice", "moved", "near")
_SHOWN_ELSEWHERE = ("point", "outcome", "held", "turn")


def lines(moment: Moment, sockets: Sequence[str], symbols: Sequence[Symbol]) -> Iterator[str]:
    """A moment of these sockets, line by line; `symbols`: those of the iterator."""
    table: dict[int, list[str]] = {}
    there = sorted((socket for socket in sockets if moment.live(socket)), key=moment.idx)
    for socket in there:
        table.setdefault(moment.bucket(socket), []).append(_socket(moment, socket))
    for bucket in sorted(table):
        yield f"bucket {bucket}: {', '.join(table[bucket])}"
    if gone := [_socket(moment, socket) for socket in sockets if moment.used(socket) and not moment.live(socket)]:
        yield f"removed: {', '.join(gone)}"
    own = [symbol for symbol in symbols if symbol.name not in _SHOWN_ELSEWHERE]
    values = [f"{symbol.name} {_value(getattr(moment, symbol.name))}" for symbol in own if not symbol.of_sockets]
    yield f"iterator: {', '.join([POINTS[moment.point], *values])}"
    for name, order in (("held", "turn"), *((symbol.order_in, symbol.name) for symbol in own if symbol.order_in)):
        if held := sorted(filter(getattr(moment, name), sockets), key=getattr(moment, order)):
            yield f"{name}: {', '.join(held)}"


def _socket(moment: Moment, socket: str) -> str:
    past = [name for name in _PAST if getattr(moment, name)(socket)]
    key = [f"key {moment.key(socket)}"] if hasattr(moment, "key") else []
    return f"{socket} ({', '.join([str(moment.idx(socket)), *key, *past])})"


def _value(value: Any) -> str:
    return str(value).lower()
