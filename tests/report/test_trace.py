"""The trace of a case: its steps, and the table and the place after each."""

from __future__ import annotations

import pytest

from sockiter.cases import loads
from sockiter.errors import Unavailable
from sockiter.history import Returned, Shown
from sockiter.operations import Add, Bucket, Destroy, Remove
from sockiter.report.trace import trace
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.schemes.tcp_diag import TcpDiag
from sockiter.schemes.udp_diag import UdpDiag
from tests.support.scripted_traces import END, Impatient, Scripted, scripted, traced


def test_the_middle_of_very_many_reads_is_left_out() -> None:
    stuck = traced("add A tail\nopen\nremove A\nread all\n", Impatient(is_hopeless=True))
    assert [row.time for row in stuck.rows] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 101]
    assert stuck.rows[8].event == ("read(iter_fd) -> ENOMEM", "  (90 more reads are not shown)")
    assert {row.place for row in stuck.rows} == {"0:0"}


def test_the_reached_one_of_equal_changes_inside_a_read_is_listed() -> None:
    text = "add A tail\nopen\nread all\n  at show 9: reinsert A head\n  at show 1: reinsert A head\n"
    first, end, waited = traced(text, OffsetUdp()).rows
    assert first.event == ("read(iter_fd) -> A", "  at show 1: reinsert(A, head)")
    assert end.event == ("read(iter_fd) -> 0",)
    assert waited.event == ("reinsert(A, head)", "  show 9 was not reached")


def test_a_change_that_was_never_reached_comes_after_all_reads_of_a_stuck_one() -> None:
    stuck = traced("add A tail\nopen\nread all\n  at show 5: remove A\n", Impatient(is_hopeless=True))
    assert stuck.rows[-1].event == ("close(A)", "  show 5 was not reached")


def test_a_row_has_the_number_of_its_operation() -> None:
    rows = traced("add A tail\nadd B tail\nopen\nread 1\nadd C tail\nread all\n", OffsetUdp()).rows
    assert [row.operation for row in rows] == [1, 2, 3, 3]


def test_between_two_reads_of_a_real_iterator_nothing_is_run_again() -> None:
    two = scripted("add A tail\nopen\nread all\n", "A", [[Shown("A"), Returned(("A",)), END]], states=[(("A",),)])
    assert [row.place for row in two.rows] == ["", ""]
    assert [row.state for row in two.rows] == [(("A",),), (("A",),)]


def test_buckets_of_two_tables_are_named_by_their_tables_and_followed_inside_a_read() -> None:
    established = Bucket(0, "established")
    target = Scripted(
        ["A", "B"],
        [[Remove("A")], [Add("C", "head", established), Shown("B"), Returned(("B",)), END]],
        states=[(("A",), ("B",)), ((), ("B",)), ((), ("C", "B"))],
        tables=("listening", "established"),
    )
    text = """
add A tail
add B head in established:0
open
remove A
read all
  at show 1: add C head in established:0
"""
    two = trace(loads(text), target, target)
    assert two.buckets == ("listening:0", "established:0")
    assert [row.state for row in two.rows] == [((), ("B",)), ((), ("C", "B")), ((), ("C", "B"))]


def test_unnamed_buckets_are_numbered() -> None:
    target = Scripted(["A", "B"], [[END]], states=[(("A",), ("B",))])
    assert trace(loads("add A tail\nadd B tail\nopen\nread 1\n"), target, target).buckets == ("0", "1")


def test_a_case_that_the_target_cannot_carry_out_is_refused() -> None:
    with pytest.raises(Unavailable, match="no table named 'established'"):
        traced("add A head in established:0\nopen\nread 1\n", OffsetUdp())


def events_of(text: str, scheme: AnyScheme | None = None) -> list[tuple[str, ...]]:
    return [row.event for row in traced(text, scheme or OffsetUdp()).rows]


def test_a_read_names_the_sockets_that_its_program_destroyed() -> None:
    text = "add A head in 1 bound\nadd B tail\nadd C tail\nopen\nrehash A to 0\nread 2 destroying\n  at show 1: destroy C\n"
    assert events_of(text) == [
        ("rehash(A, 0)",),
        (
            "read(iter_fd) -> A, B",
            "  the program destroyed A (it stays, bound by number), B",
            "  at show 1: destroy(C)",
        ),
    ]


