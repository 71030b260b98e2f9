"""The command line for tests, on a machine whose kernel is out of reach."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from click import Command, Context
from click.testing import CliRunner, Result

from sockiter.cli import main
from tests.support.schemas import check_output

DEADLINE_S = 30.0
NO_KERNEL = "unshare(CLONE_NEWNET): Operation not permitted [EPERM]"


def sockiter(*args: object) -> Result:
    """A command in this process. Every printed document is validated against its schema."""
    words = [str(arg) for arg in args]
    result = CliRunner().invoke(main, words, prog_name="sockiter", catch_exceptions=False)
    check_output(words, result.stdout)
    return result


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that does not outlive the block, be it that a deadline was missed there."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to one that was waited for


def commands() -> dict[str, Command]:
    """Every command, by its name."""
    context = Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def unmeasured() -> dict[str, str]:
    """The environment of a process that is going to be interrupted: coverage has handlers, and a lock of its own.

    A process that is interrupted while it holds that lock waits for it for ever in the end.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def wait_until(happened: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Poll until a condition holds, for events of other processes and of the kernel without a notification."""
    deadline = time.monotonic() + deadline_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def members(session: int) -> dict[int, int]:
    """The processes of a session that are not over yet, each with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # Behind the name: state, parent, group, session.
                state, parent, _, of = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
                if int(of) == session and state not in "ZX":
                    found[int(entry.name)] = int(parent)
    return found


def read_all(descriptor: int) -> str:
    """The output on a pseudo terminal from now on, even in mid-letter, until its last writer is gone."""
    printed = b""
    try:
        while piece := os.read(descriptor, 65536):
            printed += piece
    except OSError as error:
        if error.errno != errno.EIO:  # which is how Linux says the end
            raise
    return printed.decode(errors="replace")
