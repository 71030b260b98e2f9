"""`sockiter promise` on Debian's source, as it is, with a fault, and in a bisection: `tox -e trees`. It builds kernels.

$SOCKITER_TREE may name an unpacked source without a history, in which the tests then work, and which may have a build in the
cache. Otherwise Debian's is downloaded and unpacked, each time at the same path.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockiter.errors import Unavailable
from sockiter.vm import build, guest, packages, programs, sources, toolchain

pytestmark = pytest.mark.skipif(os.environ.get("SOCKITER_TREES") != "1", reason="builds kernels: tox -e trees")

SOURCE = Path("net", "ipv4", "udp.c")
SECONDS = "10"


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """Debian's source of Linux 6.12, without a history."""
    lacks = [name for name in (*guest._NEEDED, "git", "patch") if programs.program(name) is None]
    try:
        toolchain.require({}, 0, Path("/"))
    except Unavailable as error:
        lacks.append(str(error))
    if lacks:
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(f"without {', '.join(lacks)}")
    folder = Path(tempfile.gettempdir(), "sockiter-trees")
    path = Path(os.environ.get("SOCKITER_TREE") or folder / "linux")
    if "SOCKITER_TREE" not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
        name = f"linux-source-{build.VERSION}"
        (folder / "package").mkdir(parents=True)
        unpacked = packages.get([name], folder / "package")
        programs.run(["tar", "-xf", str(unpacked / "usr" / "src" / f"{name}.tar.xz"), "-C", str(folder)])
        (folder / name).rename(path)
    # Debian's ignores every file of the source.
    (path / ".gitignore").unlink(missing_ok=True)
    source = (path / SOURCE).read_text()
    try:
        yield path
    finally:
        (path / SOURCE).write_text(source)
        shutil.rmtree(path / ".git", ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def faulty(text: str) -> str:
    """The source of UDP with a fault of one line: the iterator counts each socket that it leaves behind twice."""
    changed, number = re.subn(
        r"(bpf_iter_udp_seq_next\(.*?)\+\+iter->offset;", r"\1iter->offset += 2;", text, count=1, flags=re.S
    )
    assert number == 1, "this source has no such counter: the fault of this test is for schemes that count"
    return changed


def promise(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the document of a verdict on UDP's iterator."""
    command = [sys.executable, "-m", "sockiter", "promise", *arguments, "kernel:udp", "--seconds", SECONDS, "--seed", "1"]
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def test_debians_source_keeps_the_claims_of_the_scheme_that_it_walks_by(tree: Path, tmp_path: Path) -> None:
    status, document = promise(str(tree), "--cases", str(tmp_path))
    (udp,) = document["targets"]
    assert (status, udp["broken"], udp["walks_by"]) == (0, [], "offset-udp")
    assert udp["replayed"] > 0
    assert udp["sequences"] > 0


def test_a_fault_of_one_line_is_found_and_named(tree: Path, tmp_path: Path) -> None:
    before = (tree / SOURCE).read_text()
    lines = (before.splitlines(keepends=True), faulty(before).splitlines(keepends=True))
    (tmp_path / "fault.patch").write_text("".join(difflib.unified_diff(*lines, f"a/{SOURCE}", f"b/{SOURCE}")))
    arguments = ("--scheme", "offset-udp", "--patch", str(tmp_path / "fault.patch"), "--cases", str(tmp_path / "cases"))
    status, document = promise(str(tree), *arguments)
    (udp,) = document["targets"]
    assert (status, udp["unlike"]) == (1, True)
    assert "skip" in {kind for one in udp["broken"] for kind in one["kinds"]}
    assert all(Path(one["case"]).exists() for one in udp["broken"])
    assert (tree / SOURCE).read_text() == before


def test_a_bisection_finds_the_commit_with_the_fault(tree: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null"]
        command = ["git", "-C", str(tree), *identity, *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    # Only the file with the fault has a history; the others are new to Git, and copied all the same.
    git("init", "-q")
    text = (tree / SOURCE).read_text()
    commits = {}
    versions = {
        "first": text,
        "harmless": f"{text}/* harmless */\n",
        "fault": f"{faulty(text)}/* harmless */\n",
        "does not build": f"{faulty(text)}#error no\n",
        "last": faulty(text),
    }
    for name, version in versions.items():
        (tree / SOURCE).write_text(version)
        git("add", str(SOURCE))
        git("commit", "-q", "-m", name)
        commits[name] = git("rev-parse", "HEAD").strip()
    git("bisect", "start", commits["last"], commits["first"])
    command = [sys.executable, "-m", "sockiter", "promise", ".", "kernel:udp", "--scheme", "offset-udp", "--kind", "skip"]
    log = git("bisect", "run", *command, "--seconds", SECONDS, "--seed", "1", "--cases", str(tmp_path))
    assert f"{commits['fault']} is the first bad commit" in log
    assert sources.folder_of(tree).exists()
