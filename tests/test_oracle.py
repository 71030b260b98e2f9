"""The judge: the conditions of every kind of verdict, and a second definition that agrees with the judge."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockiter.history import Event, GaveUp, History, Reopened, Returned, Shown
from sockiter.operations import FIRST, Add, Bucket, Rehash, Reinsert, Remove
from sockiter.oracle import judge
from sockiter.verdict import KINDS, OF_A_SOCKET, VIOLATIONS, Finding, Verdict, describe

END = Returned(())
ENOMEM = Returned((), "ENOMEM")
MOVES: list[Event] = [Reinsert("A", "tail"), Rehash("A", Bucket(1))]
INCOMPLETE = (Finding("incomplete"),)


def got(*names: str) -> list[Event]:
    """The turns of these sockets, and a read that hands out their records."""
    return [*map(Shown, names), Returned(names)]


def verdict(opened: str, *events: Event) -> Verdict:
    """The verdict on a history with these sockets (a letter each) at open."""
    return judge(History(tuple(opened), list(events)))


class TestExactlyOnce:
    def test_is_nothing_to_be_said(self) -> None:
        assert verdict("AB", *got("A"), *got("B"), END) == ()

    def test_holds_for_an_empty_table(self) -> None:
        assert verdict("", END) == ()

    def test_needs_no_certain_order(self) -> None:
        assert verdict("AB", *got("B", "A"), END) == ()

    def test_is_not_owed_to_a_socket_that_was_added(self) -> None:
        assert verdict("A", Add("N", "tail"), *got("A"), END) == ()

    def test_is_allowed_to_a_socket_that_was_added(self) -> None:
        assert verdict("A", *got("A"), Add("N", "tail"), *got("N"), END) == ()

    def test_is_not_owed_to_a_socket_that_was_removed_before_the_end(self) -> None:
        assert verdict("AB", *got("A"), Remove("B"), END) == ()

    def test_is_not_undone_by_a_removal_afterwards(self) -> None:
        assert verdict("A", *got("A"), Remove("A"), END) == ()

    def test_is_judged_at_the_first_end(self) -> None:
        assert verdict("A", *got("A"), END, *MOVES, END) == ()


class TestSkip:
    def test_is_a_socket_that_was_there_from_open_to_the_end_and_was_not_delivered(self) -> None:
        assert verdict("AB", *got("A"), END) == (Finding("skip", "B"),)

    def test_is_not_certain_before_the_end(self) -> None:
        assert verdict("AB", *got("A")) == INCOMPLETE

    def test_is_a_turn_whose_record_was_not_handed_out_by_the_end(self) -> None:
        assert verdict("A", Shown("A"), END) == (Finding("skip", "A"),)

    def test_is_not_mended_by_a_delivery_after_the_end(self) -> None:
        assert verdict("A", END, *got("A"), END) == (Finding("skip", "A"),)

    def test_is_not_mended_by_a_removal_after_the_end(self) -> None:
        assert verdict("A", END, Remove("A"), END) == (Finding("skip", "A"),)

    def test_is_not_said_of_a_socket_that_was_added(self) -> None:
        assert verdict("", Add("N", "head"), END) == ()

    @pytest.mark.parametrize("move", MOVES, ids=["reinsert", "rehash"])
    def test_says_that_the_socket_had_moved(self, move: Event) -> None:
        assert verdict("AB", move, END) == (Finding("skip", "A", moved=True), Finding("skip", "B"))

    @pytest.mark.parametrize("move", MOVES, ids=["reinsert", "rehash"])
    def test_does_not_call_a_socket_moved_that_moved_after_the_end(self, move: Event) -> None:
        assert verdict("A", END, move) == (Finding("skip", "A"),)


class TestRepeat:
    @pytest.mark.parametrize("events", [got("A", "A"), [*got("A"), *got("A")]], ids=["in one read", "in two reads"])
    def test_is_a_second_delivery_and_certain_at_once(self, events: list[Event]) -> None:
        assert verdict("A", *events) == (Finding("repeat", "A"),)

    def test_is_said_once_however_often(self) -> None:
        assert verdict("A", *got("A", "A", "A"), *got("A"), END) == (Finding("repeat", "A"),)

    def test_is_said_of_a_socket_that_was_added(self) -> None:
        assert verdict("", Add("N", "head"), *got("N"), *got("N"), END) == (Finding("repeat", "N"),)

    def test_may_come_after_the_end(self) -> None:
        assert verdict("A", *got("A"), END, *got("A")) == (Finding("repeat", "A"),)

    def test_is_a_matter_of_deliveries_and_not_of_turns(self) -> None:
        assert verdict("A", Shown("A"), Shown("A"), Returned(("A",)), END) == ()

    @pytest.mark.parametrize("move", MOVES, ids=["reinsert", "rehash"])
    def test_says_that_the_socket_had_moved(self, move: Event) -> None:
        assert verdict("A", *got("A"), move, *got("A")) == (Finding("repeat", "A", moved=True),)


class TestStale:
    def test_is_a_turn_after_the_removal_and_certain_at_once(self) -> None:
        assert verdict("AB", Remove("A"), Shown("A")) == (Finding("stale", "A"),)

    def test_is_a_turn_before_the_socket_was_added(self) -> None:
        assert verdict("", Shown("N"), Add("N", "tail"), Returned(("N",)), END) == (Finding("stale", "N"),)

    def test_is_not_a_record_that_is_handed_out_after_the_removal(self) -> None:
        assert verdict("A", Shown("A"), Remove("A"), Returned(("A",)), END) == ()

    def test_is_said_once_however_often(self) -> None:
        assert verdict("A", Remove("A"), Shown("A"), Shown("A"), END) == (Finding("stale", "A"),)

    def test_says_that_the_socket_had_moved(self) -> None:
        assert verdict("A", MOVES[0], Remove("A"), Shown("A"), END) == (Finding("stale", "A", moved=True),)

    @pytest.mark.parametrize("move", MOVES, ids=["reinsert", "rehash"])
    def test_is_not_the_turn_of_a_socket_that_was_moved(self, move: Event) -> None:
        assert verdict("A", move, *got("A"), END) == ()


class TestAnIterationThatDoesNotEnd:
    def test_is_stuck_when_it_was_given_up(self) -> None:
        assert verdict("AB", *got("A"), GaveUp()) == (Finding("stuck"),)

    def test_is_stuck_when_it_was_given_up_after_an_end(self) -> None:
        assert verdict("A", *got("A"), END, GaveUp()) == (Finding("stuck"),)

    def test_is_incomplete_when_it_was_left(self) -> None:
        assert verdict("A", *got("A")) == verdict("A") == INCOMPLETE

    def test_is_not_called_incomplete_when_something_worse_is_certain(self) -> None:
        assert verdict("AB", *got("A"), *got("A")) == (Finding("repeat", "A"),)

    def test_is_incomplete_and_refused_when_reads_failed(self) -> None:
        assert verdict("A", ENOMEM, *got("A")) == (Finding("refused"), *INCOMPLETE)


class TestRefused:
    @pytest.mark.parametrize("error", ["ENOMEM", "ESTALE", "EAGAIN"])
    def test_is_a_read_with_an_error(self, error: str) -> None:
        assert verdict("A", Returned((), error), *got("A"), END) == (Finding("refused"),)

    def test_is_said_once_however_often(self) -> None:
        assert verdict("", ENOMEM, ENOMEM, END) == (Finding("refused"),)

    def test_is_not_an_end(self) -> None:
        assert verdict("A", ENOMEM) == (Finding("refused"), *INCOMPLETE)

    def test_may_come_after_the_end(self) -> None:
        assert verdict("", END, ENOMEM) == (Finding("refused"),)


def test_findings_stand_in_the_order_of_kinds_and_then_of_names() -> None:
    events = [Remove("E"), Remove("D"), Shown("E"), Shown("D"), *got("G", "F"), *got("F", "G"), ENOMEM, END, GaveUp()]
    assert verdict("GFEDBA", *events) == (
        Finding("skip", "A"),
        Finding("skip", "B"),
        Finding("repeat", "F"),
        Finding("repeat", "G"),
        Finding("stale", "D"),
        Finding("stale", "E"),
        Finding("stuck"),
        Finding("refused"),
    )


def test_the_kinds_have_the_order_and_the_names_of_the_design() -> None:
    assert KINDS == ("skip", "repeat", "stale", "stuck", "refused", "incomplete")
    assert VIOLATIONS == ("skip", "repeat", "stale", "stuck")
    assert sorted(OF_A_SOCKET) == ["repeat", "skip", "stale"]


@pytest.mark.parametrize(
    ("findings", "line"),
    [
        ((), "ok"),
        ((Finding("skip", "B", moved=True),), "skip B"),
        ((Finding("repeat", "A"), Finding("refused")), "repeat A, refused"),
    ],
    ids=["nothing", "one", "two"],
)
def test_a_verdict_is_described_in_one_line(findings: Verdict, line: str) -> None:
    assert describe(findings) == line


def test_a_read_is_the_end_only_with_nothing_and_no_error() -> None:
    assert [read.is_the_end for read in (END, ENOMEM, Returned(("A",)))] == [True, False, False]


def test_a_history_lists_its_reads_in_order() -> None:
    assert History((), [*got("A"), Remove("A"), ENOMEM, END]).reads == [Returned(("A",)), ENOMEM, END]


def test_a_history_leaves_out_the_name_of_the_first_table() -> None:
    history = History()
    for change in (Add("A", "tail", Bucket(1, "first")), Rehash("A", Bucket(2, "second")), Remove("A")):
        history.changed(change, "first")
    assert history.events == [Add("A", "tail", Bucket(1)), Rehash("A", Bucket(2, "second")), Remove("A")]


class TestElsewhere:
    """Whether anything had changed in the bucket of the finding's socket."""

    def judged(self, *events: Event, of_b: int = 1) -> Verdict:
        return judge(History(("A", "B"), list(events), {"A": Bucket(0), "B": Bucket(of_b)}))

    def test_is_a_skip_where_a_socket_of_another_bucket_left(self) -> None:
        assert self.judged(Remove("B"), END) == (Finding("skip", "A", elsewhere=True),)

    @pytest.mark.parametrize(
        "change",
        [Remove("B"), Add("C", "head"), Reinsert("B", "tail"), Rehash("B", Bucket(1))],
        ids=lambda one: type(one).__name__,
    )
    def test_is_no_skip_next_to_a_change(self, change: Event) -> None:
        assert Finding("skip", "A", elsewhere=False) in self.judged(change, END, of_b=0)

    def test_is_no_skip_where_a_socket_came_from_another_bucket(self) -> None:
        assert Finding("skip", "A", elsewhere=False) in self.judged(Rehash("B", Bucket(0)), END)

    def test_is_a_skip_with_no_change_at_all(self) -> None:
        assert self.judged(*got("B"), END) == (Finding("skip", "A", elsewhere=True),)

    def test_is_judged_at_the_end_and_not_later(self) -> None:
        assert Finding("skip", "A", elsewhere=True) in self.judged(END, Add("C", "head"), END)

    def test_is_judged_at_the_end_of_the_last_pass(self) -> None:
        add = Add("C", "head")
        assert Finding("skip", "A", elsewhere=False) in self.judged(END, Reopened(), add, END)
        assert Finding("skip", "A", elsewhere=True) in self.judged(END, Reopened(), END, add)

    def test_is_a_repeat_in_a_walk_that_the_reader_gave_up(self) -> None:
        findings = self.judged(*got("A", "B", "A"), GaveUp())
        assert findings == (Finding("repeat", "A", elsewhere=True), Finding("stuck"))

    def test_is_a_repeat_whose_second_turn_came_before_the_change(self) -> None:
        assert self.judged(*got("A", "B", "A"), Add("C", "head"), END) == (Finding("repeat", "A", elsewhere=True),)

    def test_is_no_repeat_whose_second_turn_came_after_the_change(self) -> None:
        assert self.judged(*got("A", "B"), Add("C", "head"), *got("A"), END) == (Finding("repeat", "A"),)

    def test_is_no_repeat_of_a_socket_that_moved(self) -> None:
        assert self.judged(*got("A", "B", "A"), Reinsert("A", "head"), END) == (Finding("repeat", "A", moved=True),)

    def test_is_no_repeat_of_a_socket_that_came_after_open(self) -> None:
        assert self.judged(Add("C", "head", Bucket(2)), *got("A", "B", "C", "C"), END) == (Finding("repeat", "C"),)


