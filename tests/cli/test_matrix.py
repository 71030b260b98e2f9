"""`sockiter matrix`: tables, the document, the page, and the exit statuses."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sockiter.cases import dumps, loads
from sockiter.check.result import Scope, SearchResult
from sockiter.claims import hazards_of
from sockiter.cli import progress
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.matrix.compute import CellProgress, CellWorkers
from sockiter.matrix.matrix import Cell, Matrix, MatrixRow, Measured
from sockiter.matrix.page import Origin, html, trace_cases
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.support.command import NO_KERNEL, read_all, sockiter, unmeasured
from tests.support.matrices import corpus_matrix, searched

# Under this name the package has the command.
MATRIX = import_module("sockiter.cli.matrix")
pytestmark = pytest.mark.usefixtures("on_any_machine")
SMALL = ("--sockets", "2", "--buckets", "1")


def known(self: CellWorkers, progress: Callable[[], None] = lambda: None) -> None:
    """Stands in for `CellWorkers.run`: each cell has the violations of the corpus at once."""
    for task in self.tasks:
        task.trouble = ""
        if isinstance(task.target, SchemeTarget):
            task.result = searched(task.target, task.hazards)
        else:
            task.result = Measured(task.target.name, task.hazards, 4000, 2.0, ())


@pytest.fixture
def from_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CellWorkers, "run", known)


def nowhere(encoding: str) -> io.TextIOWrapper:
    """A file of an encoding, for output that is recorded elsewhere."""
    return io.TextIOWrapper(io.BytesIO(), encoding)


def printed(made: Matrix, *, width: int = 160, encoding: str = "utf-8") -> str:
    """The output of a matrix on a terminal."""
    out = Console(width=width, highlight=False, color_system=None, record=True, file=nowhere(encoding))
    MATRIX._print(out, made, [])
    return out.export_text()


def changed(made: Matrix, change: Callable[[Cell], Cell]) -> Matrix:
    """The matrix with another cell for each of its rows' second."""
    rows = tuple(MatrixRow(row.target, (row.cells[0], change(row.cells[1]), *row.cells[2:])) for row in made.rows)
    return replace(made, rows=rows)


# On the terminal.


@pytest.mark.usefixtures("from_corpus")
def test_the_table_has_a_row_for_each_target_with_failures_and_shortest_lengths() -> None:
    result = sockiter("matrix", "offset-udp", "index-narrow")
    assert result.exit_code == 0
    assert result.stderr == ""
    table = [" ".join(line.split()) for line in result.stdout.splitlines()]
    titles = "none add-head add-tail remove reinsert rehash close destroying show between realloc enomem rollover all"
    assert titles in table
    assert "offset-udp ✓ repeat 6 ✓ skip 6 skip 6·6* skip 6·6* – ✓ ✓ ✓ ✓ ✓ – skip 6·4*" in table  # noqa: RUF001
    assert "repeat 6·6* repeat 7·6* repeat 6·5*" in table
    assert "index-narrow ✓ ✓ ✓ ✓ skip 6* skip 6* skip 7* ✓ ✓ ✓ ✓ ✓ skip 11 skip 6·11·4*" in table
    assert (
        "Scope: at most 3 sockets in the table at once, 2 buckets in each table, 2 slots in the batch at open, sequences of "
        "any length." in table
    )
    assert table[-1] == "No claim was broken. 2,600 states in 26 searches of 13 s in all."


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.usefixtures("limited_kernel")
def test_no_line_is_wider_than_the_terminal_and_every_column_is_there(width: int) -> None:
    made = corpus_matrix("offset-udp", "full-batch-held", "index-narrow", measured=(KERNEL_UDP,))
    text = printed(made, width=width)
    assert max(map(len, text.splitlines())) <= width
    every = {column.name for column in made.columns}
    titles = [line.split() for line in text.splitlines() if line.split() and set(line.split()) <= every]
    assert [title for line in titles for title in line] == [column.name for column in made.columns]
    assert text.count("full-batch-held") == len(titles)


