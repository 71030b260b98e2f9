"""The frame of BPF iterators: read(2) of a program's records.

Models bpf_seq_read of kernel/bpf/bpf_iter.c (Linux 5.8 to 7.1) with a program that writes one record of 16 bytes for every
socket. Records that are left from an earlier call are returned first, and alone: such a call makes no step of the walk.
"""

from __future__ import annotations

from typing import ClassVar

from sockiter.frames.frame import Walk, handed_out
from sockiter.history import Returned
from sockiter.readers import FEATURES, Feature

# The buffer has 8 pages, and a record fits only if space is left behind it: one less than 2048 records of 16 bytes.
RECORDS_MAX = 2047
RECORD_BYTES = 16
"""The size of a record."""


class BpfSeq:
    """Its left records are those of a failed read, and those that were shown by a read that ended inside a record."""

    __slots__ = ("_cut", "_left", "records_max")

    features: ClassVar[frozenset[Feature]] = frozenset(FEATURES)
    record_bytes = RECORD_BYTES

    def __init__(self, slots: int, line_bytes: int, records_max: int | None) -> None:
        self._left: tuple[str, ...] = ()
        # The bytes of the first left record that were returned.
        self._cut = 0
        self.records_max = RECORDS_MAX if records_max is None else records_max

    def open(self, walk: Walk) -> None:
        self._left, self._cut = (), 0

    def read(self, walk: Walk, size: int, *, silent: bool) -> Returned:
        if self._left:
            return self._hand_out(size)
        produced, error = walk.run(-(-size // RECORD_BYTES))
        if silent:
            return Returned(tuple(produced), error, silent=True)
        if error is not None:
            self._left = tuple(produced)
            return Returned((), error)
        if len(produced) * RECORD_BYTES > size:
            self._left = tuple(produced)
            return self._hand_out(size)
        return Returned(tuple(produced))

    def _hand_out(self, size: int) -> Returned:
        records, self._left, self._cut = handed_out(self._left, self._cut, size, RECORD_BYTES)
        return Returned(records, cut=self._cut > 0)
