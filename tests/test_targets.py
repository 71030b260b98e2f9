"""Cases and targets: a case that no target can run, or that misspells a target, is a wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sockiter import targets
from sockiter.cases import load
from sockiter.errors import InputError
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget
from sockiter.targets import load_known
from tests.support.command import sockiter
from tests.support.paths import CASES

pytestmark = pytest.mark.usefixtures("on_any_machine")


def written(directory: Path, text: str) -> Path:
    (path := directory / "written.case").write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# why\nadd A tail in listning:0\nopen\nread all\n",
            ":2: no target has a table named 'listning': did you mean 'listening'?",
        ),
        (
            "add A tail in moon:0\nopen\nread all\n",
            ":1: no target has a table named 'moon': expected one of listening, established",
        ),
        (
            "add A tail\nopen\nread 1\n  at realloc 1: fail\n  at show 1: rehash A to moon:1\nread all\n",
            ":5: no target has a table named 'moon'",
        ),
        (
            "expect ofset-udp skip A\nadd A tail\nopen\nread all\n",
            ":1: no target is named 'ofset-udp': did you mean 'offset-udp'?",
        ),
        (
            "\nexpect kernel:upd skip A\nadd A tail\nopen\nread all\n",
            ":2: no target is named 'kernel:upd': did you mean 'kernel:udp'?",
        ),
        (
            "expect kernel:moon skip A\nadd A tail\nopen\nread all\n",
            ":1: no target is named 'kernel:moon': expected one of offset-udp, ",
        ),
        (
            "expect kernel:udp skip A as ofset-udp\nadd A tail\nopen\nread all\n",
            ":1: no scheme is named 'ofset-udp': did you mean 'offset-udp'?",
        ),
        (
            "expect next-year skip A\nadd A tail in listning:0\nopen\nread all\n",
            ":2: no target has a table named 'listning': did you mean",
        ),
    ],
)
@pytest.mark.parametrize("command", ["replay", "show", "minimize"])
def test_a_case_that_no_target_can_carry_out_is_status_2_by_file_and_line(
    command: str, text: str, expected: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    result = sockiter(command, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"sockiter: {path}{expected}")


@pytest.mark.parametrize("name", ["next-year", "offset-udp-mine", "rank2"])
def test_a_target_that_may_be_a_package_which_is_not_installed_is_no_error(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"expect {name} skip A\nexpect kernel:udp skip A as {name}\nadd A tail\nopen\nread all\n")
    assert load_known(path) == load(path)


def test_a_table_may_be_that_of_a_package_which_is_not_installed(tmp_path: Path) -> None:
    path = written(tmp_path, "expect next-year skip A\nadd A tail in queue:0\nopen\nread all\n")
    assert load_known(path) == load(path)


def test_a_case_that_no_target_can_run_here_is_status_3(tmp_path: Path) -> None:
    path = written(tmp_path, "expect next-year skip A\nadd A tail in queue:0\nopen\nread all\n")
    result = sockiter("replay", path, "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]) == (3, "no case could be run")
    assert result.stderr.endswith("sockiter: no case could be run\n")


def test_the_line_of_the_first_operation_with_which_all_targets_refuse_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = type("Queue", (Rank,), {"name": "queue", "tables": ("queue",), "hazards": frozenset()})()
    monkeypatch.setattr(targets, "TARGETS", (SchemeTarget(CookieTcp()), SchemeTarget(queue)))
    path = written(tmp_path, "add A tail in queue:0\nadd B tail in queue:0\nadd C head in established:0\nopen\nread all\n")
    problem = "no target can carry out this case: expected a case that some target can carry out"
    expected = f"{path}:3: {problem}: cookie-tcp has no table named"
    with pytest.raises(InputError, match=expected):
        load_known(path)


def test_the_corpus_names_known_targets_only() -> None:
    for path in CASES.glob("*.case"):
        assert load_known(path) == load(path)


def test_a_kernel_target_has_no_scheme_to_search() -> None:
    assert targets.scheme_of(targets.target_named("rank")) is not None
    assert targets.scheme_of(targets.target_named("kernel:udp")) is None
