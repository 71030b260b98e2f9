"""Where kernels are kept: a folder for each, whole or not at all.

Decided here: the place, that two processes fill a folder one after the other, and that what is half done never gets a
kernel's name. Not known here: where kernels come from.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sockiter.errors import InputError, Unavailable

# Names of packages, and nothing that leads out of the folder.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")


def folder() -> Path:
    """The folder of all kernels: $XDG_CACHE_HOME/sockiter/kernels, or that under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # As its specification has it: what is not absolute is not looked at.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "sockiter" / "kernels"


def kept() -> list[str]:
    """The names of the kernels that are there."""
    try:
        return sorted(path.name for path in folder().iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def find(name: str) -> Path | None:
    """The image of a kernel that is kept, or None."""
    return image_in(folder() / name) if _NAME.fullmatch(name) else None


def image_in(kernel: Path) -> Path | None:
    """The one kernel image under boot/ of a folder laid out as a package is, or None."""
    images = sorted((kernel / "boot").glob("vmlinuz-*"))
    return images[0] if images else None


def fill(name: str, make: Callable[[Path], None]) -> Path:
    """The image of a kernel, made unless it is kept; `make` gets an empty folder and leaves boot/ there, and perhaps lib/.

    Nothing is left of a `make` that raises. What a killed process left is removed by the next one.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a kernel")
    if (image := find(name)) is not None:
        return image
    home = folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{home}: cannot be made: {error.strerror}; set XDG_CACHE_HOME to another folder") from None
    with _alone(home / f".{name}.lock"):
        for stale in home.glob(f".{name}.*.part"):
            shutil.rmtree(stale, ignore_errors=True)
        if (image := find(name)) is not None:
            return image  # somebody else has made it meanwhile
        part = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=home))
        try:
            make(part)
            if image_in(part) is None:
                raise Unavailable(f"{name} has no kernel image: there is no boot/vmlinuz-* in it")
            part.chmod(0o755)
            part.rename(home / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    image = find(name)
    assert image is not None
    return image


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with open(lock, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            show_progress(f"waiting for another process that is busy with {lock.name.strip('.').removesuffix('.lock')}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def show_progress(progress: str) -> None:
    """A line of progress: on standard error, and only to a terminal."""
    if sys.stderr.isatty():
        print(f"sockiter: {progress}", file=sys.stderr, flush=True)
