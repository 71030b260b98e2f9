"""How walks over other tables than those of sockets keep their place: threads, tracked connections, ids of namespaces."""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.check.verify import verify
from sockiter.schemes import SCHEMES
from sockiter.schemes.conntrack import Conntrack, Place
from sockiter.schemes.listns import Listns
from sockiter.schemes.listns import State as ListnsState
from sockiter.schemes.one_by_one import State as OneByOneState
from sockiter.schemes.proc_unix import ProcUnix
from sockiter.schemes.threads import State, Threads
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named

FOUR = "add A tail\nadd B tail\nadd C tail\nadd D tail\nopen\n"


def delivered(target_name: str, text: str) -> list[str]:
    """The elements of each read."""
    case = loads(text)
    with (target := target_named(target_name)).session() as session:
        return ["".join(read.delivered) for read in run(session, target, case.operations, slots=case.slots).reads]


class TestThreads:
    @pytest.mark.parametrize(
        ("change", "reads"),
        [
            ("remove B", ["A", ""]),  # the next thread, to which the walk has stepped on
            ("remove A", ["A", "BCD", ""]),
            ("remove C", ["A", "BD", ""]),
            ("add E tail", ["A", "BCDE", ""]),
        ],
    )
    def test_a_change_between_two_reads(self, change: str, reads: list[str]) -> None:
        assert delivered("threads", f"{FOUR}read 1\n{change}\nread all") == reads

    def test_a_thread_that_exits_while_it_is_shown_ends_the_walk(self) -> None:
        assert delivered("threads", f"{FOUR}read all\n  at show 2: remove B") == ["A", ""]

    def test_goes_on_behind_its_last_thread_at_the_end(self) -> None:
        assert delivered("threads", f"{FOUR}read all\nadd E tail\nread 1") == ["ABCD", "", "E"]
        assert delivered("threads", f"{FOUR}read all\nremove D\nadd E tail\nread 1") == ["ABCD", "", ""]

    def test_begins_behind_the_leader_each_time_while_there_is_no_thread(self) -> None:
        assert delivered("threads", "open\nread 1\nadd A tail\nread all") == ["", "A", ""]

    def test_its_place_is_a_thread(self) -> None:
        places = [Threads().place(state) for state in (State(), State("A", is_next=True), State("A"))]
        assert places == ["behind the leader", "A", "behind A"]


class TestConntrack:
    @pytest.mark.parametrize(
        ("change", "reads"),
        [
            ("remove C", ["AB", "AB", "D", ""]),  # the first entry that was not sent: the bucket comes again
            ("remove A", ["AB", "CD", ""]),
            ("remove D", ["AB", "C", ""]),
            ("add E head", ["AB", "CD", ""]),
        ],
    )
    def test_a_change_between_two_messages(self, change: str, reads: list[str]) -> None:
        assert delivered("conntrack", f"batch 2\n{FOUR}{change}\nread all") == reads

    def test_the_first_entry_of_a_bucket_is_remembered_too(self) -> None:
        text = "batch 1\nadd A tail\nadd B tail in 1\nopen\nadd C head in 1\nread all"
        assert delivered("conntrack", text) == ["A", "B", ""]

    def test_its_place_is_a_bucket_and_an_entry(self) -> None:
        places = [Conntrack().place(OneByOneState(place)) for place in (Place(0, None), Place(2, "A"))]
        assert places == ["0:first", "2:A"]


class TestListns:
    @pytest.mark.parametrize("change", ["remove A", "remove B"])
    def test_goes_on_behind_the_last_id_even_if_its_namespace_is_gone(self, change: str) -> None:
        assert delivered("listns", f"{FOUR}read 2\n{change}\nread all") == ["AB", "CD", ""]

    def test_returns_new_namespaces_last(self) -> None:
        assert delivered("listns", f"{FOUR}read 2\nadd E tail\nread all") == ["AB", "CDE", ""]

    def test_the_loop_ends_at_the_first_end(self) -> None:
        assert delivered("listns", f"{FOUR}read 5\nadd E tail\nread all") == ["ABCD", ""]

    def test_its_place_is_an_id(self) -> None:
        states = (ListnsState(), ListnsState(7), ListnsState(ended=True))
        assert [Listns().place(state) for state in states] == ["first", "7", "-"]


def test_proc_unix_counts_the_sockets_of_a_bucket_as_its_dump_does() -> None:
    assert delivered("proc-unix", f"{FOUR}read 2\nremove A\nread all") == ["AB", "D", ""]
    assert SchemeTarget(ProcUnix()).features >= {"bytes"}


@pytest.mark.parametrize("name", ["listns", "map-batch"])
def test_searches_agree_on_one_list_and_on_calls_with_too_little_room(name: str) -> None:
    (scheme,) = (scheme for scheme in SCHEMES if scheme.name == name)
    assert verify(scheme).agrees
