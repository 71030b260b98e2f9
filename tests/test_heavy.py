"""Heavy cases: a file has limits, and everything within the limits takes seconds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from sockiter import cases
from sockiter.cases import loads
from sockiter.errors import InputError
from sockiter.replay import refused, replay
from sockiter.report import explain, picture, snapshots
from sockiter.report import table as report
from sockiter.report.trace import trace
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from sockiter.table import LARGE, Socket, Table, empty
from sockiter.targets import SCHEME_TARGETS, load_known, target_named
from tests.support.command import DEADLINE_S, sockiter, unmeasured

pytestmark = pytest.mark.usefixtures("on_any_machine")


def adds(sockets: int, *, buckets: int = 1) -> str:
    return "".join(f"add s{number} tail in {number % buckets}\n" for number in range(sockets))


def times(count: int, *lines: str) -> str:
    """These lines so many times, N being how often there were."""
    return "".join(f"{line}\n".replace("N", str(number)) for number in range(count) for line in lines)


# Each limit, a case that is just within it, and the line that is too much.
LIMITS = {
    "operations": ("open\n" + "read 1\n" * 4999, "read 1\n", "5,000 operations"),
    "inside": ("open\nread all\n" + "  at realloc 9: fail\n" * 4998, "  at realloc 9: fail\n", "5,000 operations"),
    "steps": (
        f"{adds(999)}open\n{times(1000, 'read 1')}",
        "read 1\n",
        "1,000,000 operations behind `open` times sockets and buckets",
    ),
    "buckets": (
        f"add A head in 999\nopen\n{times(900, 'read 1')}",
        "rehash A to 1023\nread 1\nread 1\n" * 60,
        "1,000,000 operations behind `open` times sockets and buckets",
    ),
    "expectations": (
        f"{adds(3)}open\n" + "".join(f"expect index skip s1 as x{n % 50}\n" for n in range(50)),
        "".join(f"expect index{n} stuck\n" for n in range(60)),
        "100 different targets and schemes",
    ),
}


@pytest.mark.parametrize(("within", "beyond", "limit"), LIMITS.values(), ids=LIMITS)
def test_a_file_that_asks_for_more_than_the_limit_is_refused_with_it(
    within: str, beyond: str, limit: str, tmp_path: Path
) -> None:
    loads(within)
    (path := tmp_path / "heavy.case").write_text(within + beyond, encoding="utf-8")
    result = sockiter("replay", path)
    assert (result.exit_code, result.stdout) == (2, "")
    line, _, what = result.stderr.removeprefix(f"sockiter: {path}:").partition(": ")
    assert within.count("\n") < int(line) <= (within + beyond).count("\n")
    assert what == f"the case is too large: expected at most {limit}\n"


def test_expectations_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cases.EXPECTS_MAX == 10_000
    monkeypatch.setattr(cases, "EXPECTS_MAX", 2)
    text = f"{adds(3)}open\nexpect index skip s0\nexpect index skip s1\n"
    loads(text)
    with pytest.raises(InputError, match=r"^<case>:7: the case is too large: expected at most 2 expectations$"):
        loads(f"{text}expect index skip s2\n")


@pytest.mark.parametrize("line", ["add NAME tail", "add A tail in NAME:0", "expect NAME stuck", "expect index skip NAME"])
def test_a_name_has_a_limit(line: str) -> None:
    with pytest.raises(InputError, match=r"^<case>:1: n{20}\.\.\. is a name of 101 characters: expected at most 100$"):
        loads(line.replace("NAME", 101 * "n"))
    loads(f"add {100 * 'n'} tail\nopen\n")


def test_results_that_exceed_the_limits_of_a_case_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "EXPECTS_MAX", 2)
    text = "add A tail\nadd B tail\nadd C tail\nadd D tail\nopen\nread 1\nremove A\nread all\n"
    (path := tmp_path / "heavy.case").write_text(text, encoding="utf-8")
    result = sockiter("replay", path, "--record")
    assert result.exit_code == 2
    assert "expected at most 2 expectations" in result.stderr
    assert path.read_text(encoding="utf-8") == text


# Steps: twice as much of everything takes twice as many lines of Python, not four times.


PACKAGE = f"{Path(cases.__file__).parent}/"


def lines_of(call: Callable[[], Any]) -> int:
    """How many lines of the project a call goes through."""
    count = 0

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def traced(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


DIMENSIONS: dict[str, Callable[[int], str]] = {
    "sockets": lambda n: f"{adds(n)}open\nread all\n",
    "buckets": lambda n: f"{adds(n, buckets=n)}open\nread all\n",
    "reads": lambda n: f"{adds(n)}open\n{times(n, 'read 1')}read all\n",
    "removals": lambda n: f"{adds(n)}open\n{times(n, 'read 1', 'remove sN')}read all\n",
    "moves": lambda n: f"{adds(n)}open\n{times(n, 'read 1', 'reinsert sN head')}read all\n",
    "inside": lambda n: f"{adds(n)}open\nread all\n{times(n, '  at show 3: reinsert sN head')}",
    "unreached": lambda n: f"{adds(3)}open\nread all\n{times(n, '  at realloc 9: reinsert s1 head')}",
    "expectations": lambda n: f"{adds(n)}open\nread all\n" + "".join(f"expect index skip s{i}\n" for i in range(n)),
}


@pytest.mark.unmeasured
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_twice_as_much_is_replayed_in_twice_the_steps(dimension: str) -> None:
    def replayed(size: int) -> Callable[[], None]:
        case = loads(DIMENSIONS[dimension](size))

        def go() -> None:
            for target in SCHEME_TARGETS:
                if not refused(case, target):
                    replay(case, target, target)  # type: ignore[arg-type]

        return go

    less, more = lines_of(replayed(2 * LARGE)), lines_of(replayed(4 * LARGE))
    # cookie-udp and the indexes go through a whole bucket at every read, as the kernel does. There is a limit for that.
    assert more < (3 if dimension == "reads" else 2.5) * less


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_twice_as_much_is_read_in_twice_the_steps(dimension: str) -> None:
    less, more = (lines_of(lambda size=size: loads(DIMENSIONS[dimension](size))) for size in (100, 200))  # type: ignore[misc]
    assert more < 2.5 * less


# Skips, repeats and moves by the hundred.
SHOWN = {
    "skips": lambda n: f"{adds(2 * n)}open\n{times(n, 'read 1', 'remove sN')}read all\n",
    "repeats": lambda n: f"{adds(n)}open\nread {n - 1}\n{times(n // 2, 'add tN head')}read all\n",
    "moves": DIMENSIONS["moves"],
    "inside": DIMENSIONS["inside"],
}


@pytest.mark.parametrize("kind", SHOWN)
def test_twice_as_much_is_shown_in_little_more_than_twice_the_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["sockiter.report.trace"], "CASE_ROWS_FIRST", 8)
    monkeypatch.setattr(sys.modules["sockiter.report.trace"], "CASE_ROWS_LAST", 2)
    for module in (report, snapshots):
        monkeypatch.setattr(module, "BUCKETS_MAX", 3)
    monkeypatch.setattr(report, "SOCKETS_MAX", 10)

    def shown(size: int) -> Callable[[], None]:
        case = loads(SHOWN[kind](size))
        target = target_named("offset-udp")

        def go() -> None:
            with target.session() as session:
                of = trace(case, target, session)
            for form in (explain.words, report.table, picture.svg):
                form(of)

        return go

    less, more = lines_of(shown(50)), lines_of(shown(100))
    assert more < 3 * less


# Omissions.

MANY = f"{adds(200)}open\n{times(150, 'read 1', 'remove sN')}read all\n"


def test_of_very_many_rows_and_sockets_the_first_are_shown_and_how_many_there_are() -> None:
    target = SchemeTarget(OffsetUdp())
    of = trace(loads(MANY), target, target)
    assert len(of.rows) == 100
    assert of.rows[79].event[-1] == "  (201 more steps are not shown)"
    assert [row.time for row in of.rows[78:82]] == [79, 80, 282, 283]
    text = report.table(of)
    assert "s60" in text
    assert "... (200 in all)" in " ".join(text.split())
    assert "\u2026 140 more" in picture.svg(of)


def test_of_very_many_buckets_the_first_are_shown_and_how_many_there_are() -> None:
    target = SchemeTarget(OffsetUdp())
    of = trace(loads(f"{adds(30, buckets=30)}open\nread all\n"), target, target)
    assert report.state_lines(of, of.start, report.used(of))[-2:] == ["19: s19", "(10 more buckets are not shown)"]
    *_, (last, sockets), (more, nothing) = snapshots.snapshots(of)[0].buckets
    assert (last, [item.name for item in sockets], more, nothing) == ("19", ["s19"], "10 more buckets", [])


def test_of_very_many_lines_inside_a_read_the_first_are_shown_and_how_many_there_are() -> None:
    target = SchemeTarget(OffsetUdp())
    text = f"add A tail\nopen\nread all\n{times(70, '  at show 1: reinsert A head')}"
    first, *_ = trace(loads(text), target, target).rows
    assert len(first.event) == 62
    assert first.event[-1] == "  (10 more lines are not shown)"


def test_very_many_findings_are_cut_to_the_first_and_their_number() -> None:
    target = SchemeTarget(OffsetUdp())
    repeated = trace(loads(SHOWN["repeats"](100)), target, target)
    explained = explain.words(repeated)
    assert sum("repeated" in sentence for sentence in explained) == 21
    assert "30 more are repeated." in explained
    skipped = trace(loads(SHOWN["skips"](60)), target, target)
    assert "10 more are skipped." in explain.words(skipped)
    assert ("10 more are skipped.", "skipped") in snapshots.looks(skipped)


# A large table.


def test_a_large_table_finds_its_sockets_whatever_its_order_is() -> None:
    # As no change makes it: a position is not found by its index.
    sockets = tuple(Socket(f"s{number}", 0) for number in range(3))
    table = Table((sockets,), LARGE, (0,), empty([("", 1)]).phases, (Socket("gone", 7),))
    assert [table.where(f"s{number}") for number in range(3)] == [(0, 0), (0, 1), (0, 2)]
    assert (table.has("s1"), table.has("gone")) == (True, False)
    assert (table.now(Socket("s1", 5)), table.now(Socket("gone", 5))) == (Socket("s1", 0), Socket("gone", 7))
    assert table.now(Socket("never", 5)) == Socket("never", 5)
    with pytest.raises(KeyError):
        table.where("gone")


# The heaviest, in a process of its own.

LIMITED = """
import resource, sys
from pathlib import Path
from sockiter import replay, targets
from sockiter.report import explain, page, table, trace

resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
case = targets.load_known(Path(sys.argv[1]))
for target in targets.SCHEME_TARGETS:
    if not replay.refused(case, target):
        replay.replay(case, target, target)
for name in ("offset-udp", "restart"):
    of = trace.trace(case, targets.target_named(name), targets.target_named(name))
    for form in (explain.words, table.table, page.html):
        form(of)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""
HEAVIEST = {
    "whole buffers": f"{adds(2048)}open\n{times(243, 'read 2047', 'remove sN')}read all\n",
    "many buckets": f"{adds(3900, buckets=1024)}open\n{times(200, 'read 14')}read all\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVIEST)
def test_the_heaviest_files_take_seconds_and_less_than_512_mib(name: str, tmp_path: Path) -> None:
    (path := tmp_path / "heavy.case").write_text(HEAVIEST[name], encoding="utf-8")
    load_known(path)
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE_S, env=unmeasured())
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 512
