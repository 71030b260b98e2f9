"""Selftests: compiled without a warning and run with stand-ins of the kernel's headers, each fails as `replay` says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sockiter.cases import load
from sockiter.errors import Unavailable
from sockiter.export.selftest import selftest
from sockiter.export.source import templates
from sockiter.kernel.target import KernelTarget
from sockiter.replay import refused, replay
from sockiter.verdict import VIOLATIONS
from tests.export.programs import RFC, case_of
from tests.export.test_source import kernel
from tests.support.command import DEADLINE_S
from tests.support.kernel_targets import here
from tests.support.paths import CASES, ROOT
from tests.support.programs import FLAGS, compiled, compilers

HEADERS = ROOT / "tests" / "support" / "selftest"
HEADS = "add A head\nadd B head\nopen\nread 1\nadd C head\nreinsert A head\nread all\n"
TAILS = "add A tail\nadd B tail\nopen\nread 1\nremove A\nadd C tail\nreinsert B tail\nread all\nagain\nread 2\nread all\n"
UDP = "add A tail\nadd B head in 1\nopen\nread 1\nadd C head\nadd D tail in 1\nremove A\nremove D\nread 1\nread all\n"
EMPTIED = "add A tail\nadd B head\nadd C tail\nreinsert A tail\nremove A\nopen\nread all\n"
RUN = (("kernel:udp", RFC), ("kernel:udp", UDP), ("kernel:tcp", HEADS), ("kernel:tcp", TAILS), ("kernel:tcp", EMPTIED))


def runnable(source: str) -> str:
    """A selftest as a whole program: with the part that reads BTF in front, and a main function."""
    prelude = (
        '#include "test_progs.h"\n#include <fcntl.h>\n#include <linux/btf.h>\n#include <sys/stat.h>\n#define NAME "x"\n'
    )
    btf = "".join(templates().get_template(name).render(uses={"member": False}) for name in ("ktap.c", "btf.c"))
    function = source.rpartition("\nvoid ")[2].partition("(")[0]
    return f"{prelude}{btf}{source}\nint main(void)\n{{\n\t{function}();\n\treturn failures != 0;\n}}\n"


def check_agrees(text: str, target: KernelTarget, path: Path, compiler: str) -> None:
    case = case_of(text)
    flags = (*FLAGS, f"-I{HEADERS}")
    program = compiled(runnable(selftest(case, target, path.name)), path, compiler=compiler, flags=flags)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    with target.session() as session:
        fails = any(finding.kind in VIOLATIONS for finding in replay(case, target, session).verdict)
    assert done.returncode == fails, done.stdout


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "text"), RUN, ids=["rfc", "udp", "heads", "tails", "emptied"])
def test_a_selftest_fails_where_replay_has_a_violation(name: str, text: str, tmp_path: Path) -> None:
    check_agrees(text, here(kernel(name)), tmp_path / "test", compilers()[-1])


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.kernel
@pytest.mark.parametrize("name", ["kernel:udp", "kernel:tcp"])
def test_a_selftest_of_each_case_of_the_corpus_fails_where_replay_has_a_violation(name: str, tmp_path: Path) -> None:
    target, ran = here(kernel(name)), 0
    for path in sorted(CASES.glob("*.case")):
        if refused(load(path), target):
            continue
        try:
            check_agrees(path.read_text(encoding="utf-8"), target, tmp_path / path.stem, compilers()[ran % len(compilers())])
        except Unavailable:
            continue
        ran += 1
    assert ran > 5


@pytest.mark.usefixtures("on_any_machine")
def test_a_selftest_has_a_function_of_its_name_and_a_step_for_each_operation() -> None:
    source = selftest(case_of(f"# The case of the RFC.\n{RFC}"), kernel("kernel:udp"), "RFC skip")
    assert "void test_sock_iter_rfc_skip(void)\n" in source
    assert " * The case of the RFC.\n" in source
    assert "\t/* remove A */\n\tremove_sock(A);\n" in source
    assert "reinsert" not in source
    assert "learn_ports" not in source


@pytest.mark.usefixtures("on_any_machine")
@pytest.mark.parametrize(("name", "text"), RUN, ids=["rfc", "udp", "heads", "tails", "emptied"])
def test_a_selftest_is_the_same_each_time(name: str, text: str) -> None:
    first = selftest(case_of(text), kernel(name), "a")
    assert first == selftest(case_of(text), kernel(name), "a")
    assert ("AF_INET6" in first) == (text != HEADS)


@pytest.mark.usefixtures("on_any_machine")
@pytest.mark.parametrize(
    ("name", "line", "why"),
    [
        ("kernel:udp", "read 3 bytes", "`read 3 bytes` has no form as a selftest: a read in bytes cuts records"),
        ("kernel:udp", "walk", "`walk` has no form as a selftest: the program writes a record of each socket, and "),
        ("kernel:udp", "read all destroying", "`read all destroying` has no form as a selftest: the program writes"),
        ("kernel:udp", "read until error", "`read until error` has no form as a selftest: an error fails the test"),
        ("kernel:udp", "add B head bound unwanted", "`add B head unwanted bound` has no form as a selftest: no socket of "),
        (
            "kernel:udp",
            "rehash A to 1",
            "`rehash A to 1` has no form as a selftest: its sockets are bound to a port for good",
        ),
        ("kernel:udp", "reinsert A head", "`reinsert A head` has no form as a selftest: its sockets are bound"),
        ("kernel:tcp", "add B head in 1", "`add B head in 1` has no form as a selftest: all listening sockets share an"),
        ("kernel:tcp", "add B head in established:1", "`add B head in established:1` has no form as a selftest: no socket "),
        ("kernel:tcp", "reinsert A tail\nadd B head", "kernel:tcp: sockets on one address all enter at the same end of "),
        (
            "kernel:unix",
            "read 1",
            "kernel:unix: the selftest of socket iterators has programs for kernel",
        ),
    ],
)
def test_a_case_that_the_selftests_cannot_follow_is_refused_with_the_reason(name: str, line: str, why: str) -> None:
    with pytest.raises(Unavailable) as error:
        selftest(case_of(f"add A tail\nopen\n{line}\nread all\n"), kernel(name), "a")
    assert str(error.value).startswith(why)
