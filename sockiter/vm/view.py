"""The part of this machine that a guest sees: the files that its command needs, in private mounts.

Root's secrets among these files are hidden, and qemu's rights are reduced. If this machine allows no private mounts, a
guest sees the whole root file system, read-only, with the caller's rights.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sockiter.vm import cache, programs

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""The system calls that qemu gives up: old ones, other users, other programs, other priorities."""

# Files of packages and their configuration.
_SYSTEM = ("/usr", "/etc")
# Links into /usr, or folders; with some more for libraries of other architectures.
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Mount points of the guest's own file systems.
_EMPTY = ("dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var/cache", "var/lib/apt")
_EMPTY_TOO = ("var/lib/machines", "var/lib/private", "var/log", "var/tmp")
# Not those of this machine, in a guest.
_NEVER = ("/", "/dev", "/proc", "/run", "/sys", "/tmp", "/var")
_ATTRIBUTE = "user.virtfs.mode"
_ROOT = "root"


def shown(needed: Iterable[str | Path], command: Sequence[str]) -> list[Path]:
    """The paths that a guest sees, none below another: the system's, the needed ones, and those named by a command."""
    words = [path for word in command for path in (word, word.partition("=")[2]) if "/" in path]
    both = [Path(os.path.abspath(path)) for path in (*_SYSTEM, *needed, *words) if os.path.exists(path)]
    paths = sorted({*both, *(path.resolve() for path in both)} - {Path(path) for path in _NEVER})
    return [path for path in paths if not any(path.is_relative_to(outer) for outer in paths if outer != path)]


def alone(folder: Path) -> list[str] | None:
    """The prefix of a command that gives it private mounts; None if this machine does not allow that.

    The prefix is tested in the caller's `folder`.
    """
    prefix = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    if programs.program("unshare") is None or programs.program("setpriv") is None:
        return None
    tried = [*prefix, "mount", "-t", "tmpfs", "sockiter", str(folder)]
    done = subprocess.run(tried, env={**os.environ, "PATH": programs.search_path()}, capture_output=True, check=False)
    return prefix if done.returncode == 0 else None


