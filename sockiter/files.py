"""Atomic writes of files, and printable forms of paths."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# Partial files: the prefix of their names, and the longest time that a writer takes to lock a new one.
_PART = ".sockiter-"
_UNLOCKED_MAX_S = 60.0


def own_path(directory: Path, stem: str, text: str, suffix: str) -> Path:
    """DIRECTORY/STEM-HASH and the suffix: a file name that is unique to this text."""
    return directory / f"{in_file_name(stem)}-{digest(text)}{suffix}"


def digest(text: str) -> str:
    """Eight letters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def in_file_name(name: str) -> str:
    """A name as it stands in the name of a file: a hyphen for each character that may mean something to a shell."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def commit_of(checkout: Path) -> str | None:
    """The commit that a checkout of Git is at, in twelve digits; None where it is no checkout. No program is run."""
    try:
        git = checkout / ".git"
        if git.is_file():  # of a worktree
            git = checkout / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        shared = git / "commondir"
        folders = (git, git / shared.read_text(encoding="utf-8").strip()) if shared.is_file() else (git,)
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if reference := head.removeprefix("ref: ") if head.startswith("ref: ") else "":
            head = _resolved(reference, folders)
    except (OSError, ValueError):
        return None
    return head[:12] if re.fullmatch(r"[0-9a-f]{40,64}", head) else None


def _resolved(reference: str, folders: Iterable[Path]) -> str:
    # The commit of a branch: a file of its own, or a line in the file of all that are packed; "" where it is in neither.
    for folder in folders:
        if (folder / reference).is_file():
            return (folder / reference).read_text(encoding="utf-8").strip()
        packed = folder / "packed-refs"
        for line in packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else ():
            commit, _, name = line.partition(" ")
            if name == reference:
                return commit
    return ""


def escaped(path: Path | str) -> str:
    """A printable form of a path, with backslash escapes for unprintable characters and for bytes that are not UTF-8."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in _as_text(str(path)))


def _as_text(path: str) -> str:
    # Bytes that are not UTF-8 are surrogates in a path.
    return os.fsencode(path).decode(errors="backslashreplace")


def cache_folder() -> Path:
    """The folder of what can be made anew: $XDG_CACHE_HOME/sockiter, or that under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # As the XDG specification requires: a relative path is ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "sockiter"


def write_whole(path: Path, text: str) -> None:
    """Replace a text file atomically. The new text is on the disk when this returns.

    For a symbolic link, the linked file is replaced and the link stays. A device or a FIFO is opened and written.
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
    """Remove the partial files of killed writers from a directory, but no file of another user or of a running writer."""
    for part in directory.glob(f"{_PART}*.part"):
        with contextlib.suppress(OSError), abandoned(part) as is_abandoned:
            if is_abandoned and time.time() - part.lstat().st_mtime > _UNLOCKED_MAX_S:
                part.unlink()


@contextlib.contextmanager
def abandoned(path: Path) -> Iterator[bool]:
    """Whether this user owns a lockable file and no process holds its lock any more; raises OSError if the file is gone.

    Inside the context no other process gets True for the same file.
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
