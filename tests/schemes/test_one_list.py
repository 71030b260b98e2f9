"""How dumps of one list keep their place, against packet_diag_dump and rtnl_net_dumpid of Linux."""

from __future__ import annotations

import pytest

from sockiter.backend import Shape, refusal, run
from sockiter.cases import loads
from sockiter.fuzzing.limits import Room
from sockiter.oracle import judge
from sockiter.schemes.nsid import Nsid
from sockiter.schemes.nsid_count import NsidCount
from sockiter.schemes.one_by_one import State
from sockiter.schemes.packet_diag import PacketDiag
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Finding
from tests.support.scheme_steps import table, walk

COUNTS = (PacketDiag(), NsidCount())


def verdict(scheme: PacketDiag | Nsid | NsidCount, text: str) -> list[Finding]:
    case = loads(text)
    target = SchemeTarget(scheme)
    return list(judge(run(target, target, case.operations, slots=case.slots)))


@pytest.mark.parametrize("scheme", COUNTS, ids=lambda scheme: scheme.name)
class TestACount:
    def test_goes_through_the_list(self, scheme: PacketDiag | NsidCount) -> None:
        assert walk(scheme, scheme.open(9, table("ABC")), table("ABC")) == ("A B C", State(3))

    def test_stops_at_the_element_that_does_not_fit(self, scheme: PacketDiag | NsidCount) -> None:
        assert walk(scheme, State(0), table("ABC"), stop="B") == ("A B", State(1))

    def test_is_over_behind_the_last_element(self, scheme: PacketDiag | NsidCount) -> None:
        assert walk(scheme, State(3), table("AB")) == ("", State(3))
        assert scheme.place(State(3)) == "3"

    def test_has_one_bucket(self, scheme: PacketDiag | NsidCount) -> None:
        target = SchemeTarget(scheme)
        why = refusal(target, (), Shape((("", 2),)))
        assert why is not None
        assert why.text == f"{scheme.name} has one bucket; the case needs 2"
        assert Room.of(target).buckets_drawn == 1


def test_two_buckets_are_refused_by_their_number() -> None:
    target = SchemeTarget(PacketDiag())
    target.buckets_max = 2
    why = refusal(target, (), Shape((("", 3),)))
    assert why is not None
    assert why.text == "packet-diag has 2 buckets; the case needs 3"


MORE_THAN_A_MESSAGE = "batch 2\nadd A tail\nadd B tail\nadd C tail\nadd D tail\nadd E tail\nopen\n"


def test_the_first_message_of_namespace_ids_is_the_only_one() -> None:
    assert verdict(Nsid(), f"{MORE_THAN_A_MESSAGE}read all\n") == [Finding("skip", name, elsewhere=True) for name in "CDE"]
    assert verdict(NsidCount(), f"{MORE_THAN_A_MESSAGE}read all\n") == []


def test_namespace_ids_that_fit_into_a_message_are_dumped_whatever_else_changes() -> None:
    text = "batch 2\nadd A tail\nadd B tail\nopen\nremove A\nadd C head\nadd D tail\nread 1\nread all\n"
    assert verdict(Nsid(), text) == []


def test_a_count_skips_when_a_seen_element_leaves_and_repeats_when_one_enters_in_front() -> None:
    assert verdict(PacketDiag(), f"{MORE_THAN_A_MESSAGE}remove A\nread all\n") == [Finding("skip", "C")]
    assert verdict(NsidCount(), f"{MORE_THAN_A_MESSAGE}add F head\nread all\n") == [Finding("repeat", "B")]
    assert verdict(PacketDiag(), f"{MORE_THAN_A_MESSAGE}add F tail\nread all\n") == []
