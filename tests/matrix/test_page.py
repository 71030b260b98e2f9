"""The matrix page, parsed as HTML; `browser` has the tests that need a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from sockiter.cases import loads
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.claims import HAZARDS
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.matrix.matrix import Cell, Matrix, MatrixRow, Measured
from sockiter.matrix.page import HAZARD_DESCRIPTIONS, KIND_DESCRIPTIONS, Origin, html, releases, trace_cases
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.versions import KNOWN
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.verdict import KINDS
from tests.support.kernel_targets import LIMITED, with_capabilities
from tests.support.matrices import corpus_matrix, page_of, searched

ORIGIN = Origin("1.2", "0123456789ab", "2026-11-30 08:00 UTC", "Linux 6.18.44 (x86_64)", "sockiter matrix rank")


class Page(HTMLParser):
    """The elements of a page with their attributes and, by id, the text in them; that of the whole is called page."""

    VOID = frozenset({"meta", "link", "input", "path", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_data(" ")
        of = {name: value or "" for name, value in attrs}
        self.tags.append((tag, of))
        if tag not in self.VOID:
            self._open.append(of.get("id", "page" if tag == "main" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self._open.pop()
        self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for anchor in filter(None, self._open):
            self.texts[anchor] = self.texts.get(anchor, "") + data

    def text(self, anchor: str) -> str:
        return re.sub(r" (?=[.,:])", "", " ".join(self.texts[anchor].split()))

    @property
    def all_text(self) -> str:
        return self.text("page")

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def of(self, anchor: str) -> dict[str, str]:
        (found,) = [attrs for _, attrs in self.tags if attrs.get("id") == anchor]
        return found

    @property
    def chips(self) -> list[dict[str, str]]:
        return [attrs for attrs in self.named("a") if "chip" in attrs.get("class", "").split()]


@pytest.fixture(scope="module")
def whole() -> Page:
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_capabilities(monkeypatch, LIMITED)
        names = ("offset-udp", "index", "index-narrow", "restart", "rank")
        return Page(page_of(corpus_matrix(*names, measured=(KERNEL_UDP,))))


def with_cell(column: str, change: dict[str, Any], target: str = "index") -> Page:
    """The page of one scheme, one cell of which is another."""
    made = corpus_matrix(target)

    def other(cell: Cell) -> Cell:
        assert cell.result is not None
        return replace(cell, result=replace(cell.result, **change))

    cells = tuple(other(cell) if cell.column.name == column else cell for cell in made.rows[0].cells)
    return Page(page_of(replace(made, rows=(MatrixRow(made.rows[0].target, cells),))))


# The table.


def test_the_page_needs_nothing_else() -> None:
    text = page_of(corpus_matrix("offset-udp"))
    for foreign in ("http:", "https:", "//", "url(", "@import", "src="):
        assert foreign not in re.sub(r"\n\s*//.*|'sha256-[^']*'", "", text)
    assert "prefers-color-scheme: dark" in text
    assert "prefers-reduced-motion" in text


def test_the_table_is_one_to_those_who_cannot_see_it(whole: Page) -> None:
    scopes = [attrs["scope"] for attrs in whole.named("th") if attrs.get("role")]
    assert scopes.count("col") == 1 + 14
    assert scopes.count("row") == 6
    assert scopes.count("rowgroup") == 3
    assert whole.named("html") == [{"lang": "en"}]
    assert all(attrs["role"] == "cell" for attrs in whole.named("td") if attrs.get("id"))


def test_no_anchor_is_there_twice_and_every_link_leads_somewhere(whole: Page) -> None:
    anchors = [attrs["id"] for _, attrs in whole.tags if "id" in attrs]
    assert len(anchors) == len(set(anchors))
    links = [attrs["href"] for attrs in whole.named("a")]
    assert len(links) > 50
    assert {link[1:] for link in links} <= set(anchors)


def test_a_cell_names_its_failures_and_links_to_their_cases(whole: Page) -> None:
    chip = whole.of("cell-offset-udp-remove-skip")
    assert chip["href"] == "#case-offset-udp-skip-remove"
    assert chip["aria-label"] == "offset-udp, remove: skip, 6 operations"
    assert whole.text("cell-offset-udp-remove") == "skip 6"
    assert whole.text("cell-offset-udp-reinsert") == "skip 6 skip* 6 repeat 6 repeat* 6"
    assert whole.of("cell-offset-udp-reinsert-skip-moved")["class"] == "chip skip moved"


def test_proved_measured_and_unsupported_cells_differ_by_more_than_colour(whole: Page) -> None:
    assert whole.text("cell-offset-udp-none") == "✓"
    assert whole.text("cell-kernel-udp-all") == "○ 4,000"
    assert whole.text("cell-kernel-udp-show") == "–"  # noqa: RUF001
    labels = {attrs.get("aria-label") for attrs in whole.named("span") if "mark" in attrs.get("class", "")}
    assert "Proved: no failure of any kind can happen" in labels
    assert "Nothing seen in 4,000 sequences" in labels
    assert "kernel:udp does not support show" in labels


def test_a_search_that_was_cut_short_is_a_question_mark_and_its_findings_stand() -> None:
    page = with_cell("reinsert", {"incomplete": "interrupted"})
    assert page.text("cell-index-reinsert") == "skip* 6 repeat* 6 ?"
    labels = [attrs.get("aria-label") for attrs in page.named("span")]
    assert "Not known: interrupted" in labels
    empty = with_cell("none", {"incomplete": "interrupted"})
    assert empty.text("cell-index-none") == "?"


def test_a_cell_with_its_own_scope_names_it_beside_its_tick_and_its_findings() -> None:
    page = with_cell("none", {"scope": Scope(2, 1, 2)})
    assert page.text("cell-index-none") == "✓ with at most 2 sockets, 1 bucket"
    labels = [attrs.get("aria-label") for attrs in page.named("span")]
    assert "Proved: no failure of any kind can happen, with at most 2 sockets, 1 bucket" in labels
    assert labels.count("Proved: no failure of any kind can happen") > 3
    found = with_cell("reinsert", {"scope": Scope(3, 2, 2, 9)})
    assert found.text("cell-index-reinsert") == "skip* 6 repeat* 6 with sequences of at most 9 operations"
    titles = [attrs.get("title") for attrs in found.named("td")]
    assert "Every other failure is proved impossible, with sequences of at most 9 operations" in titles


def test_scopes_of_their_own_are_explained_where_there_are_any(whole: Page) -> None:
    page = with_cell("none", {"scope": Scope(2, 1, 2)})
    assert "The scope of every proof, unless its cell names its own: at most 3 sockets" in page.all_text
    assert "A scope of its own: " in page.all_text
    assert "The scope of every proof: at most 3 sockets" in whole.all_text
    assert "names its own" not in whole.all_text
    assert "scope of its own" not in whole.all_text


def test_a_case_states_whether_and_where_a_shorter_one_is_ruled_out() -> None:
    assert "6 operations, the shortest possible in the scope. " in about({})
    assert "6 operations, the shortest that was found before the search was cut short. " in about({"incomplete": "killed"})
    rolled = with_cell("rollover", {"scope": Scope(3, 1, 2)}, target="index-narrow")
    assert "11 operations, the shortest possible with 1 bucket. " in rolled.text("case-index-narrow-skip-rollover")


def test_a_case_that_takes_no_rollover_is_the_shortest_in_the_whole_scope_whatever_its_cell_was_searched_in() -> None:
    """All but rollover are searched in all of it, and the shortest of short sequences is the shortest of all."""
    assert "6 operations, the shortest possible in the scope. " in about({"scope": Scope(3, 2, 2, 7)})
    all_of_them = with_cell("all", {"scope": Scope(2, 1, 2)}, target="index-narrow")
    assert "6 operations, the shortest possible in the scope. " in all_of_them.text(
        "case-index-narrow-skip-reinsert-realloc-enomem"
    )


def about(change: dict[str, object]) -> str:
    """The sentences about the first case of index."""
    return with_cell("reinsert", change).text("case-index-skip-moved-reinsert")


def test_a_broken_claim_is_marked() -> None:
    page = with_cell("remove", {"violations": searched(target_named("offset-udp"), frozenset({"remove"})).violations})
    assert page.text("cell-index-remove") == "skip 6 !"
    assert page.of("cell-index-remove-skip")["aria-label"] == "index, remove: skip, which breaks a claim, 6 operations"


def test_a_case_of_a_real_iterator_is_the_shortest_found_not_the_shortest_possible() -> None:
    """A model stands in for it, so that the case can be carried out anywhere."""
    target = SchemeTarget(OffsetUdp())
    target.is_real = True
    made = corpus_matrix("offset-udp")

    def measured(cell: Cell) -> Cell:
        assert isinstance(cell.result, SearchResult) or cell.result is None
        if cell.result is None:
            return cell
        return replace(cell, result=Measured("offset-udp", cell.hazards, 10, 1.0, cell.result.violations))

    page = Page(page_of(replace(made, rows=(MatrixRow(target, tuple(map(measured, made.rows[0].cells))),))))
    assert "the shortest that was found" in page.text("case-offset-udp-skip-remove")
    assert "Nothing else seen in 10 sequences" in [attrs.get("title") for attrs in page.named("td")]


# Hazards and claims.


def test_every_hazard_and_every_kind_of_failure_is_explained() -> None:
    assert set(HAZARD_DESCRIPTIONS) == set(HAZARDS)
    assert set(KIND_DESCRIPTIONS) == set(KINDS) - {"incomplete"}


def test_the_columns_link_to_the_descriptions_of_their_hazards(whole: Page) -> None:
    assert whole.text("hazard-remove") == "remove A socket closes and leaves the table for good."
    assert whole.text("hazard-show").endswith("Alone it makes no change, so it has no effect.")
    assert whole.text("hazard-none").startswith("none Nothing changes after open.")


def test_every_target_has_its_promises(whole: Page) -> None:
    offset = whole.text("target-offset-udp")
    assert "Never: stale, stuck, refused." in offset
    assert "skip remove, reinsert, rehash" in offset
    assert "repeat of a socket that had moved reinsert, rehash" in offset
    assert "reinsert + realloc + enomem" in whole.text("target-index")
    assert "Never: skip of a socket that never moved, stale, stuck." in whole.text("target-restart")
    assert whole.text("target-kernel-udp").endswith("Never: skip, repeat, stale, stuck, refused.")


def test_failures_without_a_hazard_and_empty_claims_are_reported() -> None:
    assert "no hazard at all" in Page(page_of(corpus_matrix("offset-tcp"))).text("target-offset-tcp")


# The cases.


def test_a_case_is_on_the_page_once_however_many_cells_name_it(whole: Page) -> None:
    naming = [chip["id"] for chip in whole.chips if chip["href"] == "#case-rank-repeat-add-head"]
    assert naming == ["cell-rank-add-head-repeat", "cell-rank-all-repeat"]
    assert len(whole.named("article")) == len({chip["href"] for chip in whole.chips})


def test_two_cases_of_one_name_have_anchors_of_their_own() -> None:
    made = corpus_matrix("offset-udp")
    (row,) = made.rows
    other = Counterexample("skip", False, loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n"))
    *cells, last = row.cells
    assert isinstance(last.result, SearchResult)
    changed = replace(last, result=replace(last.result, violations=(other,)))
    page = Page(page_of(Matrix(made.scope, made.columns, (MatrixRow(row.target, (*cells, changed)),))))
    assert page.of("cell-offset-udp-remove-skip")["href"] == "#case-offset-udp-skip-remove"
    assert page.of("cell-offset-udp-all-skip")["href"] == "#case-offset-udp-skip-remove-2"


def test_a_case_has_every_step_with_the_table_the_place_and_the_deliveries_so_far() -> None:
    page = Page(page_of(corpus_matrix("offset-udp")))
    case = page.text("case-offset-udp-skip-remove")
    assert case.startswith("offset-udp: skip under remove 6 operations, the shortest possible in the scope.")
    assert "B is skipped: it was in the table from open to the end, and no read delivered it." in case
    assert "Bucket Offset Delivered so far open open A B - - 1 read(iter_fd) -> A A B 1 A 2 close(A) A closed B 1 A" in case
    assert "remove A" in case


def test_a_bucket_is_described_to_those_who_cannot_see_it() -> None:
    page = Page(page_of(corpus_matrix("offset-udp")))
    labels = [attrs["aria-label"] for attrs in page.named("span") if attrs.get("class") == "list"]
    assert "A delivered and delivered by this read, B unseen" in labels
    assert "B unseen and skipped" in labels


def test_the_summary_of_a_target_is_only_text() -> None:
    target = SchemeTarget(OffsetUdp())
    target.summary = "</p><script>alert(1)</script>"
    target.name = "a\"'><script>alert(2)</script>"
    made = corpus_matrix("offset-udp")
    origin = replace(ORIGIN, command="sockiter matrix </code><script>alert(3)</script>")
    rows = (MatrixRow(target, made.rows[0].cells),)
    known = trace_cases(made)
    traces = {(target.name, case): found for (_, case), found in known.items()}
    text = html(replace(made, rows=rows), traces, origin)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") > 1
    assert text.count("&lt;script&gt;alert(2)") > 1
    assert text.count("&lt;script&gt;alert(3)") == 1
    assert len(re.findall("<script", text)) == len(re.findall("<script", page_of(made)))


# The origin of the page, and its filters.


def test_a_page_names_its_origin(whole: Page) -> None:
    made = corpus_matrix("rank")
    page = Page(html(made, trace_cases(made), ORIGIN))
    told = (
        "Made by sockiter 1.2 (commit 0123456789ab) at 2026-11-30 08:00 UTC on Linux 6.18.44 (x86_64): sockiter matrix rank"
    )
    assert told in page.all_text
    unknown = Page(html(made, trace_cases(made), replace(ORIGIN, commit="")))
    assert "Made by sockiter 1.2 at 2026" in unknown.all_text
    assert "Made by" not in whole.all_text


def test_the_filters_offer_the_targets_the_columns_and_the_kinds_that_are_found(whole: Page) -> None:
    boxes = [(attrs["name"], attrs["value"]) for attrs in whole.named("input") if attrs.get("type") == "checkbox"]
    assert [value for name, value in boxes if name == "scheme"][:2] == ["offset-udp", "index"]
    assert next(value for name, value in boxes if name == "hazard") == "none"
    assert [value for name, value in boxes if name == "kind"] == ["skip", "repeat", "refused"]


def test_the_known_ranges_of_releases_stand_on_the_page_with_their_sources(whole: Page) -> None:
    assert "UDP offset-udp 6.8 to 6.15 commits 19ca0823f6ea and 2242fd537fab" in whole.text("ranges")
    assert "UDP no model 6.5 to 6.7" in whole.text("ranges")
    assert "detects what it uses, and that decides, not its version." in whole.all_text
    rows = [attrs for attrs in whole.named("tr") if "data-walk" in attrs]
    assert len(rows) == len(KNOWN)
    assert {attrs["data-last"] for attrs in rows if attrs["data-scheme"].startswith("cookie")} == {""}


def test_releases_are_suggested_in_their_order() -> None:
    assert releases()[:3] == ("5.15", "6.1", "6.1.183")
    assert releases()[-1] == "7.2"


def test_a_case_names_the_command_that_replays_it(whole: Page) -> None:
    assert "Replay it: sockiter replay --target offset-udp FILE" in whole.text("case-offset-udp-skip-remove")


def test_the_same_matrix_is_always_the_same_page() -> None:
    assert page_of(corpus_matrix("index")) == page_of(corpus_matrix("index"))
