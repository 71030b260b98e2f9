"""The one JSON document that a command with `--json` prints: its own, or an error's if the command ends without one.

Decided here: when a document is asked for, its version, and that no command prints two. Not known here: the fields of a
command's document, which `schemas/` describes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sockiter import streams

OPTION = "--json"
VERSION = 1
"""The version of every document: it changes when a field is removed or changes its meaning, and not for a new field."""


class _Expected:
    # Whether this process still owes its caller a document; None: no command has begun. One is run at a time.
    is_due: bool | None = None


def expect(words: Sequence[str]) -> None:
    """A command with these words on its command line begins. What follows `--` belongs to a command of `vm`."""
    own = words[: words.index("--")] if "--" in words else words
    _Expected.is_due = OPTION in own


def text(document: Any) -> str:
    """A document as text, with its version. In a list, which has no place for one, every object has it."""
    versioned = [_versioned(part) for part in document] if isinstance(document, list) else _versioned(document)
    _Expected.is_due = False
    return json.dumps(versioned, indent=2, ensure_ascii=False)


def print_error(message: str, status: int, details: Mapping[str, object] | None = None) -> None:
    """The document of an error, on standard output; nothing without `--json`, or after another document.

    If it cannot be written, the exit status stays as it is. Before a command has begun, the words are those of `sys.argv`.
    """
    if _Expected.is_due is None:
        expect(sys.argv[1:])
    if _Expected.is_due:
        try:
            print(text({"error": message, "status": status, **(details or {})}), flush=True)
        except OSError:
            streams.discard(sys.stdout)


def _versioned(document: dict[str, Any]) -> dict[str, Any]:
    return {"version": VERSION, **document}
