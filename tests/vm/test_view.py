"""A guest's view of this machine, and the rights of qemu, with a stand-in for qemu that inspects both. Nothing is booted."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from sockiter.vm import programs, view

SHARE = "local,id=virtfs5,path=/,security_model=none,readonly=on"

# In place of qemu: the guest's share, its content, its capabilities, and its writable files.
LOOK = """#!/bin/sh
echo "share $2"
cd "$(echo "$2" | sed 's/.*path=//; s/,security_model=.*//; s/,,/,/g')"
for path in {paths}; do if [ -e ".$path" ]; then echo "sees $path"; fi; done
for path in {paths}; do if [ -s ".$path" ]; then echo "reads $path"; fi; done
grep -E 'CapEff|NoNewPrivs' /proc/self/status
for path in {writes}; do if (: >"$path/new") 2>/dev/null; then echo "writes $path"; fi; done
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sockiter view, ", dir="/tmp") as name:
        yield Path(name)


def looked(folder: Path, shown: list[Path], looks: list[Path], writes: list[Path], cases: list[Path]) -> list[str]:
    """The view of the stand-in."""
    if view.alone(folder) is None:
        pytest.skip("this machine allows no private mounts")
    own = folder / "run"
    own.mkdir()
    qemu = folder / "qemu"
    paths, targets = (" ".join(shlex.quote(str(one)) for one in many) for many in (looks, writes))
    qemu.write_text(LOOK.format(paths=paths, writes=targets))
    qemu.chmod(0o755)
    wrapper = own / "qemu"
    wrapper.write_text(view.wrapper(str(qemu), own, shown, [], [*cases, own]))
    wrapper.chmod(0o755)
    done = subprocess.run([str(wrapper), "-fsdev", SHARE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((own / "root").iterdir()) == []  # it was mounted for the wrapper alone
    return done.stdout.splitlines()


def test_a_guest_sees_the_system_and_the_needed_files_and_nothing_else(folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "file").write_text("here\n")
    (folder / "single").write_text("here\n")
    (folder / "private").write_text("here\n")
    shown = view.shown([folder / "work"], [str(folder / "single")])
    looks = [Path("/usr/bin/env"), Path("/bin/sh"), folder / "work" / "file", folder / "single", folder / "private"]
    seen = looked(folder, shown, [*looks, Path("/proc/1"), Path("/tmp")], [], [])
    root = str(folder / "run" / "root").replace(",", ",,")
    assert seen[0] == f"share local,id=virtfs5,path={root},security_model=none,readonly=on"
    assert [line for line in seen if line.startswith("sees")] == [f"sees {path}" for path in (*looks[:-1], Path("/tmp"))]
    assert "NoNewPrivs:\t1" in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="what only root can read takes root")
def test_root_only_files_are_hidden_and_root_writable_files_are_read_only(folder: Path) -> None:
    cases = folder / "cases"
    other = folder / "other"
    cases.mkdir()
    other.mkdir()
    seen = looked(
        folder, view.shown([], []), [Path("/etc/passwd"), Path("/etc/shadow")], [cases, other, Path("/etc")], [cases]
    )
    assert [line for line in seen if line.startswith("reads")] == ["reads /etc/passwd"]
    assert [line for line in seen if line.startswith("writes")] == [f"writes {cases}"]
    assert "CapEff:\t0000000000000002" in seen  # CAP_DAC_OVERRIDE


def test_an_ordinary_user_has_mounts_in_a_name_space_of_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(view, "alone", lambda folder: ["unshare", "--user"])
    assert view.wrapper("/qemu", folder, [], [], []) == f"#!/bin/sh\nexec unshare --user sh '{folder}/enter' \"$@\"\n"
    script = (folder / "enter").read_text()
    assert "--bounding-set -all --inh-caps" in script
    assert "remount" not in script


def test_the_folders_of_the_system_are_shown_as_links_or_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = "bin" if Path("/bin").is_symlink() else "dev/fd"
    monkeypatch.setattr(view, "_LINKS", (link, "tmp", "no-such-folder"))
    lines = list(view._mounts(folder, [], [Path("/place")]))
    assert any(line.startswith("ln -s ") and line.endswith(f" {link}") for line in lines)
    assert "mkdir tmp; mount --rbind /tmp tmp" in lines
    assert "[ -d ./place ] || mkdir -p ./place" in lines
    assert not any("no-such-folder" in line for line in lines)


def test_the_view_has_nothing_twice_and_never_the_whole_machine(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "link").symlink_to(folder / "a")
    shown = view.shown(["/", "/tmp", "/no/such", folder / "a" / "b", folder / "link"], ["-x", f"--file={folder}/a", "/"])
    assert shown == sorted([Path("/etc"), Path("/usr"), folder / "a", folder / "link"])


def test_the_interpreter_and_its_path_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "program", lambda name: None)
    without = view.needed()
    assert {sys.prefix, sys.base_prefix, os.getcwd()} <= set(without)
    monkeypatch.setattr(programs, "program", lambda name: f"/no/such/bin/{name}")
    assert set(view.needed()) - set(without) == {"/no/such"}


@pytest.mark.parametrize("lacks", ["unshare", "setpriv", ""])
def test_without_private_mounts_a_guest_has_the_callers_view(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    found = programs.program
    monkeypatch.setattr(programs, "program", lambda name: None if name == lacks else found(name))
    if not lacks:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(programs, "search_path", lambda: str(folder))
        (folder / "unshare").write_text("#!/bin/false\n")
        (folder / "unshare").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(programs, "program", lambda name: str(folder / name))
    wrapper = view.wrapper("/qemu", folder, [], [], [])
    assert "unshare" not in wrapper
    assert wrapper.endswith('/qemu "$@"\n')


def test_modes_are_kept_beside_the_files_where_files_have_no_attributes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> NoReturn:
        raise OSError(errno.ENOTSUP, "no attributes")

    monkeypatch.setattr(os, "setxattr", lambda *arguments: None)
    assert view.security_model(folder) == "mapped-xattr"
    monkeypatch.setattr(os, "setxattr", refuse)
    assert view.security_model(folder) == "mapped-file"
    assert list(folder.iterdir()) == []


def test_temporary_files_of_qemu_are_removed_with_the_guest(folder: Path) -> None:
    (folder / "below" / ".virtfs_metadata").mkdir(parents=True)
    (folder / "below" / ".virtfs_metadata" / "a.case").touch()
    (folder / ".virtfs_metadata_root").touch()
    (folder / "a.case").touch()
    view.tidy(folder)
    assert sorted(folder.rglob("*")) == [folder / "a.case", folder / "below"]


def test_a_qemu_without_a_sandbox_is_run_without(folder: Path) -> None:
    assert view.is_sandboxed("/bin/true")
    assert not view.is_sandboxed("/bin/false")
