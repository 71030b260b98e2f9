"""Names on the command line: completion, patterns, and the exit statuses and widths that all commands share."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.progress import Progress, TaskID
from rich.table import Table

from sockiter.backend import Reason
from sockiter.cli import main, output, progress
from sockiter.cli.replay_summary import Tally
from sockiter.kernel import KERNEL_TARGETS
from sockiter.streams import discard
from sockiter.targets import SCHEME_TARGETS, TARGETS, target_named
from tests.support.command import NO_KERNEL, read_all, sockiter, unmeasured
from tests.support.kernel_targets import ABSENT, LIMITED, with_capabilities
from tests.support.paths import CASES

RFC_SKIP = CASES / "rfc_skip.case"
KERNEL = [target.name for target in TARGETS if target.is_real]
SCHEMES = [target.name for target in SCHEME_TARGETS]

pytestmark = pytest.mark.usefixtures("on_any_machine")


def completed(*words: str, shell: str = "bash") -> list[str]:
    """The words that a shell is offered for the last one of a line; in bash it has split them at colons."""
    environment = {"_SOCKITER_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(words)}
    environment["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words) - 1)
    result = CliRunner().invoke(main, [], env=environment, prog_name="sockiter")
    lines = [line for line in result.stdout.splitlines() if line]
    return lines[1::3] if shell == "zsh" else [line.partition(",")[2] for line in lines]


# Completion.


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("fuzz", "offset-"), ["offset-udp", "offset-tcp"]),
        (("fuzz", "kernel"), KERNEL),
        (("fuzz", "kernel", ":"), [name.removeprefix("kernel:") for name in KERNEL]),
        (("fuzz", "kernel", ":", "udp"), ["udp", "udp-diag"]),
        (("fuzz", "kernel", ":", "udp", "offset-u"), ["offset-udp"]),
        (("race", "index"), []),
        (("check", "offset-t"), ["offset-tcp"]),
        (("check", "kernel"), []),
        (("matrix", "cookie-u"), ["cookie-udp"]),
        (("targets", "ran"), ["rank"]),
        (("conform", "kernel", ":", "ud"), ["udp", "udp-diag"]),
        (("conform", "kernel:udp", "cookie-u"), ["cookie-udp"]),
        *(((command, "--target", "cookie-u"), ["cookie-udp"]) for command in ("replay", "show", "minimize")),
        *(((command, "--hazard", "re"), ["remove", "reinsert", "rehash"]) for command in ("race",)),
        *(((command, "--hazard", "add"), ["add-head", "add-tail"]) for command in ("fuzz", "check", "conform", "race")),
        (("min",), ["minimize"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed("sockiter", *words) == offered


def test_names_with_a_colon_are_completed_whole_where_the_shell_leaves_them_whole() -> None:
    assert completed("sockiter", "fuzz", "kernel:ud", shell="fish") == ["kernel:udp", "kernel:udp-diag"]
    assert completed("sockiter", "fuzz", "kernel:ud", shell="zsh") == ["kernel:udp", "kernel:udp-diag"]
    assert completed("sockiter", "fuzz", "'kernel:ud") == ["kernel:udp", "kernel:udp-diag"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    result = CliRunner().invoke(main, [], env={"_SOCKITER_COMPLETE": f"{shell}_source"}, prog_name="sockiter")
    assert result.exit_code == 0
    assert f"_SOCKITER_COMPLETE={shell}_complete" in result.stdout


def test_bash_completes_a_target_behind_its_colon(tmp_path: Path) -> None:
    program = tmp_path / "sockiter"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m sockiter\n")
    program.chmod(0o755)
    script = 'eval "$(_SOCKITER_COMPLETE=bash_source sockiter)"; COMP_WORDS=(sockiter fuzz kernel : un) COMP_CWORD=4; '
    script += '_sockiter_completion sockiter; echo "${COMPREPLY[@]}"'
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("unix unix-diag\n", "")


# Patterns and corrections.


def test_a_misspelled_hazard_gets_the_name_that_was_meant() -> None:
    result = sockiter("check", "rank", "--hazard", "remov")
    assert result.exit_code == 2
    assert "no hazard is named 'remov': did you mean 'remove'?" in result.stderr
    assert "no hazard is named 'xyz': expected one of add-head, " in sockiter("check", "--hazard", "xyz").stderr


def test_hazards_are_named_by_patterns(tmp_path: Path) -> None:
    args = ("fuzz", "rank", "--driver", "swarm", "--workers", "1", "--seconds", "0.1", "--cases", tmp_path)
    result = sockiter(*args, "--hazard", "add-*", "--hazard", "add-tail", "--hazard", "remove", "--json")
    assert '"hazards": [\n        "add-head",\n        "add-tail",\n        "remove"\n      ]' in result.stdout


def test_schemes_are_named_by_patterns() -> None:
    scope = ("--sockets", "1", "--buckets", "1", "--ops", "3", "--hazard", "remove", "--json")
    result = sockiter("check", "offset-*", *scope)
    assert result.stdout.count('"scheme": "offset-') == 2
    assert (
        "no scheme matches 'kernel:*': expected a pattern for some of offset-udp, " in sockiter("check", "kernel:*").stderr
    )


def test_a_matched_target_that_does_not_run_here_is_left_out() -> None:
    result = sockiter("replay", RFC_SKIP, "--target", "kernel:u*", "--target", "offset-udp", "--target", "rank")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:3] == [
        f"  kernel:udp        not run: {NO_KERNEL}",
        f"  kernel:unix       not run: {NO_KERNEL}",
    ]
    assert result.stdout.splitlines()[-2:] == [
        "  offset-udp        skip B, as expected",
        "  rank              skip B, as expected",
    ]
    shown = sockiter("show", RFC_SKIP, "--target", "*udp")
    assert [line for line in shown.stdout.splitlines() if line.startswith(f"{RFC_SKIP} on ")] == [
        f"{RFC_SKIP} on offset-udp",
        f"{RFC_SKIP} on cookie-udp",
        f"{RFC_SKIP} on proc-udp",
    ]


@pytest.mark.parametrize("args", [("show", RFC_SKIP, "--target"), ("minimize", RFC_SKIP, "--target"), ("fuzz",)])
def test_a_pattern_of_which_nothing_runs_here_is_status_3(args: tuple[object, ...]) -> None:
    result = sockiter(*args, "kernel:*")
    assert (result.exit_code, result.stderr) == (3, f"sockiter: kernel:udp does not run here: {NO_KERNEL}\n")


def test_a_named_target_that_does_not_run_here_is_status_3_beside_a_pattern() -> None:
    result = sockiter("replay", RFC_SKIP, "--target", "offset-*", "--target", "kernel:udp")
    assert (result.exit_code, result.stdout) == (3, "")
    assert sockiter("show", RFC_SKIP, "--target", "offset-*", "--target", "kernel:udp").exit_code == 3


def test_a_matched_target_that_cannot_carry_out_a_case_is_left_out(tmp_path: Path) -> None:
    case = tmp_path / "one.case"
    case.write_text("add A head in established:0\nopen\nread all\n")
    titles = [line for line in sockiter("show", case, "--target", "*-tcp").stdout.splitlines() if " on " in line]
    assert titles == [f"{case} on offset-tcp", f"{case} on cookie-tcp", f"{case} on proc-tcp"]
    one = sockiter("show", case, "--target", "*cp", "--target", "rank")
    assert (one.exit_code, one.stderr) == (3, f"sockiter: {case}: rank has no table named 'established'\n")
    none = sockiter("show", case, "--target", "index*")
    assert (none.exit_code, none.stderr) == (3, f"sockiter: {case}: index has no table named 'established'\n")


def test_races_are_named_by_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    race = import_module("sockiter.cli.race")
    chosen: list[str] = []

    def run(races: list[SimpleNamespace], seconds: float) -> None:
        chosen.extend(one.target.name for one in races)
        raise KeyboardInterrupt

    with_capabilities(monkeypatch, LIMITED)
    monkeypatch.setattr(race, "_run", run)
    assert sockiter("race", "kernel:unix*", "--hazard", "reinsert", "--hazard", "remove").exit_code == 130
    assert chosen == ["kernel:unix", "kernel:unix-diag"]
    with_capabilities(monkeypatch, ABSENT)
    assert sockiter("race", "kernel:unix*").stderr.startswith("sockiter: no iterator can be raced here: kernel:unix does")


# Several targets.


def test_a_case_is_shown_on_several_targets_one_after_the_other() -> None:
    parts = [sockiter("show", RFC_SKIP, "--target", name).stdout for name in ("offset-udp", "rank")]
    assert sockiter("show", RFC_SKIP, "--target", "offset-udp", "--target", "rank").stdout == "\n".join(parts)
    document = json.loads(sockiter("show", RFC_SKIP, "--target", "offset-udp", "--target", "rank", "--json").stdout)
    assert document["target"] == "offset-udp"
    alone = json.loads(sockiter("show", RFC_SKIP, "--target", "ran*", "--json").stdout)
    assert document["others"] == [{key: value for key, value in alone.items() if key not in ("version", "case")}]
    assert "others" not in alone


def test_the_page_of_several_targets_has_a_tab_for_each(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    sockiter("show", RFC_SKIP, "--target", "index", "--target", "next-*", "--target", "cookie-*", "--html", page)
    assert not page.exists()
    sockiter("show", RFC_SKIP, "--target", "index", "--target", "cookie-*", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "cookie-tcp" in text
    assert "cookie-udp" in text


# Replays of many cases.


def wrong(directory: Path, name: str) -> Path:
    path = directory / name
    path.write_text("expect rank stuck\nadd A tail\nopen\nread all\n")
    return path


def right(directory: Path, name: str) -> Path:
    path = directory / name
    path.write_text("add A tail\nopen\nread all\n")
    return path


def test_a_quiet_replay_prints_unexpected_results_and_the_summary(tmp_path: Path) -> None:
    iterators = len(KERNEL_TARGETS)
    right(tmp_path, "a.case")
    path = wrong(tmp_path, "b.case")
    right(tmp_path, "c.case")
    result = sockiter("replay", tmp_path, "-q", "--target", "rank", "--target", "index", "--target", "kernel:*")
    width = len("kernel:tcp-established")
    assert result.exit_code == 1
    assert result.stdout == (
        f"{path}\n  {'rank':<{width}}  ok, NOT AS EXPECTED: stuck\n"
        f"3 cases on {2 + iterators} targets: 1 as expected, 1 not as expected, 4 compared with the claims alone, "
        f"{3 * iterators} left out\n"
        f"     {3 * iterators}  {NO_KERNEL} ({iterators} targets)\n"
    )
    fine = sockiter("replay", RFC_SKIP, "--target", "rank", "--quiet")
    assert (fine.exit_code, fine.stdout) == (0, "1 case on 1 target: 1 as expected, 0 not as expected\n")


def test_a_replay_stops_at_the_first_case_that_is_not_as_expected(tmp_path: Path) -> None:
    right(tmp_path, "a.case")
    wrong(tmp_path, "b.case")
    wrong(tmp_path, "c.case")
    result = sockiter("replay", tmp_path, "-q", "-x", "--target", "rank", "--target", "index")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{tmp_path}/b.case",
        "  rank   ok, NOT AS EXPECTED: stuck",
        "2 of 3 cases on 2 targets: 0 as expected, 1 not as expected, 2 compared with the claims alone",
    ]
    as_json = sockiter("replay", tmp_path, "-x", "--target", "rank", "--json")
    assert as_json.stdout.count('"as_expected"') == 2


def test_reasons_are_grouped_whatever_their_details() -> None:
    tally = Tally(case_count=2, target_count=4, begun=2, as_expected=1234, failed=1)
    tally.leave_out("a", Reason("hazard", "a does not support: realloc (it takes one), show", ("realloc", "show")))
    tally.leave_out("b", Reason("hazard", "b does not support: remove", ("remove",)))
    tally.leave_out("c", Reason("hazard", "c does not support: remove", ("remove",)))
    tally.leave_out("a", Reason("tail", "a has buckets without a tail: A cannot be reinserted there"))
    tally.leave_out("a", Reason("tail", "a has buckets without a tail: B cannot be reinserted there"))
    tally.leave_out("b", Reason("missing", "bpf(BPF_PROG_LOAD): Operation not permitted [EPERM]"))
    assert list(tally.lines()) == [
        "2 cases on 4 targets: 1,234 as expected, 0 not as expected, 1 failed, 6 left out",
        "      3  does not support: remove, show, realloc (3 targets)",
        "      2  has buckets without a tail (a)",
        "      1  bpf(BPF_PROG_LOAD): Operation not permitted [EPERM] (b)",
    ]


# The output, its width, and its plain form.


@pytest.mark.parametrize("option", ["--html", "--svg"])
def test_a_file_that_was_written_is_noted(option: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    result = sockiter("show", RFC_SKIP, option, path)
    assert result.stderr == f"sockiter: wrote {path} ({path.stat().st_size / 1000:,.0f} kB)\n"


def test_a_small_file_is_noted_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    output.note_written(Path("some\nfile"), "äb")
    assert capsys.readouterr().err == "sockiter: wrote some\\nfile (3 bytes)\n"


@pytest.mark.parametrize(
    ("columns", "width"), [("", 160), ("80", 80), ("wide", 160), ("7", output.WIDTH_MIN), ("-1", 160), ("²", 160)]
)
def test_a_pipe_is_as_wide_as_columns(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output.console().width == width


def test_a_pipe_that_is_closed_under_a_table_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    out = output.console()
    table = Table()
    table.add_column("x")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as closed:
        out.file = closed
        with pytest.raises(BrokenPipeError):
            out.print(table)
        discard(closed)


def test_with_no_color_a_terminal_gets_plain_text_and_lines_of_progress(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    code = "import sys; from sockiter.cli import progress; progress.PLAIN_S = 0; from sockiter.cli import main; main()"
    command = [sys.executable, "-c", code, "matrix", "rank", "--sockets", "1", "--buckets", "1", "--workers", "1"]
    environment = unmeasured() | {"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "100", "XDG_CACHE_HOME": str(tmp_path)}
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=subprocess.DEVNULL, env=environment)
    os.close(terminal)
    try:
        text = read_all(controller)
        assert process.wait(timeout=60) == 0
    finally:
        os.close(controller)
    assert "\x1b" not in text
    assert " cells, " in text
    assert "No claim was broken." in text


def test_with_no_color_there_is_a_line_of_progress_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter((100.0, 101.0, 111.0, 111.0, 112.0, 123.0, 123.0))
    shown: list[int] = []
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sockiter.cli.progress.time.monotonic", lambda: next(now))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def run(show: Callable[[], None]) -> None:
        for _ in range(4):
            show()

    def update(bar: Progress, task: TaskID) -> None:
        bar.update(task, completed=len(done := [*shown, 0]), description="working")
        shown[:] = done

    progress.watch(run, update, total=4, left="{task.completed:.0f} of {task.total:.0f}")
    assert capsys.readouterr().err == "sockiter: working, 2 of 4\nsockiter: working, 4 of 4\n"


def test_progress_is_lines_without_a_terminal_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOCKITER_PROGRESS", "lines")
    monkeypatch.setattr(progress, "PLAIN_S", 0.0)
    progress.watch(lambda show: show(), lambda bar, task: bar.update(task, description="working"), total=4, left="of 4")
    assert capsys.readouterr().err == "sockiter: working, of 4\n"


# Interrupts.


def test_an_interrupted_check_is_status_130_and_reports_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: object, progress: Callable[[], None]) -> None:
        self.interrupted = True  # type: ignore[attr-defined]

    monkeypatch.setattr("sockiter.matrix.compute.CellWorkers.run", run)
    for command in ("check", "matrix"):
        result = sockiter(command, "rank")
        assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")
        assert "Incomplete: rank" in result.stdout


def test_an_interrupted_verification_is_status_130_and_reports_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: object, progress: Callable[[], None]) -> None:
        self.interrupted = True  # type: ignore[attr-defined]

    monkeypatch.setattr("sockiter.check.trials.Trials.run", run)
    result = sockiter("check", "rank", "--verify")
    assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")
    assert result.stdout.startswith("rank: NOT VERIFIED: ")


def test_a_second_reader_of_a_replay_takes_one_line() -> None:
    command = [sys.executable, "-m", "sockiter", "replay", str(CASES), "--target", "rank"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=unmeasured())
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout as out:
        out.readline()
        out.close()
        assert process.wait(60) in (0, 128 + signal.SIGPIPE)
        assert process.stderr.read() == b""


def test_names_of_targets_are_completed_without_asking_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(target_named("kernel:udp")), "missing", asked)
    assert completed("sockiter", "replay", "--target", "kernel") == KERNEL
