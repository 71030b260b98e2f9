"""The page of a graph: its HTML, and the document in it; `browser` has the tests that need a browser."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from markupsafe import escape

from sockiter.cases import spell
from sockiter.check.result import Scope
from sockiter.claims import HAZARDS, Hazard
from sockiter.explore.graph import LEFT_OUT, StateGraph, Walk, explore
from sockiter.explore.page import Finding, document, findings, html
from sockiter.operations import READS_MAX
from sockiter.report.render import policy
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.full_batch import FullBatch
from sockiter.schemes.index import Index
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from tests.check.test_search import NeverAnswers


def graph_of(scheme: AnyScheme, *hazards: Hazard, scope: Scope = Scope(3, 1, 2), states_max: int = 2_000) -> StateGraph:  # noqa: B008
    return explore(scheme, hazards or scheme.hazards, scope, states_max=states_max)


def in_page(graph: StateGraph) -> Any:
    """The document that stands in the page."""
    found = re.search(r'<script type="application/json" id="graph">(.*?)</script>', html(graph), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def words(graph: StateGraph) -> str:
    """The text of the page, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|script).*?</\1>", "", html(graph))).split())


@pytest.fixture(scope="module")
def udp() -> StateGraph:
    return graph_of(OffsetUdp(), "remove")


def test_the_page_needs_nothing_else(udp: StateGraph) -> None:
    text = html(udp)
    for foreign in ("http:", "https:", "//", "url(", "@import", "src="):
        assert foreign not in re.sub(r"\n\s*//.*|'sha256-[^']*'", "", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_allows_its_own_scripts_and_no_others(udp: StateGraph) -> None:
    text = html(udp)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    assert f'<meta http-equiv="Content-Security-Policy" content="{escape(policy(*scripts))}">' in text


def test_the_page_names_its_content(udp: StateGraph) -> None:
    text = words(udp)
    assert "offset-udp : every state of a small scope" in text
    assert "at most 3 sockets in the table at once, 1 bucket in each table, 2 slots in the batch at open" in text
    assert "hazards: remove. 44 states, 127 steps between them. All that sequences in the scope lead to is here." in text
    assert "skip certain 5 A skip is certain after 5 operations" in text
    assert "skip 6 A socket was in the table from beginning to end, and no read delivered it." in text


def test_a_page_reports_that_its_graph_is_cut_off() -> None:
    graph = graph_of(OffsetUdp(), states_max=100)
    graph.sees_all = False
    text = words(graph)
    assert "offset-udp : the first states of a small scope" in text
    assert (
        "The graph is cut off at 100 states; every sequence of at most 4 operations is here, and some of the longer ones."
        in text
    )
    assert "Not all that can follow was looked at; where it was not, everything counts as possible." in text


def test_a_page_reports_that_nothing_goes_wrong() -> None:
    graph = explore(OffsetUdp(), (), Scope(1, 1, 1), states_max=100)
    assert "Nothing goes wrong in this scope." in words(graph)
    assert "hazards: none." in words(graph)
    cut = explore(OffsetUdp(), (), Scope(1, 1, 1, 2), states_max=100)
    assert "Nothing goes wrong in this part of the scope." in words(cut)


def test_no_name_ends_the_document() -> None:
    class Named(OffsetUdp):
        name = "offset</script>udp"
        progress = "<b>&"

    graph = graph_of(Named(), "remove")
    assert in_page(graph)["scheme"] == "offset</script>udp"
    assert "</script>udp" not in html(graph)


def test_the_document_has_every_state_with_its_buckets_and_the_fates_of_its_sockets(udp: StateGraph) -> None:
    found = in_page(udp)
    assert found == json.loads(json.dumps(document(udp)))
    assert (found["scheme"], found["progress"], found["batch"], found["readsMax"]) == (
        "offset-udp",
        "Bucket Offset",
        2,
        READS_MAX,
    )
    assert found["buckets"] == [""]
    states = found["states"]
    assert len(states) == len(udp.states)
    # add A, B and C; open; read 1; remove A.
    (number,) = [one.number for one in udp.states if udp.path(one.number)[3:] and _lines(udp, one.number) == SKIPPING]
    layout, flags, letters, place, before, step, lines, steps = states[number]
    assert found["layouts"][layout] == [[2], "", -1]
    assert (flags, letters, found["places"][place], lines) == (1, "hk", ["0", ":", "1"], 6)
    assert states[before][7][3 * step] == number
    # B is owed, and can only be skipped; C may be delivered, too.
    assert len(steps) == 3 * 3
    assert [found["moves"][one] for one in steps[1::3]] == [
        ["remove *", 0, [-1, 0], -1, -1],
        ["remove *", 1, [0, -1], -1, -1],
        [[1], 1, 1, 0, 1 + 4 + 64],
    ]


SKIPPING = ["add A tail", "add B tail", "add C tail", "open", "read 1", "remove A"]


def _lines(graph: StateGraph, number: int) -> list[str]:
    walk = Walk(graph)
    for step in graph.path(number):
        walk.take(step)
    return [line for operation in walk.operations for line in spell(operation)]


def test_the_document_has_every_kind_of_step() -> None:
    found = in_page(graph_of(OffsetTcp(), "rehash", "reinsert", scope=Scope(1, 1, 16)))
    assert found["batch"] == 0
    assert found["buckets"] == ["0", "established:0"]
    changes = {move[0] for move in found["moves"] if move and isinstance(move[0], str)}
    assert changes == {
        "add * head",
        "add * tail",
        "add * head in established:0",
        "remove *",
        "reinsert * head",
        "reinsert * tail",
        "rehash * to 0",
        "rehash * to established:0",
    }
    assert [] in found["moves"]


def test_a_read_that_waits_names_its_request() -> None:
    found = in_page(graph_of(FullBatch(), scope=Scope(2, 2, 1)))
    assert {tuple(layout[1:]) for layout in found["layouts"]} == {
        ("", -1),
        ("show", -1),
        ("show", 0),
        ("show", 1),
        ("bucket", -1),
        ("realloc", 3),
    }


def test_names_in_a_place_are_positions() -> None:
    graph = graph_of(CookieUdp(), "remove")
    places = in_page(graph)["places"]
    assert ["0", ":", 1, ",", 2] in places
    # Of one that has closed, the name remains.
    assert any("A" in place for place in places) or any("B" in place for place in places)
    assert ["0", ":-"] not in places


def test_a_place_is_as_on_the_shortest_way() -> None:
    graph = graph_of(Index(), "add-head", scope=Scope(2, 1, 2))
    assert {state.place for state in graph.states if state.monitor is None} == {""}
    assert {state.place for state in graph.states if state.monitor is not None} >= {"0:-", "0:1"}


def test_where_reads_go_on_for_ever_the_way_there_is_a_finding() -> None:
    graph = explore(NeverAnswers(), (), Scope(1, 1, 1, 3), states_max=100)
    assert list(findings(graph)) == [
        Finding("skip", True, "#state-7", 2),
        Finding("stuck", False, "#state-3+a", 2),
        Finding("refused", False, "#state-3+0", 2),
    ]


def test_every_hazard_can_be_on_a_page() -> None:
    page = html(graph_of(OffsetUdp(), scope=Scope(1, 1, 1)))
    assert {hazard for hazard in HAZARDS if f"<dt>{hazard}</dt>" in page} == OffsetUdp.hazards - LEFT_OUT
