"""The graph of a scope: its states, its transitions, and their agreement with the oracle."""

from __future__ import annotations

import random
from itertools import chain
from typing import Any

import pytest

from sockiter.backend import run
from sockiter.check.monitor import ONCE, OWED, monitor_states
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.claims import Hazard
from sockiter.errors import Unsearchable, Unsound
from sockiter.explore.graph import LEFT_OUT, GraphState, StateGraph, Walk, explore
from sockiter.explore.outlook import DELIVERED, REPEATED, SKIPPED
from sockiter.explore.page import findings
from sockiter.operations import Add, At, Open, Read, Remove, check
from sockiter.oracle import judge
from sockiter.schemes import SCHEMES
from sockiter.schemes.full_batch import FullBatch
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import AnyScheme, Show, frame_name
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Kind
from tests.check.test_search import AgainAndAgain, Counting, Gives, NeverAnswers, Twice, Unlike
from tests.support.wrong_canonical_forms import PLANTED, with_canonical

# Without dumps, which come in messages.
BY_NAME = {scheme.name: scheme for scheme in SCHEMES if frame_name(scheme) != "netlink"}
SMALL = Scope(2, 2, 1)


def graph_of(scheme: AnyScheme, *hazards: Hazard, scope: Scope = SMALL, states_max: int = 1_000) -> StateGraph:
    return explore(scheme, hazards or scheme.hazards, scope.under(scheme.hazards), states_max=states_max)


def walk(graph: StateGraph, *steps: int) -> Walk:
    one = Walk(graph)
    for step in steps:
        one.take(step)
    return one


def step_to(graph: StateGraph, state: GraphState, what: type | str) -> int:
    """The number of the first step whose label is that, or of that type."""
    labels = [taken.edge.transition.label for taken in state.steps]
    return next(
        nth for nth, label in enumerate(labels) if label == what or (isinstance(what, type) and isinstance(label, what))
    )


def judged(scheme: AnyScheme, one: Walk) -> tuple[set[tuple[Kind, str | None]], list[str]]:
    """The verdict on a walk's operations, carried out as in a replay, and the deliveries."""
    check(one.operations)
    target = SchemeTarget(scheme)
    history = run(target, target, one.operations, slots=one.graph.scope.batch)
    verdict = {(finding.kind, finding.socket) for finding in judge(history)}
    return verdict, [name for read in history.reads for name in read.delivered]


# States and transitions.


def test_a_graph_has_every_state_of_its_scope_and_every_step() -> None:
    graph = graph_of(OffsetUdp(), "remove", scope=Scope(3, 1, 2))
    assert (len(graph.states), graph.steps_count, graph.cut, graph.sees_all) == (44, 127, "", True)
    assert not any(state.is_cut for state in graph.states)
    assert graph.states[0].lines == 0
    assert graph.system_state(graph.states[0]).table.buckets == ((),)


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", BY_NAME)
def test_every_path_is_judged_by_the_oracle_as_the_graph_has_it(name: str) -> None:
    scheme = BY_NAME[name]
    graph = graph_of(scheme, states_max=300)
    draw = random.Random(name)
    compared = 0
    for _ in range(60):
        one = Walk(graph)
        for _ in range(draw.randrange(4, 16)):
            inside = graph.system_state(one.state).inside
            is_open = one.state.monitor is not None
            if not one.state.steps:
                break
            if is_open and inside is None and draw.random() < 0.2:
                if not one.read_all():
                    break
            else:
                one.take(draw.randrange(len(one.state.steps)))
            if one.state.monitor is not None and graph.system_state(one.state).inside is None:
                assert judged(scheme, one) == (one.verdict, one.delivered)
                compared += 1
    assert compared > 60


INSIDE: frozenset[Hazard] = frozenset({"show", "between", "realloc", "enomem", "rollover"})


