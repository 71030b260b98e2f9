"""The text form of a case, and the files of cases.

Decided here: the format, and the errors of an unreadable case. A case is data: nothing in it is ever executed. Not known
here: the targets, the meaning of a case, and how a file is written atomically.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from sockiter.backend import SLOTS
from sockiter.errors import InputError
from sockiter.files import escaped, own_path, write_whole
from sockiter.operations import (
    FIRST,
    POINTS,
    PROPERTIES,
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Fail,
    Impossible,
    Open,
    Operation,
    Point,
    Property,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    check,
)
from sockiter.verdict import KINDS, OF_A_SOCKET, Kind

HEADER = "# sockiter case v1"
SUFFIX = ".case"
STDIN = "-"
"""The path that stands for standard input."""

BYTES_MAX = 1 << 20
BUCKETS_MAX = 1024
# Counts (records, slots, points) up to this limit are plain numbers for every target.
COUNT_MAX = 1_000_000
READ_BYTES_MAX = 1 << 20
"""Bytes of one read, more than the buffer of every walk."""
# Within these limits, running a case on every model and showing it takes seconds at most, and at most 512 MiB.
NAME_MAX = 100
"""Characters of a name."""
OPERATIONS_MAX = 5_000
"""Operations, those inside reads included."""
STEPS_MAX = 1_000_000
"""Operations behind `open`, including those inside reads, times sockets and buckets: each operation may look at all of
them."""
EXPECTS_MAX = 10_000
"""Expectations."""
EXPECTED_NAMES_MAX = 100
"""Different targets and schemes in the expectations."""


@dataclass(frozen=True, slots=True, order=True)
class Expect:
    """One expected finding of a target. A target without expected findings is expected to pass.

    `scheme`: for a kernel's iterator, the detected scheme that the expectation depends on; None for any scheme. `remark`:
    the comment at the end of its line.
    """

    target: str
    kind: Kind
    socket: str | None = None
    scheme: str | None = None
    remark: str = field(default="", compare=False)

    def __str__(self) -> str:
        words = ["expect", self.target, self.kind, *([self.socket] if self.socket is not None else [])]
        words += ["as", self.scheme] if self.scheme is not None else []
        return " ".join([*words, f" # {self.remark}"] if self.remark else words)


@dataclass(frozen=True, slots=True)
class Case:
    """A sequence of operations, the slots of a batch at open, the expected findings, and the lines of a comment."""

    operations: tuple[Operation, ...]
    slots: int = SLOTS
    expects: tuple[Expect, ...] = ()
    comment: tuple[str, ...] = ()


def loads(text: str, *, file: str = "<case>") -> Case:
    """Read a case; raises `InputError` for the first error, with file and line. Nothing is executed."""
    return _Reader(file).case(text)


@dataclass(frozen=True, slots=True)
class Lines:
    """Line numbers of a case in its file: one for each expectation, and for each operation its own and those inside it."""

    expects: tuple[int, ...]
    operations: tuple[tuple[int, ...], ...]


def load(path: Path) -> Case:
    """Read a case from a file of at most `BYTES_MAX` bytes; raises `InputError` as `loads`, and for a missing file."""
    return load_with_lines(path)[0]


def load_with_lines(path: Path) -> tuple[Case, Lines]:
    """Read a case as `load`, together with its line numbers."""
    name = escaped(path)
    try:
        # A FIFO without a writer would block an ordinary open.
        descriptor = 0 if str(path) == STDIN else os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", closefd=descriptor != 0) as stream:
            if descriptor and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{name}: not a regular file: expected a case file, or {STDIN} for standard input")
            data = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    if len(data) > BYTES_MAX:
        line = data.count(b"\n") + 1
        raise InputError(f"{name}:{line}: the file is too large: expected a case of at most {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: byte {data[error.start]:#04x} is not UTF-8: expected a text file") from None
    reader = _Reader(name)
    return reader.case(text), reader.lines


def dumps(case: Case) -> str:
    """Write a case; `loads(dumps(case)) == case`."""
    lines = [HEADER, *(f"# {line}".rstrip() for line in case.comment)]
    if case.slots != SLOTS:
        lines.append(f"batch {case.slots}")
    lines += map(str, case.expects)
    lines.append("")
    for op in case.operations:
        lines.extend(spell(op))
    return "\n".join(lines) + "\n"


def spell(operation: Operation) -> list[str]:
    """The lines of one operation: its own line, and one for each change inside it."""
    match operation:
        case Open():
            return ["open"]
        case Again():
            return ["again"]
        case Read():
            return [
                _spell_read(operation),
                *(f"  at {at.point} {at.nth}: {_spell_change(at.what)}" for at in operation.at),
            ]
        case _:
            return [_spell_change(operation)]


class Origin(NamedTuple):
    """Where a case was found: the seed of the fuzz, and the release of the kernel; each "" if the comment does not say."""

    seed: str
    kernel: str

    def __str__(self) -> str:
        return ", ".join([f"seed {self.seed}"] * bool(self.seed) + [f"Linux {self.kernel}"] * bool(self.kernel))


def origin(case: Case) -> Origin:
    """The origin of a case, from the comment that a fuzz gave it."""
    comment = "\n".join(case.comment)
    seed = re.search(r"^Seed (\S+?)\.(?: |$)", comment, re.MULTILINE)
    kernel = re.search(r"\bon Linux (\S+?)\.?$", comment, re.MULTILINE)
    return Origin(seed[1] if seed else "", kernel[1] if kernel else "")


def save(case: Case, directory: Path, stem: str) -> Path:
    """Save a case as DIRECTORY/STEM-HASH.case and return the path; a missing directory is created.

    The hash is that of the operations and slots. Two workers with the same finding write the same file, and different
    findings never collide. An existing file stays as it is. The write is atomic, and the file is on the disk when this
    returns. Raises OSError, and leaves nothing behind, if the file cannot be written.
    """
    path = own_path(directory, stem, dumps(Case(case.operations, case.slots)), SUFFIX)
    directory.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_whole(path, dumps(case))
    return path


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """The paths in order. A directory is replaced by its case files, sorted by name; only regular files count."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.glob(f"*{SUFFIX}") if file.is_file())
        else:
            yield path


