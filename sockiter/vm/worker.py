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
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from sockiter.errors import SockiterError, Unavailable
from sockiter.vm import build, cache, packages
from sockiter.vm import guest as guests

_INTERRUPTED = 130


def hand_over(order: Mapping[str, Any]) -> int:
    """Let a worker carry out an order, and return its exit status; an exception here ends the worker and its processes.

    The key `do` of an order names one of `ORDERS`; the other keys are its arguments.
    """
    with tempfile.TemporaryDirectory(prefix="sockiter-vm-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            # The working directory is not on the worker's path: a module there may have this package's name.
            [sys.executable, "-P", "-m", "sockiter.vm.worker"],
            stdin=subprocess.PIPE,
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
        return _INTERRUPTED  # the caller ended before it sent an order
    order = json.loads(line)
    folder = Path(order.pop("folder"))
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_watch, daemon=True).start()
    try:
        return ORDERS[order.pop("do")](folder, **order)
    except SockiterError as error:
        print(f"sockiter: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        return 1  # the reader of the guest's output has ended
    except OSError as error:
        print(f"sockiter: {error}", file=sys.stderr)
        return Unavailable.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *, kernel: str, command: list[str], cases: list[str], reads: list[str], **how: Any) -> int:
    image = image_of(kernel)
    guest = guests.Guest(image=image, cases=list(map(Path, cases)), reads=list(map(Path, reads)), **how)
    return guests.run(guest, command, folder)


def _build(folder: Path, *, version: str) -> int:
    print(build.build(version))
    return 0


ORDERS: dict[str, Callable[..., int]] = {"run": _run, "build": _build}


def image_of(kernel: str) -> Path:
    """The kernel image of a name: a path, a kernel in the cache, or a package of Debian, which is then downloaded."""
    if "/" in kernel or os.path.exists(kernel):
        path = Path(kernel)
        return (cache.image_in(path) or path) if path.is_dir() else path
    if (image := cache.find(kernel)) is not None:
        return image
    if kernel.startswith(build.PREFIX):
        raise Unavailable(f"{kernel} is not built yet: sockiter vm --build {kernel.removeprefix(build.PREFIX)}")
    if kernel.startswith("linux-image-"):
        return packages.image(kernel)
    there = f"; built or downloaded already: {', '.join(names)}" if (names := cache.kept()) else ""
    raise Unavailable(f"{kernel}: no such kernel: expected an image's path, or a package such as linux-image-6.12{there}")


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
