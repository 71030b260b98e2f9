"""SOCKITER_DATABASE: the places of the example database, and a run that outlives its shared part."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis.database import ExampleDatabase, InMemoryExampleDatabase

from tests.support.command import wait_until
from tests.support.paths import ROOT

FUZZ = ROOT / "fuzz"

pytestmark = pytest.mark.skipif(not FUZZ.is_dir(), reason=f"no {FUZZ}: this is not a checkout")

FAILING = """
from databases import database_of
from hypothesis import given, settings, strategies as st
import os, sys

tried = []

@settings(database=database_of(os.environ["SOCKITER_DATABASE"]), max_examples=int(sys.argv[1]))
@given(st.integers())
def test(number):
    tried.append(number)
    assert number < 1_000

try:
    test()
except AssertionError:
    print("failed after", tried.index(next(n for n in tried if n >= 1_000)))
"""


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The module of fuzz/, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("databases", FUZZ / "databases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_directory_is_a_database(databases: Any, tmp_path: Path) -> None:
    database = databases.database_of(str(tmp_path / "shared"))
    database.save(b"test", b"input")
    assert [*databases.database_of(str(tmp_path / "shared")).fetch(b"test")] == [b"input"]


def test_the_artifact_of_a_repository_is_a_database_that_is_read(databases: Any) -> None:
    assert "GitHubArtifactDatabase(owner='an-owner', repo='a.repo'" in repr(databases.database_of("github:an-owner/a.repo"))


@pytest.mark.parametrize("value", ["", "github:owner", "postgres://host", "http://host/x"])
def test_another_value_is_an_error_that_names_the_expected_ones(databases: Any, value: str) -> None:
    with pytest.raises(ValueError, match=f"SOCKITER_DATABASE is {value!r}: expected a directory, redis://HOST:PORT, unix"):
        databases.database_of(value)


class Flaky(InMemoryExampleDatabase):
    """A database that may be lost."""

    is_lost = False

    def _check(self) -> None:
        if self.is_lost:
            raise ConnectionError("the server is gone")

    def save(self, key: bytes, value: bytes) -> None:
        self._check()
        super().save(key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        self._check()
        return super().fetch(key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._check()
        super().delete(key, value)


def _calls(database: ExampleDatabase) -> Iterator[object]:
    yield lambda: database.save(b"test", b"input")
    yield lambda: [*database.fetch(b"test")]
    yield lambda: database.delete(b"test", b"input")


@pytest.mark.parametrize("nth", range(3))
def test_a_database_that_is_lost_is_empty_after_one_line_about_it(
    databases: Any, nth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    flaky = Flaky()
    database = databases.Sturdy(flaky, ConnectionError)
    database.save(b"test", b"input")
    assert [*database.fetch(b"test")] == [b"input"]
    database.delete(b"test", b"input")
    flaky.is_lost = True
    calls: list[Any] = [*_calls(database)]
    calls[nth]()
    for call in calls:
        assert not call()
    assert capsys.readouterr().err == "SOCKITER_DATABASE: the shared database is lost: the server is gone\n"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis server on a socket of its own."""
    pytest.importorskip("redis", reason="needs the package redis: the extra `redis`")
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("needs Debian's package redis-server")
    socket = tmp_path / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_until(socket.exists)
        yield f"unix://{socket}", server
        server.kill()


def run_in(folder: Path, url: str, examples: int) -> str:
    """The output of a run of `FAILING` on a machine of its own, as far as files are concerned."""
    folder.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": f"{FUZZ}:{ROOT}", "SOCKITER_DATABASE": url, "PATH": ""}
    command = [sys.executable, "-c", FAILING, str(examples)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.slow
def test_what_one_machine_fails_on_another_one_fails_on_first(
    tmp_path: Path, redis_server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, server = redis_server
    assert "failed after" in run_in(tmp_path / "ci", url, 1_000)
    assert run_in(tmp_path / "laptop", url, 1) == "failed after 0\n"
    server.kill()
    server.wait()
    # Without the server, each has what it has found itself.
    assert run_in(tmp_path / "ci", url, 1) == "failed after 0\n"
