"""Triage: new findings, the case of a finding, and findings that are not reproduced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sockiter.backend import SLOTS, Shape, run
from sockiter.cases import loads
from sockiter.check import search
from sockiter.claims import KnownFailure, hazards_of, known_failure
from sockiter.fuzzing import triage as triage_module
from sockiter.fuzzing.drivers import drive_swarm
from sockiter.fuzzing.triage import RERUNS, Triage, TriagedFinding
from sockiter.operations import Add, Operation
from sockiter.oracle import judge
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, AnyScheme
from sockiter.shrink.minimize import Patience
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.verdict import Finding, Signature, Verdict

SKIP = loads("add X tail\nadd B tail\nadd C tail\nopen\nread 2\nremove X\nremove B\nread all").operations
LEAST_SKIP = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all").operations
SHOWN = loads(
    "add A tail\nadd B tail\nadd C tail\nopen\nread 2\n at show 1: remove A\n at show 2: remove B\nread all"
).operations
REPEAT = loads("add A tail\nadd B tail\nopen\nread 1\nadd C head\nremove B\nread all").operations
MANY = loads(
    "\n".join(f"add S{n} tail" for n in range(17))
    + "\nopen\nread all\n at realloc 1: reinsert S15 tail\n at realloc 1: fail\n"
).operations

SKIPPED = Finding("skip", "C")


class Pretending(SchemeTarget):
    """A scheme with other known failures, slots and kind than it has."""

    def __init__(
        self, scheme: AnyScheme, known_failures: Iterable[KnownFailure], *, slots: int | None = None, is_real: bool = False
    ) -> None:
        super().__init__(scheme)
        self.known_failures = tuple(known_failures)
        self.slots = slots
        self.is_real = is_real


class Flaky(Pretending):
    """A real target that behaves like its scheme in the runs of `does` only."""

    def __init__(self, does: str) -> None:
        super().__init__(OffsetUdp(), (), slots=SLOTS, is_real=True)
        self.runs = 0
        self.does = does

    @contextmanager
    def session(self) -> Iterator[Flaky]:
        yield self

    def begin(self, shape: Shape) -> Simulation:
        self.runs += 1
        does = self.does[self.runs - 1 : self.runs] == "x" or (self.does.endswith("+") and self.runs > RERUNS)
        return Simulation(OffsetUdp() if does else Index(), shape)


def verdict_of(target: SchemeTarget, operations: tuple[Operation, ...], slots: int = SLOTS) -> Verdict:
    return judge(run(target, target, operations, slots=slots))


def triage_of(target: SchemeTarget) -> Triage:
    return Triage.of(target, target, target.hazards)


def investigated(triage: Triage, operations: tuple[Operation, ...], finding: Finding, slots: int = SLOTS) -> TriagedFinding:
    found = triage.investigate(operations, slots, finding)
    assert found is not None
    return found


def test_pending_are_the_known_failures_under_the_given_hazards() -> None:
    target = SchemeTarget(OffsetUdp())

    assert Triage.of(target, target, {"add-head", "remove"}).pending == {
        known_failure("skip", "remove"),
        known_failure("repeat", "add-head"),
    }
    assert Triage.of(target, target, ANY_HAZARD).pending == set(OffsetUdp.known_failures)
    assert Triage.of(target, target, ()).pending == set()


def test_a_known_failure_that_was_not_shown_yet_is_new() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))

    assert verdict_of(SchemeTarget(OffsetUdp()), SKIP) == (SKIPPED,)
    assert triage.first_new(SKIP, (SKIPPED,)) == SKIPPED


def test_a_known_failure_that_was_shown_is_not_new() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))
    investigated(triage, SKIP, SKIPPED)

    assert triage.first_new(SKIP, (SKIPPED,)) is None


def test_a_finding_that_a_shown_failure_explains_is_not_new_although_another_is_pending() -> None:
    wide, narrow = known_failure("skip", "remove"), known_failure("skip", "add-tail")
    target = Pretending(OffsetUdp(), (wide, narrow))
    triage = triage_of(target)
    both = (*SKIP[:-1], Add("E", "tail"), SKIP[-1])

    assert triage.first_new(both, (SKIPPED,)) == SKIPPED
    triage.pending.remove(wide)
    assert triage.first_new(both, (SKIPPED,)) is None


def test_a_finding_that_only_a_failure_with_another_signature_explains_is_not_new() -> None:
    # A skip far from every change explains one beside a change, but no case with this signature can show the other.
    far = KnownFailure("skip", frozenset({"remove"}), elsewhere=True)
    triage = triage_of(Pretending(OffsetUdp(), (far,)))

    assert triage.first_new(SKIP, (SKIPPED,)) is None
    assert triage.first_new(SKIP, (replace(SKIPPED, elsewhere=True),)) == replace(SKIPPED, elsewhere=True)


@pytest.mark.parametrize(("admitted", "is_certain"), [((known_failure("skip", "remove"),), False), ((), True)])
def test_the_search_for_a_shortest_case_is_longer_where_a_claim_is_broken(
    admitted: tuple[KnownFailure, ...], is_certain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "REPORT", 1)
    monkeypatch.setattr(triage_module, "STATES_MAX_KNOWN", 10)

    assert investigated(triage_of(Pretending(OffsetUdp(), admitted)), SKIP, SKIPPED).shortest is is_certain


def test_a_least_case_of_a_known_failure_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def shortest(scheme: AnyScheme, operations: tuple[Operation, ...], slots: int, *of: object, **options: object) -> object:
        begun.append(operations)
        return operations, slots, True

    monkeypatch.setattr(triage_module, "shortest", shortest)
    triage = triage_of(Pretending(Index(), [known_failure("skip", "reinsert")]))
    with_one, with_two = (
        loads(f"add A tail\nadd B tail\nopen\nread 1\n at show 1: reinsert A tail\n{more}read all").operations
        for more in ("add C tail\n", "add C head\n")
    )

    assert triage.investigate(with_one, SLOTS, Finding("skip", "B")) is None
    assert triage.investigate(with_two, SLOTS, Finding("skip", "B")) is None
    assert len(begun) == 1


def test_a_broken_claim_is_new_however_much_else_was_shown() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))
    triage.pending.clear()

    assert triage.first_new(SKIP, (SKIPPED, Finding("repeat", "A"))) == Finding("repeat", "A")


def test_a_finding_about_a_moved_socket_is_new_after_one_about_another() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))

    assert triage.first_new(SKIP, (Finding("skip", "C", moved=True),)) == Finding("skip", "C", moved=True)


def test_a_broken_claim_is_new_once_for_each_set_of_hazards() -> None:
    triage = triage_of(Pretending(OffsetUdp(), ()))
    investigated(triage, SKIP, SKIPPED)

    assert triage.first_new(SKIP, (SKIPPED,)) is None
    assert triage.first_new(SHOWN, (SKIPPED,)) == SKIPPED


def test_an_iteration_that_was_not_judged_to_its_end_is_not_new() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))

    assert triage.first_new(SKIP, (Finding("incomplete"),)) is None
    assert triage.first_new(SKIP, ()) is None


def test_a_refused_read_is_new_where_no_known_failure_explains_it() -> None:
    assert triage_of(SchemeTarget(OffsetUdp())).first_new(SKIP, (Finding("refused"),)) == Finding("refused")


def test_a_known_failure_is_shown_by_the_least_case_and_is_not_pending_any_more() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))
    found = investigated(triage, SKIP, SKIPPED, slots=2)

    assert found.case.operations == LEAST_SKIP
    assert found.case.slots == SLOTS
    assert found.known_failure == known_failure("skip", "remove")
    assert (found.target, found.kind, found.moved) == ("offset-udp", "skip", False)
    assert (found.drawn, found.reproduced, found.reruns) == (len(SKIP), 1, 1)
    assert triage.pending == set(OffsetUdp.known_failures) - {known_failure("skip", "remove")}
    assert triage.investigated == {(Signature("skip"), frozenset({"remove"}))}
    assert str(found) == "offset-udp: skip under remove"


def test_a_case_with_fewer_hazards_than_the_sequence_is_investigated_for_both() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))
    found = investigated(triage, REPEAT, Finding("repeat", "A"))

    assert hazards_of(found.case.operations) == {"add-head"}
    assert triage.investigated == {
        (Signature("repeat"), frozenset({"add-head", "remove"})),
        (Signature("repeat"), frozenset({"add-head"})),
    }


def test_a_known_failure_that_another_case_has_shown_meanwhile_gives_no_finding() -> None:
    triage = triage_of(SchemeTarget(OffsetUdp()))
    triage.pending.discard(known_failure("repeat", "add-head"))

    assert triage.investigate(REPEAT, SLOTS, Finding("repeat", "A")) is None
    assert known_failure("repeat", "reinsert") in triage.pending


def test_a_least_case_with_more_hazards_than_those_of_any_known_failure_shows_nothing() -> None:
    # The place goes along with the socket that is moved while it is shown, and that takes two hazards.
    target = Pretending(Index(), [known_failure("skip", "reinsert")])
    triage = triage_of(target)
    operations = loads("add A tail\nadd B tail\nopen\nread 1\n at show 1: reinsert A tail\nread all").operations

    assert triage.investigate(operations, SLOTS, Finding("skip", "B")) is None
    assert triage.pending == {known_failure("skip", "reinsert")}
    assert triage.first_new(operations, (Finding("skip", "B"),)) is None


def test_a_scheme_that_claims_too_much_breaks_a_claim() -> None:
    found = investigated(triage_of(Pretending(OffsetUdp(), [known_failure("skip", "reinsert")])), SKIP, SKIPPED)

    assert found.known_failure is None
    assert found.case.operations == LEAST_SKIP


def test_a_moved_socket_and_a_case_without_hazards_are_described_in_words() -> None:
    found = investigated(triage_of(Pretending(OffsetUdp(), ())), SKIP, SKIPPED)
    operations = loads("add A tail\nopen\nread all").operations

    assert str(TriagedFinding("t", "skip", True, found.case, found.hazards, None, 8, 1, 1)) == "t: skip (moved) under remove"
    assert (
        str(TriagedFinding("t", "stuck", False, type(found.case)(operations), frozenset(), None, 3, 1, 1))
        == "t: stuck under no hazard"
    )


@pytest.mark.parametrize(("does", "reproduced"), [("xxxxx+", 5), ("x-x--+", 2), ("----x+", 1)])
def test_a_flaky_finding_of_a_kernel_has_its_number_of_reproductions(does: str, reproduced: int) -> None:
    target = Flaky(does)
    found = investigated(triage_of(target), SKIP, SKIPPED)

    assert (found.reproduced, found.reruns) == (reproduced, RERUNS)
    assert found.case.operations == LEAST_SKIP
    assert found.drawn == len(SKIP)


def test_a_finding_that_is_not_reproduced_is_not_shrunk() -> None:
    target = Flaky("-----")
    triage = triage_of(target)
    found = investigated(triage, SKIP, SKIPPED)

    assert (found.reproduced, found.reruns) == (0, RERUNS)
    assert found.case.operations == SKIP
    assert target.runs == RERUNS
    assert triage.first_new(SKIP, (SKIPPED,)) is None


def test_a_finding_that_vanishes_while_it_is_shrunk_stays_as_it_was_drawn() -> None:
    found = investigated(triage_of(Flaky("x----")), SKIP, SKIPPED)

    assert (found.reproduced, found.case.operations) == (1, SKIP)


def test_a_target_with_one_number_of_slots_is_never_asked_for_another() -> None:
    target = Pretending(Index(), Index.known_failures, slots=SLOTS)
    finding = next(finding for finding in verdict_of(target, MANY) if finding.kind == "skip" and not finding.moved)
    found = investigated(triage_of(target), MANY, finding)

    assert found.case.slots == SLOTS
    assert len(found.case.operations) == len(MANY)


def test_an_interrupt_while_a_finding_is_shrunk_ends_the_drawing_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sockiter.fuzzing.triage.minimize", interrupt)
    target = Pretending(OffsetUdp(), ())
    with target.session() as session:
        bites = drive_swarm(Triage.of(target, session, {"remove"}), frozenset({"remove"}), "7")
        found = next(bite.found for bite in bites if bite.found is not None)
        assert found.cut_short
        with pytest.raises(KeyboardInterrupt):
            next(bites)


def test_an_unshrunk_finding_with_several_known_failures_is_saved_as_the_first() -> None:
    target = Pretending(OffsetUdp(), (known_failure("skip", "remove"),))
    with target.session() as session:
        triage = Triage(target, session, {known_failure("skip", "remove")}, set(), Patience(lambda: True))
        operations = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nadd D tail\nread all").operations
        found = triage.investigate(operations, SLOTS, Finding("skip", "B"))
    assert found is not None
    assert (found.known_failure, found.case.operations, found.cut_short) == (
        known_failure("skip", "remove"),
        operations,
        True,
    )
    assert triage.pending == set()
