"""A session of a target that begins with its first sequence, so that collecting tests costs nothing."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import ClassVar

from sockiter.backend import Backend, Session, Shape, Target


class LateSession:
    """A session of one target, begun on demand; at most one of all sessions is open at any time."""

    _open: ClassVar[tuple[Target, Session] | None] = None
    _stack: ClassVar[ExitStack] = ExitStack()

    def __init__(self, target: Target) -> None:
        self.target = target

    def begin(self, shape: Shape) -> Backend:
        cls = type(self)
        if cls._open is None or cls._open[0] is not self.target:
            cls.close()
            cls._open = self.target, cls._stack.enter_context(self.target.session())
        return cls._open[1].begin(shape)

    @classmethod
    def close(cls) -> None:
        """End the open session, if there is one."""
        cls._open = None
        cls._stack.close()


atexit.register(LateSession.close)
