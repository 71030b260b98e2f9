"""The sentences about a trace. Every one is pinned: it is read by people, and has to be true."""

from __future__ import annotations

import pytest
from scripted import END, Impatient, scripted, traced

from sockiter.explain import words
from sockiter.history import Event, GaveUp, Returned, Shown
from sockiter.operations import Add, Bucket, Rehash, Remove
from sockiter.schemes.offset_udp import OffsetUdp


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


def test_an_iteration_that_does_not_end_is_stuck_and_its_last_read_is_told() -> None:
    stuck = traced("add A tail\nopen\nremove A\nread all\n", Impatient(is_hopeless=True))
    assert words(stuck) == (
        "The iteration is stuck: `read all` gave up after the 100th read, which returned ENOMEM; none of its reads said "
        "the end. The last change before that was close(A), before the 1st read.",
        "The iteration was refused: 100 reads from the 1st to the 100th returned ENOMEM.",
        "No read said the end, so skips were not judged.",
    )


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


def test_a_change_at_the_first_of_two_turns_is_told() -> None:
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


def test_of_a_stuck_iteration_without_any_change_that_is_told() -> None:
    stuck = traced("add A tail\nopen\nread all\n  at show 5: remove A\n", Impatient(is_hopeless=True))
    assert words(stuck)[0].endswith("none of its reads said the end. Nothing had changed since open by then.")
