"""Unusual files and descriptors: each is left unchanged, or named in a one-line message."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockiter import streams, workers
from sockiter.cases import load, load_with_lines
from sockiter.errors import InputError
from sockiter.files import commit_of, escaped, sweep, write_whole
from tests.support.command import DEADLINE_S, members, sockiter, started, unmeasured, wait_until
from tests.support.paths import CASES

pytestmark = pytest.mark.usefixtures("on_any_machine")

RFC_SKIP = CASES / "rfc_skip.case"
PROGRAM = [sys.executable, "-m", "sockiter"]


def run(*args: object, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with its descriptors as a shell leaves them."""
    command = ["sh", "-c", f'"$@" {script}', "sh", *PROGRAM, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=os.environ | variables)


@pytest.mark.parametrize(
    ("script", "args", "status"),
    [
        (">&-", ("replay", RFC_SKIP, "--target", "index"), 0),
        ("<&-", ("replay", RFC_SKIP, "--target", "index"), 0),
        ("2>&-", ("replay", RFC_SKIP, "nosuch.case"), 2),
        ("2>/dev/full", ("replay", RFC_SKIP, "nosuch.case"), 2),
        (">&- 2>&-", ("show", RFC_SKIP, "--html", "/nowhere/page"), 3),
    ],
)
def test_the_exit_status_is_the_same_without_a_descriptor(script: str, args: tuple[object, ...], status: int) -> None:
    done = run(*args, script=script)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_stream_whose_descriptor_another_file_has_taken_is_no_stream(tmp_path: Path) -> None:
    # As a library does that opens a file before the program begins.
    (tmp_path / "sitecustomize.py").write_text("import os\nos.open(__file__ + '.log', os.O_WRONLY | os.O_CREAT)\n")
    done = run("replay", RFC_SKIP, "--target", "index", script=">&-", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "sitecustomize.py.log").read_bytes() == b""


def test_streams_that_are_all_open_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", pytest.fail)
    before = (sys.stdin, sys.stdout, sys.stderr)
    streams.complete()
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_a_closed_stream_is_replaced_by_one_that_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, int]] = []

    def closed(descriptor: int) -> None:
        if descriptor:
            raise OSError(errno.EBADF, "")

    monkeypatch.setattr(os, "fstat", closed)
    monkeypatch.setattr(os, "open", lambda path, flags: opened.append((path, flags)))
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stderr", None)
    streams.complete()
    with sys.stdin, sys.stderr:
        assert sys.stdin.read() == ""
        assert sys.stderr.write("message")
    monkeypatch.undo()
    assert opened == [(os.devnull, os.O_RDWR)] * 2


def test_a_fuzz_without_descriptors_keeps_its_cases(tmp_path: Path) -> None:
    args = ("fuzz", "offset-udp", "--driver", "swarm", "--seed", 7, "--seconds", 0.5, "--cases", tmp_path)
    assert run(*args, script="<&- >&- 2>&-").returncode == 0
    assert load(next(tmp_path.glob("*.case"))).comment


def test_an_unprintable_error_message_leaves_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sockiter.cli.click.echo", lambda *args, **options: Full().write(""))
    assert sockiter("replay", "nosuch.case").exit_code == 2


def test_a_name_that_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    (path := tmp_path / "euro.case").write_text("add \u20ac tail\nopen\nread all\n", encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*PROGRAM, "show", path], capture_output=True, text=True, env=environment, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Iteration sees: [\\u20ac]" in done.stdout


def test_a_byte_order_mark_is_no_part_of_a_case(tmp_path: Path) -> None:
    (path := tmp_path / "marked.case").write_bytes(b"\xef\xbb\xbf" + RFC_SKIP.read_bytes())
    assert load(path) == load(RFC_SKIP)


def test_a_case_is_read_from_standard_input() -> None:
    command = [*PROGRAM, "replay", "-", "--target", "index"]
    done = subprocess.run(command, input=RFC_SKIP.read_text(), capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, "-\n  index  ok, as expected\n")


