"""The site: `tox -e docs` builds it from the same Markdown files that are read in the repository.

Sphinx with furo, since both are maintained and warn of every broken link and anchor, while MkDocs 1 has had no release since
August 2024 and Material for MkDocs ends in May 2027.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sockiter.version import __version__

ROOT = Path(__file__).parent.parent

project = "sockiter"
author = "The sockiter developers"
release = __version__

extensions = ["myst_parser"]
# The source is the whole checkout, so that links from one file to another are the same here and there.
include_patterns = ["docs/**.md", "fuzz/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
root_doc = "docs/index"
myst_heading_anchors = 4
nitpicky = True
# Highlighting has no grammar for cases, and none is needed.
highlight_language = "text"

# `--hazard` in a heading is an option, and no dash.
smartquotes = False

html_theme = "furo"
html_title = f"sockiter {release}"
html_extra_path = ["site"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

linkcheck_anchors = False


def add_navigation(app: Any, name: str, source: list[str]) -> None:
    """The tree of pages beside each page: the headings of the index and the pages that are linked below each."""
    if name != root_doc:
        return
    for heading, section in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", source[0], re.MULTILINE):
        links = re.findall(r"^- \[(.+?)\]\(([\w./-]+)\.md\)", section, re.MULTILINE)
        pages = [f"{title} </{(ROOT / 'docs' / page).resolve().relative_to(ROOT).as_posix()}>" for title, page in links]
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""])


def setup(app: Any) -> None:
    app.connect("source-read", add_navigation)
