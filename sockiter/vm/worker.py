"""The process that downloads kernels and runs guests, so that a killed command line leaves nothing behind.

The command line starts a worker in a new session and holds one end of a pipe to it. If the command line ends in any way,
the pipe closes, and the worker ends its guests and downloads and removes incomplete kernels. If the worker is killed, the
command line ends the rest of the worker's session.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from sockiter.errors import SockiterError, Unavailable
from sockiter.vm import build, cache, packages, sources, trees
from sockiter.vm import guest as guests

INTERRUPTED = 130
"""The exit status of an order that was interrupted."""
# As of a program that SIGPIPE has ended.
_OUTPUT_CLOSED = 128 + signal.SIGPIPE


@dataclass(slots=True)
class Account:
    """What a worker did: what it reports of the guest (see `ORDERS`), and the standard output of the command."""

    report: dict[str, Any] = field(default_factory=dict)
    output: bytes = b""


def hand_over(order: Mapping[str, Any], account: Account | None = None) -> int:
    """Let a worker carry out an order, and return its exit status; an exception here ends the worker and its processes.

    The key `do` of an order names one of `ORDERS`; the other keys are its arguments. With `is_silent`, the worker prints no
    error: the caller has it in the report. With an `account`, standard output goes there, and not to that of this process.
    """
    if account is None:
        return _hand_over(order, None, ())
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as report:
        try:
            return _hand_over({**order, "report": report.fileno()}, output, (report.fileno(),))
        finally:
            report.seek(0)
            account.report = json.loads(report.read() or b"{}")
            output.seek(0)
            account.output = output.read()


def _hand_over(order: Mapping[str, Any], output: IO[bytes] | None, descriptors: Collection[int]) -> int:
    with tempfile.TemporaryDirectory(prefix="sockiter-vm-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            # The working directory is not on the worker's path: a module there may have this package's name.
            [sys.executable, "-P", "-m", "sockiter.vm.worker"],
            stdin=subprocess.PIPE,
            stdout=output,
            pass_fds=descriptors,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": guests.python_path(os.environ)},
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps({**order, "folder": folder}).encode() + b"\n")
                process.stdin.flush()
            process.wait()
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            end_session(process.pid)
    if process.returncode < 0:
        raise Unavailable(f"the worker process of the guest was killed by {signal.Signals(-process.returncode).name}")
    return process.returncode


def end_session(leader: int) -> None:
    """Kill every process of a session whose leader has ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name of the program, which may have spaces and parentheses itself, ends at the last parenthesis.
            _, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(session) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def main() -> int:
    """Read one order from standard input, carry it out, and return its exit status; stop when the input ends."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return INTERRUPTED  # the caller ended before it sent an order
    order = json.loads(line)
    folder = Path(order.pop("folder"))
    descriptor: int | None = order.pop("report", None)
    prints = not order.pop("is_silent", False)
    report: dict[str, Any] = {}
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_watch, daemon=True).start()
    try:
        return ORDERS[order.pop("do")](folder, report, **order)
    except SockiterError as error:
        return _failed(report, error, error.status, prints=prints)
    except BrokenPipeError:
        return _OUTPUT_CLOSED  # the reader of the guest's output has ended
    except OSError as error:
        return _failed(report, error, Unavailable.status, prints=prints)
    except KeyboardInterrupt:
        report["trouble"] = "interrupted"
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if descriptor is not None:
            os.write(descriptor, json.dumps(report).encode())
        shutil.rmtree(folder, ignore_errors=True)


def _failed(report: dict[str, Any], error: Exception, status: int, *, prints: bool) -> int:
    report["trouble"] = str(error)
    if prints:
        print(f"sockiter: {error}", file=sys.stderr)
    return status


def _run(
    folder: Path,
    report: dict[str, Any],
    *,
    kernel: str,
    command: list[str],
    cases: list[str],
    reads: list[str],
    suite: str = "",
    **how: Any,
) -> int:
    image = image_of(kernel, suite)
    guest = guests.Guest(image=image, cases=list(map(Path, cases)), reads=list(map(Path, reads)), **how)
    return guests.run(guest, command, folder, report)


def _build(folder: Path, report: dict[str, Any], *, version: str) -> int:
    image = build.build(version)
    report |= {"outcome": "built", "image": str(image)}
    print(image)
    return 0


def _build_tree(folder: Path, report: dict[str, Any], *, tree: str, patch: str | None, to: str) -> int:
    image = sources.build(Path(tree), Path(to), None if patch is None else Path(patch))
    report |= {"outcome": "built", "image": str(image)}
    return 0


ORDERS: dict[str, Callable[..., int]] = {"run": _run, "build": _build, "build-tree": _build_tree}
"""What a worker can do. Each returns an exit status and adds to a report: the fields of the document of `vm --json` that it
alone knows."""


def image_of(kernel: str, suite: str = "") -> Path:
    """The kernel image of a name, with its modules ready to boot.

    A name is a path of an image, a tree or packages, a kernel in the cache, or a package, which is then downloaded: of the
    machine's own sources, or of a `suite` of Debian.
    """
    if "/" in kernel or os.path.exists(kernel):
        path = Path(kernel)
        if path.is_dir():
            has_packages = cache.image_in(path) is None and any(path.glob("*.deb"))
        else:
            has_packages = path.suffix == ".deb" and path.exists()
        return packages.from_files(path) if has_packages else trees.image_of(path)
    if (image := cache.find(kernel)) is not None:
        return image
    if kernel.startswith(build.PREFIX):
        raise Unavailable(f"{kernel} is not built yet: sockiter vm --build {kernel.removeprefix(build.PREFIX)}")
    if kernel.startswith("linux-image-"):
        return packages.image(kernel, suite)
    there = f"; built or downloaded already: {', '.join(names)}" if (names := cache.kept()) else ""
    raise Unavailable(
        f"{kernel}: no such kernel: expected the path of an image, a tree or a package, or a package such as "
        f"linux-image-6.12{there}"
    )


def _watch() -> None:
    # The order is complete, so the next event is the end of the input. Unbuffered, since a buffer's lock would be held at
    # exit.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(signum: int, frame: FrameType | None) -> None:
    # Only once; from here on, everything ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