@pytest.mark.usefixtures("limited_kernel")
def test_where_there_are_only_plain_characters_they_are_enough() -> None:
    text = printed(corpus_matrix("offset-udp", "rank", measured=(KERNEL_UDP,)), encoding="ascii")
    assert text.isascii() or set(text) - set(map(chr, range(128))) == {"─"}
    assert "skip 6/6*" in text
    assert "skip 6^   of a socket in whose bucket nothing had changed" in text
    assert "0 in 4,000" in text


@pytest.mark.usefixtures("limited_kernel")
def test_a_measurement_has_the_number_of_sequences_and_is_no_proof() -> None:
    text = printed(corpus_matrix(measured=(KERNEL_UDP,)))
    assert "kernel:udp ○ 4,000 ○ 4,000 ○ 4,000 " in " ".join(text.split())
    assert "○ 4,000   measured: not seen in 4,000 random sequences; that is no proof" in text
    assert "Scope" not in text
    assert "No claim was broken. 24,000 sequences on the running kernel." in text


def test_a_search_that_was_cut_short_is_never_a_tick() -> None:
    made = changed(
        corpus_matrix("index"), lambda cell: replace(cell, result=searched(*of_index(cell), incomplete="interrupted"))
    )
    text = printed(made)
    assert "index ✓    ?" in text
    assert "?         the search was cut short: other failures are possible" in text
    assert "Incomplete: index, 1 cell: interrupted" in text


def of_index(cell: Cell) -> tuple[SchemeTarget, Any]:
    target = target_named("index")
    assert isinstance(target, SchemeTarget)
    return target, cell.hazards


def test_a_cell_with_a_scope_of_its_own_has_a_note_and_the_others_have_none() -> None:
    made = corpus_matrix("index", "index-narrow")
    scopes = {"index": Scope(3, 1, 2), "index-narrow": Scope(2, 1, 2, 9)}

    def smaller(cell: Cell) -> Cell:
        assert isinstance(cell.result, SearchResult)
        return replace(cell, result=replace(cell.result, scope=scopes[cell.result.scheme]))

    text = printed(changed(made, smaller))
    table = [" ".join(line.split()) for line in text.splitlines()]
    assert "index ✓ ✓ (1) ✓ ✓ skip 6* skip 6* skip 7* ✓ ✓ ✓ ✓ ✓ – skip 6·4*" in table  # noqa: RUF001
    assert "index-narrow ✓ ✓ (2) ✓ ✓ skip 6* skip 6* skip 7* ✓ ✓ ✓ ✓ ✓ skip 11 skip 6·11·4*" in table
    assert "(1)       1 bucket; the rest as in the scope\n" in text
    assert "(2)       at most 2 sockets, 1 bucket, sequences of at most 9 operations; the rest as in the scope\n" in text
    assert "(1)" not in printed(made)


def test_a_note_stands_beside_the_last_finding() -> None:
    def smaller(cell: Cell) -> Cell:
        target, _ = of_index(cell)
        return replace(cell, result=replace(searched(target, frozenset({"reinsert"})), scope=Scope(3, 1, 2)))

    lines = [" ".join(line.split()) for line in printed(changed(corpus_matrix("index"), smaller)).splitlines()]
    assert any(line.startswith("index ✓ skip 6* ✓") for line in lines)
    assert any(line.startswith("repeat 6* (1)") for line in lines)


def test_a_broken_claim_is_reported_with_its_case() -> None:
    text = printed(broken_matrix())
    assert "skip 6!" in text
    assert "CLAIM BROKEN index, add-head: index-skip-remove" in text
    assert "\nremove A\n" in text
    assert "No claim was broken" not in text


def broken_matrix() -> Matrix:
    skip = next(one for one in searched(target_named("offset-udp"), frozenset({"remove"})).violations)
    assert hazards_of(skip.case.operations) == {"remove"}

    def break_it(cell: Cell) -> Cell:
        assert isinstance(cell.result, SearchResult)
        return replace(cell, result=replace(cell.result, violations=(skip,)))

    return changed(corpus_matrix("index"), break_it)


# The document.


