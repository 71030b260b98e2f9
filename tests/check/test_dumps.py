"""The search of dumps: whole messages, each filled when the one before is received."""

from __future__ import annotations

from typing import Any

import pytest

from sockiter.cases import dumps
from sockiter.check import everything
from sockiter.check.effects import Opening, Reopening, Turns
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import Hazard
from sockiter.errors import Unsearchable
from sockiter.readers import SILENT, reader_named
from sockiter.schemes.one_by_one import Looking
from sockiter.schemes.proc_tcp import ProcTcp
from sockiter.schemes.proc_udp import ProcUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import AnyScheme, Done, FrameName
from sockiter.schemes.tcp_diag import TcpDiag
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.table import Table
from sockiter.verdict import Signature

NEAR = Signature("skip"), Signature("repeat")


def lengths(scheme: AnyScheme, hazards: set[Hazard], scope: Scope, **others: Any) -> dict[Signature, int]:
    found = search(scheme, hazards, scope, **others)
    assert found.complete
    return {violation.signature: violation.operations for violation in found.violations}


def test_a_socket_is_shown_before_its_message_is_received() -> None:
    system = TransitionSystem(UdpDiag(), frozenset({"remove"}), 2, 1, 1)
    empty, _ = system.labelled(0), system.labelled(0)
    one = next(transition.to for transition in empty if transition.label and transition.label != "open")
    two = next(t.to for t in system.labelled(one) if len(system.states[t.to].where) == 2)
    opening = system.labelled(two)[-1]
    assert (opening.label, opening.effect) == ("open", Opening((0,)))
    [first] = system.begun(opening.to)
    assert first.effect == Turns((1,), 1, over=True, handed=True)
    [second] = system.begun(first.to)
    assert second.effect == Turns((), 0, over=True, handed=True)
    [end] = system.begun(second.to)
    assert (end.effect, end.to) == (Turns((), 0, over=True), second.to)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("hazards", [{"remove"}, {"add-head", "reinsert"}, {"rehash"}], ids=["remove", "reinsert", "rehash"])
def test_the_search_finds_what_every_sequence_finds(hazards: set[Hazard], batch: int) -> None:
    scope = Scope(3 if batch == 2 else 2, 1 + ("rehash" in hazards and batch == 1), batch, 5)
    assert lengths(UdpDiag(), hazards, scope) == everything.shortest(UdpDiag(), frozenset(hazards), scope)


def test_a_message_of_all_sockets_is_exact() -> None:
    hazards: set[Hazard] = {"add-head", "add-tail", "remove", "reinsert"}
    # Sockets that come after open may fill the second message.
    assert lengths(UdpDiag(), hazards, Scope(2, 1, 2)) == {}
    assert set(lengths(UdpDiag(), hazards, Scope(3, 1, 2))) >= set(NEAR)


def test_a_case_reads_whole_messages() -> None:
    found = search(UdpDiag(), {"remove"}, Scope(4, 1, 2))
    [skip] = found.violations
    assert dumps(skip.case).splitlines()[1:] == [
        "batch 2",
        "",
        *("add A tail", "add B tail", "add C tail", "open", "remove A", "read all"),
    ]
    # The message of A and B is received, and the next one begins behind C.
    [repeat] = search(UdpDiag(), {"add-head"}, Scope(3, 1, 1)).violations
    assert dumps(repeat.case).splitlines()[-3:] == ["open", "add C head", "read all"]


def test_two_dumps_that_are_joined_lose_only_the_sockets_that_both_lose() -> None:
    twice = reader_named("partial-twice")
    once = lengths(UdpDiag(), {"remove"}, Scope(3, 1, 1))
    both = lengths(UdpDiag(), {"remove"}, Scope(4, 1, 1), reader=twice)
    assert once[NEAR[0]] < both[NEAR[0]]
    system = TransitionSystem(UdpDiag(), frozenset(), 1, 1, 1, twice)
    added = next(transition.to for transition in system.labelled(0) if transition.label != "open")
    opened = system.labelled(added)[-1].to
    [received] = system.begun(opened)
    assert [transition.effect for transition in system.labelled(received.to)] == [Reopening(shown=(0,))]


@pytest.mark.parametrize("scheme", [UdpDiag(), ProcUdp(), ProcTcp()], ids=lambda scheme: scheme.name)
def test_a_reader_without_a_program_cannot_be_silent(scheme: AnyScheme) -> None:
    with pytest.raises(Unsearchable, match=rf"^{scheme.name} cannot be read in this way: silent$"):
        search(scheme, {"remove"}, Scope(2, 1, 1), reader=SILENT)


class Told(Rank):
    """`rank`, dumped in messages."""

    name = "told"
    frame: FrameName = "netlink"


def test_changes_inside_a_message_are_not_searched() -> None:
    with pytest.raises(Unsearchable, match=r"^told is dumped in messages: nothing is known about between$"):
        search(Told(), {"remove", "between"}, Scope(2, 1, 1))
    assert NEAR[0] in lengths(Told(), {"remove"}, Scope(2, 1, 1))


