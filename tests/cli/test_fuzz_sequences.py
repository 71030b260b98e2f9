"""`fuzz --sequences`: the report of a repeated run, and of a run that was cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import sockiter
from tests.support.inline_workers import work_inline

pytestmark = pytest.mark.usefixtures("on_any_machine", "inline")

COUNTED = ("fuzz", "offset-udp", "--driver", "swarm", "--workers", "1", "--seed", "7", "--hazard", "remove", "--sequences")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)


def without_clock(value: Any) -> Any:
    """A document without the numbers that a clock has made."""
    if isinstance(value, dict):
        clocked = ("seconds", "per_second", "seconds_to_find", "found_by")
        return {key: without_clock(inner) for key, inner in value.items() if key not in clocked}
    return [without_clock(inner) for inner in value] if isinstance(value, list) else value


def test_a_run_of_sequences_has_the_same_document_again(tmp_path: Path) -> None:
    first, again = (json.loads(sockiter(*COUNTED, "600", "--cases", tmp_path, "--json").stdout) for _ in range(2))
    assert without_clock(first) == without_clock(again)
    assert (first["seed"], first["sequences"], first["whole"]) == (7, 600, True)
    (target,) = first["targets"]
    assert target["sequences"] == 600
    (refuted,) = target["refuted"]
    assert 0 < refuted["sequences_to_find"] <= 600


def test_the_report_has_the_number_of_sequences_of_each(tmp_path: Path) -> None:
    result = sockiter(*COUNTED, "600", "--cases", tmp_path)
    assert result.exit_code == 0
    assert "sockiter fuzz: seed 7, 600 sequences for each target and driver, " in result.stdout
    assert "No claim was broken in 600 sequences on offset-udp" in result.stdout
    assert "Not the whole run" not in result.stdout


def test_a_run_that_is_cut_by_time_is_reported_as_incomplete(tmp_path: Path) -> None:
    cut = (*COUNTED, "10000000", "--seconds", "0.1", "--cases", tmp_path)
    result = sockiter(*cut)
    assert result.exit_code == 0
    assert "\nNot the whole run: it was cut. " in result.stdout
    assert json.loads(sockiter(*cut, "--json").stdout)["whole"] is False


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_bar_counts_sequences(tmp_path: Path) -> None:
    result = sockiter(*COUNTED, "600", "--cases", tmp_path, "--json")
    assert "sequences left" in result.stderr
    assert "operations/s, 1 found, 1 saved" in result.stderr
