"""A copy of a source tree that follows the tree: a build, or a patch, then changes nothing in the tree itself.

A file that differs from the tree is copied anew and dated now. So it is newer than every object file of the last build, also
where the tree has an older version again: after a patch, or in a bisection.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, write_whole
from sockiter.vm import programs

# The time of change, the size and the inode of a file of the tree when it was copied; None: the copy is another one.
_State: TypeAlias = list[int] | None

_PATCHED = re.compile(rb"^(?:(?:---|\+\+\+) [^/\s]+/|(?:rename|copy) (?:from|to) )([^\t\r\n]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The copy of a `tree` in the folder `copy`. `states` is a file for the states of the copied files."""

    tree: Path
    copy: Path
    states: Path

    def refresh(self) -> int:
        """Make the copy equal to the tree again, and return the number of files that were copied or removed.

        Of a checkout of Git, tracked files and new files that Git does not ignore are copied: no products of a build in the
        tree. Of another tree, all files are copied.
        """
        before = self._read()
        now: dict[str, _State] = {}
        for path in self._listed():
            if (state := _state(self.tree / path)) is not None:
                now[path] = state
        changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path, []))
        if changed:
            # If this process is killed, the next one copies these files again.
            self._write({**before, **dict.fromkeys(changed)})
            for path in changed:
                self._remove(path)
            for path in changed:
                if path in now:
                    self._copy(path)
            self._write(now)
        return len(changed)

    def patch(self, file: Path) -> None:
        """Apply a patch to the copy alone; the next `refresh` takes it back.

        Raises `InputError` for a file that is no patch, `Unavailable` with file and hunk if the patch does not apply.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"{escaped(file)}: cannot be read: {error.strerror}") from None
        paths = [os.fsdecode(path) for path in _PATCHED.findall(data)]
        if not paths:
            raise InputError(f"{escaped(file)}: no patch in it: expected a unified diff, as from `git diff`")
        # A path out of the tree is refused by the program.
        self._write({**self._read(), **{path: None for path in paths if ".." not in Path(path).parts}})
        how = ("-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-")
        try:
            programs.run(["patch", *how, "--input", str(file.absolute())], cwd=self.copy)
        except Unavailable as error:
            raise Unavailable(f"{escaped(file)} does not apply: {error}") from None

    def _listed(self) -> Iterator[str]:
        if (self.tree / ".git").exists():
            listing = ["git", "-C", str(self.tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            yield from filter(None, programs.run(listing, errors="surrogateescape").split("\0"))
            return
        for folder, folders, names in os.walk(self.tree):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            place = os.path.relpath(folder, self.tree)
            yield from (name if place == "." else f"{place}/{name}" for name in (*names, *links))

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError, IsADirectoryError):
            (self.copy / path).unlink()
        folder = (self.copy / path).parent
        while folder != self.copy and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _copy(self, path: str) -> None:
        (self.copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.tree / path, self.copy / path, follow_symlinks=False)

    def _read(self) -> dict[str, _State]:
        try:
            states: dict[str, _State] = json.loads(self.states.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return states

    def _write(self, states: dict[str, _State]) -> None:
        write_whole(self.states, json.dumps(states))


def _state(path: Path) -> _State:
    # None for a file that Git lists and the tree lacks, and for a repository inside the tree.
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    return [found.st_mtime_ns, found.st_size, found.st_ino]
