"""The command line: the output of every command, and the exit statuses."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from click.testing import Result

from sockiter import __version__
from sockiter.backend import Session, Target
from sockiter.cases import Case, Expect, dumps, load, loads
from sockiter.claims import HAZARDS, KnownFailure, hazards_of, known_failure
from sockiter.cli import fuzz_summary as summary
from sockiter.cli.targets import targets as targets_command
from sockiter.errors import Inconclusive, Unavailable
from sockiter.fuzzing import campaign
from sockiter.fuzzing.campaign import Campaign, Ended, FuzzJob, Message, SavedFinding, Tick
from sockiter.fuzzing.triage import TriagedFinding, fails_as
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.sockets import base
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Operation
from sockiter.replay import ReplayResult, refused
from sockiter.replay import replay as replay_case
from sockiter.report.explain import words
from sockiter.report.page import html
from sockiter.report.picture import svg
from sockiter.report.table import table
from sockiter.report.trace import Trace, trace
from sockiter.shrink.minimize import Fails
from sockiter.targets import SCHEME_TARGETS, TARGETS, target_named
from sockiter.verdict import Finding, Kind
from tests.support.command import NO_KERNEL, commands, read_all, sockiter, unmeasured
from tests.support.inline_workers import work_inline
from tests.support.kernel_targets import LIMITED, with_capabilities
from tests.support.paths import CASES

RFC_SKIP = CASES / "rfc_skip.case"
FUZZ = import_module("sockiter.cli.fuzz")

pytestmark = pytest.mark.usefixtures("on_any_machine")

# With this seed the first bite, which is never cut short, has a finding.
QUICK = ("fuzz", "offset-udp", "--driver", "swarm", "--workers", "1", "--seed", "7", "--seconds", "0.2")
# More than the first slice, so that there are two slices. The first bite of each slice finds one of the RFC's failures.
# The last option of a kind counts.
BOTH = ("--hazard", "remove", "--hazard", "add-head", "--seconds", "3")
MOVES = "add A tail\nadd B tail\nopen\nread 1\nreinsert A tail\nread all\n"


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """`replay`, `targets` and `fuzz` know of two schemes and of one iterator."""
    few = tuple(target_named(name) for name in ("offset-udp", "index", "kernel:udp"))
    for command in ("replay", "targets", "subject"):
        monkeypatch.setattr(import_module(f"sockiter.cli.{command}"), "TARGETS", few)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)


def document(result: Result) -> Any:
    """The one JSON document on standard output; nothing else is said."""
    assert result.stderr == ""
    return json.loads(result.stdout)


def written(directory: Path, text: str, name: str = "written.case") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def failed(result: Result, status: int) -> str:
    """The only line of an error, which with `--json` is also a document."""
    line = result.stderr.removeprefix("sockiter: ").rstrip("\n")
    assert (result.exit_code, result.stderr.count("\n")) == (status, 1)
    if result.stdout:
        error = json.loads(result.stdout)
        error.pop("not_run", None)
        assert error == {"version": 1, "error": line, "status": status}
    return line


def traced(path: Path, name: str) -> Trace:
    target = target_named(name)
    with target.session() as session:
        return trace(load(path), target, session)


# The program.


def test_the_help_has_every_command_and_the_exit_statuses() -> None:
    result = sockiter("--help")
    assert result.exit_code == 0
    assert "Exit status: 0 fine, 1 a claim was broken or a result is not as expected, 2" in " ".join(result.stdout.split())
    for command in commands():
        assert f"\n  {command} " in result.stdout
        text = " ".join(sockiter(command, "-h").stdout.split())
        assert "Exit status: " in text
        assert "2 wrong usage or input, 3 a missing prerequisite" in text
        assert text.endswith(", 130 interrupted (findings are reported first), 141 the reader of the output has closed it.")


def test_the_version_is_printed() -> None:
    assert sockiter("--version").stdout == f"sockiter, version {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("replay",),
        ("replay", RFC_SKIP, "--nonsense"),
        ("fuzz", "--hazard", "nonsense"),
        ("fuzz", "--seconds", "0"),
        ("fuzz", "--workers", "0"),
        ("fuzz", "--cases", RFC_SKIP),
        ("minimize", RFC_SKIP, "--kind", "incomplete"),
    ],
)
def test_wrong_usage_is_status_2_with_a_pointer_to_the_help(args: tuple[object, ...]) -> None:
    result = sockiter(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: sockiter")
    assert "Try 'sockiter" in result.stderr


@pytest.mark.parametrize("command", ["replay", "show", "minimize", "fuzz"])
def test_an_unknown_target_is_status_2_and_the_known_ones_are_listed(command: str) -> None:
    args = ["nonsense"] if command == "fuzz" else [RFC_SKIP, "--target", "nonsense"]
    known = ", ".join(target.name for target in TARGETS)
    assert failed(sockiter(command, *args), 2) == f"no target is named 'nonsense': expected one of {known}"


@pytest.mark.parametrize("command", ["replay", "show", "minimize", "fuzz", "check", "matrix", "race", "conform", "targets"])
def test_a_misspelled_target_gets_the_name_that_was_meant(command: str) -> None:
    args = [RFC_SKIP, "--target", "offset-upd"] if command in ("replay", "show", "minimize") else ["offset-upd"]
    assert failed(sockiter(command, *args), 2) == "no target is named 'offset-upd': did you mean 'offset-udp'?"


def test_a_misspelled_command_gets_the_name_that_was_meant() -> None:
    assert "no command is named 'repaly': did you mean 'replay'?" in sockiter("repaly").stderr
    assert "did you mean" not in sockiter("nonsense").stderr


@pytest.mark.parametrize("command", ["replay", "show", "minimize"])
@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"add A sideways\nopen\n", ":1: `add A sideways`: expected add NAME head|tail [in BUCKET]"),
        (b"add A tail\nopen\nread 1\nremove B\n", ":4: "),
        (b"add A tail\n\xff\n", ":2: byte 0xff is not UTF-8: expected a text file"),
        (None, ": cannot be read: No such file or directory"),
    ],
)
def test_a_case_that_cannot_be_read_is_status_2_and_one_line(
    command: str, text: bytes | None, where: str, tmp_path: Path
) -> None:
    path = tmp_path / "broken.case"
    if text is not None:
        path.write_bytes(text)
    assert failed(sockiter(command, path), 2).startswith(f"{path}{where}")


def test_an_interrupted_command_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(targets_command, "callback", interrupt)
    assert failed(sockiter("targets"), 130) == "interrupted"


ON_ONE = ["--target", "offset-udp"]


@pytest.mark.parametrize(
    "args",
    [
        ["targets", "offset-udp"],
        ["targets", "offset-udp", "--json"],
        ["replay", str(RFC_SKIP), *ON_ONE],
        ["show", str(RFC_SKIP), *ON_ONE],
    ],
)
def test_unwritable_output_is_status_3_and_one_line(args: list[str]) -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sockiter", *args]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert done.returncode == 3
    assert done.stderr == "sockiter: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fuzz", "--seconds", "abc"], "'abc' is not a number: expected a number, at least 0.1."),
        (["conform", "kernel:udp", "--seconds", "-"], "'-' is not a number: expected a number, above 0."),
        (["check", "rank", "--sockets", "x"], "'x' is not an integer: expected an integer, at least 1 and at most 64."),
        (["check", "rank", "--sockets", "0"], "0 is not in the range 1<=x<=64."),
    ],
)
def test_a_wrong_number_is_named_with_its_range(args: list[str], message: str) -> None:
    result = sockiter(*args)
    assert (result.exit_code, result.stderr.splitlines()[-1].partition(": ")[2].partition(": ")[2]) == (2, message)


@pytest.mark.parametrize("args", [["targets", "offset-udp"], ["replay", str(RFC_SKIP), *ON_ONE]])
def test_a_reader_that_has_seen_enough_is_no_trouble_and_no_failed_claim(args: list[str]) -> None:
    command = [sys.executable, "-m", "sockiter", *args]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_the_module_is_the_program() -> None:
    done = subprocess.run([sys.executable, "-m", "sockiter", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sockiter, version {__version__}\n", "")


def test_a_worker_that_imports_the_program_does_not_start_it_again() -> None:
    code = "import runpy; runpy.run_module('sockiter.__main__', run_name='__mp_main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_python_m_sockiter_replays_cases() -> None:
    cases = [str(RFC_SKIP), str(CASES / "rfc_repeat.case")]
    command = [sys.executable, "-m", "sockiter", "replay", *cases, "--target", "offset-udp", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert [one["case"] for one in json.loads(done.stdout)] == cases


# replay


def test_the_corpus_comes_out_as_it_expects() -> None:
    result = sockiter("replay", CASES)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "NOT AS EXPECTED" not in result.stdout
    *titles, summary = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert titles == [str(path) for path in sorted(CASES.glob("*.case"))]
    assert re.match(rf"{len(titles)} cases on {len(TARGETS)} targets: [\d,]+ as expected, 0 not as expected, ", summary)


@pytest.mark.usefixtures("three")
def test_a_replay_reports_the_result_on_every_target() -> None:
    assert sockiter("replay", RFC_SKIP).stdout == (
        f"{RFC_SKIP}\n  offset-udp  skip B, as expected\n  index       ok, as expected\n  kernel:udp  not run: {NO_KERNEL}\n"
    )


def test_a_replay_on_one_target_reports_only_that_target() -> None:
    assert sockiter("replay", RFC_SKIP, "--target", "index").stdout == f"{RFC_SKIP}\n  index  ok, as expected\n"


def test_the_json_of_a_replay_has_every_read() -> None:
    assert document(sockiter("replay", RFC_SKIP, "--target", "offset-udp", "--json")) == [
        {
            "version": 1,
            "case": str(RFC_SKIP),
            "target": "offset-udp",
            "reads": [
                {"delivered": ["A"], "error": None},
                {"delivered": ["C"], "error": None},
                {"delivered": ["D"], "error": None},
                {"delivered": [], "error": None},
            ],
            "verdict": [{"kind": "skip", "socket": "B", "moved": False, "elsewhere": False}],
            "as_expected": True,
            "compared": True,
            "claims_broken": [],
            "seed": None,
            "found_on_linux": None,
        }
    ]


def test_the_json_of_a_replay_leaves_out_targets_that_do_not_run() -> None:
    outcomes = document(sockiter("replay", RFC_SKIP, CASES / "rfc_repeat.case", "--json"))
    assert [(Path(one["case"]).stem, one["target"]) for one in outcomes] == [
        (case, target.name)
        for case in ("rfc_skip", "rfc_repeat")
        for target in SCHEME_TARGETS
        if refused(load(CASES / f"{case}.case"), target) is None
    ]


@pytest.mark.parametrize(
    ("expects", "message"),
    [
        ("expect index stuck\n", "skip B, NOT AS EXPECTED: ok"),
        ("expect offset-udp skip C\n", "skip B, NOT AS EXPECTED: skip C"),
        ("expect offset-udp skip B\nexpect offset-udp stuck\n", "skip B, NOT AS EXPECTED: skip B, stuck"),
    ],
)
def test_a_case_that_is_not_as_expected_is_status_1(expects: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, expects + dumps(replace(load(RFC_SKIP), expects=())))
    result = sockiter("replay", path, "--target", "offset-udp")
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == f"{path}\n  offset-udp  {message}\n"
    as_json = sockiter("replay", path, "--target", "offset-udp", "--json")
    assert as_json.exit_code == 1
    assert [one["as_expected"] for one in json.loads(as_json.stdout)] == [False]


def test_one_case_in_a_directory_that_is_not_as_expected_is_status_1_and_the_others_are_run(tmp_path: Path) -> None:
    written(tmp_path, dumps(replace(load(RFC_SKIP), expects=(Expect("index", "stuck"),))), "a.case")
    written(tmp_path, dumps(load(RFC_SKIP)), "b.case")
    written(tmp_path, "half a case", ".b.case.part")
    result = sockiter("replay", tmp_path, "--target", "offset-udp")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1::2] == [
        "  offset-udp  skip B, NOT AS EXPECTED: ok",
        "  offset-udp  skip B, as expected",
    ]


SAID_WRONG = (Expect("index", "stuck"), Expect("offset-udp", "skip", "A"), Expect("kernel:udp", "skip", "C"))


def of_schemes(case: Case) -> tuple[Expect, ...]:
    return tuple(expect for expect in case.expects if not expect.target.startswith("kernel:"))


def test_recording_replaces_the_expectations_of_a_case_by_the_results_of_the_schemes(tmp_path: Path) -> None:
    right = load(RFC_SKIP)
    path = written(tmp_path, dumps(replace(right, expects=SAID_WRONG)))
    result = sockiter("replay", path, "--record")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "NOT AS EXPECTED" not in result.stdout
    assert "\n  offset-udp       skip B, as expected\n" in result.stdout
    # The expectations of other targets stay, in front.
    assert path.read_text() == dumps(replace(right, expects=(SAID_WRONG[-1], *of_schemes(right))))
    assert os.listdir(tmp_path) == [path.name]


def test_recording_covers_a_directory_and_reports_the_recorded_results(tmp_path: Path) -> None:
    for name in ("a.case", "b.case"):
        written(tmp_path, dumps(replace(load(RFC_SKIP), expects=())), name)
    outcomes = document(sockiter("replay", tmp_path, "--record", "--json"))
    assert len(outcomes) == 2 * len(SCHEME_TARGETS)
    assert all(one["as_expected"] for one in outcomes)
    assert {load(path).expects for path in tmp_path.iterdir()} == {of_schemes(load(RFC_SKIP))}


def test_recording_again_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, MOVES)
    sockiter("replay", path, "--record")
    first = path.read_bytes()
    sockiter("replay", path, "--record")
    assert path.read_bytes() == first


def test_recording_leaves_a_file_that_is_right_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, text := "# mine\nadd  A tail # the only one\n\nopen\nread all\n")
    before = path.stat()
    assert sockiter("replay", path, "--record").exit_code == 0
    assert path.read_text() == text
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_known_recording_writes_a_file_anew_and_loses_the_comments_between_its_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "# Why.\nexpect rank refused\n# gone\nadd A tail # gone\nopen\nread all\n")
    sockiter("replay", path, "--record")
    assert path.read_text() == "# sockiter case v1\n# Why.\n\nadd A tail\nopen\nread all\n"


@pytest.mark.parametrize(
    ("target", "expects"),
    [
        ("offset-udp", (SAID_WRONG[0], SAID_WRONG[2], Expect("offset-udp", "skip", "B"))),
        ("index", SAID_WRONG[1:]),
    ],
)
def test_recording_on_one_target_keeps_the_expectations_of_the_others(
    target: str, expects: tuple[Expect, ...], tmp_path: Path
) -> None:
    path = written(tmp_path, dumps(replace(load(RFC_SKIP), expects=SAID_WRONG)))
    result = sockiter("replay", path, "--record", "--target", target)
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 2
    assert load(path).expects == expects


@pytest.mark.usefixtures("limited_kernel")
def test_recording_uses_no_kernel_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: KernelTarget) -> None:
        raise Unavailable("it was asked")

    monkeypatch.setattr(KernelTarget, "session", asked)
    path = written(tmp_path, dumps(replace(load(RFC_SKIP), expects=())))
    result = sockiter("replay", path, "--record")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "kernel:udp" not in result.stdout
    assert failed(sockiter("replay", path, "--record", "--target", "kernel:udp"), 3) == "it was asked"


def test_recording_on_a_target_that_does_not_run_here_is_status_3_and_the_file_is_left(tmp_path: Path) -> None:
    path = written(tmp_path, text := dumps(replace(load(RFC_SKIP), expects=SAID_WRONG)))
    result = sockiter("replay", path, "--record", "--target", "kernel:udp", "--json")
    assert failed(result, 3) == f"{path}: kernel:udp cannot run it: {NO_KERNEL}"
    assert path.read_text() == text


def test_a_case_that_cannot_be_written_is_status_3_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, MOVES)

    def full(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", full)
    assert failed(sockiter("replay", path, "--record"), 3) == f"{path}: cannot be written: Read-only file system"
    assert path.read_text() == MOVES
    assert os.listdir(tmp_path) == [path.name]


def test_nothing_is_recorded_where_one_case_is_malformed(tmp_path: Path) -> None:
    path = written(tmp_path, MOVES)
    assert failed(sockiter("replay", path, written(tmp_path, "open\nopen\n", "bad.case"), "--record"), 2)
    assert path.read_text() == MOVES


def test_nothing_is_run_where_one_case_is_malformed(tmp_path: Path) -> None:
    assert failed(sockiter("replay", RFC_SKIP, written(tmp_path, "open\nopen\n")), 2).startswith(
        f"{tmp_path}/written.case:2:"
    )


def test_a_directory_without_cases_is_wrong_input(tmp_path: Path) -> None:
    assert failed(sockiter("replay", tmp_path), 2) == f"{tmp_path}: no case found: expected files that end in .case"


def test_an_expectation_of_an_unknown_target_is_noted_and_not_compared(tmp_path: Path) -> None:
    path = written(tmp_path, "expect next-year skip A\nexpect next-year stuck\nadd A tail\nopen\nread all\n")
    result = sockiter("replay", path, "--target", "index", "--json")
    assert result.exit_code == 0
    assert result.stderr == f"sockiter: {path}: expects a finding of next-year, which is not a target here: not compared\n"
    assert [one["as_expected"] for one in json.loads(result.stdout)] == [True]


def test_a_target_that_is_asked_for_and_does_not_run_here_is_status_3() -> None:
    result = sockiter("replay", RFC_SKIP, "--target", "kernel:udp", "--json")
    assert failed(result, 3) == f"{RFC_SKIP}: kernel:udp cannot run it: {NO_KERNEL}"
    assert json.loads(result.stdout)["not_run"] == [
        {"case": str(RFC_SKIP), "target": "kernel:udp", "kind": "missing", "reason": NO_KERNEL, "hazards": []}
    ]


@pytest.fixture
def kernel_that_would_run(on_any_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's iterators run on any machine, with few hazards."""

    def session(self: KernelTarget) -> AbstractContextManager[None]:
        return nullcontext()

    with_capabilities(monkeypatch, LIMITED)
    monkeypatch.setattr(KernelTarget, "session", session)


