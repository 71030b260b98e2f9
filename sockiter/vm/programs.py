"""Runs external programs, and ends all their processes with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sockiter.errors import Unavailable

# The time between a request to end and a kill.
PATIENCE_S = 5.0
# The quoted part of a failed program's output.
_LINES = 4


def search_path() -> str:
    """The PATH for external programs: the caller's, this interpreter's folder, and an administrator's."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), os.path.dirname(sys.executable), "/usr/sbin", "/sbin"]
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=search_path())


def require(needed: Mapping[str, str], purpose: str) -> None:
    """Raise `Unavailable` unless all programs are installed; `needed` maps each program to the package to install."""
    missing = [f"{name} ({package})" for name, package in needed.items() if program(name) is None]
    if missing:
        raise Unavailable(f"{purpose} requires programs that are not installed: {', '.join(missing)}")


def run(arguments: Sequence[str], *, cwd: Path | None = None, errors: str = "replace") -> str:
    """Run a program to its end and return its standard output; raise `Unavailable` with its last lines if it fails.

    `errors`: as for `bytes.decode`.
    """
    with running(arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, complaints = process.communicate()
    if process.returncode != 0:
        raise Unavailable(
            f"{Path(arguments[0]).name} failed: {last_lines(complaints or output) or f'status {process.returncode}'}"
        )
    return output.decode(errors=errors)


def last_lines(output: bytes) -> str:
    """The last lines of a program's output, as one line."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    return "; ".join([line for line in lines if line][-_LINES:])


@contextmanager
def running(arguments: Sequence[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A running program in its own process group; at the end of the block, the whole group has ended.

    The program is also killed if this process dies early. `how` is as for `subprocess.Popen`.
    """
    name, *rest = arguments
    path = program(name)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    environment = how.pop("env", None) or os.environ
    process = subprocess.Popen(
        [*dies_with_parent(), path, *rest],
        process_group=0,
        stdin=subprocess.DEVNULL,
        env={**environment, "PATH": search_path()},
        **how,
    )
    try:
        yield process
    finally:
        _end(process)


def dies_with_parent() -> list[str]:
    """The prefix of a command that kills it when its parent dies; empty if there is no such program."""
    path = program("setpriv")
    return [path, "--pdeathsig", "KILL", "--"] if path else []


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
    # The first process of a group may end before the others.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
