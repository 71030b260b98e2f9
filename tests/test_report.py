"""The RFC's table and the sentences below it. Every text is pinned: it is read by people, and has to be true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from sockiter.backend import Shape
from sockiter.cases import load, loads
from sockiter.claims import HAZARDS, Harm, Hazard
from sockiter.errors import MachineLacks
from sockiter.history import Event, GaveUp, History, Returned, Shown
from sockiter.operations import Add, Bucket, Open, Operation, Rehash, Remove
from sockiter.report import Names, Trace, columns_of, fold, table, trace, words
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, AnyScheme, Grow, Reading
from sockiter.simulation import SchemeTarget
from sockiter.table import Table

CASES = Path(__file__).parent / "cases"
END = Returned(())


def traced(text: str, scheme: AnyScheme) -> Trace:
    target = SchemeTarget(scheme)
    with target.session() as session:
        return trace(loads(text), target, session)


def told(text: str, scheme: AnyScheme) -> str:
    return table(traced(text, scheme))


class Place(NamedTuple):
    shown: int = 0


class Impatient:
    """Walks the first bucket, wants memory before every read, and returns ENOMEM where it is refused; or always."""

    name = "impatient"
    summary = "wants memory"
    progress = "Shown"
    hazards = ANY_HAZARD
    harms = ()

    def __init__(self, *, is_hopeless: bool = False) -> None:
        self.is_hopeless = is_hopeless

    def open(self, slots: int) -> Place:
        return Place()

    def read(self, state: Place, table: Table) -> Reading[Place]:
        granted, table = yield Grow(1)
        if self.is_hopeless or not granted:
            return state, "ENOMEM"
        shown = state.shown
        for socket in table.buckets[0][shown:]:
            goes_on, table = yield socket
            if not goes_on:
                break
            shown += 1
        return Place(shown), None

    def place(self, state: Place) -> str:
        return f"0:{state.shown}"


class Scripted:
    """A target that does what the test says: the events of each operation from open on, and the table after each."""

    name = "scripted"
    summary = "does as told"
    progress = ""
    hazards: frozenset[Hazard] = frozenset(HAZARDS)
    harms: tuple[Harm, ...] = ()
    slots = None
    is_real = True

    def __init__(
        self,
        opened: Sequence[str],
        script: Sequence[Sequence[Event]],
        *,
        states: Sequence[Names] | None = None,
        tables: tuple[str, ...] = ("",),
    ) -> None:
        self.tables = tables
        self.history = History(tuple(opened))
        self._script = list(script)
        self._states = None if states is None else list(states)

    def missing(self) -> None:
        return None

    @contextmanager
    def session(self) -> Iterator[Scripted]:
        yield self

    def begin(self, shape: Shape) -> Scripted:
        self._is_open = False
        return self

    def apply(self, operation: Operation) -> None:
        if self._is_open:
            self.history.events += self._script.pop(0)
            if self._states is not None and len(self._states) > 1:
                self._states.pop(0)
        self._is_open |= isinstance(operation, Open)

    def state(self) -> Names | None:
        return None if self._states is None else self._states[0]

    def place(self) -> str:
        return ""

    def close(self) -> None:
        pass


def scripted(text: str, opened: str, script: Sequence[Sequence[Event]], *, states: Sequence[Names] | None = None) -> Trace:
    target = Scripted(opened.split(), script, states=states)
    return trace(loads(text), target, target)


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


def test_what_happens_inside_a_read_stands_indented_in_its_row_and_buckets_that_are_never_used_are_left_out() -> None:
    assert told(INSIDE, OffsetUdp()) == dedent(
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


def test_of_several_buckets_the_last_change_to_the_harmed_sockets_own_is_told() -> None:
    text = "add A tail\nadd B tail\nadd C tail\nadd D tail in 1\nopen\nread 1\nremove A\nremove D\nread all\n"
    assert words(traced(text, OffsetUdp())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself never moved. It was "
        "passed over in the 2nd read, where C, behind it, came first. The last change to its bucket before that was "
        "close(A), between the 1st and 2nd read.",
    )


def test_a_change_to_another_bucket_is_told_where_there_was_none_to_its_own() -> None:
    skip = scripted(
        "add A tail\nadd B tail in 1\nopen\nremove A\nread 1\n",
        "A B",
        [[Remove("A")], [END]],
        states=[(("A",), ("B",)), ((), ("B",))],
    )
    assert words(skip)[0].endswith("The last change before that was close(A), before the 1st read.")


def test_a_bucket_that_is_empty_for_a_while_is_a_dash() -> None:
    text = told("add A tail\nadd B tail in 1\nopen\nremove A\nread all\n", OffsetUdp())
    assert text.splitlines()[3] == "| 1    | close(A)           | 0: - | 1: B  | 0:0           |"


def test_a_table_without_any_socket_is_a_dash() -> None:
    assert "| 1    | read(iter_fd) -> 0 | -            | -             |" in told("open\nread 1\n", OffsetUdp())


def test_a_refused_read_is_told_with_its_error_and_the_rest_is_judged() -> None:
    text = told("add A tail\nadd B tail\nopen\nread 1\nread all\n  at realloc 1: fail\n", Impatient())
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


def test_an_iteration_that_does_not_end_is_stuck_and_the_middle_of_its_reads_is_left_out() -> None:
    stuck = traced("add A tail\nopen\nremove A\nread all\n", Impatient(is_hopeless=True))
    assert words(stuck) == (
        "The iteration is stuck: `read all` gave up after the 100th read, which returned ENOMEM; none of its reads said "
        "the end. The last change before that was close(A), before the 1st read.",
        "The iteration was refused: 100 reads from the 1st to the 100th returned ENOMEM.",
        "No read said the end, so skips were not judged.",
    )
    assert [row.time for row in stuck.rows] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 101]
    assert stuck.rows[8].event == ("read(iter_fd) -> ENOMEM", "  (90 more reads are not shown)")
    assert {row.place for row in stuck.rows} == {"0:0"}


def test_a_change_that_was_never_reached_comes_after_all_reads_of_a_stuck_one() -> None:
    stuck = traced("add A tail\nopen\nread all\n  at show 5: remove A\n", Impatient(is_hopeless=True))
    assert stuck.rows[-1].event == ("close(A)", "  show 5 was not reached")
    assert words(stuck)[0].endswith("none of its reads said the end. Nothing had changed since open by then.")


def test_of_equal_changes_inside_a_read_the_one_that_was_reached_is_told_of() -> None:
    text = "add A tail\nopen\nread all\n  at show 9: reinsert A head\n  at show 1: reinsert A head\n"
    first, end, waited = traced(text, OffsetUdp()).rows
    assert first.event == ("read(iter_fd) -> A", "  at show 1: reinsert(A, head)")
    assert end.event == ("read(iter_fd) -> 0",)
    assert waited.event == ("reinsert(A, head)", "  show 9 was not reached")


def test_an_iteration_that_was_not_read_to_its_end_is_incomplete() -> None:
    assert words(traced("add A tail\nadd B tail\nopen\nread 1\n", OffsetUdp())) == (
        "The iteration is incomplete: no read said the end, so skips were not judged. Of what was read, nothing was "
        "repeated or stale.",
    )


def test_a_repeat_is_told_of_an_iteration_without_an_end_and_that_skips_were_not_judged() -> None:
    text = "add A tail\nadd B tail\nreinsert A head\nopen\nread 1\nadd C head\nread 1\n"
    assert words(traced(text, OffsetUdp())) == (
        "A is repeated: the 1st and 2nd reads both delivered it. A itself did not move after open. The last change before "
        "its second turn was add(C, head), between the 1st and 2nd read.",
        "No read said the end, so skips were not judged.",
    )


def test_the_last_socket_is_skipped_where_the_end_is_said_without_it() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\nreinsert B head\nread 1\n"
    assert words(traced(text, OffsetUdp())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself did not move between "
        "open and the end. The 2nd read said the end without it. The last change before that was close(A), between the "
        "1st and 2nd read.",
    )


def test_a_socket_that_was_moved_several_times_is_told_by_the_last_of_them() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\nreinsert A tail\nreinsert A head\nreinsert A tail\nread all\n"
    assert (
        "A itself was moved, last by reinsert(A, tail), between the 1st and 2nd read."
        in words(traced(text, OffsetUdp()))[-1]
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
          delivered it. B itself never moved. The 2nd read said the end without it. The
          last change before that was close(A), between the 1st and 2nd read.
        """
    )


