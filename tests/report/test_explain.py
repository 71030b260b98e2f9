"""The sentences about a trace. Every sentence is pinned, because people read it."""

from __future__ import annotations

import pytest

from sockiter.history import Event, GaveUp, Returned, Shown
from sockiter.operations import Add, Bucket, Destroy, Rehash, Reinsert, Remove
from sockiter.report.explain import turns, words
from sockiter.report.trace import Names
from sockiter.schemes.full_batch import FullBatch
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.unix import Unix
from sockiter.verdict import Finding
from tests.support.scripted_traces import END, Impatient, scripted, traced


def test_the_last_change_to_the_affected_sockets_own_bucket_is_mentioned() -> None:
    text = "add A tail\nadd B tail\nadd C tail\nadd D tail in 1\nopen\nread 1\nremove A\nremove D\nread all\n"
    assert words(traced(text, OffsetUdp())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself never moved. It was "
        "passed over in the 2nd read, where C, behind it, came first. The last change to its bucket before that was "
        "close(A), between the 1st and 2nd read.",
    )


def test_a_change_to_another_bucket_is_mentioned_if_its_own_had_none() -> None:
    skip = scripted(
        "add A tail\nadd B tail in 1\nopen\nremove A\nread 1\n",
        "A B",
        [[Remove("A")], [END]],
        states=[(("A",), ("B",)), ((), ("B",))],
    )
    assert words(skip)[0].endswith("The last change before that was close(A), before the 1st read.")


def test_an_endless_iteration_is_stuck_and_its_last_read_is_described() -> None:
    stuck = traced("add A tail\nopen\nremove A\nread all\n", Impatient(is_hopeless=True))
    assert words(stuck) == (
        "The iteration is stuck: `read all` gave up after the 100th read, which returned ENOMEM; none of its reads "
        "reported the end. The last change before that was close(A), before the 1st read.",
        "The iteration was refused: 100 reads from the 1st to the 100th returned ENOMEM.",
        "No read reported the end, so skips were not judged.",
    )


def test_an_iteration_that_was_not_read_to_its_end_is_incomplete() -> None:
    assert words(traced("add A tail\nadd B tail\nopen\nread 1\n", OffsetUdp())) == (
        "The iteration is incomplete: no read reported the end, so skips were not judged. No delivered socket was "
        "repeated or stale.",
    )


def test_an_iteration_without_an_end_is_judged_for_repeats_but_not_for_skips() -> None:
    text = "add A tail\nadd B tail\nreinsert A head\nopen\nread 1\nadd C head\nread 1\n"
    assert words(traced(text, OffsetUdp())) == (
        "A is repeated: the 1st and 2nd reads both delivered it. A itself did not move after open. The last change before "
        "its second turn was add(C, head), between the 1st and 2nd read.",
        "No read reported the end, so skips were not judged.",
    )


def test_the_last_socket_is_skipped_when_a_read_reports_the_end_without_it() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\nreinsert B head\nread 1\n"
    assert words(traced(text, OffsetUdp())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself did not move between "
        "open and the end. The 2nd read reported the end without it. The last change before that was close(A), between the "
        "1st and 2nd read.",
    )


def test_a_socket_that_was_moved_several_times_is_described_with_the_last_move() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\nreinsert A tail\nreinsert A head\nreinsert A tail\nread all\n"
    assert (
        "A itself was moved, last by reinsert(A, tail), between the 1st and 2nd read."
        in words(traced(text, OffsetUdp()))[-1]
    )


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        ([["A", "A"]], "the 1st read delivered it twice."),
        ([["A", "A", "A"]], "the 1st read delivered it 3 times."),
        ([["A"], ["A"], ["B", "A"]], "it was delivered 3 times, by the 1st, 2nd and 3rd reads."),
        ([["A"]] * 13, "it was delivered 13 times, by 13 reads from the 1st to the 13th."),
    ],
)
def test_all_reads_that_repeat_a_socket_are_listed(deliveries: list[list[str]], expected: str) -> None:
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


def test_a_change_at_the_first_of_two_turns_is_mentioned() -> None:
    text = "add A tail\nadd B tail\nopen\nread 1\n  at show 1: add C head\nread all\n"
    assert words(traced(text, OffsetUdp())) == (
        "A is repeated: the 1st and 2nd reads both delivered it. A itself never moved. The last change before its second "
        "turn was add(C, head), inside the 1st read.",
    )


