"""The command line as the tests call it, on a machine whose kernel is out of reach."""

from __future__ import annotations

from click.testing import CliRunner, Result

from sockiter.cli import main

NO_KERNEL = "unshare(CLONE_NEWNET): Operation not permitted [EPERM]"


def sockiter(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sockiter", catch_exceptions=False)