def test_between_two_reads_of_a_real_iterator_nothing_is_run_again() -> None:
    two = scripted("add A tail\nopen\nread all\n", "A", [[Shown("A"), Returned(("A",)), END]], states=[(("A",),)])
    assert [row.place for row in two.rows] == ["", ""]
    assert [row.state for row in two.rows] == [(("A",),), (("A",),)]


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        ([["A", "A"]], "the 1st read delivered it twice."),
        ([["A", "A", "A"]], "the 1st read delivered it 3 times."),
        ([["A"], ["A"], ["B", "A"]], "it was delivered 3 times, by the 1st, 2nd and 3rd reads."),
        ([["A"]] * 13, "it was delivered 13 times, by 13 reads from the 1st to the 13th."),
    ],
)
def test_who_repeated_a_socket_is_told_of_any_number_of_reads(deliveries: list[list[str]], expected: str) -> None:
    script: list[list[Event]] = [[*(Shown(name) for name in names), Returned(tuple(names))] for names in deliveries]
    opened = "A B" if len(deliveries) == 3 else "A"
    adds = "".join(f"add {name} tail\n" for name in opened.split())
    repeat = scripted(f"{adds}open\n" + "read 9\n" * len(deliveries) + "read 1\n", opened, [*script, [END]])
    assert words(repeat) == (
        f"A is repeated: {expected} A itself never moved. Nothing changed between its first turn and its second.",
    )


