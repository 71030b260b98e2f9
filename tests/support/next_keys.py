"""The scheme of docs/how-to/write-a-scheme.md, and wrong ones like it."""

from __future__ import annotations

from typing import Any

from sockiter.claims import KnownFailure, known_failure
from sockiter.schemes.one_by_one import Found, Further
from sockiter.table import Table
from tests.example_package.next_key import NextKey

__all__ = ["Clumsy", "Forgetful", "Liar", "Needless", "NextKey", "Nothing", "Still"]


class Liar(NextKey):
    """It claims to have no known failure."""

    known_failures: tuple[KnownFailure, ...] = ()  # type: ignore[assignment]


class Needless(NextKey):
    """It declares a failure that does not happen, one that needs fewer hazards, and a redundant one."""

    known_failures: tuple[KnownFailure, ...] = (  # type: ignore[assignment]
        known_failure("repeat", "add-head"),
        known_failure("repeat", "remove", "show", elsewhere=True),
        known_failure("repeat", "reinsert"),
        known_failure("repeat", "reinsert", "show"),
    )


class Still(NextKey):
    """Its place never moves: it delivers the first element for ever."""

    def after(self, place: str | None, table: Table) -> Found[str | None] | Further[str | None] | None:  # type: ignore[override]
        """The first element, or None where there is none."""
        found = super().after(None, table)
        return found and Found(found.socket, place)


class Forgetful(NextKey):
    """Its canonical form forgets the place."""

    @staticmethod
    def canonical(at: Any, table: Table, where: Any) -> Any:
        """Nothing but the kind of the moment."""
        return type(at).__name__


class Clumsy(NextKey):
    """It raises."""

    def after(self, place: str | None, table: Table) -> Found[str | None] | None:
        """No element."""
        raise IndexError("bucket 3")


class Nothing:
    """It is no scheme."""

    name = "nothing"
