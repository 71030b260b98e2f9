"""Source trees of kernels: their copies, their patches and their builds. Nothing is compiled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sockiter import durations
from sockiter.errors import InputError, Unavailable
from sockiter.vm import cache, programs, sources, toolchain, worker
from sockiter.vm.mirror import Mirror
from tests.support import stand_ins

MAKEFILE = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n"
FILES = {"Makefile": MAKEFILE, "Kbuild": "", "net/udp.c": "one\ntwo\nthree\n", "net/tcp.c": "tcp\n"}
PATCH = """\
--- a/net/udp.c
+++ b/net/udp.c
@@ -1,3 +1,3 @@
 one
-two
+2
 three
"""


@pytest.fixture
def tree(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small source tree, on a machine that can build it; nothing in it ever changes on its own."""
    for header in toolchain._HEADERS:
        (tmp_path / header).touch()
    monkeypatch.setattr(toolchain, "_INCLUDE", (str(tmp_path),))
    folder = tmp_path / "linux"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def build(tree: Path, tmp_path: Path) -> Callable[..., Path]:
    """A build of the tree into a new folder; the image."""

    def run(patch: Path | None = None) -> Path:
        to = tmp_path / f"to{len(list(tmp_path.glob('to*')))}"
        to.mkdir()
        return sources.build(tree, to, patch)

    return run


