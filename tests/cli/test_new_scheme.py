"""`sockiter new-scheme`: a package that works as it is written, and no file is overwritten."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.command import sockiter
from tests.support.packages import install, python

FILES = ["README.md", "my_walk.py", "pyproject.toml", "tests/test_my_walk.py"]


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_package_is_written_to_a_directory_of_its_name(here: Path) -> None:
    result = sockiter("new-scheme", "My-Walk")
    assert (result.exit_code, result.stderr) == (0, "")
    assert files_in(here / "My-Walk") == FILES
    assert result.stdout.splitlines() == [
        "My-Walk/pyproject.toml",
        "My-Walk/my_walk.py",
        "My-Walk/tests/test_my_walk.py",
        "My-Walk/README.md",
        "",
        "Install it, and run its tests:",
        "  pip install -e 'My-Walk[test]'",
        "  pytest My-Walk",
    ]
    assert 'name = "My-Walk"' in (here / "My-Walk" / "my_walk.py").read_text(encoding="utf-8")
    assert 'My-Walk = "my_walk:MyWalk"' in (here / "My-Walk" / "pyproject.toml").read_text(encoding="utf-8")


def test_an_empty_directory_is_filled_and_one_with_files_is_refused(here: Path) -> None:
    (here / "empty").mkdir()
    assert sockiter("new-scheme", "my-walk", "empty").exit_code == 0
    (here / "empty" / "my_walk.py").write_text("precious\n", encoding="utf-8")
    again = sockiter("new-scheme", "my-walk", "empty")
    assert (again.exit_code, again.stderr) == (2, "sockiter: empty: not empty: expected a new or an empty directory\n")
    assert (here / "empty" / "my_walk.py").read_text(encoding="utf-8") == "precious\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("kernel:x", "its name is not made of letters, digits, dashes and underscores"),
        ("../up", "its name is not made of letters, digits, dashes and underscores"),
        ("offset-udp", "its name is another target's"),
        ("2nd", "no module can be named '2nd': expected ASCII letters first, and no keyword"),
        ("gänge", "no module can be named 'gänge': expected ASCII letters first, and no keyword"),
        ("class", "no module can be named 'class': expected ASCII letters first, and no keyword"),
        ("random", "another module is named 'random': expected the name of a new one"),
        ("pytest", "another module is named 'pytest': expected the name of a new one"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_written(name: str, why: str, here: Path) -> None:
    result = sockiter("new-scheme", name)
    assert (result.exit_code, result.stderr) == (2, f"sockiter: {name!r}: {why}\n")
    assert list(here.iterdir()) == []


def test_a_directory_of_the_name_is_no_module_of_the_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(here)
    (here / "walk").mkdir()
    assert sockiter("new-scheme", "walk").exit_code == 0


def test_a_directory_that_cannot_be_made_is_status_3(here: Path) -> None:
    (here / "file").touch()
    result = sockiter("new-scheme", "my-walk", "file/deeper")
    assert (result.exit_code, result.stderr) == (3, "sockiter: file/deeper: cannot be written: Not a directory\n")


@pytest.fixture
def package(here: Path) -> Path:
    assert sockiter("new-scheme", "my-walk").exit_code == 0
    return here / "my-walk"


def test_the_package_builds_and_its_scheme_is_a_target_that_passes_a_test(package: Path, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    site = install(package, tmp_path / "built")
    targets = python("-m", "sockiter", "targets", "--json", site=site).stdout
    assert '"target": "my-walk"' in targets
    tests = ["-m", "pytest", package, "-p", "no:cacheprovider", "-k", "known_failures"]
    done = python(*tests, site=site, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_all_tests_of_the_package_pass_as_they_are_written(package: Path, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    site = install(package, tmp_path / "built")
    done = python("-m", "pytest", "-p", "no:cacheprovider", site=site, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("ruff", ["check"]), ("ruff", ["format", "--check"]), ("mypy", ["--strict", "--cache-dir=/dev/null"])],
)
def test_the_package_is_clean(tool: str, arguments: list[str], package: Path) -> None:
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([sys.executable, "-m", tool, *arguments, "."], cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