def test_a_graph_leaves_out_the_life_of_a_socket_and_names_what_it_left_out() -> None:
    graph = explore(BY_NAME["index"], {"close", "accept", "destroying", "remove"}, Scope(1, 1, 1), states_max=100)
    assert graph.hazards == {"remove"}
    assert graph.left_out == LEFT_OUT
    assert explore(BY_NAME["offset-udp"], (), Scope(1, 1, 1), states_max=100).left_out == {"destroy", "destroying"}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_shortest_path_to_each_kind_of_violation_is_as_long_as_in_the_search(name: str) -> None:
    scheme, scope = BY_NAME[name], Scope(2, 1, 1)
    hazards = scheme.hazards - INSIDE - LEFT_OUT
    graph = explore(scheme, hazards, scope, states_max=10_000)
    assert graph.cut == ""
    least: dict[str, int] = {}
    for violation in search(scheme, hazards, scope).violations:
        least.setdefault(violation.kind, violation.operations)
    if name == "map-batch":
        # A case ends with a `read all`, which a call without room is not.
        least["refused"] -= 1
    assert {one.kind: one.lines for one in findings(graph) if not one.is_certain} == least


def test_known_a_way_has_more_lines_than_the_shortest_case_where_that_has_a_change_inside_a_read_all() -> None:
    scope = Scope(2, 1, 1)
    graph = explore(Rank(), Rank.hazards, scope, states_max=5_000)
    (repeat,) = [one.lines for one in findings(graph) if one.kind == "repeat"]
    least = min(one.operations for one in search(Rank(), Rank.hazards, scope).violations if one.kind == "repeat")
    assert (repeat, least) == (5, 4)


def test_the_shortest_history_of_a_state_leads_to_it_in_as_many_lines() -> None:
    graph = graph_of(FullBatch(), scope=Scope(2, 1, 1))
    for state in graph.states:
        one = walk(graph, *graph.path(state.number))
        assert one.state is state
        lines = sum(1 + len(op.at) if isinstance(op, Read) else 1 for op in one.operations)
        assert graph.system_state(state).inside or lines == state.lines


def test_a_read_that_waits_is_a_state_and_changes_there_are_inside_the_read() -> None:
    graph = graph_of(OffsetUdp(), "remove", "show", scope=Scope(2, 1, 2))
    one = Walk(graph)
    for label in (Add, Add, "open", "read", Remove, None, None):
        one.take(step_to(graph, one.state, label))  # type: ignore[arg-type]
    adds, read = one.operations[:2], one.operations[-1]
    assert [type(op) for op in one.operations] == [Add, Add, Open, Read]
    assert read == Read(1, (At("show", 1, Remove(adds[0].name if isinstance(adds[0], Add) else "")),))


# Certain and possible findings.


@pytest.mark.parametrize(
    ("scheme", "hazards"),
    [
        (OffsetUdp(), ("remove",)),
        (OffsetUdp(), ("remove", "add-head", "show")),
        (Rank(), ("remove", "rehash")),
        (FullBatch(), ("remove", "realloc", "enomem")),
    ],
    ids=["offset-udp", "offset-udp, inside", "rank", "full-batch"],
)
def test_a_skip_is_certain_exactly_where_no_way_on_delivers_the_socket(scheme: AnyScheme, hazards: Any) -> None:
    graph = graph_of(scheme, *hazards)
    assert graph.cut == ""
    statuses = monitor_states(graph.scope.sockets)
    several = 0
    for state in graph.states:
        for position, socket in enumerate(state.sockets):
            # Each continuation by itself: the socket is in its monitor state.
            reached = {(state.number, position)}
            waiting = [*reached]
            can = 0
            while waiting:
                number, at = waiting.pop()
                of = graph.states[number]
                is_owed = statuses[of.sockets[at]].status == OWED
                for taken in of.steps:
                    kinds = {kind for kind, where in taken.violations if where == at}
                    can |= SKIPPED * ("skip" in kinds) | REPEATED * ("repeat" in kinds)
                    to = taken.edge.monitor_step[of.sockets[at]].to
                    if to < 0:
                        continue
                    if is_owed and statuses[to].status >= ONCE:
                        can |= DELIVERED
                    if (after := (taken.to, statuses[to].position)) not in reached:
                        reached.add(after)
                        waiting.append(after)
            outlook = state.outlook[1 + position]
            assert outlook & REPEATED == can & REPEATED
            if statuses[socket].status == OWED:
                assert outlook & (DELIVERED | SKIPPED) == can & (DELIVERED | SKIPPED)
                several += not outlook & DELIVERED
            else:
                assert not outlook & (DELIVERED | SKIPPED)
    assert several > 0