@pytest.mark.parametrize("command", ["replay", "show", "minimize"])
def test_a_special_file_is_not_read(command: str, tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo.case")
    (loop := tmp_path / "loop.case").symlink_to(loop)
    for path, what in (
        (fifo, "not a regular file: expected a case file, or - for standard input"),
        (Path("/dev/zero"), "not a regular file: expected a case file, or - for standard input"),
        (loop, "cannot be read: Too many levels of symbolic links"),
    ):
        result = sockiter(command, path)
        assert (result.exit_code, result.stderr) == (2, f"sockiter: {path}: {what}\n")


def test_of_a_directory_regular_files_are_replayed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.case")
    (tmp_path / "directory.case").mkdir()
    (tmp_path / "link.case").symlink_to(RFC_SKIP)
    assert sockiter("replay", tmp_path, "--target", "index").stdout == f"{tmp_path}/link.case\n  index  ok, as expected\n"


def test_a_file_is_replaced_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (link := tmp_path / "link").symlink_to(target := tmp_path / "elsewhere" / "page")
    write_whole(link, "first")
    inode = target.stat().st_ino
    write_whole(link, "second")
    assert link.is_symlink()
    assert target.read_text() == "second"
    assert target.stat().st_ino != inode
    assert os.listdir(tmp_path / "elsewhere") == ["page"]


@pytest.mark.parametrize("option", ["--html", "--svg"])
def test_a_device_is_written_to_and_stays(option: str) -> None:
    before = Path(os.devnull).stat().st_rdev
    assert sockiter("show", RFC_SKIP, option, os.devnull).exit_code == 0
    assert Path(os.devnull).is_char_device()
    assert Path(os.devnull).stat().st_rdev == before


def test_a_fifo_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True) as reader:
        write_whole(fifo, "whole")
        assert reader.communicate(timeout=DEADLINE_S)[0] == "whole"
    assert fifo.is_fifo()


HOSTILE = "two\nlines \x1b[31m.case"


@pytest.mark.parametrize(
    ("args", "status"),
    [(("replay",), 0), (("show",), 0), (("minimize", "--target", "offset-udp"), 0), (("show", "--target", "kernel:udp"), 3)],
)
def test_a_hostile_name_of_a_file_is_escaped(args: tuple[str, ...], status: int, tmp_path: Path) -> None:
    (path := tmp_path / HOSTILE).write_text(RFC_SKIP.read_text(encoding="utf-8"), encoding="utf-8")
    result = sockiter(*args, path)
    assert result.exit_code == status
    assert "\x1b" not in result.output
    assert "\nlines" not in result.output
    path.write_text("open\nopen\n", encoding="utf-8")
    assert sockiter(*args, path).stderr.startswith(f"sockiter: {tmp_path}/two\\nlines \\x1b[31m.case:2: ")


def test_a_shrunk_case_has_no_line_of_a_files_name(tmp_path: Path) -> None:
    (path := tmp_path / "a\nopen\n.case").write_text(RFC_SKIP.read_text(encoding="utf-8"), encoding="utf-8")
    sockiter("minimize", path, "-o", tmp_path / "least")
    assert load(tmp_path / "least").comment == ("Shrunk from a\\nopen\\n.case.",)


def test_a_name_that_is_not_utf8_is_escaped() -> None:
    path = Path(os.fsdecode(b"/nowhere/\xff.case"))
    assert escaped(path) == "/nowhere/\\xff.case"
    with pytest.raises(InputError, match="cannot be read"):
        load_with_lines(path)


def test_a_temporary_file_of_a_killed_writer_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    names = ("old.part", "new.part", "locked.part", "link.part", "directory.part")
    old, new, locked, link, directory = (tmp_path / f".sockiter-{name}" for name in names)
    for path in (old, new, locked, other := tmp_path / ".other.part"):
        path.touch()
    link.symlink_to(other)
    directory.mkdir()
    minutes_ago = time.time() - 120
    for path in (old, locked, other, directory):
        os.utime(path, (minutes_ago, minutes_ago))
    with locked.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_whole(tmp_path / "page", "whole")
        assert set(tmp_path.iterdir()) == {new, locked, link, directory, other, tmp_path / "page"}
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {new, link, directory, other, tmp_path / "page"}


def test_a_temporary_file_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (part := tmp_path / ".sockiter-old.part").touch()
    os.utime(part, (0, 0))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    sweep(tmp_path)
    assert part.exists()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory with a short name: multiprocessing goes elsewhere where the name of its socket would be too long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.mark.interpreter
