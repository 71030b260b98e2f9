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
from tests.browser.conftest import Opened, copied
from tests.support.contrast import LEAST, TEXTS, contrast, luminance
from tests.support.kernel_targets import LIMITED, with_capabilities
from tests.support.matrices import corpus_matrix, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Schemes with a model and cases of every kind, and an iterator of the kernel.
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
    """The id of the element with the focus, after the viewer has closed completely."""
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
            page.get_by_role("button", name="Close", exact=True).click()
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


# Filters.


def shown_rows(page: Page) -> list[str]:
    return [row.get_attribute("data-target") or "" for row in page.locator("tr[data-target]").all() if row.is_visible()]


def shown_columns(page: Page) -> list[str]:
    return [title.inner_text() for title in page.locator("thead th[data-column]").all() if title.is_visible()]


def test_a_search_leaves_the_targets_that_have_all_words(opened: Opened) -> None:
    page = opened()
    assert shown_rows(page) == [*TARGETS, "kernel:udp"]
    page.locator("#search").fill("bucket INDEX")
    assert shown_rows(page) == ["index"]
    assert page.locator("#shown").inner_text().startswith("1 of 8 targets, all 14 columns, ")
    assert page.locator(".group").nth(0).is_hidden()
    assert page.locator(".group").nth(1).is_visible()
    page.get_by_role("button", name="Show all").click()
    assert shown_rows(page) == [*TARGETS, "kernel:udp"]
    assert "?" not in page.url


def test_a_group_folds_says_what_it_hides_and_stays_folded_in_a_link(opened: Opened) -> None:
    page = opened()
    first = page.locator(".fold").first
    assert first.get_attribute("aria-expanded") == "true"
    first.focus()
    page.keyboard.press("Enter")
    assert shown_rows(page) == [*TARGETS[2:], "kernel:udp"]
    assert re.fullmatch(r"2 targets, \d\d findings", page.locator(".group small").first.inner_text())
    page.reload()
    assert first.get_attribute("aria-expanded") == "false"
    assert shown_rows(page) == [*TARGETS[2:], "kernel:udp"]
    page.locator("#search").fill("offset-udp")
    assert shown_rows(page) == []
    assert page.locator(".group small").first.inner_text().startswith("1 target, ")
    page.get_by_role("button", name="Show all").click()
    assert shown_rows(page) == [*TARGETS, "kernel:udp"]
    assert "?" not in page.url


def test_hazards_and_kinds_and_targets_are_filtered_by_keyboard_and_the_result_is_announced(opened: Opened) -> None:
    page = opened()
    for menu, value in (("Targets", "offset-udp"), ("Hazards", "remove"), ("Kinds", "repeat")):
        page.locator(".menu summary", has_text=menu).focus()
        page.keyboard.press("Enter")
        box = page.locator(f".menu[open] input[value='{value}']")
        box.focus()
        page.keyboard.press("Space")
        page.keyboard.press("Escape")
        assert page.locator(".menu[open]").count() == 0
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert shown_rows(page) == ["offset-udp"]
    assert shown_columns(page) == ["remove"]
    assert page.locator("#cell-offset-udp-remove").inner_text() == "no repeat"
    status = page.locator("#shown")
    assert status.get_attribute("role") == "status"
    assert status.inner_text() == "1 of 8 targets, 1 of 14 columns, 0 findings of repeat."
    assert page.url.endswith("?scheme=offset-udp&hazard=remove&kind=repeat")


def test_a_link_with_filters_shows_the_same_and_opens_the_same_case(opened: Opened) -> None:
    page = opened(anchor="?scheme=index,unix&hazard=all&kind=skip,nonsense#cell-index-all-skip")
    assert page.locator("#viewer-title").inner_text().startswith("index: skip")
    page.keyboard.press("Escape")
    assert shown_rows(page) == ["unix", "index"]
    assert shown_columns(page) == ["all"]
    assert page.url.endswith("?scheme=index,unix&hazard=all&kind=skip,nonsense")
    assert page.locator("#cell-index-all a.chip:visible").all_inner_texts()[0].startswith("skip")
    assert page.locator("[data-count=scheme]").inner_text() == "2"