@pytest.mark.usefixtures("kernel_that_would_run", "three")
def test_a_case_that_the_target_cannot_carry_out_is_status_3_or_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, MOVES)
    unable = "kernel:udp does not support: reinsert (it is a small one)"
    assert failed(sockiter("replay", path, "--target", "kernel:udp", "--json"), 3) == (
        f"{path}: kernel:udp cannot run it: {unable}"
    )
    assert f"\n  kernel:udp  not run: {unable}\n" in sockiter("replay", path).stdout
    assert failed(sockiter("show", path, "--target", "kernel:udp"), 3) == f"{path}: {unable}"
    assert failed(sockiter("minimize", path, "--target", "kernel:udp"), 3) == f"{path}: {unable}"


@pytest.mark.usefixtures("kernel_that_would_run", "three")
def test_an_inconclusive_case_is_status_3_or_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def inconclusive(case: Case, target: Target, session: Session) -> ReplayResult:
        if target.is_real:
            raise Inconclusive("kernel:udp: nobody knows")
        return replay_case(case, target, session)

    monkeypatch.setattr(import_module("sockiter.cli.replay"), "replay_case", inconclusive)
    path = written(tmp_path, text := "add A tail\nopen\nread all\n")
    message = "kernel:udp: nobody knows"
    assert failed(sockiter("replay", path, "--target", "kernel:udp", "--json"), 3) == (
        f"{path}: kernel:udp cannot run it here: {message}"
    )
    for_all = sockiter("replay", path)
    assert (for_all.exit_code, f"\n  kernel:udp  not run: {message}\n" in for_all.stdout) == (0, True)
    as_json = sockiter("replay", path, "--json")
    assert [one["target"] for one in document(as_json)] == ["offset-udp", "index"]
    assert as_json.stderr == ""
    # Its result is not recorded either; the case stays as it was.
    monkeypatch.setattr("sockiter.replay.replay", inconclusive)
    sockiter("replay", path, "--record", "--target", "kernel:udp")
    assert path.read_text() == text


