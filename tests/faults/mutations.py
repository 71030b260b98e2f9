"""Mutated case files: thousands in one process, hundreds through the command line."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from sockiter.cases import dumps, files, loads
from sockiter.errors import SockiterError
from sockiter.replay import refused, replay
from sockiter.targets import SCHEME_TARGETS
from tests.faults.rounds import PROGRAM, Group, Round, done
from tests.support.paths import CASES

TEXTS = [path.read_text(encoding="utf-8") for path in files([CASES])]
A_ROUND = 500
# Processor time of one case on one scheme, on a busy machine.
SLOW_S = 2.0
WORDS = (
    *("add", "remove", "reinsert", "rehash", "open", "read", "all", "until", "error", "at", "show", "realloc", "bucket"),
    *("fail", "head", "tail", "in", "to", "expect", "batch", "skip", "repeat", "stale", "as", "0", "1", "-1", "99999999999"),
    *("A", "B", "established:0", "\u00e9", "\U0001f600", "\x00", "\x1b[31m", "\ufeff", "#", "%s", "\u2028", "\r", "\t"),
)


def _at(text: str, random: Random) -> tuple[str, str]:
    nth = random.randrange(len(text))
    return text[:nth], text[nth:]


def with_word(text: str, random: Random) -> str:
    """A word more, anywhere."""
    return random.choice(WORDS).join(_at(text, random))


def without_character(text: str, random: Random) -> str:
    """A character less."""
    head, tail = _at(text, random)
    return head + tail[1:]


def other_character(text: str, random: Random) -> str:
    """Another character in place of one."""
    head, tail = _at(text, random)
    return head + chr(random.randrange(0x3000)) + tail[1:]


def cut_short(text: str, random: Random) -> str:
    """Everything up to somewhere."""
    return _at(text, random)[0]


def other_word(text: str, random: Random) -> str:
    """Another word in place of one."""
    words = text.split(" ")
    words[random.randrange(len(words))] = random.choice(WORDS)
    return " ".join(words)


def word_of_its_own(text: str, random: Random) -> str:
    """A word of the case in place of one."""
    words = text.split(" ")
    words[random.randrange(len(words))] = random.choice(words)
    return " ".join(words)


def lines_swapped(text: str, random: Random) -> str:
    """Two lines in each other's place."""
    lines = text.splitlines(keepends=True)
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return "".join(lines)


def line_twice(text: str, random: Random) -> str:
    """A line twice."""
    lines = text.splitlines(keepends=True)
    lines.insert(random.randrange(len(lines)), random.choice(lines))
    return "".join(lines)


def without_line(text: str, random: Random) -> str:
    """A line less."""
    lines = text.splitlines(keepends=True)
    lines.pop(random.randrange(len(lines)))
    return "".join(lines)


def another_behind(text: str, random: Random) -> str:
    """A case of the corpus behind it."""
    return text + random.choice(TEXTS)


LIKELY = (lines_swapped, line_twice, without_line, word_of_its_own)
"""Changes that leave a case more often than not."""
ODD = (with_word, without_character, other_character, cut_short, other_word, another_behind)


def mutated(random: Random) -> str:
    """A case of the corpus after one to three changes."""
    text = random.choice(TEXTS)
    changes = random.choice((LIKELY, LIKELY, ODD, LIKELY + ODD))
    for _ in range(random.randint(1, 3)):
        text = random.choice(changes)(text, random) or "open\n"
    return text


def in_one_process(number: int, random: Random, directory: Path) -> Round:
    """Each is a case, written back as it was and carried out on every scheme, or wrong input, and nothing else."""
    of = Round()
    for _ in range(A_ROUND):
        text = mutated(random)
        before = time.process_time()
        try:
            case = loads(text)
            of.check(loads(dumps(case)) == case, f"not read back as it was written: {text!r}")
            for target in SCHEME_TARGETS:
                if not refused(case, target):
                    with target.session() as session:
                        replay(case, target, session)
                    of.figures["replays"] += 1
        except SockiterError as error:
            of.check("\n" not in str(error) and error.status == 2, f"{error!r} of {text!r}")
            of.figures["wrong input"] += 1
        except Exception as error:
            of.faults.append(f"{error!r} of {text!r}")
        else:
            of.figures["cases"] += 1
        spent = time.process_time() - before
        of.check(spent < SLOW_S * len(SCHEME_TARGETS), f"{spent:.1f} s of {text!r}")
    return of


def through_the_command_line(number: int, random: Random, directory: Path) -> Round:
    """`replay`, `show` and `minimize` of such a file, under a name that is as odd."""
    of = Round()
    name = "".join(random.choice(("a", "\n", "\u00e9", "\x1b[31m", " ", "\udcff", "-", "%")) for _ in range(3))
    path = directory / f"{name}.case"
    path.write_text(mutated(random), encoding="utf-8", errors="replace")
    command = random.choice(
        (("replay", path), ("replay", "--json", path), ("show", path), ("minimize", path, "-o", directory / "least.case"))
    )
    ending = done(*PROGRAM, *command)
    if ending is None:
        of.faults.append(f"{command[0]}: it does not end: {path.read_text(errors='replace')!r}")
        return of
    of.faults += [f"{command[0]}: {fault}: {path.read_text(errors='replace')!r}" for fault in ending.faults({0, 1, 2, 3})]
    of.check("\x1b" not in ending.out + ending.err, f"{command[0]}: an escape sequence is printed raw")
    of.figures[f"status {ending.status}"] += 1
    return of


GROUPS = (
    Group("mutated cases", 20, in_one_process, alone=True),
    Group("mutated files", 300, through_the_command_line),
)