def test_a_read_of_a_dump_names_the_sockets_that_its_reader_destroyed_then() -> None:
    text = "batch 2\nadd A tail\nadd B tail\nadd C tail\nadd D tail\nopen\nread 1 destroying\nread all destroying\n"
    trace = traced(text, TcpDiag())
    assert [row.event for row in trace.rows] == [
        ("read(iter_fd) -> A", "  the reader destroyed A"),
        ("read(iter_fd) -> B", "  the reader destroyed B"),
        ("read(iter_fd) -> C, D", "  the reader destroyed C, D"),
        ("read(iter_fd) -> 0",),
    ]
    assert [row.state for row in trace.rows] == [((tuple(left),)) for left in ("BCD", "CD", "", "")]
    assert [row.changes for row in trace.rows][:2] == [(Destroy("A"),), (Destroy("B"),)]
    assert len(trace.event_times) == len(trace.history.events)
    bound = "batch 2\nadd A tail in 1 bound\nadd B tail in 1\nopen\nread 2 destroying\nread all\n"
    # A is bound by number; the request for B meets A, which has the same port.
    assert events_of(bound, UdpDiag())[0] == ("read(iter_fd) -> A, B", "  A, B stayed in the table")
    moved = bound.replace("add B tail in 1", "add B head in 0 bound\nrehash A to 0\nrehash B to 1")
    assert events_of(moved, TcpDiag())[0] == (
        "read(iter_fd) -> A, B",
        "  the reader destroyed A (it stays, bound by number), B (it stays, bound by number)",
    )
    behind = "batch 2\nadd A tail\nadd B tail\nopen\nadd C head\nread 1 destroying\n"
    assert events_of(behind, UdpDiag())[1] == ("read(iter_fd) -> A", "  A stayed in the table")


def test_an_interrupted_read_is_marked() -> None:
    class Counting(UdpDiag):
        has_generation = True

    text = "batch 1\nadd A tail\nadd B tail\nopen\nremove B\nread all\n"
    assert events_of(text, Counting())[1:] == [("read(iter_fd) -> A",), ("read(iter_fd) -> 0 (interrupted)",)]


def test_a_line_inside_a_read_that_destroys_a_bound_socket_is_listed_as_it_is_written() -> None:
    text = "add A head in 1 bound\nadd B tail\nopen\nrehash A to 0\nread 1\n  at show 1: destroy A\n  at show 9: destroy B\n"
    assert events_of(text)[1:] == [
        ("read(iter_fd) -> A", "  at show 1: destroy(A)"),
        ("destroy(B)", "  show 9 was not reached"),
    ]


def test_a_cut_record_a_silent_walk_and_a_second_pass_are_described() -> None:
    text = "add A tail\nadd B tail\nopen\nread 24 bytes\nread 4 bytes\nread all\nagain\nwalk\nwalk\n"
    assert events_of(text) == [
        ("read(iter_fd) -> A, part of a record",),
        ("read(iter_fd) -> part of a record",),
        ("read(iter_fd) -> B",),
        ("read(iter_fd) -> 0",),
        ("open again",),
        ("read(iter_fd) -> 0, and stored A, B",),
        ("read(iter_fd) -> 0",),
    ]


def test_a_silent_walk_with_an_error_names_the_error_and_what_it_stored() -> None:
    text = "batch 1\nadd A tail\nadd B tail in 1\nadd C tail in 1\nopen\nwalk until error\n  at realloc 1: fail\n"
    assert events_of(text, CookieUdp())[0][0] == "read(iter_fd) -> ENOMEM, and stored A"


def test_a_successor_and_a_destroyed_socket_are_followed_in_the_table() -> None:
    text = "add A tail\nadd B tail request\nadd C tail\nopen\nclose A\naccept B\ndestroy C\nread all\n"
    rows = traced(text, Index()).rows
    assert [(row.event[0], row.state) for row in rows[:3]] == [
        ("shutdown(A)", (("A", "B", "C"),)),
        ("accept(B)", (("B", "A", "C"),)),
        ("destroy(C)", (("B", "A"),)),
    ]