def test_the_kernels_iterator_replays_a_case(kernel_udp: KernelTarget) -> None:
    result = sockiter("replay", CASES / "rfc_skip.case", "--target", kernel_udp.name, "--json")
    (outcome,) = document(result)
    assert outcome["reads"][-1] == {"delivered": [], "error": None}
    assert result.exit_code == (0 if outcome["as_expected"] else 1)


def test_a_replay_on_one_target_goes_on_behind_a_case_that_it_cannot_run(
    kernel_that_would_run: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = target_named("offset-udp")

    def replayed(case: Case, target: Target, session: Session) -> ReplayResult:
        with offset.session() as model:
            return replace(replay_case(case, offset, model), expected=())

    monkeypatch.setattr(import_module("sockiter.cli.replay"), "replay_case", replayed)
    first, second = written(tmp_path, MOVES, "a.case"), written(tmp_path, "add A tail\nopen\nread all\n", "b.case")
    unable = "kernel:udp does not support: reinsert (it is a small one)"
    result = sockiter("replay", tmp_path, "--target", "kernel:udp")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{first}\n  kernel:udp  not run: {unable}\n{second}\n  kernel:udp  ok\n"
        "2 cases on 1 target: 0 as expected, 0 not as expected, 1 compared with the claims alone, 1 left out\n"
        "      1  does not support: reinsert (kernel:udp)\n"
    )
    as_json = sockiter("replay", tmp_path, "--target", "kernel:udp", "--json")
    assert (as_json.exit_code, as_json.stderr) == (0, f"sockiter: {first}: kernel:udp cannot run it: {unable}\n")
    assert [one["case"] for one in json.loads(as_json.stdout)] == [str(second)]
    second.write_text(MOVES, encoding="utf-8")
    none = sockiter("replay", tmp_path, "--target", "kernel:udp", "--json")
    assert (none.exit_code, json.loads(none.stdout)["error"]) == (3, "no case could be run")
    assert json.loads(none.stdout)["not_run"] == [
        {"case": str(path), "target": "kernel:udp", "kind": "hazard", "reason": unable, "hazards": ["reinsert"]}
        for path in (first, second)
    ]
    assert none.stderr.splitlines() == [
        *(f"sockiter: {path}: kernel:udp cannot run it: {unable}" for path in (first, second)),
        "sockiter: no case could be run",
    ]


def test_a_replay_goes_on_behind_a_target_that_fails_and_is_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replayed(case: Case, target: Target, session: Session) -> ReplayResult:
        if target.name == "rank":
            raise Unavailable("rank failed: IndexError")
        return replay_case(case, target, session)

    monkeypatch.setattr(import_module("sockiter.cli.replay"), "replay_case", replayed)
    result = sockiter("replay", written(tmp_path, "add A tail\nopen\nread all\n"))
    assert (result.exit_code, result.stderr) == (3, "sockiter: rank failed: IndexError\n")
    assert re.search(r"^  rank +failed: rank failed: IndexError$", result.stdout, re.MULTILINE)
    assert result.stdout.count("  ok\n") == len(SCHEME_TARGETS) - 1


