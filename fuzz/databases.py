"""The example database of the state machines: what one machine fails on, another one fails on at once.

A database of another machine is an addition: without it, or when it is lost in the middle, a run goes on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from hypothesis import settings
from hypothesis.database import (
    DirectoryBasedExampleDatabase,
    ExampleDatabase,
    GitHubArtifactDatabase,
    InMemoryExampleDatabase,
    MultiplexedDatabase,
    ReadOnlyDatabase,
)

VARIABLE = "SOCKITER_DATABASE"
EXPECTED = "expected a directory, redis://HOST:PORT, unix://SOCKET or github:OWNER/REPO"


class Sturdy(ExampleDatabase):
    """A database that is empty from its first error of these kinds on."""

    def __init__(self, database: ExampleDatabase, *errors: type[Exception]) -> None:
        super().__init__()
        self._database: ExampleDatabase | None = database
        self._errors = errors

    def _lost(self, error: Exception) -> None:
        self._database = None
        # No warning of Python, which pytest may make an error.
        print(f"{VARIABLE}: the shared database is lost: {error}", file=sys.stderr)

    def save(self, key: bytes, value: bytes) -> None:
        try:
            if self._database is not None:
                self._database.save(key, value)
        except self._errors as error:
            self._lost(error)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        try:
            return [] if self._database is None else [*self._database.fetch(key)]
        except self._errors as error:
            self._lost(error)
            return []

    def delete(self, key: bytes, value: bytes) -> None:
        try:
            if self._database is not None:
                self._database.delete(key, value)
        except self._errors as error:
            self._lost(error)


def database_of(value: str) -> ExampleDatabase:
    """The database of a value of SOCKITER_DATABASE; raises ValueError for another value, and ImportError without `redis`."""
    local = settings().database or InMemoryExampleDatabase()  # there is none where Hypothesis can write nowhere
    if match := re.fullmatch(r"github:([\w.-]+)/([\w.-]+)", value):
        return MultiplexedDatabase(local, ReadOnlyDatabase(GitHubArtifactDatabase(match[1], match[2])))
    if re.match(r"rediss?://|unix://", value):
        from hypothesis.extra.redis import RedisExampleDatabase
        from redis import Redis, RedisError

        shared = RedisExampleDatabase(Redis.from_url(value, socket_timeout=5.0, socket_connect_timeout=5.0))
        return MultiplexedDatabase(local, Sturdy(shared, RedisError))
    if not value or re.match(r"\w+:", value):
        raise ValueError(f"{VARIABLE} is {value!r}: {EXPECTED}")
    return DirectoryBasedExampleDatabase(Path(value))
