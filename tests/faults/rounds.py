"""The shared part of all groups: start a command, inject a fault, and count the losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sockiter.cases import files, load
from sockiter.errors import SockiterError
from sockiter.replay import refused, replay
from sockiter.targets import target_named
from tests.support.command import members, unmeasured
from tests.support.paths import ROOT

PROGRAM = (sys.executable, "-m", "sockiter")
# The timeout on a busy machine. A command that has not ended by then does not end.
DEADLINE_S = 60.0
# Exit statuses of the command line; 130 is an interrupt that came before there was anything to report.
STATUSES = frozenset({0, 1, 2, 3, 130})


@dataclass(slots=True)
class Round:
    """The result of one round: figures to be added up, and faults in words."""

    figures: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def check(self, holds: bool, fault: str) -> None:
        """Count a fault unless it holds."""
        if not holds:
            self.faults.append(fault)


@dataclass(frozen=True, slots=True)
class Group:
    """Rounds of one kind: `run` makes one of them, from its number, a source of chance and a directory of its own.

    `missing` names a prerequisite that this machine lacks, None for none; `alone`: one round at a time.
    """

    name: str
    rounds: int
    run: Callable[[int, Random, Path], Round]
    missing: Callable[[], str | None] = lambda: None
    alone: bool = False


def carried_out(group: Group, rounds: int, seed: str, directory: Path) -> Iterator[Round]:
    """All rounds of a group, two at a time, each from a seed of its own."""

    def one(number: int) -> Round:
        (place := directory / f"{group.name}-{number}").mkdir()
        return group.run(number, Random(f"{seed}/{group.name}/{number}"), place)

    with ThreadPoolExecutor(1 if group.alone else 2) as threads:
        yield from threads.map(one, range(rounds))


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended: its exit status (negative: the signal that ended it) and its output."""

    status: int
    out: str
    err: str

    def faults(self, statuses: Iterable[int] = STATUSES) -> list[str]:
        """A traceback, a status that is none of these, and half a JSON document with another status than 130."""
        found = []
        output = self.err + self.out
        # Python, interrupted before it has come to this project, prints a traceback of its own.
        is_early = self.err.endswith("KeyboardInterrupt\n") and f"{ROOT / 'sockiter'}/" not in output
        if "Traceback (most recent call last)" in output and not is_early:
            found.append(f"a traceback: {self.err.strip().splitlines()[-1:]}")
        if self.status not in statuses:
            found.append(f"status {self.status}: {self.err.strip()[-200:]!r}")
        # An interrupt ends a half-written document; the exit status reports it.
        if self.status != 130 and self.out.lstrip()[:1] in ("{", "[") and document(self.out) is None:
            found.append(f"a broken JSON document: {self.out[-80:]!r}")
        return found


def document(text: str) -> Any:
    """The JSON document in a text; None: there is none, or it is broken."""
    try:
        return json.loads(text)
    except ValueError:
        return None


@contextmanager
def started(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, of which nothing is left at the end."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        env=unmeasured() | options.pop("variables", {}),
        **options,
    )
    try:
        yield process
    finally:
        for pid in members(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def ended(process: subprocess.Popen[str], deadline_s: float = DEADLINE_S) -> Ended | None:
    """Its exit status; None: it does not end."""
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        return None
    return Ended(process.returncode, out, err)


def done(*command: object, deadline_s: float = DEADLINE_S, **options: Any) -> Ended | None:
    """A command from its start to its end; None: it does not end."""
    with started(command, **options) as process:
        return ended(process, deadline_s)


def is_empty(session: int, deadline_s: float = 10.0) -> bool:
    """Whether all processes of a session are gone, at the latest after this many seconds."""
    deadline = time.monotonic() + deadline_s
    while members(session):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def broken_cases(directory: Path) -> list[str]:
    """The unreadable cases of a directory, the cases with other results than expected, and other files."""
    found = []
    for path in files([directory]):
        try:
            case = load(path)
        except SockiterError as error:
            found.append(f"a broken case: {error}")
            continue
        for name in {expect.target for expect in case.expects}:
            target = target_named(name)
            if target.is_real or refused(case, target):
                continue
            with target.session() as session:
                if not replay(case, target, session).as_expected:
                    found.append(f"not as expected on {name}: {path.name}")
    found += [f"left behind: {path.name}" for path in directory.iterdir() if path.suffix not in (".case", ".part")]
    return found
