"""A command in a guest on another kernel: what the guest sees of this machine, what comes back, and when it is ended.

Decided here: that the guest has what the command needs of this machine's files (`view`), read-only, with throw-away layers
where programs write; the same interpreter, Python path and working directory; the folders for cases, where what is written
is on this machine at once; and how output and status come out of it. Not known here: where the kernel comes from, and what
the command does.

Output and status leave the guest by virtio ports of its own, and not by those of virtme-ng, which needs a udev in the guest
to find them. A write to such a port returns when this side has it: all that came before the status is here before it.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sockiter.errors import InputError, Unavailable
from sockiter.vm import acceleration, cache, programs, view

QEMU = "qemu-system-x86_64"
TIMED_OUT = 124

_NEEDED = {
    "virtme-run": "virtme-ng: pip install '.[vm]' in a checkout of sockiter",
    QEMU: "Debian's package qemu-system-x86",
}
# Where the kernel has modules, virtme-ng makes an initial file system with those that it takes to reach the root.
_NEEDED_FOR_MODULES = {
    "busybox": "Debian's package busybox-static",
    "modprobe": "Debian's package kmod",
    "depmod": "Debian's package kmod",
    "file": "Debian's package file",
}

# Writable in the guest, and gone with it. No folder where people keep their work: there a write is refused, not lost.
_LAYERS = ("/etc", "/tmp", "/usr", "/var")
# Hidden in the guest by empty file systems of its own.
_HIDDEN = ("/run", "/dev/shm", "/var/tmp", "/var/cache", "/var/log", "/var/lib/private", "/var/lib/apt", "/var/lib/machines")

# What a command finds of the caller's environment, besides all that begins with one of the prefixes.
_VARIABLES = ("HOME", "LANG", "TZ", "TERM", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI", "VIRTUAL_ENV")
_WITH_PREFIX = re.compile(r"(LC|SOCKITER|HYPOTHESIS)_\w+\Z|PYTHON\w+\Z", re.ASCII)

_MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L,access=any,cache=none,msize=512000"
# A guest has nothing to protect, and emulation pays dearly for it.
# Large tables are walked in vain: these have a bucket for each of some hundred sockets.
_KERNEL_OPTIONS = ("mitigations=off", "init_on_alloc=0", "thash_entries=1024", "uhash_entries=256")
_SPARED = "/sys/kernel/debug/failslab/ignore-gfp-wait"
# If all that watches over a guest is killed, it ends by itself, so long after its time.
_GRACE_S = 60


class _TimeUp(Exception):
    """The time limit has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What a guest has: `memory` as qemu spells it, `cases` to write to, `reads` to read besides what every command finds,
    and `timeout_s` for boot and command together."""

    image: Path
    cases: Sequence[Path]
    reads: Sequence[Path] = ()
    timeout_s: float
    memory: str
    cpus: int
    kvm: bool
    verbose: bool


def run(guest: Guest, command: Sequence[str], folder: Path) -> int:
    """Run a command in a guest and return its exit status, or `TIMED_OUT`; its output goes where this process's goes.

    `folder` is an empty one for what the guest and virtme-ng need meanwhile. Raises `Unavailable` for what is not
    installed, and when the guest ends before the command does.
    """
    _check(guest.image)
    qemu = programs.program(QEMU)
    assert qemu is not None
    model, why = acceleration.model(QEMU, folder) if guest.kvm else (None, "--no-kvm")
    how = "KVM" if model is not None else f"emulation ({why})"
    cache.show_progress(f"booting {guest.image.name.removeprefix('vmlinuz-')} by {how}")
    shares = [*((path, True) for path in guest.cases), *((path, False) for path in _hidden_here())]
    (folder / "run").write_text(script(command, [path for path, _ in shares]), encoding="utf-8")
    modules = guest.image.absolute().parent.parent / "lib" / "modules"
    paths = view.shown([*view.needed(), *python_path(os.environ).split(os.pathsep), *guest.reads, modules], command)
    program = view.wrapper(qemu, folder, paths, [path for path, _ in shares], [*guest.cases, folder])
    (folder / "qemu").write_text(program, encoding="utf-8", errors="surrogateescape")
    (folder / "qemu").chmod(0o700)
    try:
        with _pipes(4) as (reads, writes), _at_most(guest.timeout_s):
            arguments = _virtme_run(guest, model, folder, shares, writes[:3])
            how_run = {"env": {**os.environ, "TMPDIR": str(folder)}, "pass_fds": writes[:3], "cwd": "/"}
            with programs.running(arguments, stdout=writes[3], stderr=writes[3], **how_run):
                for descriptor in writes:
                    os.close(descriptor)
                writes.clear()
                status, log = _attend({reads[0]: 1, reads[1]: 2}, *reads[2:], show_log=guest.verbose)
    except _TimeUp:
        print(f"sockiter: the guest was ended after {guest.timeout_s:g} s, its time limit (--timeout)", file=sys.stderr)
        return TIMED_OUT
    finally:
        for path in guest.cases:
            view.tidy(path)
    words = status.decode(errors="replace").split()
    if words[1:]:
        return int(words[1])
    failure = "ended before the command did: a crash of the kernel, may be" if words else "did not come up"
    quoted = f": {last_lines}" if (last_lines := programs.last_lines(log)) and not guest.verbose else ""
    raise Unavailable(f"the guest {failure}{quoted}{'' if guest.verbose else '; --verbose shows its console'}")


def script(command: Sequence[str], shares: Sequence[Path]) -> str:
    """What the shell in the guest runs, as root: it sets up what the command is to find, runs it, and reports its status."""
    lines = [
        "for port in /sys/class/virtio-ports/*; do",
        '    read -r name <"$port/name"',
        '    case $name in sockiter.*) eval "${name#sockiter.}=/dev/${port##*/}";; esac',
        "done",
        'exec >"$out" 2>"$err" 3>"$status" </dev/null',
        "mount -t bpf bpf /sys/fs/bpf 2>/dev/null",
        "[ -d /sys/kernel/debug/bdi ] || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null",
        # Where allocations can be made to fail, those that may wait can, too: a batch is allocated by such a one.
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
        # This side ends the guest now.
        "sleep 60",
    ]
    return "\n".join(lines) + "\n"


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: this interpreter first on the PATH, and this package on Python's path."""
    kept = {name: value for name, value in caller.items() if name in _VARIABLES or _WITH_PREFIX.match(name)}
    kept["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), programs.search_path()])
    kept["PYTHONPATH"] = python_path(caller)
    return kept


def python_path(caller: Mapping[str, str]) -> str:
    """The PYTHONPATH with which another interpreter process, there or here, finds the same package."""
    here = str(Path(__file__).parents[2])
    installed = here in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    paths = [
        *([] if installed else [here]),
        *(os.path.abspath(path) for path in caller.get("PYTHONPATH", "").split(os.pathsep) if path),
    ]
    return os.pathsep.join(dict.fromkeys(paths))


def _check(image: Path) -> None:
    # What can be said before anything is started.
    try:
        with open(image, "rb") as stream:
            head = stream.read(0x206)
    except OSError as error:
        raise Unavailable(f"{image}: no kernel image: {error.strerror}") from None
    # The magic number of the boot protocol for x86.
    if head[0x202:0x206] != b"HdrS":
        raise Unavailable(f"{image}: no kernel image for x86: expected a bzImage, as in boot/vmlinuz-*")
    modules = image.absolute().parent.parent / "lib" / "modules"
    programs.require({**_NEEDED, **(_NEEDED_FOR_MODULES if modules.is_dir() else {})}, "to boot a kernel")


def _hidden_here() -> list[Path]:
    # Folders that the command needs, and that the guest would not show.
    needed = [sys.prefix, sys.base_prefix, os.getcwd(), *python_path(os.environ).split(os.pathsep)]
    paths = [Path(path).resolve() for path in needed if os.path.isdir(path)]
    return list(dict.fromkeys(path for path in paths if any(path.is_relative_to(hidden) for hidden in _HIDDEN)))


def _virtme_run(
    guest: Guest, model: str | None, folder: Path, shares: Sequence[tuple[Path, bool]], ports: Sequence[int]
) -> list[str]:
    arguments = ["virtme-run", "--kimg", str(guest.image.absolute()), "--mods", "auto", "--qemu-bin", str(folder / "qemu")]
    # The same on every machine, and without a daemon of its own for the root.
    arguments += ["--force-9p", "--memory", guest.memory, "--cpus", str(guest.cpus)]
    for layer in _LAYERS:
        arguments += ["--overlay-rwdir", layer]
    if model is None:
        arguments.append("--disable-kvm")
    if guest.verbose:
        arguments += ["--show-boot-console", "--verbose"]
    end = f"(sleep {int(guest.timeout_s) + _GRACE_S}; echo b >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &"
    begin = f"mkdir -p /run/sockiter && {_MOUNT} sockiter /run/sockiter && . /run/sockiter/run"
    # Where an ordinary user's mounts are private, set-uid programs, such as mount, are nobody's, and would run as nobody.
    plainly = "exec setpriv --no-new-privs" if programs.program("setpriv") else "exec"
    arguments += ["--script-sh", f"{end} {plainly} sh -c {shlex.quote(begin)}"]
    for option in _KERNEL_OPTIONS:
        arguments += ["--kopt", option]
    # To the end of the line these are qemu's own.
    arguments.append("--qemu-opts")
    if view.is_sandboxed(QEMU):
        arguments += ["-sandbox", view.SANDBOX]
    if model is not None:
        arguments += ["-cpu", model]
    for tag, path, writable in [("sockiter", folder, False), *((f"sockiter{n}", *share) for n, share in enumerate(shares))]:
        place = str(path).replace(",", ",,")
        # What a guest makes there has the caller as its owner, and a plain mode: no set-uid program, no device, no link.
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


def _attend(ours: Mapping[int, int], status: int, log: int, *, show_log: bool) -> tuple[bytes, bytes]:
    # Passes on the output of the guest until it has reported a status, or is gone; returns the report, and the log's end.
    reported = log_tail = b""
    with selectors.DefaultSelector() as selector:
        for descriptor in (*ours, status, log):
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ended = reported.count(b"\n") == 2
            ready = selector.select(0 if ended else None)
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
    # The ends to read from and to write to; what is taken out of the lists is the caller's to close.
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
    # An alarm, since it gets through to wherever this process waits: for the guest, or for who reads its output.
    def up(signum: int, frame: FrameType | None) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def writable_folders(folders: Sequence[Path]) -> list[Path]:
    """Make the folders that are not there, and return all of them as absolute paths without symbolic links, once each."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{folder}: cannot be made: {error.strerror}; name another directory with --cases") from None
        if folder.resolve() == Path("/"):
            raise InputError(f"{folder}: a guest is not given the whole machine to write to: name a directory with --cases")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Unavailable(f"{folder}: cannot be written to; name another directory with --cases")
    return list(dict.fromkeys(folder.resolve() for folder in folders))