@pytest.mark.parametrize(
    ("release", "expected", "rows"),
    [
        (
            "6.12.94+deb13-amd64",
            "Linux 6.12.94, by the known ranges of releases: UDP: offset-udp; TCP: offset-tcp (not on",
            2,
        ),
        ("6.12.104", "TCP: cookie-tcp;", 3),
        ("6.12", "TCP: offset-tcp (not on this page), from 6.12.104 on cookie-tcp;", 3),
        ("6.6", "UDP: no known scheme, from 6.6.14 on offset-udp;", 3),
        ("6.18.44", "UDP: cookie-udp (not on this page); TCP: cookie-tcp;", 2),
        ("5.10.1", "UDP: rank (not on this page); TCP: not known; UNIX: not known", 0),
        ("9.0", "UDP: cookie-udp (not on this page); TCP: cookie-tcp; UNIX: not known", 1),
    ],
)
def test_a_kernel_release_names_its_schemes_and_leaves_them(opened: Opened, release: str, expected: str, rows: int) -> None:
    page = opened()
    page.locator("#kernel").fill(release)
    says = page.locator("#kernel-says").inner_text()
    assert expected in says
    assert "detection decides, not the version. sockiter targets on that kernel says which schemes it uses." in says
    assert len(shown_rows(page)) == rows


def test_an_invalid_release_filters_nothing_and_the_page_names_the_expected_form(opened: Opened) -> None:
    page = opened(anchor="?kernel=mine%3Cb%3E")
    assert page.locator("#kernel-says").inner_text() == "Expected a release as uname -r prints it: 6.12.94, or 6.12."
    assert page.locator("#kernel").get_attribute("aria-invalid") == "true"
    assert len(shown_rows(page)) == 8


def test_an_unseen_failure_of_a_kernel_is_no_proof(opened: Opened) -> None:
    page = opened(anchor="?kind=repeat")
    assert page.locator("#cell-kernel-udp-all").inner_text() == "○ 4,000"
    assert page.locator("#cell-unix-none").inner_text() == "no repeat"
    assert page.locator("#cell-offset-udp-none").inner_text() == "✓"


def test_a_click_beside_a_menu_and_another_menu_close_it(opened: Opened) -> None:
    page = opened()
    page.locator(".menu summary", has_text="Kinds").click()
    page.locator(".menu summary", has_text="Hazards").click()
    assert page.locator(".menu[open] summary").all_inner_texts() == ["Hazards"]
    page.locator("h1").click()
    assert page.locator(".menu[open]").count() == 0


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
def test_the_matrix_begins_on_the_first_screen_and_the_legend_is_folded(opened: Opened, width: int, height: int) -> None:
    page = opened(width=width)
    first = page.locator("tr[data-target] th").first.bounding_box()
    assert first is not None
    assert first["y"] + 50 < height
    assert not page.locator(".legend").is_visible()
    page.locator("#legend > summary").click()
    assert page.locator(".legend").is_visible()


def test_the_first_column_stays_when_the_matrix_is_scrolled(opened: Opened) -> None:
    page = opened(width=1000)
    page.evaluate("document.querySelector('.wide').scrollLeft = 300")
    name, cell = (
        page.locator("tr[data-target] th").first.bounding_box(),
        page.locator("#cell-offset-udp-none").bounding_box(),
    )
    region = page.locator(".wide").bounding_box()
    assert name is not None
    assert cell is not None
    assert region is not None
    assert 0 <= name["x"] - region["x"] <= 2
    assert cell["x"] < name["x"]


@pytest.mark.parametrize(
    ("what", "start"), [("link", "file:"), ("case", "# sockiter case v1"), ("replay command", "sockiter")]
)
def test_an_open_case_is_copied_as_a_link_a_file_and_a_command(opened: Opened, what: str, start: str) -> None:
    text = copied(opened(anchor="?kind=skip#cell-offset-udp-remove-skip"), what)
    assert text.startswith(start)
    if what == "link":
        assert text.endswith("?kind=skip#cell-offset-udp-remove-skip")
    if what == "replay command":
        assert text.startswith("sockiter replay --target offset-udp - <<'END'\n# sockiter case v1\n")


def test_without_a_clipboard_text_is_copied_by_the_selection(opened: Opened) -> None:
    page = opened(anchor="#cell-offset-udp-remove-skip")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy the case").click()
    page.get_by_text("Copied the case.").wait_for()
    page.evaluate("document.execCommand = () => false")
    page.get_by_role("button", name="Copy the case").click()
    page.get_by_text("The browser does not let this page copy the case.").wait_for()


def test_in_print_there_is_the_matrix_alone(opened: Opened) -> None:
    page = opened(width=1040)
    page.emulate_media(media="print")
    assert page.locator("table.matrix").is_visible()
    assert page.locator("h1").is_visible()
    for other in ("#filters", "#legend", "#hazards", ".hazards", ".promises", ".cases", "#shown", ".lead"):
        assert not page.locator(other).first.is_visible(), other
    assert page.evaluate("document.documentElement.scrollWidth") <= 1040


def test_without_a_script_there_are_no_filters(opened: Opened) -> None:
    page = opened(script=False)
    assert not page.locator("#filters").is_visible()
    assert len(shown_rows(page)) == 8
