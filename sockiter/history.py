"""The history of an iteration: the table at open, the changes since, the shown sockets, and the result of each read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias, final

from sockiter.operations import Add, Bucket, Change, Read, Rehash


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """The iterator showed a socket and made a record of it. This read or a later read returns the record."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Returned:
    """A read(2) returned the records of these sockets in order, or the name of an errno.

    A record counts with its last byte. `cut`: the read also returned the first bytes of another record, or bytes from
    inside one. For a silent read, `delivered` has the sockets that the program stored, and `silent` is true. `interrupted`:
    the message that this read began, or the end, has the flag NLM_F_DUMP_INTR. So the kernel says that the table has
    changed since the message before.
    """

    delivered: tuple[str, ...]
    error: str | None = None
    cut: bool = False
    silent: bool = False
    interrupted: bool = False

    @property
    def is_the_end(self) -> bool:
        """Whether this read signals the end of the iteration: it returned nothing and no error."""
        return self.error is None and (self.silent or not (self.delivered or self.cut))


def is_last(read: Read, returned: Returned) -> bool:
    """Whether this read(2) is the last call of the operation."""
    return read.count is not None or returned.is_the_end or (read.gives_up and returned.error is not None)


@final
@dataclass(frozen=True, slots=True)
class GaveUp:
    """A `Read(None)` made its maximum number of reads without reaching the end of the iteration."""


@final
@dataclass(frozen=True, slots=True)
class Reopened:
    """A second pass began."""


Event: TypeAlias = Change | Shown | Returned | GaveUp | Reopened


@dataclass(slots=True)
class History:
    """The wanted sockets in the table at open, the bucket of each, and all later events in order.

    A change is recorded only if it changed the table: a move to the same bucket is left out, and so is every change
    before open. A backend that cannot see the iterator show a socket, as on a real kernel, records `Shown` when the
    record is returned.
    """

    opened: tuple[str, ...] = ()
    """Without the sockets that the reader filters out: those are never shown, and owed to nobody."""
    events: list[Event] = field(default_factory=list)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    """The bucket of each socket at open. Buckets of the first table have no table name, here and in events."""

    def changed(self, change: Change, first_table: str) -> None:
        """Record a change in a target whose first table has this name."""
        if isinstance(change, (Add, Rehash)) and first_table and change.bucket.table == first_table:
            change = replace(change, bucket=Bucket(change.bucket.number))
        self.events.append(change)

    @property
    def reads(self) -> list[Returned]:
        """The result of each read(2), in order."""
        return [event for event in self.events if type(event) is Returned]
