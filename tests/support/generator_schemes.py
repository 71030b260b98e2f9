"""Schemes of tests, written as a generator: a read yields its requests, and receives the answer and the table.

A waiting value is the whole past of its read; the generator runs again from this past. That is slow, but easy to read.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias

from sockiter.schemes.scheme import Between, Done, Grow, Show
from sockiter.table import Socket, Table

Request: TypeAlias = Socket | Grow | Between
Reply: TypeAlias = tuple[bool, Table]
Reading: TypeAlias = Generator[Request, Reply, tuple[Any, str | None]]


class Past(NamedTuple):
    """A read that waits: the state and table at its beginning, the answers since, and the present request."""

    state: Any
    table: Table
    replies: tuple[Reply, ...]
    request: Request

    @property
    def waits_for(self) -> Show | Grow | Between:
        return Show(self.request) if isinstance(self.request, Socket) else self.request


class Generated:
    """A scheme with a `read` that is a generator."""

    def read(self, state: Any, table: Table) -> Reading:
        raise NotImplementedError

    def begin(self, state: Any, table: Table) -> Past | Done[Any]:
        return self._run(state, table, ())

    def resume(self, waiting: Past, granted: bool, table: Table) -> Past | Done[Any]:
        return self._run(waiting.state, waiting.table, (*waiting.replies, (granted, table)))

    def _run(self, state: Any, table: Table, replies: tuple[Reply, ...]) -> Past | Done[Any]:
        reading = self.read(state, table)
        try:
            request = next(reading)
            for reply in replies:
                request = reading.send(reply)
        except StopIteration as over:
            return Done(*over.value)
        return Past(state, table, replies, request)
