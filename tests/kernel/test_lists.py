"""Packet sockets and ids of peer namespaces: the lists, their dumps, and the dumps of real clients."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel import netlink, peers
from sockiter.kernel.diag import PACKET_COOKIE_AT, packet_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private, where
from sockiter.kernel.nsid import KERNEL_NSID
from sockiter.kernel.packet import KERNEL_PACKET_DIAG
from sockiter.kernel.peers import Ids, Peers, kept_peers
from sockiter.kernel.sockets import packet
from sockiter.kernel.sockets.base import Socket
from sockiter.kernel.sockets.packet import Closers, PacketSockets, attach_filter, closing_threads
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.operations import Bucket, End, Open, Operation, Read, Remove
from tests.support.kernel_reads import adds, begun, open_files
from tests.support.kernel_targets import here


def of(*targets: KernelTarget) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kernel_target", targets, ids=lambda target: target.name, indirect=True)


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as begun_session:
        yield begun_session


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    here(KERNEL_PACKET_DIAG)
    with private() as made:
        yield made


def client(program: str, *arguments: str) -> list[str]:
    """The lines that a client of iproute2 prints, in the calling thread's network namespace."""
    if (path := shutil.which(program)) is None:
        pytest.skip(f"there is no {program} of iproute2")
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


# Packet sockets


