"""Workers of a campaign that are no processes: what a test puts in their way, they meet."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import Pipe
from typing import Any

import pytest

from sockiter import campaign


class Worker:
    """Does its job in this process, before `start` returns; the little that it has to say waits in the pipe."""

    exitcode = 0

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon
        self._target = target
        self._args = args

    def start(self) -> None:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._target(*self._args)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def join(self) -> None:
        """It is over already."""

    def kill(self) -> None:
        """Likewise."""


class Context:
    """Stands in for a context of `multiprocessing`."""

    Pipe = staticmethod(Pipe)
    Process = Worker


def work_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, and until the end of the test, a campaign has no workers but this process."""
    monkeypatch.setattr(campaign, "_CONTEXT", Context())