def test_a_kernel_that_has_no_room_for_a_case_leaves_it_out(
    kernel_udp: KernelTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SOCKETS_MAX", 100)
    first = written(tmp_path, "add A tail in 1023\nopen\nread all\n".replace("1023", "999"), "a.case")
    many = "".join(f"add s{number} head\n" for number in range(101))
    written(tmp_path, f"{many}open\nread all\n", "b.case")
    written(tmp_path, "add A tail\nopen\nread all\n", "c.case")
    result = sockiter("replay", tmp_path, "--target", kernel_udp.name, "--json")
    assert result.exit_code == 0
    assert [Path(one["case"]).name for one in json.loads(result.stdout)][-1] == "c.case"
    assert f"sockiter: {tmp_path}/b.case: kernel:udp cannot run it here: an iteration can have " in result.stderr
    assert first.exists()


# show


def test_a_case_is_shown_as_a_table_on_the_target_that_it_expects_to_fail() -> None:
    result = sockiter("show", RFC_SKIP)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{RFC_SKIP} on offset-udp\n{table(traced(RFC_SKIP, 'offset-udp'))}"


def test_a_case_is_shown_on_the_target_that_is_asked_for() -> None:
    result = sockiter("show", RFC_SKIP, "--target", "index")
    assert result.stdout == f"{RFC_SKIP} on index\n{table(traced(RFC_SKIP, 'index'))}"


@pytest.mark.parametrize("expect", ["", "expect kernel:udp skip A\n", "expect next-year skip A\n"])
def test_a_case_without_expectations_of_running_targets_is_shown_on_the_first_scheme(expect: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{expect}add A tail\nopen\nread all\n")
    assert sockiter("show", path).stdout.startswith(f"{path} on {TARGETS[0].name}\n")


def test_the_page_and_the_picture_are_written_beside_the_table(tmp_path: Path) -> None:
    page, picture = tmp_path / "skip.html", tmp_path / "skip.svg"
    result = sockiter("show", RFC_SKIP, "--html", page, "--svg", picture)
    shown = traced(RFC_SKIP, "offset-udp")
    assert result.stdout == sockiter("show", RFC_SKIP).stdout
    case = load(RFC_SKIP)
    named = [target for target in TARGETS if target.name in {expect.target for expect in case.expects}]
    others = [traced(RFC_SKIP, target.name) for target in named[1:] if not target.is_real]
    absent = [(target.name, NO_KERNEL) for target in named if target.is_real]
    assert {"offset-tcp", "rank", "unix", "full-batch", "restart", "proc-udp", "proc-tcp"} < {one.target for one in others}
    assert page.read_text(encoding="utf-8") == html(shown, others, absent)
    assert picture.read_text(encoding="utf-8") == svg(shown)
    assert sorted(tmp_path.iterdir()) == [page, picture]


def test_a_page_goes_without_the_targets_that_cannot_carry_out_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(case: Case, target: Target, session: Session) -> Trace:
        if target.name == "unix":
            raise Inconclusive("unix: timed out")
        return trace(case, target, session)

    monkeypatch.setattr(import_module("sockiter.cli.show"), "trace", busy)
    text = "expect offset-udp skip A\nexpect unix skip A\nexpect index skip A\nexpect rank stuck\n"
    path = written(tmp_path, f"{text}add A tail\nopen\nread all\n  at realloc 1: fail\n")
    assert sockiter("show", path, "--html", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r'<section class="panel" id="on-([^"]+)"', page) == ["offset-udp", "index"]
    assert re.search(r"Not on this page: rank \([^<]+\), unix \(unix: timed out\)\.", page)


def test_the_page_of_a_long_case_has_one_target(tmp_path: Path) -> None:
    reads = "read 1\n" * 250
    path = written(tmp_path, f"expect offset-udp skip A\nexpect index skip A\nadd A tail\nopen\n{reads}")
    assert sockiter("show", path, "--html", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.findall(r'<section class="panel" id="on-([^"]+)"', page) == ["offset-udp"]
    assert "Not on this page: index (a case of more than 200 operations is shown on one target)." in page
    both = sockiter("show", path, "--target", "offset-udp", "--target", "index", "--html", tmp_path / "both.html")
    assert both.exit_code == 0
    assert "Not on this page" not in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_the_json_of_a_case_that_is_shown_has_its_rows_and_words(tmp_path: Path) -> None:
    shown = document(sockiter("show", RFC_SKIP, "--json"))
    assert shown == {
        "version": 1,
        "case": str(RFC_SKIP),
        "target": "offset-udp",
        "rows": [
            {"time": time, "event": [event], "state": [state], "place": place, "interrupted": False}
            for time, event, state, place in (
                (1, "read(iter_fd) -> A", list("ABCD"), "0:1"),
                (2, "close(A)", list("BCD"), "0:1"),
                (3, "read(iter_fd) -> C", list("BCD"), "0:2"),
                (4, "read(iter_fd) -> D", list("BCD"), "1:3"),
                (5, "read(iter_fd) -> 0", list("BCD"), "1:3"),
            )
        ],
        "verdict": [{"kind": "skip", "socket": "B", "moved": False, "elsewhere": False}],
        "words": list(words(traced(RFC_SKIP, "offset-udp"))),
    }


@pytest.mark.parametrize("option", ["--html", "--svg"])
def test_a_page_that_cannot_be_written_is_status_3(option: str, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "page"
    message = f"{path}: cannot be written: No such file or directory"
    assert failed(sockiter("show", RFC_SKIP, option, path), 3) == message


@pytest.mark.parametrize("command", ["show", "minimize"])
def test_one_case_on_a_target_that_does_not_run_here_is_status_3(command: str) -> None:
    message = f"kernel:udp does not run here: {NO_KERNEL}"
    assert failed(sockiter(command, RFC_SKIP, "--target", "kernel:udp"), 3) == message


# minimize

NOISY = """\
# sockiter case v1
# Much happens, and little of it matters.
expect offset-udp skip B
expect next-year skip Z

add A tail
add B tail
add C tail
add Z head in 1
open
read 1
add D tail in 1
remove A
read 1
remove D
read all
"""


def test_a_case_is_shrunk_to_standard_output_and_stays_as_expected(tmp_path: Path) -> None:
    path = written(tmp_path, NOISY)
    result = sockiter("minimize", path)
    assert result.exit_code == 0
    least = loads(result.stdout)
    assert len(least.operations) == 6
    assert least.comment == ("Shrunk from written.case.",)
    sure = "the shortest with these hazards, sockets, buckets and slots"
    assert result.stderr == f"sockiter: offset-udp: skip B: from 11 operations to 6, {sure}\n"
    assert {expect.target for expect in least.expects} <= {target.name for target in TARGETS}
    assert sockiter("replay", written(tmp_path, result.stdout, "least.case")).exit_code == 0


def test_a_shrunk_case_is_written_to_a_file(tmp_path: Path) -> None:
    path, least = written(tmp_path, NOISY), tmp_path / "least.case"
    result = sockiter("minimize", path, "--target", "offset-udp", "--output", least)
    assert (result.exit_code, result.stdout) == (0, "")
    assert least.read_text(encoding="utf-8") == sockiter("minimize", path).stdout


def test_the_json_of_a_shrunk_case_has_its_text(tmp_path: Path) -> None:
    path, least = written(tmp_path, NOISY), tmp_path / "least.case"
    assert document(sockiter("minimize", path, "--json", "-o", least)) == {
        "version": 1,
        "target": "offset-udp",
        "kind": "skip",
        "moved": False,
        "elsewhere": False,
        "operations_before": 11,
        "operations": 6,
        "shortest": True,
        "case": least.read_text(encoding="utf-8"),
    }


def test_of_several_findings_the_kind_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    text = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nadd E head\nread 1\nremove E\nremove A\nread all\n"
    path = written(tmp_path, text)
    kinds = {kind: document(sockiter("minimize", path, "--kind", kind, "--json"))["kind"] for kind in ("skip", "repeat")}
    assert kinds == {"skip": "skip", "repeat": "repeat"}


@pytest.mark.parametrize(
    ("case", "args", "verdict"),
    [
        ("rfc_skip", ("--target", "index"), "ok on index: expected a case that fails there"),
        (
            "rfc_skip",
            ("--kind", "repeat"),
            "skip B on offset-udp, and no repeat: expected --kind skip, or a case with a repeat there",
        ),
        ("rfc_skip", ("--target", "rank", "--target", "index"), "ok on index: expected a case that fails there"),
        (
            "rfc_skip",
            ("--target", "offset-udp", "--target", "restart"),
            "refused on restart, and skip B on offset-udp: expected a case that fails alike on all",
        ),
    ],
)
def test_a_case_that_does_not_fail_in_this_way_is_wrong_input(case: str, args: tuple[str, ...], verdict: str) -> None:
    path = CASES / f"{case}.case"
    assert failed(sockiter("minimize", path, *args), 2) == f"{path}: {verdict}"


def test_a_case_is_shrunk_for_several_targets_to_one_that_fails_alike_on_all(tmp_path: Path) -> None:
    path = written(tmp_path, NOISY)
    result = sockiter("minimize", path, "--target", "offset-*", "--target", "rank", "--json")
    least = document(result)
    assert least["targets"] == ["offset-udp", "offset-tcp", "rank"]
    assert (least["target"], least["operations"], least["shortest"]) == ("offset-udp", 6, False)
    expected = {(expect.target, expect.kind, expect.socket) for expect in loads(least["case"]).expects}
    assert {(name, "skip", "B") for name in least["targets"]} <= expected
    assert sockiter("minimize", path, "--target", "offset-*").stderr == (
        "sockiter: offset-udp, offset-tcp: skip B: from 11 operations to 6\n"
    )


def test_an_iteration_that_was_not_read_to_its_end_is_nothing_to_shrink(tmp_path: Path) -> None:
    path = written(tmp_path, "add A tail\nadd B tail\nopen\nread 1\n")
    message = f"{path}: incomplete on offset-udp: expected a case that fails there"
    assert failed(sockiter("minimize", path, "--target", "offset-udp"), 2) == message


def test_a_shrunk_case_that_cannot_be_written_is_not_lost(tmp_path: Path) -> None:
    path = written(tmp_path, NOISY)
    least = sockiter("minimize", path).stdout
    output = tmp_path / "nowhere" / "least.case"
    result = sockiter("minimize", path, "--output", output)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == f"sockiter: {output}: cannot be written: No such file or directory\n{least}\n"


def test_recording_drops_the_expectations_of_a_scheme_that_cannot_run_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Z is not in the shrunk case, so an expectation of Z would make the case unreadable.
    monkeypatch.setattr(target_named("index"), "hazards", frozenset({"add-head"}))
    path = written(tmp_path, NOISY.replace("next-year", "index"))
    assert "Z" not in dumps(loads(sockiter("minimize", path, "--target", "offset-udp").stdout))


# targets


@pytest.mark.usefixtures("three")
def test_the_targets_are_listed_with_known_failures_and_missing_prerequisites() -> None:
    result = sockiter("targets")
    assert (result.exit_code, result.stderr) == (0, "")
    titles, offset, index, kernel, *rest = result.stdout.splitlines()
    assert titles.split() == ["target", "here", "walks", "by", "failures", "what", "it", "is"]
    failures = [str(len(target_named(name).known_failures)) for name in ("offset-udp", "index")]
    assert offset.split()[:3] == ["offset-udp", "yes", failures[0]]
    assert index.split()[:3] == ["index", "yes", failures[1]]
    # Its known failures are unknown.
    assert kernel.split()[:4] == ["kernel:udp", "no", "?", "?"]
    assert rest == [
        "",
        f"Not here: kernel:udp: {NO_KERNEL}",
        "All hazards and known failures of a target: sockiter targets NAME",
        "Releases are mainline kernels. Stable branches and distributions differ by backports.",
        "The scheme of a kernel target is detected by trying; the version does not decide.",
    ]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("columns", [60, 80, 160])
def test_a_target_has_one_line_whatever_the_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = sockiter("targets").stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["target", "offset-udp", "index", "kernel:udp"]
    assert max(map(len, lines[:4])) <= columns


def test_of_a_target_that_is_named_all_known_failures_are_listed() -> None:
    result = sockiter("targets", "index")
    first, *lines = result.stdout.splitlines()
    target = target_named("index")
    assert first == f"index: {target.summary}"
    assert [line.strip() for line in lines if line.startswith("    ")] == [str(one) for one in target.known_failures]
    assert f"  known failures: {len(target.known_failures)}; it claims to have no others" in lines
    assert "  runs here:      yes" in lines


def test_of_a_target_without_known_failures_its_claims_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_named("index"), "known_failures", ())
    monkeypatch.setattr(target_named("index"), "hazards", frozenset())
    lines = sockiter("targets", "index").stdout.splitlines()
    assert "  known failures: none: it claims no skip, no repeat, no stale, no stuck" in lines
    assert "  hazards:        none" in lines


def test_of_a_kernel_that_does_not_run_here_no_known_failures_are_listed() -> None:
    lines = sockiter("targets", "kernel:unix").stdout.splitlines()
    assert lines[-1].split(":") == ["  known failures", "       not asked, since it does not run here"]
    assert any(line.split() == ["runs", "here:", "no:", *NO_KERNEL.split()] for line in lines)
    # Hazards that it does not support for the same reason share a line.
    assert any(line.startswith("  not reinsert, rehash: the name of a UNIX socket ") for line in lines)


def test_targets_are_named_by_patterns() -> None:
    names = [one["target"] for one in document(sockiter("targets", "kernel:u*-diag", "offset-*", "offset-udp", "--json"))]
    assert names == ["kernel:udp-diag", "kernel:unix-diag", "offset-udp", "offset-tcp"]
    titles = [line for line in sockiter("targets", "offset-*").stdout.splitlines() if line[:1].strip()]
    assert [title.partition(":")[0] for title in titles] == ["offset-udp", "offset-tcp"]
    assert "no target matches 'x*': expected a pattern for some of offset-udp, " in failed(sockiter("targets", "x*"), 2)


@pytest.mark.usefixtures("three")
def test_the_json_of_the_targets_has_their_claims() -> None:
    offset, index, kernel = document(sockiter("targets", "--json"))
    assert (offset["target"], index["target"]) == ("offset-udp", "index")
    assert {"kind": "skip", "moved": False, "elsewhere": False, "hazards": ["remove"]} in offset["admits"]
    assert offset["hazards"] == [hazard for hazard in HAZARDS if hazard in target_named("offset-udp").hazards]
    assert (offset["runs_here"], offset["missing"]) == (True, None)
    assert kernel == {
        "version": 1,
        "target": "kernel:udp",
        "summary": "the running kernel's UDP socket iterator (bpf_iter_udp)",
        "hazards": [
            *("add-head", "add-tail", "remove", "reinsert", "rehash", "destroy", "destroying", "show", "realloc", "enomem")
        ],
        "features": ["bytes", "silent", "again", "unwanted", "bound"],
        "admits": [],
        "runs_here": False,
        "missing": NO_KERNEL,
        "walks_by": None,
        "in_place": None,
    }


@pytest.mark.usefixtures("three")
def test_the_scheme_that_a_kernel_was_detected_to_use_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_capabilities(monkeypatch, Capabilities(scheme="cookie-udp"))
    assert [target["walks_by"] for target in document(sockiter("targets", "--json"))] == [None, None, "cookie-udp"]
    assert re.search(r"^kernel:udp +yes +cookie-udp +\d+ ", sockiter("targets").stdout, re.MULTILINE)
    assert re.search(r"^  walks by: +cookie-udp$", sockiter("targets", "kernel:udp").stdout, re.MULTILINE)
    with_capabilities(monkeypatch, Capabilities())
    assert re.search(r"^kernel:udp +yes +none known +\d+ ", sockiter("targets").stdout, re.MULTILINE)
    assert "no scheme that is known\n" in sockiter("targets", "kernel:udp").stdout


# fuzz


def cases_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.case"))


def test_a_short_run_finds_the_rfcs_skip_and_repeat_and_keeps_them(tmp_path: Path) -> None:
    result = sockiter(*QUICK, *BOTH, "--cases", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [path.name.rpartition("-")[0] for path in cases_in(tmp_path)] == [
        "offset-udp-repeat-add-head",
        "offset-udp-skip-remove",
    ]
    assert [len(load(path).operations) for path in cases_in(tmp_path)] == [6, 6]
    assert sockiter("replay", tmp_path).exit_code == 0
    assert "sockiter fuzz: seed 7, " in result.stdout
    assert "No claim was broken in " in result.stdout
    assert f"All cases are in {tmp_path}. Look at one: sockiter show {tmp_path}/offset-udp-" in result.stdout


def test_a_summary_names_no_claim_of_all_targets_if_each_kind_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_COLUMNS", (("skip", False), ("repeat", False)))
    assert "Claimed by all" not in sockiter(*QUICK, *BOTH, "--cases", tmp_path).stdout


def test_in_a_long_summary_models_share_rows_by_group_unless_it_is_verbose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_ROWS_MAX", 2)
    run = (
        "fuzz",
        "offset-udp",
        "rank",
        "index",
        "--driver",
        "swarm",
        "--sequences",
        "5",
        "--seed",
        "7",
        "--cases",
        tmp_path,
    )
    text = sockiter(*run).stdout
    assert re.search(r"^ Sockets by count \(2\) +10 ", text, re.MULTILINE)
    assert re.search(r"^ index +5 ", text, re.MULTILINE)
    assert "A name with a number stands for so many models; --verbose gives each a line." in text
    verbose = sockiter(*run, "--verbose").stdout
    assert re.findall(r"^ (\S+) +5 ", verbose, re.MULTILINE) == ["offset-udp", "rank", "index"]
    assert "A name with a number" not in verbose


@pytest.mark.usefixtures("inline", "three")
def test_the_json_of_a_run_has_the_work_the_findings_and_the_missing_ones(tmp_path: Path) -> None:
    hazards = ("--hazard", "remove", "--hazard", "add-head", "--hazard", "rehash")
    run = document(sockiter(*QUICK, *hazards, "--cases", tmp_path, "--json"))
    (target,) = run.pop("targets")
    assert run.pop("seconds") >= 0.2
    assert run == {
        "version": 1,
        "seed": 7,
        "interrupted": False,
        "sequences": None,
        "whole": None,
        "not_here": [],
        "troubles": [],
        "suggested": None,
        "cluster": None,
    }
    found = {(one["kind"], *one["hazards"]): one for one in target.pop("refuted")}
    assert found.keys() & {("skip", "remove"), ("repeat", "add-head"), ("skip", "rehash"), ("repeat", "rehash")}
    for one in found.values():
        assert sorted(one) == [
            "case",
            "driver",
            "elsewhere",
            "found_by",
            "hazards",
            "kind",
            "moved",
            "operations",
            "seconds_to_find",
            "sequences_to_find",
        ]
        assert one["found_by"] == {"swarm": one["seconds_to_find"]}
        assert (one["driver"], one["operations"]) == ("swarm", len(load(Path(one["case"])).operations))
    del target["unrefuted"]
    work = {key: target.pop(key) for key in ("sequences", "operations", "per_second")}
    assert work["sequences"] > 0
    assert target == {
        "target": "offset-udp",
        "kernel": None,
        "hazards": ["add-head", "remove", "rehash"],
        "drivers": {"swarm": work},
        "claims_broken": [],
    }


@pytest.mark.usefixtures("inline")
def test_only_the_hazards_that_are_asked_for_are_switched_on(tmp_path: Path) -> None:
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path)
    assert [path.name.rpartition("-")[0] for path in cases_in(tmp_path)] == ["offset-udp-skip-remove"]
    assert "Not seen in this run" not in result.stdout


@pytest.mark.usefixtures("inline", "three")
def test_all_targets_and_both_drivers_are_used_unless_others_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bite of a hundred takes seconds on a busy machine, and no worker is here to be ended.
    monkeypatch.setattr("sockiter.fuzzing.drivers.HYPOTHESIS_BITE", 5)
    result = sockiter("fuzz", "--seconds", "0.2", "--hazard", "add-tail", "--cases", tmp_path)
    assert result.exit_code == 0, result.output
    first = [line.split()[0] for line in result.stdout.splitlines() if line.startswith(" ") and line.strip()]
    assert [word for word in first if word[0].isalpha()] == [
        "driver",
        "hypothesis",
        "swarm",
        "target",
        "offset-udp",
        "index",
    ]
    assert f"Not fuzzed: kernel:udp: {NO_KERNEL}\n" in result.stdout
    assert "Claimed by all, and not seen: no skip, no repeat, no stale, no stuck, no refused.\n" in result.stdout
    assert "sequences on offset-udp, index. That is no proof." in result.stdout
    assert f", {os.cpu_count()} workers\n" in result.stdout
    assert "Look at one" not in result.stdout


@pytest.mark.usefixtures("inline", "three")
def test_the_json_of_a_run_has_the_targets_that_do_not_run_and_a_drawn_seed(tmp_path: Path) -> None:
    args = ("fuzz", "--driver", "swarm", "--seconds", "0.1", "--hazard", "add-tail", "--cases", tmp_path, "--json")
    first, second = document(sockiter(*args)), document(sockiter(*args))
    assert first["not_here"] == [{"target": "kernel:udp", "missing": NO_KERNEL}]
    assert first["seed"] != second["seed"]


def test_a_target_to_fuzz_that_does_not_run_here_is_status_3(tmp_path: Path) -> None:
    result = sockiter("fuzz", "kernel:udp", "--cases", tmp_path / "made")
    assert failed(result, 3) == f"kernel:udp does not run here: {NO_KERNEL}"
    assert not (tmp_path / "made").exists()


def never(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was run")


def test_a_directory_that_cannot_be_made_is_reported_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FUZZ, "Campaign", never)
    cases = written(tmp_path, "") / "cases"
    assert failed(sockiter(*QUICK, "--cases", cases), 3) == (
        f"{cases}: cannot be made: Not a directory; name another directory with --cases"
    )


def test_a_directory_that_cannot_be_written_to_is_reported_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FUZZ, "Campaign", never)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert failed(sockiter(*QUICK, "--cases", tmp_path), 3) == (
        f"{tmp_path}: cannot be written to; name another directory with --cases"
    )


def test_a_named_target_that_cannot_be_put_through_a_named_hazard_is_status_3(tmp_path: Path) -> None:
    result = sockiter("fuzz", "offset-udp", "rank", "--hazard", "remove", "--hazard", "show", "--cases", tmp_path)
    assert failed(result, 3) == "rank does not support: show"


@pytest.mark.usefixtures("inline")
def test_targets_that_cannot_be_put_through_the_hazards_are_left_out_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(target_named(name) for name in ("offset-udp", "rank"))
    monkeypatch.setattr(import_module("sockiter.cli.subject"), "TARGETS", few)
    args = ("fuzz", "--hazard", "show", "--driver", "swarm", "--seconds", "0.1", "--cases", tmp_path)
    assert "Not fuzzed: rank: rank does not support: show\n" in sockiter(*args).stdout
    run = document(sockiter(*args, "--json"))
    assert [target["target"] for target in run["targets"]] == ["offset-udp"]
    assert run["not_here"] == [{"target": "rank", "missing": "rank does not support: show"}]
    assert failed(sockiter(*args, "--hazard", "show", "--hazard", "rollover", "rank"), 3)
    some = document(sockiter(*args, "--hazard", "remove", "--json"))
    assert {target["target"]: target["hazards"] for target in some["targets"]}["rank"] == ["remove"]
    monkeypatch.setattr(import_module("sockiter.cli.subject"), "TARGETS", few[1:])
    assert failed(sockiter(*args), 3) == "rank does not support: show"


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    """offset-udp claims to have no failures."""
    monkeypatch.setattr(target_named("offset-udp"), "known_failures", ())


@pytest.mark.usefixtures("inline", "lying")
def test_a_broken_claim_is_status_1_with_the_command_that_replays_it(tmp_path: Path) -> None:
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path)
    assert (result.exit_code, result.stderr) == (1, "")
    (path,) = cases_in(tmp_path)
    assert "CLAIM BROKEN offset-udp: skip under remove\n" in result.stdout
    assert f"  replay it: sockiter replay {path} --target offset-udp\n" in result.stdout
    assert "No claim was broken" not in result.stdout
    assert re.fullmatch(r"A claim was broken, on offset-udp, in [\d,]+ sequences\.", result.stdout.splitlines()[-1])
    assert f"\n{path.read_text(encoding='utf-8')}" in result.stdout
    assert sockiter("replay", path, "--target", "offset-udp").exit_code == 1


@pytest.mark.usefixtures("inline", "lying")
def test_the_command_that_replays_a_broken_claim_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path / "my [bold] cases")
    (path,) = cases_in(tmp_path / "my [bold] cases")
    assert f"  replay it: sockiter replay '{path}' --target offset-udp\n" in result.stdout


