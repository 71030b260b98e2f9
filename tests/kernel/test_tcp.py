"""The running kernel's TCP iterator: upstream's scenarios on both of its tables, and the placement of sockets.

Sockets also move from one table into the other, and are removed by close and by reset.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sockiter.backend import Shape
from sockiter.errors import Unavailable
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.tcp import KERNEL_PROC_TCP, KERNEL_TCP, KERNEL_TCP_DIAG, KERNEL_TCP_ESTABLISHED
from sockiter.operations import Add, Bucket, End, Open, Operation, Read, Rehash, Reinsert, Remove
from tests.support import kernel_reads
from tests.support.kernel_reads import ONE, adds, begun, open_files
from tests.support.kernel_targets import here

ESTABLISHED = "established"
LISTENING = "listening"
FOUR = {"head": "DCBA", "tail": "ABCD"}
# A table, and an end at which sockets can be put into it.
PLACES: tuple[tuple[str, End], ...] = ((LISTENING, "head"), (LISTENING, "tail"), (ESTABLISHED, "head"))
AT_EVERY_PLACE = pytest.mark.parametrize(("table", "end"), PLACES, ids=[f"{table}-{end}" for table, end in PLACES])


@pytest.fixture(params=[KERNEL_TCP], ids=lambda target: target.name)
def kernel_target(request: pytest.FixtureRequest) -> KernelTarget:
    return here(request.param)


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as session:
        yield session


def delivers(session: KernelSession, operations: Sequence[Operation], remembering: list[str]) -> bool:
    """Whether reads deliver the sockets of an iterator that remembers, or those of an older kernel's scheme."""
    assert kernel_reads.reads(KERNEL_TCP, session, operations) == kernel_reads.due(KERNEL_TCP, operations, remembering)
    return True


def made(session: KernelSession, *before: Operation) -> list[tuple[str, ...]]:
    """The state after these operations, and `open` among them."""
    state = begun(session, [*before]).state()
    assert state is not None
    return list(state)


# Upstream's scenarios


@AT_EVERY_PLACE
def test_a_seen_socket_that_is_removed_hides_no_other(table: str, end: End, session: KernelSession) -> None:
    order = FOUR[end]
    there = adds("ABCD", end, 0, table)
    assert delivers(session, [*there, Open(), ONE, ONE, ONE, Remove(order[1]), ONE, ONE], [*order, ""])


@AT_EVERY_PLACE
def test_an_unseen_socket_that_is_removed_is_not_delivered(table: str, end: End, session: KernelSession) -> None:
    order = FOUR[end]
    operations = [*adds("ABCD", end, 0, table), Open(), ONE, Remove(order[1]), ONE, ONE, ONE]
    assert delivers(session, operations, [order[0], order[2], order[3], ""])


@AT_EVERY_PLACE
def test_nothing_is_delivered_when_all_unseen_sockets_are_removed(table: str, end: End, session: KernelSession) -> None:
    order = FOUR[end]
    assert delivers(session, [*adds("ABCD", end, 0, table), Open(), ONE, *map(Remove, order[1:]), ONE], [order[0], ""])


@pytest.mark.parametrize("table", [LISTENING, ESTABLISHED])
def test_sockets_added_at_the_head_behind_the_iterator_are_not_seen(table: str, session: KernelSession) -> None:
    there, more = adds("ABCD", "head", 0, table), adds("EFGH", "head", 0, table)
    assert delivers(session, [*there, Open(), ONE, ONE, ONE, *more, ONE, ONE], [*"DCBA", ""])


@AT_EVERY_PLACE
def test_a_batch_that_has_to_grow_delivers_each_of_the_first_sixteen_once(
    table: str, end: End, session: KernelSession
) -> None:
    first, more = "ABCDEFGHIJKLMNOP", "abcdefghijklmnop"
    order = first if end == "tail" else first[::-1]
    rest = order[1:] + (more if end == "tail" else "")
    assert delivers(
        session, [*adds(first, end, 0, table), Open(), ONE, *adds(more, end, 0, table), Read(None)], [order[0], rest, ""]
    )


@AT_EVERY_PLACE
def test_a_bucket_whose_sockets_all_close_hides_no_other(table: str, end: End, session: KernelSession) -> None:
    order = FOUR[end] + ("HGFE" if end == "head" else "EFGH")
    there = [*adds("ABCD", end, 0, table), *adds("EFGH", end, 1, table)]
    operations = [*there, Open(), ONE, ONE, ONE, *map(Remove, "ABCD"), *[ONE] * 5]
    assert delivers(session, operations, [*order[:3], *order[4:], ""])


# Where sockets are put


