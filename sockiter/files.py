"""Files that appear whole or not at all, and paths as they are printed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Of what is being written, the beginning of the name, and how long it may take until its writer has locked it.
_PART = ".sockiter-"
_UNLOCKED_MAX_S = 60.0


def own_path(directory: Path, stem: str, text: str, suffix: str) -> Path:
    """DIRECTORY/STEM-HASH and the suffix, the name of a file that is about this text and no other."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', stem)}-{digest}{suffix}"


def escaped(path: Path | str) -> str:
    """A path as it can be printed: what cannot, and what is not UTF-8, as backslash escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in _as_text(str(path)))


def _as_text(path: str) -> str:
    # Bytes that are not UTF-8 are surrogates in a path.
    return os.fsencode(path).decode(errors="backslashreplace")


def write_whole(path: Path, text: str) -> None:
    """Put a text file in place, replacing what is there; whole or not at all, and on the disk when this returns.

    A symbolic link stays, and the file that it leads to is replaced. What is there and is no regular file, a device or a
    FIFO, is opened and written to.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    sweep(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=_PART, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(directory: Path) -> None:
    """Remove what killed writers have left in a directory; never what belongs to another user or is being written."""
    for part in directory.glob(f"{_PART}*.part"):
        with contextlib.suppress(OSError), abandoned(part) as is_abandoned:
            if is_abandoned and time.time() - part.lstat().st_mtime > _UNLOCKED_MAX_S:
                part.unlink()


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether a file that its owner keeps locked is this user's and has no owner any more; raises OSError where it is gone.

    Meanwhile nobody else finds it so.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        is_abandoned = False
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_abandoned = about.st_uid == os.geteuid() and stat.S_ISREG(about.st_mode)
        yield is_abandoned
    finally:
        os.close(descriptor)
