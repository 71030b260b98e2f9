"""Packages of kernels: resolves a name, and downloads and unpacks packages with apt, or unpacks files of packages.

Only packages of apt with a valid signature are accepted. A package of another suite of Debian comes from indexes in the
cache: the machine's own apt has its settings for the way to the archive, and is not changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sockiter.errors import InputError, Unavailable
from sockiter.files import cache_folder
from sockiter.vm import cache, programs, trees

_APT = {"apt-get": "Debian's package apt", "apt-cache": "Debian's package apt", "dpkg": "Debian's package dpkg"}
_DEPMOD = {"depmod": "Debian's package kmod"}
# Images for this architecture, but no images for clouds, of the real-time kernel, or with debugging symbols; Debian's and
# Ubuntu's.
_IMAGE = re.compile(r"linux-image-(?:unsigned-)?(\d[\w.+]*(?:-\d+)?)-(?:amd64|generic)")
# The other packages that a kernel consists of: linux-image-X depends on linux-binary-X and linux-modules-X.
_PART = re.compile(r"linux-(?:binary|modules)-\S+")
_KIND = re.compile(r"linux-(?:image|binary|modules(?:-extra)?)-(?:unsigned-)?")
# Refused, even if the machine's configuration allows it: a package without a valid chain of signatures from the archive's
# key.
_SIGNED = [
    *("-o", "APT::Get::AllowUnauthenticated=false"),
    *("-o", "Acquire::AllowInsecureRepositories=false"),
    # As root, apt would use a user without access to the target folder, and warn about that.
    *("-o", "APT::Sandbox::User="),
]
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Suites without an archive of their own for security.
_WITHOUT_SECURITY = ("sid", "unstable", "experimental")
# An index that is not older than this is not fetched again.
_FRESH_S = 3600.0


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive that apt takes packages from: that of the machine's sources, or a suite of Debian with its own indexes.

    `options`: the options of apt that select it.
    """

    suite: str = ""
    options: tuple[str, ...] = ()

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        """The output of a program of apt."""
        return programs.run([program, *self.options, *arguments], cwd=cwd)


OWN = Archive()
"""The archive of the machine's own sources."""


def image(name: str, suite: str = "") -> Path:
    """The image of a kernel package `name`, downloaded by apt unless it is in the cache.

    A name without a package stands for the newest package with that prefix, such as linux-image-6.12. `suite`: of that suite
    of Debian, and not of the machine's sources. Raises `Unavailable`, and `InputError` for a suite that is none.
    """
    programs.require({**_APT, **_DEPMOD}, f"downloading {name}")
    archive = archive_of(suite) if suite else OWN
    package = _resolve(name, archive)
    return cache.fill(package, lambda to: _get_image(package, to, archive))


