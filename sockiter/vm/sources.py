"""Builds the kernel of a source tree with the small configuration, out of the tree, and incrementally.

Each tree has a folder in the cache, with a copy of its source (see `mirror`) and the files of the last build. So the tree is
never written to, and the next version of it takes as long as its changes take.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.files import cache_folder, escaped, in_file_name
from sockiter.vm import cache, programs, toolchain
from sockiter.vm.mirror import Mirror

# Without these, no guest comes up, or no target runs in it.
_ESSENTIAL = {
    *("CONFIG_BPF_SYSCALL=y", "CONFIG_DEBUG_INFO_BTF=y", "CONFIG_INET=y", "CONFIG_NET_NS=y", "CONFIG_OVERLAY_FS=y"),
    *("CONFIG_9P_FS=y", "CONFIG_NET_9P_VIRTIO=y", "CONFIG_VIRTIO_PCI=y", "CONFIG_VIRTIO_CONSOLE=y", "CONFIG_TMPFS=y"),
}
# The space for a copy of the source and for the files of a build.
_SPACE = 4 << 30
_NICE = "10"
# The errors of the compiler, the linker and the kernel's own checks; the last line of each make only repeats them.
_ERROR = re.compile(r"(?:: (?:fatal )?error: |: undefined reference to |^ERROR: |^BTF: .*fail|^FAILED)")
_NOISE = re.compile(r"make(?:\[\d+\])?: ")
_LINES = 4


def build(tree: Path, to: Path, patch: Path | None = None) -> Path:
    """Build a tree, with a patch if there is one, and put its image into the empty folder `to`, as boot/vmlinuz-RELEASE.

    Raises `InputError` for a folder that is no source of a kernel, and `Unavailable` for a missing program, for a patch that
    does not apply, and for a build that fails, with the errors of the compiler.
    """
    tree = tree.absolute()
    version = _version(tree)
    home = folder_of(tree)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{home}: cannot be made: {error.strerror}; set XDG_CACHE_HOME to another folder") from None
    is_first = not (home / "build" / "vmlinux").exists()
    toolchain.require({"patch": "patch"} if patch else {}, _SPACE if is_first else 0, home)
    with cache.alone(home / ".lock"):
        mirror = Mirror(tree, home / "source", home / "states.json")
        with cache.step(f"copying the changes of {escaped(tree)}", f"vm: copy of {home.name}"):
            mirror.refresh()
        if not (home / "source" / "Kbuild").is_file():
            # As the .gitignore of Debian's source does.
            raise InputError(f"{escaped(tree)}: Git ignores its files: add them with `git add -f`, or remove .git there")
        if patch is not None:
            mirror.patch(patch)
        _configure(home, tree)
        cpus = len(os.sched_getaffinity(0))
        what = f"vm: first build of a tree on {cpus} processors" if is_first else f"vm: build of {home.name} again"
        about = "; the first build takes ten minutes or more" if is_first and not durations.last(what) else ""
        patched = f" with {escaped(patch.name)}" if patch else ""
        with cache.step(f"building {escaped(tree)}{patched} ({version}) on {cpus} processors{about}", what):
            _make(home, tree, f"-j{cpus}", "bzImage")
        release = (home / "build" / "include" / "config" / "kernel.release").read_text(encoding="utf-8").strip()
        (to / "boot").mkdir()
        image = to / "boot" / f"vmlinuz-{release}"
        shutil.copyfile(home / "build" / "arch" / "x86" / "boot" / "bzImage", image)
    return image


def folder_of(tree: Path) -> Path:
    """The folder in the cache of a tree: it may be deleted at any time, and the next build is then a first one."""
    path = os.fspath(tree.absolute())
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:10]
    return cache_folder() / "trees" / f"{in_file_name(tree.absolute().name)}-{mark}"


def _version(tree: Path) -> str:
    # The version in a tree's Makefile. A tree that was built in place cannot be built elsewhere.
    numbers = {}
    try:
        text = (tree / "Makefile").read_text(encoding="utf-8", errors="replace")
        numbers = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) = *(\S*)$", text, re.MULTILINE))
    except OSError:
        pass
    if {"VERSION", "PATCHLEVEL"} - numbers.keys() or not (tree / "Kbuild").is_file():
        raise InputError(f"{escaped(tree)}: no source of a kernel: expected a folder with its Makefile and Kbuild")
    if not (tree / ".git").exists() and any((tree / name).exists() for name in (".config", "include/config")):
        raise InputError(
            f"{escaped(tree)}: it has products of a build: run `make mrproper` there, or name a checkout of Git"
        )
    sublevel = f".{numbers['SUBLEVEL']}" if numbers.get("SUBLEVEL") else ""
    return f"{numbers['VERSION']}.{numbers['PATCHLEVEL']}{sublevel}{numbers.get('EXTRAVERSION', '')}"


def _configure(home: Path, tree: Path) -> None:
    # All options anew: other versions of the tree have other ones. An unchanged .config keeps its date.
    wanted = home / "wanted.config"
    wanted.write_text(toolchain.configuration(), encoding="utf-8")
    (home / "build").mkdir(exist_ok=True)
    _make(home, tree, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig")
    lost = toolchain.lost((home / "build" / ".config").read_text(encoding="utf-8"))
    if essential := [line for line in lost if line in _ESSENTIAL]:
        raise Unavailable(f"{escaped(tree)} cannot be configured with {', '.join(essential)}")
    if lost:
        cache.show_progress(f"{escaped(tree)} has no {', '.join(line.partition('=')[0] for line in lost)}")


def _make(home: Path, tree: Path, *arguments: str) -> None:
    # With low priority, so that the machine stays usable. The whole output stays in a file.
    log = home / "make.log"
    command = ["nice", "-n", _NICE, "make", "-s", f"O={home / 'build'}", *arguments]
    with (
        open(log, "wb") as output,
        programs.running(command, cwd=home / "source", stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        status = process.wait()
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if _ERROR.search(line)][:_LINES]
        last = [line for line in lines if line.strip() and not _NOISE.match(line)][-_LINES:]
        why = "; ".join(line.strip() for line in errors or last) or f"status {status}"
        raise Unavailable(f"{escaped(tree)} does not build: {why}; the whole output is in {log}")
