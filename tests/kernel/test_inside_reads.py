"""Changes inside a read of the running kernel's iterators.

The tests cover their execution while a read is stopped, their order in the history, and the limits of this kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest

from sockiter.backend import Backend
from sockiter.errors import Inconclusive, Unavailable
from sockiter.history import Event, Returned, Shown
from sockiter.kernel import KERNEL_TARGETS, probe
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.operations import Add, At, Bucket, Change, Fail, Open, Operation, Read, Rehash, Reinsert, Remove
from tests.support.kernel_reads import ONE, adds, at_show, begun
from tests.support.kernel_targets import here

BPF = [target for target in KERNEL_TARGETS if "show" in target.offers]
ABC = adds("CBA", "head")  # in the order of the walk: A, B, C


@pytest.fixture(params=BPF, ids=lambda target: target.name)
def kernel_target(request: pytest.FixtureRequest) -> KernelTarget:
    target: KernelTarget = here(request.param)
    if "show" not in target.hazards:
        pytest.skip(f"{target.name}: {target.unable['show']}")
    return target


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as session:
        yield session


def tells(target: KernelTarget) -> bool:
    """Whether this kernel's functions can be watched, so that turns of removed sockets are known."""
    return "realloc" in target.hazards


def happened(session: KernelSession, *operations: Operation) -> list[Event]:
    return list(begun(session, operations).history.events)


def inconclusive(session: KernelSession, *operations: Operation) -> str:
    """The reason for an inconclusive result; the session stays usable."""
    with pytest.raises(Inconclusive) as caught:
        begun(session, operations)
    assert happened(session, *ABC, Open(), ONE) == [Shown("A"), Returned(("A",))]
    return str(caught.value)


def test_a_change_at_a_show_stands_before_that_turn_and_behind_the_one_before(session: KernelSession) -> None:
    new = Add("D", "head")
    assert happened(session, *ABC, Open(), at_show(2, new)) == [
        Shown("A"),
        new,
        Shown("B"),
        Shown("C"),
        Returned(("A", "B", "C")),
        Returned(()),
    ]


def test_changes_at_one_show_happen_in_their_order(session: KernelSession) -> None:
    new: list[Change] = [Add("D", "head"), Add("E", "head"), Remove("D")]
    backend = begun(session, [*ABC, Open(), at_show(1, *new)])
    assert backend.history.events[:4] == [*new, Shown("A")]
    assert backend.state() == (("E", "A", "B", "C"),)


def test_changes_at_several_shows_of_one_read_happen_each_at_its_own(session: KernelSession) -> None:
    read = Read(None, (At("show", 3, Add("F", "head")), At("show", 1, Add("D", "head")), At("show", 2, Add("E", "head"))))
    events = happened(session, *ABC, Open(), read)
    assert events[:6] == [Add("D", "head"), Shown("A"), Add("E", "head"), Shown("B"), Add("F", "head"), Shown("C")]


def test_shows_are_counted_from_the_beginning_of_each_read(kernel_target: KernelTarget, session: KernelSession) -> None:
    there = [*adds("A", "head"), *adds("CB", "head", 2)]
    if kernel_target.detected_scheme == "unix":  # which loses the bucket that a read stops before
        there += adds("L", "head", 1)
    reads = [at_show(1, Add("D", "head"), count=1), at_show(2, Add("E", "head"), count=2)]
    assert happened(session, *there, Open(), *reads) == [
        Add("D", "head"),
        Shown("A"),
        Returned(("A",)),
        Shown("B"),
        Add("E", "head"),
        Shown("C"),
        Returned(("B", "C")),
    ]


def test_what_stands_behind_the_last_show_happens_at_the_end_of_the_read(session: KernelSession) -> None:
    late = Add("D", "head")
    assert happened(session, *ABC, Open(), at_show(3, late, count=2)) == [Shown("A"), Shown("B"), Returned(("A", "B")), late]
    assert happened(session, *ABC, Open(), at_show(9, late))[-1] == late


