"""Builds a kernel with fault injection from Debian's source package, with the configuration `fault-injection.config`."""

from __future__ import annotations

import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.vm import cache, packages, programs

PREFIX = "fault-injection-"
VERSION = "6.12"

_VERSION = re.compile(r"\d+\.\d+")
_NEEDED = {
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "pahole": "dwarves",
    "tar": "tar",
    "xz": "xz-utils",
}
# Headers that the kernel's own tools need.
_HEADERS = {"gelf.h": "libelf-dev", "zlib.h": "zlib1g-dev"}
_INCLUDE = ("/usr/include", "/usr/local/include")
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
    _check()
    return cache.fill(name, lambda to: _build(version, to))


def configuration() -> str:
    """The lines of the configuration; all other options are off."""
    return files("sockiter.vm").joinpath("fault-injection.config").read_text(encoding="utf-8")


def _check() -> None:
    missing = [package for name, package in _NEEDED.items() if programs.program(name) is None]
    missing += [package for header, package in _HEADERS.items() if not _has(header)]
    if missing:
        raise Unavailable(f"building a kernel requires more packages: apt-get install {' '.join(missing)}")


def _has(header: str) -> bool:
    return any(os.path.exists(os.path.join(folder, header)) for folder in _INCLUDE)


def _build(version: str, to: Path) -> None:
    if (free := shutil.disk_usage(to).free) < _SPACE:
        need = f"a build requires {_SPACE >> 20}; free some space or set XDG_CACHE_HOME"
        raise Unavailable(f"{to.parent}: {free >> 20} MiB are free, and {need}")
    source = f"linux-source-{version}"
    unpacked = packages.get([source], to)
    with cache.step(f"unpacking the source in {source}", "vm: unpacking of a kernel's source"):
        programs.run(["tar", "-xf", str(unpacked / "usr" / "src" / f"{source}.tar.xz"), "-C", str(to)])
    tree = to / source
    config = to / "wanted.config"
    config.write_text(configuration(), encoding="utf-8")
    programs.run(["make", "-s", f"KCONFIG_ALLCONFIG={config}", "allnoconfig"], cwd=tree)
    _check_configured((tree / ".config").read_text(encoding="utf-8"))
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


def _check_configured(made: str) -> None:
    # A compiler or a pahole that is too old silently removes an option.
    lines = set(made.splitlines())
    lost = [line for line in configuration().splitlines() if line.startswith("CONFIG_") and line not in lines]
    if lost:
        raise Unavailable(f"this kernel cannot be configured with {', '.join(lost)}")
