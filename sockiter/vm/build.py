"""Builds a kernel with fault injection from Debian's source package, with the configuration `fault-injection.config`."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.vm import cache, packages, programs, toolchain

PREFIX = "fault-injection-"
VERSION = "6.12"

_VERSION = re.compile(r"\d+\.\d+")
_NEEDED = {"tar": "tar", "xz": "xz-utils"}
# The space for the source, its object files and the debugging information that BTF is made from.
_SPACE = 4 << 30


def build(version: str = VERSION) -> Path:
    """The image of a kernel with fault injection, built unless it is in the cache; takes minutes.

    Raises `InputError` for a version unlike that in linux-source-6.12, `Unavailable` for a missing tool or a failed build.
    """
    if not _VERSION.fullmatch(version):
        raise InputError(f"--build {version}: expected the version of a linux-source package of Debian, such as {VERSION}")
    name = PREFIX + version
    if (found := cache.find(name)) is not None:
        return found
    return cache.fill(name, lambda to: _build(version, to))


def _build(version: str, to: Path) -> None:
    toolchain.require(_NEEDED, _SPACE, to.parent)
    source = f"linux-source-{version}"
    unpacked = packages.get([source], to)
    with cache.step(f"unpacking the source in {source}", "vm: unpacking of a kernel's source"):
        programs.run(["tar", "-xf", str(unpacked / "usr" / "src" / f"{source}.tar.xz"), "-C", str(to)])
    tree = to / source
    config = to / "wanted.config"
    config.write_text(toolchain.configuration(), encoding="utf-8")
    programs.run(["make", "-s", f"KCONFIG_ALLCONFIG={config}", "allnoconfig"], cwd=tree)
    if lost := toolchain.lost((tree / ".config").read_text(encoding="utf-8")):
        # A compiler or a pahole that is too old.
        raise Unavailable(f"this kernel cannot be configured with {', '.join(lost)}")
    release = programs.run(["make", "-s", "kernelrelease"], cwd=tree).strip()
    cpus = len(os.sched_getaffinity(0))
    what = f"vm: build on {cpus} processors"
    about = "" if durations.last(what) else "; with two that takes about ten minutes"
    with cache.step(f"building Linux {release} on {cpus} processors{about}", what):
        # With low priority, so that the machine stays usable.
        programs.run(["nice", "-n", "5", "make", "-s", f"-j{cpus}", "bzImage"], cwd=tree)
    boot = to / "boot"
    boot.mkdir()
    shutil.copyfile(tree / "arch" / "x86" / "boot" / "bzImage", boot / f"vmlinuz-{release}")
    shutil.copyfile(tree / ".config", boot / f"config-{release}")
    for rest in (tree, unpacked):
        shutil.rmtree(rest)
    config.unlink()
