"""C programs: compiled without a warning, run, and their findings."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from sockiter.backend import TRIES
from tests.support.command import DEADLINE_S
from tests.support.ktap import parsed

FLAGS = ("-O2", "-pthread", "-Wall", "-Wextra", "-Werror")
_FINDING = re.compile(r"(?:(skip|repeat|stale) (\S+): .*|(stuck|refused|incomplete)\b.*)")


@cache
def _missing(compiler: str) -> str:
    # The headers of libc and of the kernel may be missing as well.
    if shutil.which(compiler) is None:
        return f"there is no {compiler}"
    source = "#include <linux/bpf.h>\n#include <stdio.h>\n"
    done = subprocess.run([compiler, "-fsyntax-only", "-xc", "-"], input=source, text=True, capture_output=True, check=False)
    return f"{compiler}: {done.stderr.splitlines()[0]}" if done.returncode else ""


def compilers() -> list[str]:
    """gcc, clang, or both; the test is skipped where there is none."""
    reasons = {compiler: _missing(compiler) for compiler in ("gcc", "clang")}
    if all(reasons.values()):
        pytest.skip("; ".join(reasons.values()))
    return [compiler for compiler, why in reasons.items() if not why]


def compiled(source: str, path: Path, *, compiler: str = "gcc", flags: tuple[str, ...] = FLAGS) -> Path:
    """The program of a source; a warning fails."""
    path.with_suffix(".c").write_text(source, encoding="utf-8")
    command = [compiler, *flags, "-o", str(path), str(path.with_suffix(".c"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return path


def outcome(program: Path) -> tuple[set[tuple[str, str | None]], int]:
    """The findings that a program prints, and its exit status. Its output is valid KTAP, and agrees with the status.

    As a sequence on a target, a program that timed out on a busy machine is run again.
    """
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    for _ in range(TRIES - 1):
        if "too busy" in done.stdout:
            done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.stderr == ""
    (result,) = parsed(done.stdout)
    assert {0: (True, ""), 1: (False, ""), 4: (True, "SKIP")}[done.returncode] == (result.is_ok, result.directive), (
        done.stdout
    )
    found = [match.groups() for line in result.lines if (match := _FINDING.fullmatch(line))]
    return {(kind or other, name) for kind, name, other in found}, done.returncode
