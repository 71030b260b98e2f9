"""`sockiter explore`: its page, its output, and its errors."""

from __future__ import annotations

import io
import json
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console

from sockiter.check.result import Scope
from sockiter.cli import progress
from sockiter.errors import Unsearchable
from sockiter.explore.graph import explore
from sockiter.explore.page import html
from sockiter.schemes.offset_udp import OffsetUdp
from tests.support.command import sockiter

EXPLORE = import_module("sockiter.cli.explore")
pytestmark = pytest.mark.usefixtures("on_any_machine")
SMALL = ("offset-udp", "--buckets", 1, "--hazard", "remove")


def test_a_page_is_written_and_the_command_prints_its_content(tmp_path: Path) -> None:
    path = tmp_path / "states.html"
    result = sockiter("explore", *SMALL, "--html", path)
    assert (result.exit_code, result.stderr) == (0, f"sockiter: wrote {path} ({path.stat().st_size / 1000:,.0f} kB)\n")
    first, scope, left_out, shortest = result.stdout.splitlines()
    assert first == "offset-udp under remove: 44 states, 127 steps"
    assert scope.startswith("Scope: at most 3 sockets in the table at once, 1 bucket in each table, 2 slots")
    assert left_out == "Not explored: destroy, destroying. `sockiter check` searches them."
    assert "Not explored: destroy, destroying." in path.read_text()
    assert shortest == "Shortest ways to what can go wrong: skip certain 5, skip 6."
    assert path.read_text() == html(explore(OffsetUdp(), {"remove"}, Scope(3, 1, 2), states_max=10_000))


def test_the_json_of_a_graph_has_its_scope_its_size_its_violations_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "states.html"
    result = sockiter("explore", *SMALL, "--json", "--html", path)
    assert (result.exit_code, path.exists()) == (0, True)
    assert json.loads(result.stdout) == {
        "version": 1,
        "scheme": "offset-udp",
        "hazards": ["remove"],
        "scope": {"sockets": 3, "buckets": 1, "batch": 2, "ops": None},
        "complete": True,
        "why_incomplete": None,
        "states": 44,
        "transitions": 127,
        "violations": [
            {"kind": "skip", "certain": True, "operations": 5, "link": "#state-17"},
            {"kind": "skip", "certain": False, "operations": 6, "link": "#state-17+1"},
        ],
        "file": str(path),
    }


def test_with_json_no_page_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = sockiter("explore", "unix", "--states", 50, "--json")
    assert (result.exit_code, result.stderr, list(tmp_path.iterdir())) == (0, "", [])
    graph = json.loads(result.stdout)
    assert (graph["complete"], graph["file"]) == (False, None)
    assert graph["why_incomplete"].startswith("at 50 states; every sequence of at most 3 operations is here")


def test_a_graph_that_is_cut_off_is_reported_and_no_failure(tmp_path: Path) -> None:
    result = sockiter("explore", "unix", "--states", 50, "--html", tmp_path / "states.html")
    assert result.exit_code == 0
    assert "Cut off at 50 states; every sequence of at most 3 operations is here" in result.stdout
    assert "more --states show all." in result.stdout


def test_a_scope_without_failures_is_reported_as_such(tmp_path: Path) -> None:
    result = sockiter("explore", "cookie-udp", "--sockets", 1, "--hazard", "remove", "--html", tmp_path / "states.html")
    assert "cookie-udp under remove:" in result.stdout
    assert "Nothing goes wrong there." in result.stdout
    unable = sockiter("explore", "rank", "--sockets", 1, "--hazard", "realloc", "--html", tmp_path / "states.html")
    assert "rank under no hazard:" in unable.stdout


def test_a_scheme_is_explored_within_reach(tmp_path: Path) -> None:
    arguments = ("index-narrow", "--states", 50, "--html", tmp_path / "states.html")
    assert "Scope: at most 2 sockets in the table at once, 1 bucket in" in sockiter("explore", *arguments).stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ("kernel:udp",),
            2,
            "kernel:udp is an iterator of the running kernel, whose states cannot be enumerated: expected a",
        ),
        (("nothing",), 2, "no target is named 'nothing'"),
        (("offset-udp", "--states", 0), 2, "Invalid value for '--states'"),
        (("offset-udp", "--sockets", 17), 2, "Invalid value for '--sockets'"),
    ],
)
def test_a_kernel_target_and_an_impossible_scope_are_refused(
    arguments: tuple[object, ...], status: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "states.html"
    result = sockiter("explore", *arguments, "--html", path)
    assert (result.exit_code, path.exists()) == (status, False)
    assert message in result.stderr


def test_a_page_is_asked_for() -> None:
    result = sockiter("explore", "offset-udp")
    assert result.exit_code == 2
    assert "Missing option '--html'" in result.stderr


def test_a_file_that_cannot_be_written_is_reported_before_the_work_or_behind_it(tmp_path: Path) -> None:
    nowhere = sockiter("explore", *SMALL, "--html", tmp_path / "no" / "states.html")
    assert (nowhere.exit_code, nowhere.stdout) == (3, "")
    assert "states.html: cannot be written: there is no such directory" in nowhere.stderr
    here = sockiter("explore", *SMALL, "--html", tmp_path)
    assert here.exit_code == 3
    assert "cannot be written: Is a directory" in here.stderr


def test_a_scheme_that_cannot_be_explored_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsearchable(*_: object, **__: object) -> None:
        raise Unsearchable("bare never ends a read")

    monkeypatch.setattr(EXPLORE, "explored", unsearchable)
    result = sockiter("explore", *SMALL, "--html", tmp_path / "states.html")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "sockiter: offset-udp cannot be explored: bare never ends a read\n"


def test_a_terminal_shows_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", lambda *, stderr: Console(file=screen, force_terminal=True, width=120))
    result = sockiter("explore", "offset-udp", "--states", 600, "--html", tmp_path / "states.html")
    assert result.exit_code == 0
    assert "states, at most 600" in screen.getvalue()
    assert "offset-udp" in screen.getvalue()


def test_a_scheme_whose_hazards_are_all_explored_has_no_line_about_others(capsys: pytest.CaptureFixture[str]) -> None:
    class Plain(OffsetUdp):
        hazards = frozenset({"remove"})

    EXPLORE._print(explore(Plain(), {"remove"}, Scope(1, 1, 1), states_max=100))
    assert "Not explored" not in capsys.readouterr().out