def test_a_change_before_the_first_of_two_turns_is_not_blamed() -> None:
    repeat = scripted(
        "add A tail\nadd B tail\nopen\nremove B\nread 2\nread 1\n",
        "A B",
        [[Remove("B")], [Shown("A"), Shown("A"), Returned(("A", "A"))], [END]],
    )
    assert words(repeat)[0].endswith("Nothing changed between its first turn and its second.")


def test_a_stale_socket_is_told_with_the_change_that_took_it_away() -> None:
    stale = scripted(
        "add A tail\nopen\nread 1\n  at show 1: remove A\nread 1\n",
        "A",
        [[Remove("A"), Shown("A"), Returned(("A",))], [END]],
    )
    assert words(stale) == (
        "A is stale: its turn came in the 1st read, after close(A), inside the 1st read. A itself never moved.",
    )


def test_a_stale_socket_that_was_never_there_is_told_so() -> None:
    stale = scripted("add A tail\nopen\nread 1\nread 1\n", "", [[Shown("A"), Returned(("A",))], [END]])
    assert words(stale)[0].startswith("A is stale: its turn came in the 1st read, when it was not in the table.")


def test_a_socket_is_stale_only_where_it_was_not_there() -> None:
    stale = scripted(
        "add A tail\nopen\nread 1\nadd B tail\nread 1\nremove B\nread 1\nread 1\n",
        "A",
        [
            [Shown("A"), Returned(("A",))],
            [Add("B", "tail")],
            [Shown("B"), Returned(("B",))],
            [Remove("B")],
            [Shown("B"), Returned(("B",))],
            [END],
        ],
    )
    assert words(stale)[1].startswith(
        "B is stale: its turn came in the 3rd read, after close(B), between the 2nd and 3rd read."
    )


def test_a_stuck_iteration_is_told_with_what_it_delivered_last() -> None:
    again: list[Event] = [Shown("A"), Returned(("A",))]
    stuck = scripted("add A tail\nopen\nread all\nremove A\n", "A", [[*again, *again, GaveUp()], [Remove("A")]])
    assert "gave up after the 2nd read, which delivered A; none of its reads said the end." in words(stuck)[1]


