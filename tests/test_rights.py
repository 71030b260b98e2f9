"""Under sudo: files belong to the caller, and only sessions on the kernel have more rights than the caller."""

from __future__ import annotations

import errno
import importlib
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from sockiter import guard, rights
from sockiter.cases import HEADER, load
from sockiter.errors import InputError, Unavailable
from sockiter.kernel.target import KernelTarget
from tests.support import sudo
from tests.support.paths import CASES
from tests.support.sudo import GROUP, USER, home

__all__ = ["home"]

SKIPS = ("open", "read 1", "remove A", "read all")

SUDO = {"SUDO_UID": str(USER), "SUDO_GID": str(GROUP)}

# Notes with which rights it is imported and called.
SCHEME = """
import os
from sockiter.schemes import SCHEMES

def note(what):
    lines = open("/proc/self/status").read().splitlines()
    words = dict(line.split(":", 1) for line in lines)
    with open({notes!r}, "a") as stream:
        print(what, *(words[name].strip() for name in ("Uid", "Gid", "CapPrm", "CapEff")), file=stream)

class Noting(type(next(one for one in SCHEMES if one.name == "offset-udp"))):
    name = "noting"

    def open(self, slots, table):
        note("open")
        {then}
        return super().open(slots, table)

note("import")
"""


def noting(home: Path, *, then: str = "pass") -> Path:
    """A package with a scheme that notes its rights in a file; returns that file."""
    notes = home / "notes"
    package = home / "packages"
    (package / "noting-1.dist-info").mkdir(parents=True)
    (package / "noting-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1\n")
    (package / "noting-1.dist-info" / "entry_points.txt").write_text("[sockiter.schemes]\nnoting = noting:Noting\n")
    source = SCHEME.format(notes=str(notes), then=then)
    (package / "noting.py").write_text(source)
    return notes


def noted(notes: Path) -> set[tuple[str, int, int]]:
    """The records: the place, and the permitted and effective capabilities; each time of the user alone."""
    found = set()
    for line in notes.read_text().splitlines():
        what, *words = line.split()
        assert words[:8] == [str(USER)] * 4 + [str(GROUP)] * 4
        found.add((what, int(words[8], 16), int(words[9], 16)))
    return found


def test_files_that_a_fuzz_writes_under_sudo_belong_to_the_caller(home: Path) -> None:
    done = sudo.run(["fuzz", "offset-udp", "--seconds", "1", "--driver", "swarm"], home)
    assert (done.returncode, done.stderr) == (0, "")
    written = [home / "sockiter-cases", *(home / "sockiter-cases").iterdir()]
    assert len(written) > 1
    assert {(one.stat().st_uid, one.stat().st_gid) for one in written} == {(USER, GROUP)}


def test_a_kernel_target_runs_under_sudo_and_its_files_belong_to_the_caller(home: Path, kernel_udp: KernelTarget) -> None:
    done = sudo.run(["fuzz", "kernel:udp", "--seconds", "1", "--workers", "1", "--driver", "swarm"], home)
    assert (done.returncode, done.stderr) == (0, "")
    cases = list((home / "sockiter-cases").iterdir())
    assert {(one.stat().st_uid, one.stat().st_gid) for one in cases} == {(USER, GROUP)}
    replayed = sudo.run(["replay", "sockiter-cases", "--target", "kernel:udp"], home)
    assert replayed.returncode == 0, replayed.stdout


def test_a_race_and_a_comparison_run_under_sudo(home: Path, kernel_udp: KernelTarget, two_processors: None) -> None:
    done = sudo.run(["race", "kernel:udp", "--seconds", "0.5"], home)
    assert (done.returncode, done.stderr) == (0, "")
    done = sudo.run(["conform", "kernel:udp", "--sequences", "50"], home)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_scheme_of_another_package_runs_as_the_caller_in_a_worker_without_capabilities(home: Path) -> None:
    notes = noting(home)
    done = sudo.run(["fuzz", "noting", "--seconds", "1", "--driver", "swarm"], home, path=str(home / "packages"))
    assert done.returncode in (0, 1), done.stderr
    seen = noted(notes)
    assert {(what, effective) for what, _, effective in seen} == {("import", 0), ("open", 0)}
    assert ("open", 0, 0) in seen
    assert {permitted for what, permitted, _ in seen if what == "open"} == {0}
    assert {permitted for what, permitted, _ in seen if what == "import"} <= {0, rights.NEEDED}


def test_a_scheme_of_another_package_has_no_capabilities_while_a_kernel_session_has(
    home: Path, kernel_udp: KernelTarget
) -> None:
    notes = noting(home)
    case = home / "a.case"
    case.write_text("\n".join([HEADER, "expect noting skip B", "add A tail", "add B tail", *SKIPS, ""]))
    done = sudo.run(["replay", str(case)], home, path=str(home / "packages"))
    assert "noting " in done.stdout
    assert "kernel:udp  " in done.stdout
    assert ("open", rights.NEEDED, 0) in noted(notes)
    assert {effective for _, _, effective in noted(notes)} == {0}


