"""Places: a full disk, a read-only disk, and standard descriptors that are closed or full."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

from sockiter.cases import loads
from sockiter.errors import SockiterError
from tests.faults.rounds import PROGRAM, Group, Round, broken_cases, document, done
from tests.support.paths import CASES

# A private disk, and the files that were left there in the end.
PRIVATE = """
mount -t tmpfs -o "$1" none "$2" || exit 99
kept=$3
mounted=$2
shift 3
status=0
"$@" || status=$?
cp -a "$mounted/." "$kept"
exit $status
"""
BEHIND = "this case could not be saved there:\n"
RFC_SKIP = CASES / "rfc_skip.case"
# A directory as standard input is left out: Python itself ends there, before it runs anything.
REDIRECTIONS = (
    "<&-",
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    ">/dev/full",
    "2>/dev/full",
    ">/dev/full 2>/dev/full",
    "</dev/full",
)
# Each with the statuses that it may end with where all is well with it, and where its output has nowhere to go.
COMMANDS: tuple[tuple[tuple[object, ...], int], ...] = (
    (("replay", RFC_SKIP, "--target", "index"), 0),
    (("replay", "nosuch.case"), 2),
    (("replay", RFC_SKIP, "--target", "nosuch"), 2),
    (("show", RFC_SKIP, "--json"), 0),
    (("show", RFC_SKIP, "--html", "/nowhere/page"), 3),
    (("minimize", RFC_SKIP, "--target", "offset-udp"), 0),
    (("check", "restart", "--sockets", "2"), 0),
    (("matrix", "rank", "--sockets", "2"), 0),
    (("targets",), 0),
    (("fuzz", "index", "--driver", "swarm", "--seconds", "0.3", "--workers", "1", "--cases", "cases"), 0),
)


def no_disk() -> str | None:
    """Why there can be no disk of one's own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a disk of one's own takes root and unshare(1)"
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    return probe.stderr.strip() or None if probe.returncode else None


def on_a_full_disk(number: int, random: Random, directory: Path) -> Round:
    """A fuzz on a disk with room for a few pages: every finding that it reports is a whole case there, or was printed."""
    of = Round()
    (disk := directory / "disk").mkdir()
    (kept := directory / "kept").mkdir()
    # Each file takes a page.
    room = f"size={4 * random.randrange(1, 8)}k"
    command: tuple[str, ...] = (
        "fuzz",
        "offset-udp",
        "rank",
        "unix",
        "full-batch",
        "--driver",
        "swarm",
        "--workers",
        "2",
        "--json",
    )
    command += ("--seconds", "1.5", "--seed", f"{number}", "--cases", str(disk))
    ending = done("unshare", "--mount", "sh", "-c", PRIVATE, "sh", room, disk, kept, *PROGRAM, *command)
    if ending is None:
        of.faults.append("it does not end")
        return of
    of.faults += ending.faults({0, 3})
    report = document(ending.out)
    of.check(report is not None, f"no report: {ending.err[-200:]!r}")
    printed = ending.err.split(BEHIND)[1:]
    for text in printed:
        try:
            loads(text.partition("sockiter: ")[0])
        except SockiterError as error:
            of.faults.append(f"a case that was printed cannot be read: {error}")
    of.faults += broken_cases(kept)
    if report is not None:
        found = [one["case"] for target in report["targets"] for one in target["refuted"]]
        of.check(found.count(None) == len(printed), f"{found.count(None)} not saved, {len(printed)} printed")
        lost = [name for name in found if name is not None and not (kept / Path(name).name).is_file()]
        of.check(not lost, f"reported as saved and not there: {lost}")
        of.check((ending.status == 3) == (None in found), f"status {ending.status} with {found.count(None)} not saved")
        of.figures["saved"] += len(found) - found.count(None)
        of.figures["printed"] += len(printed)
    return of


def on_a_read_only_disk(number: int, random: Random, directory: Path) -> Round:
    """Every command that writes reports a failed write in one line, with status 3."""
    of = Round()
    (disk := directory / "disk").mkdir()
    (kept := directory / "kept").mkdir()
    command: tuple[object, ...] = (
        ("fuzz", "index", "--seconds", "1", "--cases", disk),
        ("show", RFC_SKIP, "--html", disk / "page.html"),
        ("show", RFC_SKIP, "--svg", disk / "picture.svg"),
        ("minimize", RFC_SKIP, "--target", "offset-udp", "-o", disk / "least.case"),
        ("matrix", "rank", "--sockets", "2", "--html", disk / "page.html"),
    )[number % 5]
    ending = done("unshare", "--mount", "sh", "-c", PRIVATE, "sh", "ro", disk, kept, *PROGRAM, *command)
    if ending is None:
        of.faults.append(f"{command[0]}: it does not end")
        return of
    of.faults += [f"{command[0]}: {fault}" for fault in ending.faults({3})]
    of.check(f"{disk}" in ending.err, f"{command[0]}: the place is not named: {ending.err[-200:]!r}")
    of.check(not list(kept.iterdir()), f"{command[0]}: something was written to a disk that is read only")
    return of


def without_descriptors(number: int, random: Random, directory: Path) -> Round:
    """Every command with each descriptor closed or full: the status that it has otherwise, or 3 where output is lost."""
    of = Round()
    script = REDIRECTIONS[number % len(REDIRECTIONS)]
    command, status = COMMANDS[number // len(REDIRECTIONS) % len(COMMANDS)]
    ending = done("sh", "-c", f'"$@" {script}', "sh", *PROGRAM, *command, cwd=directory)
    name = f"{' '.join(map(str, command[:1]))} {script}"
    if ending is None:
        of.faults.append(f"{name}: it does not end")
        return of
    # A write to a full disk fails. A closed pipe has no reader, so the output is not missed.
    is_lost = ">/dev/full" in script.replace("2>/dev/full", "")
    of.faults += [f"{name}: {fault}" for fault in ending.faults({status, 3} if is_lost else {status})]
    return of


GROUPS = (
    Group("full disk", 30, on_a_full_disk, no_disk),
    Group("read-only disk", 10, on_a_read_only_disk, no_disk),
    Group("descriptors", len(REDIRECTIONS) * len(COMMANDS), without_descriptors),
)
