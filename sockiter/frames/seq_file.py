"""The frame of the files in /proc/net: read(2) of lines of equal width.

Models seq_read_iter of fs/seq_file.c (Linux 6.1 to 7.1), whose buffer is one page. The rest of a line is returned first.
Then, unlike in a BPF iterator, the same call starts the walk again, and shows at least one socket, even if user space has no
more room: so a read that ends exactly where a cut line ends makes the walk go one line ahead.

Not modelled: the title line, which is read alone, just before the first socket.
"""

from __future__ import annotations

from typing import ClassVar

from sockiter.frames.frame import Walk, handed_out
from sockiter.history import Returned
from sockiter.readers import Feature

PAGE = 4096


class SeqFile:
    """`line_bytes`: the width of a line. A line fits only if space is left behind it."""

    __slots__ = ("_cut", "_left", "record_bytes", "records_max")

    features: ClassVar[frozenset[Feature]] = frozenset({"bytes", "again", "request", "bound"})

    def __init__(self, slots: int, line_bytes: int, records_max: int | None) -> None:
        self._left: tuple[str, ...] = ()
        # The bytes of the first left line that were returned.
        self._cut = 0
        self.record_bytes = line_bytes
        self.records_max = (PAGE - 1) // line_bytes if records_max is None else records_max

    def open(self, walk: Walk) -> None:
        self._left, self._cut = (), 0

    def read(self, walk: Walk, size: int, *, silent: bool) -> Returned:
        before: tuple[str, ...] = ()
        if self._left:
            available = len(self._left) * self.record_bytes - self._cut
            before = self._hand_out(size)
            if self._left:
                return Returned(before, cut=self._cut > 0)
            size -= available
        produced, error = walk.run(max(1, -(-size // self.record_bytes)))
        if error is not None and not before and not produced:
            return Returned((), error)
        # An error behind the first line ends the read; the next read meets it first.
        self._left = tuple(produced)
        return Returned(before + self._hand_out(size), cut=self._cut > 0)

    def _hand_out(self, size: int) -> tuple[str, ...]:
        records, self._left, self._cut = handed_out(self._left, self._cut, size, self.record_bytes)
        return records