def test_a_case_that_the_caller_cannot_write_is_printed(home: Path) -> None:
    noting(
        home,
        then=f"os.chmod({str(home / 'cases')!r}, 0o500)",
    )
    done = sudo.run(
        ["fuzz", "noting", "--seconds", "1", "--driver", "swarm", "--cases", "cases"], home, path=str(home / "packages")
    )
    assert done.returncode == 3, done.stderr
    assert list((home / "cases").iterdir()) == []
    assert "cases: Permission denied: this case could not be saved there:\n# sockiter case v1\n" in done.stderr


def test_a_directory_that_the_caller_cannot_write_is_refused_before_a_fuzz(home: Path) -> None:
    (home / "cases").mkdir(mode=0o755)
    done = sudo.run(["fuzz", "rank", "--cases", "cases"], home)
    assert (done.returncode, done.stderr) == (
        3,
        "sockiter: cases: cannot be written to; name another directory with --cases\n",
    )


def test_a_link_leads_nowhere_that_the_caller_cannot_write(home: Path) -> None:
    kept = home / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").write_text("root's\n")
    (home / "a.html").symlink_to(kept / "file")
    case = CASES / "rfc_skip.case"
    text = case.read_text()
    (home / "a.case").write_text(text)
    done = sudo.run(["show", "a.case", "--html", "a.html"], home)
    assert (done.returncode, done.stderr) == (3, "sockiter: a.html: cannot be written: Permission denied\n")
    assert (kept / "file").read_text() == "root's\n"


def test_a_case_that_the_caller_cannot_read_is_not_read(home: Path) -> None:
    (home / "a.case").write_text("secret\n")
    (home / "a.case").chmod(0o600)
    done = sudo.run(["replay", "a.case"], home)
    assert done.returncode == 2
    assert done.stderr.endswith("Path 'a.case' is not readable.\n")


