"""Ends: kill -9 of any process of a fuzz, and signals to any command at any moment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from sockiter.cases import files
from tests.faults.rounds import PROGRAM, STATUSES, Group, Round, broken_cases, document, ended, is_empty, started
from tests.support.command import members
from tests.support.paths import CASES

FUZZ = ("fuzz", "offset-udp", "rank", "unix", "--driver", "swarm", "--workers", "2", "--json")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMANDS: tuple[tuple[object, ...], ...] = (
    (*FUZZ, "--seconds", "600"),
    ("fuzz", "offset-udp", "--driver", "hypothesis", "--seconds", "600"),
    ("check", "index", "--sockets", "4"),
    ("check", "--verify", "rank"),
    ("matrix", "offset-udp", "cookie-udp", "--sockets", "4"),
    ("replay", CASES, "--json"),
    ("minimize", CASES / "cookie-tcp-skip-remove-realloc-16.case", "--target", "cookie-tcp"),
    ("show", CASES / "rfc_skip.case"),
    ("targets", "--json"),
)


def killed(number: int, random: Random, directory: Path) -> Round:
    """A fuzz whose main process, one worker or whole session is killed: its cases stay whole, and no process lives on."""
    of = Round()
    cases = directory / "cases"
    temporary = directory / "temporary"
    temporary.mkdir()
    command = (*PROGRAM, *FUZZ, "--seconds", "600", "--seed", number, "--cases", cases)
    with started(command, variables={"TMPDIR": str(temporary)}) as process:
        time.sleep(random.uniform(0.1, 3.0))
        whom = random.choice(("the main process", "a worker", "all"))
        session = members(process.pid)
        workers = [pid for pid, parent in session.items() if session.get(parent) == process.pid]
        victims = {"the main process": [process.pid], "a worker": workers[:1], "all": list(session)}[whom]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if whom == "a worker":
            time.sleep(random.uniform(0.0, 0.5))
            process.send_signal(signal.SIGINT)
            ending = ended(process)
            of.check(ending is not None, "a fuzz that does not end after its worker was killed and it was interrupted")
            if ending is not None:
                # Until Python has set up its handlers, a signal ends it as it ends any process.
                of.faults += ending.faults({0, 3, 130, -signal.SIGINT})
                of.faults += unreported(ending.out, cases)
        of.check(is_empty(process.pid), f"{whom} killed: workers live on")
    of.figures["killed"] += len(victims)
    if cases.is_dir():
        of.faults += broken_cases(cases)
        of.figures["whole cases"] += len(list(files([cases])))
    # The next run in the same places cleans up behind the dead one, and leaves files alone that are younger than a minute.
    for part in cases.glob(".*"):
        os.utime(part, (0, 0))
    with started((*PROGRAM, *FUZZ, "--seconds", "0.2", "--cases", cases), variables={"TMPDIR": str(temporary)}) as process:
        again = ended(process)
    of.check(again is not None and again.status == 0, "the next run in the same directory fails")
    left = [path.name for path in (*cases.glob(".*"), *temporary.iterdir())]
    of.check(not left, f"left after the next run: {left}")
    return of


def unreported(out: str, cases: Path) -> list[str]:
    """The cases that are on the disk and not in the report, or the other way round."""
    report = document(out)
    if report is None or "error" in report:
        return []  # it ended before there was a report; then there is nothing on the disk, or it was killed
    reported = {one["case"] for target in report["targets"] for one in target["refuted"]}
    saved = {str(path) for path in files([cases])} if cases.is_dir() else set()
    return [f"reported and not saved, or the other way round: {sorted(reported ^ saved)}"] if reported != saved else []


def signalled(number: int, random: Random, directory: Path) -> Round:
    """Any command, and a signal to it or its group at any moment: it ends with a message, and a fuzz reports its cases."""
    of = Round()
    command = COMMANDS[number % len(COMMANDS)]
    is_fuzz = command[0] == "fuzz"
    cases = directory / "cases"
    with started((*PROGRAM, *command, *(("--cases", cases) if is_fuzz else ()))) as process:
        time.sleep(random.choice((random.uniform(0.0, 0.4), random.uniform(0.4, 2.5))))
        number = random.choice(SIGNALS)
        with suppress(ProcessLookupError):
            random.choice((os.kill, os.killpg))(process.pid, number)
        ending = ended(process)
        name = f"{command[0]}, {signal.Signals(number).name}"
        of.check(ending is not None, f"{name}: it does not end")
        if ending is not None:
            # Before Python has set up its handlers, a signal ends it as any process.
            of.faults += [f"{name}: {fault}" for fault in ending.faults({*STATUSES, -number})]
            if is_fuzz and "--json" in command:
                of.faults += [f"{name}: {fault}" for fault in unreported(ending.out, cases)]
            of.figures["ended by themselves" if ending.status >= 0 else "ended by the signal"] += 1
        of.check(is_empty(process.pid), f"{name}: workers live on")
    return of


GROUPS = (Group("kill -9", 60, killed), Group("signals", 200, signalled))