def archive_of(suite: str) -> Archive:
    """A suite of Debian's archive, from the mirror of the machine's sources; its indexes are fetched if they are old."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
        raise InputError(f"--suite {suite}: expected a suite of Debian, such as sid, trixie or bookworm-backports")
    if not _KEYRING.exists():
        raise Unavailable(f"{_KEYRING} is not there: apt-get install debian-archive-keyring")
    folder = cache_folder() / "apt" / suite
    for part in ("state/lists/partial", "cache/archives/partial", "etc"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text("".join(_sources(suite)), encoding="utf-8")
    (folder / "apt.conf").write_text(_configuration(folder), encoding="utf-8")
    archive = Archive(suite, ("-c", str(folder / "apt.conf")))
    with cache.alone(folder / "lock"):
        updated = folder / "updated"
        if not updated.exists() or time.time() - updated.stat().st_mtime > _FRESH_S:
            with cache.step(f"fetching the indexes of {suite}", "vm: indexes of a suite"):
                archive.run("apt-get", "-q", *_SIGNED, "update", "-o", "APT::Update::Error-Mode=any")
            updated.touch()
    return archive


def from_files(path: Path) -> Path:
    """The image of a kernel in files of packages: a folder of them, or a file, with those of the same version beside it.

    Their signatures are not checked: a file is trusted as an image is.
    """
    programs.require({"dpkg": _APT["dpkg"], **_DEPMOD}, f"unpacking {path}")
    files = sorted(path.glob("*.deb")) if path.is_dir() else [path, *_beside(path)]
    states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(f"{[str(file.resolve()) for file in files]} {states}".encode(errors="replace")).hexdigest()[:8]

    def make(to: Path) -> None:
        _unpack(files, to / "unpacked", path.name)
        _arrange(path.name, to)

    return cache.fill(f"files-{key}", make)


def get(packages: Sequence[str], to: Path, archive: Archive = OWN) -> Path:
    """Download packages into an empty folder and unpack them there; returns the folder of their files.

    apt checks each against its signed index. Without a valid signature it downloads nothing.
    """
    name = packages[0]
    programs.require(_APT, f"downloading {name}")
    download = to / "download"
    download.mkdir()
    kind = "-".join(name.split("-")[:2])
    with cache.step(f"downloading {', '.join(packages)}", f"vm: download of a {kind}"):
        archive.run("apt-get", "-q", *_SIGNED, "download", *packages, cwd=download)
    archives = sorted(download.glob("*.deb"))
    if len(archives) != len(packages):
        raise Unavailable(f"apt-get download {' '.join(packages)} left {len(archives)} packages")
    with cache.step(f"unpacking {name}", f"vm: unpacking of a {kind}"):
        _unpack(archives, to / "unpacked", name)
    shutil.rmtree(download)
    return to / "unpacked"


def _unpack(archives: Sequence[Path], to: Path, name: str) -> None:
    to.mkdir()
    for path in archives:
        programs.run(["dpkg", "-x", str(path), str(to)])


def _get_image(package: str, to: Path, archive: Archive) -> None:
    get([package, *_parts(package, archive)], to, archive)
    _arrange(package, to)


def _arrange(name: str, to: Path) -> None:
    # The kernel of unpacked packages, in the layout of the cache.
    unpacked = to / "unpacked"
    image = cache.image_in(unpacked)
    modules = cache.modules_of(image) if image is not None else None
    if image is None or modules is None:
        missing = "kernel image: there is no boot/vmlinuz-* and no lib/modules/*/vmlinuz" if image is None else "modules"
        raise Unavailable(f"{name} has no {missing} in it")
    trees.arrange(image, modules, to)
    shutil.rmtree(unpacked)


def _beside(path: Path) -> list[Path]:
    # The other packages of a kernel, in the folder of the first: linux-modules-X of linux-image-X.
    package = path.name.partition("_")[0]
    version = _KIND.sub("", package, count=1)
    others = path.parent.glob(f"linux-*-{version}_*.deb")
    return sorted(other for other in others if other != path and _KIND.sub("", other.name).startswith(f"{version}_"))


def _resolve(name: str, archive: Archive) -> str:
    names = archive.run("apt-cache", "pkgnames", name).split()
    if name in names:
        return _behind(name, archive)
    # 6.1 does not stand for 6.12.
    fitting = [found for found in names if _IMAGE.fullmatch(found) and not found[len(name)].isdigit()]
    newest = max(fitting, key=_version, default=None)
    if newest is None:
        where = f"the suite {archive.suite} has" if archive.suite else "apt knows"
        hint = "" if archive.suite else ", is its suite in apt's sources (or use --suite), and is `apt-get update` recent"
        raise Unavailable(f"{name}: {where} no such kernel for amd64: is the name right{hint}?")
    return newest


def _behind(name: str, archive: Archive) -> str:
    # The dependency of an empty package such as linux-image-amd64.
    return next((package for package in _depends(name, archive) if _IMAGE.fullmatch(package)), name)


def _parts(package: str, archive: Archive) -> list[str]:
    # The further packages that a kernel consists of.
    return list(dict.fromkeys(depends for depends in _depends(package, archive) if _PART.fullmatch(depends)))


def _depends(name: str, archive: Archive) -> list[str]:
    # Of alternatives, the first.
    for line in archive.run("apt-cache", "show", "--no-all-versions", name).splitlines():
        field, _, value = line.partition(":")
        if field == "Depends":
            return [depends.partition("|")[0].partition("(")[0].strip() for depends in value.split(",")]
    return []


def _version(package: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", package.rpartition("-")[0]))


def _sources(suite: str) -> list[str]:
    # The suite in the mirror of the machine's own sources, and its archive for security.
    mirrors: dict[str, str] = {}
    targets = programs.run(["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"])
    for target in targets.splitlines():
        label, _, mirror = target.partition(" ")
        mirrors.setdefault(label, mirror)
    if "Debian" not in mirrors:
        raise Unavailable("apt has no source of Debian's archive here, or no `apt-get update` was run")
    suites = [("Debian", suite)]
    if "-" not in suite and suite not in _WITHOUT_SECURITY:
        suites.append(("Debian-Security", f"{suite}-security"))
    of = f"[arch=amd64 signed-by={_KEYRING}]"
    return [f"deb {of} {mirrors[label]} {name} main\n" for label, name in suites if label in mirrors]


def _configuration(folder: Path) -> str:
    # On top of the machine's own: other folders, none of its sources, and none of the programs that it runs after an update.
    place = os.fspath(folder)
    settings = {
        "Dir::State": f"{place}/state",
        "Dir::State::lists": f"{place}/state/lists",
        "Dir::State::status": f"{place}/status",
        "Dir::Cache": f"{place}/cache",
        "Dir::Etc::sourcelist": f"{place}/sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Acquire::Languages": "none",
        "APT::Architecture": "amd64",
    }
    cleared = ("APT::Update", "DPkg::Pre-Invoke", "DPkg::Post-Invoke", "Acquire::IndexTargets::deb::Contents-deb")
    lines = [*(f"#clear {name};" for name in cleared), *(f'{name} "{value}";' for name, value in settings.items())]
    return "\n".join([*lines, ""])
