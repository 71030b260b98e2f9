"""The page of a state graph in a real browser: each path has the result of its replay, and keys reach everything."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sockiter.backend import run
from sockiter.cases import load, loads
from sockiter.check.result import Scope
from sockiter.explore.graph import explore
from sockiter.explore.page import html
from sockiter.oracle import judge
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.browser.conftest import Opened, copied
from tests.check.test_search import Gives
from tests.support.command import sockiter
from tests.support.contrast import LEAST, TEXTS, contrast

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTHS = (400, 1600)


def page_of(name: str, *hazards: Any, scope: Scope, states_max: int = 3_000) -> str:
    target = target_named(name)
    within = hazards or target.hazards
    scheme = target.scheme  # type: ignore[attr-defined]
    return html(explore(scheme, within, scope.under(target.hazards), states_max=states_max))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(page_of("offset-udp", "remove", scope=Scope(3, 1, 2)), encoding="utf-8")
    return path


@pytest.fixture
def elsewhere(file: Path) -> Iterator[Any]:
    """Puts another page in the place of the usual one."""
    usual = file.read_text(encoding="utf-8")
    yield lambda text: file.write_text(text, encoding="utf-8")
    file.write_text(usual, encoding="utf-8")


def take(page: Page, text: str) -> None:
    """Pick the next operation by its label."""
    page.locator("#steps button", has=page.get_by_text(text, exact=True)).click()


def way_to_lost(page: Page) -> None:
    for text in ("add A tail", "add B tail", "add C tail", "open", "read 1", "remove A"):
        take(page, text)


def event(page: Page) -> str:
    return page.locator("#event").inner_text()


def said(page: Page) -> list[str]:
    return page.locator("#said li").all_inner_texts()


# Picking operations.


def test_operations_lead_to_a_state_that_shows_buckets_place_deliveries_and_debts(opened: Opened) -> None:
    page = opened()
    assert event(page) == "The table is empty"
    way_to_lost(page)
    assert event(page) == "remove A"
    assert page.locator("#buckets .s").all_inner_texts() == ["A\nclosed", "B\nlost", "C"]
    assert page.locator("#buckets .list").get_attribute("aria-label") == "A closed, B owed and lost, C owed"
    assert [page.locator(f"#{name}").inner_text() for name in ("place", "delivered", "owed")] == ["0:1", "A", "B, C"]
    assert page.locator("#place-note").is_hidden()
    assert page.locator("#number").inner_text() == "of 44, after 6 operations"


def test_a_certain_failure_is_shown_before_it_happens_and_then_as_happened(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    certain, possible = said(page)
    assert certain.startswith("skip B is certain: no continuation in the scope delivers it.")
    assert possible == "Possible from here: skip of B, C."
    assert page.locator("#steps button", has_text="read all").locator(".chip").inner_text() == "skip B"
    assert page.locator("#steps button", has_text="remove B").locator(".chip").inner_text() == "certain: skip C"
    take(page, "read all")
    assert event(page) == "read all → C, then the end"
    assert said(page) == ["skip B has happened.", "Nothing can go wrong any more from here."]
    assert page.locator("#buckets .skipped").inner_text() == "B\nskipped"


def test_failures_by_reads_alone_differ_from_certain_failures(opened: Opened, elsewhere: Any) -> None:
    elsewhere(page_of("offset-udp", "remove", "add-head", scope=Scope(3, 1, 2)))
    page = opened()
    way_to_lost(page)
    alone, possible = said(page)
    assert alone == "skip B by reads alone: B is skipped if nothing changes any more."
    assert possible == "Possible from here: skip of B, C; repeat of B."
    take(page, "add D head")
    assert said(page)[0].startswith("Possible from here")


def test_a_read_that_waits_can_go_on_or_be_changed(opened: Opened, elsewhere: Any) -> None:
    elsewhere(page_of("offset-udp", "remove", "show", scope=Scope(2, 1, 2)))
    page = opened()
    for text in ("add A tail", "add B tail", "open", "read …"):
        take(page, text)
    assert page.locator("#point").inner_text() == "Inside a read, about to show A"
    assert page.locator("#buckets .turn").inner_text() == "A"
    take(page, "at show 1: remove B")
    take(page, "it is full: read 1")
    assert page.locator("#operations li").all_inner_texts()[-3:] == ["read 1\n→ A", "at show 1: remove B", "go on\n→ A"]
    assert "read 1\n  at show 1: remove B\n" in page.locator("#case").text_content()  # type: ignore[operator]


# Back and forward.


def test_arrows_lead_back_and_forward_and_choose_the_next_operation(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert event(page) == "open"
    assert page.locator("#operations .later").all_inner_texts() == ["read 1\n→ A", "remove A"]
    page.keyboard.press("ArrowRight")
    assert event(page) == "read 1 → A"
    page.keyboard.press("Home")
    assert event(page) == "The table is empty"
    page.keyboard.press("End")
    assert event(page) == "remove A"
    page.keyboard.press("ArrowRight")
    assert event(page) == "remove A"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.innerText").startswith("read all")
    page.keyboard.press("Enter")
    assert event(page) == "read all → C, then the end"
    # The keys go on from there.
    assert page.evaluate("document.activeElement.closest('#steps') !== null")


def test_buttons_and_the_way_lead_there_as_well(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    page.get_by_role("button", name="To the start").click()
    assert event(page) == "The table is empty"
    assert page.get_by_role("button", name="Back").is_disabled()
    page.get_by_role("button", name="Forward").click()
    assert event(page) == "add A tail"
    page.get_by_role("button", name="To the last state of this way").click()
    assert page.get_by_role("button", name="Forward").is_disabled()
    page.get_by_role("button", name="Back").click()
    page.locator("#operations a", has_text="open").click()
    assert event(page) == "open"
    take(page, "remove C")
    assert page.locator("#operations .later").count() == 0


def test_the_browser_goes_back_and_forward_too(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    page.go_back()
    assert event(page) == "read 1 → A"
    page.go_back()
    assert event(page) == "open"
    page.go_forward()
    assert event(page) == "read 1 → A"


# Addresses.


def test_an_address_opens_the_state_and_the_way_that_it_was_copied_from(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    anchor = page.evaluate("location.hash")
    assert re.fullmatch(r"#state-\d+", anchor)
    take(page, "read all")
    longer = page.evaluate("location.hash")
    assert longer == f"{anchor}+a"
    other = opened(anchor=longer)
    assert event(other) == "read all → C, then the end"
    assert other.locator("#operations li").count() == 7
    link = other.locator("#link")
    link.click()
    assert other.evaluate("location.hash") == link.get_attribute("href")
    # The state again, on the shortest way to it, which may be another one.
    assert other.locator("#link").inner_text() == link.inner_text()


@pytest.mark.parametrize("anchor", ["#nowhere", "#state-99999", "#state-0+77", "#state-0+a", "#state-0+.", "#state-3+1.a.2"])
def test_an_address_without_a_state_opens_the_start_with_a_message(opened: Opened, anchor: str) -> None:
    page = opened(anchor=anchor)
    assert event(page) == f"No state of this page has the address {anchor}"
    take(page, "add A tail")
    assert event(page) == "add A tail"


def test_every_state_has_an_address(opened: Opened) -> None:
    page = opened()
    page.locator("#browse summary").click()
    assert page.locator("#rows tr").count() == 44
    assert page.locator("#range").inner_text() == "1 to 44 of 44"
    for nth in (0, 20, 43):
        page.locator("#rows a").nth(nth).click()
        assert page.locator("#link").inner_text() == f"State {nth}"
    page.locator("#which").select_option("lost")
    assert page.locator("#rows tr").count() == 7
    page.locator("#which").select_option("violation")
    assert 0 < page.locator("#rows tr").count() < 44
    page.locator("#which").select_option("cut")
    assert page.locator("#range").inner_text() == "none"


def test_the_list_of_states_has_pages(opened: Opened, elsewhere: Any) -> None:
    elsewhere(page_of("unix", scope=Scope(2, 2, 1), states_max=120))
    page = opened()
    page.locator("#browse summary").click()
    assert page.get_by_role("button", name="The states before").is_disabled()
    page.get_by_role("button", name="The states after").click()
    assert page.locator("#rows th").first.inner_text() == "50"
    page.get_by_role("button", name="The states before").click()
    assert page.locator("#rows th").first.inner_text() == "0"
    page.locator("#which").select_option("cut")
    page.locator("#rows a").first.click()
    assert page.locator("#steps").inner_text().endswith("The graph is cut off here.")


def test_the_shortest_paths_to_failures_are_links(opened: Opened) -> None:
    page = opened()
    page.locator(".findings a.moved").click()
    assert said(page)[0].startswith("skip B is certain")
    page.locator(".findings a", has_text="skip 6").click()
    assert said(page)[0] == "skip B has happened."
    assert page.locator("#number").inner_text() == "of 44, after 6 operations"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_state_is_in_sight_whatever_led_to_it(opened: Opened, width: int) -> None:
    page = opened(width=width)
    in_sight = "() => { const box = stage.getBoundingClientRect(); return box.top >= 0 && box.top < innerHeight; }"
    page.locator(".findings a", has_text="skip 6").click()
    assert page.evaluate(in_sight)
    page.locator("#browse summary").click()
    page.locator("#rows a").nth(40).click()
    assert page.evaluate(in_sight)
    page.evaluate("scrollTo(0, 700)")
    page.locator("#steps button").last.click()
    assert page.evaluate(in_sight)


# Cases.


def test_a_way_is_saved_as_a_case_that_replays_as_expected(opened: Opened, tmp_path: Path) -> None:
    page = opened()
    assert page.locator("#save").is_disabled()
    way_to_lost(page)
    take(page, "read all")
    with page.expect_download() as download:
        page.locator("#save").click()
    path = tmp_path / download.value.suggested_filename
    assert re.fullmatch(r"offset-udp-state-\d+-a\.case", path.name)
    download.value.save_as(path)
    assert page.locator("#copy [role=status]").inner_text() == f"Saved as {path.name}."
    case = load(path)
    assert (case.slots, [str(one) for one in case.expects]) == (2, ["expect offset-udp skip B"])
    result = sockiter("replay", path, "--target", "offset-udp")
    assert result.exit_code == 0
    assert "as expected" in result.stdout


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("link", "file://"),
        ("case", "# sockiter case v1\n# offset-udp: from the page of sockiter explore.\nbatch 2\n"),
        ("replay command", "sockiter replay --target offset-udp - <<'END'\n# sockiter case v1\n"),
    ],
)
def test_buttons_copy_the_link_the_case_and_the_command(opened: Opened, name: str, start: str) -> None:
    page = opened()
    way_to_lost(page)
    text = copied(page, name)
    assert text.startswith(start)
    if name == "link":
        assert text == page.url
    if name == "case":
        assert loads(text) == loads(page.locator("#case").text_content() or "")


def test_without_open_only_the_link_can_be_copied(opened: Opened) -> None:
    page = opened()
    take(page, "add A tail")
    assert page.locator("#copy button:enabled").all_inner_texts() == ["Copy the link"]
    take(page, "open")
    assert page.locator("#copy button:disabled").all() == []


def test_what_cannot_be_copied_by_the_clipboard_is_copied_by_the_selection(opened: Opened) -> None:
    page = opened()
    way_to_lost(page)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy the case").click()
    page.get_by_text("Copied the case.").wait_for()


@pytest.mark.parametrize("name", ["offset-udp", "unix", "full-batch", "cookie-tcp", "index"])
def test_every_path_agrees_with_the_oracle(opened: Opened, elsewhere: Any, name: str) -> None:
    elsewhere(page_of(name, scope=Scope(2, 2, 1), states_max=1_500))
    page = opened()
    target: Any = target_named(name)
    compare(page, target, random.Random(name), walks=12)


def test_a_refused_read_and_its_leftovers_agree_with_the_oracle(opened: Opened, elsewhere: Any) -> None:
    elsewhere(html(explore(Gives(), (), Scope(2, 1, 1, 8), states_max=800)))
    page = opened()
    compare(page, SchemeTarget(Gives()), random.Random(0), walks=12)


def compare(page: Page, target: Any, draw: random.Random, *, walks: int) -> None:
    """On random paths, the page and the replay of the case have the same result."""
    compared = 0
    for _ in range(walks):
        page.evaluate("location.hash = '#state-0'")
        for _ in range(draw.randrange(4, 14)):
            choices = page.locator("#steps button").evaluate_all("of => of.map(one => one.dataset.step)")
            if not choices:
                break
            choice = "a" if "a" in choices and draw.random() < 0.2 else draw.choice(choices)
            page.evaluate(f"document.querySelector('[data-step=\"{choice}\"]').click()")
            seen = json.loads(page.evaluate(SEEN))
            if not seen["case"]:
                continue
            case = loads(seen["case"])
            history = run(target, target, case.operations, slots=case.slots)
            verdict = judge(history)
            assert {(one.kind, one.socket) for one in verdict} == {(one.kind, one.socket) for one in case.expects}
            if not seen["inside"]:
                delivered = [name for read in history.reads for name in read.delivered]
                assert seen["delivered"] == (", ".join(delivered) or "-")
                happened = [str(one) for one in verdict if one.kind != "incomplete"]
                assert sorted(seen["happened"]) == sorted(happened)
            compared += 1
    assert compared > 2 * walks


SEEN = """
JSON.stringify({
  case: document.getElementById("case").textContent,
  inside: document.getElementById("point").textContent.startsWith("Inside"),
  delivered: document.getElementById("delivered").textContent.split(" (")[0],
  happened: [...document.querySelectorAll("[data-how=happened]")].map(one => one.dataset.found),
})
"""


# To look at.


def test_without_scripts_the_page_reports_that_it_needs_one(opened: Opened) -> None:
    page = opened(script=False)
    assert page.get_by_text("This page needs its script").is_visible()


@pytest.mark.parametrize("width", [*WIDTHS, 320, 800])
def test_the_page_is_no_wider_than_its_window(opened: Opened, width: int) -> None:
    page = opened(width=width)
    way_to_lost(page)
    page.locator("#browse summary").click()
    page.locator("details summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_key_leads_to_the_next_operation(opened: Opened) -> None:
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "step"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_text_stands_out_in_light_and_in_dark(opened: Opened, scheme: str, width: int) -> None:
    page = opened(scheme=scheme, width=width)
    seen = page.evaluate(TEXTS)
    for text in ("add A tail", "add B tail", "add C tail", "open", "read 1", "remove A", "read all"):
        take(page, text)
        seen += page.evaluate(TEXTS)
    page.keyboard.press("ArrowLeft")
    seen += page.evaluate(TEXTS)
    faint = {re.sub(r"\s+", " ", text): round(contrast(colour, behind), 2) for text, colour, behind in seen}
    assert len(faint) > 20
    assert {text: ratio for text, ratio in faint.items() if ratio < LEAST} == {}
