"""The origin of a page: version, commit, date, kernel and command.

SOURCE_DATE_EPOCH replaces the time of day, so that a build is reproducible.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import sockiter
from sockiter.files import commit_of, escaped
from sockiter.matrix.page import Origin


def origin() -> Origin:
    """The origin of a page that the running command makes."""
    seconds = time.time()
    with suppress(KeyError, ValueError):
        seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    uname = platform.uname()
    return Origin(
        sockiter.__version__,
        commit_of(Path(sockiter.__file__).parent.parent) or "",
        f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC",
        f"{uname.system} {uname.release} ({uname.machine})",
        shlex.join(["sockiter", *map(escaped, sys.argv[1:])]),
    )