def is_name(word: str) -> bool:
    """Whether a word can name a socket or a target in a case: printable, without spaces, and not like a comment."""
    return bool(word) and word.split() == [word] and word.isprintable() and not word.startswith("#")


def _spell_read(read: Read) -> str:
    words = ["walk"] if read.silent else ["read"]
    if read.count is not None:
        words += [str(read.count)] + ["bytes"] * (read.unit == "bytes")
    elif read.gives_up:
        words += ["until", "error"]
    elif not read.silent:
        words += ["all"]
    return " ".join(words + ["destroying"] * read.destroying)


def _spell_change(change: Change | Fail) -> str:
    match change:
        case Add(name, end, bucket, properties):
            return " ".join([f"add {name} {end}" + (f" in {bucket}" if bucket != FIRST else ""), *properties])
        case Remove(name):
            return f"remove {name}"
        case Reinsert(name, end):
            return f"reinsert {name} {end}"
        case Rehash(name, bucket):
            return f"rehash {name} to {bucket}"
        case Close(name):
            return f"close {name}"
        case Accept(name):
            return f"accept {name}"
        case Destroy(name):
            return f"destroy {name}"
        case _:
            return "fail"


_SPELLINGS = {
    "add": f"add NAME head|tail [in BUCKET] [{'] ['.join(PROPERTIES)}]",
    "remove": "remove NAME",
    "reinsert": "reinsert NAME head|tail",
    "rehash": "rehash NAME to BUCKET",
    "close": "close NAME",
    "accept": "accept NAME",
    "destroy": "destroy NAME",
    "open": "open",
    "again": "again",
    "read": "read N [bytes], read all, or read until error, each with [destroying]",
    "walk": "walk, or walk until error, each with [destroying]",
    "batch": "batch SLOTS",
    "expect": f"expect TARGET {'|'.join(KINDS)} [NAME] [as SCHEME]",
    "at": "at show N: CHANGE, at bucket N: CHANGE, at realloc N: CHANGE, or at realloc N: fail",
    "fail": "fail",
}