def test_a_read_to_the_end_skips_whom_no_way_on_delivers() -> None:
    graph = graph_of(OffsetUdp(), "remove", scope=Scope(3, 1, 2))
    statuses = monitor_states(3)
    lost = 0
    for state in graph.states:
        if state.monitor is None:
            continue
        one = walk(graph, *graph.path(state.number))
        names = one.names
        one.read_all()
        for name, socket, outlook in zip(names, state.sockets, state.outlook[1:], strict=True):
            if statuses[socket].status == OWED and not outlook & DELIVERED:
                lost += 1
                assert ("skip", name) in one.verdict
    assert lost > 5


# Where it is cut off.


@pytest.fixture(scope="module")
def whole() -> StateGraph:
    return graph_of(OffsetUdp(), states_max=20_000)


def test_a_graph_is_cut_off_after_a_number_of_states_and_knows_its_whole_part(whole: StateGraph) -> None:
    graph = graph_of(OffsetUdp(), states_max=200)
    assert graph.cut == "at 200 states; every sequence of at most 4 operations is here, and some of the longer ones"
    assert whole.cut == ""
    assert sum(state.lines <= 4 for state in graph.states) == sum(state.lines <= 4 for state in whole.states)
    assert {state.is_cut for state in graph.states} == {False, True}


def test_where_a_graph_is_cut_off_a_read_comes_to_its_end_and_the_outlook_is_that_of_the_scope(
    whole: StateGraph,
) -> None:
    graph = graph_of(OffsetUdp(), states_max=500)
    assert graph.sees_all
    by_key = {(_shape(whole, state), state.sockets): state for state in whole.states}
    cut = [state for state in graph.states if state.is_cut]
    for state in cut:
        assert bool(state.steps) == (graph.system_state(state).inside is not None)
        assert state.outlook == by_key[_shape(graph, state), state.sockets].outlook


def _shape(graph: StateGraph, state: GraphState) -> object:
    system = graph.system_state(state)
    where = system.where
    form = graph.scheme.canonical(system.at, system.table, where)  # type: ignore[attr-defined]
    request = where[system.request.socket.name] if isinstance(system.request, Show) else None
    return type(system.at), form, tuple(map(len, system.table.buckets)), system.fresh, request, state.monitor


def test_sequences_of_at_most_so_many_operations_are_a_scope_as_well() -> None:
    graph = graph_of(OffsetUdp(), "remove", "show", scope=Scope(2, 1, 2, 5))
    assert graph.cut == "at 5 operations; every sequence of that length is here, and none that is longer"
    assert max(state.lines for state in graph.states) == 5
    one = graph_of(OffsetUdp(), scope=Scope(2, 1, 2, 1))
    assert one.cut == "at 1 operation; every sequence of that length is here, and none that is longer"


def test_a_finding_behind_too_many_nodes_counts_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.explore.graph.NODES_PER_STATE", 0)
    monkeypatch.setattr("sockiter.explore.graph.NODES_LEAST", 100)
    graph = graph_of(OffsetUdp(), states_max=200)
    assert not graph.sees_all
    statuses = monitor_states(graph.scope.sockets)
    assert any(
        statuses[socket].status != OWED and outlook & SKIPPED
        for state in graph.states
        for socket, outlook in zip(state.sockets, state.outlook[1:], strict=True)
    )


