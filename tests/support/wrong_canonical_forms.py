"""Canonical forms that forget too much, planted in the project's schemes, with the forgotten field of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import pytest

from sockiter.check.result import Scope
from sockiter.claims import CHANGES, Hazard
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.index_detect import IndexDetect
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.partial_batch import PartialBatch
from sockiter.schemes.rank import Rank
from sockiter.schemes.removal_count import RemovalCount
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme, Show, Where
from sockiter.schemes.unix import Unix
from sockiter.table import Table

Form = Callable[[Any, Any, Table, Where], Hashable]


def one_of_each_scheme(names: Iterable[str]) -> list[Any]:
    """Parameters: these names of planted forms, all but the first of each scheme marked deep."""
    seen: set[str] = set()
    parameters = []
    for name in names:
        scheme = name.partition(":")[0]
        parameters.append(pytest.param(name, marks=[pytest.mark.deep] * (scheme in seen)))
        seen.add(scheme)
    return parameters


class _Hidden:
    def __get__(self, scheme: object, of: object) -> None:
        raise AttributeError("canonical")


def with_canonical(scheme: AnyScheme, canonical: Any) -> AnyScheme:
    """The scheme with another canonical form."""
    kind = type(scheme)
    changed: AnyScheme = type(kind.__name__, (kind,), {"canonical": canonical, "canonical_in_order": _Hidden()})()
    return changed


def own(changed: Any, at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of the scheme that this one was made of."""
    form: Hashable = super(type(changed), changed).canonical(at, table, where)
    return form


def fixed(**values: object) -> Form:
    """The scheme's own form of a state or waiting value in which these fields always have these values."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        there = {field: value for field, value in values.items() if field in getattr(at, "_fields", ())}
        return own(self, at._replace(**there) if there else at, table, where)

    return form


def only_first(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    """The scheme's own form, without the rest of a batch that is being shown."""
    if isinstance(getattr(at, "waits_for", None), Show):
        at = at._replace(batch=at.batch[:1])
    return own(self, at, table, where)


def own_of(kind: Any) -> Form:
    """The form of the scheme's base class."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        of_kind: Hashable = kind.canonical(self, at, table, where)
        return of_kind

    return form


def mattering(matters: Callable[..., Hashable]) -> Form:
    """The form of a batch in which of a place there matters only this."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        changed: Any = type("Changed", (type(self).__bases__[0],), {"matters": matters})()
        of_changed: Hashable = changed.canonical(at, table, where)
        return of_changed

    return form


def as_captured(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    # As if a socket that is gone were as it was captured, whatever became of it before it went.
    return own(self, at, table._replace(gone=()), where)


def in_any_order(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    if "batch" in getattr(at, "_fields", ()):
        return at.bucket, where.slots(at.slots), tuple(sorted(where.of(at.batch)))
    return own(self, at, table, where)


def only_of_those_there(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    if "batch" in getattr(at, "_fields", ()):
        return at.bucket, where.slots(at.slots), tuple(place for place in where.of(at.batch) if place >= 0)
    return own(self, at, table, where)


class Planted(NamedTuple):
    """`fields`: those that `check --verify` has to name; (): it knows of none."""

    scheme: AnyScheme
    form: Form
    fields: tuple[str, ...]
    hazards: tuple[Hazard, ...] = (*CHANGES, "show", "realloc", "enomem")
    scope: Scope = Scope(3, 1, 1)


PLANTED = {
    "offset-udp: where it is in a bucket": Planted(OffsetUdp(), fixed(place=0), ("Showing.place",)),
    "offset-udp: that it is done": Planted(OffsetUdp(), fixed(is_whole=False), ("Showing.is_whole",), scope=Scope(2, 2, 1)),
    "offset-udp: the rest of its batch": Planted(OffsetUdp(), only_first, ("Showing.batch",)),
    "offset-udp: which bucket it is in": Planted(OffsetUdp(), fixed(bucket=0), ("Showing.bucket",), scope=Scope(2, 2, 1)),
    "offset-udp: its batch": Planted(
        OffsetUdp(), mattering(lambda self, table, bucket, place, waiting: 0), ("Showing.place",)
    ),
    "offset-udp: its slots": Planted(OffsetUdp(), fixed(slots=1), ("State.slots",)),
    "offset-tcp: which table it is in": Planted(OffsetTcp(), fixed(phase=0), ("Growing.phase",), scope=Scope(2, 1, 1)),
    "offset-tcp: its count": Planted(OffsetTcp(), fixed(offset=0), ("State.offset",), scope=Scope(2, 1, 1)),
    "rank: its rank": Planted(Rank(), fixed(place=0), ("State.place.rank", "State.place.left")),
    "unix: that it is done": Planted(Unix(), fixed(done=False), ("Showing.done",)),
    "unix: the rest of its batch": Planted(Unix(), only_first, ("Showing.batch",)),
    "unix: its batch": Planted(Unix(), fixed(batch=()), ("Growing.batch",)),
    "index: where it is in a bucket": Planted(Index(), mattering(lambda *_: None), ("table.buckets.idx",)),
    "index: how a socket was when it left": Planted(Index(), as_captured, ("table.gone",)),
    "index-snapshot: who is old": Planted(IndexSnapshot(), own_of(Index), ("table.buckets.idx",)),
    "index-narrow: the indexes": Planted(
        IndexNarrow(), own_of(PartialBatch), ("table.buckets.idx",), ("reinsert", "rollover"), Scope(2, 1, 1)
    ),
    "index-detect: how far its epoch is": Planted(
        IndexDetect(), own_of(PartialBatch), (), ("reinsert", "rollover"), Scope(2, 1, 1)
    ),
    "removal-count: the removals": Planted(
        RemovalCount(), mattering(lambda self, table, bucket, place, waiting: place.offset), ("table.removals",)
    ),
    "full-batch: its count": Planted(FullBatch(), fixed(offset=0), ("State.offset",)),
    "full-batch-held: its batch": Planted(FullBatchHeld(), fixed(batch=()), ("Held.batch",)),
    "restart: whether any was removed": Planted(
        Restart(), mattering(lambda self, table, bucket, place, waiting: place.offset), ("table.removals",)
    ),
    "cookie-udp: turns of those that are gone": Planted(CookieUdp(), only_of_those_there, ("Showing.batch",)),
    "cookie-udp: the order of its batch": Planted(CookieUdp(), in_any_order, ("Showing.batch",)),
    "cookie-udp: its cookies": Planted(CookieUdp(), fixed(cookies=()), ("Growing.cookies",)),
    "cookie-tcp: its cookies": Planted(CookieTcp(), fixed(cookies=()), ("State.cookies",), scope=Scope(2, 1, 1)),
    "cookie-tcp: turns of those that are gone": Planted(
        CookieTcp(), only_of_those_there, ("Showing.batch",), scope=Scope(2, 1, 1)
    ),
}
