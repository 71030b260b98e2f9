"""The protocol of a frame, and the part of a simulation that it drives."""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeAlias

from sockiter.history import Returned
from sockiter.readers import Feature

Produced: TypeAlias = tuple[list[str], str | None]
"""The records of one run of a walk, and the name of an errno, or None."""


def handed_out(
    left: tuple[str, ...], cut: int, size: int, record_bytes: int
) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """The records that a call for `size` bytes completes, of those that are left; the rest of these, and its `cut`.

    `cut`: the bytes of the first left record that were returned. A record counts with its last byte.
    """
    whole, cut = divmod(min(cut + size, len(left) * record_bytes), record_bytes)
    return left[:whole], left[whole:], cut


class Walk(Protocol):
    """The walk that a frame drives."""

    def run(self, records: int) -> Produced:
        """Start the iterator, and show one socket after the other until there are so many records.

        The iterator steps on after each socket, before the records are counted. The run also ends at the end of the table,
        with an error, and with a record that does not fit into the buffer: the next run then starts with that socket.
        """

    def generation(self) -> int:
        """The generation of the table, of a walk that keeps such a counter; 0 for others."""


class Frame(Protocol):
    """One way to call a walk, with the records that wait for the next call.

    `features`: the features of sequences that this way supports. `record_bytes`: the size of a record, 1 where reads have no
    size in bytes. `records_max`: the most records of the buffer.
    """

    features: ClassVar[frozenset[Feature]]

    @property
    def record_bytes(self) -> int: ...

    @property
    def records_max(self) -> int: ...

    def __init__(self, slots: int, line_bytes: int, records_max: int | None) -> None:
        """`slots`: those of the walk at open. `records_max`: of the buffer, if that has another number than usual."""

    def open(self, walk: Walk) -> None:
        """Start a pass over a walk that was opened; records of an earlier pass are dropped."""

    def read(self, walk: Walk, size: int, *, silent: bool) -> Returned:
        """One call for so many bytes."""
