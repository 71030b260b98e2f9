"""The trace of a case: its steps, and the table and the place after each."""

from __future__ import annotations

import pytest

from sockiter.cases import loads
from sockiter.errors import Unavailable
from sockiter.history import Returned, Shown
from sockiter.operations import Add, Bucket, Remove
from sockiter.report.trace import trace
from sockiter.schemes.offset_udp import OffsetUdp
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
