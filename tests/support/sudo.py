"""The command line as run by `sudo`, for a user who can read the interpreter and this package."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import pytest

import sockiter

USER, GROUP = 4321, 8765
"""The caller: a user that the machine does not know."""


def why_not() -> str:
    """Why this cannot be done here; "" if it can."""
    if os.geteuid() != 0:
        return "becoming another user takes root"
    done = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.PIPE, text=True, check=False)
    return f"no private mounts: {done.stderr.strip()}" if done.returncode else ""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that belongs to the user, which pytest's own are hidden from."""
    if why := why_not():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="sockiter-sudo-", dir="/tmp") as folder:
        os.chown(folder, USER, GROUP)
        yield Path(folder)


def run(
    command: Sequence[str], home: Path, *, environment: Mapping[str, str] | None = None, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `python -m sockiter` in that directory, as sudo does for the user; `path`: where other packages are."""
    caller = {"SUDO_UID": str(USER), "SUDO_GID": str(GROUP)} if environment is None else environment
    # That user could not write the coverage data.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "SUDO_", "TMPDIR"))}
    whole = shlex.join([sys.executable, "-m", "sockiter", *command])
    python_path = f"{Path(sockiter.__file__).parents[1]}{os.pathsep}{path}".rstrip(os.pathsep)
    with tempfile.TemporaryDirectory(prefix="sockiter-staging-", dir="/tmp") as staging:
        folder = Path(staging)
        script = "\n".join(["set -e", *_opened(folder), f"cd {shlex.quote(str(home))}", f"exec {whole}"])
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env={**kept, **caller, "PYTHONPATH": python_path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def _opened(folder: Path) -> Iterator[str]:
    # In private mounts, a folder that the user may not enter is replaced by one with only the needed entries.
    needed = {Path(path) for path in (sys.prefix, sys.base_prefix, Path(sockiter.__file__).parents[1])}
    needed |= {path.resolve() for path in needed}
    below: dict[Path, list[Path]] = {}
    for path in sorted(needed):
        closed = [one for one in reversed((path, *path.parents)) if one.stat().st_mode & 5 != 5]
        if closed:
            below.setdefault(closed[0], []).append(path)
    numbers = count()
    for closed_folder, paths in below.items():
        places = [folder / str(next(numbers)) for _ in paths]
        for path, place in zip(paths, places, strict=True):
            yield f"mkdir {place}; mount --rbind {shlex.quote(str(path))} {place}"
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(closed_folder))}"
        for path, place in zip(paths, places, strict=True):
            yield f"mkdir -p {shlex.quote(str(path))}; mount --rbind {place} {shlex.quote(str(path))}"