@pytest.mark.usefixtures("inline", "lying")
def test_the_json_of_a_broken_claim_has_its_case(tmp_path: Path) -> None:
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path, "--json")
    assert result.exit_code == 1
    (target,) = document(result)["targets"]
    (broken,) = target["claims_broken"]
    assert (broken["kind"], broken["case"], broken["operations"]) == ("skip", str(cases_in(tmp_path)[0]), 6)
    assert (broken["reproduced"], broken["reruns"]) == (1, 1)
    assert (target["refuted"], target["unrefuted"]) == ([], [])


@pytest.mark.usefixtures("inline", "lying")
def test_the_number_of_reproductions_of_a_broken_claim_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_named("offset-udp"), "is_real", True)
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path)
    assert result.exit_code == 1
    assert "CLAIM BROKEN offset-udp: skip under remove, again in 5 of 5 runs\n" in result.stdout


def full(*args: object) -> Path:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("claims", "status"), [("true", 3), ("lying", 1)])
def test_a_case_that_cannot_be_saved_is_printed_at_the_end(
    claims: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if claims == "lying":
        request.getfixturevalue("lying")
    monkeypatch.setattr(campaign, "save", full)
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path)
    assert result.exit_code == status
    message, _, text = result.stderr.partition(" this case could not be saved there:\n")
    assert message == f"sockiter: {tmp_path}: No space left on device:"
    assert len(loads(text).operations) == 6
    assert "None" not in result.stdout
    assert ("CLAIM BROKEN offset-udp: skip under remove\n  not saved\n" in result.stdout) == (claims == "lying")
    assert "sockiter replay" not in result.stdout
    as_json = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path, "--json")
    (target,) = json.loads(as_json.stdout)["targets"]
    assert [one["case"] for one in [*target["claims_broken"], *target["refuted"]]] == [None]


