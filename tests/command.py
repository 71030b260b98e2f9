"""The command line as the tests call it, on a machine whose kernel is out of reach."""

from __future__ import annotations

import errno
import os

from click.testing import CliRunner, Result

from sockiter.cli import main

NO_KERNEL = "unshare(CLONE_NEWNET): Operation not permitted [EPERM]"


def sockiter(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sockiter", catch_exceptions=False)


def read_all(descriptor: int) -> str:
    """What is written to a pseudo terminal, from here on and be it in mid-letter, until its last writer is gone."""
    said = b""
    try:
        while piece := os.read(descriptor, 65536):
            said += piece
    except OSError as error:
        if error.errno != errno.EIO:  # which is how Linux says the end
            raise
    return said.decode(errors="replace")