def test_a_dump_with_an_error_is_not_searched() -> None:
    class Failing(UdpDiag):
        def begin(self, state: Any, table: Table) -> Any:
            return Done(state, "ENOMEM")

    with pytest.raises(Unsearchable, match=r"^udp-diag: a dump cannot end with ENOMEM$"):
        search(Failing(), {"remove"}, Scope(2, 1, 1))


def test_a_message_that_is_never_full_is_not_searched() -> None:
    class Endless(UdpDiag):
        def begin(self, state: Any, table: Table) -> Any:
            return Looking(state.place)

        def resume(self, waiting: Any, granted: bool, table: Table) -> Any:
            return waiting

    with pytest.raises(Unsearchable, match=r"^udp-diag makes more than 2047 requests in a message$"):
        search(Endless(), {"remove"}, Scope(2, 1, 1))


def test_files_read_in_lines_have_the_failures_of_the_same_walk_in_a_bpf_iterator() -> None:
    hazards: set[Hazard] = {"add-head", "remove", "rehash", "between"}
    assert lengths(ProcUdp(), hazards, Scope(2, 2, 1)) == lengths(Rank(), hazards, Scope(2, 2, 1))


@pytest.mark.parametrize("scheme", [ProcUdp(), UdpDiag(), TcpDiag()], ids=lambda scheme: scheme.name)
def test_files_and_dumps_have_their_known_failures_and_no_others(scheme: AnyScheme) -> None:
    all_hazards: tuple[set[Hazard], ...] = ({"add-head", "add-tail"}, {"remove"}, {"reinsert"}, {"rehash"})
    for hazards in all_hazards:
        found = search(scheme, hazards, Scope(3, 1, 1) if len(scheme.tables) == 2 else Scope(3, 2, 1))
        known = {failure.signature for failure in scheme.known_failures if failure.hazards <= hazards}
        # A socket whose bucket did not change is rarer, and needs a third bucket if others move.
        assert {violation.signature._replace(elsewhere=False) for violation in found.violations} == {
            signature._replace(elsewhere=False) for signature in known
        }


DESTROYING: tuple[tuple[AnyScheme, set[Hazard], int, int], ...] = (
    (UdpDiag(), {"destroying"}, 3, 1),
    (UdpDiag(), {"destroying", "add-head"}, 2, 1),
    (UdpDiag(), {"destroying", "reinsert"}, 2, 2),
    (UdpDiag(), {"destroying", "rehash"}, 2, 1),
    (TcpDiag(), {"destroying", "add-head"}, 2, 2),
)


@pytest.mark.parametrize(
    ("scheme", "hazards", "sockets", "batch"),
    DESTROYING,
    ids=lambda value: "-".join(sorted(value)) if isinstance(value, set) else getattr(value, "name", str(value)),
)
def test_the_search_finds_what_every_destroying_sequence_finds(
    scheme: AnyScheme, hazards: set[Hazard], sockets: int, batch: int
) -> None:
    scope = Scope(sockets, 1 + ("rehash" in hazards), batch, 5)
    assert lengths(scheme, hazards, scope) == everything.shortest(scheme, frozenset(hazards), scope)


def test_with_removals_a_reader_that_destroys_adds_nothing() -> None:
    hazards: set[Hazard] = {"remove", "add-head"}
    assert (
        search(UdpDiag(), {*hazards, "destroying"}, Scope(3, 1, 1)).states
        == search(UdpDiag(), hazards, Scope(3, 1, 1)).states
    )


def test_a_dump_that_destroys_skips_from_the_third_message_on() -> None:
    [skip] = search(UdpDiag(), {"destroying"}, Scope(3, 1, 1)).violations
    assert skip.signature == NEAR[0]
    assert dumps(skip.case).splitlines()[3:] == [*("add A tail", "add B tail", "add C tail"), "open", "read all destroying"]


def test_a_message_of_all_sockets_destroys_all() -> None:
    assert lengths(UdpDiag(), {"destroying"}, Scope(3, 1, 3)) == {}


def test_two_dumps_that_destroy_leave_no_socket_alive_in_the_end() -> None:
    twice = reader_named("partial-destroying-twice")
    assert lengths(UdpDiag(), {"destroying"}, Scope(3, 1, 1), reader=twice) == {}


@pytest.mark.parametrize("name", ["whole-destroying", "partial-destroying", "partial-destroying-twice"])
def test_a_reader_that_destroys_finds_what_its_sequences_find(name: str) -> None:
    reader = reader_named(name)
    scope = Scope(3, 1, 1, 5)
    found = lengths(UdpDiag(), {"add-head"}, scope, reader=reader)
    assert found == everything.shortest(UdpDiag(), frozenset({"add-head"}), scope, reader=reader)
