"""Workers that run inline, without processes, so that a test can inject events."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import Pipe
from typing import Any

import pytest

from sockiter import workers
from sockiter.fuzzing import campaign


class Worker:
    """Does its job in this process, before `start` returns; the little that it has to say waits in the pipe."""

    exitcode = 0

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon
        self._target = target
        self._args = args

    def start(self) -> None:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
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

    def __init__(self, module: str) -> None:
        self._module = module

    def set_forkserver_preload(self, modules: list[str]) -> None:
        """Where there is a server, it has the module that the workers' work is in."""
        assert modules == [self._module]


def work_inline(monkeypatch: pytest.MonkeyPatch, module: str = "sockiter.fuzzing.campaign") -> None:
    """From now on, and until the end of the test, this process does the work of this module's workers."""
    monkeypatch.setattr(workers, "_CONTEXT", Context(module))
    # A machine that is busy with other tests may take long for a bite; here nothing waits.
    monkeypatch.setattr(campaign, "INTERRUPTED_S", 600.0)
