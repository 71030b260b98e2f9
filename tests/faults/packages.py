"""Packages: installed schemes that exit, hang, print or raise in each of their calls."""

from __future__ import annotations

from pathlib import Path
from random import Random

from sockiter.plugins import GROUP
from tests.faults.rounds import PROGRAM, Group, Round, document, done
from tests.support.paths import CASES

RFC_SKIP = CASES / "rfc_skip.case"
MODULE = """
import os, sys, time
{at_import}
from sockiter.schemes.offset_udp import OffsetUdp


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Hostile(OffsetUdp):
    name = "hostile"

    def {method}(self, *args):
        {deed}
        return super().{method}(*args)
"""
DEEDS = {
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "generator exit": "raise GeneratorExit",
    "bare": "raise BaseException('bare')",
    "unprintable": "raise Unprintable()",
    "nothing": "return None",
    "unhashable": "return [[]]",
    "a loop": "while True: pass",
    "recursion": "self.{method}(*args)",
    "printing": "print('hello'); os.write(1, b'hello')",
}
METHODS = ("open", "begin", "resume", "place", "canonical")
AT_IMPORT = {
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "bare": "raise BaseException('bare')",
    "printing": "print('hello'); os.write(1, b'hello')",
    "syntax": "][",
    "recursion": "def f(): f()\nf()",
}
WAYS = [("import", name) for name in AT_IMPORT] + [(method, name) for method in METHODS for name in DEEDS]
# Each with whether it uses the hostile scheme, so that it cannot end as if all were well with it.
COMMANDS: tuple[tuple[tuple[object, ...], bool], ...] = (
    (("targets", "--json"), False),
    (("replay", RFC_SKIP, "--target", "offset-udp", "--json"), False),
    (("replay", RFC_SKIP, "--target", "hostile", "--json"), True),
    (("fuzz", "hostile", "index", "--seconds", "4", "--workers", "1", "--cases", "cases", "--json"), True),
    (("check", "hostile", "--sockets", "2", "--json"), True),
    (("show", RFC_SKIP, "--target", "hostile", "--json"), True),
)
# Methods that not every command calls.
CALLS = {"canonical": ("check",), "place": ("show",)}
# A call may take ten seconds of processor time, and a check makes several searches.
DEADLINE_S = 300.0
# These change nothing that a command is asked for.
HARMLESS = {"printing"}


def installed(directory: Path, way: tuple[str, str]) -> None:
    """The files of an installed package of this kind."""
    where, what = way
    at_import = AT_IMPORT[what] if where == "import" else ""
    method, deed = (where, DEEDS[what].format(method=where)) if where != "import" else ("begin", "pass")
    (directory / "hostile.py").write_text(MODULE.format(at_import=at_import, method=method, deed=deed), encoding="utf-8")
    (information := directory / "hostile-1.dist-info").mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\nhostile = hostile:Hostile\n", encoding="utf-8")


def hostile(number: int, random: Random, directory: Path) -> Round:
    """A command that knows of such a scheme: one line for it, the others go on, and nothing but a document is a document."""
    of = Round()
    way = WAYS[number % len(WAYS)]
    command, uses = random.choice(COMMANDS)
    installed(directory, way)
    ending = done(*PROGRAM, *command, cwd=directory, deadline_s=DEADLINE_S, variables={"PYTHONPATH": str(directory)})
    name = f"{way[1]} in {way[0]}: {' '.join(str(word) for word in command[:2])}"
    if ending is None:
        of.faults.append(f"{name}: it does not end")
        return of
    is_harmless = way[1] in HARMLESS or command[0] not in CALLS.get(way[0], (command[0],))
    of.faults += [f"{name}: {fault}" for fault in ending.faults({0, 1, 3})]
    if uses and not is_harmless:
        # None is a canonical form as any other value is.
        of.check(
            ending.status != 0 or way == ("canonical", "nothing"),
            f"{name}: status 0, although the scheme did not do its work",
        )
        of.figures["named in words"] += "hostile" in ending.err + ending.out
        of.check("hostile" in ending.err + ending.out, f"{name}: nobody says who it was")
    if not uses and way == ("import", "os._exit"):
        of.check(ending.status == 3, f"{name}: status {ending.status}, although nothing was done")
    elif not uses:
        of.check(
            ending.status == 0 and document(ending.out) is not None, f"{name}: status {ending.status}, {ending.out[:80]!r}"
        )
    if "fuzz" in command and (report := document(ending.out)):
        of.check("index" in [one["target"] for one in report["targets"]], f"{name}: the other scheme was not run")
        of.figures["others that went on"] += 1
    return of


GROUPS = (Group("packages", 2 * len(WAYS), hostile),)
