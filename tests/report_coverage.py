"""Report the coverage of the library by the tests; files that drive the kernel are left out if their tests were skipped.

Some targets run on few machines. Other tests cover their files, so these are never left out for them.

Run by tox, after `coverage combine`; fails below the threshold of pyproject.toml.
"""

from __future__ import annotations

import subprocess
import sys

from sockiter.kernel import KERNEL_TARGETS

RARE = {"kernel:map-iter", "kernel:listns", "kernel:conntrack", "kernel:proc-conntrack"}


def main() -> int:
    command = [sys.executable, "-m", "coverage", "report"]
    targets = [target for target in KERNEL_TARGETS if target.name not in RARE]
    lacks = {target.name: missing for target in targets if (missing := target.missing()) is not None}
    for name, missing in lacks.items():
        print(f"without sockiter/kernel/, whose tests were skipped: {name}: {missing}", flush=True)
    if lacks:
        command.append("--omit=sockiter/kernel/*")
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