@pytest.mark.usefixtures("from_corpus")
def test_the_document_has_the_possible_and_known_failures_of_every_cell() -> None:
    result = sockiter("matrix", "offset-udp", "rank", "--json", "--ops", "12")
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["scope"] == {"sockets": 3, "buckets": 2, "batch": 2, "ops": 12}
    assert document["columns"][0] == {"name": "none", "hazards": []}
    assert document["not_here"] == []
    row = document["rows"][0]
    assert (row["target"], row["measured"]) == ("offset-udp", False)
    remove = next(cell for cell in row["cells"] if cell["column"] == "remove")
    skip = remove["verdict"][0]
    assert remove | {"verdict": []} == {
        "column": "remove",
        "hazards": ["remove"],
        "can": True,
        "complete": True,
        "why_incomplete": None,
        "scope": {"sockets": 3, "buckets": 2, "batch": 2, "ops": None},
        "states": 100,
        "seconds": 0.5,
        "sequences": None,
        "verdict": [],
    }
    assert skip | {"case": None} == {
        "kind": "skip",
        "moved": False,
        "elsewhere": False,
        "possible": True,
        "admitted": True,
        "operations": 6,
        "case": None,
        "name": "offset-udp-skip-remove",
    }
    assert dumps(loads(skip["case"])) == skip["case"]
    assert [one["possible"] for one in remove["verdict"]] == [True] + [False] * 9
    show = next(cell for cell in document["rows"][1]["cells"] if cell["column"] == "show")
    assert (show["can"], show["complete"], show["verdict"]) == (False, None, [])


@pytest.mark.usefixtures("from_corpus")
@pytest.mark.usefixtures("limited_kernel")
def test_a_measurement_is_in_the_document_without_a_proof() -> None:
    (row,) = json.loads(sockiter("matrix", "kernel:udp", "--json").stdout)["rows"]
    assert row["measured"]
    assert {(cell["complete"], cell["states"], cell["sequences"]) for cell in row["cells"]} == {(None, None, 4000)}
    assert {one["possible"] for cell in row["cells"] for one in cell["verdict"]} == {None}


@pytest.mark.usefixtures("from_corpus")
def test_a_target_that_does_not_run_here_is_left_out_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.cli.subject.TARGETS", (target_named("offset-udp"), *KERNEL_TARGETS))
    document = json.loads(sockiter("matrix", "--json").stdout)
    assert {"target": "kernel:udp", "missing": NO_KERNEL} in document["not_here"]
    assert "kernel:udp" not in [row["target"] for row in document["rows"]]
    text = " ".join(sockiter("matrix").stdout.split())
    assert "Not here: kernel:udp, kernel:tcp, " in text
    assert text.endswith(f", {KERNEL_TARGETS[-1].name}: {NO_KERNEL}")


# The page.


@pytest.mark.usefixtures("from_corpus")
@pytest.mark.usefixtures("limited_kernel")
def test_the_page_is_written_in_addition_to_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by = Origin("1", "", "today", "Linux", "sockiter matrix rank kernel:udp")
    monkeypatch.setattr(MATRIX, "origin", lambda: made_by)
    result = sockiter("matrix", "rank", "kernel:udp", "--html", tmp_path / "page.html")
    assert result.exit_code == 0
    assert "No claim was broken" in result.stdout
    made = corpus_matrix("rank", measured=(KERNEL_UDP,))
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == html(made, trace_cases(made), made_by)


def test_an_unwritable_page_is_reported_before_the_work(tmp_path: Path) -> None:
    result = sockiter("matrix", "--html", tmp_path / "no" / "page.html")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "page.html: cannot be written: there is no such directory" in result.stderr


@pytest.mark.usefixtures("from_corpus")
def test_a_page_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    result = sockiter("matrix", "rank", "--html", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert f"{tmp_path}: cannot be written: " in result.stderr


# The meaning of the exit status.


def test_a_name_that_is_no_targets_is_wrong_usage() -> None:
    assert sockiter("matrix", "nobody").exit_code == 2


def test_a_target_that_is_named_and_does_not_run_here_is_unavailable() -> None:
    result = sockiter("matrix", "kernel:udp")
    assert result.exit_code == 3
    assert f"kernel:udp does not run here: {NO_KERNEL}" in result.stderr


def test_a_broken_claim_and_an_unfinished_search_are_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CellWorkers, "run", lambda self, progress: None)
    result = sockiter("matrix", "rank")
    assert result.exit_code == 1
    assert "Incomplete: rank, 9 cells: not searched" in result.stdout
    monkeypatch.setattr(CellWorkers, "run", known)
    monkeypatch.setattr(MATRIX, "matrix_of", lambda *of: broken_matrix())
    assert sockiter("matrix", "index").exit_code == 1


