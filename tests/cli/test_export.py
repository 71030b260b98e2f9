"""`sockiter export`: its files, its choice of a target, the mail, and its errors."""

from __future__ import annotations

import platform
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from sockiter.cases import load
from sockiter.claims import Hazard
from sockiter.export.forms import FORMS
from sockiter.export.source import c_program
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.targets import target_named
from tests.support.command import DEADLINE_S, sockiter
from tests.support.kernel_targets import with_capabilities
from tests.support.paths import CASES

pytestmark = pytest.mark.usefixtures("on_any_machine")

RFC_SKIP = CASES / "rfc_skip.case"
PLAIN = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n"


def written(directory: Path, text: str, name: str = "written.case") -> Path:
    (path := directory / name).write_text(text, encoding="utf-8")
    return path


def refused(*args: object) -> tuple[int, str]:
    """The exit status and the only line of an error."""
    result = sockiter("export", *args)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return result.exit_code, line.removeprefix("sockiter: ")


def test_a_program_a_selftest_and_a_mail_are_written_and_named(tmp_path: Path) -> None:
    files = [tmp_path / "a.c", tmp_path / "b.c", tmp_path / "a.mail"]
    options = ("--c", files[0], "--selftest", files[1], "--report", files[2])
    result = sockiter("export", RFC_SKIP, "--target", "kernel:udp", *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert [line.partition(" (")[0] for line in result.stderr.splitlines()] == [f"sockiter: wrote {path}" for path in files]
    program = files[0].read_text(encoding="utf-8")
    assert program == c_program(load(RFC_SKIP), KERNEL_UDP, "rfc_skip")
    assert "void test_sock_iter_rfc_skip(void)" in files[1].read_text(encoding="utf-8")
    assert files[2].read_text(encoding="utf-8").endswith(f"---- rfc_skip.c ----\n\n{program}")


def test_the_target_is_the_one_that_the_case_is_about_or_else_the_first_that_it_expects_to_fail(tmp_path: Path) -> None:
    assert sockiter("export", RFC_SKIP, "--c", path := tmp_path / "a.c").exit_code == 0
    assert "on bpf_iter_unix (kernel:unix):" in path.read_text(encoding="utf-8")
    expects = "expect kernel:udp skip A as rank\n"
    about = written(tmp_path, f"# Skip, found on kernel:tcp (5 of 5 runs) by swarm.\n{expects}{PLAIN}")
    assert sockiter("export", about, "--c", path).exit_code == 0
    assert "on bpf_iter_tcp (kernel:tcp):" in path.read_text(encoding="utf-8")
    model = written(tmp_path, f"# Skip, found on offset-udp by swarm.\n{expects}{PLAIN}")
    assert sockiter("export", model, "--c", path).exit_code == 0
    assert "on bpf_iter_udp (kernel:udp):" in path.read_text(encoding="utf-8")


def test_a_case_from_standard_input_is_exported(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sockiter", "export", "-", "--target", "kernel:udp", "--c", str(tmp_path / "a.c")]
    done = subprocess.run(command, input=PLAIN, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0
    assert '#define NAME "case"' in (tmp_path / "a.c").read_text(encoding="utf-8")


def test_a_mail_has_the_table_the_kernels_tried_and_whom_to_ask(tmp_path: Path) -> None:
    result = sockiter("export", RFC_SKIP, "--target", "kernel:udp", "--report", tmp_path / "mail")
    assert result.exit_code == 0
    mail = (tmp_path / "mail").read_text(encoding="utf-8")
    above, program = mail.split("---- rfc_skip.c ----\n\n")
    assert program.startswith("// SPDX-License-Identifier: MIT\n")
    assert (
        above
        == """\
Subject: [BUG] bpf_iter_udp skips a socket

Hello,

In a walk by bpf_iter_udp, B is skipped: it was in the table from open to
the end, and no read delivered it.
The last change before that was close(A), between the 1st and 2nd read.

Step by step, in a model of this iterator (offset-udp), not on a kernel:

    +------+--------------------+--------------+---------------+
    | Time | Event              | Bucket State | Bucket Offset |
    +------+--------------------+--------------+---------------+
    | 1    | read(iter_fd) -> A | A->B->C->D   | 1             |
    | 2    | close(A)           | B->C->D      | 1             |
    | 3    | read(iter_fd) -> C | B->C->D      | 2             |
    | 4    | read(iter_fd) -> D | B->C->D      | 3             |
    | 5    | read(iter_fd) -> 0 | B->C->D      | -             |
    +------+--------------------+--------------+---------------+

    Iteration sees: [A, C, D]
    B is skipped: it was in the table from open to the end, and no read delivered
      it. B itself never moved. It was passed over in the 2nd read, where C, behind
      it, came first. The last change before that was close(A), between the 1st and
      2nd read.

Kernels tried:

    Linux 6.12.117+deb12-amd64: skip B (it walks as offset-udp), as recorded in the case
    Linux 6.1.0-47-amd64: skip B (it walks as rank), as recorded in the case

The program below makes private namespaces, carries out these steps and exits
with 1 if the defect is there, with 0 if every socket is delivered as it ought
to be, and with 4 if it cannot run, with the reason. It was found by sockiter,
which tests iterators over tables that change meanwhile.

Who has to be asked:

    scripts/get_maintainer.pl -f net/ipv4/udp.c

"""
    )


def test_a_mail_without_a_violation_is_refused(tmp_path: Path) -> None:
    case = written(tmp_path, PLAIN)
    path = tmp_path / "mail"
    status, why = refused(case, "--target", "kernel:udp", "--report", path)
    assert (status, why) == (3, f"{case}: there is nothing to report on kernel:udp: nothing runs it here")
    fine = written(tmp_path, f"expect kernel:udp skip A as cookie-udp\n{PLAIN}")
    status, why = refused(fine, "--target", "kernel:udp", "--report", path)
    assert (status, why) == (3, f"{fine}: there is nothing to report on kernel:udp: cookie-udp: ok")
    assert not path.exists()


def test_a_mail_about_this_kernel_has_its_own_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_capabilities(monkeypatch, Capabilities())
    monkeypatch.setattr(KernelTarget, "session", lambda target: nullcontext(target_named("unix")))
    kernel = platform.release()
    recorded = f"expect kernel:unix skip B  # Linux {kernel}\nexpect kernel:unix skip B as unix  # Linux 6.0\n"
    text = f"{recorded}add A tail\nadd B tail\nadd C tail\nadd D tail\nopen\nread 1\nremove A\nread all\n"
    result = sockiter("export", written(tmp_path, text), "--target", "kernel:unix", "--report", tmp_path / "mail")
    assert result.exit_code == 0
    mail = (tmp_path / "mail").read_text(encoding="utf-8")
    assert f"Step by step, on kernel:unix of Linux {kernel}:" in mail
    tried = mail.partition("Kernels tried:\n\n")[2].partition("\n\n")[0].splitlines()
    assert tried == [
        f"    Linux {kernel}: skip B, skip C, skip D",
        "    Linux 6.0: skip B (it walks as unix), as recorded in the case",
    ]


def test_a_case_that_is_fine_on_this_kernel_is_shown_on_the_model_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_capabilities(monkeypatch, Capabilities())
    monkeypatch.setattr(KernelTarget, "session", lambda target: nullcontext(target_named("cookie-udp")))
    result = sockiter("export", RFC_SKIP, "--target", "kernel:udp", "--report", tmp_path / "mail")
    assert result.exit_code == 0
    mail = (tmp_path / "mail").read_text(encoding="utf-8")
    assert "Step by step, in a model of this iterator (offset-udp), not on a kernel:" in mail
    assert f"    Linux {platform.release()}: ok\n" in mail


def test_kernels_that_a_case_does_not_name_are_not_invented(tmp_path: Path) -> None:
    text = "expect offset-udp skip B\nexpect kernel:udp skip B as offset-udp\nexpect kernel:udp stuck\n"
    result = sockiter("export", written(tmp_path, f"{text}{PLAIN}"), "--report", tmp_path / "mail")
    assert result.exit_code == 0
    tried = (tmp_path / "mail").read_text(encoding="utf-8").partition("Kernels tried:\n\n")[2].partition("\n\n")[0]
    assert tried.splitlines() == [
        "    a kernel that the case does not name: skip B (it walks as offset-udp), as recorded in the case",
        "    a kernel that the case does not name: stuck, as recorded in the case",
    ]


def test_a_mail_about_no_kernel_at_all_says_so(tmp_path: Path) -> None:
    result = sockiter("export", written(tmp_path, PLAIN), "--target", "kernel:unix", "--report", tmp_path / "mail")
    assert result.exit_code == 0
    assert "Kernels tried:\n\n    none\n\n" in (tmp_path / "mail").read_text(encoding="utf-8")


@pytest.mark.parametrize(("in_place", "first"), [((), "A"), (("close",), "B")])
def test_successors_of_the_table_at_open_are_where_this_kernel_puts_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_place: tuple[Hazard, ...], first: str
) -> None:
    with_capabilities(monkeypatch, Capabilities(in_place=frozenset(in_place)))
    text = "add A head in established:0\nadd B head in established:0\nclose A\nopen\nread all\n"
    words = (written(tmp_path, text), "--target", "kernel:tcp", "--c", tmp_path / "a.c")
    assert sockiter("export", *words).exit_code == 0
    assert f"from head to tail of bucket established:0: {first}" in (tmp_path / "a.c").read_text(encoding="utf-8")


def test_an_export_without_a_file_to_write_is_wrong_usage() -> None:
    result = sockiter("export", RFC_SKIP)
    assert result.exit_code == 2
    assert "Nothing to write: expected --c, --selftest or --report, each with a FILE." in result.stderr


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.c"
    assert refused(RFC_SKIP, "--c", path) == (3, f"{path}: cannot be written: No such file or directory")
    result = sockiter("export", RFC_SKIP, "--c", tmp_path)
    assert result.exit_code == 2
    assert "is a directory" in result.stderr


def test_a_case_without_an_expectation_of_a_kernel_is_refused_with_the_targets_to_name(tmp_path: Path) -> None:
    targets = ", ".join(FORMS)
    for text in (PLAIN, f"expect offset-udp skip B\n{PLAIN}"):
        path = written(tmp_path, text)
        status, why = refused(path, "--c", tmp_path / "a.c")
        assert (status, why) == (
            2,
            f"{path}: the case expects nothing of a kernel's iterator: expected --target with one of {targets}",
        )


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("kernel:upd", 2, "no target is named 'kernel:upd': did you mean 'kernel:udp'?"),
        ("offset-udp", 2, "offset-udp is a model: expected an iterator of the kernel: kernel:udp, "),
    ],
)
def test_an_unknown_target_and_a_model_are_refused(tmp_path: Path, name: str, status: int, why: str) -> None:
    found, line = refused(RFC_SKIP, "--target", name, "--c", tmp_path / "a.c")
    assert found == status
    assert line.startswith(why)


