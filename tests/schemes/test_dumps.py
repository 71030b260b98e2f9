"""How the dumps of sock_diag keep their place, against udp_dump, inet_diag_dump_icsk and unix_diag_dump of Linux."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.operations import Add, Bucket, Remove
from sockiter.oracle import judge
from sockiter.schemes.dump import Dump, Place
from sockiter.schemes.one_by_one import Found, Further, State
from sockiter.schemes.tcp_diag import TcpDiag
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.schemes.unix_diag import UnixDiag
from sockiter.simulation import SchemeTarget
from sockiter.table import Table
from sockiter.verdict import Finding
from tests.support.scheme_steps import changed, table, tcp, walk

UDP, TCP = UdpDiag(), TcpDiag()


def at(bucket: int, seen: int) -> State[Place]:
    return State(Place(bucket, seen))


@pytest.mark.parametrize("scheme", [UDP, UnixDiag()], ids=lambda scheme: scheme.name)
class TestADump:
    def test_starts_at_the_first_bucket_and_goes_through_all(self, scheme: UdpDiag | UnixDiag) -> None:
        now = table("AB", "", "C")
        assert walk(scheme, scheme.open(9, now), now) == ("A B C", at(3, 0))

    def test_stops_at_the_socket_that_does_not_fit_also_behind_its_bucket(self, scheme: UdpDiag | UnixDiag) -> None:
        now = table("AB", "", "CD")
        assert walk(scheme, at(0, 0), now, stop="B") == ("A B", at(0, 1))
        assert walk(scheme, at(0, 0), now, stop="C") == ("A B C", at(2, 0))

    def test_counts_the_sockets_of_its_bucket_only(self, scheme: UdpDiag | UnixDiag) -> None:
        assert walk(scheme, at(1, 1), table("ABC", "DEF", "G"))[0] == "E F G"
        assert walk(scheme, at(1, 5), table("ABC", "DEF", "G"))[0] == "G"
        assert walk(scheme, at(1, 5), table("", "", "G"))[0] == "G"

    def test_is_over_after_its_end(self, scheme: UdpDiag | UnixDiag) -> None:
        assert walk(scheme, at(2, 0), table("AB", "C")) == ("", at(2, 0))

    def test_is_written_as_bucket_and_count(self, scheme: UdpDiag | UnixDiag) -> None:
        assert scheme.place(at(2, 1)) == "2:1"


def test_a_tcp_dump_counts_anew_in_the_second_table() -> None:
    now = tcp("ABC", est=("DEF",))
    assert walk(TCP, at(0, 0), now) == ("A B C D E F", at(2, 0))
    # `offset-tcp` spends the rest of its count there.
    assert walk(TCP, at(0, 3), tcp("A", est=("DEF",)))[0] == "D E F"


VERDICTS = {
    # A message of two records is in the socket's queue, and the next is filled when it is received.
    "skip C": ("remove A", [Finding("skip", "C")]),
    "repeat B": ("add X head", [Finding("repeat", "B")]),
    "nothing": ("remove C", []),
    "nothing by an addition": ("add X tail", []),
}


@pytest.mark.parametrize(("change", "expected"), VERDICTS.values(), ids=list(VERDICTS))
def test_a_change_before_the_first_message_is_received_counts_in_the_second(change: str, expected: list[Finding]) -> None:
    text = f"batch 2\nadd A tail\nadd B tail\nadd C tail\nadd D tail\nopen\n{change}\nread all\n"
    assert list(judge(run(SchemeTarget(UDP), SchemeTarget(UDP), loads(text).operations, slots=2))) == expected


def test_a_dump_whose_sockets_fit_into_a_message_is_exact_under_all_changes() -> None:
    text = "batch 3\nadd A tail\nadd B tail\nadd C tail\nopen\nremove A\nadd X head\nread 1\nremove B\nread all\n"
    assert judge(run(SchemeTarget(UDP), SchemeTarget(UDP), loads(text).operations, slots=3)) == ()


class Unreset(Dump):
    """A dump of a mesh protocol: the count of the last bucket is also stepped over in the next one."""

    name = "unreset"
    summary = "bucket, and a count that is not reset"

    def after(self, place: Place, table: Table) -> Found[Place] | Further[Place] | None:
        step = super().after(place, table)
        return Further(Place(step.place.bucket, place.seen)) if isinstance(step, Further) else step


def test_a_count_that_is_not_reset_skips_although_nothing_changes() -> None:
    text = "batch 3\n" + "".join(f"add {name} tail in {name in 'DEF':d}\n" for name in "ABCDEF") + "open\nread 3\nread all\n"
    verdict = judge(run(SchemeTarget(Unreset()), SchemeTarget(Unreset()), loads(text).operations, slots=3))
    assert verdict == tuple(Finding("skip", name, elsewhere=True) for name in "DEF")


def test_a_socket_that_left_is_not_counted() -> None:
    before = table("ABCD")
    assert walk(UDP, at(0, 2), changed(before, Remove("A")))[0] == "D"
    assert walk(UDP, at(0, 2), changed(before, Add("X", "head", Bucket(0))))[0] == "B C D"
