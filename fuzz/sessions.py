"""A session of a target that begins with its first sequence: collecting a test costs nothing, whoever collects it."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from typing import ClassVar

from sockiter.backend import Backend, Session, Shape, Target


class LateSession:
    """A session of one target, begun when it is needed; of all of them, at most one is open at any time."""

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
        """End the session that is open, if one is."""
        cls._open = None
        cls._stack.close()


atexit.register(LateSession.close)