def test_a_stop_without_a_c_form_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = CASES / "cookie-udp-skip-rehash-realloc.case"
    lines = path.read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("  at realloc"))
    status, why = refused(path, "--target", "kernel:udp", "--c", tmp_path / "a.c")
    assert status == 3
    assert why.startswith(f"{path}:{line}: `at realloc 1:` has no C form: a program of its own would have to stop")


def test_a_case_about_a_target_without_a_c_form_is_refused_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, f"expect kernel:proc-unix skip B\n{PLAIN}")
    status, why = refused(path, "--c", tmp_path / "a.c")
    assert (status, why) == (3, f"{path}: kernel:proc-unix: no C form yet: expected one of {', '.join(FORMS)}")


def test_a_case_that_the_target_cannot_carry_out_is_refused_with_the_file(tmp_path: Path) -> None:
    path = CASES / "kernel-tcp-established-skip-moved-accept.case"
    status, why = refused(path, "--target", "kernel:udp", "--c", tmp_path / "a.c")
    assert status == 3
    assert why.startswith(f"{path}: kernel:udp does not support: accept (UDP has no handshakes")
    status, why = refused(path, "--target", "kernel:tcp", "--selftest", tmp_path / "a.c")
    assert status == 3
    assert why.startswith(f"{path}: `add A head in established:0 request` has no form as a selftest: ")


def test_a_case_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.case", "--c", tmp_path / "a.c")[0] == 2
    path = written(tmp_path, "add A tail\nopen\nread none\n")
    status, why = refused(path, "--target", "kernel:udp", "--c", tmp_path / "a.c")
    assert status == 2
    assert why.startswith(f"{path}:3: ")
