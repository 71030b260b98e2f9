"""The origin of a page: version, commit, date, kernel and command."""

from __future__ import annotations

import platform
import sys
from importlib import import_module

import pytest

import sockiter
from sockiter.cli.origin import origin

ORIGIN = import_module("sockiter.cli.origin")


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sockiter", "matrix", "rank", "--html", "my \x1b[31mpage.html"])


def test_an_origin_has_version_kernel_and_the_command_as_it_can_be_printed() -> None:
    made = origin()
    assert made.version == sockiter.__version__
    assert made.kernel == f"{platform.system()} {platform.release()} ({platform.machine()})"
    assert made.command == "sockiter matrix rank --html 'my \\x1b[31mpage.html'"


def test_the_date_is_that_of_the_build_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert origin().date == "1970-01-01 00:00 UTC"


@pytest.mark.parametrize("value", ["", "tomorrow"])
def test_a_build_date_that_is_no_number_is_not_taken(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    assert not origin().date.startswith("1970")


@pytest.mark.parametrize(("commit", "expected"), [("0123456789ab", "0123456789ab"), (None, "")])
def test_the_commit_is_empty_where_there_is_no_checkout(
    commit: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ORIGIN, "commit", lambda: commit)
    assert origin().commit == expected
