"""Report the coverage of the library by the tests; files that drive the kernel are left out if their tests were skipped.

Run by tox, after `coverage combine`; fails below the threshold of pyproject.toml.
"""

from __future__ import annotations

import subprocess
import sys

from sockiter.kernel import KERNEL_TARGETS


def main() -> int:
    command = [sys.executable, "-m", "coverage", "report"]
    lacks = {target.name: missing for target in KERNEL_TARGETS if (missing := target.missing()) is not None}
    for name, missing in lacks.items():
        print(f"without sockiter/kernel/, whose tests were skipped: {name}: {missing}", flush=True)
    if lacks:
        command.append("--omit=sockiter/kernel/*")
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
