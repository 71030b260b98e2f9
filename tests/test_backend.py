"""A sequence on a busy machine: it is carried out again, up to a fixed number of tries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sockiter.backend import TRIES, Shape, run
from sockiter.cases import Case
from sockiter.conform import Conformance
from sockiter.errors import TooBusy
from sockiter.operations import Add, Open, Operation, Read
from sockiter.report.trace import trace
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget, Simulation

WALK: tuple[Operation, ...] = (Add("A", "head"), Open(), Read(None))


class Busy(SchemeTarget):
    """So many iterations break off at the first read, each of which is closed."""

    def __init__(self, times: int) -> None:
        super().__init__(Rank())
        self.times = times
        self.begun: list[Broken] = []

    def begin(self, shape: Shape) -> Simulation:
        self.begun.append(Broken(Rank(), shape))
        self.begun[-1].breaks = len(self.begun) <= self.times
        return self.begun[-1]


class Broken(Simulation):
    breaks = False
    closed = 0

    def apply(self, operation: Operation) -> None:
        if self.breaks and isinstance(operation, Read):
            raise TooBusy("this machine is too busy")
        super().apply(operation)

    def close(self) -> None:
        self.closed += 1
        super().close()


def ran(target: Busy) -> object:
    return run(target, target, WALK).reads[0].delivered


def traced(target: Busy) -> object:
    return trace(Case(WALK), target, target).history.reads[0].delivered


def compared(target: Busy) -> object:
    return Conformance(target, target, Rank()).compare(WALK, 16) or ("A",)


CARRIED_OUT = pytest.mark.parametrize("carried_out", [ran, traced, compared])


@CARRIED_OUT
def test_a_sequence_on_a_busy_machine_is_tried_again(carried_out: Callable[[Busy], object]) -> None:
    target = Busy(TRIES - 1)
    assert carried_out(target) == ("A",)
    assert [one.closed for one in target.begun[:TRIES]] == [1] * TRIES


@CARRIED_OUT
def test_but_not_for_ever(carried_out: Callable[[Busy], object]) -> None:
    target = Busy(100)
    with pytest.raises(TooBusy, match=r"^this machine is too busy$"):
        carried_out(target)
    assert [one.closed for one in target.begun] == [1] * TRIES
