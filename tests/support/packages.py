"""Packages of schemes as a user installs them: built as a wheel, its files put where Python looks for them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.paths import ROOT

EXAMPLE = ROOT / "tests" / "example_package"
"""The package of docs/how-to/write-a-scheme.md."""


def install(package: Path, directory: Path) -> Path:
    """Build a package, without a network, and unpack it; the folder to put on the path."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=package, check=True, capture_output=True, timeout=60)
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "site")
    return directory / "site"


def python(*args: object, site: Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python for which the files in `site` are installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | variables
    environment["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)
