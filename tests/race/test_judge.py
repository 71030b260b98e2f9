"""The judge of a race: certain findings about a walk with concurrent changes, and uncertain ones."""

from __future__ import annotations

import pytest

from sockiter.claims import Hazard
from sockiter.operations import Bucket
from sockiter.race.judge import Round, TimedChange, WalkCall, WalkFindings, WalkRecord, judge_round
from sockiter.verdict import Finding, Verdict

A, B, C = 1, 2, 3
NAMES = {A: "A", B: "B", C: "C"}


def changed(hazard: Hazard, socket_id: int, start: int, end: int) -> TimedChange:
    return TimedChange(hazard, NAMES[socket_id], socket_id, start, end, None if hazard == "remove" else Bucket())


# There from the start, one after the other.
ALL_THREE = tuple(changed("add-head", known, known, known) for known in NAMES)
LAID = len(ALL_THREE)


def walked(*reads: tuple[int, ...] | str, start: int = 100, ended: bool = True, stuck: bool = False) -> WalkRecord:
    """A walk that is opened at `start`; it, and each read, takes ten, and ten later comes the next."""
    calls = [WalkCall(start, start + 10, (), ())]
    for nth, returned in enumerate(reads, start=1):
        at = start + nth * 20
        delivered = returned if isinstance(returned, tuple) else ()
        calls.append(WalkCall(at, at + 10, delivered, delivered, returned if isinstance(returned, str) else ""))
    return WalkRecord(tuple(calls), ended, stuck)


def findings_of(*changes: TimedChange, walk: WalkRecord) -> list[WalkFindings]:
    return list(judge_round(Round((*ALL_THREE, *changes), [walk])))


def verdict(*changes: TimedChange, walk: WalkRecord) -> Verdict:
    """The findings of the only walk, in a table with A, B and C from the start."""
    findings = findings_of(*changes, walk=walk)
    return findings[0].verdict if findings else ()


# Times of a walk with three reads: opened from 100 to 110, the reads from 120, 140 and 160, its end at 170.
WHOLE = walked((A, B), (C,), ())
WITHOUT_B = walked((A,), (C,), ())


def test_a_walk_that_delivers_every_socket_once_has_no_finding() -> None:
    assert findings_of(walk=WHOLE) == []


def test_a_socket_that_was_left_alone_and_is_not_delivered_was_skipped() -> None:
    assert verdict(walk=WITHOUT_B) == (Finding("skip", "B"),)


@pytest.mark.parametrize("hazard", ["remove", "reinsert", "rehash"])
@pytest.mark.parametrize("when", [(90, 100), (95, 105), (130, 135), (165, 175), (170, 180)])
def test_a_socket_that_was_touched_during_a_walk_is_owed_nothing(hazard: Hazard, when: tuple[int, int]) -> None:
    assert verdict(changed(hazard, B, *when), walk=WITHOUT_B) == ()


@pytest.mark.parametrize("hazard", ["reinsert", "rehash"])
def test_a_socket_that_was_moved_before_the_walk_and_left_alone_since_is_owed_a_delivery(hazard: Hazard) -> None:
    assert verdict(changed(hazard, B, 90, 99), walk=WITHOUT_B) == (Finding("skip", "B"),)


def test_a_socket_that_is_removed_after_the_walk_is_owed_a_delivery() -> None:
    assert verdict(changed("remove", B, 171, 180), walk=WITHOUT_B) == (Finding("skip", "B"),)


def test_a_socket_that_was_being_added_when_the_walk_was_opened_is_owed_nothing() -> None:
    late = TimedChange("add-head", "D", 4, 95, 101)
    assert verdict(late, walk=WHOLE) == ()
    assert verdict(late._replace(end=99), walk=WHOLE) == (Finding("skip", "D"),)


def test_an_incomplete_walk_has_skipped_no_socket() -> None:
    assert verdict(walk=walked((A,), ended=False)) == ()


def test_a_socket_that_is_delivered_twice_was_repeated() -> None:
    assert verdict(walk=walked((A, B), (B, C), ())) == (Finding("repeat", "B"),)
    assert verdict(walk=walked((A, B, B, C), ())) == (Finding("repeat", "B"),)