def test_the_listening_ones_are_walked_first_and_both_tables_bucket_by_bucket(session: KernelSession) -> None:
    operations = [
        *adds("A", "head", 1, ESTABLISHED),
        *adds("B", "head", 0, ESTABLISHED),
        *adds("CD", "tail", 2),
        *adds("E", "head", 0, LISTENING),
        Open(),
    ]
    assert made(session, *operations) == [("E",), (), ("C", "D"), ("B",), ("A",)]
    assert kernel_reads.reads(KERNEL_TCP, session, [*operations, Read(None)]) == ["ECDBA", ""]


@pytest.mark.parametrize("end", ["head", "tail"])
def test_a_listening_socket_is_put_in_again_at_either_end(end: End, session: KernelSession) -> None:
    order = ("B", "A", "C") if end == "head" else ("A", "C", "B")
    assert made(session, *adds("ABC"), Open(), Reinsert("B", end)) == [order]
    assert made(session, *adds("ABC"), Open(), *[Reinsert("B", "head"), Reinsert("A", "tail")] * 20) == [("B", "C", "A")]


def test_a_socket_that_is_put_in_again_is_still_the_same_one(session: KernelSession) -> None:
    operations = [*adds("AB"), Open(), ONE, Reinsert("A", "tail"), Read(None)]
    # To an iterator that remembers, it comes once more.
    assert delivers(session, operations, ["A", "BA", ""])


def test_an_established_socket_is_put_in_again_at_the_head(session: KernelSession) -> None:
    there = adds("ABC", "head", 0, ESTABLISHED)
    assert made(session, *there, Open(), *[Reinsert("A", "head")] * 3) == [(), ("A", "C", "B")]


@pytest.mark.parametrize("moves", [1, 2, 30])
def test_sockets_move_from_bucket_to_bucket_and_from_table_to_table(moves: int, session: KernelSession) -> None:
    around = [Bucket(1, LISTENING), Bucket(0, ESTABLISHED), Bucket(1, ESTABLISHED), Bucket(0, LISTENING)]
    operations: list[Operation] = [*adds("AB"), *adds("C", "head", 1), *adds("DE", "head", 0, ESTABLISHED), Open()]
    operations += [Rehash("A", around[n % 4]) for n in range(moves)]
    operations += [Rehash("D", around[n % 4]) for n in range(moves)]
    last = around[(moves - 1) % 4]
    there = {"B": Bucket(0, LISTENING), "C": around[0], "E": around[1], "A": last, "D": last}
    state = made(session, *operations)
    order = [Bucket(0, LISTENING), around[0], around[1], around[2]][: len(state)]
    assert [set(bucket) for bucket in state] == [{name for name in there if there[name] == bucket} for bucket in order]
    assert next(bucket for bucket in state if "A" in bucket)[:2] == ("D", "A")


def test_a_move_to_where_a_socket_is_already_is_none(session: KernelSession) -> None:
    backend = begun(session, [*adds("AB"), Open(), Rehash("B", Bucket(0, LISTENING)), Rehash("B", Bucket(0))])
    assert backend.state() == (("A", "B"),)
    assert backend.history.events == []


@pytest.mark.parametrize("table", [LISTENING, ESTABLISHED])
def test_what_is_removed_is_gone_at_once_and_so_is_its_file(table: str, session: KernelSession) -> None:
    names = "ABCDEFGH"
    before = begun(session, [*adds("Z", "head", 0, table), Open()])
    files = len(open_files())
    before.close()
    backend = begun(session, [*adds(names + "Z", "head", 0, table), Open()])
    for name in names:  # of the established ones, every other by a reset
        backend.apply(Remove(name))
        state = backend.state()
        assert state is not None
        assert name not in state[-1]
    assert (backend.state() or ())[-1] == ("Z",)
    assert len(open_files()) == files


def test_a_removed_established_socket_leaves_nothing_behind_in_another_state(session: KernelSession) -> None:
    backend = begun(session, [*adds("ABCD", "head", 0, ESTABLISHED), Open(), *map(Remove, "ABCD")])
    lines = [line for name in ("tcp", "tcp6") for line in Path("/proc/thread-self/net", name).read_text().splitlines()[1:]]
    assert lines == []
    backend.close()


