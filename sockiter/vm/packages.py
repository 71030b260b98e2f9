"""Debian's packages of kernels: which one a name means, and how it is downloaded and unpacked.

Decided here: that apt does it, with its signatures insisted on, and what of a package is kept. Not known here: where kernels
are kept, and what is done with one.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.vm import cache, programs

_APT = {"apt-get": "Debian's package apt", "apt-cache": "Debian's package apt", "dpkg": "Debian's package dpkg"}
_DEPMOD = {"depmod": "Debian's package kmod"}
# The packages of images for this architecture: not those for clouds, of the real-time kernel, or with debugging symbols.
_IMAGE = re.compile(r"linux-image-(\d[\w.+]*(?:-\d+)?)-amd64")
# Refused, whatever the machine's configuration says: what has no valid chain of signatures from the archive's key.
_SIGNED = [
    *("-o", "APT::Get::AllowUnauthenticated=false"),
    *("-o", "Acquire::AllowInsecureRepositories=false"),
    # As root, apt would use a user who may have no access to where it is told to put the file; and warn that it does not.
    *("-o", "APT::Sandbox::User="),
]


def image(name: str) -> Path:
    """The image of Debian's kernel package `name`, which apt is asked for; downloaded unless it is kept.

    A name that is no package's stands for the newest that begins with it: linux-image-6.12. Raises `Unavailable`.
    """
    programs.require({**_APT, **_DEPMOD}, f"to download {name}")
    package = _resolve(name)
    return cache.fill(package, lambda to: _get_image(package, to))


def get(package: str, to: Path) -> Path:
    """Download a package into an empty folder and unpack it there; the folder with its files.

    apt checks the file against the signed index that it has; without a valid signature nothing is downloaded.
    """
    programs.require(_APT, f"to download {package}")
    cache.show_progress(f"downloading {package}")
    download = to / "download"
    download.mkdir()
    programs.run(["apt-get", "-q", *_SIGNED, "download", package], cwd=download)
    archives = list(download.glob("*.deb"))
    if len(archives) != 1:
        raise Unavailable(f"apt-get download {package} left no package")
    programs.run(["dpkg", "-x", str(archives[0]), str(to / "unpacked")])
    shutil.rmtree(download)
    return to / "unpacked"


def _get_image(package: str, to: Path) -> None:
    unpacked = get(package, to)
    # Where /lib is but another name for /usr/lib, newer packages say so.
    modules = next((found for part in ("lib", "usr/lib") if (found := unpacked / part / "modules").is_dir()), None)
    if cache.image_in(unpacked) is None or modules is None:
        raise Unavailable(f"{package} has no kernel image: there is no boot/vmlinuz-* in it")
    (unpacked / "boot").rename(to / "boot")
    (to / "lib").mkdir()
    modules.rename(to / "lib" / "modules")
    shutil.rmtree(unpacked)
    for release in (to / "lib" / "modules").iterdir():
        programs.run(["depmod", "-b", str(to), release.name])


def _resolve(name: str) -> str:
    names = programs.run(["apt-cache", "pkgnames", name]).split()
    if name in names:
        return _behind(name)
    # 6.1 does not stand for 6.12.
    fitting = [found for found in names if _IMAGE.fullmatch(found) and not found[len(name)].isdigit()]
    newest = max(fitting, key=_version, default=None)
    if newest is None:
        raise Unavailable(
            f"{name}: apt knows no such kernel for amd64: is the name right, is its suite in apt's sources, and is "
            "`apt-get update` fresh?"
        )
    return newest


def _behind(name: str) -> str:
    # What linux-image-amd64 depends on, and its like, which are empty themselves.
    for line in programs.run(["apt-cache", "show", "--no-all-versions", name]).splitlines():
        field, _, value = line.partition(":")
        if field == "Depends":
            for depends in re.split(r"[,|]", value):
                package = depends.split("(")[0].strip()
                if _IMAGE.fullmatch(package):
                    return package
    return name


def _version(package: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", package.removesuffix("-amd64")))
