"""The matrix page in a real browser: it opens, steps, fits, is accessible and usable by keyboard, and makes no request."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sockiter.check.result import SearchResult
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.matrix.matrix import Cell, Matrix
from tests.browser.conftest import Opened
from tests.support.contrast import LEAST, TEXTS, contrast, luminance
from tests.support.kernel_targets import LIMITED, with_capabilities
from tests.support.matrices import corpus_matrix, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What has a model and cases of every kind, and an iterator of the kernel besides.
TARGETS = ("offset-udp", "unix", "index", "index-narrow", "full-batch", "restart", "cookie-tcp")
WIDTHS = (400, 1600)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "matrix.html"
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_capabilities(monkeypatch, LIMITED)
        path.write_text(page_of(with_own_scopes(corpus_matrix(*TARGETS, measured=(KERNEL_UDP,)))), encoding="utf-8")
    return path


def with_own_scopes(made: Matrix) -> Matrix:
    """The matrix, with a smaller scope for the cells in which versions roll over."""

    def smaller(cell: Cell) -> Cell:
        if not isinstance(cell.result, SearchResult):
            return cell
        return replace(cell, result=replace(cell.result, scope=made.scope.under(cell.hazards)))

    return replace(made, rows=tuple(replace(row, cells=tuple(map(smaller, row.cells))) for row in made.rows))


def step(page: Page) -> str:
    return page.locator("#viewer-step").inner_text()


def event(page: Page) -> str:
    return page.locator("#viewer-event").inner_text()


def focused(page: Page) -> str:
    """The id of what has the focus, once a case that was closed is closed altogether."""
    page.wait_for_function("viewer.open || !location.hash.endsWith('skip')")
    return str(page.evaluate("document.activeElement.id"))


# A cell opens.


def test_every_finding_opens_its_case(opened: Opened) -> None:
    page = opened()
    chips = page.locator("td a.chip")
    assert chips.count() > 50
    for nth in range(chips.count()):
        chip = chips.nth(nth)
        kind = chip.inner_text().split()[0].rstrip("*")
        target = (chip.get_attribute("aria-label") or "").split(",")[0]
        chip.click()
        assert page.locator("#viewer").is_visible()
        assert target in page.locator("#viewer-title").inner_text()
        assert f": {kind} " in page.locator("#viewer-title").inner_text()
        assert page.locator("#viewer-rest pre").count() == 1
        page.keyboard.press("Escape")
        assert not page.locator("#viewer").is_visible()


def test_a_case_shows_its_reason_table_place_and_deliveries(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-offset-udp-remove-skip").click()
    assert page.locator("#viewer-title").inner_text() == "offset-udp: skip under remove"
    assert "B is skipped" in page.locator("#viewer-rest .said").inner_text()
    assert page.locator("#viewer-rest tbody tr").count() == 4
    assert page.locator("#viewer-progress").inner_text() == "Bucket Offset"
    assert page.locator("#viewer-state .s").all_inner_texts() == ["A", "B"]
    page.locator("#viewer-rest summary").click()
    assert "remove A" in page.locator("#viewer-rest pre").inner_text()


# Stepping.


def test_arrow_keys_home_and_end_step_through_a_case(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-offset-udp-remove-skip").click()
    assert (step(page), event(page)) == ("Step 1 of 4", "open")
    page.keyboard.press("ArrowRight")
    assert (step(page), event(page)) == ("Step 2 of 4", "read(iter_fd) -> A")
    assert page.locator("#viewer-place").inner_text() == "1"
    assert page.locator("#viewer-seen").inner_text() == "A"
    assert page.locator("#viewer-state .now").inner_text() == "A"
    page.keyboard.press("End")
    assert (step(page), event(page)) == ("Step 4 of 4", "read(iter_fd) -> 0")
    assert page.locator("#viewer-state .skipped").count() == 1
    page.keyboard.press("ArrowRight")
    assert step(page) == "Step 4 of 4"
    page.keyboard.press("ArrowLeft")
    assert step(page) == "Step 3 of 4"
    page.keyboard.press("Home")
    assert step(page) == "Step 1 of 4"


def test_the_keys_step_wherever_in_the_case_the_focus_is(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-offset-udp-remove-skip").click()
    page.locator("#close").focus()
    for key, expected in (
        ("ArrowRight", "Step 2 of 4"),
        ("End", "Step 4 of 4"),
        ("ArrowLeft", "Step 3 of 4"),
        ("Home", "Step 1 of 4"),
    ):
        page.keyboard.press(key)
        assert step(page) == expected


def test_slider_buttons_and_rows_step_as_well(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-offset-udp-remove-skip").click()
    page.locator("#slider").fill("2")
    assert step(page) == "Step 3 of 4"
    assert page.locator("#slider").get_attribute("aria-valuetext") == "Step 3 of 4: close(A)"
    page.get_by_role("button", name="Step on").click()
    assert step(page) == "Step 4 of 4"
    assert focused(page) == "slider"
    page.get_by_role("button", name="First step").click()
    assert step(page) == "Step 1 of 4"
    page.locator("#viewer-rest tbody tr").nth(1).click()
    assert step(page) == "Step 2 of 4"
    assert page.locator("#viewer-rest tr[aria-current=step] th").inner_text() == "1"


# By keyboard alone, and by address.


def test_a_case_is_reached_opened_stepped_and_left_without_a_mouse(opened: Opened) -> None:
    page = opened()
    presses = 0
    while focused(page) != "cell-offset-udp-remove-skip":
        page.keyboard.press("Tab")
        presses += 1
        assert presses < 60
    for key in ("Enter", "Space"):
        page.keyboard.press(key)
        assert page.locator("#viewer").is_visible()
        assert focused(page) == "slider"
        page.keyboard.press("ArrowRight")
        assert step(page) == "Step 2 of 4"
        page.keyboard.press("Escape")
        assert not page.locator("#viewer").is_visible()
        assert focused(page) == "cell-offset-udp-remove-skip"


def test_the_focus_is_to_be_seen(opened: Opened) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.locator("#cell-offset-udp-remove-skip").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2


def test_the_focus_does_not_leave_an_open_case(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-offset-udp-remove-skip").click()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || viewer.contains(document.activeElement)")


def test_the_close_button_and_a_click_beside_it_close_a_case(opened: Opened) -> None:
    page = opened()
    for is_beside in (False, True):
        page.locator("#cell-offset-udp-remove-skip").click()
        if is_beside:
            page.mouse.click(3, 3)
        else:
            page.get_by_role("button", name="Close").click()
        assert not page.locator("#viewer").is_visible()
        assert focused(page) == "cell-offset-udp-remove-skip"


def test_an_address_opens_the_view_that_it_was_copied_from(opened: Opened) -> None:
    page = opened()
    page.locator("#cell-index-all-skip").click()
    title = page.locator("#viewer-title").inner_text()
    anchor = page.evaluate("location.hash")
    assert anchor == "#cell-index-all-skip"
    other = opened(anchor=anchor)
    other.keyboard.press("ArrowRight")
    assert other.locator("#viewer-title").inner_text() == title
    assert step(other).startswith("Step 2 of ")
    other.keyboard.press("Escape")
    assert focused(other) == "cell-index-all-skip"
    assert other.evaluate("location.hash") == ""


def test_a_case_and_a_cell_have_addresses_too(opened: Opened) -> None:
    page = opened(anchor="#case-offset-udp-skip-remove")
    assert page.locator("#viewer-title").inner_text() == "offset-udp: skip under remove"
    page = opened(anchor="#cell-index-all")
    page.keyboard.press("Tab")
    assert focused(page) == "cell-index-all-skip"
    assert not opened(anchor="#no-such-thing").locator("#viewer").is_visible()


def test_without_a_script_every_case_is_there_to_be_read(opened: Opened) -> None:
    page = opened(script=False, anchor="#case-offset-udp-skip-remove")
    case = page.locator("#case-offset-udp-skip-remove")
    assert case.is_visible()
    assert case.locator("tbody tr").count() == 4


# To look at.


@pytest.mark.parametrize("width", [*WIDTHS, 320, 800, 1100, 1440])
def test_the_page_is_no_wider_than_its_window(opened: Opened, width: int) -> None:
    page = opened(width=width)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    page.locator("#cell-unix-all-repeat").click()
    page.keyboard.press("End")
    assert page.evaluate(wide) <= width
    viewer = page.locator("#viewer").bounding_box()
    assert viewer is not None
    assert viewer["x"] >= 0
    assert viewer["x"] + viewer["width"] <= width
    assert page.evaluate("viewer.scrollWidth <= viewer.clientWidth")


def test_on_a_narrow_window_the_matrix_is_a_list_and_nothing_in_it_is_cut_off(opened: Opened) -> None:
    page = opened(width=400)
    for chip in page.locator("td a.chip").all():
        box = chip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400
        assert box["height"] >= 24
    assert page.locator("table.matrix").get_attribute("role") == "table"
    before = "getComputedStyle(document.getElementById('cell-offset-udp-remove'), '::before').content"
    assert page.evaluate(before) == '"remove"'


def test_a_scope_of_its_own_stands_in_its_cell_and_makes_no_column_wider(opened: Opened) -> None:
    page = opened()
    cell = page.locator("#cell-index-narrow-all")
    own = cell.locator(".own")
    assert own.inner_text() == "with at most 2 sockets, 1 bucket"
    around, inside, beside = (
        cell.bounding_box(),
        own.bounding_box(),
        page.locator("#cell-offset-udp-reinsert").bounding_box(),
    )
    assert around is not None
    assert inside is not None
    assert beside is not None
    assert around["x"] <= inside["x"]
    assert inside["x"] + inside["width"] <= around["x"] + around["width"]
    assert around["width"] <= 1.25 * beside["width"]


def test_no_two_sockets_of_a_step_lie_on_each_other(opened: Opened) -> None:
    page = opened(width=400)
    page.locator("#cell-unix-all-repeat").click()
    for _ in range(5):
        boxes = [box for socket in page.locator("#viewer-state .s").all() if (box := socket.bounding_box())]
        for one, other in pairwise(boxes):
            assert one["x"] + one["width"] <= other["x"] or one["y"] + one["height"] <= other["y"]
        page.keyboard.press("ArrowRight")


def test_contrast_is_reckoned_as_it_should_be() -> None:
    assert contrast([0, 0, 0], [[255, 255, 255]]) == pytest.approx(21)
    assert contrast([119, 119, 119], [[0, 0, 0, 0], [255, 255, 255]]) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_text_stands_out_in_light_and_in_dark(opened: Opened, scheme: str, width: int) -> None:
    page = opened(scheme=scheme, width=width)
    seen = page.evaluate(TEXTS)
    for anchor in ("cell-unix-all-repeat", "cell-offset-udp-remove-skip", "cell-full-batch-all-refused"):
        page.locator(f"#{anchor}").click()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
            seen += page.evaluate(TEXTS)
        page.keyboard.press("Escape")
    faint = {re.sub(r"\s+", " ", text): round(contrast(colour, behind), 2) for text, colour, behind in seen}
    assert len(faint) > 30
    assert {text: ratio for text, ratio in faint.items() if ratio < LEAST} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_readers_light_or_dark_theme(opened: Opened, scheme: str) -> None:
    page = opened(scheme=scheme)
    ground = [
        float(part) for part in re.findall(r"[\d.]+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    ]
    assert (luminance(ground) > 0.5) == (scheme == "light")
