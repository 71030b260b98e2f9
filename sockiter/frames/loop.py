"""The frame of user-space loops: every call takes elements of a table, and user space remembers the place.

Models a program that calls bpf(2) with BPF_MAP_GET_NEXT_KEY or BPF_MAP_LOOKUP_BATCH, or listns(2), until the call reports
the end. A call that takes a key makes one step. A call that takes a batch makes as many as it has room for. Neither goes a
step ahead: the next element is sought when the next call is made. A read of so many records is as many calls for a key, or
one call with room for a batch of that size. The loop ends at the first call that reports the end.

Not modelled: changes inside a call.
"""

from __future__ import annotations

from typing import ClassVar

from sockiter.frames.frame import Walk
from sockiter.history import Returned
from sockiter.readers import Feature

RECORDS_MAX = 4096
"""The room of a call for all elements."""


class Loop:
    """It remembers nothing: the place is the scheme's state."""

    __slots__ = ("records_max",)

    features: ClassVar[frozenset[Feature]] = frozenset({"again"})
    record_bytes = 1

    def __init__(self, slots: int, line_bytes: int, records_max: int | None) -> None:
        self.records_max = RECORDS_MAX if records_max is None else records_max

    def open(self, walk: Walk) -> None:
        """Do nothing: the first call opens the walk."""

    def read(self, walk: Walk, size: int, *, silent: bool) -> Returned:
        produced, error = walk.run(size)
        return Returned(tuple(produced), error)
