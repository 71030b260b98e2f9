"""Both drivers: they find the skip and the repeat of the RFC, keep to their bites, and do not grow."""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Iterable
from itertools import islice

import pytest

from sockiter.backend import Shape
from sockiter.cases import loads
from sockiter.claims import Hazard, KnownFailure, known_failure
from sockiter.errors import Inconclusive
from sockiter.fuzzing import drivers
from sockiter.fuzzing.drivers import (
    DRIVERS,
    SWARM_BITE,
    SWARM_BITE_REAL,
    Bite,
    drive_hypothesis,
    drive_swarm,
)
from sockiter.fuzzing.machine import SocketMachine, machine_for
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.operations import Operation, Read, Remove
from sockiter.readers import FEATURES, Feature, features_of
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, AnyScheme
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.targets import SCHEME_TARGETS
from sockiter.verdict import Signature

SKIP = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all").operations
REPEAT = loads("add A tail\nadd B tail\nopen\nread 1\nadd C head\nread all").operations


class Counted(SchemeTarget):
    """Counts its backends and those that were closed."""

    def __init__(
        self,
        scheme: AnyScheme,
        *,
        is_real: bool = False,
        known_failures: Iterable[KnownFailure] | None = None,
        breaks: bool = False,
    ) -> None:
        super().__init__(scheme)
        self.is_real = is_real
        self.known_failures = scheme.known_failures if known_failures is None else tuple(known_failures)
        self.breaks = breaks
        self.begun = self.closed = self.applied = 0

    def begin(self, shape: Shape) -> Simulation:
        target = self
        target.begun += 1

        class Backend(Simulation):
            def apply(self, operation: Operation) -> None:
                target.meet(operation)
                target.applied += 1
                super().apply(operation)

            def close(self) -> None:
                target.closed += 1

        return Backend(self.scheme, shape)

    def meet(self, operation: Operation) -> None:
        """The hook before an operation."""
        if self.breaks and type(operation) is Read:
            raise OSError("no more")


def triage_of(target: SchemeTarget, hazards: Iterable[Hazard]) -> Triage:
    return Triage.of(target, target, hazards)


def all_found(driver: str, triage: Triage, hazards: Iterable[Hazard], seed: str, bites: int) -> list[TriagedFinding]:
    bitten = islice(DRIVERS[driver](triage, frozenset(hazards), seed), bites)
    return [bite.found for bite in bitten if bite.found is not None]


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("driver", "seed"),
    [
        *(("swarm", seed) for seed in ("1", "2", "3")),
        pytest.param("hypothesis", "1", marks=pytest.mark.slow),
        *(pytest.param("hypothesis", seed, marks=[pytest.mark.slow, pytest.mark.deep]) for seed in ("2", "3")),
    ],
)
def test_a_driver_finds_the_skip_and_the_repeat_of_the_rfc_and_their_least_cases(driver: str, seed: str) -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()), {"add-head", "add-tail", "remove"})
    found = all_found(driver, triage, {"add-head", "add-tail", "remove"}, seed, 5)

    assert {(one.known_failure, one.case.operations) for one in found} == {
        (known_failure("skip", "remove"), SKIP),
        (known_failure("repeat", "add-head"), REPEAT),
    }
    assert len(found) == 2
    assert triage.pending == set()


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("target", SCHEME_TARGETS, ids=lambda target: target.name)
def test_swarm_shows_all_known_failures_of_the_schemes(target: SchemeTarget) -> None:
    triage = triage_of(target, target.hazards)
    # Once in some 300,000 sequences is too rare to wait for: the search has found that one.
    too_rare = {one for one in triage.pending if f"{target.name} {one}" == "cookie-udp skip under rehash, realloc"}
    for bite in drive_swarm(triage, target.hazards, "1"):
        assert bite.found is None or bite.found.known_failure is not None
        if triage.pending <= too_rare:
            break


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_same_seed_finds_the_same_and_another_not(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "HYPOTHESIS_BITE", 40)

    def drawn(seed: str) -> list[tuple[str, int]]:
        triage = triage_of(SchemeTarget(OffsetUdp()), ANY_HAZARD)
        return [(str(found), found.drawn) for found in all_found(driver, triage, ANY_HAZARD, seed, 1)]

    assert drawn("1") == drawn("1")
    assert drawn("1") != drawn("2")


@pytest.mark.parametrize(
    ("driver", "is_real", "bite"),
    [("swarm", False, SWARM_BITE), ("swarm", True, SWARM_BITE_REAL), ("hypothesis", False, 30)],
)
def test_a_bite_has_a_given_number_of_sequences_and_counts_their_operations(
    driver: str, is_real: bool, bite: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "HYPOTHESIS_BITE", 30)
    target = Counted(Index(), is_real=is_real)
    # Nothing that the index admits happens when sockets only come and go.
    hazards: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove"})
    bites = list(islice(DRIVERS[driver](triage_of(target, hazards), hazards, "1"), 2))

    sequences, operations = (sum(counts) for counts in zip(*((one.sequences, one.operations) for one in bites), strict=True))
    assert [one.found for one in bites] == [None] * 2
    assert target.begun == target.closed
    if driver == "hypothesis":
        # An interrupted sequence is not counted, and a known result is not run again.
        assert all(bite / 2 < one.sequences <= bite for one in bites)
        assert (sequences <= target.begun, operations <= target.applied) == (True, True)
    else:
        assert all(one.sequences == bite for one in bites)
        assert (sequences, operations) == (target.begun, target.applied)


