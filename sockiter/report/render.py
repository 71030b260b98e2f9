"""The templates of pictures and pages, and the security policy of a page."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import TYPE_CHECKING

from sockiter.report.snapshots import MEANINGS

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def templates() -> Environment:
    """The templates of pictures and pages; they escape every value."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, since this import is slow

    environment = Environment(
        loader=PackageLoader("sockiter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"meanings": MEANINGS, "policy": policy}
    return environment


def policy(*scripts: str) -> str:
    """The Content Security Policy of a page: it runs these scripts and no other, and loads nothing."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
