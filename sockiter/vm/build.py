"""A kernel with fault injection, built from Debian's source package.

Decided here: how it is built, with the small configuration in `fault-injection.config`, and what that takes. Not known here:
where it is kept, and what is run on it.
"""

from __future__ import annotations

import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

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
# What the kernel's own tools are compiled against.
_HEADERS = {"gelf.h": "libelf-dev", "zlib.h": "zlib1g-dev"}
_INCLUDE = ("/usr/include", "/usr/local/include")
# The source, its object files and the debugging information that types are made from.
_SPACE = 4 << 30


def build(version: str = VERSION) -> Path:
    """The image of a kernel with fault injection, built unless it is kept; takes minutes.

    Raises `InputError` for what is no version as in linux-source-6.12, `Unavailable` for what is not installed or fails.
    """
    if not _VERSION.fullmatch(version):
        raise InputError(
            f"--build {version}: expected a version that Debian has a linux-source package of, such as {VERSION}"
        )
    name = PREFIX + version
    if (found := cache.find(name)) is not None:
        return found
    _check()
    return cache.fill(name, lambda to: _build(version, to))


def configuration() -> str:
    """The lines of the configuration; all that they do not name is off."""
    return files("sockiter.vm").joinpath("fault-injection.config").read_text(encoding="utf-8")


def _check() -> None:
    missing = [package for name, package in _NEEDED.items() if programs.program(name) is None]
    missing += [package for header, package in _HEADERS.items() if not _has(header)]
    if missing:
        raise Unavailable(f"to build a kernel takes what is not installed: apt-get install {' '.join(missing)}")


def _has(header: str) -> bool:
    return any(os.path.exists(os.path.join(folder, header)) for folder in _INCLUDE)


def _build(version: str, to: Path) -> None:
    if (free := shutil.disk_usage(to).free) < _SPACE:
        raise Unavailable(f"{to.parent}: {free >> 20} MiB are free, and a build takes {_SPACE >> 20}; or set XDG_CACHE_HOME")
    source = f"linux-source-{version}"
    unpacked = packages.get(source, to)
    cache.show_progress(f"unpacking {source}")
    programs.run(["tar", "-xf", str(unpacked / "usr" / "src" / f"{source}.tar.xz"), "-C", str(to)])
    tree = to / source
    config = to / "wanted.config"
    config.write_text(configuration(), encoding="utf-8")
    programs.run(["make", "-s", f"KCONFIG_ALLCONFIG={config}", "allnoconfig"], cwd=tree)
    _check_configured((tree / ".config").read_text(encoding="utf-8"))
    release = programs.run(["make", "-s", "kernelrelease"], cwd=tree).strip()
    cpus = len(os.sched_getaffinity(0))
    cache.show_progress(f"building Linux {release} on {cpus} processors; with two it takes about ten minutes")
    # As a neighbour: a machine that is in use stays usable.
    programs.run(["nice", "-n", "5", "make", "-s", f"-j{cpus}", "bzImage"], cwd=tree)
    boot = to / "boot"
    boot.mkdir()
    shutil.copyfile(tree / "arch" / "x86" / "boot" / "bzImage", boot / f"vmlinuz-{release}")
    shutil.copyfile(tree / ".config", boot / f"config-{release}")
    for rest in (tree, unpacked):
        shutil.rmtree(rest)
    config.unlink()


def _check_configured(made: str) -> None:
    # A compiler or a pahole that is too old makes an option disappear, and nobody says so.
    lines = set(made.splitlines())
    lost = [line for line in configuration().splitlines() if line.startswith("CONFIG_") and line not in lines]
    if lost:
        raise Unavailable(f"this kernel cannot be configured with {', '.join(lost)}")
