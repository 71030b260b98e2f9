"""The origin of a page: version, commit, date, kernel and command.

SOURCE_DATE_EPOCH replaces the time, so that a build is reproducible.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

from sockiter.files import escaped
from sockiter.matrix.page import Origin
from sockiter.version import __version__, commit


def origin() -> Origin:
    """The origin of a page that the running command makes."""
    seconds = time.time()
    with suppress(KeyError, ValueError):
        seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    uname = platform.uname()
    return Origin(
        __version__,
        commit() or "",
        f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC",
        f"{uname.system} {uname.release} ({uname.machine})",
        shlex.join(["sockiter", *map(escaped, sys.argv[1:])]),
    )
