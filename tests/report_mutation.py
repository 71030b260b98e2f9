"""Run the mutation tests, and compare the survivors with the list in docs/measurements/mutation.md.

Run by tox. A mutant is killed if a test fails or the mutant does not end. pyproject.toml lists the mutated modules and their
tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LIST = ROOT / "docs" / "measurements" / "mutation.md"
KILLED = ("killed", "timeout")


class Survivor(NamedTuple):
    """A mutant: its function, the mutated line, and the original line."""

    function: str
    line: str
    mutated: str


def listed(text: str) -> list[Survivor]:
    """Those that the document calls equivalent: the rows of its table whose first three columns are code."""
    return [Survivor(*row) for row in re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|", text, re.MULTILINE)]


def survivor(mutant: str, diff: str) -> Survivor:
    """The output of `mutmut show` for a mutant, whose name is like `sockiter.table.xǁTableǁnumber__mutmut_7`."""
    function = mutant.rpartition("__mutmut_")[0].removeprefix("sockiter.").replace(".xǁ", ".").replace(".x_", ".")
    lines = [re.findall(rf"^[{sign}](?![{sign}]{{2}}) *(.+)$", diff, re.MULTILINE) for sign in "-+"]
    return Survivor(function.replace("ǁ", "."), *("; ".join(part) for part in lines))


def mutmut(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "mutmut", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    # From scratch: the results of an earlier run do not hold for the present tests.
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    if code := subprocess.call([sys.executable, "-m", "mutmut", "run", *sys.argv[1:]]):
        return code
    outcomes = re.findall(r"^ *(\S+): (.+)$", mutmut("results", "--all", "true"), re.MULTILINE)
    modules = Counter(mutant.split(".")[1] for mutant, _ in outcomes)
    alive = [mutant for mutant, status in outcomes if status not in KILLED]
    survive = Counter(mutant.split(".")[1] for mutant in alive)
    print(f"\n{'module':<12}{'mutants':>8}{'killed':>8}{'survive':>9}")
    for module, made in modules.items():
        print(f"{module:<12}{made:>8}{made - survive[module]:>8}{survive[module]:>9}")
    known, found = (
        Counter(listed(LIST.read_text(encoding="utf-8"))),
        Counter(survivor(one, mutmut("show", one)) for one in alive),
    )
    for what, which in (("survives, and is not in", found - known), ("does not survive any more, but is in", known - found)):
        for one in which.elements():
            print(f"{what} {LIST.relative_to(ROOT)}: {one.function}\n  - {one.line}\n  + {one.mutated}")
    return 0 if outcomes and found == known else 1


if __name__ == "__main__":
    sys.exit(main())
