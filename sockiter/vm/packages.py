"""Debian's packages of kernels: resolves a name, and downloads and unpacks a package with apt.

Only packages with a valid signature are accepted.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sockiter.errors import Unavailable
from sockiter.vm import cache, programs

_APT = {"apt-get": "Debian's package apt", "apt-cache": "Debian's package apt", "dpkg": "Debian's package dpkg"}
_DEPMOD = {"depmod": "Debian's package kmod"}
# Images for this architecture, but no images for clouds, of the real-time kernel, or with debugging symbols.
_IMAGE = re.compile(r"linux-image-(\d[\w.+]*(?:-\d+)?)-amd64")
# Refused, even if the machine's configuration allows it: a package without a valid chain of signatures from the archive's
# key.
_SIGNED = [
    *("-o", "APT::Get::AllowUnauthenticated=false"),
    *("-o", "Acquire::AllowInsecureRepositories=false"),
    # As root, apt would use a user without access to the target folder, and warn about that.
    *("-o", "APT::Sandbox::User="),
]


def image(name: str) -> Path:
    """The image of Debian's kernel package `name`, downloaded by apt unless it is in the cache.

    A name without a package stands for the newest package with that prefix, such as linux-image-6.12. Raises `Unavailable`.
    """
    programs.require({**_APT, **_DEPMOD}, f"downloading {name}")
    package = _resolve(name)
    return cache.fill(package, lambda to: _get_image(package, to))


def get(package: str, to: Path) -> Path:
    """Download a package into an empty folder and unpack it there; returns the folder of its files.

    apt checks the file against its signed index. Without a valid signature it downloads nothing.
    """
    programs.require(_APT, f"downloading {package}")
    download = to / "download"
    download.mkdir()
    kind = "-".join(package.split("-")[:2])
    with cache.step(f"downloading {package}", f"vm: download of a {kind}"):
        programs.run(["apt-get", "-q", *_SIGNED, "download", package], cwd=download)
    archives = list(download.glob("*.deb"))
    if len(archives) != 1:
        raise Unavailable(f"apt-get download {package} left no package")
    with cache.step(f"unpacking {package}", f"vm: unpacking of a {kind}"):
        programs.run(["dpkg", "-x", str(archives[0]), str(to / "unpacked")])
    shutil.rmtree(download)
    return to / "unpacked"


def _get_image(package: str, to: Path) -> None:
    unpacked = get(package, to)
    # If /lib is a link to /usr/lib, newer packages use the latter name.
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
            "`apt-get update` recent?"
        )
    return newest


def _behind(name: str) -> str:
    # The dependency of an empty package such as linux-image-amd64.
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