def test_a_reset_that_does_not_come_is_reported(session: KernelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.kernel.sockets.peer.select.poll", Deaf)
    backend = begun(session, [*adds("AB", "head", 0, ESTABLISHED), Open()])
    with pytest.raises(Unavailable, match=r"^an established socket is still present after the reset from its peer$"):
        backend.apply(Remove("A"))


class Deaf:
    def register(self, fd: int, events: int) -> None:
        """Ignore every event."""

    def poll(self, timeout: int) -> list[object]:
        return []


def test_hundreds_of_sockets_in_many_buckets_of_both_tables_are_delivered_once_each(session: KernelSession) -> None:
    there = [Add(f"l{n}", "tail" if n % 2 else "head", Bucket(n % 7)) for n in range(300)]
    there += [Add(f"e{n}", "head", Bucket(n % 5, ESTABLISHED)) for n in range(300)]
    backend = begun(session, [*there, Open(), *[Read(13)] * 20, Read(None)])
    delivered = [name for read in backend.history.reads for name in read.delivered]
    assert delivered == list(backend.history.opened)
    assert {name: delivered.count(name) for name in delivered} == {add.name: 1 for add in there}


def test_a_table_has_as_many_buckets_as_the_kernels(session: KernelSession) -> None:
    assert len(made(session, Open(), Add("A", "head", Bucket(63)))) == 64
    message = r"the kernel's table of listening sockets has 64 buckets here; the case needs 65"
    with pytest.raises(Unavailable, match=message):
        session.begin(Shape((("", 65),)))
    message = r"the kernel's table of established sockets has 16 buckets here; the case needs 17"
    with pytest.raises(Unavailable, match=message):
        session.begin(Shape((("", 1), (ESTABLISHED, 17))))


# Where only established ones are asked for, they are in the first table


@pytest.mark.parametrize("kernel_target", [KERNEL_TCP_ESTABLISHED], indirect=True)
def test_buckets_of_no_named_table_are_the_established_ones(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations = [*adds("AB", "head"), *adds("C", "head", 1, ESTABLISHED), Open(), Rehash("A", Bucket(1))]
    assert kernel_reads.reads(kernel_target, session, [*operations, Read(None)]) == ["BAC", ""]
    backend = begun(session, operations)
    assert backend.state() == (("B",), ("A", "C"))
    lines = Path("/proc/thread-self/net/tcp6").read_text().splitlines()[1:]
    assert [line.split()[3] for line in lines] == ["01"] * 3


# The other walks over TCP sockets


@pytest.mark.parametrize("kernel_target", [KERNEL_PROC_TCP, KERNEL_TCP_DIAG], ids=lambda t: t.name, indirect=True)
def test_other_walks_go_through_both_tables_too(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations = [*adds("AB", "head"), *adds("C", "head", 1), *adds("DE", "head", 0, ESTABLISHED), Open()]
    delivered = kernel_reads.reads(kernel_target, session, [*operations, ONE, Read(None)])
    assert delivered[0] == "B"
    assert "".join(delivered) == "BACED"
    moved = made(session, *operations, ONE, Rehash("E", Bucket(1, ESTABLISHED)), Rehash("A", Bucket(1, LISTENING)))
    assert moved == [("B",), ("A", "C"), ("D",), ("E",)]


# The learned addresses and ports


def test_more_sockets_than_there_are_addresses_for_are_refused(
    session: KernelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockiter.kernel.sockets.tcp._ADDRESSES_MAX", 64)
    with pytest.raises(
        Unavailable, match=r"^none of 64 addresses leads one more socket to a bucket of the listening table$"
    ):
        begun(session, [*adds([f"s{n}" for n in range(64)], "tail"), Open()])


def test_more_sockets_than_there_are_ports_for_are_refused(session: KernelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.kernel.sockets.tcp._REMOTE_PORTS_END", 1024 + 128)
    with pytest.raises(Unavailable, match=r"^no further port leads to bucket 0 of the established sockets$"):
        begun(session, [*adds([f"s{n}" for n in range(64)], "head", 0, ESTABLISHED), Open()])


def test_many_sockets_move_to_and_fro_and_each_has_an_address_for_every_bucket(session: KernelSession) -> None:
    names = [f"s{n}" for n in range(40)]
    backend = begun(session, [*adds(names), *adds("Z", "head", 63), Open()])
    for number in (*range(1, 64, 2), 0):
        for name in names[:8]:
            backend.apply(Rehash(name, Bucket(number)))
    state = backend.state()
    assert state is not None
    assert sorted(state[0]) == sorted(names)


def test_without_ports_of_its_own_a_socket_has_the_namespaces(
    kernel_target: KernelTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 6.3, which does not know IP_LOCAL_PORT_RANGE."""
    set_option = socket.socket.setsockopt

    class Older(socket.socket):
        def setsockopt(self, *args: int) -> None:  # type: ignore[override]  # as these sockets are used
            if args[:2] == (socket.IPPROTO_IP, 51):
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            set_option(self, *args)

    monkeypatch.setattr("sockiter.kernel.sockets.tcp.Socket", Older)
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    before = ports.read_text()
    with kernel_target.session() as session:
        state = made(session, *adds("AB"), *adds("C", "head", 0, ESTABLISHED), Open(), Rehash("A", Bucket(1)))
        assert state == [("B",), ("A",), ("C",)]
        assert len(set(ports.read_text().split())) == 1
    assert ports.read_text() == before
