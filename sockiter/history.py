"""What happened: what was in the table at open, what was done since, what was shown, what each read returned.

Decided here: what a record of an iteration holds. Not known here: who made the record, and what it proves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias, final

from sockiter.operations import Add, Bucket, Change, Read, Rehash


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """A socket's turn came: a record of it was made, which this read or a later one hands out."""

    name: str


@final
@dataclass(frozen=True, slots=True)
class Returned:
    """A read(2) came back, with these sockets' records in order, or with the name of an errno."""

    delivered: tuple[str, ...]
    error: str | None = None

    @property
    def is_the_end(self) -> bool:
        """Whether this read said that the iteration is over: nothing, and no error."""
        return not self.delivered and self.error is None


def is_last(read: Read, returned: Returned) -> bool:
    """Whether an operation makes no more read(2) calls after this one came back."""
    return read.count is not None or returned.is_the_end or (read.gives_up and returned.error is not None)


@final
@dataclass(frozen=True, slots=True)
class GaveUp:
    """A `Read(None)` made all the reads that it may make, and the iteration had not ended."""


Event: TypeAlias = Change | Shown | Returned | GaveUp


@dataclass(slots=True)
class History:
    """The sockets in the table at open, the bucket of each, and all that happened since, in order.

    Changes are recorded as they were carried out: one that changed nothing (a move to where the socket already was) is
    not in here, nor is anything that happened before open. Where a backend cannot see a socket's turn come, as on a
    real kernel, it records the turn when the record is handed out.
    """

    opened: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    """The bucket of each socket at open. A bucket of the first table goes without that table's name, here and in events."""

    def changed(self, change: Change, first_table: str) -> None:
        """Record a change that was carried out in a target whose first table has this name."""
        if isinstance(change, (Add, Rehash)) and first_table and change.bucket.table == first_table:
            change = replace(change, bucket=Bucket(change.bucket.number))
        self.events.append(change)

    @property
    def reads(self) -> list[Returned]:
        """What each read(2) returned, in order."""
        return [event for event in self.events if type(event) is Returned]
