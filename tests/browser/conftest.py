"""A Chromium in which a page is opened, and a record of the page's errors and requests.

Needs Playwright (extra `browser`) and a Chromium: /usr/bin/chromium, or what SOCKITER_CHROMIUM names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("SOCKITER_CHROMIUM", "/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

Opened: TypeAlias = Callable[..., "Page"]


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Without Playwright, the tests run only on request (`pytest tests/browser`), and are then skipped with that reason."""
    is_asked_for = any(Path(__file__).parent.name in argument for argument in config.args)
    return None if is_asked_for or find_spec("playwright") is not None else True


def lacking(what: str) -> None:
    (pytest.fail if os.environ.get("SOCKITER_REQUIRE_BROWSER") == "1" else pytest.skip)(what)


def copied(page: Page, name: str) -> str:
    """The text that the button `Copy the NAME` has put on the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=f"Copy the {name}").click()
    page.get_by_text(f"Copied the {name}.").wait_for()
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed: pip install '.[browser]'")
    if not os.access(CHROMIUM, os.X_OK):
        lacking(f"{CHROMIUM} is not there: apt-get install chromium, or name another with SOCKITER_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    """Opens the page of the test's `file`, as wide and in such a scheme; at the end of the test, nothing was complained of,
    and nobody asked."""
    complaints: list[str] = []
    contexts = []

    def open_page(*, width: int = 1600, scheme: Any = "light", anchor: str = "", script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1000},
            color_scheme=scheme,
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(LOCAL) else complaints.append(asked.url))
        page.goto(file.as_uri() + anchor)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


LOCAL = ("file:", "data:", "blob:")