def test_the_caller_has_no_way_back_to_root(home: Path) -> None:
    notes = noting(home, then="os.setuid(0)")
    done = sudo.run(["fuzz", "noting", "--seconds", "1", "--driver", "swarm"], home, path=str(home / "packages"))
    assert done.returncode == 3
    assert (
        "noting failed: Noting.open raised PermissionError: [Errno 1] Operation not permitted" in done.stdout + done.stderr
    )
    noted(notes)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SUDO_UID": "abc", "SUDO_GID": "1"}, "SUDO_UID is 'abc': expected the number of a user"),
        ({"SUDO_UID": "", "SUDO_GID": "1"}, "SUDO_UID is '': expected the number of a user"),
        ({"SUDO_UID": "-1", "SUDO_GID": "1"}, "SUDO_UID is '-1': expected the number of a user"),
        ({"SUDO_UID": "4294967295", "SUDO_GID": "1"}, "SUDO_UID is '4294967295': expected the number of a user"),
        ({"SUDO_UID": "\u0663", "SUDO_GID": "1"}, r"SUDO_UID is '\u0663': expected the number of a user"),
        ({"SUDO_UID": "1", "SUDO_GID": "1\n2"}, r"SUDO_GID is '1\n2': expected the number of a group"),
        ({"SUDO_UID": "1"}, "SUDO_GID is '': expected the number of a group"),
    ],
)
def test_a_malformed_user_or_group_number_is_refused_in_one_line(
    environment: dict[str, str],
    complaint: str,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in SUDO:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        program.run()
    assert ended.value.code == InputError.status
    assert capsys.readouterr().err == f"sockiter: {complaint}, as sudo sets it; without SUDO_UID, root stays root\n"


@pytest.fixture
def program() -> Iterator[ModuleType]:
    """The program as a module, which is not imported afterwards."""
    yield importlib.import_module("sockiter.__main__")
    del sys.modules["sockiter.__main__"]


class Machine:
    """The calls that change rights, as an account of them, and nothing else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, user: int = 0, held: int = (1 << 41) - 1) -> None:
        self.user = user
        self.sets = (held, held, 0)
        self.calls: list[tuple[Any, ...]] = []
        self.refuses = ""
        monkeypatch.setattr(rights, "_reserve", None)
        monkeypatch.setattr(rights, "_library", lambda: self)
        monkeypatch.setattr(os, "geteuid", lambda: self.user)
        for name in ("setgroups", "initgroups", "setresgid", "setresuid"):
            monkeypatch.setattr(os, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if name == self.refuses:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self.calls.append((name, *arguments))
            if name == "setresuid":
                self.user = arguments[0]

        return call

    def prctl(self, option: int, *arguments: Any) -> int:
        self.calls.append(("prctl", option, *(one.value for one in arguments[:2])))
        return 0

    def capget(self, header: bytes, data: Any) -> int:
        data.raw = rights._SETS.pack(*(one >> shift & 0xFFFFFFFF for shift in (0, 32) for one in self.sets))
        return 0

    def capset(self, header: bytes, data: bytes) -> int:
        if self.refuses == "capset":
            return -1
        words = rights._SETS.unpack(data)
        effective, permitted, inheritable = (words[n] | words[n + 3] << 32 for n in range(3))
        self.sets = effective, permitted, inheritable
        return 0


def test_root_becomes_the_caller_and_keeps_three_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    environment = {**SUDO, "HOME": "/root"}
    assert rights.settle(environment) == USER
    assert environment == {**SUDO, "HOME": "/root"}
    assert machine.calls == [
        ("prctl", 8, 1, 0),
        ("setgroups", [GROUP]),
        ("setresgid", GROUP, GROUP, GROUP),
        ("setresuid", USER, USER, USER),
        ("prctl", 47, 2, 12),
        ("prctl", 47, 2, 13),
        ("prctl", 47, 2, 21),
        ("prctl", 4, 1, 0),
    ]
    assert machine.sets == (0, rights.NEEDED, rights.NEEDED)
    with rights.raised():
        assert machine.sets == (rights.NEEDED, rights.NEEDED, rights.NEEDED)
        assert guard.guarded("a call", "a scheme", lambda: machine.sets[0]) == 0
        guard.stop_clock()
        with rights.lowered():
            assert machine.sets[0] == 0
        assert machine.sets[0] == rights.NEEDED
    assert machine.sets[0] == 0
    rights.give_up()
    rights.give_up()
    assert machine.sets == (0, 0, 0)
    assert machine.calls[-1] == ("prctl", 47, 4, 0)


def test_a_caller_whom_the_machine_knows_has_groups_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: SimpleNamespace(pw_name="somebody", pw_dir="/home/somebody"))
    environment = {**SUDO, "HOME": "/root"}
    assert rights.settle(environment) == USER
    assert environment["HOME"] == "/home/somebody"
    assert ("initgroups", "somebody", GROUP) in machine.calls


@pytest.mark.parametrize(
    ("user", "environment"), [(0, {}), (0, {"SUDO_UID": "0", "SUDO_GID": "0"}), (1, SUDO), (1, {"SUDO_UID": "abc"})]
)
def test_nothing_changes_without_sudo_for_root_itself_and_for_who_is_not_root(
    monkeypatch: pytest.MonkeyPatch, user: int, environment: dict[str, str]
) -> None:
    machine = Machine(monkeypatch, user=user)
    assert rights.settle(dict(environment)) is None
    assert machine.calls == []


def test_plain_root_keeps_its_capabilities_in_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    before = machine.sets
    with rights.raised(), rights.lowered():
        assert machine.sets == before
    rights.lower()
    rights.give_up()
    assert machine.sets == before


def test_a_restarted_process_lowers_its_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, user=USER, held=rights.NEEDED)
    rights.lower()
    assert machine.sets == (0, rights.NEEDED, 0)


def test_an_ordinary_user_has_nothing_to_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, user=USER, held=0)
    assert not rights.is_reserved()
    rights.lower()
    assert machine.sets == (0, 0, 0)


def test_elsewhere_than_on_linux_there_are_no_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert rights.settle(dict(SUDO)) == USER
    assert [name for name, *_ in machine.calls] == ["setgroups", "setresgid", "setresuid"]
    assert not rights.is_reserved()


def test_a_user_that_the_system_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.refuses = "setresuid"
    with pytest.raises(Unavailable, match=r"^cannot become user 4321, who called sudo: Invalid argument$"):
        rights.settle(dict(SUDO))


def test_a_refused_system_call_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, user=USER, held=1)
    machine.refuses = "capset"
    with pytest.raises(OSError, match=r"\[Errno"):
        rights.lower()


def test_a_caller_who_cannot_read_the_packages_gets_a_line(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rights, "settle", lambda environment: USER)
    monkeypatch.setitem(sys.modules, "sockiter.cli", None)
    with pytest.raises(SystemExit) as ended:
        program.run()
    assert ended.value.code == Unavailable.status
    assert capsys.readouterr().err.startswith(
        "sockiter: user 4321, who called sudo, cannot read a file that sockiter needs: import of "
    )
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as ended:
        program.run()
    assert ended.value.code == Unavailable.status
    sys.stderr.close()  # the null device, which has taken the line
    monkeypatch.setattr(rights, "settle", lambda environment: None)
    with pytest.raises(ImportError):
        program.run()


def test_an_interrupt_while_rights_are_settled_is_one(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(environment: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(rights, "settle", interrupted)
    with pytest.raises(SystemExit) as ended:
        program.run()
    assert (ended.value.code, capsys.readouterr().err) == (130, "sockiter: interrupted\n")


def test_cases_that_were_written_under_sudo_can_be_read(home: Path) -> None:
    done = sudo.run(["minimize", str(Path("a.case")), "-o", "b.case"], _with_a_case(home))
    assert done.returncode == 0, done.stderr
    assert load(home / "b.case").operations
    assert (home / "b.case").stat().st_uid == USER


def _with_a_case(home: Path) -> Path:
    (home / "a.case").write_text((CASES / "rfc_skip.case").read_text())
    return home


@pytest.mark.skipif(sys.platform != "linux", reason="there are no capabilities but on Linux")
def test_the_sets_are_those_that_the_kernel_shows() -> None:
    lines = dict(line.split(":\t") for line in Path("/proc/thread-self/status").read_text().splitlines() if ":\t" in line)
    assert rights._sets() == tuple(int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapInh"))
