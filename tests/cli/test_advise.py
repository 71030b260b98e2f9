"""`sockiter advise`: the table, the document, the page, refusals, and the exit statuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from sockiter.advice.advice import Way
from sockiter.advice.compute import AdviceWorkers
from sockiter.cases import dumps, loads
from sockiter.cli import progress
from sockiter.kernel import KERNEL_TARGETS
from sockiter.readers import READERS, SILENT
from tests.support.advising import CASE, detected, measured, risk, risks
from tests.support.command import NO_KERNEL, sockiter
from tests.support.inline_workers import work_inline

ADVISE = import_module("sockiter.cli.advise")
pytestmark = pytest.mark.usefixtures("on_any_machine")

Answer = Callable[[Way], None]


def give(monkeypatch: pytest.MonkeyPatch, answer: Answer, *, interrupted: bool = False) -> None:
    """From now on, workers answer at once: a function completes each way."""

    def run(self: AdviceWorkers, progress: Callable[[], None] = lambda: None) -> None:
        self.interrupted = interrupted
        for task in self.tasks:
            task.is_over = True
            for way in task.ways:
                if task.job.kind == "search":
                    answer(way)

    monkeypatch.setattr(AdviceWorkers, "run", run)


def searched(way: Way) -> None:
    """What a walk of offset-udp may come to, in short."""
    lost = risk("survives" if way.reader.destroys else "lost", "leave"), risk("doubled", "open", "leave")
    own, rare = risk("lost", "move", own=True), risk("error", "memory")
    way.risks = risks(way.reader.name, *(lost if way.reader.stops else ()), own, rare)


def measured_as_searched(way: Way) -> None:
    searched(way)
    way.measured = measured(way.reader.name, {("lost", True): 1234} if way.reader.stops else {}, walks=5000)


def rows(stdout: str) -> dict[str, str]:
    """The rows of the table by their first words, with single spaces."""
    lines = [" ".join(line.split()) for line in stdout.splitlines()]
    return {line.partition(" ")[0]: line for line in lines}


# A scheme


def test_a_scheme_is_read_only_in_the_ways_of_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, searched)
    read = {"partial", "whole", "partial-twice", "whole-twice"}
    destroying = {f"{name}-destroying" for name in ("partial", "whole")}
    destroying |= {f"{name}-twice" for name in destroying}
    for scheme, expected in (("proc-udp", read), ("udp-diag", read | destroying)):
        assert set(rows(sockiter("advise", "--scheme", scheme).stdout)) >= expected
        assert "silent" not in rows(sockiter("advise", "--scheme", scheme).stdout)


def test_a_scheme_is_searched_for_every_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch, "sockiter.advice.compute")
    result = sockiter("advise", "--scheme", "rank", "--sockets", "1", "--workers", "1")
    assert result.exit_code == 0
    assert result.stderr == (
        "sockiter: from the model alone: nothing was measured, and which scheme a kernel uses is shown by `sockiter "
        "targets`\n"
    )
    table = rows(result.stdout)
    assert [reader.name for reader in READERS if reader.name in table] == [reader.name for reader in READERS]
    assert table["partial"] == "partial move* - -"
    assert "Searched in this scope: at most 1 socket in the table at once, 2 buckets in each table" in result.stdout


def test_the_table_has_the_events_of_each_effect_and_the_reader_to_prefer(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, searched)
    result = sockiter("advise", "--scheme", "offset-udp")
    table = rows(result.stdout)
    assert table["reader"] == "reader lost listed twice error"
    assert table["partial"] == "partial leave, move* open+leave memory"
    assert table["partial-destroying"] == "partial-destroying leave, move* open+leave memory"
    assert table["silent"] == "silent move* - memory"
    assert "\nTo list: Let the program store its records in a map: a socket is lost when it moves" in result.stdout
    assert "\nTo destroy: Let the program destroy each socket and store its record in a map: " in result.stdout
    assert "  open     another socket opens\n" in result.stdout


def test_a_risk_without_an_event_happens_always(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        way.risks = risks(way.reader.name, risk("lost"), risk("endless", "open"))

    give(monkeypatch, answer)
    assert rows(sockiter("advise", "--scheme", "unix").stdout)["partial"] == "partial always, open - -"


def test_a_search_that_was_cut_short_or_failed_has_its_reason_and_is_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        if way.reader.name == "partial":
            way.risks = risks("partial", risk("lost", "open"), incomplete="enough")
        elif way.reader.name == "whole":
            way.trouble = "the worker was killed"

    give(monkeypatch, answer)
    result = sockiter("advise", "--scheme", "offset-udp")
    assert result.exit_code == 0
    table = rows(result.stdout)
    assert table["partial"] == "partial ? enough ? ?"
    assert table["whole"] == "whole ? the worker was killed ? ?"
    assert table["silent"] == "silent ? not searched ? ?"
    assert "To list" not in result.stdout


def test_if_nothing_could_be_searched_the_command_fails_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        way.trouble = "the worker was killed"

    give(monkeypatch, answer)
    result = sockiter("advise", "--scheme", "offset-udp")
    assert result.exit_code == 3
    assert result.stderr.endswith("sockiter: nothing could be searched: the worker was killed\n")
    assert "Searched in this scope: nothing." in result.stdout


# The kernel


def test_every_source_of_the_kernel_is_measured_with_the_readers_that_it_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, unable=("destroying",))
    give(monkeypatch, measured_as_searched)
    result = sockiter("advise")
    assert (result.exit_code, result.stderr) == (0, "")
    for target in KERNEL_TARGETS:
        assert f"{target.name}: walks by offset-udp\n" in result.stdout
    table = rows(result.stdout)
    assert table["reader"] == "reader lost listed twice error measured here"
    assert table["partial"] == "partial leave, move* open+leave memory lost in 1,234 of 5,000"
    assert table["whole"] == "whole move* - memory nothing of 5,000"
    assert "partial-destroying" not in table
    assert "To destroy" not in result.stdout


def test_more_in_a_measurement_than_in_the_model_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        searched(way)
        way.measured = measured(way.reader.name, {("endless", False): 2} if way.reader == SILENT else {})

    detected(monkeypatch)
    give(monkeypatch, answer)
    result = sockiter("advise", "kernel:udp")
    assert result.exit_code == 1
    assert "NOT IN THE MODEL: kernel:udp, silent: a socket is walked for ever, in 2 of 1,000 walks\n" in result.stdout
    document = json.loads(sockiter("advise", "kernel:udp", "--json").stdout)
    assert {way["reader"]: len(way["surprises"]) for way in document["sources"][0]["ways"]}["silent"] == 1


def test_a_program_has_its_own_sources_and_its_own_way_first(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch)
    give(monkeypatch, searched)
    result = sockiter("advise", "--as", "cilium")
    assert [line.partition(":")[2] for line in result.stdout.splitlines() if "walks by" in line] == [
        "udp: walks by offset-udp",
        "tcp: walks by offset-udp",
    ]
    readers = [line.split()[0] for line in result.stdout.splitlines() if line.startswith(("partial", "whole", "silent"))]
    assert readers[:2] == ["partial-destroying", "partial"]
    assert rows(result.stdout)["partial-destroying"].startswith("partial-destroying (yours) leave")


def test_a_program_may_have_another_source_and_its_way_may_be_missing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, unable=("destroying",))
    give(monkeypatch, searched)
    result = sockiter("advise", "kernel:unix", "--as", "cilium")
    assert result.stderr == "sockiter: kernel:unix does not offer the reader partial-destroying here\n"
    assert "(yours)" not in result.stdout


def test_sources_that_a_pattern_matches_and_that_do_not_run_here_are_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = ADVISE.choose_targets
    absent = [(target, "no reason") for target in KERNEL_TARGETS if target.name != "kernel:udp"]
    detected(monkeypatch)
    give(monkeypatch, searched)
    monkeypatch.setattr(ADVISE, "choose_targets", lambda names: (chosen(("kernel:udp",))[0], absent))
    result = sockiter("advise")
    assert result.exit_code == 0
    assert result.stderr.startswith("sockiter: not here: kernel:tcp, ")
    assert result.stderr.endswith(": no reason\n")
    assert "kernel:udp: walks by offset-udp" in result.stdout


def test_a_source_that_walks_by_no_known_scheme_has_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch, None)
    result = sockiter("advise", "kernel:udp")
    assert result.exit_code == 3
    assert result.stderr == (
        "sockiter: kernel:udp walks by no scheme that is known here; it can only be fuzzed\n"
        "sockiter: no source of this kernel has a model: expected --scheme\n"
    )


def test_without_a_kernel_the_command_says_why_no_source_is_there() -> None:
    for words in ((), ("kernel:udp",), ("--as", "cilium")):
        result = sockiter("advise", *words)
        assert (result.exit_code, result.stdout) == (3, "")
        assert f"kernel:udp does not run here: {NO_KERNEL}" in result.stderr


# Refusals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rank",), "rank is a scheme: expected --scheme rank"),
        (("kernel:udp", "--scheme", "rank"), "--scheme takes the place of a source: expected no kernel:udp"),
        (("--scheme", "kernel:udp"), "kernel:udp is no scheme: expected a source without --scheme, or a scheme"),
        (("--scheme", "offset-upd"), "no target is named 'offset-upd': did you mean 'offset-udp'?"),
        (("kernel:nothing*",), "no source matches 'kernel:nothing*'"),
    ],
)
def test_wrong_names_are_refused(words: tuple[str, ...], message: str) -> None:
    result = sockiter("advise", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"sockiter: {message}" in result.stderr


def test_an_unwritable_page_is_reported_before_the_work(tmp_path: Path) -> None:
    result = sockiter("advise", "--scheme", "rank", "--html", tmp_path / "no" / "page.html")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "page.html: cannot be written: there is no such directory" in result.stderr


# The page, the document, and an interrupt


def test_a_page_is_written_in_addition_to_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, searched)
    result = sockiter("advise", "--scheme", "rank", "--html", tmp_path / "page.html")
    assert "To list: " in result.stdout
    assert f"sockiter: wrote {tmp_path / 'page.html'} (" in result.stderr
    assert "A socket is lost when it moves" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_document_has_each_source_with_its_ways_risks_and_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    detected(monkeypatch)
    give(monkeypatch, measured_as_searched)
    document = json.loads(sockiter("advise", "--as", "cilium", "--json", "--sockets", "2").stdout)
    assert document["situation"] == "cilium"
    assert {"event": "leave", "summary": "another socket closes and leaves", "hazards": ["remove"]} in document["events"]
    udp, tcp = document["sources"]
    assert (udp["source"], udp["scheme"], tcp["source"]) == ("kernel:udp", "offset-udp", "kernel:tcp")
    assert udp["scope"] == {"sockets": 2, "buckets": 2, "batch": 2, "ops": None}
    assert udp["to_list"].startswith("Let the program store its records in a map: ")
    way = next(way for way in udp["ways"] if way["reader"] == "partial")
    assert (way["complete"], way["trouble"], way["surprises"]) == (True, None, [])
    assert way["risks"][1] == {"effect": "doubled", "own": False, "events": ["open", "leave"], "case": dumps(CASE)}
    assert way["measured"] == {
        "walks": 5000,
        "seconds": 1.5,
        "seed": "7",
        "effects": [{"effect": "lost", "own": True, "walks": 1234, "case": dumps(CASE)}],
    }
    assert loads(way["risks"][0]["case"]) == CASE


def test_the_document_has_the_reason_of_a_missing_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        if way.reader == SILENT:
            way.trouble = "the worker was killed"
        else:
            way.risks = risks(way.reader.name, incomplete="enough")

    give(monkeypatch, answer)
    (source,) = json.loads(sockiter("advise", "--scheme", "offset-udp", "--json").stdout)["sources"]
    assert (source["to_list"], source["to_destroy"]) == (None, None)
    found = {way["reader"]: (way["complete"], way["trouble"], way["risks"], way["measured"]) for way in source["ways"]}
    assert found["silent"] == (False, "the worker was killed", [], None)
    assert found["partial"] == (False, "enough", [], None)


def test_an_interrupt_prints_the_results_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: Way) -> None:
        if way.reader == SILENT:
            searched(way)

    give(monkeypatch, answer, interrupted=True)
    result = sockiter("advise", "--scheme", "offset-udp")
    assert result.exit_code == 130
    assert rows(result.stdout)["silent"] == "silent move* - memory"
    assert rows(result.stdout)["partial"] == "partial ? not searched ? ?"
    assert result.stderr.endswith("sockiter: interrupted\n")


def test_progress_is_printed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: AdviceWorkers, show: Callable[[], None]) -> None:
        for task in self.tasks:
            task.is_over = True
            for way in task.ways:
                searched(way)
        self.tasks[0].done, self.tasks[0].is_over = 12345, False
        # Only the tasks are looked at.
        monkeypatch.setattr(self, "running", {0: (None, self.tasks[0])})
        show()

    file = io.TextIOWrapper(io.BytesIO(), "utf-8")
    out = Console(force_terminal=True, width=140, record=True, file=file)
    monkeypatch.setattr(AdviceWorkers, "run", run)
    monkeypatch.setattr(progress, "console", lambda stderr=False: out)
    assert sockiter("advise", "--scheme", "rank").exit_code == 0
    text = out.export_text(clear=False)
    assert "rank partial: 12,345" in text
    assert "11 of 12 searches and measurements" in text