def test_a_socket_that_was_added_during_the_walk_is_owed_no_second_delivery_either() -> None:
    new = TimedChange("add-head", "D", 4, 111, 115)
    assert verdict(new, walk=walked((4, A, B), (4, C), ())) == (Finding("repeat", "D"),)


@pytest.mark.parametrize("hazard", ["reinsert", "rehash"])
def test_a_socket_that_moved_during_the_walk_may_come_again(hazard: Hazard) -> None:
    twice = walked((A, B), (B, C), ())
    assert verdict(changed(hazard, B, 131, 135), walk=twice) == ()
    assert verdict(changed(hazard, B, 90, 99), walk=twice) == (Finding("repeat", "B"),)
    assert verdict(changed(hazard, B, 171, 180), walk=twice) == (Finding("repeat", "B"),)


def test_a_socket_whose_removal_was_over_before_a_read_is_stale_in_it() -> None:
    walk = walked((A, B), (C,), ())
    assert verdict(changed("remove", C, 131, 139), walk=walk) == (Finding("stale", "C"),)
    # From the beginning of a read on, the order of events is unknown.
    assert verdict(changed("remove", C, 131, 140), walk=walk) == ()


def test_whose_turn_came_at_the_opening_is_not_stale_where_it_is_delivered_later() -> None:
    ahead = WalkCall(100, 110, (A, B, C), ())
    first = WalkCall(120, 130, (), (A, B, C))
    walk = WalkRecord((ahead, first, WalkCall(140, 150, (), ())), ended=True, stuck=False)
    assert verdict(changed("remove", C, 112, 115), walk=walk) == ()
    assert verdict(changed("remove", C, 90, 99), walk=walk) == (Finding("stale", "C"),)


def test_a_socket_of_the_round_before_is_stale_wherever_it_comes() -> None:
    assert verdict(TimedChange("remove", "Z", 26, 50, 60), walk=walked((A, B, C, 26), ())) == (Finding("stale", "Z"),)


def test_an_unknown_socket_is_owed_nothing() -> None:
    assert verdict(walk=walked((A, B, C, 77, 77), ())) == ()


def test_a_walk_without_an_end_is_stuck() -> None:
    assert verdict(walk=walked((A,), (A,), ended=False, stuck=True)) == (Finding("repeat", "A"), Finding("stuck"))


def test_an_error_is_refused_and_adds_the_hazard_enomem() -> None:
    (findings,) = findings_of(walk=walked((A,), "ENOMEM", (C,), ()))
    assert findings.verdict == (Finding("skip", "B"), Finding("refused"))
    assert findings.hazards == {"show", "between", "realloc", "enomem"}


def test_the_hazards_of_a_walk_are_those_of_the_changes_that_it_met() -> None:
    before, during, after = (changed("remove", A, *when) for when in ((90, 99), (105, 130), (171, 180)))
    (findings,) = findings_of(before, changed("add-tail", A, 98, 102)._replace(socket_id=5), walk=WITHOUT_B)
    assert findings.hazards == {"show", "between", "realloc", "add-tail"}
    assert findings_of(during, walk=walked((C,), ()))[0].hazards == {"show", "between", "realloc", "remove"}
    assert findings_of(after, walk=WITHOUT_B)[0].hazards == {"show", "between", "realloc"}


@pytest.mark.parametrize(
    ("hazard", "more"), [("reinsert", {"remove", "add-head", "add-tail"}), ("rehash", {"remove", "add-head"})]
)
def test_a_move_is_a_removal_and_an_insertion_to_who_looks_in_between(hazard: Hazard, more: set[Hazard]) -> None:
    (findings,) = findings_of(changed(hazard, A, 131, 135), walk=WITHOUT_B)
    assert findings.hazards == {"show", "between", "realloc", hazard} | more


def test_each_walk_of_a_round_is_judged_by_itself() -> None:
    walks = [walked((A, B, C), (), start=100), walked((A, C), (), start=200), walked((A, C), (), start=300)]
    changes = (*ALL_THREE, changed("remove", B, 255, 260))
    found = list(judge_round(Round(changes, walks)))
    assert found == [WalkFindings(1, (Finding("skip", "B"),), frozenset({"show", "between", "realloc"}))]
    assert Round(changes, walks).during(1) == ()