def test_a_change_at_the_turn_of_another_before_the_first_of_two_is_not_blamed() -> None:
    repeat = scripted(
        "add A tail\nadd B tail\nadd C tail\nopen\nread 9\n  at show 1: remove C\nread 1\n",
        "A B C",
        [[Remove("C"), Shown("B"), Shown("A"), Shown("A"), Returned(("B", "A", "A"))], [END]],
    )
    assert words(repeat)[0].endswith("Nothing changed between its first turn and its second.")


def test_a_stale_socket_is_described_with_its_removal() -> None:
    stale = scripted(
        "add A tail\nopen\nread 1\n  at show 1: remove A\nread 1\n",
        "A",
        [[Remove("A"), Shown("A"), Returned(("A",))], [END]],
    )
    assert words(stale) == (
        "A is stale: its turn came in the 1st read, after close(A), inside the 1st read. A itself never moved.",
    )


def test_a_stale_socket_that_was_never_in_the_table_is_described_as_such() -> None:
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


def test_a_stuck_iteration_is_described_with_its_last_delivery() -> None:
    again: list[Event] = [Shown("A"), Returned(("A",))]
    stuck = scripted("add A tail\nopen\nread all\nremove A\n", "A", [[*again, *again, GaveUp()], [Remove("A")]])
    assert "gave up after the 2nd read, which delivered A; none of its reads reported the end." in words(stuck)[1]


def test_refusals_are_described_by_their_errors() -> None:
    refused = scripted(
        "open\nread 1\nread 1\nread 1\nread 1\nremove A\n".replace("open", "add A tail\nopen"),
        "A",
        [[Returned((), "ENOMEM")], [Returned((), "ESTALE")], [Returned((), "ENOMEM")], [END], [Remove("A")]],
    )
    assert words(refused)[1] == (
        "The iteration was refused: the 1st and 3rd reads returned ENOMEM, and the 2nd read returned ESTALE."
    )


def test_a_change_after_the_last_read_is_described_as_such() -> None:
    stale = scripted(
        "add A tail\nopen\nread all\n  at show 9: rehash A to 1\n",
        "A",
        [[Shown("A"), Shown("A"), Returned(("A", "A")), GaveUp(), Rehash("A", Bucket(1))]],
    )
    assert "A itself was moved, by rehash(A, 1), after the 1st read." in words(stale)[0]


def test_a_stuck_iteration_without_changes_is_described_as_such() -> None:
    stuck = traced("add A tail\nopen\nread all\n  at show 5: remove A\n", Impatient(is_hopeless=True))
    assert words(stuck)[0].endswith("none of its reads reported the end. Nothing had changed since open by then.")


def test_sockets_that_were_skipped_alike_are_named_together() -> None:
    text = "add A tail\nadd B tail\nadd C tail\nadd D tail\nopen\nread 1\nremove A\nread all\n"
    assert words(traced(text, Unix())) == (
        "B, C, D are skipped: they were in the table from open to the end, and no read delivered them. None of them ever "
        "moved. The 2nd read reported the end without them. The last change before that was close(A), between the 1st and "
        "2nd read.",
    )


def test_sockets_that_were_passed_over_alike_are_named_together_and_one_that_moved_apart() -> None:
    skip = scripted(
        "add A tail\nadd B tail\nadd C tail\nadd D tail\nadd E tail in 1\nopen\nreinsert A head\nread 9\nread 1\n",
        "A B C D E",
        [[Reinsert("A", "head")], [Shown("D"), Shown("E"), Returned(("D", "E"))], [END]],
        states=[(("A", "B", "C", "D"), ("E",))],
    )
    moved, others = words(skip)
    assert moved.startswith("A is skipped: it was in the table")
    assert "A itself was moved, by reinsert(A, head), before the 1st read. It was passed over" in moved
    assert others == (
        "B, C are skipped: they were in the table from open to the end, and no read delivered them. None of them ever "
        "moved. They were passed over in the 1st read, where D, behind them, came first. The last change before that was "
        "reinsert(A, head), before the 1st read."
    )


THREE = "add A tail\nadd B tail\nadd C tail\nopen\n"
DUMP = f"{THREE}remove A\nread 1\nread 1\nread 1\n"
LEFT: list[Names] = [(("A", "B", "C"),), (("B", "C"),)]