@pytest.mark.usefixtures("inline")
def test_a_case_that_cannot_be_saved_is_printed_even_if_the_summary_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "save", full)
    monkeypatch.setattr(FUZZ, "print_json", full)
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path, "--json")
    error = {"version": 1, "error": "[Errno 28] No space left on device", "status": 3}
    assert (result.exit_code, json.loads(result.stdout)) == (3, error)
    text = result.stderr.partition(" this case could not be saved there:\n")[2].rpartition("sockiter: ")[0]
    assert len(loads(text).operations) == 6


@pytest.mark.usefixtures("inline")
def test_a_target_that_stops_running_is_trouble_and_not_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def session() -> AbstractContextManager[None]:
        raise Unavailable("bpf(BPF_PROG_LOAD): Operation not permitted [EPERM]")

    monkeypatch.setattr(target_named("offset-udp"), "session", session)
    result = sockiter(*QUICK, "--cases", tmp_path)
    assert result.exit_code == 3
    assert "trouble (offset-udp, swarm): bpf(BPF_PROG_LOAD): Operation not permitted [EPERM]\n" in result.stdout
    assert "Not reached: offset-udp\n" in result.stdout
    assert "No claim was broken" not in result.stdout
    as_json = document(sockiter(*QUICK, "--cases", tmp_path, "--json"))
    assert as_json["troubles"] == ["bpf(BPF_PROG_LOAD): Operation not permitted [EPERM]"]
    assert as_json["targets"][0]["per_second"] == 0