def second_definition(opened: Sequence[str], events: Sequence[Event]) -> Verdict:
    """The verdict once more, socket by socket, from places in the whole history instead of a walk along it."""
    ends = [place for place, event in enumerate(events) if event == END]
    iteration = events[: ends[0]] if ends else events
    findings: list[Finding] = []

    def deliveries(name: str, part: Sequence[Event]) -> int:
        return [one for event in part if isinstance(event, Returned) for one in event.delivered].count(name)

    def is_in_the_table(name: str, place: int) -> bool:
        last = [event for event in events[:place] if isinstance(event, (Add, Remove)) and event.name == name][-1:]
        return isinstance(last[0], Add) if last else name in opened

    def bucket_of(name: str, place: int) -> Bucket | None:
        last = [event for event in events[:place] if isinstance(event, (Add, Rehash, Remove)) and event.name == name][-1:]
        if last:
            return None if isinstance(last[0], Remove) else last[0].bucket
        return FIRST if name in opened else None

    def is_near(name: str, place: int) -> bool:
        event = events[place]
        if not isinstance(event, (Add, Remove, Reinsert, Rehash)):
            return False
        touched = {bucket_of(event.name, place)} | ({event.bucket} if isinstance(event, (Add, Rehash)) else set())
        return bool(touched & {bucket_of(name, place)} - {None}) or event.name == name

    def is_elsewhere(name: str, until: int) -> bool:
        return name in opened and not any(is_near(name, place) for place in range(until))

    for name in "ABC":
        turns = [place for place, event in enumerate(events) if event == Shown(name)]
        moved = any(isinstance(event, (Reinsert, Rehash)) and event.name == name for event in iteration)
        stays = name in opened and Remove(name) not in iteration
        if ends and stays and deliveries(name, iteration) == 0:
            findings.append(Finding("skip", name, moved, is_elsewhere(name, ends[0])))
        if deliveries(name, events) >= 2:
            elsewhere = not moved and len(turns) > 1 and is_elsewhere(name, turns[1])
            findings.append(Finding("repeat", name, moved, elsewhere))
        if not all(is_in_the_table(name, place) for place, event in enumerate(events) if event == Shown(name)):
            findings.append(Finding("stale", name, moved))
    order = {"skip": 0, "repeat": 1, "stale": 2}
    findings.sort(key=lambda finding: order[finding.kind])
    if GaveUp() in events:
        findings.append(Finding("stuck"))
    is_clean = not findings
    if any(isinstance(event, Returned) and event.error for event in events):
        findings.append(Finding("refused"))
    if is_clean and not ends:
        findings.append(Finding("incomplete"))
    return tuple(findings)


NAMES = st.sampled_from("ABC")
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Shown, NAMES),
    st.builds(Returned, st.lists(NAMES, max_size=3).map(tuple)),
    st.just(ENOMEM),
    st.builds(Remove, NAMES),
    st.builds(Add, NAMES, st.just("head")),
    st.builds(Reinsert, NAMES, st.just("tail")),
    st.builds(Rehash, NAMES, st.just(Bucket(1))),
    st.just(GaveUp()),
)


@given(st.lists(NAMES, unique=True), st.lists(EVENTS, max_size=12))
@example(["B", "A"], [Reinsert("A", "tail"), END, Remove("B"), *got("A", "A")])
def test_a_second_definition_gives_the_same_verdict(opened: list[str], events: list[Event]) -> None:
    history = History(tuple(opened), list(events), dict.fromkeys(opened, FIRST))
    assert judge(history) == second_definition(opened, events)
