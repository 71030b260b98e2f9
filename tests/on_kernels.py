"""The checks of `tox -e kernels` for each kernel, and the program that runs them in a guest.

A new kernel or a new pair needs only a line here. Inside a guest: `python tests/on_kernels.py KERNEL DIRECTORY`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sockiter.kernel import KERNEL_TARGETS

# Each of the kernel's targets that runs there is fuzzed for so long, by the driver that is quick in emulation too; but for
# the dumps, on which the corpus is replayed: their cases have dozens of sockets, and to shrink one takes a minute there.
SECONDS = 2
# The comparison of a pair: this many sequences, or as many as the time allows, fewer in emulation.
SEQUENCES, SEQUENCES_S = 10_000, 20
# The timeout of a guest, boot included: two guests stay within a quarter of an hour.
TIMEOUT_S = 440

# Debian's kernels, and the pairs of a target and the scheme that it is to agree with there at every read.
KERNELS: dict[str, tuple[tuple[str, str], ...]] = {
    "linux-image-6.1.0-47-amd64": (
        ("kernel:udp", "rank"),
        ("kernel:tcp", "offset-tcp"),
        ("kernel:unix", "unix"),
    ),
    "linux-image-6.12": (
        ("kernel:udp", "offset-udp"),
        ("kernel:tcp", "cookie-tcp"),
        ("kernel:unix", "unix"),
    ),
}


def commands(kernel: str, cases: str) -> list[list[str]]:
    """The modules, with their arguments, that are run on a kernel one after the other; each is to end with status 0."""
    here = [target.name for target in KERNEL_TARGETS if target.missing() is None and not target.name.endswith("-diag")]
    seconds, limits = str(SECONDS * len(here)), ["--sequences", str(SEQUENCES), "--seconds", str(SEQUENCES_S)]
    always = ["--seed", "1", "--cases", cases]
    return [
        ["pytest", "-p", "no:cacheprovider", "-rs", str(Path(__file__).parent / "kernel" / "test_corpus.py")],
        ["sockiter", "fuzz", *here, "--driver", "swarm", "--seconds", seconds, *always],
        *(["sockiter", "conform", *pair, *limits, *always] for pair in KERNELS[kernel]),
    ]


def main(kernel: str, cases: str) -> int:
    """Run all of it, whatever comes of the first; the number of commands that failed."""
    for target in KERNEL_TARGETS:
        if (missing := target.missing()) is not None:
            print(f"{target.name} does not run here: {missing}", flush=True)
    failed = 0
    for command in commands(kernel, cases):
        print(f"+ {' '.join(command)}", flush=True)
        started = time.monotonic()
        status = subprocess.call([sys.executable, "-m", *command])
        print(f"status {status} after {time.monotonic() - started:.0f} s", flush=True)
        failed += status != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