def compiled(machine: Path) -> list[str]:
    """The sources that were compiled since the last call."""
    log = machine / "compiled"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def git(tree: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, stdout=subprocess.DEVNULL)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def everything(folder: Path) -> dict[str, tuple[str, int]]:
    """The text and the date of each file."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(folder)): (path.read_text(), path.stat().st_mtime_ns) for path in paths}


def test_a_tree_is_built_out_of_the_tree_with_the_small_configuration(
    machine: Path, tree: Path, build: Callable[..., Path]
) -> None:
    before = everything(tree)
    image = build()
    assert (image.name, image.parent.name) == ("vmlinuz-6.12.1-fault-injection", "boot")
    assert image.read_bytes() == stand_ins.IMAGE
    assert everything(tree) == before
    assert toolchain.lost((sources.folder_of(tree) / "build" / ".config").read_text()) == []


def test_the_second_build_compiles_only_the_changes(machine: Path, tree: Path, build: Callable[..., Path]) -> None:
    build()
    assert compiled(machine) == ["net/tcp.c", "net/udp.c"]
    build()
    assert compiled(machine) == []
    (tree / "net/udp.c").write_text("other\n")
    build()
    assert compiled(machine) == ["net/udp.c"]


def test_an_older_version_of_a_file_is_compiled_too(machine: Path, tree: Path, build: Callable[..., Path]) -> None:
    build()
    (tree / "net/udp.c").write_text("other\n")
    os.utime(tree / "net/udp.c", (0, 0))
    compiled(machine)
    build()
    assert compiled(machine) == ["net/udp.c"]


def test_a_patch_is_applied_to_the_copy_and_the_next_build_takes_it_back(
    machine: Path, tree: Path, build: Callable[..., Path], tmp_path: Path
) -> None:
    before = everything(tree)
    copy = sources.folder_of(tree) / "source" / "net" / "udp.c"
    build()
    compiled(machine)
    build(written(tmp_path / "two.patch", PATCH))
    assert compiled(machine) == ["net/udp.c"]
    assert copy.read_text() == "one\n2\nthree\n"
    build()
    assert compiled(machine) == ["net/udp.c"]
    assert copy.read_text() == "one\ntwo\nthree\n"
    assert everything(tree) == before


def test_a_file_that_a_patch_adds_is_removed_again(tree: Path, build: Callable[..., Path], tmp_path: Path) -> None:
    build(written(tmp_path / "new.patch", "--- /dev/null\n+++ b/net/new/new.c\n@@ -0,0 +1 @@\n+new\n"))
    copy = sources.folder_of(tree) / "source"
    assert (copy / "net/new/new.c").read_text() == "new\n"
    build()
    assert not (copy / "net/new").exists()
    assert (copy / "net/udp.c").exists()


def test_a_patch_that_does_not_apply_is_reported_with_file_and_hunk(
    tree: Path, build: Callable[..., Path], tmp_path: Path
) -> None:
    patch = written(tmp_path / "bad.patch", PATCH.replace(" one", " none"))
    with pytest.raises(Unavailable, match=r"bad\.patch does not apply: .*net/udp\.c; Hunk #1 FAILED at 1\."):
        build(patch)
    assert list(tree.rglob("*.rej")) == list(sources.folder_of(tree).rglob("*.rej")) == []


def test_a_patch_that_changes_files_elsewhere_is_refused_and_nothing_there_is_removed(
    build: Callable[..., Path], tmp_path: Path, tree: Path
) -> None:
    outside = written(tmp_path / "precious", "one\ntwo\nthree\n")
    way = os.path.relpath(outside, sources.folder_of(tree) / "source")
    with pytest.raises(Unavailable, match="does not apply"):
        build(written(tmp_path / "out.patch", PATCH.replace("net/udp.c", way)))
    build()
    assert outside.read_text() == "one\ntwo\nthree\n"


def test_a_file_that_is_no_patch_is_wrong_input(build: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no patch in it: expected a unified diff, as from `git diff`$"):
        build(written(tmp_path / "letter", "Dear all,\n"))
    with pytest.raises(InputError, match=r"missing: cannot be read: No such file or directory$"):
        build(tmp_path / "missing")


def test_a_checkout_of_git_is_copied_without_what_git_ignores(tree: Path, tmp_path: Path) -> None:
    git(tree, "init", "-q")
    (tree / ".gitignore").write_text("*.o\n.config\n")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "all")
    for name in ("net/udp.o", ".config", "net/new.c"):
        (tree / name).touch()
    (tree / "net/tcp.c").unlink()
    mirror = Mirror(tree, tmp_path / "copy", tmp_path / "states")
    mirror.refresh()
    copied = {str(path.relative_to(mirror.copy)) for path in mirror.copy.rglob("*") if path.is_file()}
    assert copied == {".gitignore", "Makefile", "Kbuild", "net/udp.c", "net/new.c"}


def test_a_copy_has_links_modes_and_odd_names_and_follows_a_folder_that_becomes_a_file(tree: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff")
    (tree / "script").touch(mode=0o755)
    (tree / odd).touch()
    (tree / "to-file").symlink_to("script")
    (tree / "to-folder").symlink_to("net")
    mirror = Mirror(tree, tmp_path / "copy", tmp_path / "states")
    mirror.refresh()
    assert os.access(mirror.copy / "script", os.X_OK)
    assert (mirror.copy / odd).exists()
    assert [os.readlink(mirror.copy / name) for name in ("to-file", "to-folder")] == ["script", "net"]
    (tree / "net/udp.c").unlink()
    (tree / "net/tcp.c").unlink()
    (tree / "net").rmdir()
    (tree / "net").touch()
    assert mirror.refresh() == 3
    assert (mirror.copy / "net").is_file()
    assert mirror.refresh() == 0


def test_a_repository_inside_a_checkout_is_not_copied(tree: Path, tmp_path: Path) -> None:
    git(tree, "init", "-q")
    (tree / "inner").mkdir()
    git(tree / "inner", "init", "-q")
    git(tree / "inner", "commit", "-q", "--allow-empty", "-m", "inner")
    git(tree, "-c", "advice.addEmbeddedRepo=false", "add", ".")
    mirror = Mirror(tree, tmp_path / "copy", tmp_path / "states")
    mirror.refresh()
    assert not (mirror.copy / "inner").exists()


def test_a_copy_that_was_cut_short_is_completed(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror(tree, tmp_path / "copy", tmp_path / "states")
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "_copy", lambda self, path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mirror.refresh()
    assert mirror.refresh() == len(FILES)
    assert (mirror.copy / "net/udp.c").read_text() == FILES["net/udp.c"]


def test_a_build_that_fails_is_reported_with_the_errors_of_the_compiler(tree: Path, build: Callable[..., Path]) -> None:
    (tree / "net/udp.c").write_text("#error\n")
    log = sources.folder_of(tree) / "make.log"
    with pytest.raises(Unavailable, match=rf"linux does not build: net/udp.c:1:2: error: wrong; .* is in {log}$"):
        build()
    assert "the caller" in log.read_text()


@pytest.mark.usefixtures("machine")
def test_a_build_that_fails_otherwise_is_reported_with_its_last_lines(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKE_FAILS", "1")
    with pytest.raises(Unavailable, match="does not build: cc1: no memory; the whole output is in "):
        build()


def test_an_option_without_which_no_guest_comes_up_must_be_accepted_and_others_are_reported(
    tree: Path, build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(cache, "show_progress", lines.append)
    monkeypatch.setenv("WITHOUT", "_RSEQ=")
    build()
    assert [line for line in lines if "CONFIG" in line] == [f"{tree} has no CONFIG_RSEQ"]
    monkeypatch.setenv("WITHOUT", "_BTF=")
    with pytest.raises(Unavailable, match=r"linux cannot be configured with CONFIG_DEBUG_INFO_BTF=y$"):
        build()


def test_what_is_no_source_of_a_kernel_is_wrong_input(build: Callable[..., Path], tree: Path) -> None:
    (tree / "Kbuild").unlink()
    with pytest.raises(InputError, match=r"no source of a kernel: expected a folder with its Makefile and Kbuild$"):
        build()
    (tree / "Makefile").unlink()
    with pytest.raises(InputError, match="no source of a kernel"):
        build()


def test_a_checkout_that_ignores_its_own_files_is_wrong_input(build: Callable[..., Path], tree: Path) -> None:
    git(tree, "init", "-q")
    (tree / ".gitignore").write_text("/*\n")
    with pytest.raises(
        InputError, match=r"linux: Git ignores its files: add them with `git add -f`, or remove \.git there$"
    ):
        build()
    git(tree, "add", "-f", ".")
    assert build().exists()


def test_a_tree_with_products_of_a_build_must_be_cleaned_unless_git_knows_them(
    build: Callable[..., Path], tree: Path
) -> None:
    (tree / ".config").touch()
    with pytest.raises(
        InputError, match=r"it has products of a build: run `make mrproper` there, or name a checkout of Git$"
    ):
        build()
    (tree / ".gitignore").write_text(".config\n")
    git(tree, "init", "-q")
    assert build().exists()


def test_the_missing_programs_of_a_build_are_named(
    build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = programs.program
    monkeypatch.setattr(programs, "program", lambda name: None if name in ("flex", "patch") else found(name))
    with pytest.raises(Unavailable, match=r"^building a kernel requires more packages: apt-get install flex$"):
        build()
    with pytest.raises(Unavailable, match=r"apt-get install flex patch$"):
        build(tmp_path / "two.patch")


def test_a_cache_that_cannot_be_made_is_reported(build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", os.path.abspath("file"))
    with pytest.raises(Unavailable, match=r"cannot be made: Not a directory; set XDG_CACHE_HOME to another folder$"):
        build()


def test_progress_names_the_tree_the_patch_and_the_version(
    tree: Path, build: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(cache, "show_progress", lines.append)
    cpus = len(os.sched_getaffinity(0))
    build()
    assert lines[-1] == f"building {tree} (6.12.1) on {cpus} processors; the first build takes ten minutes or more"
    durations.keep(f"vm: build of {sources.folder_of(tree).name} again", 61.0)
    build(written(tmp_path / "two.patch", PATCH))
    assert lines[-1] == f"building {tree} with two.patch (6.12.1) on {cpus} processors; the last time that took 61 s"


def test_the_worker_reports_the_image_of_a_tree(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    account = worker.Account()
    assert worker.hand_over({"do": "build-tree", "tree": str(tree), "patch": None, "to": str(tmp_path / "to")}, account) == 0
    image = tmp_path / "to" / "boot" / "vmlinuz-6.12.1-fault-injection"
    assert account.report == {"outcome": "built", "image": str(image)}
    assert image.exists()
