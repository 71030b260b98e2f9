"""The host: runs on the kernel's iterators are interrupted, and the host's resources are counted before and after."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

from sockiter.kernel import KERNEL_TARGETS
from tests.faults.rounds import PROGRAM, STATUSES, Group, Round, ended, is_empty, started
from tests.support.paths import CASES

# In linux/bpf.h: BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID and BPF_LINK_GET_NEXT_ID.
_NEXT_ID = {"programs": 11, "maps": 12, "links": 31}
_BPF = {"x86_64": 321, "aarch64": 280}
_TABLES = ("tcp", "tcp6", "udp", "udp6", "unix", "raw", "packet")
# Sockets that the kernel changes by itself.
_ALIVE = ("/proc/sys/kernel/random", "/proc/sys/fs/", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pty")


class _Next(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint32), ("next", ctypes.c_uint32), ("flags", ctypes.c_uint32))


def bpf_objects(kind: str) -> frozenset[int]:
    """The ids of all loaded programs, maps or links."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    found, asked = set(), _Next()
    while call(_BPF[platform.machine()], _NEXT_ID[kind], ctypes.byref(asked), ctypes.sizeof(asked)) == 0:
        found.add(asked.next)
        asked.start = asked.next
    return frozenset(found)


def sockets() -> frozenset[str]:
    """The sockets of the host's namespace, each with its line in /proc/net."""
    found = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                # Addresses and states; of a UNIX socket its type and name: counters, timers and inodes come and go.
                found.add(f"{table} {' '.join(words[1:4] if table != 'unix' else words[4:6] + words[7:])}")
    return frozenset(found)


def namespaces() -> frozenset[str]:
    """The network and mount namespaces that a process is in."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for kind in ("net", "mnt", "user"):
                with suppress(OSError):
                    found.add(os.readlink(entry / "ns" / kind))
    return frozenset(found)


def settings() -> frozenset[str]:
    """Everything below /proc/sys that can be read and does not change by itself."""
    found = set()
    for directory, _, names in os.walk("/proc/sys"):
        for name in names:
            path = f"{directory}/{name}"
            if not path.startswith(_ALIVE):
                with suppress(OSError, UnicodeDecodeError):
                    found.add(f"{path}: {Path(path).read_text()}")
    return frozenset(found)


def mounts() -> frozenset[str]:
    """The mounts that this process sees."""
    return frozenset(Path("/proc/self/mountinfo").read_text().splitlines())


COUNTED: dict[str, Callable[[], frozenset[object]]] = {
    "sockets": sockets,
    "namespaces": namespaces,
    "settings": settings,
    "mounts": mounts,
    **{kind: lambda kind=kind: bpf_objects(kind) for kind in _NEXT_ID},  # type: ignore[misc]
}


@cache
def before() -> dict[str, frozenset[object]]:
    """The objects of each kind at the first call."""
    return {name: counted() for name, counted in COUNTED.items()}


def more_than_before(name: str) -> frozenset[object]:
    """The new objects of one kind, after the ten seconds in which the kernel may still be cleaning up."""
    deadline = time.monotonic() + 10
    while (new := COUNTED[name]() - before()[name]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return new


def running() -> list[str]:
    """The kernel's targets that run here."""
    return [target.name for target in KERNEL_TARGETS if target.missing() is None]


def no_target() -> str | None:
    """Why no iterator of the kernel can be run here."""
    return None if running() else "; ".join(f"{target.name}: {target.missing()}" for target in KERNEL_TARGETS[:1])


def interrupted(number: int, random: Random, directory: Path) -> Round:
    """A command on the kernel's iterators that is ended at any moment: the host is the same afterwards as before."""
    of = Round()
    before()
    target = random.choice(running())
    command = random.choice(
        (
            ("fuzz", target, "--seconds", "60", "--cases", directory / "cases"),
            ("race", target, "--seconds", "60", "--cases", directory / "cases"),
            ("replay", CASES, "--target", target),
            ("show", CASES / "rfc_skip.case", "--target", target),
            ("targets",),
        )
    )
    with started((*PROGRAM, *command)) as process:
        time.sleep(random.uniform(0.05, 2.0))
        sent = random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL))
        with suppress(ProcessLookupError):
            random.choice((os.kill, os.killpg))(process.pid, sent)
        ending = ended(process)
        of.check(ending is not None, f"{command[0]} {target}, {sent.name}: it does not end")
        if ending is not None:
            of.faults += [f"{command[0]} {target}, {sent.name}: {fault}" for fault in ending.faults({*STATUSES, -sent})]
        of.check(is_empty(process.pid), f"{command[0]} {target}, {sent.name}: somebody lives on")
    for name in COUNTED:
        new = more_than_before(name)
        of.check(not new, f"{command[0]} {target}, {sent.name}: {len(new)} {name} more: {sorted(map(str, new))[:3]}")
    of.figures[sent.name] += 1
    return of


GROUPS = (Group("host", 200, interrupted, no_target, alone=True),)
