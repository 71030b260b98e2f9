"""The imports of a command: no more than the command needs, since every command starts with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sockiter.cli
from sockiter.cli import COMMANDS
from tests.support.paths import CASES

SLOW = ("hypothesis", "jinja2", "rich.progress")
CASE = str(CASES / "rfc_skip.case")
SMALL = ("--sockets", "2", "--buckets", "1", "--ops", "4", "--workers", "1")


def test_every_module_with_a_command_is_listed() -> None:
    folder = Path(sockiter.cli.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\n@click.command(" in path.read_text(encoding="utf-8")}
    assert modules == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["schema", "error"], set()),
        (["targets"], set()),
        (["replay", CASE, "--target", "offset-udp"], set()),
        (["show", CASE], set()),
        (["check", "offset-udp", *SMALL], {"rich.progress"}),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_a_command_imports_no_slow_module_that_it_does_not_need(words: list[str], needed: set[str]) -> None:
    code = (
        "import sys\nfrom sockiter.cli import main\n"
        f"main({words!r}, standalone_mode=False)\n"
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == str([name for name in SLOW if name in needed])
