"""Loops of user space over a table of the kernel: a read is one call, or several."""

from __future__ import annotations

from collections.abc import Sequence

from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.operations import Unit


class LoopReader:
    """The shared part of all loops. A loop ends at the first call that reports the end, and makes no further call."""

    __slots__ = ("_ended",)

    is_cut = interrupted = False
    ages: Sequence[int] = ()

    def __init__(self) -> None:
        self._ended = False

    def read_with_stops(self, count: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError  # targets with these walks do not offer stops

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    def close(self) -> None:
        """Do nothing: a loop holds no resources."""
