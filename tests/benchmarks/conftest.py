"""Benchmarks run only on request (`pytest tests/benchmarks`), not with the tests.

They measure processor time, both sides by turns in one process. The judgement is by ratios, since other load on the machine
slows both sides down equally.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeAlias

import pytest

Tell: TypeAlias = Callable[[str], None]
Ratio: TypeAlias = Callable[[str, Callable[[], float], Callable[[], float], float], float]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if any(Path(__file__).parent.name in argument for argument in config.args) else True


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a line, whatever is captured."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="")

    return say


@pytest.fixture
def ratio(tell: Tell) -> Ratio:
    """The ratio of one side's rate to the other's: the compared quantity, the sides, and a floor (0: none)."""

    def measure(what: str, ours: Callable[[], float], theirs: Callable[[], float], floor: float) -> float:
        rounds = [(ours(), theirs()) for _ in range(9)]
        first, second = (median(side) for side in zip(*rounds, strict=True))
        times = median(one / other for one, other in rounds)
        goal = f" (floor {floor:g})" if floor else ""
        tell(f"{what}: {first:,.0f} against {second:,.0f}, {times:,.2f} times{goal}")
        return times

    return measure