def test_progress_is_reported_while_states_are_found_and_while_it_looks_ahead() -> None:
    reports: list[tuple[int, int]] = []
    explore(
        OffsetUdp(),
        OffsetUdp.hazards,
        Scope(3, 2, 2),
        states_max=300,
        progress=lambda states, waiting: reports.append((states, waiting)),
    )
    assert 300 <= reports[0][0] <= reports[-1][0]
    assert reports[0][1] > reports[-1][1] == 0


# Schemes that are not the project's.


def test_a_read_all_that_gives_up_is_stuck() -> None:
    graph = graph_of(NeverAnswers(), scope=Scope(1, 1, 1, 4))
    one = walk(graph, step_to(graph, graph.states[0], "open"))
    assert one.state.is_stuck
    assert one.read_all()
    assert one.verdict == {("stuck", None), ("refused", None)}
    assert judged(graph.scheme, one) == (one.verdict, [])


def test_one_that_counts_its_reads_is_not_seen_to_its_end_where_the_graph_is_cut_off() -> None:
    graph = graph_of(Counting(), scope=Scope(1, 1, 1, 4))
    assert not any(state.is_stuck for state in graph.states)
    one = walk(graph, 0, step_to(graph, graph.states[1], "open"))
    assert not one.read_all()
    assert one.delivered == ["A", "A"]


def test_a_repeat_of_a_record_that_a_failed_read_left_happens_with_the_next() -> None:
    graph = graph_of(Gives(), scope=Scope(1, 1, 1, 6))
    one = walk(graph, 0)
    for label in ("open", "read", "read", "read"):
        one.take(step_to(graph, one.state, label))
        if one.state.monitor is not None:
            assert judged(graph.scheme, one) == (one.verdict, one.delivered)
    assert ("repeat", "A") not in one.verdict
    one.take(step_to(graph, one.state, "read"))
    assert ("repeat", "A") in one.verdict
    assert judged(graph.scheme, one) == (one.verdict, one.delivered)


def test_one_that_never_ends_a_read_or_cannot_be_looked_into_is_a_type_error() -> None:
    with pytest.raises(Unsearchable, match="bare never ends a read: its canonical form merges different states"):
        graph_of(Twice(), "show", scope=Scope(1, 1, 1, 3))
    with pytest.raises(Unsearchable, match="a object in a state or waiting value"):
        graph_of(Unlike(), scope=Scope(1, 1, 1, 3))


def test_a_scheme_without_a_canonical_form_is_explored_to_a_bound() -> None:
    graph = graph_of(AgainAndAgain(), scope=Scope(1, 1, 1, 4))
    assert graph.cut.startswith("at 4 operations; ")
    (repeat,) = [one for one in findings(graph) if one.kind == "repeat"]
    assert (repeat.lines, repeat.link[-1]) == (3, "a")


@pytest.mark.parametrize("forgets", ["offset-udp: where it is in a bucket", "index: where it is in a bucket"])
def test_a_state_that_the_oracle_does_not_find_on_its_shortest_history_is_an_error(forgets: str) -> None:
    planted = PLANTED[forgets]
    scheme = with_canonical(planted.scheme, planted.form)
    with pytest.raises(Unsound, match=r"the graph says .* of what the oracle says .* of: add A"):
        explore(scheme, planted.hazards, planted.scope, states_max=2_000)


def test_versions_that_roll_over_are_explored_within_reach() -> None:
    graph = graph_of(IndexNarrow(), states_max=500)
    assert graph.scope == Scope(2, 1, 1)
    assert len(list(chain.from_iterable(state.steps for state in graph.states))) == graph.steps_count


def test_a_dump_is_not_explored() -> None:
    with pytest.raises(Unsearchable, match=r"^it is dumped in messages, which the page cannot show$"):
        graph_of(UdpDiag(), "remove")
