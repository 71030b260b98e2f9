"""The modes of the iterating program, and the log in which it stores the records of a walk.

A silent program writes nothing, so that one read(2) walks everything, and user space takes the records out of the log. A
destroying program, and one whose records are read in bytes, store each record as well: only the log tells which sockets a
read has shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.programs import DESTROYING, FILTERING, MODE, RECORD, SILENT, STORED, STORING
from sockiter.operations import Read

LOG_SIZE = 1 << 14
"""The most records of one read(2), more than an iteration has sockets."""
_WORDS = RECORD.size // 8


class Modes:
    """Switches the modes of a program. `words`: the shared page. `log`: the words of the log, None for a program that
    stores nothing."""

    __slots__ = ("_log", "_words")

    def __init__(self, words: memoryview, log: memoryview | None) -> None:
        self._words = words
        self._log = log

    def begin(self, read: Read, *, filters: bool) -> bool:
        """Switch to the mode for the reads of an operation; return whether the program stores the sockets that it shows."""
        stores = read.silent or read.destroying or read.unit == "bytes"
        self._words[STORED // 8] = 0
        self._words[MODE // 8] = (
            (FILTERING if filters else 0)
            | (STORING if stores else 0)
            | (SILENT if read.silent else 0)
            | (DESTROYING if read.destroying else 0)
        )
        return stores

    def end(self) -> None:
        """Switch back to a program that writes a record of every socket."""
        self._words[MODE // 8] = 0

    def take(self) -> Sequence[int]:
        """The cookies of the sockets shown since the last call, in order; raises `Inconclusive` if the log was too small."""
        words, log = self._words, self._log
        assert log is not None
        stored = words[STORED // 8]
        words[STORED // 8] = 0
        if stored > LOG_SIZE:
            raise Inconclusive(f"one read showed {stored} sockets; the log of the program holds {LOG_SIZE}")
        return log[: stored * _WORDS : _WORDS].tolist()
