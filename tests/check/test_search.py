"""The search: its results, their order, and its report of an early stop. `test_soundness` has its soundness."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import pytest

from sockiter.cases import dumps
from sockiter.check import edges, fates
from sockiter.check.counterexample import to_operations
from sockiter.check.effects import Opening, Shift, Turns
from sockiter.check.monitor import (
    MONITORED,
    MOVED,
    NEAR,
    OWED,
    Mode,
    MonitorResult,
    MonitorState,
    MonitorStep,
    can_violate,
    monitor_states,
)
from sockiter.check.result import Scope, SearchResult
from sockiter.check.search import StopSearch, search
from sockiter.check.transitions import TransitionSystem, placed
from sockiter.claims import HAZARDS, Hazard, explaining
from sockiter.operations import Add, At, Bucket, Fail, Operation, Read, Rehash, Reinsert, Remove, length
from sockiter.schemes import SCHEMES
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.full_batch import FullBatch
from sockiter.schemes.index import Index
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.listns import Listns, Returning
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import GONE, ONE_TABLE, AnyScheme, Grow, Where, by_position
from sockiter.table import Socket, Table, empty
from sockiter.verdict import Signature
from tests.support.generator_schemes import Generated, Reading

SKIP_MOVED = Signature("skip", moved=True)
BY_NAME = {scheme.name: scheme for scheme in SCHEMES}
EXACT: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "enomem"})


def lengths(result: SearchResult) -> dict[tuple[str, bool], int]:
    # The shortest of each, be its cause near or elsewhere.
    found: dict[tuple[str, bool], int] = {}
    for one in result.violations:
        found.setdefault((one.kind, one.moved), one.operations)
    return found


# The violations.


@pytest.mark.parametrize(
    ("name", "hazards", "signature", "operations"),
    [
        ("offset-udp", {"remove"}, ("skip", False), 6),
        ("offset-udp", {"add-head"}, ("repeat", False), 6),
        ("offset-tcp", set(), ("skip", False), 3),
        ("unix", set(), ("skip", False), 5),
        ("rank", {"add-tail"}, ("repeat", False), 5),
        ("cookie-udp", {"enomem"}, ("refused", False), 6),
        ("cookie-tcp", {"remove", "realloc"}, ("skip", False), 7),
        ("index", {"reinsert", "show"}, ("skip", False), 6),
        ("index-snapshot", {"rehash"}, ("skip", True), 4),
    ],
)
def test_the_shortest_case_is_as_long_as_is_known(
    name: str, hazards: set[Hazard], signature: tuple[str, bool], operations: int
) -> None:
    assert lengths(search(BY_NAME[name], hazards, Scope(3, 2, 2)))[signature] == operations


@pytest.mark.parametrize(
    ("scheme", "hazards"),
    [
        (CookieTcp(), {"add-tail", "remove", "realloc", "enomem", "show", "between"}),
        (Listns(), {"add-tail", "remove"}),
    ],
)
def test_a_canonical_form_covers_every_waiting_read(scheme: AnyScheme, hazards: set[Hazard]) -> None:
    assert search(scheme, hazards, Scope(2, 1, 1)).complete
    table = empty((("", 1),)).after(Add("A", "tail"))
    assert Listns().canonical(None, table, Where(table, 1)) is None
    assert Listns().canonical(Returning(table.buckets[0][0]), table, Where(table, 1)) == 0


@pytest.mark.unmeasured
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_known_failures_explain_all_that_happens_in_a_small_scope_under_all_hazards(scheme: AnyScheme) -> None:
    hazards = scheme.hazards - {"rollover"}
    result = search(scheme, hazards, Scope(2, 1 if scheme.tables != ONE_TABLE else 2, 1))
    assert result.complete
    assert bool(result.violations) == bool(scheme.known_failures)
    assert all(explaining(scheme.known_failures, one.signature, hazards) for one in result.violations)


def test_the_rfc_s_proposal_is_exact_for_any_length_while_nothing_moves() -> None:
    result = search(Index(), EXACT, Scope(6, 1, 2))
    assert (result.complete, result.violations, result.scope.ops) == (True, (), None)
    assert 1000 < result.states < 3000
    assert result.transitions > result.states


def test_a_hazard_that_a_scheme_cannot_be_put_through_is_left_out() -> None:
    assert search(Rank(), HAZARDS, Scope(2, 1, 1)).hazards == Rank.hazards


def test_the_same_search_gives_the_same_cases() -> None:
    first, second = (search(OffsetUdp(), OffsetUdp.hazards, Scope(2, 2, 1)) for _ in range(2))
    assert [dumps(one.case) for one in first.violations] == [dumps(one.case) for one in second.violations]
    assert [length(one.case.operations) for one in first.violations] == sorted(one.operations for one in first.violations)


def test_a_refused_read_hands_out_its_records_first() -> None:
    result = search(FullBatch(), {"enomem"}, Scope(4, 2, 2))
    (refused,) = result.violations
    assert (refused.kind, refused.operations) == ("refused", 6)
    # In a second bucket, the first one's records are left.
    assert lengths(search(FullBatch(), {"enomem", "remove"}, Scope(4, 2, 2)))["skip", False] == 6


# Where it stops.


@pytest.mark.parametrize(("ops", "found"), [(5, {}), (6, {("skip", False): 6}), (None, {("skip", False): 6})])
def test_nothing_longer_than_the_bound_is_found(ops: int | None, found: dict[tuple[str, bool], int]) -> None:
    result = search(OffsetUdp(), {"remove"}, Scope(3, 1, 2, ops))
    assert result.complete
    assert lengths(result) == found


def test_a_move_after_a_repeat_needs_one_more_read_to_be_found() -> None:
    # In a scope that is too small for it, the moved socket's repeat is not reported.
    hazards: set[Hazard] = {"add-head", "reinsert"}
    found = lengths(search(BY_NAME["rank"], hazards, Scope(3, 1, 2)))["repeat", True]
    assert ("repeat", True) not in lengths(search(BY_NAME["rank"], hazards, Scope(3, 1, 2, found - 1)))


def test_a_search_is_over_when_all_given_signatures_have_happened() -> None:
    states = search(OffsetUdp(), OffsetUdp.hazards, Scope(3, 1, 2))
    first = search(OffsetUdp(), OffsetUdp.hazards, Scope(3, 1, 2), signatures=[Signature("skip")])
    assert lengths(first) == {("skip", False): 6}
    assert first.states < states.states / 2


@pytest.mark.parametrize(("stop", "why"), [(StopSearch("too many"), "too many"), (KeyboardInterrupt(), "interrupted")])
def test_one_that_was_stopped_says_why_and_keeps_what_it_has_found(stop: BaseException, why: str) -> None:
    reports: list[tuple[int, int]] = []

    def progress(states: int, waiting: int) -> None:
        reports.append((states, waiting))
        if len(reports) == 2:
            raise stop

    result = search(OffsetUdp(), OffsetUdp.hazards, Scope(5, 1, 2), progress=progress)
    assert (result.complete, result.incomplete) == (False, why)
    assert ("skip", False) in lengths(result)
    assert reports[0][0] < reports[1][0] <= result.states
    assert reports[0][1] > 0


# Schemes that are not the project's.


class Place(NamedTuple):
    number: int


class Bare(Generated):
    """A scheme with nothing to it; `canonical` is left out."""

    name = "bare"
    summary = "for tests"
    progress = "Place"
    tables = ("",)
    hazards: frozenset[Hazard] = EXACT
    known_failures = ()

    def open(self, slots: int, table: Table) -> object:
        return Place(0)

    def read(self, state: object, table: Table) -> Reading:
        yield from ()
        return state, None

    def place(self, state: object) -> str:
        return ""


class Gives(Bare):
    """Shows the first socket, and returns an error."""

    def read(self, state: object, table: Table) -> Reading:
        for socket in table.buckets[0][:1]:
            _, table = yield socket
        return state, "EIO"


def test_an_error_behind_a_record_is_returned_by_the_next_read() -> None:
    result = search(Gives(), (), Scope(1, 1, 1, 5))
    assert {one.signature for one in result.violations} >= {Signature("refused")}


class AgainAndAgain(Bare):
    """Shows the first socket in every read."""

    def read(self, state: object, table: Table) -> Reading:
        for socket in table.buckets[0][:1]:
            _, table = yield socket
        return state, None


class TwiceLiterally(Bare):
    """Shows the first socket twice in a read, and lets things happen meanwhile."""

    hazards = frozenset({"show"})

    def read(self, state: object, table: Table) -> Reading:
        for _ in range(2):
            for socket in table.buckets[0][:1]:
                shown, table = yield socket
                if not shown:
                    return state, None
        return state, None


class Twice(TwiceLiterally):
    """The same scheme; its canonical form leaves out the number of its restarts."""

    def canonical(self, at: object, table: Table, where: Where) -> Hashable:
        return ()


class Counting(Bare):
    """Shows the first socket in every read, and counts the reads; at most so many."""

    def __init__(self, reads: int = 1000) -> None:
        self.reads = reads

    def read(self, state: object, table: Table) -> Reading:
        assert isinstance(state, Place)
        if state.number < self.reads:
            for socket in table.buckets[0][:1]:
                _, table = yield socket
        return Place(state.number + 1), None


class NeverAnswers(Bare):
    """Returns an error in every read."""

    def read(self, state: object, table: Table) -> Reading:
        yield from ()
        return state, "EIO"


class Unlike(Bare):
    """A scheme whose state is an opaque object."""

    def open(self, slots: int, table: Table) -> object:
        return (object(),)


class Greedy(Bare):
    """Asks for a larger batch when it was stopped."""

    def read(self, state: object, table: Table) -> Reading:
        for socket in table.buckets[0]:
            shown, table = yield socket
            if not shown:
                yield Grow(2)
        return state, None


class Forever(Bare):
    """Shows the first socket again and again in one read."""

    def read(self, state: object, table: Table) -> Reading:
        shown = True
        while table.buckets[0] and shown:
            shown, table = yield table.buckets[0][0]
        return state, None


class Deaf(Bare):
    """Goes on where it was stopped, once."""

    def read(self, state: object, table: Table) -> Reading:
        for socket in table.buckets[0]:
            _, table = yield socket
        return state, None


def test_a_scheme_that_does_not_say_what_matters_is_searched_to_a_bound() -> None:
    assert lengths(search(AgainAndAgain(), frozenset(), Scope(1, 1, 1, 4)))["stuck", False] == 3
    assert lengths(search(AgainAndAgain(), frozenset(), Scope(2, 1, 1, 5)))["repeat", False] == 3


def test_one_that_never_comes_to_an_end_is_stuck() -> None:
    found = lengths(search(NeverAnswers(), frozenset(), Scope(1, 1, 1, 3)))
    assert found == {("stuck", False): 2, ("refused", False): 2}


def test_one_that_shows_nobody_skips() -> None:
    assert lengths(search(Bare(), frozenset(), Scope(1, 1, 1, 4))) == {("skip", False): 3}


def test_a_state_of_unknown_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a object in a state or waiting value"):
        search(Unlike(), frozenset(), Scope(1, 1, 1, 3))


def test_a_request_after_the_end_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"bare asks for Grow\(slots=2, locked=False\) after it was stopped"):
        search(Greedy(), {"enomem"}, Scope(2, 1, 1, 5))


def test_a_read_that_never_ends_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bare makes more than 2047 requests in a read"):
        search(Forever(), frozenset(), Scope(1, 1, 1, 3))


def test_where_versions_roll_over_every_index_is_a_state_and_where_none_does_only_their_order() -> None:
    rolling = search(IndexNarrow(), {"add-tail", "rollover"}, Scope(1, 1, 1))
    still = search(IndexNarrow(), {"add-tail"}, Scope(1, 1, 1))
    assert (rolling.complete, still.complete) == (True, True)
    assert still.states < rolling.states
    assert rolling.violations == still.violations == ()


def test_a_canonical_form_that_returns_into_a_read_for_ever_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bare never ends a read: its canonical form merges different states"):
        search(Twice(), {"show"}, Scope(1, 1, 1, 3))


def test_the_same_without_its_canonical_form_is_searched() -> None:
    literally = search(TwiceLiterally(), {"show"}, Scope(1, 1, 1, 3))
    assert (literally.complete, lengths(literally)["repeat", False]) == (True, 3)


def test_one_that_never_comes_to_an_end_nor_to_where_it_was_is_stuck() -> None:
    assert lengths(search(Counting(), frozenset(), Scope(1, 1, 1, 3))) == {("repeat", False): 3, ("stuck", False): 3}


def test_one_that_comes_to_an_end_after_a_hundred_reads_is_stuck_before_and_not_after() -> None:
    for reads, is_stuck in ((99, False), (100, True)):
        found = lengths(search(Counting(reads), frozenset(), Scope(1, 1, 1, 3)))
        assert (("stuck", False) in found) == is_stuck


def test_a_scheme_that_goes_on_after_a_stop_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"bare asks for Show\(.*\) after it was stopped"):
        search(Deaf(), frozenset(), Scope(3, 1, 1, 6))


def test_a_scheme_without_a_state_is_a_type_error() -> None:
    class Stateless(Bare):
        def open(self, slots: int, table: Table) -> object:
            return None

    with pytest.raises(TypeError, match="bare: `open` returned None: expected any other hashable value"):
        search(Stateless(), frozenset(), Scope(1, 1, 1, 3))


def test_by_position_sockets_and_names_are_where_they_are_or_gone() -> None:
    now = empty((("", 2),)).after(Add("A", "tail")).after(Add("B", "tail", Bucket(1)))
    a, b = now.buckets[0][0], now.buckets[1][0]
    where = Where(now, 2)
    now = now._replace(gone=(Socket("X", 3),))
    assert by_position((b, "A", "X", (a, Socket("X", 3)), 4, "mode"), now, where) == (1, 0, GONE, (0, GONE), 4, "mode")


def test_a_name_is_replaced_by_its_place_and_other_values_stay() -> None:
    where = Where(empty((("", 1),)).after(Add("A", "tail")).after(Add("B", "tail")), 2)
    a, b = (Where, 0), (Where, 1)
    assert placed(("A", ("x", "B"), 3, None, frozenset({"A"}), 1.5), where) == (
        tuple,
        a,
        (tuple, "x", b),
        3,
        None,
        (frozenset, frozenset({a})),
        (float, 1.5),
    )


def test_values_of_unlike_types_are_never_taken_for_the_same() -> None:
    where = Where(empty((("", 1),)), 1)
    alike = [1, True, 1.0, (1,), Place(1), "1"]
    assert len({placed(one, where) for one in alike}) == len(alike)


def test_a_violation_that_the_oracle_does_not_confirm_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lying(MonitorStep):
        def _result(self, state: MonitorState) -> MonitorResult:
            stepped = super()._result(state)
            return stepped._replace(violations=(Signature("skip"),)) if state.status == OWED else stepped

    def lie(effect: Turns, sockets_max: int, *rest: Any, paused: bool) -> Lying:
        return Lying(effect, monitor_states(sockets_max), *rest, paused=paused)

    monkeypatch.setattr(edges, "monitor_step", lie)
    # Without the results for other tests.
    monkeypatch.setattr(fates, "MonitorStep", Lying)
    monkeypatch.setattr(fates, "_alike", fates._alike.__wrapped__)
    monkeypatch.setattr(fates, "_alike_unfollowed", fates._alike_unfollowed.__wrapped__)
    monkeypatch.setattr(edges, "fate_step", fates.fate_step.__wrapped__)
    with pytest.raises(AssertionError, match=r"index: the search reports .*, but the oracle does not"):
        search(Index(), frozenset(), Scope(2, 1, 2))


# The monitor.


def test_monitor_states_are_numbered_in_their_order() -> None:
    states = monitor_states(3)
    assert [state.number for state in states] == list(range(len(states)))
    assert len(set(states)) == len(states) == 8 * (1 + 3 * 12)


def stepped(
    effect: Shift | Turns | Opening, state: MonitorState, mode: Mode = "on", *, sockets: int = 2, paused: bool = True
) -> MonitorResult:
    monitor_step = MonitorStep(effect, monitor_states(sockets), sockets, mode, "alone", paused=paused)
    return monitor_step[state.number]


def test_any_socket_may_be_tracked_from_open_on() -> None:
    owed = tuple(MonitorState(position, OWED).number for position in range(2))
    assert stepped(Opening(), MonitorState(), paused=False) == MonitorResult(0, owed, ())
    assert stepped(Opening(), MonitorState(0), paused=False) == MonitorResult()


def test_an_added_socket_may_be_tracked_but_not_before_open() -> None:
    assert stepped(Shift((0, 1), added=2), MonitorState(), sockets=2).started == (MonitorState(2, changed=NEAR).number,)
    assert stepped(Shift((0, 1), added=2, before_open=True), MonitorState()).started == ()


def test_a_socket_that_leaves_is_tracked_no_more() -> None:
    assert stepped(Shift((-1, 0), near=(True, True)), MonitorState(0, OWED)).to == -1
    assert stepped(Shift((-1, 0), near=(True, False)), MonitorState(1, OWED)).to == MonitorState(0, OWED).number


def test_a_change_in_the_bucket_of_the_tracked_socket_is_near() -> None:
    assert stepped(Shift((-1, 0), near=(True, True)), MonitorState(1, OWED)).to == MonitorState(0, OWED, NEAR).number
    assert stepped(Shift((-1, 0), near=(True, True)), MonitorState(1, OWED, MOVED)).to == MonitorState(0, OWED, MOVED).number
    assert (
        stepped(Shift((0, 1), 2, before_open=True, near=(True, True)), MonitorState(1, OWED)).to
        == MonitorState(1, OWED).number
    )


def test_nothing_happens_between_the_reads_of_a_read_all() -> None:
    assert stepped(Shift((0, 1)), MonitorState(in_all=True), paused=False) == MonitorResult()
    assert stepped(Shift((0, 1)), MonitorState(in_all=True), paused=True).to == MonitorState(in_all=True).number


def test_a_move_counts_until_the_end_was_reported() -> None:
    moved = Shift((1, 0), moved=0, near=(True, True))
    assert stepped(moved, MonitorState(0, OWED)).to == MonitorState(1, OWED, MOVED).number
    assert stepped(moved, MonitorState(0, 0, ended=True)).to == MonitorState(1, 0, NEAR, ended=True).number
    assert stepped(moved, MonitorState(0, 3)).violations == (Signature("repeat", moved=True),)
    assert stepped(moved, MonitorState(0, 3, MOVED)).violations == ()


@pytest.mark.parametrize(
    ("effect", "state", "mode", "paused", "after", "violations"),
    [
        (Turns((0,), 1), MonitorState(0, OWED), "on", True, MonitorState(0, 2, some=True), ()),
        (
            Turns((0, 0), 2),
            MonitorState(0, 2),
            "on",
            True,
            MonitorState(0, 3, NEAR, some=True),
            (Signature("repeat", elsewhere=True),),
        ),
        (Turns((0,), 1), MonitorState(0, 2, NEAR), "on", True, MonitorState(0, 3, NEAR, some=True), (Signature("repeat"),)),
        (
            Turns(over=True),
            MonitorState(0, OWED),
            "on",
            True,
            MonitorState(ended=True)._replace(position=0),
            (Signature("skip", elsewhere=True),),
        ),
        (Turns((1,), 1), MonitorState(0, OWED), "on", True, MonitorState(0, OWED, some=True), ()),
        (
            Turns(over=True),
            MonitorState(0, OWED, MOVED),
            "on",
            True,
            MonitorState(0, 0, MOVED, ended=True),
            (Signature("skip", moved=True),),
        ),
        (Turns(over=True), MonitorState(0, OWED, some=True), "on", True, MonitorState(0, OWED), ()),
        (Turns(over=True, handed=True), MonitorState(0, OWED), "one", False, MonitorState(0, OWED), ()),
        (
            Turns(over=True, refused=True),
            MonitorState(0, OWED),
            "one",
            False,
            MonitorState(0, OWED),
            (Signature("refused"),),
        ),
        (Turns(over=True, refused=True, left=True), MonitorState(0, OWED), "one", False, None, ()),
        (Turns(over=True, refused=True), MonitorState(some=True), "on", True, None, ()),
        (Turns(over=True, stops=True), MonitorState(in_all=True), "on", True, None, ()),
        (Turns(over=True, stops=True), MonitorState(), "all", False, None, ()),
        (Turns(over=True), MonitorState(), "on", False, None, ()),
        (Turns(over=True), MonitorState(in_all=True), "one", False, None, ()),
        (Turns((1,), 1), MonitorState(), "all", False, MonitorState(in_all=True, some=True), ()),
        (Turns(over=True), MonitorState(in_all=True), "on", False, MonitorState(ended=True), ()),
    ],
)
def test_a_read_moves_the_monitor_of_a_tracked_socket(
    effect: Turns,
    state: MonitorState,
    mode: Mode,
    paused: bool,
    after: MonitorState | None,
    violations: tuple[Signature, ...],
) -> None:
    expected = MonitorResult(-1 if after is None else after.number, (), violations)
    assert stepped(effect, state, mode, paused=paused) == expected


@pytest.mark.parametrize(
    ("state", "signatures", "moves", "can"),
    [
        (MonitorState(), set(), False, True),
        (MonitorState(0, OWED), {Signature("skip")}, False, True),
        (MonitorState(0, OWED), {Signature("skip", elsewhere=True)}, False, True),
        (MonitorState(0, OWED, NEAR), {Signature("skip", elsewhere=True)}, True, False),
        (MonitorState(0, 2), {Signature("skip")}, False, False),
        (MonitorState(0, OWED, MOVED), {Signature("skip")}, True, False),
        (MonitorState(0, OWED), {Signature("skip", moved=True)}, True, True),
        (MonitorState(0, OWED), {Signature("skip", moved=True)}, False, False),
        (MonitorState(0, 3), {Signature("repeat", moved=True)}, True, True),
        (MonitorState(0, 3), {Signature("repeat", moved=True)}, False, False),
        (MonitorState(0, 3, ended=True), {Signature("repeat", moved=True)}, True, False),
        (MonitorState(0, 3, MOVED), set(MONITORED), True, False),
        (MonitorState(0, 2, MOVED), {Signature("repeat", moved=True)}, False, True),
        (MonitorState(0, 2, ended=True), {Signature("repeat", moved=True)}, True, False),
    ],
)
def test_a_monitor_state_is_dropped_that_can_lead_to_nothing_new(
    state: MonitorState, signatures: set[Signature], moves: bool, can: bool
) -> None:
    assert can_violate(state, frozenset(signatures), moves=moves) is can


# Back to operations.


@pytest.mark.parametrize(
    ("name", "hazards", "step"),
    [
        ("offset-udp", {"remove"}, Remove("A")),
        ("offset-udp", {"reinsert"}, Reinsert("A", "tail")),
        ("offset-udp", {"rehash"}, Rehash("B", Bucket(1))),
        ("rank", {"add-head"}, Add("B", "head")),
        ("cookie-udp", {"enomem"}, At("realloc", 1, Fail())),
        ("cookie-udp", {"enomem", "realloc", "remove"}, At("realloc", 1, Remove("A"))),
        ("index", {"show", "reinsert"}, At("show", 1, Reinsert("A", "tail"))),
        ("rank", {"between", "rehash"}, At("bucket", 2, Rehash("A", Bucket(1)))),
    ],
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else None,
)
def test_each_step_of_a_path_is_an_operation_of_its_case(name: str, hazards: set[Hazard], step: Operation | At) -> None:
    cases = [one.case.operations for one in search(BY_NAME[name], hazards, Scope(2, 2, 1)).violations]
    assert any(step in steps(operations) for operations in cases)


def steps(operations: tuple[Operation, ...]) -> list[Operation | At]:
    """The operations, and the changes inside them."""
    return [*operations, *(at for op in operations if isinstance(op, Read) for at in op.at)]


def test_no_path_at_all_is_a_table_and_a_read() -> None:
    system = TransitionSystem(Index(), frozenset(), 1, 1, 1)
    (added, opened) = [step for step in system.labelled(0) if step.label != "fail"][:2]
    assert isinstance(added.label, Add)
    assert system.internal(0) == []
    assert opened is not added
    with pytest.raises(IndexError):
        to_operations([])