def test_the_end_of_a_dump_is_reached_when_the_message_before_it_is_received() -> None:
    script: list[list[Event]] = [[Remove("A")], [Returned(("A",))], [Returned(("B",))], [END]]
    dump = scripted(DUMP, "A B C", script, states=LEFT, at_open=[Shown("A"), Shown("B")])
    assert words(dump) == (
        "C is skipped: it was in the table from open to the end, and no read delivered it. C itself never moved. The walk "
        "reached the end without it in the 1st read, and the 3rd read reported it. The last change before that was "
        "close(A), before the 1st read.",
    )
    assert turns(dump) == {Finding("skip", "C"): 3}


def test_a_record_that_is_made_before_its_delivery_is_described_with_both_reads() -> None:
    script: list[list[Event]] = [[Remove("A")], [Shown("C"), Returned(("A",))], [Returned(("C",))], [END]]
    dump = scripted(DUMP, "A B C", script, states=LEFT, at_open=[Shown("A")])
    both = "It was passed over in the 1st read, when the record of C, behind it, was made, which the 2nd read delivered."
    assert both in words(dump)[0]


def test_a_record_that_was_made_at_open_is_described_as_such() -> None:
    script: list[list[Event]] = [[Remove("A")], [Returned(("A",))], [Returned(("C",))], [END]]
    dump = scripted(DUMP, "A B C", script, states=LEFT, at_open=[Shown("A"), Shown("C")])
    assert (
        "It was passed over at open, when the record of C, behind it, was made, which the 2nd read delivered. Nothing"
        in (words(dump)[0])
    )


def test_an_undelivered_record_is_described_without_a_read() -> None:
    lost = scripted("add A tail\nadd B tail\nopen\nread 1\n", "A B", [[Shown("B"), END]], states=[(("A", "B"),)])
    assert "It was passed over in the 1st read, when the record of B, behind it, was made. Nothing" in words(lost)[0]
    dump = scripted("add A tail\nopen\nread 1\n", "A", [[END]], states=[(("A",),)], at_open=[Shown("A")])
    assert "The 1st read reported the end without it." in words(dump)[0]


def test_a_stale_record_is_described_with_the_read_that_delivered_it() -> None:
    script: list[list[Event]] = [[Remove("A")], [Shown("A"), Returned(("B",))], [Returned(("A",))], [END]]
    stale = scripted(DUMP.replace("add C tail\n", ""), "A B", script, at_open=[Shown("B")])
    assert words(stale)[0] == (
        "A is stale: its turn came in the 1st read, after close(A), before the 1st read. The 2nd read delivered it. A "
        "itself never moved."
    )


def test_a_successor_is_not_called_moved() -> None:
    text = "add A tail\nadd B tail request\nadd C tail\nopen\nread 1\naccept B\nremove A\nread all\n"
    assert words(traced(text, FullBatch())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself got a successor, by "
        "accept(B), between the 1st and 2nd read. It was passed over in the 2nd read, where C, behind it, came first. The "
        "last change before that was close(A), between the 1st and 2nd read.",
    )


def test_a_second_pass_is_judged_at_its_end() -> None:
    text = "add A tail\nadd B tail\nadd C tail\nopen\nread all\nagain\nread all\n"
    assert words(traced(text, OffsetUdp())) == (
        "Every socket that was there from open to the end was delivered at least once; the reader joins its passes by "
        "cookie.",
    )
    skipped = "add A tail\nadd B tail\nadd C tail\nopen\nread 1\nagain\nread 1\nremove A\nread all\n"
    assert words(traced(skipped, OffsetUdp())) == (
        "B is skipped: it was in the table from open to the end, and no read delivered it. B itself never moved. It was "
        "passed over in the 3rd read, where C, behind it, came first. The last change before that was close(A), between "
        "the 2nd and 3rd read.",
    )


def test_sockets_that_the_reader_filters_out_are_not_promised() -> None:
    assert words(traced("add A tail unwanted\nadd B tail\nopen\nread all\n", OffsetUdp())) == (
        "Every wanted socket that was there from open to the end was delivered exactly once.",
    )


def test_a_stale_socket_may_have_been_destroyed() -> None:
    stale = scripted(
        "add A tail\nopen\ndestroy A\nread all\n",
        "A",
        [[Destroy("A")], [Shown("A"), Returned(("A",)), END]],
        states=[(("A",),), ((),), ((),)],
    )
    assert words(stale)[0].startswith("A is stale: its turn came in the 1st read, after destroy(A), before the 1st read.")
