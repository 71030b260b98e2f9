"""The RFC's table and the sentences below it. Every text is pinned, because people read it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from sockiter.cases import load
from sockiter.history import Returned, Shown
from sockiter.operations import Add, Remove
from sockiter.report.table import columns_of, fold, table
from sockiter.report.trace import trace
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from tests.support.paths import CASES
from tests.support.scripted_traces import END, Impatient, scripted, traced


def table_of(text: str, scheme: AnyScheme) -> str:
    return table(traced(text, scheme))


@pytest.mark.parametrize(
    ("name", "scheme", "expected"),
    [
        (
            "rfc_skip",
            OffsetUdp(),
            """\
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
            """,
        ),
        (
            "rfc_skip",
            Index(),
            """\
            +------+--------------------+--------------+----------------+
            | Time | Event              | Bucket State | Previous Index |
            +------+--------------------+--------------+----------------+
            | 1    | read(iter_fd) -> A | A->B->C->D   | 1              |
            | 2    | close(A)           | B->C->D      | 1              |
            | 3    | read(iter_fd) -> B | B->C->D      | 2              |
            | 4    | read(iter_fd) -> C | B->C->D      | 3              |
            | 5    | read(iter_fd) -> D | B->C->D      | 4              |
            | 6    | read(iter_fd) -> 0 | B->C->D      | -              |
            +------+--------------------+--------------+----------------+

            Iteration sees: [A, B, C, D]
            Every socket that was there from open to the end was delivered exactly once.
            """,
        ),
        (
            "rfc_repeat",
            OffsetUdp(),
            """\
            +------+--------------------+---------------+---------------+
            | Time | Event              | Bucket State  | Bucket Offset |
            +------+--------------------+---------------+---------------+
            | 1    | read(iter_fd) -> A | A->B->C->D    | 1             |
            | 2    | add(E, head)       | E->A->B->C->D | 1             |
            | 3    | read(iter_fd) -> A | E->A->B->C->D | 2             |
            | 4    | read(iter_fd) -> B | E->A->B->C->D | 3             |
            | 5    | read(iter_fd) -> C | E->A->B->C->D | 4             |
            | 6    | read(iter_fd) -> D | E->A->B->C->D | 5             |
            | 7    | read(iter_fd) -> 0 | E->A->B->C->D | -             |
            +------+--------------------+---------------+---------------+

            Iteration sees: [A, A, B, C, D]
            A is repeated: the 1st and 2nd reads both delivered it. A itself never moved.
              The last change before its second turn was add(E, head), between the 1st and
              2nd read.
            """,
        ),
        (
            "rfc_repeat",
            Index(),
            """\
            +------+--------------------+---------------+----------------+
            | Time | Event              | Bucket State  | Previous Index |
            +------+--------------------+---------------+----------------+
            | 1    | read(iter_fd) -> A | A->B->C->D    | 1              |
            | 2    | add(E, head)       | E->A->B->C->D | 1              |
            | 3    | read(iter_fd) -> B | E->A->B->C->D | 2              |
            | 4    | read(iter_fd) -> C | E->A->B->C->D | 3              |
            | 5    | read(iter_fd) -> D | E->A->B->C->D | 4              |
            | 6    | read(iter_fd) -> 0 | E->A->B->C->D | -              |
            | 7    | read(iter_fd) -> 0 | E->A->B->C->D | -              |
            +------+--------------------+---------------+----------------+

            Iteration sees: [A, B, C, D]
            Every socket that was there from open to the end was delivered exactly once.
            """,
        ),
    ],
)
def test_the_rfcs_scenarios_come_out_as_the_rfc_writes_them(name: str, scheme: AnyScheme, expected: str) -> None:
    target = SchemeTarget(scheme)
    with target.session() as session:
        assert table(trace(load(CASES / f"{name}.case"), target, session)) == dedent(expected)


INSIDE = """
add A tail
add B tail
add C tail
add D tail in 2
add F tail
open
add Z tail
read 2
  at show 2: remove A
  at show 9: remove F
  at show 1: reinsert C head
rehash B to 2
read all
  at show 1: reinsert D head
  at show 1: add E head in 2
  at realloc 1: fail
