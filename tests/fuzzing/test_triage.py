"""What is news, how news becomes a case, and what is made of findings that do not come again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sockiter.backend import SLOTS, Shape, run
from sockiter.cases import loads
from sockiter.check import search
from sockiter.claims import Harm, harm, hazards_of
from sockiter.fuzzing import triage
from sockiter.fuzzing.drivers import drive_swarm
from sockiter.fuzzing.triage import RERUNS, Found, Hunt
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


class Told(SchemeTarget):
    """A scheme of which other things are told than are so."""

    def __init__(self, scheme: AnyScheme, harms: Iterable[Harm], *, slots: int | None = None, is_real: bool = False) -> None:
        super().__init__(scheme)
        self.harms = tuple(harms)
        self.slots = slots
        self.is_real = is_real


class Flaky(Told):
    """A real target that does what its scheme does only in those of its runs that `does` says, and then never."""

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


def hunting(target: SchemeTarget) -> Hunt:
    return Hunt.of(target, target, target.hazards)


def followed(hunt: Hunt, operations: tuple[Operation, ...], finding: Finding, slots: int = SLOTS) -> Found:
    found = hunt.follow(operations, slots, finding)
    assert found is not None
    return found


def test_pending_is_what_the_target_admits_under_the_hazards_of_the_hunt() -> None:
    target = SchemeTarget(OffsetUdp())

    assert Hunt.of(target, target, {"add-head", "remove"}).pending == {harm("skip", "remove"), harm("repeat", "add-head")}
    assert Hunt.of(target, target, ANY_HAZARD).pending == set(OffsetUdp.harms)
    assert Hunt.of(target, target, ()).pending == set()


def test_a_finding_that_is_admitted_and_was_not_shown_yet_is_news() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))

    assert verdict_of(SchemeTarget(OffsetUdp()), SKIP) == (SKIPPED,)
    assert hunt.news(SKIP, (SKIPPED,)) == SKIPPED


def test_a_finding_that_was_shown_is_no_news_any_more() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))
    followed(hunt, SKIP, SKIPPED)

    assert hunt.news(SKIP, (SKIPPED,)) is None


def test_a_finding_that_something_shown_accounts_for_is_no_news_although_something_else_is_pending() -> None:
    wide, narrow = harm("skip", "remove"), harm("skip", "add-tail")
    target = Told(OffsetUdp(), (wide, narrow))
    hunt = hunting(target)
    both = (*SKIP[:-1], Add("E", "tail"), SKIP[-1])

    assert hunt.news(both, (SKIPPED,)) == SKIPPED
    hunt.pending.remove(wide)
    assert hunt.news(both, (SKIPPED,)) is None


def test_a_finding_that_only_a_harm_with_another_signature_accounts_for_is_no_news() -> None:
    # A skip far from every change explains one beside a change, but no case with this signature can show the other.
    far = Harm("skip", frozenset({"remove"}), elsewhere=True)
    hunt = hunting(Told(OffsetUdp(), (far,)))

    assert hunt.news(SKIP, (SKIPPED,)) is None
    assert hunt.news(SKIP, (replace(SKIPPED, elsewhere=True),)) == replace(SKIPPED, elsewhere=True)


@pytest.mark.parametrize(("admitted", "is_certain"), [((harm("skip", "remove"),), False), ((), True)])
def test_the_search_for_a_shortest_case_is_longer_where_a_claim_is_broken(
    admitted: tuple[Harm, ...], is_certain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "REPORT", 1)
    monkeypatch.setattr(triage, "STATES_MAX_ADMITTED", 10)

    assert followed(hunting(Told(OffsetUdp(), admitted)), SKIP, SKIPPED).shortest is is_certain


def test_a_least_case_that_was_searched_once_and_is_admitted_is_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def shortest(scheme: AnyScheme, operations: tuple[Operation, ...], slots: int, *of: object, **options: object) -> object:
        begun.append(operations)
        return operations, slots, True

    monkeypatch.setattr(triage, "shortest", shortest)
    hunt = hunting(Told(Index(), [harm("skip", "reinsert")]))
    with_one, with_two = (
        loads(f"add A tail\nadd B tail\nopen\nread 1\n at show 1: reinsert A tail\n{more}read all").operations
        for more in ("add C tail\n", "add C head\n")
    )

    assert hunt.follow(with_one, SLOTS, Finding("skip", "B")) is None
    assert hunt.follow(with_two, SLOTS, Finding("skip", "B")) is None
    assert len(begun) == 1


def test_what_nobody_admits_is_news_however_much_else_was_shown() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))
    hunt.pending.clear()

    assert hunt.news(SKIP, (SKIPPED, Finding("repeat", "A"))) == Finding("repeat", "A")


def test_a_socket_that_had_moved_is_other_news_than_one_that_had_not() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))

    assert hunt.news(SKIP, (Finding("skip", "C", moved=True),)) == Finding("skip", "C", moved=True)


def test_a_broken_claim_is_news_once_for_each_set_of_hazards() -> None:
    hunt = hunting(Told(OffsetUdp(), ()))
    followed(hunt, SKIP, SKIPPED)

    assert hunt.news(SKIP, (SKIPPED,)) is None
    assert hunt.news(SHOWN, (SKIPPED,)) == SKIPPED


def test_an_iteration_that_was_not_judged_to_its_end_is_no_news() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))

    assert hunt.news(SKIP, (Finding("incomplete"),)) is None
    assert hunt.news(SKIP, ()) is None


def test_a_refused_read_is_news_where_it_is_not_admitted() -> None:
    assert hunting(SchemeTarget(OffsetUdp())).news(SKIP, (Finding("refused"),)) == Finding("refused")


def test_a_harm_is_shown_by_the_least_case_and_is_not_pending_any_more() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))
    found = followed(hunt, SKIP, SKIPPED, slots=2)

    assert found.case.operations == LEAST_SKIP
    assert found.case.slots == SLOTS
    assert found.harm == harm("skip", "remove")
    assert (found.target, found.kind, found.moved) == ("offset-udp", "skip", False)
    assert (found.drawn, found.reproduced, found.reruns) == (len(SKIP), 1, 1)
    assert hunt.pending == set(OffsetUdp.harms) - {harm("skip", "remove")}
    assert hunt.followed == {(Signature("skip"), frozenset({"remove"}))}
    assert str(found) == "offset-udp: skip under remove"


def test_a_case_with_fewer_hazards_than_the_sequence_is_followed_for_both() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))
    found = followed(hunt, REPEAT, Finding("repeat", "A"))

    assert hazards_of(found.case.operations) == {"add-head"}
    assert hunt.followed == {
        (Signature("repeat"), frozenset({"add-head", "remove"})),
        (Signature("repeat"), frozenset({"add-head"})),
    }


def test_a_harm_that_another_case_has_shown_meanwhile_comes_to_nothing() -> None:
    hunt = hunting(SchemeTarget(OffsetUdp()))
    hunt.pending.discard(harm("repeat", "add-head"))

    assert hunt.follow(REPEAT, SLOTS, Finding("repeat", "A")) is None
    assert harm("repeat", "reinsert") in hunt.pending


def test_a_least_case_with_more_hazards_than_those_of_any_harm_shows_nothing() -> None:
    # The place goes along with the socket that is moved while it is shown, and that takes two hazards.
    target = Told(Index(), [harm("skip", "reinsert")])
    hunt = hunting(target)
    operations = loads("add A tail\nadd B tail\nopen\nread 1\n at show 1: reinsert A tail\nread all").operations

    assert hunt.follow(operations, SLOTS, Finding("skip", "B")) is None
    assert hunt.pending == {harm("skip", "reinsert")}
    assert hunt.news(operations, (Finding("skip", "B"),)) is None


def test_a_scheme_that_claims_too_much_is_told_that_a_claim_is_broken() -> None:
    found = followed(hunting(Told(OffsetUdp(), [harm("skip", "reinsert")])), SKIP, SKIPPED)

    assert found.harm is None
    assert found.case.operations == LEAST_SKIP


def test_a_moved_socket_and_no_hazard_at_all_are_told_in_words() -> None:
    found = followed(hunting(Told(OffsetUdp(), ())), SKIP, SKIPPED)
    operations = loads("add A tail\nopen\nread all").operations

    assert str(Found("t", "skip", True, found.case, found.hazards, None, 8, 1, 1)) == "t: skip (moved) under remove"
    assert (
        str(Found("t", "stuck", False, type(found.case)(operations), frozenset(), None, 3, 1, 1))
        == "t: stuck under no hazard"
    )


@pytest.mark.parametrize(("does", "reproduced"), [("xxxxx+", 5), ("x-x--+", 2), ("----x+", 1)])
def test_what_a_kernel_does_now_and_then_is_reproduced_so_many_of_five_times(does: str, reproduced: int) -> None:
    target = Flaky(does)
    found = followed(hunting(target), SKIP, SKIPPED)

    assert (found.reproduced, found.reruns) == (reproduced, RERUNS)
    assert found.case.operations == LEAST_SKIP
    assert found.drawn == len(SKIP)


def test_what_never_comes_again_is_not_shrunk() -> None:
    target = Flaky("-----")
    hunt = hunting(target)
    found = followed(hunt, SKIP, SKIPPED)

    assert (found.reproduced, found.reruns) == (0, RERUNS)
    assert found.case.operations == SKIP
    assert target.runs == RERUNS
    assert hunt.news(SKIP, (SKIPPED,)) is None


def test_what_came_again_and_then_never_while_it_was_shrunk_stays_as_it_was_drawn() -> None:
    found = followed(hunting(Flaky("x----")), SKIP, SKIPPED)

    assert (found.reproduced, found.case.operations) == (1, SKIP)


def test_a_target_with_one_number_of_slots_is_never_asked_for_another() -> None:
    target = Told(Index(), Index.harms, slots=SLOTS)
    finding = next(finding for finding in verdict_of(target, MANY) if finding.kind == "skip" and not finding.moved)
    found = followed(hunting(target), MANY, finding)

    assert found.case.slots == SLOTS
    assert len(found.case.operations) == len(MANY)


def test_an_interrupt_while_a_finding_is_shrunk_ends_the_drawing_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sockiter.fuzzing.triage.minimize", interrupt)
    target = Told(OffsetUdp(), ())
    with target.session() as session:
        bites = drive_swarm(Hunt.of(target, session, {"remove"}), frozenset({"remove"}), "7")
        found = next(bite.found for bite in bites if bite.found is not None)
        assert found.cut_short
        with pytest.raises(KeyboardInterrupt):
            next(bites)


def test_what_is_cut_short_may_show_one_of_several_harms_and_is_kept_as_the_first() -> None:
    target = Told(OffsetUdp(), (harm("skip", "remove"),))
    with target.session() as session:
        hunt = Hunt(target, session, {harm("skip", "remove")}, set(), Patience(lambda: True))
        operations = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nadd D tail\nread all").operations
        found = hunt.follow(operations, SLOTS, Finding("skip", "B"))
    assert found is not None
    assert (found.harm, found.case.operations, found.cut_short) == (harm("skip", "remove"), operations, True)
    assert hunt.pending == set()
