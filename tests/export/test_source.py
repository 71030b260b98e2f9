"""The source of a C program: only the parts that a case needs, harmless names and comments, and refused cases."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sockiter.cases import Case, loads
from sockiter.claims import Hazard
from sockiter.errors import Unavailable
from sockiter.export.forms import _FEATURES, FORMS, OPERATIONS_MAX, check, form_of
from sockiter.export.instructions import program_of
from sockiter.export.source import c_program, c_string
from sockiter.kernel.target import KernelTarget
from sockiter.targets import target_named
from tests.export.programs import LISTENING, MIXED, RFC, case_of
from tests.support.programs import FLAGS, compilers

pytestmark = pytest.mark.usefixtures("on_any_machine")


def kernel(name: str) -> KernelTarget:
    target = target_named(name)
    assert isinstance(target, KernelTarget)
    return target


def source(text: str, name: str = "kernel:udp", *, in_place: frozenset[Hazard] = frozenset()) -> str:
    return c_program(case_of(text), kernel(name), "a_case", in_place=in_place)


def calls(program: str) -> list[str]:
    """The statements of `run_case`."""
    body = program.partition("static void run_case(void)\n{\n")[2].partition("\n}\n")[0]
    return [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith(("/*", "*"))]


def comments(program: str) -> list[str]:
    """The comments of `run_case`."""
    body = program.partition("static void run_case(void)\n{\n")[2].partition("\n}\n")[0]
    return [" ".join(found.replace("\n\t *", "").split()) for found in re.findall(r"/\* (.*?) \*/", body, re.DOTALL)]


def functions(program: str) -> set[str]:
    return set(re.findall(r"^(?:\w+ )*\*?(\w+)\([^;]*\)$", program, re.MULTILINE))


def test_a_program_has_a_call_and_a_comment_for_each_operation() -> None:
    program = source(RFC)
    assert calls(program) == [
        *("add(&C);", "add(&B);", "add(&A);"),
        *("open_first();", "read_once(RECORDS(1));", "remove_sock(&A);", "read_all();"),
    ]
    assert comments(program) == [
        "The table at open, from head to tail of the bucket: A B C.",
        "open: the walk begins.",
        "read 1: one read(2) of 1 record.",
        "remove A: close(2).",
        "read all: read(2) until the end.",
    ]


def test_a_program_has_only_the_parts_that_its_case_needs() -> None:
    small = functions(source(RFC))
    assert {"load_btf", "load_iterator", "add", "remove_sock", "read_all", "judge"} <= small
    assert small.isdisjoint(
        {"rehash", "reinsert", "learn_ports", "choose_port", "add_route", "make_shared", "look", "btf_offset"}
    )
    assert "look" in functions(source("add A tail\nadd B tail in 1\nopen\nread all\n"))


@pytest.mark.parametrize(("name", "text"), MIXED, ids=[f"{name}-{len(text)}" for name, text in MIXED])
def test_a_program_with_all_operations_is_the_same_each_time_and_calls_only_what_it_has(name: str, text: str) -> None:
    program = source(text, name)
    assert program == source(text, name)
    called = {name for call in calls(program) for name in re.findall(r"(\w+)\(", call)} - {"RECORDS", "__u64"}
    assert called <= functions(program)
    assert "{{" not in program
    assert "\n\n\n" not in program


def test_each_target_of_the_table_of_forms_is_an_iterator_of_the_kernel() -> None:
    for name in FORMS:
        assert kernel(name).is_real
        assert "run_case" in source("add A tail\nopen\nread all\n", name)


def test_the_table_at_open_is_arranged_by_all_changes_above_it() -> None:
    text = "add A tail\nadd B tail\nadd C head in 1\nadd D tail bound\nreinsert B head\nrehash A to 1\nrehash A to 1\n"
    text += "rehash D to 1\ndestroy D\nadd E tail\nremove E\nadd F tail in 2\ndestroy F\n"
    program = source(f"{text}open\nread all\n")
    assert calls(program)[:5] == ["add(&B, 0);", "add_bound(&D, 0);", "add(&C, 1);", "add(&A, 1);", "open_first();"] or (
        set(calls(program)[:4]) == {"add(&B, 0);", "add_bound(&D, 0);", "add(&C, 1);", "add(&A, 1);"}
    )


def test_a_socket_of_the_table_at_open_is_bound_where_it_is_by_then() -> None:
    program = source("add A tail\nrehash A to 1\nopen\nread 1\nrehash A to 2\nread all\n")
    assert calls(program)[0] == "add(&A, 1);"
    assert "learn_address(1, 2);" in program
    assert "learn_address(0, " not in program


def test_a_bound_socket_of_the_table_at_open_is_moved_from_the_bucket_of_its_port() -> None:
    program = source("add A tail bound\nrehash A to 1\nopen\nread all\n")
    assert calls(program)[:2] == ["add_bound(&A, 0);", "rehash(&A, 1);"]
    assert "learn_address(0, 1);" in program


@pytest.mark.parametrize(("in_place", "order"), [((), ["A", "B"]), (("close", "accept"), ["B", "A"])])
def test_a_closed_socket_of_the_table_at_open_is_where_its_successor_goes(
    in_place: tuple[Hazard, ...], order: list[str]
) -> None:
    text = "add A head in 0\nadd B head in 0\nclose A\nadd C head in 1 request\nadd D head in 1\naccept C\nopen\nread all\n"
    program = source(text, "kernel:tcp-established", in_place=frozenset(in_place))
    added = [name for call in calls(program) for name in re.findall(r"^add_established\(&([AB]), 0\)", call)]
    assert added == list(reversed(order))
    assert "close_connection(&A);" in calls(program)
    assert "add_established(&C, 1);" in calls(program)
    assert "accept_connection" not in functions(program)


def test_names_that_are_none_of_c_become_variables_by_number() -> None:
    program = source('add é"? tail\nadd if tail\nadd B2 tail\nopen\nread all\n')
    assert 'static struct sock sock_1 = { .name = "\\303\\251\\042\\077" };' in program
    assert 'static struct sock sock_2 = { .name = "if" };' in program
    assert 'static struct sock B2 = { .name = "B2" };' in program


def test_a_comment_cannot_end_the_comment_of_the_program(tmp_path: Path) -> None:
    case = loads("# end */ int x; /* and\\\nadd A*/ tail\nopen\nread all\n")
    program = c_program(case, kernel("kernel:udp"), "ends*/")
    assert "*/ int x" not in program
    assert "A*/" not in program.replace('"A*/"', "")
    (path := tmp_path / "case.c").write_text(program, encoding="utf-8")
    for compiler in compilers():
        done = subprocess.run([compiler, *FLAGS, "-fsyntax-only", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "literal"),
    [("A", '"A"'), ('a"b\\c', '"a\\042b\\134c"'), ("??/", '"\\077\\077/"'), ("ü9", '"\\303\\2749"')],
)
def test_a_string_becomes_a_literal_of_c(text: str, literal: str) -> None:
    assert c_string(text) == literal


@pytest.mark.parametrize(
    ("life", "lines", "has", "lacks"),
    [
        (" request", "", "request_mark", "time_wait_mark"),
        ("", "close A\n", "time_wait_mark", "request_mark"),
        ("", "", "sk_mark", "sock_state"),
    ],
)
def test_a_program_looks_for_the_mark_where_the_sockets_of_its_case_have_it(
    life: str, lines: str, has: str, lacks: str
) -> None:
    program = source(f"add A head{life} unwanted\nopen\nread 1\n{lines}read all\n", "kernel:tcp-established")
    assert has in program
    assert lacks not in program


def test_a_jump_of_the_program_leads_to_its_end() -> None:
    lines = [line for line in program_of(form_of(kernel("kernel:udp")), frozenset()).lines if not line.startswith("/*")]
    jump = next(nth for nth, line in enumerate(lines) if line.startswith("JUMP_IF"))
    distance = int(re.findall(r"(\d+)\),$", lines[jump])[0])
    assert lines[jump + 1 + distance :] == ["MOV_IMM(BPF_REG_0, 0),", "EXIT(),"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("offset-udp", RFC, "offset-udp: only iterators of the kernel have a C form: expected one of kernel:udp, "),
        ("kernel:udp", "add A tail\nopen\n", "the case reads nothing, so there is nothing to reproduce"),
        (
            "kernel:udp-diag",
            "batch 16\nadd A tail\nopen\nread all destroying\n",
            "kernel:udp-diag: no C form yet for destroying",
        ),
        ("kernel:udp", "open\nread all\n", "the case has no socket, so there is nothing to reproduce"),
        ("kernel:udp", "add A tail\nclose A\nopen\nread all\n", "kernel:udp does not support: close (UDP has no handshakes"),
        ("kernel:udp", f"batch 2\n{RFC}", "kernel:udp has 16 slots at open; the case needs 2"),
        ("kernel:unix", "add A tail\nopen\nread 1\nreinsert A tail\nread all\n", "kernel:unix does not support: reinsert"),
        (
            "kernel:tcp",
            "add A tail in 64\nopen\nread all\n",
            "the kernel's table of listening sockets has 64 buckets; ",
        ),
        (
            "kernel:tcp",
            "add A head in established:16\nopen\nread all\n",
            "the kernel's table of established sockets has 16 b",
        ),
        (
            "kernel:tcp",
            "add A head in established:0 request\nopen\nread all destroying\n",
            "a program cannot destroy request sockets and connections in TIME_WAIT",
        ),
        (
            "kernel:tcp",
            "add A head in established:0\nopen\nclose A\nread all destroying\n",
            "a program cannot destroy request sockets and connections in TIME_WAIT",
        ),
        (
            "kernel:udp",
            "add A tail\nopen\n" + "read 1\n" * (OPERATIONS_MAX - 1),
            "the case has 501 operations; a C program has at most 500",
        ),
    ],
)
def test_a_case_without_a_c_form_is_refused_with_the_reason(name: str, text: str, why: str) -> None:
    with pytest.raises(Unavailable) as error:
        check(case_of(text), target_named(name))
    assert str(error.value).startswith(why)


def test_a_change_inside_a_read_is_a_function_of_its_own() -> None:
    program = source(
        "add A tail\nadd B tail\nopen\nread 1\n  at show 1: reinsert A head\n  at show 2: add C tail\nread all\n"
    )
    assert "static void inside_1_1(void)\n{\n\treinsert(&A, HEAD);\n}\n" in program
    assert "\t{ 1, &A, MOVES, inside_1_1 },\n\t{ 2, &C, ENTERS, inside_1_2 },\n" in program
    assert calls(program)[3:6] == ["begin_changes(inside_1, 2);", "read_once(RECORDS(1));", "end_changes();"]
    assert comments(program)[2] == (
        "read 1: one read(2) of 1 record. Inside: at show 1: reinsert A head at show 2: add C tail"
    )
    assert "cc -O2 -pthread -Wall" in program


@pytest.mark.parametrize(
    ("name", "line", "why"),
    [
        ("kernel:udp", "at realloc 1: add B tail", "a program of its own would have to stop the kernel at that point"),
        ("kernel:udp", "at realloc 1: fail", "a program of its own would have to stop the kernel at that point"),
        ("kernel:udp", "at bucket 1: add B tail", "a program of its own would have to stop the kernel at that point"),
        ("kernel:proc-udp", "at show 1: remove A", "no program runs for the sockets of this walk"),
        ("kernel:udp", "at show 1: destroy A", "another program cannot walk to the socket meanwhile"),
    ],
)
def test_a_stop_inside_a_read_without_a_c_form_is_refused_with_the_reason(name: str, line: str, why: str) -> None:
    case = case_of(f"add A tail\nopen\nread 1\n  at show 1: add Z head\n  {line}\nread all\n")
    if "show" in line:
        case = case_of(f"add A tail\nopen\nread 1\n  {line}\nread all\n")
    point = line.partition(":")[0]
    with pytest.raises(Unavailable) as error:
        check(case, kernel(name))
    assert str(error.value) == f"`{point}:` has no C form: {why}"
    with pytest.raises(Unavailable) as error:
        check(case, kernel(name), file="a.case")
    assert str(error.value) == f"a.case: `{point}:` has no C form: {why}"


def test_changes_inside_a_read_of_a_program_that_stores_or_destroys_are_refused() -> None:
    for line in ("read 3 bytes", "walk", "read 1 destroying"):
        with pytest.raises(Unavailable, match="a case with changes inside a read has no C form if the program also stores"):
            source(f"add A tail\nopen\n{line}\nread 1\n  at show 1: add B tail\nread all\n")


def test_a_feature_that_no_program_has_yet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_FEATURES, "bpf", frozenset({"bytes"}))
    with pytest.raises(Unavailable, match=r"kernel:udp: no C form yet for .*again"):
        source("add A tail\nopen\nread all\nagain\nread all\n")


def test_a_target_without_a_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMS, "kernel:unix")
    with pytest.raises(Unavailable) as error:
        c_program(Case(case_of(LISTENING).operations), kernel("kernel:unix"), "x")
    assert str(error.value).startswith("kernel:unix: no C form yet: expected one of kernel:udp, kernel:proc-udp, ")