SKIP = known_failure("skip", "remove")


def kept(
    job: FuzzJob, *, drawn: int, seconds: float, text: str | None = None, of: KnownFailure | None = SKIP
) -> SavedFinding:
    case = load(RFC_SKIP) if text is None else loads(text)
    kind: Kind = "skip"
    found = TriagedFinding(job.target, kind, False, case, hazards_of(case.operations), of, drawn, 1, 1)
    assert job.cases is not None
    return SavedFinding(found, job.driver, seconds, job.cases / f"{job.driver}-{drawn}.case")


@pytest.fixture
def two_finds(inline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis has it sooner, swarm has it shorter."""

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        if job.driver == "swarm":
            yield kept(job, drawn=9, seconds=0.75, text="add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
        else:
            yield kept(job, drawn=8, seconds=0.25)
        yield Tick(10, 100, 0.5)
        yield Ended(frozenset())

    monkeypatch.setattr(campaign, "search", search)


@pytest.mark.usefixtures("two_finds")
def test_of_two_drivers_finds_the_shorter_is_the_case_and_the_sooner_the_finder(tmp_path: Path) -> None:
    run = document(sockiter("fuzz", "offset-udp", "--workers", "2", "--seconds", "0.1", "--cases", tmp_path, "--json"))
    assert run["targets"][0]["refuted"] == [
        {
            "kind": "skip",
            "moved": False,
            "elsewhere": False,
            "hazards": ["remove"],
            "case": f"{tmp_path}/swarm-9.case",
            "operations": 6,
            "driver": "hypothesis",
            "seconds_to_find": 0.25,
            "sequences_to_find": None,
            "found_by": {"hypothesis": 0.25, "swarm": 0.75},
        }
    ]
    assert {"kind": "repeat", "moved": False, "elsewhere": False, "hazards": ["add-head"]} in run["targets"][0]["unrefuted"]
    assert run["targets"][0]["per_second"] == 200


@pytest.mark.usefixtures("two_finds")
def test_a_find_is_one_line_with_the_time_that_each_driver_took(tmp_path: Path) -> None:
    result = sockiter("fuzz", "offset-udp", "--workers", "2", "--seconds", "0.1", "--cases", tmp_path)
    lines = [line.split() for line in result.stdout.splitlines() if "skip under remove" in line]
    assert lines[0] == ["offset-udp", "skip", "under", "remove", "6", "0.25", "s", "0.75", "s"]
    known = len(target_named("offset-udp").known_failures)
    assert f"Not seen in this run: {known - 1} of {known} known failures (--verbose lists them).\n" in result.stdout
    assert f"Look at one: sockiter show {tmp_path}/swarm-9.case\n" in result.stdout


@pytest.mark.usefixtures("two_finds")
def test_unseen_goals_are_listed_on_demand(tmp_path: Path) -> None:
    result = sockiter("fuzz", "offset-udp", "--verbose", "--workers", "2", "--seconds", "0.1", "--cases", tmp_path)
    _, _, after = result.stdout.partition("known failures:\n")
    listed = [line.strip() for line in after.splitlines() if line.startswith("  offset-udp: ")]
    known = [f"offset-udp: {failure}" for failure in target_named("offset-udp").known_failures]
    assert listed == [line for line in known if line != "offset-udp: skip under remove"]


@pytest.mark.usefixtures("two_finds")
def test_the_verdict_is_the_last_line_and_alone(tmp_path: Path) -> None:
    result = sockiter("fuzz", "offset-udp", "--workers", "2", "--seconds", "0.1", "--cases", tmp_path)
    *_, before, verdict = result.stdout.splitlines()
    assert before == ""
    assert verdict == "No claim was broken in 40 sequences on offset-udp. That is no proof."


@pytest.mark.usefixtures("two_finds")
def test_many_targets_are_counted_in_the_verdict(tmp_path: Path) -> None:
    result = sockiter("fuzz", "--workers", "2", "--seconds", "3", "--cases", tmp_path)
    assert re.search(r" sequences on \d+ targets\. That is no proof\.$", result.stdout)


@pytest.mark.usefixtures("two_finds")
def test_the_tables_of_a_run_fit_into_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [target.name for target in SCHEME_TARGETS]
    run = ("fuzz", *names, "--workers", "2", "--seconds", "0.1", "--cases", tmp_path)
    assert max(map(len, sockiter(*run).stdout.partition("All cases are in")[0].splitlines())) <= 80
    lines = sockiter(*run, "--verbose").stdout.splitlines()
    # Text to copy, and the verdict, are not broken into lines.
    assert max(len(line) for line in lines[:-1] if "sockiter show" not in line and not line.startswith("  ")) <= 80
    (title,) = [line for line in lines if line.split()[:2] == ["target", "sequences"]]
    assert title.split() == ["target", "sequences", "skip", "skip*", "repeat", "repeat*", "refused"]
    assert "Claimed by all, and not seen: no stale, no stuck." in lines
    rows = [line.split()[0] for line in lines if re.match(r" [\w-]+ +[\d,]+ ", line)]
    assert [name for name in rows if name in names] == names


@pytest.mark.usefixtures("two_finds", "terminal")
def test_on_a_terminal_each_finding_is_printed_once(tmp_path: Path) -> None:
    result = sockiter("fuzz", "offset-udp", "--workers", "2", "--seconds", "0.1", "--cases", tmp_path, "--json")
    json.loads(result.stdout)
    assert result.stderr.count("offset-udp: skip under remove, ") == 1
    assert "operations/s, 2 found, 2 saved" in result.stderr
    assert "CLAIM BROKEN" not in result.stderr


@pytest.mark.usefixtures("inline", "lying", "terminal")
def test_on_a_terminal_a_broken_claim_is_printed_when_it_is_found(tmp_path: Path) -> None:
    result = sockiter(*QUICK, "--hazard", "remove", "--cases", tmp_path, "--json")
    (path,) = cases_in(tmp_path)
    assert f"CLAIM BROKEN: offset-udp: skip under remove, 6 operations, by swarm: {path}" in result.stderr
    json.loads(result.stdout)


@pytest.mark.usefixtures("two_finds")
def test_without_a_terminal_there_is_no_progress(tmp_path: Path) -> None:
    assert sockiter("fuzz", "offset-udp", "--seconds", "0.1", "--cases", tmp_path).stderr == ""


def test_progress_is_for_the_terminal_and_never_for_standard_output(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "sockiter", *QUICK, *BOTH, "--cases", str(tmp_path / "cases"), "--json"]
        environment = unmeasured() | {"TERM": "xterm", "COLUMNS": "120"}
        with open(tmp_path / "out", "wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=terminal, stdin=subprocess.DEVNULL, env=environment)
        os.close(terminal)
        text = read_all(controller)
        assert process.wait(timeout=30) == 0
    finally:
        os.close(controller)
    # On a busy machine a second may be enough for one of the two.
    assert re.search(r"operations/s, ([12]) found, \1 saved", text)
    assert "s left" in text
    assert re.search(r"offset-udp: (skip under remove|repeat under add-head), 6 operations, by swarm", text)
    assert json.loads((tmp_path / "out").read_text(encoding="utf-8"))["seed"] == 7


def test_sigterm_is_taken_as_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Campaign, progress: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Campaign, "run", run)
    assert failed(sockiter(*QUICK, "--cases", tmp_path), 130) == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["replay", "show", "minimize"])
def test_a_termination_signal_is_an_interrupt_in_every_command(
    command: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*args: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(target_named("offset-udp"), "begin", end)
    result = sockiter(command, RFC_SKIP, "--target", "offset-udp")
    assert result.exit_code == 130
    assert result.stderr.endswith("interrupted\n")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sockiter("targets", "--help")
    sockiter("replay", RFC_SKIP, "--target", "index")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_an_interrupted_replay_reports_the_replayed_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    def replayed(case: Case, target: Target, session: Session) -> ReplayResult:
        if target.name == "rank":
            raise KeyboardInterrupt
        return replay_case(case, target, session)

    monkeypatch.setattr(import_module("sockiter.cli.replay"), "replay_case", replayed)
    result = sockiter("replay", RFC_SKIP, "--json")
    assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")
    assert [one["target"] for one in json.loads(result.stdout)] == ["offset-udp", "offset-tcp"]


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_minimize_writes_the_least_so_far(
    as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fails_as(Finding("skip", "B"), target_named("offset-udp"), cast(Session, target_named("offset-udp")))
    asked: list[int] = []

    def failing(*args: object) -> Fails:
        def fails(operations: tuple[Operation, ...], slots: int) -> bool:
            asked.append(len(operations))
            if len(asked) > 3:
                raise KeyboardInterrupt
            return real(operations, slots)

        return fails

    monkeypatch.setattr(import_module("sockiter.cli.minimize"), "fails_as", failing)
    result = sockiter("minimize", written(tmp_path, NOISY), *(("--json",) if as_json else ()))
    assert result.exit_code == 130
    assert result.stderr.endswith("sockiter: interrupted: not shrunk to the end\n")
    text = json.loads(result.stdout)["case"] if as_json else result.stdout
    assert 6 < len(loads(text).operations) <= 11


@pytest.mark.usefixtures("inline")
def test_a_run_in_which_no_sequence_comes_to_its_end_is_status_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "search", lambda job, line: iter([Ended(frozenset())]))
    result = sockiter(*QUICK, "--cases", tmp_path, "--json")
    assert result.exit_code == 3
    assert "nothing was fuzzed; use a larger --seconds" in result.stderr


def test_an_interrupted_run_is_reported_as_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(campaign: SimpleNamespace, pool: None) -> None:
        campaign.interrupted = True

    monkeypatch.setattr(FUZZ, "_run", run)
    result = sockiter(*QUICK, "--cases", tmp_path)
    assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")
    assert re.search(r"^sockiter fuzz: seed 7, \d+ s, 1 workers, interrupted$", result.stdout, re.MULTILINE)
    as_json = sockiter(*QUICK, "--cases", tmp_path, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["interrupted"]) == (130, True)


def test_every_command_has_help_for_every_option() -> None:
    for command in commands().values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help
