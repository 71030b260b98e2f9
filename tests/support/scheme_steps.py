"""Shared helpers of the tests of schemes: a table by its names, and a read without the frame, step by step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sockiter.operations import Add, Bucket, Change
from sockiter.schemes.scheme import AnyScheme, Between, Done, Grow
from sockiter.table import Table, empty


def blank(buckets: int) -> Table:
    """A table of so many empty buckets."""
    return empty((("", buckets),))


BLANK = blank(1)


def table(*buckets: str) -> Table:
    """A table with these buckets, filled at the tail one after the other, a letter a socket."""
    return changed(blank(len(buckets)), *(Add(name, "tail", Bucket(n)) for n, names in enumerate(buckets) for name in names))


def tcp(*listening: str, est: Sequence[str] = ()) -> Table:
    """A table in two phases, each with these buckets from head to tail, a letter a socket.

    The listening sockets are put in first and at the tail, the established ones at the head, since that is all they can.
    """
    return changed(
        empty(
            (
                ("listening", len(listening)),
                ("established", len(est)),
            )
        ),
        *(Add(name, "tail", Bucket(n)) for n, names in enumerate(listening) for name in names),
        *(Add(name, "head", Bucket(n, "established")) for n, names in enumerate(est) for name in reversed(names)),
    )


def changed(before: Table, *changes: Change) -> Table:
    for change in changes:
        before = before.after(change)
    return before


def walk(
    scheme: AnyScheme,
    state: Any,
    now: Table,
    *,
    stop: str = "",
    refuse: Collection[str] = (),
    meanwhile: Mapping[str, Table] | None = None,
) -> tuple[str, Any]:
    """One read: the requests of the scheme in order and in words, the error if there is one, and the resulting state.

    The read stops before the socket `stop`, refuses the growths in `refuse`, and has the table of `meanwhile` from the
    request on that is the key. Between two buckets, nothing happens.
    """
    step, asked = scheme.begin(state, now), []
    while not isinstance(step, Done):
        request, granted = step.waits_for, True
        if not isinstance(request, Between):
            word = (
                f"{'lock' if request.locked else 'grow'}:{request.slots}"
                if isinstance(request, Grow)
                else request.socket.name
            )
            asked.append(word)
            now = (meanwhile or {}).get(word, now)
            granted = word != stop and word not in refuse
        step = scheme.resume(step, granted, now)
    after, error = step
    return " ".join([*asked, *([] if error is None else [error])]), after
