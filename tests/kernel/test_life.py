"""The life of sockets on the running kernel: close, accept and destroy, where successors enter, and what the model says."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockiter.backend import refusal, run, shape_of
from sockiter.claims import Hazard
from sockiter.conform import Conformance
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.history import Shown
from sockiter.kernel import identify, probe
from sockiter.kernel.bpf.stops import Stop
from sockiter.kernel.iteration import Iteration
from sockiter.kernel.libc import unavailable
from sockiter.kernel.sockets import tcp
from sockiter.kernel.sockets.base import Sockets
from sockiter.kernel.sockets.peer import Peer
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.tcp import KERNEL_PROC_TCP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED
from sockiter.kernel.udp import KERNEL_PROC_UDP, KERNEL_UDP, KERNEL_UDP_DIAG
from sockiter.operations import (
    Accept,
    Add,
    At,
    Bucket,
    Close,
    Destroy,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
)
from sockiter.schemes import SCHEMES
from tests.kernel.test_iteration import Kernel
from tests.support.kernel_reads import ONE, at_show, begun
from tests.support.kernel_targets import here
from tests.support.lives import CONNECTIONS, DATAGRAMS, lives

SCHEME = {scheme.name: scheme for scheme in SCHEMES}
# Not the first bucket: `offset-tcp` skips it if nobody listens.
BUCKETS = (Bucket(1, "established"), Bucket(2, "established"))
BUCKET, OTHER = BUCKETS
WITH_CONNECTIONS = (KERNEL_TCP, KERNEL_TCP_ESTABLISHED)
ALL = Read(None)


@pytest.fixture(params=WITH_CONNECTIONS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> KernelTarget:
    return here(request.param)


@pytest.fixture
def session(target: KernelTarget) -> Iterator[KernelSession]:
    with target.session() as session:
        yield session


@pytest.fixture
def established() -> Iterator[KernelSession]:
    with here(KERNEL_TCP_ESTABLISHED).session() as session:
        yield session


@pytest.fixture
def udp() -> Iterator[KernelSession]:
    with here(KERNEL_UDP).session() as session:
        yield session


def requests(names: str) -> list[Operation]:
    return [Add(name, "head", BUCKET, ("request",)) for name in names]


def connections(names: str) -> list[Operation]:
    return [Add(name, "head", BUCKET) for name in names]


def order(session: KernelSession, *operations: Operation) -> str:
    """The names in the first bucket of the sequence that is not empty, after these operations."""
    state = begun(session, operations).state()
    assert state is not None
    return next(("".join(names) for names in state if names), "")


def succeeded(target: KernelTarget, hazard: str, names: str, name: str) -> str:
    """The order of these sockets after one of them was succeeded, on this kernel."""
    return names if hazard in target.in_place else name + names.replace(name, "")


# Successors


def test_a_closed_connection_stays_with_its_cookie_until_it_is_removed(target: KernelTarget, session: KernelSession) -> None:
    there = [*connections("CBA"), Open(), Close("B")]
    assert order(session, *there) == succeeded(target, "close", "ABC", "B")
    assert order(session, *there, Remove("B")) == "AC"
    assert order(session, *there, Destroy("B")) == "AC"
    assert order(session, *there, Destroy("A"), Destroy("B")) == "C"


def test_a_request_socket_becomes_a_connection_with_its_cookie(target: KernelTarget, session: KernelSession) -> None:
    there = [*requests("CBA"), Open()]
    assert order(session, *there) == "ABC"
    accepted = [*there, Accept("B")]
    assert order(session, *accepted) == succeeded(target, "accept", "ABC", "B")
    # An accepted connection is one as any other.
    assert order(session, *accepted, Reinsert("C", "head"), Reinsert("B", "head")) == "BCA" if target.in_place else "BAC"
    for removed in (Remove("B"), Destroy("B")):
        assert order(session, *accepted, removed) == "AC"
    assert set(order(session, *accepted, Close("B"))) == set("ABC")
    assert order(session, *accepted, Close("B"), Destroy("B")) == "AC"


def test_a_request_socket_leaves_when_its_peer_resets_it_or_when_it_is_destroyed(session: KernelSession) -> None:
    assert order(session, *requests("CBA"), Open(), Remove("A"), Destroy("C")) == "B"


def test_a_life_before_open_ends_in_the_same_table(target: KernelTarget, session: KernelSession) -> None:
    before = [*connections("DC"), *requests("BA"), Close("D"), Accept("B"), Destroy("C"), Open()]
    expected = succeeded(target, "close", "ABCD", "D")
    assert order(session, *before) == succeeded(target, "accept", expected, "B").replace("C", "")


def test_an_iteration_leaves_no_entry_to_the_next(established: KernelSession) -> None:
    for _ in range(3):
        names = [f"s{n}" for n in range(20)]
        there: list[Operation] = [Add(name, "head", BUCKET, ("request",) if n % 2 else ()) for n, name in enumerate(names)]
        closed: list[Operation] = [Close(name) for name in names[::2]]
        accepted: list[Operation] = [Accept(name) for name in names[1::4]]
        backend = begun(established, [*there, Open(), *closed, *accepted])
        assert sorted(name for bucket in backend.state() or () for name in bucket) == sorted(names)
        backend.close()
        lines = [
            line for name in ("tcp", "tcp6") for line in Path("/proc/thread-self/net", name).read_text().splitlines()[1:]
        ]
        assert lines == []


def test_an_accepted_connection_moves_between_the_tables_as_others_do() -> None:
    with here(KERNEL_TCP).session() as session:
        there: list[Operation] = [Add("L", "head", Bucket(5)), Add("A", "head", BUCKET, ("request",)), Open(), Accept("A")]
        moves: list[Operation] = [Rehash("A", Bucket(5)), Rehash("A", OTHER), Rehash("L", OTHER)]
        assert (begun(session, [*there, *moves]).state() or ())[-1] == ("L", "A")


def test_the_mark_of_a_request_socket_goes_to_its_successors(target: KernelTarget, session: KernelSession) -> None:
    if "unwanted" not in target.features:
        pytest.skip("no program runs for its sockets")
    there = [Add("B", "head", BUCKET, ("unwanted", "request")), *requests("A"), *connections("L"), Open()]
    lives_of_b: tuple[list[Operation], ...] = ([], [Accept("B")], [Accept("B"), Close("B"), Accept("A")])
    for changes in lives_of_b:
        reads = run(session, target, [*there, *changes, ALL]).reads
        assert sorted(name for read in reads for name in read.delivered) == ["A", "L"]


def test_a_destroying_program_does_not_meet_what_is_no_socket(established: KernelSession) -> None:
    target = KERNEL_TCP_ESTABLISHED
    if "destroying" not in target.hazards:
        pytest.skip(target.unable["destroying"])
    destroying = Read(None, destroying=True)
    message = "a program cannot destroy request sockets and connections in TIME_WAIT"
    for before in ([*requests("A"), Open()], [*connections("A"), Open(), Close("A")]):
        with pytest.raises(Inconclusive, match=message):
            run(established, target, [*before, destroying])
    if "show" in target.hazards:
        for change in (Close("A"), Add("C", "head", BUCKET, ("request",))):
            inside = Read(None, (At("show", 1, change),), destroying=True)
            with pytest.raises(Inconclusive, match=message):
                run(established, target, [*connections("AB"), Open(), inside])
    run(established, target, [*requests("A"), Open(), Accept("A"), destroying])


# Findings: what a reader of a few records sees


def test_a_closed_connection_is_skipped_or_others_are_repeated_as_the_model_says(established: KernelSession) -> None:
    target = KERNEL_TCP_ESTABLISHED
    scheme = SCHEME[target.detected_scheme or ""]
    conformance = Conformance(target, established, scheme, in_place=target.in_place)
    for sequence in (
        [*connections("AB"), Open(), ONE, Close("A"), ALL],
        [*connections("ABC"), Open(), ONE, Close("A"), ALL],
        [*requests("AB"), Open(), ONE, Accept("A"), ALL],
        [*requests("ABC"), Open(), ONE, Accept("A"), ALL],
    ):
        assert conformance.compare(tuple(sequence), 16) is None
    if scheme.name == "cookie-tcp" and "close" not in target.in_place:
        repeated = run(established, target, (*connections("AB"), Open(), ONE, Close("A"), ALL)).reads
        assert ["".join(read.delivered) for read in repeated] == ["B", "AB", ""]
        skipped = run(established, target, (*connections("ABC"), Open(), ONE, Close("A"), ALL)).reads
        assert ["".join(read.delivered) for read in skipped] == ["C", "B", ""]


def test_a_connection_that_is_closed_while_the_iterator_holds_it_is_not_shown(established: KernelSession) -> None:
    target = KERNEL_TCP_ESTABLISHED
    if "show" not in target.hazards:
        pytest.skip(target.unable["show"])
    history = run(established, target, (*connections("BA"), Open(), at_show(1, Close("B"))))
    assert [event.name for event in history.events if isinstance(event, Shown)] == ["A"]


# The kernel and the model, compared


def compared(target: KernelTarget, session: KernelSession, sequences: Iterator[tuple[Operation, ...]], count: int) -> int:
    """Compare so many sequences with the model of the detected scheme; return the number of those that could be run."""
    scheme = SCHEME[target.detected_scheme or ""]
    conformance = Conformance(target, session, scheme, in_place=target.in_place)
    done = 0
    for _, operations in zip(range(count), sequences, strict=False):
        try:
            difference = conformance.compare(operations, 16)
        except Inconclusive:
            continue
        assert difference is None, difference
        done += 1
    return done


def random_lives(target: KernelTarget, seed: int, *, inside: bool = False) -> Iterator[tuple[Operation, ...]]:
    inside = inside and "show" in target.hazards
    if target is KERNEL_UDP:
        return lives(seed, (Bucket(0), Bucket(1)), DATAGRAMS, "bound", inside=inside)
    buckets = (*BUCKETS, Bucket(0, "listening")) if target is KERNEL_TCP else BUCKETS
    return lives(seed, buckets, CONNECTIONS, "request", inside=inside)


COMPARED = pytest.mark.parametrize("compared_target", [KERNEL_TCP_ESTABLISHED, KERNEL_TCP, KERNEL_UDP], ids=lambda t: t.name)


@COMPARED
def test_the_kernel_delivers_what_its_scheme_does_whatever_becomes_of_sockets(compared_target: KernelTarget) -> None:
    target = here(compared_target)
    with target.session() as session:
        assert compared(target, session, random_lives(target, 7), 60) > 50
        assert compared(target, session, random_lives(target, 8, inside=True), 40) > 20


@pytest.mark.slow
@COMPARED
def test_the_kernel_delivers_what_its_scheme_does_in_thousands_of_sequences(compared_target: KernelTarget) -> None:
    target = here(compared_target)
    with target.session() as session:
        assert compared(target, session, random_lives(target, 17), 2000) > 1900
        assert compared(target, session, random_lives(target, 18, inside=True), 1000) > 600


@pytest.mark.parametrize("moved", [False, True])
def test_a_bound_udp_socket_survives_a_program_that_destroys_what_it_shows(moved: bool, udp: KernelSession) -> None:
    if "destroying" not in KERNEL_UDP.hazards:
        pytest.skip(KERNEL_UDP.unable["destroying"])
    moves: list[Operation] = [Rehash("A", Bucket(1))] if moved else []
    there = [Add("A", "tail", Bucket(0), ("bound",)), Add("B", "tail"), *moves, Open(), Read(1, destroying=True)]
    scheme = SCHEME[KERNEL_UDP.detected_scheme or ""]
    conformance = Conformance(KERNEL_UDP, udp, scheme)
    assert conformance.compare((*there, Read(1, destroying=True), Rehash("A", Bucket(1)), ALL), 16) is None


# Destroyed UDP sockets


@pytest.mark.parametrize("name", ["kernel:udp", "kernel:proc-udp", "kernel:udp-diag", "kernel:proc-tcp"])
def test_a_destroyed_socket_leaves(name: str) -> None:
    target = here({t.name: t for t in (KERNEL_UDP, KERNEL_PROC_UDP, KERNEL_UDP_DIAG, KERNEL_PROC_TCP)}[name])
    if "destroy" not in target.hazards:
        pytest.skip(target.unable["destroy"])
    with target.session() as session:
        assert order(session, Add("C", "head"), Add("B", "head"), Add("A", "head"), Open(), Destroy("B")) == "AC"


@pytest.mark.parametrize(
    ("changes", "home", "elsewhere"),
    [
        ([Destroy("A")], "BA", ""),
        ([Rehash("A", Bucket(1))], "B", "A"),
        ([Rehash("A", Bucket(1)), Destroy("A")], "AB", ""),
        ([Rehash("A", Bucket(1)), Destroy("A"), Rehash("A", Bucket(1))], "B", "A"),
        ([Rehash("A", Bucket(1)), Rehash("A", Bucket(0))], "AB", ""),
        ([Rehash("A", Bucket(1)), Rehash("A", Bucket(2)), Destroy("A"), Destroy("A")], "AB", ""),
    ],
)
@pytest.mark.parametrize("before", [False, True], ids=["after open", "before open"])
def test_a_udp_socket_that_is_bound_by_number_survives_and_returns_to_its_port(
    changes: list[Operation], home: str, elsewhere: str, before: bool, udp: KernelSession
) -> None:
    there = [Add("A", "head", Bucket(0), ("bound",)), Add("B", "head"), Add("Z", "head", Bucket(2))]
    operations = [*there, *changes, Open()] if before else [*there, Open(), *changes]
    state = begun(udp, operations).state()
    assert state is not None
    assert ("".join(state[0]), "".join(state[1])) == (home, elsewhere)


def test_a_bound_udp_socket_goes_to_the_end_that_it_was_added_to(udp: KernelSession) -> None:
    first: list[Operation] = [Add("A", "head", Bucket(0), ("bound",)), Open(), Add("T", "tail", Bucket(0), ("bound",))]
    assert order(udp, *first, Add("H", "head", Bucket(0), ("bound",))) == "HAT"


# What a kernel or a process lacks


@contextmanager
def probed_anew() -> Iterator[None]:
    probe.forget()
    try:
        yield
    finally:
        probe.forget()


def test_without_packets_nothing_is_closed_or_accepted_and_all_else_works(monkeypatch: pytest.MonkeyPatch) -> None:
    here(KERNEL_TCP_ESTABLISHED)

    @contextmanager
    def no_peer() -> Iterator[Peer]:
        raise unavailable("a raw socket", OSError(errno.EPERM, ""), takes="CAP_NET_RAW")
        yield  # type: ignore[unreachable]

    monkeypatch.setattr("sockiter.kernel.tcp.a_peer", no_peer)
    with probed_anew():
        target = here(KERNEL_TCP_ESTABLISHED)
        assert {"close", "accept"} & target.hazards == set()
        assert target.unable["close"].startswith("the peer of a connection needs packets: a raw socket: EPERM")
        with target.session() as session:
            assert order(session, *connections("CBA"), Open(), Remove("A"), Remove("B")) == "C"
            with pytest.raises(Unavailable, match="a raw socket: EPERM"):
                order(session, *requests("A"), Open())


def test_without_sock_destroy_the_program_destroys(monkeypatch: pytest.MonkeyPatch) -> None:
    here(KERNEL_TCP)
    monkeypatch.setattr(Peer, "_can_destroy", lambda _: False)
    with probed_anew():
        target = here(KERNEL_TCP)
        if "destroy" not in target.hazards:
            pytest.skip(target.unable["destroy"])
        with target.session() as session:
            there = [Add("L", "head", Bucket(3)), *connections("BA"), Open()]
            assert order(session, *there, Destroy("L"), Destroy("A")) == "B"
            assert begun(session, there)._elements.destroys_by_walk  # type: ignore[attr-defined]


def test_without_any_way_to_destroy_the_reason_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    here(KERNEL_TCP)
    here(KERNEL_UDP)

    def refuse(*_: object) -> None:
        raise Unavailable("no bpf_sock_destroy")

    monkeypatch.setattr(Peer, "_can_destroy", lambda _: False)
    monkeypatch.setattr("sockiter.kernel.tcp.load_destroyer", refuse)
    monkeypatch.setattr("sockiter.kernel.udp.load_destroyer", refuse)
    with probed_anew():
        assert (
            KERNEL_TCP.unable["destroy"] == "this kernel has neither SOCK_DESTROY nor bpf_sock_destroy: no bpf_sock_destroy"
        )
        assert KERNEL_UDP.unable["destroy"].endswith("can only be destroyed by bpf_sock_destroy: no bpf_sock_destroy")


def test_where_time_wait_cannot_be_destroyed_it_is_reset(
    established: KernelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "")

    backend = begun(established, [*connections("BA"), Open(), Close("A")])
    monkeypatch.setattr(Peer, "destroy", refuse)
    backend.apply(Destroy("A"))
    assert [names for names in backend.state() or () if names] == [("B",)]


def test_a_destroyer_that_does_not_meet_its_socket_says_so(udp: KernelSession) -> None:
    sockets: Any = begun(udp, [Add("A", "head"), Open()])._elements  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"^bpf_sock_destroy: a walk for this purpose did not meet the socket$"):
        sockets._destroyer(1 << 60)


def test_a_request_socket_that_may_have_timed_out_makes_a_result_inconclusive(
    established: KernelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_REQUEST_S", -1.0)
    backend = begun(established, [*requests("A"), Open()])
    for operation in (ONE, Accept("A")):
        with pytest.raises(TooBusy, match="may have timed out"):
            backend.apply(operation)
    backend.close()


def test_a_request_that_sock_diag_does_not_find_is_reported(
    established: KernelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = begun(established, [*requests("A"), Open()])
    monkeypatch.setattr(Peer, "cookie_of", lambda *_: None)
    with pytest.raises(Unavailable, match=r"^sock_diag does not find a request socket$"):
        backend.apply(Add("B", "head", BUCKET, ("request",)))
    monkeypatch.undo()
    backend.close()


def test_a_connection_that_does_not_end_is_reported(established: KernelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = begun(established, [*connections("A"), Open()])
    monkeypatch.setattr(tcp, "hung_up", lambda _: False)
    with pytest.raises(Unavailable, match=r"^a connection goes on after its last packet$"):
        backend.apply(Close("A"))
    monkeypatch.undo()


# Detection


class Walked:
    """A backend whose table looks like this after any operations."""

    def __init__(self, state: tuple[tuple[str, ...], ...] | None) -> None:
        self._state = state
        self.closed = 0

    def apply(self, operation: Operation) -> None:
        """Nothing changes."""

    def state(self) -> tuple[tuple[str, ...], ...] | None:
        return self._state

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("state", "is_in_place"), [((("A", "B", "C"),), True), (((), ("B", "A", "C")), False)])
@pytest.mark.parametrize("hazard", ["close", "accept"])
def test_where_a_successor_is_decides(hazard: Any, state: Any, is_in_place: bool) -> None:
    backend: Any = Walked(state)
    assert identify.is_in_place(lambda _: backend, hazard, "established") == is_in_place
    assert backend.closed == 1


def test_a_successor_in_no_known_place_is_not_detected() -> None:
    for state, what in (((("A", "C", "B"),), "ACB"), (None, "nothing")):
        backend: Any = Walked(state)
        begin: Any = lambda _, backend=backend: backend  # noqa: E731
        with pytest.raises(Inconclusive, match=f"^after close of the second of three sockets, a walk returned {what}$"):
            identify.is_in_place(begin, "close", "")
    backend = Walked((("A", "B"),))
    with pytest.raises(Inconclusive, match=r"^after destroying the first of two sockets, a walk returned AB$"):
        identify.leaves(lambda _: backend, "")


def test_what_fails_when_it_is_tried_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    here(KERNEL_TCP_ESTABLISHED)

    def fail(*_: object) -> None:
        raise Inconclusive("it was not there")

    monkeypatch.setattr("sockiter.kernel.target.is_in_place", fail)
    monkeypatch.setattr("sockiter.kernel.target.leaves", fail)
    with probed_anew():
        target = here(KERNEL_TCP_ESTABLISHED)
        assert {target.unable[hazard] for hazard in ("close", "accept", "destroy")} == {"it was not there"}


def test_successors_that_enter_in_place_are_a_property_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    here(KERNEL_TCP_ESTABLISHED)
    monkeypatch.setattr("sockiter.kernel.target.is_in_place", lambda *_: True)
    with probed_anew():
        assert here(KERNEL_TCP_ESTABLISHED).in_place == {"close", "accept"}


@pytest.mark.parametrize(("in_place", "order"), [(frozenset(), ("B", "A")), (frozenset({"close"}), ("A", "B"))])
def test_a_connection_that_closes_before_open_is_where_this_kernel_puts_its_successor(
    in_place: frozenset[Hazard], order: tuple[str, ...]
) -> None:
    kernel: Any = Kernel()
    iteration = Iteration("kernel:any", kernel, kernel, [Bucket(0)], None, destroys=False, in_place=in_place)
    for operation in (Add("B", "head"), Add("A", "head"), Close("B")):
        iteration.apply(operation)
    assert iteration.state() == (order,)


# The object that the iterator holds, with simulated answers of the kernel


def held(small: Any, *changes: Any, now: Any = None, then: str = "", calls: bool = False) -> list[str]:
    """The events of a read that stops at the show of A, which the iterator holds as this object, or its `calls`.

    By then A is the object `now`; the read returns `then`.
    """
    kernel: Any = Kernel()
    kernel.at_entry = True
    kernel.small = lambda _: now
    kernel.finish = lambda name: kernel.calls.append(f"finish {name}")
    kernel.destroy = lambda what: kernel.calls.append(f"destroyed {what}" if what == 1 else f"destroy {what}")
    iteration = Iteration("kernel:any", kernel, kernel, [Bucket(0)], kernel, destroys=True)
    for operation in (Add("A", "head"), Open()):
        iteration.apply(operation)
    kernel.stops = [Stop("show", 1, 1, small=small)]
    kernel.reads = [list(then)]
    kernel.calls.clear()
    iteration.apply(at_show(1, *changes, count=1))
    if calls:
        return [call for call in kernel.calls if call.split()[0] in ("destroyed", "destroy", "remove")][:1]
    return [type(event).__name__ for event in iteration.history.events]


def test_a_turn_counts_if_the_iterator_holds_what_is_in_the_table() -> None:
    assert held(None, Add("B", "head"), then="A") == ["Add", "Shown", "Returned"]
    assert held("TIME_WAIT", Add("B", "head"), now="TIME_WAIT", then="A") == ["Add", "Shown", "Returned"]
    # The iterator holds a predecessor.
    assert held(None, Close("A"), now="TIME_WAIT") == ["Close", "Returned"]
    assert held("request", Add("B", "head")) == ["Add", "Returned"]


def test_the_program_destroys_whole_sockets_only() -> None:
    """Other objects are destroyed by another call, and a socket that is bound by number stays."""
    assert held(None, Destroy("A"), calls=True) == ["destroyed 1"]
    assert held("TIME_WAIT", Destroy("A"), now="TIME_WAIT", calls=True) == ["destroy A"]
    assert held("request", Remove("A"), now="request", calls=True) == ["remove A"]


def test_nothing_is_destroyed_by_a_walk_while_the_kernel_holds_a_lock() -> None:
    kernel: Any = Kernel()
    kernel.destroys_by_walk = True
    iteration = Iteration("kernel:any", kernel, kernel, [Bucket(0)], kernel, destroys=True)
    for operation in (Add("B", "head"), Add("A", "head"), Open()):
        iteration.apply(operation)
    kernel.stops = [Stop("show", 1, 2)]
    message = "holds the lock of socket A while it is shown, and destroying B takes a walk"
    with pytest.raises(Inconclusive, match=message):
        iteration.apply(at_show(1, Destroy("B")))


def test_kinds_without_connections_have_no_such_calls() -> None:
    class Plain(Sockets):
        def _new(self) -> Any: ...
        def _put(self, *_: object) -> None: ...
        def _take(self, *_: object) -> None: ...

    anywhere: Any = None
    plain = Plain(anywhere)
    calls: Sequence[Any] = (
        lambda: plain.add_request("A", BUCKET),
        lambda: plain.finish("A"),
        lambda: plain.accept("A"),
        lambda: plain.prepare_requests(1),
        lambda: plain._put_bound(anywhere, BUCKET, "head"),
        lambda: plain._destroy(anywhere, BUCKET),
    )
    for call in calls:
        with pytest.raises(NotImplementedError):
            call()
    assert plain.small("A") is None
    assert not plain.connects(BUCKET)
    assert shape_of([Add("A", "head", BUCKET)]).buckets[-1] == ("established", 2)


@pytest.mark.parametrize("target", [KERNEL_UDP, KERNEL_PROC_UDP, KERNEL_PROC_TCP], ids=lambda target: target.name)
def test_a_target_that_closes_no_connection_refuses_one_above_open_as_well(target: KernelTarget) -> None:
    operations = (Add("A", "head", Bucket(0, target.tables[-1])), Close("A"), Open(), ALL)
    why = refusal(here(target), operations, shape_of(operations))
    assert why is not None
    assert (why.kind, why.hazards) == ("hazard", ("close",))
