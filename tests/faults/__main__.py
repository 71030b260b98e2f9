"""Inject faults of machines, users and packages into sockiter, and count the losses; there must be none.

Run by `tox -e faults`: all groups, or the named ones. Prints a line of figures for each group, and a line for each loss.
docs/explanation/reliability.md has the promises.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import SystemRandom

from tests.faults import ends, host, mutations, packages, places
from tests.faults.rounds import Group, carried_out

GROUPS = {group.name: group for of in (mutations, places, packages, ends, host) for group in of.GROUPS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tox -e faults --", description=__doc__, allow_abbrev=False)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"any of: {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, help="of each group, instead of as many as it has")
    parser.add_argument("--seed", default=f"{SystemRandom().getrandbits(32)}", help="the same rounds again")
    given = parser.parse_args()
    if unknown := set(given.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}: expected any of {', '.join(GROUPS)}")
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sockiter-faults-") as directory:
        groups = [GROUPS[name] for name in given.groups or GROUPS]
        return max([reported(group, given.rounds or group.rounds, given.seed, Path(directory)) for group in groups])


def reported(group: Group, rounds: int, seed: str, directory: Path) -> int:
    """Carry out a group and print its line; 1 if there was a fault."""
    if (missing := group.missing()) is not None:
        print(f"{group.name}: not here: {missing}", flush=True)
        return 0
    began = time.monotonic()
    figures: Counter[str] = Counter()
    faults: list[str] = []
    for nth, of in enumerate(carried_out(group, rounds, seed, directory), 1):
        figures += of.figures
        faults += of.faults
        if sys.stderr.isatty():
            print(f"\r{group.name}: {nth} of {rounds}", end="", file=sys.stderr, flush=True)
    counts = "".join(f", {count:,} {what}" for what, count in sorted(figures.items()))
    spent = time.monotonic() - began
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr, flush=True)
    print(f"{group.name}: {rounds} rounds in {spent:.0f} s{counts}; {len(faults)} faults", flush=True)
    for fault in faults:
        print(f"    {fault}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
