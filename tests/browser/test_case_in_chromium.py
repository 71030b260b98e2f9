"""The page of a case in a real browser: tabs, two targets side by side, steps, links, and copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sockiter.cases import load
from sockiter.report.page import html
from sockiter.report.trace import Trace, trace
from sockiter.targets import target_named
from tests.browser.conftest import Opened, copied
from tests.support.contrast import LEAST, TEXTS, contrast
from tests.support.paths import CASES

if TYPE_CHECKING:
    from playwright.sync_api import Page

TARGETS = ("offset-udp", "index", "unix", "restart")


def traced(name: str) -> Trace:
    target = target_named(name)
    with target.session() as session:
        return trace(load(CASES / "rfc_skip.case"), target, session)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "case.html"
    shown, *others = map(traced, TARGETS)
    path.write_text(html(shown, others, [("kernel:udp", "no root")]), encoding="utf-8")
    return path


def visible(page: Page) -> list[str]:
    """The targets that are shown, from left to right."""
    panels = [panel for panel in page.locator(".panel").all() if panel.is_visible()]
    places = {panel.get_attribute("data-target") or "": panel.bounding_box() for panel in panels}
    return sorted(places, key=lambda name: (box["x"], box["y"]) if (box := places[name]) else (0, 0))


def events(page: Page) -> list[str]:
    return [page.locator(f"#on-{name}-event").inner_text() for name in visible(page)]


def test_a_tab_shows_its_target(opened: Opened) -> None:
    page = opened()
    assert visible(page) == ["offset-udp"]
    page.get_by_role("tab", name="unix skip").click()
    assert visible(page) == ["unix"]
    assert page.get_by_role("tab", selected=True).inner_text() == "unix skip"
    assert page.locator("#shown").inner_text() == "unix: skip B, skip C, skip D"
    assert page.url.endswith("case.html?on=unix")


def test_tabs_are_chosen_by_keys(opened: Opened) -> None:
    page = opened()
    page.get_by_role("tab", selected=True).focus()
    for key, name in (("ArrowRight", "index"), ("End", "restart"), ("ArrowRight", "offset-udp"), ("ArrowLeft", "restart")):
        page.keyboard.press(key)
        assert visible(page) == [name]
        assert page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    page.keyboard.press("Home")
    assert visible(page) == ["offset-udp"]
    assert page.locator("#viewer-step").inner_text() == "Step 1 of 6"


def test_two_targets_step_side_by_side_by_operation(opened: Opened) -> None:
    """`index` needs one read more than `offset-udp` for the last operation."""
    page = opened()
    page.locator("#beside").select_option("on-index")
    assert visible(page) == ["offset-udp", "index"]
    assert page.locator("#viewer-step").inner_text() == "Step 1 of 7"
    page.locator("#slider").focus()
    page.keyboard.press("End")
    assert events(page) == ["read(iter_fd) -> 0", "read(iter_fd) -> 0"]
    page.keyboard.press("ArrowLeft")
    assert events(page) == ["read(iter_fd) -> 0", "read(iter_fd) -> D"]
    page.get_by_role("button", name="First step").click()
    page.get_by_role("button", name="Step on").click()
    page.get_by_role("button", name="Step on").click()
    assert events(page) == ["close(A)", "close(A)"]
    boxes = [page.locator(f"#on-{name}-stage").bounding_box() for name in ("offset-udp", "index")]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]


def test_the_one_beside_it_stands_behind_even_if_it_comes_first_in_the_page(opened: Opened) -> None:
    page = opened(anchor="?on=unix&beside=offset-udp")
    assert visible(page) == ["unix", "offset-udp"]
    page.get_by_role("tab", name="offset-udp skip").click()
    assert visible(page) == ["offset-udp"]


def test_a_link_opens_the_same_targets_at_the_same_step(opened: Opened) -> None:
    page = opened(anchor="?on=unix&beside=restart&step=4")
    assert visible(page) == ["unix", "restart"]
    assert page.locator("#viewer-step").inner_text().startswith("Step 4 of ")
    assert page.locator("#beside").input_value() == "on-restart"
    for unknown in ("?on=nobody&beside=nobody&step=nothing", "?step=-5", "#no-such-thing", "#%22%3E"):
        assert visible(opened(anchor=unknown)) == ["offset-udp"]
    assert visible(opened(anchor="#on-index")) == ["index"]
    assert opened(anchor="?step=999").locator("#viewer-step").inner_text() == "Step 6 of 6"


def test_rows_and_slider_step_as_well(opened: Opened) -> None:
    page = opened()
    page.locator("#on-offset-udp .steps tbody tr").nth(3).click()
    assert events(page) == ["read(iter_fd) -> C"]
    assert page.locator("#on-offset-udp tr[aria-current=step] th").inner_text() == "3"
    page.locator("#slider").fill("1")
    assert events(page) == ["read(iter_fd) -> A"]
    assert page.url.endswith("?step=2")


@pytest.mark.parametrize(
    ("name", "start"), [("case", "# sockiter case v1"), ("replay command", "sockiter replay --target"), ("link", "file:")]
)
def test_buttons_copy_the_link_the_case_and_the_command(opened: Opened, name: str, start: str) -> None:
    text = copied(opened(anchor="?on=unix"), name)
    assert text.startswith(start)
    if name == "replay command":
        assert text.startswith("sockiter replay --target unix - <<'END'\n# sockiter case v1\n")
        assert text.endswith("read all\nEND\n")


def test_without_a_script_every_target_is_there_to_be_read(opened: Opened) -> None:
    page = opened(script=False)
    assert visible(page) == list(TARGETS)
    assert page.locator("#on-unix svg").is_visible()
    assert page.locator("#on-unix .said").is_visible()
    assert page.locator("#on-unix .steps tbody tr").count() > 4
    assert not page.get_by_role("button").first.is_visible()
    assert not page.locator("#on-unix-stage").is_visible()
    page.get_by_role("link", name="unix skip").click()
    assert page.url.endswith("#on-unix")


@pytest.mark.parametrize("width", [320, 390, 800, 1400])
def test_the_page_is_no_wider_than_its_window(opened: Opened, width: int) -> None:
    page = opened(width=width, anchor="?beside=unix&step=4")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_in_light_and_in_dark(opened: Opened, scheme: str) -> None:
    page = opened(scheme=scheme, anchor="?beside=restart&step=4")
    page.evaluate("document.querySelectorAll('svg.sockiter').forEach(picture => picture.remove())")
    faint = {text: round(contrast(colour, behind), 2) for text, colour, behind in page.evaluate(TEXTS)}
    assert len(faint) > 20
    assert {text: ratio for text, ratio in faint.items() if ratio < LEAST} == {}
