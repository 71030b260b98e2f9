"""How long something took the last time, kept in a file of the cache.

Decided here: that nothing depends on it. A file that cannot be read or written is as good as none. Not known here: what took
so long.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

from sockiter.files import cache_folder, write_whole

# The least recently kept are dropped.
_ENTRIES_MAX = 200


def last(what: str) -> float | None:
    """The seconds that this took the last time, or None."""
    return _read().get(what)


def keep(what: str, seconds: float) -> None:
    """Remember the seconds that this took; do nothing where that cannot be written."""
    kept = _read()
    kept.pop(what, None)
    kept[what] = round(seconds, 1)
    latest = dict(list(kept.items())[-_ENTRIES_MAX:])
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_file(), json.dumps(latest, indent=1))


def in_words(seconds: float) -> str:
    """So many seconds, about, as a person would say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _file() -> Path:
    return cache_folder() / "durations.json"


def _read() -> dict[str, float]:
    with suppress(OSError, ValueError):
        kept = json.loads(_file().read_text(encoding="utf-8"))
        if isinstance(kept, dict):
            return {what: float(s) for what, s in kept.items() if isinstance(s, (int, float)) and math.isfinite(s)}
    return {}