@pytest.mark.parametrize("driver", ["swarm", pytest.param("hypothesis", marks=[pytest.mark.slow, pytest.mark.deep])])
def test_a_finding_that_gives_no_case_is_investigated_once(driver: str) -> None:
    # The skip takes a hazard, so that no least case shows this known failure, which is declared without any.
    needless = KnownFailure("skip", frozenset())
    hazards: frozenset[Hazard] = frozenset({"remove"})
    target = Counted(OffsetUdp(), known_failures=[needless])
    triage = Triage.of(target, target, hazards)
    bites: list[Bite] = list(islice(DRIVERS[driver](triage, hazards, "1"), 5))

    assert [one.found for one in bites] == [None] * 5
    # A machine that has raised is over, at the latest when its run is; a loop goes on.
    assert driver == "hypothesis" or {one.sequences for one in bites} == {SWARM_BITE}
    assert triage.investigated == {(Signature("skip"), hazards)}
    assert triage.pending == {needless}


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_interrupt_of_shrinking_ends_the_run_behind_its_finding(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Counted(OffsetUdp(), known_failures=[])
    triage = Triage.of(target, target, ())

    def interrupted() -> bool:
        triage.patience.interrupt()
        return True

    monkeypatch.setattr(triage.patience, "is_over", interrupted)
    run = DRIVERS[driver](triage, frozenset({"remove"}), "1")

    bites: list[Bite] = []
    with pytest.raises(KeyboardInterrupt):
        deque(map(bites.append, run), maxlen=0)
    assert bites[-1].found is not None


def test_every_other_bite_of_hypothesis_has_the_hazards_of_a_pending_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[frozenset[Hazard], frozenset[Feature]]] = []

    def noted(triage: Triage, hazards: frozenset[Hazard], *, features: frozenset[Feature]) -> type[SocketMachine]:
        made.append((hazards, features))
        return machine_for(triage, hazards, features=features)

    monkeypatch.setattr(drivers, "HYPOTHESIS_BITE", 3)
    monkeypatch.setattr("sockiter.fuzzing.machine.machine_for", noted)
    hazards: frozenset[Hazard] = frozenset({"remove", "reinsert", "show"})
    triage = triage_of(Counted(Index()), hazards)
    aims = {known_failure.hazards for known_failure in triage.pending}
    deque(islice(drive_hypothesis(triage, hazards, "1"), 4), maxlen=0)

    assert made[0] == (hazards, frozenset())
    assert made[2] == (hazards, frozenset(FEATURES))
    assert made[1][0] in aims
    assert not made[1][1]


class Noting(Counted):
    """Notes the features of the operations that it meets."""

    used: frozenset[Feature] = frozenset()

    def meet(self, operation: Operation) -> None:
        self.used |= features_of([operation])


def test_every_fourth_bite_of_hypothesis_uses_the_features_of_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "HYPOTHESIS_BITE", 40)
    target = Noting(Index(), known_failures=())
    bites = drive_hypothesis(Triage(target, target), frozenset({"add-tail", "destroying"}), "1")
    used: list[set[Feature]] = []
    for _ in islice(bites, 4):
        used.append(set(target.used))
        target.used = frozenset()

    assert used == [set(), set(), set(FEATURES) - {"request"}, set()]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_target_that_breaks_is_let_go_of(driver: str) -> None:
    target = Counted(Index(), breaks=True)
    with pytest.raises(OSError, match="no more"):
        next(DRIVERS[driver](triage_of(target, {"remove"}), frozenset({"remove"}), "1"))

    assert target.begun == target.closed > 0


def test_swarm_aims_at_pending_failures_until_all_were_shown() -> None:
    def used(triage: Triage) -> int:
        target = triage.target
        assert isinstance(target, Counted)
        next(drive_swarm(triage, ANY_HAZARD, "1"))
        return target.applied

    aimed, free = triage_of(Counted(Index()), ANY_HAZARD), triage_of(Counted(Index()), ANY_HAZARD)
    free.pending.clear()

    assert used(aimed) != used(free)


@pytest.mark.slow
def test_the_memory_of_swarm_stays_flat() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()), ANY_HAZARD)
    triage.pending.clear()
    bites = drive_swarm(triage, ANY_HAZARD, "1")
    tracemalloc.start()
    try:
        # By then every form of a set of hazards has been met, and every free list is as long as it gets.
        sizes = [(next(bites), gc.collect(), tracemalloc.get_traced_memory()[0])[2] for _ in range(9)]
    finally:
        tracemalloc.stop()

    # One small object kept of every sequence would be 100 KiB.
    assert sizes[-1] - sizes[4] < 32 * 1024, sizes


@pytest.mark.slow
@pytest.mark.deep
def test_the_memory_of_hypothesis_stays_flat_once_its_caches_are_full() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()), ANY_HAZARD)
    triage.pending.clear()
    bites = drive_hypothesis(triage, ANY_HAZARD, "1")
    objects = [(next(bites), gc.collect(), len(gc.get_objects()))[2] for _ in range(14)]

    assert objects[-1] - objects[9] < 100, objects


class Untelling(Counted):
    """Cannot tell of a sequence with a removal."""

    def meet(self, operation: Operation) -> None:
        if type(operation) is Remove:
            raise Inconclusive("nobody knows")


@pytest.mark.parametrize("name", DRIVERS)
def test_an_inconclusive_sequence_is_left_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "HYPOTHESIS_BITE", 30)
    # It would be news: this target claims never to skip, and all that it does is to skip under removals.
    hazards = frozenset[Hazard]({"remove"})
    telling = Counted(OffsetUdp(), known_failures=())
    assert any(bite.found for bite in islice(DRIVERS[name](triage_of(telling, hazards), hazards, "s"), 5))
    target = Untelling(OffsetUdp(), known_failures=())
    bites = list(islice(DRIVERS[name](triage_of(target, hazards), hazards, "s"), 2))
    assert [bite.found for bite in bites] == [None] * 2
    assert target.begun == target.closed >= sum(bite.sequences for bite in bites) > 0
