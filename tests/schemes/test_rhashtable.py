"""How walks over netlink sockets keep their place, against net/netlink and lib/rhashtable.c of Linux."""

from __future__ import annotations

import pytest

from sockiter.backend import Shape, run
from sockiter.cases import loads
from sockiter.oracle import judge
from sockiter.schemes.netlink_diag import NetlinkDiag, Place
from sockiter.schemes.netlink_walk import Netlink, ProcNetlink
from sockiter.schemes.one_by_one import State
from sockiter.simulation import SchemeTarget, Simulation
from tests.support.scheme_steps import table, walk

DIAG = NetlinkDiag()
SHAPE = Shape((("", 2),))


def at(bucket: int, passed: int, last: str) -> State[Place]:
    return State(Place(bucket, passed, last))


def test_a_dump_goes_through_all_chains() -> None:
    now = table("AB", "", "C")
    assert walk(DIAG, DIAG.open(9, now), now) == ("A B C", at(3, 0, ""))
    assert walk(DIAG, at(3, 0, ""), now) == ("", at(3, 0, ""))


def test_a_dump_has_taken_the_socket_that_does_not_fit() -> None:
    assert walk(DIAG, at(0, 0, ""), table("AB", "CD"), stop="B") == ("A B", at(0, 2, "B"))
    assert walk(DIAG, at(0, 2, "B"), table("AB", "CD"))[0] == "C D"
    assert DIAG.place(at(0, 2, "B")) == "0:2"


def test_a_dump_goes_on_behind_the_last_socket_wherever_it_is_in_its_chain() -> None:
    assert walk(DIAG, at(0, 1, "A"), table("XYAB", "C"))[0] == "B C"


def test_a_dump_without_its_last_socket_steps_over_as_many_as_it_has_passed() -> None:
    assert walk(DIAG, at(0, 1, "A"), table("BC", "D"))[0] == "C D"
    assert walk(DIAG, at(0, 5, "A"), table("BC", "D"))[0] == "D"


@pytest.mark.parametrize(
    "text", ["read all", "remove A\nremove B\nread all", "remove A\nadd F head\nread all", "remove D\nread all"]
)
def test_each_message_but_the_last_one_loses_a_socket(text: str) -> None:
    case = loads(f"batch 2\nadd A tail\nadd B tail\nadd C tail in 1\nadd D tail in 1\nopen\n{text}\n")
    target = SchemeTarget(DIAG)
    verdict = judge(run(target, target, case.operations, slots=2))
    assert [(finding.kind, finding.socket) for finding in verdict] == [("skip", "C")]


@pytest.mark.parametrize("scheme", [Netlink(), ProcNetlink()], ids=lambda scheme: scheme.name)
class TestAWalkThatIsBegunAnew:
    def test_counts_over_all_chains(self, scheme: Netlink) -> None:
        assert walk(scheme, State(2), table("A", "BC", "D"))[0].split()[:2] == ["C", "D"]

    def test_ends_behind_the_sockets_of_other_protocols(self, scheme: Netlink) -> None:
        state = walk(scheme, State(0), table("A", "B"), stop="-")[1]
        assert scheme.place(state) == "end"
        assert walk(scheme, state, table("XA", "B"), stop="-")[0] == ""
        assert scheme.place(State(1)) == "1"

    @pytest.mark.parametrize(
        ("read", "change", "delivered"),
        [
            # A read of all sockets stops in front of those of other protocols.
            ("read 2", "add C head", "B"),
            # A read for more has gone on to the end.
            ("read 3", "add C head", ""),
            ("read 1", "remove A", ""),
        ],
    )
    def test_has_its_place_behind_the_last_read_socket(
        self, scheme: Netlink, read: str, change: str, delivered: str
    ) -> None:
        operations = loads(f"add A tail\nadd B tail in 1\nopen\n{read}\n{change}\nread all\n").operations
        simulation = Simulation(scheme, SHAPE)
        for operation in operations:
            simulation.apply(operation)
        assert "".join(name for returned in simulation.history.reads[1:] for name in returned.delivered) == delivered