def test_an_unseen_socket_that_goes_at_the_turn_of_another_is_not_delivered(session: KernelSession) -> None:
    gone = Remove("C")
    assert happened(session, *ABC, Open(), at_show(1, gone)) == [
        gone,
        Shown("A"),
        Shown("B"),
        Returned(("A", "B")),
        Returned(()),
    ]


def test_a_seen_socket_that_goes_at_the_turn_of_another_hides_none(session: KernelSession) -> None:
    backend = begun(session, [*ABC, Open(), at_show(2, Remove("A"))])
    assert [read.delivered for read in backend.history.reads] == [("A", "B", "C"), ()]
    assert backend.state() == (("B", "C"),)


def test_a_socket_that_is_gone_already_does_nothing_a_second_time(session: KernelSession) -> None:
    # Points are reached in another order than the one they are written in.
    read = Read(None, (At("show", 2, Add("D", "head")), At("show", 1, Remove("D"))))
    assert Remove("D") not in happened(session, *ABC, Open(), read)
    twice = Read(1, (At("show", 1, Remove("C")), At("show", 2, Remove("C"))))
    if tells(KERNEL_UDP):
        assert happened(session, *ABC, Open(), twice).count(Remove("C")) == 1


def test_a_move_to_where_a_socket_is_already_is_none_inside_a_read_either(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if "rehash" not in kernel_target.hazards:
        pytest.skip(kernel_target.unable["rehash"])
    assert happened(session, *ABC, Open(), at_show(1, Rehash("B", Bucket(0)), count=1)) == [Shown("A"), Returned(("A",))]


def test_others_can_be_put_in_again_and_moved_while_one_is_shown(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if "rehash" not in kernel_target.hazards:
        pytest.skip(kernel_target.unable["rehash"])
    backend = begun(
        session, [*ABC, *adds("D", "head", 1), Open(), at_show(1, Reinsert("C", "head"), Rehash("B", Bucket(1)))]
    )
    assert backend.history.events[:3] == [Reinsert("C", "head"), Rehash("B", Bucket(1)), Shown("A")]
    assert backend.state() == (("C", "A"), ("B", "D"))


# The very socket that is shown


def test_the_very_socket_that_is_shown_is_destroyed_by_the_program_that_is_run_for_it(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if not session.setup.destroys:
        assert inconclusive(session, *ABC, Open(), at_show(2, Remove("B"))).endswith(
            "holds the lock of socket B while it is shown"
        )
        return
    gone = Remove("B")
    backend = begun(session, [*ABC, Open(), at_show(2, gone)])
    assert backend.history.events == [Shown("A"), gone, Shown("C"), Returned(("A", "C")), Returned(())]
    assert backend.state() == (("A", "C"),)


def test_the_first_socket_and_the_last_one_can_be_destroyed_at_their_turns(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if not session.setup.destroys:
        pytest.skip("a socket of this kind cannot be destroyed by a program")
    assert happened(session, *ABC, Open(), at_show(1, Remove("A"), count=1)) == [Remove("A"), Shown("B"), Returned(("B",))]
    assert happened(session, *ABC, Open(), at_show(3, Remove("C")))[-3:] == [Remove("C"), Returned(("A", "B")), Returned(())]


def test_all_sockets_can_be_destroyed_one_by_one(kernel_target: KernelTarget, session: KernelSession) -> None:
    if not session.setup.destroys:
        pytest.skip("a socket of this kind cannot be destroyed by a program")
    # Each destroyed one's turn was counted by the program.
    read = Read(None, tuple(At("show", n + 1, Remove(name)) for n, name in enumerate("ABC")))
    assert happened(session, *ABC, Open(), read) == [Remove("A"), Remove("B"), Remove("C"), Returned(())]


# Inconclusive results on this kernel


def test_the_turn_of_a_socket_that_is_gone_is_reported_where_functions_are_watched(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    read = Read(None, (At("show", 1, Remove("B")), At("show", 3, Add("D", "head"))))
    if tells(kernel_target):
        assert Add("D", "head") in happened(session, *ABC, Open(), read)
    else:
        message = "this kernel does not report the turn of a removed socket: B"
        assert inconclusive(session, *ABC, Open(), read) == f"{kernel_target.name}: {message}"


def test_so_it_is_not_where_no_turn_comes_any_more(kernel_target: KernelTarget, session: KernelSession) -> None:
    read = Read(1, (At("show", 1, Remove("B")), At("show", 3, Add("D", "head"))))
    if not tells(kernel_target):
        assert "the turn of a removed socket: B" in inconclusive(session, *ABC, Open(), read)


def test_the_very_socket_that_is_shown_cannot_be_moved_where_its_lock_is_held(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if "reinsert" not in kernel_target.hazards:
        pytest.skip(kernel_target.unable["reinsert"])
    operations = [*ABC, Open(), at_show(2, Reinsert("B", "head"))]
    if tells(kernel_target):
        assert Reinsert("B", "head") in happened(session, *operations)
    else:
        message = "this kernel holds the lock of socket B while it is shown"
        assert inconclusive(session, *operations) == f"{kernel_target.name}: {message}"


def test_a_growing_batch_is_a_hazard_where_functions_are_watched(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    crowd = adds([f"s{n}" for n in range(20)], "head")
    operations: Sequence[Operation] = [*crowd, Open(), Read(None, (At("realloc", 1, Add("D", "head")),))]
    if tells(kernel_target):
        assert Add("D", "head") in happened(session, *operations)
    else:
        assert kernel_target.unable["realloc"].startswith(
            "functions of this kernel cannot be traced: bpf(BPF_PROG_LOAD) for "
        )


def test_an_allocation_fails_on_purpose_on_a_kernel_that_was_built_for_it(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    if "enomem" in kernel_target.hazards:
        crowd = adds([f"s{n}" for n in range(20)], "head")
        backend = begun(session, [*crowd, Open(), Read(None, (At("realloc", 1, Fail()),))])
        returned = backend.history.reads
        assert returned[0].error == "ENOMEM" or len(returned[0].delivered) == 16
    else:
        assert kernel_target.unable["enomem"]


# Machines


@pytest.mark.usefixtures("kernel_udp")
def test_with_one_processor_no_read_can_be_stopped_and_the_reason_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    probe.forget()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    try:
        assert KERNEL_UDP.missing() is None
        assert KERNEL_UDP.hazards == {"add-head", "add-tail", "remove", "reinsert", "rehash", "destroy", "destroying"}
        assert {KERNEL_UDP.unable[hazard] for hazard in ("show", "realloc", "enomem")} == {
            "a read cannot be stopped, which requires Linux 6.9 or later: "
            "stopping a read requires two processors; there is one"
        }
        with KERNEL_UDP.session() as session:
            backend = begun(session, [*ABC, Open(), ONE])
            assert backend.history.events[-1] == Returned(("A",))
            with pytest.raises(Unavailable, match=r"^kernel:udp does not support changes inside a read here$"):
                backend.apply(at_show(1, Add("D", "head")))
    finally:
        probe.forget()


def test_a_stopped_read_leaves_the_thread_where_it_may_run(session: KernelSession) -> None:
    before = os.sched_getaffinity(0)
    backend: Backend = begun(session, [*ABC, Open(), at_show(2, Add("D", "head"))])
    backend.close()
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    "target", [target for target in KERNEL_TARGETS if "show" not in target.offers], ids=lambda target: target.name
)
def test_a_walk_that_cannot_be_stopped_has_a_reason(target: KernelTarget) -> None:
    assert "show" not in target.hazards
    assert target.unable["show"]
