"""Trees of kernels: prepares one for a guest, with its modules uncompressed and listed.

So neither virtme-ng nor a slow, emulated processor has to uncompress them. Modules of devices that no guest has are left out
of a copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sockiter.errors import Unavailable
from sockiter.vm import cache, programs

_DEPMOD = {"depmod": "Debian's package kmod"}
# The programs that uncompress modules, by the end of their names.
_PROGRAMS = {".xz": ("xz", "xz-utils"), ".zst": ("zstd", "zstd"), ".gz": ("gzip", "gzip")}
_COMPRESSED = tuple(_PROGRAMS)
# The arguments of one command line.
_ARGUMENTS_MAX = 1000
# Of devices that no guest has, under kernel/: most of the megabytes.
_LEFT_OUT = (
    "sound",
    *(f"drivers/{kind}" for kind in ("gpu", "iio", "infiniband", "input", "media", "mtd", "nfc", "scsi", "staging", "usb")),
    *(f"drivers/net/{kind}" for kind in ("can", "dsa", "ethernet", "phy", "usb", "wireless", "wwan")),
)


def image_of(path: Path) -> Path:
    """The image of a tree or of an image's path, ready to boot: a copy in the cache where its modules are not.

    A path that does not exist is returned as it is: the guest reports it. Raises `Unavailable` for a tree without an image.
    """
    image = cache.image_in(path) if path.is_dir() else path
    if image is None:
        raise Unavailable(f"{path}: no kernel image in it: expected boot/vmlinuz-* or lib/modules/*/vmlinuz")
    modules = cache.modules_of(image)
    if modules is None or _is_ready(modules / cache.version_of(image)):
        return image
    programs.require(_DEPMOD, f"listing the modules of {image}")
    return cache.fill(_name_of(image), lambda to: arrange(image, modules, to, shutil.copyfile))


def arrange(image: Path, modules: Path, to: Path, copy: Callable[[str, str], object] = os.link) -> None:
    """Lay out a kernel in an empty folder: boot/vmlinuz-VERSION, and lib/modules/VERSION with a list, by `copy`."""
    version = cache.version_of(image)
    kept = to / "lib" / "modules" / version

    def left_out(folder: str, names: list[str]) -> set[str]:
        place = os.path.relpath(folder, modules / version)
        links = {"build", "source", "vmlinuz"} if place == "." else set()
        return {name for name in names if name in links or os.path.join(place, name).removeprefix("kernel/") in _LEFT_OUT}

    with cache.step(f"preparing the modules of {version}", "vm: preparation of modules"):
        (to / "boot").mkdir()
        copy(str(image), str(to / "boot" / f"vmlinuz-{version}"))
        how: dict[str, Any] = {"copy_function": copy, "ignore_dangling_symlinks": True}
        shutil.copytree(modules / version, kept, ignore=left_out, **how)
        _uncompress(kept)
        programs.run(["depmod", "-b", str(to), version])


def _is_ready(modules: Path) -> bool:
    # Whether virtme-ng can use a version's modules: there are none, or they are listed and not compressed.
    if not modules.is_dir():
        return True
    try:
        with open(modules / "modules.dep", encoding="utf-8") as lines:
            return not any(line.partition(":")[0].endswith(_COMPRESSED) for line in lines)
    except OSError:
        return next(modules.rglob("*.ko*"), None) is None


def _name_of(image: Path) -> str:
    # A name for the cache; another file at the same path has another one.
    stat = image.stat()
    key = f"{image.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    plain = re.sub(r"[^a-z0-9+.-]", "-", cache.version_of(image).lower())
    return f"tree-{plain}-{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:8]}"


def _uncompress(modules: Path) -> None:
    for end, (program, package) in _PROGRAMS.items():
        packed = sorted(map(str, modules.rglob(f"*.ko{end}")))
        if packed:
            programs.require({program: f"Debian's package {package}"}, "uncompressing modules")
        for start in range(0, len(packed), _ARGUMENTS_MAX):
            # Those of an unpacked package have a second link, which needs -f.
            options = ["-d", "-q", "-f", *(["--rm"] if program == "zstd" else [])]
            programs.run([program, *options, "--", *packed[start : start + _ARGUMENTS_MAX]])
