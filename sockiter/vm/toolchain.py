"""The small configuration of a kernel, and the programs that build a kernel with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.vm import programs

_NEEDED = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "pahole": "dwarves",
}
# Headers that the kernel's own tools need.
_HEADERS = {"gelf.h": "libelf-dev", "zlib.h": "zlib1g-dev"}
_INCLUDE = ("/usr/include", "/usr/local/include")


def configuration() -> str:
    """The lines of the configuration; all other options are off."""
    return files("sockiter.vm").joinpath("fault-injection.config").read_text(encoding="utf-8")


def lost(made: str) -> list[str]:
    """The options of the configuration that a kernel does not accept: `made` is its .config."""
    # A compiler or a pahole that is too old silently removes an option.
    lines = set(made.splitlines())
    return [line for line in configuration().splitlines() if line.startswith("CONFIG_") and line not in lines]


def require(more: Mapping[str, str], space: int, folder: Path) -> None:
    """Raise `Unavailable` unless a kernel can be built in a folder, with these `more` programs and so many free bytes."""
    missing = [package for name, package in {**_NEEDED, **more}.items() if programs.program(name) is None]
    missing += [package for header, package in _HEADERS.items() if not _has(header)]
    if missing:
        raise Unavailable(f"building a kernel requires more packages: apt-get install {' '.join(missing)}")
    if (free := shutil.disk_usage(folder).free) < space:
        need = f"a build requires {space >> 20}; free some space or set XDG_CACHE_HOME"
        raise Unavailable(f"{folder}: {free >> 20} MiB are free, and {need}")


def _has(header: str) -> bool:
    return any(os.path.exists(os.path.join(folder, header)) for folder in _INCLUDE)