rehash B to 2
"""


def test_changes_inside_a_read_are_indented_in_its_row_and_unused_buckets_are_left_out() -> None:
    assert table_of(INSIDE, OffsetUdp()) == dedent(
        """\
        +------+--------------------------------+-------------------------+---------------+
        | Time | Event                          | Bucket State            | Bucket Offset |
        +------+--------------------------------+-------------------------+---------------+
        | 1    | add(Z, tail)                   | 0: A->B->C->F->Z | 2: D | 0:0           |
        | 2    | read(iter_fd) -> A, B          | 0: C->B->F->Z | 2: D    | 0:2           |
        |      |   at show 2: close(A)          |                         |               |
        |      |   at show 1: reinsert(C, head) |                         |               |
        | 2    | close(F)                       | 0: C->B->Z | 2: D       | 0:2           |
        |      |   show 9 was not reached       |                         |               |
        | 3    | rehash(B, 2)                   | 0: C->Z | 2: B->D       | 0:2           |
        | 4    | read(iter_fd) -> B, D          | 0: C->Z | 2: E->D->B    | 3:2           |
        |      |   at show 1: reinsert(D, head) |                         |               |
        |      |   at show 1: add(E, head, 2)   |                         |               |
        |      |   at realloc 1: fail           |                         |               |
        | 5    | read(iter_fd) -> 0             | 0: C->Z | 2: E->D->B    | -             |
        | 6    | rehash(B, 2)                   | 0: C->Z | 2: E->D->B    | 3:2           |
        +------+--------------------------------+-------------------------+---------------+

        Iteration sees: [A, B, B, D]
        C is skipped: it was in the table from open to the end, and no read delivered
          it. C itself was moved, by reinsert(C, head), inside the 1st read. It was
          passed over in the 1st read, where A, behind it, came first. The last change
          to its bucket before that was reinsert(C, head), inside the 1st read.
        B is repeated: the 1st and 2nd reads both delivered it. B itself was moved, by
          rehash(B, 2), between the 1st and 2nd read. The last change to its bucket
          before its second turn was add(E, head, 2), inside the 2nd read.
        """
    )


def test_a_bucket_that_is_empty_for_a_while_is_a_dash() -> None:
    text = table_of("add A tail\nadd B tail in 1\nopen\nremove A\nread all\n", OffsetUdp())
    assert text.splitlines()[3] == "| 1    | close(A)           | 0: - | 1: B  | 0:0           |"


def test_a_table_without_any_socket_is_a_dash() -> None:
    assert "| 1    | read(iter_fd) -> 0 | -            | -             |" in table_of("open\nread 1\n", OffsetUdp())


def test_a_refused_read_has_its_error_and_the_rest_is_judged() -> None:
    text = table_of("add A tail\nadd B tail\nopen\nread 1\nread all\n  at realloc 1: fail\n", Impatient())
    assert text == dedent(
        """\
        +------+-------------------------+--------------+-------+
        | Time | Event                   | Bucket State | Shown |
        +------+-------------------------+--------------+-------+
        | 1    | read(iter_fd) -> A      | A->B         | 1     |
        | 2    | read(iter_fd) -> ENOMEM | A->B         | 1     |
        |      |   at realloc 1: fail    |              |       |
        | 3    | read(iter_fd) -> B      | A->B         | ?     |
        | 4    | read(iter_fd) -> 0      | A->B         | -     |
        +------+-------------------------+--------------+-------+

        Iteration sees: [A, B]
        The iteration was refused: the 2nd read returned ENOMEM.
        Every socket that was there from open to the end was delivered exactly once.
        """
    )


def test_on_a_real_iterator_the_table_is_unknown_and_a_skip_shows_at_the_end() -> None:
    skip = scripted(
        "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\nread 1\nadd C tail\n",
        "A B",
        [[Shown("A"), Returned(("A",))], [Remove("A")], [END], [Shown("B"), Returned(("B",))], [Add("C", "tail")]],
    )
    assert table(skip) == dedent(
        """\
        +------+--------------------+--------------+
        | Time | Event              | Bucket State |
        +------+--------------------+--------------+
        | 1    | read(iter_fd) -> A | ?            |
        | 2    | close(A)           | ?            |
        | 3    | read(iter_fd) -> 0 | ?            |
        | 4    | read(iter_fd) -> B | ?            |
        | 5    | add(C, tail)       | ?            |
        +------+--------------------+--------------+

        Iteration sees: [A, B]
        B is skipped: it was in the table from open to the end, and no read until then
          delivered it. B itself never moved. The 2nd read reported the end without it.
          The last change before that was close(A), between the 1st and 2nd read.
        """
    )


def test_long_cells_go_on_in_further_lines_of_their_row() -> None:
    names = [f"S{nth}" for nth in range(1, 33)]
    text = table_of("".join(f"add {name} tail\n" for name in names) + "batch 32\nopen\nread all\n", OffsetUdp())
    assert [line.rpartition(" | ")[0] for line in text.splitlines()[3:8]] == [
        "| 1    | read(iter_fd) -> S1, S2, S3, S4, S5, S6, S7, S8, | S1->S2->S3->S4->S5->S6->S7->S8->S9->S10->S11   ",
        "|      |   S9, S10, S11, S12, S13, S14, S15, S16, S17,    |   ->S12->S13->S14->S15->S16->S17->S18->S19->S20",
        "|      |   S18, S19, S20, S21, S22, S23, S24, S25, S26,   |   ->S21->S22->S23->S24->S25->S26->S27->S28->S29",
        "|      |   S27, S28, S29, S30, S31, S32                   |   ->S30->S31->S32                              ",
        "| 2    | read(iter_fd) -> 0                               | S1->S2->S3->S4->S5->S6->S7->S8->S9->S10->S11   ",
    ]


def test_very_many_sockets_are_cut_to_the_first_and_their_number() -> None:
    names = [f"S{nth}" for nth in range(1, 42)]
    text = table_of("".join(f"add {name} tail\n" for name in names) + "open\nread all\n", OffsetUdp())
    assert "S39, S40, ... (41 in all)]" in text


def test_a_name_that_is_wider_than_a_cell_is_cut_wherever_it_must_be() -> None:
    assert fold(f"close({'x' * 20})", 12) == ["close(xxxx", "  xxxxxxxxxx", "  xxxxxx)"]


def test_wide_and_combining_characters_are_counted_by_the_columns_they_take() -> None:
    assert columns_of("\u6771\u4eac") == 4
    assert columns_of("e\u0301") == 1


def test_a_name_of_wide_characters_is_cut_by_the_columns_it_takes() -> None:
    assert fold("\u6771" * 10, 10) == ["\u6771" * 4, "  " + "\u6771" * 4, "  " + "\u6771" * 2]
    assert fold("x" * 20, 10) == ["x" * 8, "  " + "x" * 8, "  " + "x" * 4]