_CHANGES = ("add", "remove", "reinsert", "rehash", "close", "accept", "destroy")
_POINTS: dict[str, Point] = {point: point for point in POINTS}


class _Size:
    # The size of a case, up to the current line.

    def __init__(self) -> None:
        self.operations = self.sockets = self.buckets = self.behind_open = 0
        self.expected: set[str] = set()
        self._highest: dict[str, int] = {}
        self._is_open = False

    def count(self, operation: Operation | Fail) -> None:
        self.operations += 1
        self.behind_open += self._is_open
        if isinstance(operation, Open):
            self._is_open = True
        elif isinstance(operation, (Add, Rehash)):
            self.sockets += isinstance(operation, Add)
            table, number = operation.bucket.table, operation.bucket.number
            if number >= self._highest.get(table, 0):
                self.buckets += number + 1 - self._highest.get(table, 0)
                self._highest[table] = number + 1


class _Reader:
    # Reads one case. Tracks the current line for errors, and the line of every operation for errors of the whole sequence.

    def __init__(self, file: str) -> None:
        self.file = file
        self.line = 0
        self.words: list[str] = []
        self.lines = Lines((), ())
        self.size = _Size()

    def case(self, text: str) -> Case:
        comment: list[str] = []
        slots: int | None = None
        expects: dict[Expect, int] = {}
        operations: list[Operation] = []
        # The line of every operation, and the lines of the changes inside it.
        places: list[list[int]] = []
        # The changes inside a read, by the read's index. They are added at the end, since a case may have very many of them.
        inside: dict[int, list[At]] = {}
        for self.line, raw in enumerate(text.split("\n"), start=1):
            if not raw.replace("\t", " ").rstrip("\r").isprintable():
                raise self.error(f"{raw.strip()!r} has characters that cannot be printed", "plain text")
            line = re.sub(r"(^|\s)#.*", "", raw)
            self.words = line.split()
            if not self.words:
                # Comments above everything else belong to the case. Other comments are dropped.
                if (remark := raw.strip()) and not self._is_header(remark) and not (operations or expects or slots):
                    comment.append(remark[1:].removeprefix(" ").rstrip())
                continue
            if self.words[0] == "at":
                if not operations or not isinstance(operations[-1], Read):
                    raise self.error("`at` outside of a read", "an indented line under a `read`")
                if not line[0].isspace():
                    raise self.error("`at` is not indented", "an indented line under its `read`")
                inside.setdefault(len(operations) - 1, []).append(at := self._at())
                places[-1].append(self.line)
                self._count(at.what)
                continue
            if line[0].isspace():
                raise self.error(f"{self.words[0]!r} is indented", "only `at` lines to be indented, under their `read`")
            match self.words[0]:
                case "batch":
                    if slots is not None:
                        raise self.error("a second `batch`", "one at the most")
                    self._arity(2)
                    slots = self._number(self.words[1], 1, COUNT_MAX)
                case "expect":
                    expect = self._expect(raw[len(line) :].strip().removeprefix("#").strip())
                    if expect in expects:
                        problem = f"`{' '.join(self.words)}` stands in line {expects[expect]} already"
                        raise self.error(problem, "one such line")
                    expects[expect] = self.line
                    self._limit("expectations", len(expects), EXPECTS_MAX)
                    self.size.expected |= {expect.target, expect.scheme or expect.target}
                    self._limit("different targets and schemes", len(self.size.expected), EXPECTED_NAMES_MAX)
                case "open" | "again" as word:
                    self._arity(1)
                    operations.append(Open() if word == "open" else Again())
                    places.append([self.line])
                case "read" | "walk":
                    operations.append(self._read())
                    places.append([self.line])
                case _:
                    operations.append(self._change(self.words))
                    places.append([self.line])
            if operations and places[-1] == [self.line]:
                self._count(operations[-1])
        for index, points in inside.items():
            read = operations[index]
            assert isinstance(read, Read)
            operations[index] = replace(read, at=tuple(points))
        self._check(operations, places)
        self._check_expects(operations, expects)
        self.lines = Lines(tuple(expects.values()), tuple(map(tuple, places)))
        return Case(tuple(operations), SLOTS if slots is None else slots, tuple(expects), tuple(comment))

    def error(self, problem: str, expected: str, *, line: int | None = None) -> InputError:
        return InputError(f"{self.file}:{self.line if line is None else line}: {_short(problem)}: expected {expected}")

    def _count(self, operation: Operation | Fail) -> None:
        size = self.size
        size.count(operation)
        self._limit("operations", size.operations, OPERATIONS_MAX)
        self._limit(
            "operations behind `open` times sockets and buckets", size.behind_open * (size.sockets + size.buckets), STEPS_MAX
        )

    def _limit(self, unit: str, count: int, most: int) -> None:
        if count > most:
            raise self.error("the case is too large", f"at most {most:,} {unit}")

    def _is_header(self, remark: str) -> bool:
        if self.line == 1 and remark.startswith("# sockiter case") and remark != HEADER:
            raise self.error(f"{remark!r} is an unknown version", f"{HEADER!r}")
        return self.line == 1 and remark == HEADER

    def _read(self) -> Read:
        verb, *words = self.words
        destroying = words[-1:] == ["destroying"]
        if destroying:
            words.pop()
        match verb, words:
            case ("read", ["until", "error"]) | ("walk", ["until", "error"]):
                return Read(None, gives_up=True, silent=verb == "walk", destroying=destroying)
            case ("read", ["all"]) | ("walk", []):
                return Read(None, silent=verb == "walk", destroying=destroying)
            case "read", [count] if count != "until":
                return Read(self._number(count, 1, COUNT_MAX), destroying=destroying)
            case "read", [count, "bytes"]:
                return Read(self._number(count, 1, READ_BYTES_MAX), unit="bytes", destroying=destroying)
        raise self.error(f"`{' '.join(self.words)}`", _SPELLINGS[verb])

    def _at(self) -> At:
        words = self.words
        if len(words) < 4 or (point := _POINTS.get(words[1])) is None or not words[2].endswith(":"):
            raise self.error(f"`{' '.join(words)}`", _SPELLINGS["at"])
        nth = self._number(words[2][:-1], 1, COUNT_MAX)
        if words[3] == "fail":
            if words[1] != "realloc":
                raise self.error(f"`fail` at {words[1]}", "`fail` at realloc, the only point with an allocation")
            if len(words) > 4:
                raise self.error(f"`{' '.join(words[3:])}`", _SPELLINGS["fail"])
            return At("realloc", nth, Fail())
        return At(point, nth, self._change(words[3:]))

    def _change(self, words: list[str]) -> Change:
        match words:
            case ["add", name, ("head" | "tail") as end, "in", bucket, *properties]:
                return Add(self._name(name), _end(end), self._bucket(bucket), self._properties(properties))
            case ["add", name, ("head" | "tail") as end, *properties] if properties[:1] != ["in"]:
                return Add(self._name(name), _end(end), properties=self._properties(properties))
            case ["remove", name]:
                return Remove(self._name(name))
            case ["reinsert", name, ("head" | "tail") as end]:
                return Reinsert(self._name(name), _end(end))
            case ["rehash", name, "to", bucket]:
                return Rehash(self._name(name), self._bucket(bucket))
            case ["close", name]:
                return Close(self._name(name))
            case ["accept", name]:
                return Accept(self._name(name))
            case ["destroy", name]:
                return Destroy(self._name(name))
            case [verb, *_] if verb in _CHANGES:
                raise self.error(f"`{' '.join(words)}`", _SPELLINGS[verb])
        if self.words[0] == "at":
            known = f"{', '.join(_CHANGES)}{', fail' if self.words[1] == 'realloc' else ''}"
        else:
            known = ", ".join(word for word in _SPELLINGS if word != "fail")
        raise self.error(f"unknown word {words[0]!r}", known)

    def _properties(self, words: list[str]) -> tuple[Property, ...]:
        for word in words:
            if word not in PROPERTIES:
                raise self.error(f"unknown property {word!r} in `{' '.join(self.words)}`", _SPELLINGS["add"])
        if len(set(words)) < len(words) or {"request", "bound"} <= set(words):
            raise self.error(f"`{' '.join(words)}`", "each property once, and not both `request` and `bound`")
        return tuple(word for word in PROPERTIES if word in words)

    def _expect(self, remark: str) -> Expect:
        words, scheme = self.words, None
        if len(words) > 4 and words[-2] == "as":
            words, scheme = words[:-2], self._name(words[-1])
        match words:
            case ["expect", target, kind] if kind in KINDS and kind not in OF_A_SOCKET:
                return Expect(self._name(target), kind, None, scheme, remark)
            case ["expect", target, kind, socket] if kind in OF_A_SOCKET:
                return Expect(self._name(target), kind, self._name(socket), scheme, remark)
        raise self.error(
            f"`{' '.join(self.words)}`",
            f"{_SPELLINGS['expect']}, with a NAME for {', '.join(kind for kind in KINDS if kind in OF_A_SOCKET)}",
        )

    def _arity(self, words: int) -> None:
        if len(self.words) != words:
            raise self.error(f"`{' '.join(self.words)}`", _SPELLINGS[self.words[0]])

    def _name(self, word: str) -> str:
        assert is_name(word)  # a word of a line without comments
        if len(word) > NAME_MAX:
            raise self.error(f"{word[:20]}... is a name of {len(word):,} characters", f"at most {NAME_MAX}")
        return word

    def _number(self, word: str, least: int, most: int) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", word) or not least <= int(word) <= most:
            raise self.error(f"{word!r}", f"a number from {least} to {most}")
        return int(word)

    def _bucket(self, word: str) -> Bucket:
        table, colon, number = word.rpartition(":")
        if colon and not table:
            raise self.error(f"{word!r}", "a bucket as NUMBER or TABLE:NUMBER")
        self._name(table or word)
        return Bucket(self._number(number, 0, BUCKETS_MAX - 1), table)

    def _check(self, operations: list[Operation], places: list[list[int]]) -> None:
        try:
            check(operations)
        except Impossible as error:
            if error.index == len(operations):
                raise self.error(str(error).partition("; expected ")[0], "one `open`") from None
            line = places[error.index][0 if error.inside is None else error.inside + 1]
            problem, _, expected = str(error).partition("; expected ")
            raise self.error(problem, expected, line=line) from None

    def _check_expects(self, operations: list[Operation], expects: dict[Expect, int]) -> None:
        names = {change.name for op in operations for change in changes(op) if isinstance(change, Add)}
        for expect, line in expects.items():
            if expect.socket is not None and expect.socket not in names:
                raise self.error(f"no socket {expect.socket!r} is ever added", "the name of an added socket", line=line)


def _end(word: str) -> End:
    return "head" if word == "head" else "tail"


def _short(value: str) -> str:
    # A quoted value, cut to fit a line of a terminal.
    return value if len(value) <= 100 else value[:97] + "..."
