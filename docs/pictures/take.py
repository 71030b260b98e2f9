"""Take the pictures of the pages: python docs/pictures/take.py MATRIX.html EXPLORER.html FOLDER

The explorer's page is that of docs/how-to/explore.md.

Needs Playwright (extra `browser`) and a Chromium: /usr/bin/chromium, or another one that SOCKITER_CHROMIUM names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("SOCKITER_CHROMIUM", "/usr/bin/chromium")


def main(matrix: Path, explorer: Path, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="light", reduced_motion="reduce")
        page.goto(matrix.resolve().as_uri())
        page.locator("#filters").evaluate("filters => filters.scrollIntoView()")
        page.screenshot(path=folder / "matrix-page.png")
        page = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme="dark", reduced_motion="reduce")
        page.goto(matrix.resolve().as_uri())
        page.locator("#cell-full-batch-remove-skip").click()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.screenshot(path=folder / "matrix-case.png")
        page = browser.new_page(viewport={"width": 1200, "height": 800}, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{explorer.resolve().as_uri()}#state-20")
        page.get_by_role("heading", name="This state").evaluate("heading => heading.scrollIntoView()")
        page.screenshot(path=folder / "explore.png")
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