def test_the_directory_of_a_killed_fuzz_is_removed_by_the_next_one(temporary: Path, tmp_path: Path) -> None:
    environment = {**unmeasured(), "TMPDIR": str(temporary)}
    command = [*PROGRAM, "fuzz", "index", "--driver", "swarm", "--workers", "1", "--cases", str(tmp_path / "cases")]
    (foreign := temporary / "pymp-foreign").mkdir()

    def marked() -> set[Path]:
        return {mark.parent for mark in temporary.glob("pymp-*/.sockiter")}

    with started([*command, "--seconds", "600"], env=environment, start_new_session=True) as killed:
        wait_until(lambda: len(marked()) == 1)
        first = marked()
        with started([*command, "--seconds", "0.2"], env=environment, stdout=subprocess.DEVNULL) as second:
            assert second.wait(DEADLINE_S) == 0
        assert marked() == first
        killed.kill()
        killed.wait()
        wait_until(lambda: members(killed.pid) == {})
    assert marked() == first
    assert subprocess.run([*command, "--seconds", "0.2"], env=environment, capture_output=True).returncode == 0
    assert set(temporary.iterdir()) == {foreign}


def test_a_directory_of_another_user_s_workers_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pymp-theirs").mkdir()
    (mark := tmp_path / "pymp-theirs" / ".sockiter").touch()
    monkeypatch.setattr(workers, "get_temp_dir", lambda: str(tmp_path / "pymp-ours"))
    with monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: os.getuid() + 1)
        workers._remove_abandoned()
    assert mark.exists()
    workers._remove_abandoned()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_modules_are_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "sockiter.__main__", raising=False)
    monkeypatch.setitem(sys.modules, "sockiter.cli", Interrupting())
    with pytest.raises(SystemExit) as done:
        runpy.run_module("sockiter", run_name="__main__")
    assert done.value.code == 130
    assert capsys.readouterr().err == "sockiter: interrupted\n"


def test_an_interrupt_while_a_dataclass_is_made_is_an_interrupt_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Interrupting:\n    def __getattr__(self, name):\n        exec('raise KeyboardInterrupt')\n"
        "sys.modules['sockiter.cli'] = Interrupting()\n"
    )
    done = run("targets", script="", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (130, "sockiter: interrupted\n")


def test_an_unprintable_note_is_no_failure() -> None:
    done = run("minimize", RFC_SKIP, "--target", "offset-udp", script="2>/dev/full")
    assert done.returncode == 0
    assert done.stdout.endswith("read all\n")


# The commit of a checkout, as Git's files say.

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def checkout(directory: Path, head: str, **files: str) -> Path:
    """A checkout with this HEAD, and with other files of Git; a slash in a name is two underscores."""
    for name, text in {"HEAD": head, **files}.items():
        path = directory / ".git" / name.replace("__", "/").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    ("head", "files"),
    [
        (COMMIT, {}),
        ("ref: refs/heads/main\n", {"refs__heads__main": f"{COMMIT}\n"}),
        ("ref: refs/heads/main\n", {"packed_refs": f"# pack-refs\n{'f' * 40} refs/heads/mai\n{COMMIT} refs/heads/main\n"}),
    ],
)
def test_the_commit_of_a_checkout_is_read_from_the_files_of_git(head: str, files: dict[str, str], tmp_path: Path) -> None:
    assert commit_of(checkout(tmp_path, head, **files)) == COMMIT[:12]


@pytest.mark.parametrize(
    ("head", "files"),
    [
        ("ref: refs/heads/main\n", {}),
        ("ref: refs/heads/main\n", {"packed_refs": f"{COMMIT} refs/heads/mai\n"}),
        ("nonsense", {}),
        ("ref: \0", {}),
    ],
)
def test_a_checkout_without_a_commit_has_none(head: str, files: dict[str, str], tmp_path: Path) -> None:
    assert commit_of(checkout(tmp_path, head, **files)) is None


def test_a_directory_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    (tmp_path / ".git").write_bytes(b"\xff")
    assert commit_of(tmp_path) is None


def test_the_commit_of_a_worktree_is_that_of_its_own_head(tmp_path: Path) -> None:
    git = checkout(tmp_path / "main", "ref: refs/heads/main\n", refs__heads__mine=COMMIT) / ".git"
    (own := git / "worktrees" / "mine").mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/mine\n", encoding="utf-8")
    (own / "commondir").write_text("../..\n", encoding="utf-8")
    (worktree := tmp_path / "mine").mkdir()
    (worktree / ".git").write_text(f"gitdir: {own}\n", encoding="utf-8")
    assert commit_of(worktree) == COMMIT[:12]
