"""Measurements of a reader: the walks that are counted, and the case of each effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sockiter.advice import measure as measuring
from sockiter.advice.measure import Measured, measure
from sockiter.advice.risks import effect_of
from sockiter.backend import Shape, run
from sockiter.cases import loads
from sockiter.errors import Inconclusive
from sockiter.operations import Operation
from sockiter.oracle import judge
from sockiter.readers import PARTIAL, Reader, reader_named
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named


def offset_udp() -> SchemeTarget:
    target = target_named("offset-udp")
    assert isinstance(target, SchemeTarget)
    return target


def until(walks: int) -> Callable[[int], None]:
    """A report that ends a measurement after so many walks."""

    def report(done: int) -> None:
        if done >= walks:
            raise KeyboardInterrupt

    return report


def of_walks(walks: int, *, seed: str = "7", reader: Reader = PARTIAL) -> Measured:
    return measure(offset_udp(), reader, 600, seed, until(walks))


def test_a_measurement_counts_walks_and_those_with_each_effect() -> None:
    measured = of_walks(300)
    assert (measured.target, measured.reader, measured.seed, measured.walks) == ("offset-udp", PARTIAL, "7", 300)
    assert 0 < measured.effects["lost", False] < 300
    assert 0 < measured.effects["doubled", False] < 300
    assert measured.seconds > 0


def test_each_effect_has_a_case_that_reads_as_the_reader_does_and_has_the_effect() -> None:
    reader = reader_named("partial-destroying")
    measured = of_walks(300, reader=reader)
    target = offset_udp()
    assert ("survives", False) in measured.cases
    assert measured.cases.keys() == measured.effects.keys()
    for effect, case in measured.cases.items():
        verdict = judge(run(target, target, case.operations, slots=case.slots))
        assert effect in {(effect_of(finding.kind, reader), finding.moved) for finding in verdict}
        assert reader.allows(case.operations)


def test_a_seed_draws_the_same_walks_and_another_seed_draws_others() -> None:
    first, second, other = of_walks(200), of_walks(200), of_walks(200, seed="8")
    assert (first.effects, first.cases) == (second.effects, second.cases)
    assert first.cases != other.cases


def test_a_measurement_without_time_has_no_walks() -> None:
    measured = measure(offset_udp(), PARTIAL, 0, "7")
    assert (measured.walks, measured.effects, measured.cases) == (0, {}, {})


def test_a_measurement_ends_when_its_time_is_up() -> None:
    measured = measure(offset_udp(), PARTIAL, 0.05, "7")
    assert measured.walks > 0
    assert measured.seconds < 0.05


def test_the_shortest_of_the_cases_of_an_effect_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    short = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n").operations
    long = loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n").operations
    drawn = iter((long, short, long))

    class Scripted:
        def __init__(self, *seed_and_hazards: object, reader: Reader) -> None:
            assert reader == PARTIAL

        def sequence(self) -> tuple[tuple[Operation, ...], int]:
            return next(drawn), 4

    monkeypatch.setattr(measuring, "Swarm", Scripted)
    monkeypatch.setattr(measuring, "REPORT", 3)
    measured = of_walks(3)
    assert measured.effects == {("lost", False): 3}
    assert measured.cases["lost", False].operations == short


def test_a_walk_that_the_kernel_has_no_room_for_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[int] = []

    def refuse(self: SchemeTarget, shape: Shape) -> None:
        raise Inconclusive("no room")

    def report(walks: int) -> None:
        reports.append(walks)
        if len(reports) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(SchemeTarget, "begin", refuse)
    assert measure(offset_udp(), PARTIAL, 600, "7", report).walks == 0
    assert reports == [0, 0, 0]