def test_refusals_are_told_by_their_errors() -> None:
    refused = scripted(
        "open\nread 1\nread 1\nread 1\nread 1\nremove A\n".replace("open", "add A tail\nopen"),
        "A",
        [[Returned((), "ENOMEM")], [Returned((), "ESTALE")], [Returned((), "ENOMEM")], [END], [Remove("A")]],
    )
    assert words(refused)[1] == (
        "The iteration was refused: the 1st and 3rd reads returned ENOMEM, and the 2nd read returned ESTALE."
    )


def test_a_change_after_the_last_read_is_told_as_such() -> None:
    stale = scripted(
        "add A tail\nopen\nread all\n  at show 9: rehash A to 1\n",
        "A",
        [[Shown("A"), Shown("A"), Returned(("A", "A")), GaveUp(), Rehash("A", Bucket(1))]],
    )
    assert "A itself was moved, by rehash(A, 1), after the 1st read." in words(stale)[0]


def test_buckets_of_two_tables_are_named_by_their_tables_and_not_followed_inside_a_read() -> None:
    established = Bucket(0, "established")
    target = Scripted(
        ["A", "B"],
        [[Remove("A")], [Add("C", "head", established), Shown("B"), Returned(("B",)), END]],
        states=[(("A",), ("B",)), ((), ("B",)), ((), ("C", "B"))],
        tables=("listening", "established"),
    )
    text = """
add A tail
add B tail in established:0
open
remove A
read all
  at show 1: add C head in established:0
"""
    two = trace(loads(text), target, target)
    assert two.buckets == ("listening:0", "established:0")
    assert [row.state for row in two.rows] == [((), ("B",)), None, None]


def test_buckets_that_nobody_named_are_numbered() -> None:
    target = Scripted(["A", "B"], [[END]], states=[(("A",), ("B",))])
    assert trace(loads("add A tail\nadd B tail\nopen\nread 1\n"), target, target).buckets == ("0", "1")


def test_a_case_that_the_target_cannot_carry_out_is_refused() -> None:
    with pytest.raises(MachineLacks, match="no table named 'established'"):
        traced("add A tail in established:0\nopen\nread 1\n", OffsetUdp())


def test_long_cells_go_on_in_further_lines_of_their_row() -> None:
    names = [f"S{nth}" for nth in range(1, 33)]
    text = told("".join(f"add {name} tail\n" for name in names) + "batch 32\nopen\nread all\n", OffsetUdp())
    assert [line.rpartition(" | ")[0] for line in text.splitlines()[3:8]] == [
        "| 1    | read(iter_fd) -> S1, S2, S3, S4, S5, S6, S7, S8, | S1->S2->S3->S4->S5->S6->S7->S8->S9->S10->S11   ",
        "|      |   S9, S10, S11, S12, S13, S14, S15, S16, S17,    |   ->S12->S13->S14->S15->S16->S17->S18->S19->S20",
        "|      |   S18, S19, S20, S21, S22, S23, S24, S25, S26,   |   ->S21->S22->S23->S24->S25->S26->S27->S28->S29",
        "|      |   S27, S28, S29, S30, S31, S32                   |   ->S30->S31->S32                              ",
        "| 2    | read(iter_fd) -> 0                               | S1->S2->S3->S4->S5->S6->S7->S8->S9->S10->S11   ",
    ]


def test_of_very_many_sockets_the_first_and_their_number_are_told() -> None:
    names = [f"S{nth}" for nth in range(1, 42)]
    text = told("".join(f"add {name} tail\n" for name in names) + "open\nread all\n", OffsetUdp())
    assert "S39, S40, ... (41 in all)]" in text


def test_a_name_that_is_wider_than_a_cell_is_cut_wherever_it_must_be() -> None:
    assert fold(f"close({'x' * 20})", 12) == ["close(xxxx", "  xxxxxxxxxx", "  xxxxxx)"]


def test_wide_and_combining_characters_are_counted_by_the_columns_they_take() -> None:
    assert columns_of("\u6771\u4eac") == 4
    assert columns_of("e\u0301") == 1