def is_sandboxed(qemu: str) -> bool:
    """Whether this qemu can be put into a sandbox."""
    tried = [qemu, "-sandbox", SANDBOX, "-version"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def security_model(folder: Path) -> str:
    """The method that keeps a guest's owners and modes of files in a folder apart from the files' own.

    As attributes of the files, or, on a file system without attributes, in files beside them.
    """
    with tempfile.NamedTemporaryFile(prefix=".sockiter-", suffix=".part", dir=folder) as file:
        try:
            os.setxattr(file.fileno(), _ATTRIBUTE, b"")
        except OSError:
            return "mapped-file"
    return "mapped-xattr"


def tidy(folder: Path) -> None:
    """Remove the files that qemu has kept beside a guest's files."""
    for path in list(folder.rglob(".virtfs_metadata*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def wrapper(qemu: str, folder: Path, paths: Sequence[Path], places: Sequence[Path], writable: Sequence[Path]) -> str:
    """The program that virtme-ng runs in place of qemu: it shows the guest only these paths, in a separate folder.

    `places`: additional mount points of the guest. `writable`: all paths that qemu may write to if root calls it.
    """
    is_root = os.geteuid() == 0
    prefix = alone(folder)
    if prefix is None:
        cache.show_progress("no private mounts here: the guest sees the whole root file system, with the caller's rights")
        return f'#!/bin/sh\nexec {shlex.join([*programs.dies_with_parent(), qemu])} "$@"\n'
    root = folder / _ROOT
    root.mkdir()
    inside = folder / "enter"
    lines = ["set -e", *_mounts(root, paths, places)]
    if is_root:
        # These are bound first, so that they become separate mounts.
        bound = [f"mount --rbind {_quoted(path)} {_quoted(path)}" for path in writable]
        lines = [*bound, *lines, *_hidden(folder, root), *_read_only(writable)]
    lines += [*_renamed(root), f'exec {shlex.join([*_as_little(is_root), qemu])} "$@"']
    inside.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")
    return f'#!/bin/sh\nexec {shlex.join([*prefix, "sh", str(inside)])} "$@"\n'


def _mounts(root: Path, paths: Sequence[Path], places: Sequence[Path]) -> Iterator[str]:
    yield f"mount -t tmpfs -o mode=755,nosuid,nodev sockiter {_quoted(root)}"
    yield f"cd {_quoted(root)}"
    yield f"mkdir -p {' '.join([*_EMPTY, *_EMPTY_TOO])}"
    for name in _LINKS:
        system = Path("/", name)
        if system.is_symlink():
            yield f"ln -s {_quoted(os.readlink(system))} {name}"
        elif system.is_dir():
            yield f"mkdir {name}; mount --rbind /{name} {name}"
    for path in paths:
        place = _quoted(f".{path}")
        if path.is_dir():
            yield f"mkdir -p {place}; mount --rbind {_quoted(path)} {place}"
        else:
            yield f"mkdir -p {_quoted(f'.{path.parent}')}; : >{place}; mount --bind {_quoted(path)} {place}"
    for path in (*places, Path(os.path.expanduser("~"))):
        yield f"[ -d {_quoted(f'.{path}')} ] || mkdir -p {_quoted(f'.{path}')}"


def _hidden(folder: Path, root: Path) -> Iterator[str]:
    # Files of the system's configuration that only root can read: passwords and keys.
    (folder / "empty").touch()
    for place, folders, files in os.walk("/etc"):
        closed = [name for name in folders if not _is_open(Path(place, name), stat.S_IROTH | stat.S_IXOTH)]
        for name in closed:
            folders.remove(name)
            yield f"mount -t tmpfs sockiter {_quoted(f'{root}{place}/{name}')}"
        for name in files:
            if not _is_open(Path(place, name), stat.S_IROTH):
                yield f"mount --bind {_quoted(folder / 'empty')} {_quoted(f'{root}{place}/{name}')}"


def _is_open(path: Path, mode: int) -> bool:
    found = path.lstat().st_mode
    return stat.S_ISLNK(found) or found & mode == mode


def _read_only(writable: Sequence[Path]) -> Iterator[str]:
    # For qemu itself, which root started; it has no capability to undo this. Some file systems cannot be read-only.
    kept = "".join(f"{_quoted(path)}) continue;; " for path in writable)
    yield "while read -r _ _ _ _ place _; do"
    yield f'    place=$(printf %b "$place"); case $place in {kept}esac'
    yield '    mount -o remount,bind,ro "$place" 2>/dev/null || :'
    yield "done </proc/self/mountinfo"


def _renamed(root: Path) -> Iterator[str]:
    # The share that virtme-ng uses as the root file system.
    share = shlex.quote(f"path={str(root).replace(',', ',,')},")
    yield "cd /"
    yield "for word; do"
    yield "    shift"
    yield f'    case $word in local,id=virtfs*,path=/,*) word="${{word%%path=/,*}}"{share}"${{word#*,path=/,}}";; esac'
    yield '    set -- "$@" "$word"'
    yield "done"


def _as_little(is_root: bool) -> list[str]:
    # Root's files may be in other users' folders.
    caps = ["--bounding-set", "-all,+dac_override" if is_root else "-all", "--inh-caps", "-all", "--ambient-caps", "-all"]
    setpriv = programs.program("setpriv")
    assert setpriv is not None
    return [setpriv, "--no-new-privs", *caps, "--pdeathsig", "KILL", "--"]


def _quoted(path: str | Path) -> str:
    return shlex.quote(str(path))


def needed() -> list[str]:
    """The paths that the interpreter of this process needs, and its folder."""
    virtme = programs.program("virtme-run")
    own = [str(Path(virtme).resolve().parents[1])] if virtme else []
    return [sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path), *own, os.getcwd()]
