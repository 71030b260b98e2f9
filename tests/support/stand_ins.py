"""Programs that stand in for apt, dpkg, virtme-ng, qemu and a compiler; and a list of running programs."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

# The timeout for an immediate event on a busy machine.

# The field of x86's boot protocol at 0x202.
IMAGE = b"\0" * 0x202 + b"HdrS" + b"\0" * 64

# The guest's script, in this machine: its ports are the pipes that qemu would have, and it mounts nothing.
VIRTME_RUN = r"""
echo "$@" >"$STAND_INS/virtme-run.told"
for word in "$@"; do
    case $word in
        local,id=sockiter,path=*) folder=${word#local,id=sockiter,path=}; folder=${folder%%,security_model=*};;
        file,id=sockiter-out,path=*) out=${word##*=};;
        file,id=sockiter-err,path=*) err=${word##*=};;
        file,id=sockiter-status,path=*) status=${word##*=};;
    esac
done
mount() { echo "mount $*" >>"$STAND_INS/mounts"; [ "${NO_MOUNT-}" = "" ]; }
sync() { :; }
if [ "${NO_BOOT-}" != "" ]; then echo "qemu: no machine" >&2; exit 1; fi
. "$folder/run" 2>/dev/null
"""

# The archives of suites have packages of a kernel in parts.
APT_CACHE = r"""
if [ "$1" = -c ]; then config=$2; shift 2; fi
case $1 in
    pkgnames) printf '%s\n' linux-image-6.1.0-9-amd64 linux-image-6.1.0-10-amd64 linux-image-6.1.0-10-cloud-amd64 \
        linux-image-6.12-amd64 linux-image-6.12.5+deb12-amd64 linux-image-6.12.11+deb12-amd64 \
        linux-image-6.12.11+deb12-amd64-dbg linux-image-amd64 linux-image-6.8.0-31-generic \
        ${config:+linux-image-7.2.13+deb14-amd64} | grep "^$2" || :;;
    show) echo "Package: $3"
        case $3 in
            linux-image-amd64) echo "Depends: linux-base, linux-image-6.1.0-10-amd64 (= 6.1)";;
            *7.2*|*generic) of=${3#linux-image-}
                echo "Depends: dracut | initramfs, linux-binary-$of (= 7.2), linux-modules-$of, linux-base-$of";;
            linux-image-alone) ;;
            *) echo "Depends: kmod";;
        esac
        echo "Size: 1";;
esac
"""

# Waits on request, so that another process can come in between.
APT_GET = r"""
for package; do :; done
echo "$@" >"$STAND_INS/apt-get.told"
case " $* " in
    *" indextargets "*)
        printf "${APT_SOURCES-Debian http://mirror/debian/\nDebian-Security http://mirror/security/\n}"; exit;;
    *" update "*) echo update >>"$STAND_INS/downloads"; exit ${APT_UPDATE-0};;
esac
while [ "$1" != download ]; do shift; done; shift
if [ "${APT_FAILS-}" != "" ]; then echo "W: a warning" >&2; echo "E: no signature" >&2; exit 100; fi
for package; do echo "$package" >>"$STAND_INS/downloads"; done
if [ "${APT_SLOW-}" != "" ]; then touch "$STAND_INS/slow"; while [ -e "$STAND_INS/slow" ]; do sleep 0.01; done; fi
if [ "${APT_EMPTY-}" = "" ]; then for package; do touch "./$package.deb"; done; fi
"""

DPKG = r"""
package=$(basename "$2" .deb); to=$3; package=${package%%_*}
case $package in
    linux-source-*) mkdir -p "$to/usr/src"; touch "$to/usr/src/$package.tar.xz";;
    *empty*) mkdir -p "$to/usr/share/doc";;
    linux-image-*7.2*|linux-image-*generic) mkdir -p "$to/usr/share/doc";;
    linux-binary-*) mkdir -p "$to/usr/lib/modules/${package#linux-binary-}"
        cp "$STAND_INS/image" "$to/usr/lib/modules/${package#linux-binary-}/vmlinuz";;
    linux-modules-*) of=$to/usr/lib/modules/${package#linux-modules-}
        mkdir -p "$of/kernel/net" "$of/kernel/sound"
        printf module | xz >"$of/kernel/net/9p.ko.xz"
        printf module | gzip >"$of/kernel/sound/snd.ko.gz";;
    *) release=${package#linux-image-}
        mkdir -p "$to/boot" "$to/usr/share/doc"
        cp "$STAND_INS/image" "$to/boot/vmlinuz-$release"
        if [ "${NO_MODULES-}" = "" ]; then mkdir -p "$to/lib/modules/$release"; fi;;
esac
"""

DEPMOD = r"""
cd "$2/lib/modules/$3" && find . -name '*.ko' -printf '%P:\n' >modules.dep
"""

TAR = r"""
mkdir -p "$4/$(basename "$2" .tar.xz)/arch/x86/boot"
"""

# Compiles the sources that are newer than their objects, and lists them; a source with #error does not compile.
MAKE = r"""
out=.
for target; do case $target in
    O=*) out=${target#O=};;
    KCONFIG_ALLCONFIG=*) grep -v "${WITHOUT-^#}" "${target#*=}" >"$out/.config";;
    kernelrelease) echo 6.12.1-fault-injection;;
    bzImage) if [ "${MAKE_FAILS-}" != "" ]; then echo "cc1: no memory" >&2; exit 2; fi
        mkdir -p "$out/arch/x86/boot" "$out/include/config"
        find . -name '*.c' | sort | while read -r source; do
            object=$out/$(basename "$source" .c).o
            if [ ! -e "$object" ] || [ "$source" -nt "$object" ]; then
                echo "${source#./}" >>"$STAND_INS/compiled"
                if grep -n '^#error' "$source" >/dev/null; then
                    echo "  the caller"; echo "${source#./}:1:2: error: wrong"; echo "make[1]: *** Error 1"; exit 2
                fi >&2
                touch "$object"
            fi
        done || exit 2
        echo 6.12.1-fault-injection >"$out/include/config/kernel.release"
        touch "$out/vmlinux"
        cp "$STAND_INS/image" "$out/arch/x86/boot/bzImage";;
esac; done
"""

NOTHING = ""


def install(folder: Path) -> None:
    """Put all of them into a folder; they record their arguments there."""
    (folder / "image").write_bytes(IMAGE)
    programs = {
        "virtme-run": VIRTME_RUN,
        "qemu-system-x86_64": "exit ${QEMU_STATUS-33}",
        "apt-cache": APT_CACHE,
        "apt-get": APT_GET,
        "dpkg": DPKG,
        "depmod": DEPMOD,
        "tar": TAR,
        "make": MAKE,
        **dict.fromkeys(("busybox", "modprobe", "file", "gcc", "ld", "flex", "bison", "bc", "perl", "pahole"), NOTHING),
    }
    for name, text in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\nSTAND_INS={shlex.quote(str(folder))}\n{text}", encoding="utf-8")
        path.chmod(0o755)


def alive(mark: str) -> list[int]:
    """The processes that have a word somewhere in their arguments, but for this one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "cmdline").read_text(errors="replace") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found