@of(KERNEL_PACKET_DIAG)
def test_packet_sockets_are_in_the_order_of_their_beginnings(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations: list[Operation] = [*adds("AB", "head"), *adds("C", "tail"), Open(), Remove("A"), *adds("D", "tail")]
    assert begun(session, operations).state() == (("B", "C", "D"),)


@of(KERNEL_PACKET_DIAG)
def test_a_packet_dump_has_messages_of_as_many_records_as_the_case_has_slots(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    least = kernel_target.message_records
    assert 1 < least < 16
    assert [kernel_target.message_of(slots) for slots in (1, least, 16, 30)] == [least, least, 16, 30]
    there = [*adds([f"s{n}" for n in range(40)], "tail"), Open(), Read(None)]
    for slots in (1, 16, 30):
        history = run(session, kernel_target, there, slots=slots)
        message = kernel_target.message_of(slots)
        assert len(history.reads[0].delivered) == message
        assert len(history.reads[1].delivered) == min(message, 40 - message)


@of(KERNEL_PACKET_DIAG)
def test_packet_sockets_leave_nothing_behind(kernel_target: KernelTarget) -> None:
    before, there = open_files(), where()
    with kernel_target.session() as session:
        begun(session, [*adds("ABC", "tail"), Open(), Remove("B")])
    assert (open_files(), where()) == (before, there)


def test_ss_shows_the_packet_sockets_that_are_there(namespace: Namespace) -> None:
    open_sockets = [Socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(3)]
    try:
        assert sum("p_raw" in line for line in client("ss", "-0", "-n")) == 3
    finally:
        for sock in open_sockets:
            sock.close()


@pytest.mark.parametrize(("instructions", "shown"), [(60, 3), (600, 1)])
def test_known_a_packet_socket_whose_record_is_larger_than_a_message_hides_all_behind_it(
    namespace: Namespace, instructions: int, shown: int
) -> None:
    open_sockets = [Socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(3)]
    try:
        attach_filter(open_sockets[1], instructions)
        reader = DiagWalk(packet_request(), PACKET_COOKIE_AT).open()
        try:
            found: list[int] = []
            while more := reader.read(9):
                found += more
        finally:
            reader.close()
        assert len(found) == shown
    finally:
        for sock in open_sockets:
            sock.close()


def test_a_closing_socket_is_awaited_until_it_has_left_the_list(namespace: Namespace) -> None:
    class AtOnce(Closers):
        def __init__(self) -> None:
            pass

        def close(self, sock: Socket) -> None:
            sock.close()

    asked: list[int] = []

    def listed() -> list[int]:
        asked.append(1)
        return [number] if len(asked) < 3 else []

    sockets = PacketSockets(namespace, AtOnce(), listed)
    number = sockets.add("A", "tail", Bucket())
    sockets.remove("A")
    assert (len(asked), len(sockets)) == (3, 0)
    sockets.close()
    sockets.close()


def test_a_packet_socket_that_does_not_leave_the_list_is_not_awaited_for_ever(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packet, "_PATIENCE_S", -1.0)
    with closing_threads() as closers:
        sockets = PacketSockets(namespace, closers, lambda: [number])
        number = sockets.add("A", "tail", Bucket())
        with pytest.raises(TooBusy, match="a closing packet socket takes too long to leave its list"):
            sockets.remove("A")
        sockets.close()


def test_a_packet_socket_is_not_put_in_again(namespace: Namespace) -> None:
    with closing_threads() as closers:
        sockets = PacketSockets(namespace, closers, list)
        sockets.add("A", "tail", Bucket())
        with pytest.raises(NotImplementedError):
            sockets.reinsert("A", "tail")
        sockets.close()


def test_only_so_many_sockets_are_closing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet, "_CLOSING_MAX", 2)
    with ThreadPoolExecutor(1) as threads:
        closers = Closers(threads)
        for sock in (some := [Socket() for _ in range(5)]):
            closers.close(sock)
    assert [sock.fileno() for sock in some] == [-1] * 5
    with closing_threads() as closers:
        closers.close(sock := Socket())
    assert sock.fileno() == -1


# Ids of peer namespaces


@pytest.fixture
def ids(namespace: Namespace) -> Iterator[Callable[[], Ids]]:
    here(KERNEL_NSID)
    with kept_peers(namespace) as kept:
        made: list[Ids] = []

        def make() -> Ids:
            made.append(Ids(kept))
            return made[-1]

        yield make
        for some in made:
            some.close()


@of(KERNEL_NSID)
def test_ids_are_in_their_order_and_leave_with_their_namespaces(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations: list[Operation] = [*adds("AB", "tail"), *adds("C", "head"), Open(), Remove("A"), *adds("D", "head")]
    backend = begun(session, operations)
    assert backend.state() == (("D", "C", "B"),)
    assert backend.history.opened == ("C", "A", "B")


@of(KERNEL_NSID)
def test_known_ids_behind_the_first_message_are_not_dumped(kernel_target: KernelTarget, session: KernelSession) -> None:
    if kernel_target.detected_scheme != "nsid":
        pytest.skip("the dump goes on behind its first message here: before Linux 6.10, or with a fix")
    room = kernel_target.message_records
    assert 100 < room < 200
    there = [*adds([f"s{n}" for n in range(room + 2)], "tail"), Open(), Read(None)]
    assert [len(read.delivered) for read in run(session, kernel_target, there, slots=1).reads] == [room, 0]
    assert [len(read.delivered) for read in run(session, kernel_target, there, slots=room + 1).reads] == [room + 1, 0]


def test_ip_shows_the_ids_of_one_message(ids: Callable[[], Ids]) -> None:
    some = ids()
    room = KERNEL_NSID.message_records
    numbers = [some.add(f"s{n}", "tail", Bucket()) for n in range(room + 3)]
    expected = numbers if KERNEL_NSID.detected_scheme == "nsid-count" else numbers[:room]
    assert [int(line.split()[1]) for line in client("ip", "netns", "list-id")] == expected


def test_an_id_is_a_number_between_two_limits_and_new_in_each_iteration(ids: Callable[[], Ids]) -> None:
    first, second = ids(), ids()
    assert first.bucket("A") == Bucket()
    ends: tuple[tuple[str, End], ...] = (("A", "tail"), ("B", "head"))
    numbers = [some.add(name, end, Bucket()) for some in (first, second) for name, end in ends]
    assert len(set(numbers)) == 4
    assert numbers[1] == numbers[0] - 1
    assert ("A" in first, "C" in first, len(first)) == (True, False, 2)


def test_the_first_ids_begin_anew_before_they_are_too_large() -> None:
    some: Any = None
    kept = Peers(some)
    one, two = kept.first_id(), kept.first_id()
    assert 0 < one < two
    kept._next_id = 1 << 30
    assert kept.first_id() < two


def test_more_ids_than_there_is_room_for_are_refused(ids: Callable[[], Ids]) -> None:
    some = ids()
    some._peers.room = 1
    some.add("A", "tail", Bucket())
    with pytest.raises(Inconclusive, match=r"^an iteration can have 1 peers at a time here; the case needs more$"):
        some.add("B", "tail", Bucket())


def test_an_id_that_the_kernel_refuses_is_reported(ids: Callable[[], Ids]) -> None:
    some = ids()
    some.add("A", "tail", Bucket())
    some._high -= 1  # the same id again
    with pytest.raises(Unavailable, match=r"^RTM_NEWNSID: EEXIST \(File exists\)$"):
        some.add("B", "tail", Bucket())


def test_a_namespace_that_does_not_end_is_reported(ids: Callable[[], Ids], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_REMOVED_S", 0.01)
    some = ids()
    some.add("A", "tail", Bucket())
    monkeypatch.setattr(Namespace, "end", lambda self: None)
    with pytest.raises(TooBusy, match=r"^the kernel has not removed a namespace within 0.01 s$"):
        some.remove("A")
    monkeypatch.undo()


def test_other_news_of_ids_are_passed_over(ids: Callable[[], Ids], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def is_removal(message: bytes, number: int) -> bool:
        asked.append(original(message, number))
        return len(asked) > 1 or sock_of_another()

    def sock_of_another() -> bool:
        some.add("C", "tail", Bucket())  # another message follows
        return False

    original = peers._is_removal
    monkeypatch.setattr(peers, "_is_removal", is_removal)
    some = ids()
    some.add("A", "tail", Bucket())
    some.remove("A")
    assert asked == [True, False]


def test_only_the_removal_of_the_same_id_counts() -> None:
    def message(kind: int, number: int) -> bytes:
        return netlink.with_header(b"\0" * 8 + number.to_bytes(4, "little"), kind)

    assert peers._is_removal(message(89, 7), 7)
    assert not peers._is_removal(message(88, 7), 7)
    assert not peers._is_removal(message(89, 8), 7)


@of(KERNEL_NSID)
def test_ids_leave_nothing_behind(kernel_target: KernelTarget) -> None:
    before, there = open_files(), where()
    with kernel_target.session() as session:
        begun(session, [*adds("ABC", "tail"), Open(), Remove("B")])
    assert (open_files(), where()) == (before, there)


# Messages


def test_a_dump_without_the_element_that_measures_it_is_reported(namespace: Namespace) -> None:
    class Nothing(PacketSockets):
        def add(self, name: str, end: Any, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
            return 0

    with closing_threads() as closers:
        walk = DiagWalk(packet_request(), PACKET_COOKIE_AT)
        with pytest.raises(Unavailable, match=r"^sock_diag: the dump of one element is empty$"):
            walk.measured(Nothing(namespace, closers, list))


def test_a_walk_whose_records_were_not_measured_has_messages_of_the_usual_size() -> None:
    walk = DiagWalk(packet_request(), PACKET_COOKIE_AT)
    assert (walk.largest, walk.sized(1000)) == (0, walk)


@of(KERNEL_PACKET_DIAG)
def test_a_case_with_a_second_bucket_is_refused(kernel_target: KernelTarget, session: KernelSession) -> None:
    with pytest.raises(Unavailable, match=r"^kernel:packet-diag has one bucket; the case needs 2$"):
        session.begin(Shape((("", 2),)))
