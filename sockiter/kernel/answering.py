"""A process that answers requests, run as a program of its own from a module of this folder.

Requests and answers are numbers of a fixed size, on its standard input and output. It ends with its input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from sockiter.errors import Unavailable

_PROGRAM = "import sys; sys.path.append(sys.argv[1]); import {0}; {0}.serve()"
_FOLDER = str(Path(__file__).parent)


def started(module: str, *, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """The process of a module of this folder. `stderr`: as for `subprocess.Popen`."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM.format(module), _FOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,
    )


class AnsweringProcess:
    """The other end of such a process. `number_bytes`: the size of a number; `has_ended`: the error once it has ended."""

    number_bytes: ClassVar[int]
    has_ended: ClassVar[str]

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests, self._answers = process.stdin.fileno(), process.stdout.fileno()

    def _ask(self, number: int) -> None:
        os.write(self._requests, number.to_bytes(self.number_bytes, "little"))

    def _answer(self) -> int:
        if len(answer := os.read(self._answers, self.number_bytes)) < self.number_bytes:
            raise Unavailable(self.has_ended)
        return int.from_bytes(answer, "little")
