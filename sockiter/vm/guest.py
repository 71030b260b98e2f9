"""Runs a command in a guest on another kernel, and returns its output and exit status.

The guest sees the files of this machine that the command needs (`view`), read-only, with temporary layers in the folders
that programs write to. It has the same interpreter, Python path and working directory. Files that the command writes to
the folders for cases are on this machine at once.

Output and status leave the guest through its own virtio ports. Those of virtme-ng would need a udev in the guest. A write
to such a port returns when this side has the data, so all output before the status arrives before the status.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.vm import acceleration, cache, programs, view

QEMU = "qemu-system-x86_64"
TIMED_OUT = 124

_NEEDED = {
    "virtme-run": "virtme-ng: pip install '.[vm]' in a checkout of sockiter",
    QEMU: "Debian's package qemu-system-x86",
}
# For a kernel with modules, virtme-ng makes an initial file system with the modules that the root file system needs.
_NEEDED_FOR_MODULES = {
    "busybox": "Debian's package busybox-static",
    "modprobe": "Debian's package kmod",
    "depmod": "Debian's package kmod",
    "file": "Debian's package file",
}

# Writable in the guest, and lost with it. Users' own folders are not among them: a write there is refused, not lost.
_LAYERS = ("/etc", "/tmp", "/usr", "/var")
# Hidden in the guest by its own empty file systems.
_HIDDEN = ("/run", "/dev/shm", "/var/tmp", "/var/cache", "/var/log", "/var/lib/private", "/var/lib/apt", "/var/lib/machines")

# The variables that a command gets from the caller's environment, besides those with one of the prefixes.
_VARIABLES = ("HOME", "LANG", "TZ", "TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI", "VIRTUAL_ENV")
_WITH_PREFIX = re.compile(r"(LC|SOCKITER|HYPOTHESIS)_\w+\Z|PYTHON\w+\Z", re.ASCII)

_MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,access=any,cache=none,msize=512000"
# A guest has nothing to protect, and mitigations are slow under emulation.
# Walks over large tables waste time: these tables have a bucket for each of some hundred sockets.
_KERNEL_OPTIONS = ("mitigations=off", "init_on_alloc=0", "thash_entries=1024", "uhash_entries=256")
_SPARED = "/sys/kernel/debug/failslab/ignore-gfp-wait"
# If every process that watches over a guest is killed, the guest ends itself this long after its time limit.
_GRACE_S = 60

MEMORY = "1G"
"""The memory of a guest by default."""


class _TimeUp(Exception):
    """The time limit is over."""


def processors() -> int:
    """The processors of a guest by default: this machine's, at most 2."""
    return min(len(os.sched_getaffinity(0)), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A guest: its `memory` in qemu's notation, writable `cases`, additional readable `reads`, and `timeout_s`.

    `timeout_s` limits boot and command together."""

    image: Path
    cases: Sequence[Path]
    reads: Sequence[Path] = ()
    timeout_s: float
    memory: str = MEMORY
    cpus: int = field(default_factory=processors)
    kvm: bool = True
    verbose: bool = False


def run(guest: Guest, command: Sequence[str], folder: Path, report: dict[str, Any]) -> int:
    """Run a command in a guest and return its exit status, or `TIMED_OUT`; its output goes to this process's output.

    `folder` is an empty one for temporary files of the guest and virtme-ng. `report` gets the fields of the document of
    `vm --json` that are about the guest, each as soon as it is known. Raises `Unavailable` for a missing program, and if
    the guest ends before the command does.
    """
    _check(guest.image)
    qemu = programs.program(QEMU)
    assert qemu is not None
    model, why = acceleration.model(QEMU, folder) if guest.kvm else (None, "--no-kvm")
    how = "KVM" if model is not None else f"emulation ({why})"
    report |= {
        "outcome": "failed",
        "image": str(guest.image),
        "acceleration": "kvm" if model is not None else "emulation",
        "why_emulated": why or None,
    }
    shares = [*((path, True) for path in guest.cases), *((path, False) for path in _hidden_here())]
    (folder / "run").write_text(script(command, [path for path, _ in shares]), encoding="utf-8")
    needed: list[str | Path] = [*view.needed(), *python_path(os.environ).split(os.pathsep), *guest.reads]
    if (modules := cache.modules_of(guest.image)) is not None:
        needed.append(modules)
    paths = view.shown(needed, command)
    program = view.wrapper(qemu, folder, paths, [path for path, _ in shares], [*guest.cases, folder])
    (folder / "qemu").write_text(program, encoding="utf-8", errors="surrogateescape")
    (folder / "qemu").chmod(0o700)
    kernel = cache.version_of(guest.image)
    boot = ExitStack()
    boot.enter_context(cache.step(f"booting {kernel} by {how}", f"vm: boot of {kernel} by {how.split()[0]}"))
    try:
        with _pipes(4) as (reads, writes), _at_most(guest.timeout_s):
            arguments = _virtme_run(guest, model, folder, shares, writes[:3])
            how_run = {"env": {**os.environ, "TMPDIR": str(folder)}, "pass_fds": writes[:3], "cwd": "/"}
            with programs.running(arguments, stdout=writes[3], stderr=writes[3], **how_run):
                for descriptor in writes:
                    os.close(descriptor)
                writes.clear()
                begun = partial(_begun, report, time.monotonic(), boot)
                status, log = _attend({reads[0]: 1, reads[1]: 2}, *reads[2:], begun=begun, show_log=guest.verbose)
    except _TimeUp:
        report["outcome"] = "timed out"
        print(f"sockiter: the guest was ended after {guest.timeout_s:g} s, its time limit (--timeout)", file=sys.stderr)
        return TIMED_OUT
    finally:
        for path in guest.cases:
            view.tidy(path)
    words = status.decode(errors="replace").split()
    if words[1:]:
        report["outcome"] = "finished"
        return int(words[1])
    failure = "ended before the command did, perhaps by a crash of the kernel" if words else "did not come up"
    quoted = f": {last_lines}" if (last_lines := programs.last_lines(log)) and not guest.verbose else ""
    raise Unavailable(f"the guest {failure}{quoted}{'' if guest.verbose else '; --verbose shows its console'}")


def script(command: Sequence[str], shares: Sequence[Path]) -> str:
    """The script for the guest's shell, as root: it prepares the command's environment, runs the command, and reports its
    status."""
    lines = [
        "for port in /sys/class/virtio-ports/*; do",
        '    read -r name <"$port/name"',
        '    case $name in sockiter.*) eval "${name#sockiter.}=/dev/${port##*/}";; esac',
        "done",
        'exec >"$out" 2>"$err" 3>"$status" </dev/null',
        "mount -t bpf bpf /sys/fs/bpf 2>/dev/null",
        "[ -d /sys/kernel/debug/bdi ] || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null",
        # With fault injection, let allocations that may wait fail as well: a batch is such an allocation.
        f"[ ! -e {_SPARED} ] || echo N >{_SPARED}",
    ]
    for number, path in enumerate(shares):
        place = shlex.quote(str(path))
        lines.append(f"mkdir -p {place} 2>/dev/null; {_MOUNT} sockiter{number} {place} || exit")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(environment(os.environ).items())]
    lines += [
        "unset OLDPWD XDG_RUNTIME_DIR SHLVL nr_open",
        f"cd {shlex.quote(os.getcwd())} || exit",
        "echo started >&3",
        f"({shlex.join(command)}) 3>&-",
        "code=$?",
        "sync",
        'echo "$code" >&3',
        # This side now ends the guest.
        "sleep 60",
    ]
    return "\n".join(lines) + "\n"


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: this interpreter first on the PATH, and this package on Python's path."""
    kept = {name: value for name, value in caller.items() if name in _VARIABLES or _WITH_PREFIX.match(name)}
    kept["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), programs.search_path()])
    kept["PYTHONPATH"] = python_path(caller)
    # Commands are slow there, and show their progress although standard error is no terminal.
    kept.setdefault("SOCKITER_PROGRESS", "lines")
    return kept


def python_path(caller: Mapping[str, str]) -> str:
    """The PYTHONPATH with which another interpreter process, in the guest or here, finds the same package."""
    here = str(Path(__file__).parents[2])
    installed = here in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    paths = [
        *([] if installed else [here]),
        *(os.path.abspath(path) for path in caller.get("PYTHONPATH", "").split(os.pathsep) if path),
    ]
    return os.pathsep.join(dict.fromkeys(paths))


def _check(image: Path) -> None:
    # All checks that are possible before the start.
    try:
        with open(image, "rb") as stream:
            head = stream.read(0x206)
    except OSError as error:
        raise Unavailable(f"{image}: no kernel image: {error.strerror}") from None
    # The magic number of the boot protocol for x86.
    if head[0x202:0x206] != b"HdrS":
        raise Unavailable(f"{image}: no kernel image for x86: expected a bzImage, as in boot/vmlinuz-*")
    programs.require({**_NEEDED, **(_NEEDED_FOR_MODULES if cache.modules_of(image) else {})}, "booting a kernel")


def _hidden_here() -> list[Path]:
    # Folders that the command needs, and that the guest would hide.
    needed = [sys.prefix, sys.base_prefix, os.getcwd(), *python_path(os.environ).split(os.pathsep)]
    paths = [Path(path).resolve() for path in needed if os.path.isdir(path)]
    return list(dict.fromkeys(path for path in paths if any(path.is_relative_to(hidden) for hidden in _HIDDEN)))


def _virtme_run(
    guest: Guest, model: str | None, folder: Path, shares: Sequence[tuple[Path, bool]], ports: Sequence[int]
) -> list[str]:
    arguments = ["virtme-run", "--kimg", str(guest.image.absolute()), "--mods", "auto", "--qemu-bin", str(folder / "qemu")]
    # The same on every machine, and without an additional daemon for the root file system.
    arguments += ["--force-9p", "--memory", guest.memory, "--cpus", str(guest.cpus)]
    for layer in _LAYERS:
        arguments += ["--overlay-rwdir", layer]
    if model is None:
        arguments.append("--disable-kvm")
    if guest.verbose:
        arguments += ["--show-boot-console", "--verbose"]
    end = f"(sleep {int(guest.timeout_s) + _GRACE_S}; echo b >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &"
    begin = f"mkdir -p /run/sockiter && {_MOUNT} sockiter /run/sockiter && . /run/sockiter/run"
    # In an ordinary user's private mounts, set-uid programs such as mount belong to nobody, and would run as nobody.
    plainly = "exec setpriv --no-new-privs" if programs.program("setpriv") else "exec"
    arguments += ["--script-sh", f"{end} {plainly} sh -c {shlex.quote(begin)}"]
    for option in _KERNEL_OPTIONS:
        arguments += ["--kopt", option]
    # From here to the end of the line: qemu's own arguments.
    arguments.append("--qemu-opts")
    if view.is_sandboxed(QEMU):
        arguments += ["-sandbox", view.SANDBOX]
    if model is not None:
        arguments += ["-cpu", model]
    for tag, path, writable in [("sockiter", folder, False), *((f"sockiter{n}", *share) for n, share in enumerate(shares))]:
        place = str(path).replace(",", ",,")
        # Files from the guest belong to the caller and have plain modes: no set-uid program, no device, no link.
        access = (
            f"security_model={view.security_model(path)},multidevs=remap,fmode=0644,dmode=0755"
            if writable
            else "security_model=none,multidevs=remap,readonly=on"
        )
        arguments += ["-fsdev", f"local,id={tag},path={place},{access}"]
        arguments += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    arguments += ["-device", "virtio-serial-pci,id=sockiter-ports"]
    for name, descriptor in zip(("out", "err", "status"), ports, strict=True):
        arguments += ["-chardev", f"file,id=sockiter-{name},path=/proc/self/fd/{descriptor}"]
        arguments += ["-device", f"virtserialport,bus=sockiter-ports.0,name=sockiter.{name},chardev=sockiter-{name}"]
    return arguments


def _begun(report: dict[str, Any], started: float, boot: ExitStack) -> None:
    report.setdefault("boot_seconds", round(time.monotonic() - started, 3))
    boot.close()


def _attend(
    ours: Mapping[int, int], status: int, log: int, *, begun: Callable[[], None], show_log: bool
) -> tuple[bytes, bytes]:
    # Passes on the output of the guest until it reports a status or ends; returns the report, and the end of the log.
    reported = log_tail = b""
    started = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for descriptor in (*ours, status, log):
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ended = reported.count(b"\n") == 2
            ready = selector.select(0 if ended else cache.NOW_AND_THEN_S)
            if not ready and not ended and reported:
                cache.tell(
                    f"the command runs, {durations.in_words(time.monotonic() - started)} after the start of the guest"
                )
            if ended and not any(key.fd in ours for key, _ in ready):
                break
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd in ours:
                    _write(ours[key.fd], data)
                elif key.fd == status:
                    reported += data
                    begun()
                else:
                    log_tail = (log_tail + data)[-4096:]
                    if show_log:
                        _write(2, data)
    return reported, log_tail


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _pipes(count: int) -> Iterator[tuple[list[int], list[int]]]:
    # The ends for reading and for writing. The caller owns the ends that it takes out of the lists.
    reads: list[int] = []
    writes: list[int] = []
    try:
        for _ in range(count):
            read, write = os.pipe()
            reads.append(read)
            writes.append(write)
        yield reads, writes
    finally:
        for descriptor in (*reads, *writes):
            os.close(descriptor)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    # An alarm, since it interrupts every wait of this process: for the guest, or for the reader of its output.
    def time_up(signum: int, frame: FrameType | None) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, time_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def writable_folders(folders: Sequence[Path]) -> list[Path]:
    """Make the missing folders, and return all of them as absolute paths without symbolic links, once each."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{folder}: cannot be made: {error.strerror}; name another directory with --cases") from None
        if folder.resolve() == Path("/"):
            raise InputError(f"{folder}: a guest must not write to the whole machine: name another directory with --cases")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Unavailable(f"{folder}: cannot be written to; name another directory with --cases")
    return list(dict.fromkeys(folder.resolve() for folder in folders))