def test_sigterm_is_taken_as_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CellWorkers, "run", lambda self, progress: signal.raise_signal(signal.SIGTERM))
    result = sockiter("matrix", "rank")
    assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")


def test_progress_is_printed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: CellWorkers, show: Callable[[], None]) -> None:
        self.tasks[0].tick = CellProgress(12345, 67)
        self.tasks[1].tick = CellProgress(1, 0)
        # Only the tasks are looked at.
        monkeypatch.setattr(self, "running", {nth: (None, task) for nth, task in enumerate(self.tasks[:2])})
        known(self)
        show()

    out = Console(force_terminal=True, width=120, record=True, file=nowhere("utf-8"))
    monkeypatch.setattr(CellWorkers, "run", run)
    monkeypatch.setattr(progress, "console", lambda stderr=False: out)
    assert sockiter("matrix", "rank").exit_code == 0
    text = out.export_text(clear=False)
    assert "rank none: 12,345 (67 wait); rank add-head: 1" in text
    assert "9 of 9 cells" in text


def test_ctrl_c_ends_the_work_and_not_the_report() -> None:
    """In a process of its own, to a terminal's group, as a shell would."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sockiter", "matrix", "offset-udp", "--sockets", "7", "--workers", "2", "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=terminal,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        env=unmeasured(),
    )
    os.close(terminal)
    try:
        text = b""
        while b"cells" not in text or b"wait" not in text:
            text += os.read(controller, 4096)
        # Somebody looks on: who writes to a terminal that nobody reads waits for ever in the end.
        reader = threading.Thread(target=read_all, args=(controller,))
        reader.start()
        os.killpg(process.pid, signal.SIGINT)
        document = json.loads(process.communicate(timeout=60)[0])
        reader.join()
    finally:
        process.kill()
        os.close(controller)
    assert process.returncode == 130
    whys = {cell["why_incomplete"] for cell in document["rows"][0]["cells"]}
    assert "not searched" in whys
    assert "interrupted" in whys


def test_a_whole_matrix_of_a_small_scope_comes_out_of_real_searches() -> None:
    result = sockiter("matrix", "rank", *SMALL, "--workers", "2", "--memory", "8000", "--json")
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)["rows"]
    assert all(cell["complete"] and cell["states"] for cell in row["cells"])
    found = {cell["column"]: {one["kind"] for one in cell["verdict"] if one["possible"]} for cell in row["cells"]}
    assert found["none"] == set()
    assert found["remove"] == {"skip"}


def test_the_coming_work_is_shown_on_a_terminal_with_its_last_duration(
    from_corpus: None, limited_kernel: None, terminal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(MATRIX, "console", vars(progress)["console"])
    first, second = (sockiter("matrix", "rank", "kernel:udp", "--workers", "3").stderr for _ in range(2))
    ahead = "sockiter: 9 searches, the longest of them last, and 1 iterator of the kernel, 10 s each, on 3 processors\n"
    assert ahead in first
    # What takes no time is not kept.
    assert ahead in second
    monkeypatch.setattr(MATRIX, "WORTH_KEEPING_S", 0)
    sockiter("matrix", "rank", "--workers", "3")
    assert "on 3 processors; the last time that took 0 s\n" in sockiter("matrix", "rank", "--workers", "3").stderr
    assert "the last time" not in sockiter("matrix", "rank", "--workers", "2").stderr
    measured = sockiter("matrix", "kernel:udp", "--workers", "2", "--seconds", "3").stderr
    assert "sockiter: 1 iterator of the kernel, 3 s each, on 2 processors\n" in measured
