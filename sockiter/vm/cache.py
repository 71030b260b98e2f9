"""The cache of kernels: a folder for each, which appears whole or not at all.

Two processes fill the same folder one after the other. An incomplete folder never has a kernel's name.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.files import cache_folder

NOW_AND_THEN_S = 60.0
"""A step that takes longer is reported so often, and a guest that is silent for so long."""

# Names of packages, without a way out of the folder.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
# If /lib is a link to /usr/lib, newer packages use the latter name.
_LIBS = ("lib", "usr/lib")
_IMAGES = ("boot/vmlinuz-*", *(f"{lib}/modules/*/vmlinuz" for lib in _LIBS))


def folder() -> Path:
    """The folder of all kernels: $XDG_CACHE_HOME/sockiter/kernels, or that under ~/.cache."""
    return cache_folder() / "kernels"


def kept() -> list[str]:
    """The names of the kernels in the cache."""
    try:
        return sorted(path.name for path in folder().iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def find(name: str) -> Path | None:
    """The image of a kernel in the cache, or None."""
    return image_in(folder() / name) if _NAME.fullmatch(name) else None


def image_in(kernel: Path) -> Path | None:
    """The newest kernel image of a folder laid out like a package or a root file system, or None.

    The image is boot/vmlinuz-VERSION, as in most packages of Debian and Ubuntu, or usr/lib/modules/VERSION/vmlinuz, as in
    Fedora, Arch, openSUSE, and Debian since forky.
    """
    found = [path for pattern in _IMAGES for path in kernel.glob(pattern)]
    return max(found, key=lambda image: [int(number) for number in re.findall(r"\d+", version_of(image))], default=None)


def version_of(image: Path) -> str:
    """The version that the path of an image names: that of boot/vmlinuz-VERSION, or that of its folder of modules."""
    return image.absolute().parent.name if image.name == "vmlinuz" else image.name.removeprefix("vmlinuz-")


def modules_of(image: Path) -> Path | None:
    """The folder of all modules beside an image, as lib/modules; None where there is none."""
    home = image.absolute().parent
    places = [home.parent] if home.parent.name == "modules" else [home.parent / lib / "modules" for lib in _LIBS]
    return next((place for place in places if place.is_dir()), None)


def fill(name: str, make: Callable[[Path], None]) -> Path:
    """The image of a kernel, made unless it is in the cache; `make` fills an empty folder with boot/ and perhaps lib/.

    If `make` raises, nothing stays. The next process removes the remains of a killed one.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a valid name for a kernel")
    if (image := find(name)) is not None:
        return image
    home = folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{home}: cannot be made: {error.strerror}; set XDG_CACHE_HOME to another folder") from None
    with alone(home / f".{name}.lock"):
        for stale in home.glob(f".{name}.*.part"):
            shutil.rmtree(stale, ignore_errors=True)
        if (image := find(name)) is not None:
            return image  # another process has made it meanwhile
        part = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=home))
        try:
            make(part)
            if image_in(part) is None:
                raise Unavailable(f"{name} has no kernel image: there is no {' and no '.join(_IMAGES[::2])} in it")
            part.chmod(0o755)
            part.rename(home / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    image = find(name)
    assert image is not None
    return image


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the lock of a file; waits for another process that holds it, and reports that."""
    with open(lock, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            show_progress(f"waiting for another process that works on {lock.name.strip('.').removesuffix('.lock')}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def step(progress: str, what: str) -> Iterator[None]:
    """A step that takes a while: its progress is shown, with the time that `what` took before, and its own time is kept.

    The time of a step that raises is not.
    """
    before = durations.last(what)
    show_progress(progress if before is None else f"{progress}; the last time that took {durations.in_words(before)}")
    started = time.monotonic()
    is_over = threading.Event()

    def now_and_then() -> None:
        while not is_over.wait(NOW_AND_THEN_S):
            tell(f"{progress}: {durations.in_words(time.monotonic() - started)} so far")

    watcher = threading.Thread(target=now_and_then, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    durations.keep(what, time.monotonic() - started)


def tell(progress: str) -> None:
    """Print a line about something that takes long on standard error, also if that is no terminal."""
    with suppress(OSError):
        print(f"sockiter vm: {progress}", file=sys.stderr, flush=True)


def show_progress(progress: str) -> None:
    """Print a line of progress on standard error, if that is a terminal."""
    if sys.stderr.isatty():
        print(f"sockiter: {progress}", file=sys.stderr, flush=True)
