"""Netlink sockets in chosen chains of the kernel's hash table, the three walks over them, and the dump of a real client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel import netlink, walks
from sockiter.kernel.bpf.programs import InContext, record_program
from sockiter.kernel.diag import NETLINK_COOKIE_AT, netlink_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.identify import distinguishing_sequences
from sockiter.kernel.namespace import Namespace, private, where
from sockiter.kernel.rhashtable import KERNEL_NETLINK, KERNEL_NETLINK_DIAG, KERNEL_PROC_NETLINK
from sockiter.kernel.sockets import netlink as module
from sockiter.kernel.sockets.base import Socket
from sockiter.kernel.sockets.netlink import CHAIN_MAX, CHAINS_MAX, Ballast, Chains, NetlinkSockets, ballast
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.walks import NetlinkFileWalk
from sockiter.operations import Add, Bucket, Open, Operation, Read, Remove
from tests.support.kernel_reads import adds, begun, open_files
from tests.support.kernel_targets import here

ALL = (KERNEL_NETLINK_DIAG, KERNEL_NETLINK, KERNEL_PROC_NETLINK)


def of(*targets: KernelTarget) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kernel_target", targets, ids=lambda target: target.name, indirect=True)


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as begun_session:
        yield begun_session


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    here(KERNEL_NETLINK_DIAG)
    with private() as made:
        yield made


@of(*ALL)
def test_chains_are_walked_in_order_each_from_its_head(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations: list[Operation] = [*adds("AB", "head", 2), *adds("CD", "head", 0), *adds("E", "head", 1), Open()]
    backend = begun(session, [*operations, Remove("C"), *adds("F", "head", 2)])
    assert backend.state() == (("D",), ("E",), ("F", "B", "A"))
    assert backend.history.opened == tuple("DCEBA")


@of(*ALL)
def test_netlink_sockets_leave_nothing_behind(kernel_target: KernelTarget) -> None:
    before, there = open_files(), where()
    with kernel_target.session() as session:
        begun(session, [*adds("ABC", "head"), Open(), Remove("B")])
    assert (open_files(), where()) == (before, there)


@of(KERNEL_NETLINK, KERNEL_PROC_NETLINK)
def test_a_read_for_more_sockets_than_there_are_goes_to_the_end(kernel_target: KernelTarget, session: KernelSession) -> None:
    # The sockets of a later protocol are behind them.
    there = [*adds("BA", "head"), Open()]
    reads = run(session, kernel_target, [*there, Read(2), *adds("C", "head"), Read(None)]).reads
    assert ["".join(read.delivered) for read in reads] == ["AB", "B", ""]
    reads = run(session, kernel_target, [*there, Read(3), *adds("C", "head"), Read(None)]).reads
    assert ["".join(read.delivered) for read in reads] == ["AB", ""]


@of(KERNEL_NETLINK_DIAG)
def test_known_a_dump_loses_the_socket_behind_each_message(kernel_target: KernelTarget, session: KernelSession) -> None:
    if kernel_target.detected_scheme != "netlink-diag":
        pytest.skip("the dump has no model here")
    room = kernel_target.message_records
    there = [Add(f"s{n}", "head", Bucket(n % CHAINS_MAX)) for n in range(room + 3)]
    history = run(session, kernel_target, [*there, Open(), Read(None)], slots=1)
    delivered = [name for read in history.reads for name in read.delivered]
    assert [name for name in history.opened if name not in delivered] == [history.opened[room]]


@of(KERNEL_NETLINK_DIAG)
def test_an_iteration_has_room_for_so_many_netlink_sockets(kernel_target: KernelTarget, session: KernelSession) -> None:
    full = adds([f"s{n}" for n in range(CHAIN_MAX)], "head")
    backend = begun(session, [*full, Open()])
    with pytest.raises(Inconclusive, match=rf"^an iteration can have {CHAIN_MAX} sockets in a chain here; the case"):
        backend.apply(Add("X", "head"))
    backend.apply(Remove("s0"))
    backend.apply(Add("X", "head"))
    assert backend.state() == (("X", *[f"s{n}" for n in range(CHAIN_MAX - 1, 0, -1)]),)


def of_usersock(*arguments: str) -> list[str]:
    """The port ids that ss shows of NETLINK_USERSOCK in the calling thread's network namespace, and each as often."""
    if (path := shutil.which("ss")) is None:
        pytest.skip("there is no ss of iproute2")
    lines = subprocess.run([path, "-f", "netlink", "-n", *arguments], capture_output=True, text=True, check=True).stdout
    words = [word.split(":") for line in lines.splitlines() for word in line.split() if word.count(":") == 1]
    return [port for protocol, port in words if protocol == "2"]


@contextmanager
def sockets_of(ports: Sequence[int], groups: int = 0) -> Iterator[None]:
    some = [Socket(socket.AF_NETLINK, socket.SOCK_RAW, module.PROTOCOL) for _ in ports]
    try:
        for sock, port in zip(some, ports, strict=True):
            sock.bind((port, groups))
        yield
    finally:
        for sock in some:
            sock.close()


def test_ss_shows_the_netlink_sockets_that_are_there(namespace: Namespace) -> None:
    with sockets_of([70_001, 70_002, 70_003]):
        assert sorted(of_usersock()) == ["70001", "70002", "70003"]


def test_known_ss_shows_a_netlink_socket_with_a_group_twice(namespace: Namespace) -> None:
    with sockets_of([70_001], groups=1), sockets_of([70_002]):
        assert sorted(of_usersock()) == ["70001", "70001", "70002"]


# How the chains are learned


class Table:
    """A table of netlink sockets as a dictionary of chains; binding and walking are simulated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chains: int) -> None:
        self.chains: list[list[int]] = [[] for _ in range(chains)]
        self.seed = 0
        table = self

        class Simulated:
            port = 0

            def __init__(self, *_: int) -> None:
                pass

            def bind(self, address: tuple[int, int]) -> None:
                self.port = address[0]
                table.chain(self.port).insert(0, self.port)

            def close(self) -> None:
                if self.port:
                    table.chain(self.port).remove(self.port)

        monkeypatch.setattr(module, "Socket", Simulated)
        monkeypatch.setattr(module, "cookie", lambda sock: sock.port)

    def chain(self, port: int) -> list[int]:
        return self.chains[hash((port, self.seed)) % len(self.chains)]

    def walked(self) -> list[int]:
        return [port for chain in self.chains for port in chain]

    def order(self) -> bytes:
        return bytes([self.seed])


class Anywhere:
    """In place of a namespace."""

    def stay(self) -> None:
        pass


def chains_of(table: Table, walked: Callable[[], list[int]] | None = None) -> Chains:
    anywhere: Any = Anywhere()
    return Chains(anywhere, Ballast(table.order), walked or table.walked)


def test_port_ids_of_one_chain_are_found_by_two_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(monkeypatch, 64)
    learned = chains_of(table)
    with pytest.raises(TooBusy, match=r"^port ids of more netlink sockets have to be learned$"):
        learned.want_more()
    ports = learned.ports(CHAINS_MAX)
    assert [len(some) for some in ports] == [CHAIN_MAX] * CHAINS_MAX
    places = [{table.chains.index(table.chain(port)) for port in some} for some in ports] if any(table.chains) else []
    assert not places  # all sockets are closed again
    of = [{hash((port, 0)) % 64 for port in some} for some in ports]
    assert all(len(chain) == 1 for chain in of)
    assert [min(chain) for chain in of] == sorted(min(chain) for chain in of)


def test_chains_are_learned_again_after_a_resize(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(monkeypatch, 64)
    learned = chains_of(table)
    before = learned.ports(2)
    assert learned.ports(2) == before
    table.seed = 1
    with pytest.raises(TooBusy, match=r"^the table of netlink sockets was resized meanwhile$"):
        learned.check()
    after = learned.ports(2)
    assert after != before
    assert all(len({hash((port, 1)) % 64 for port in some}) == 1 for some in after)


def test_a_walk_that_is_begun_anew_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(monkeypatch, 64)
    monkeypatch.setattr(module, "_TRIES_MAX", 3)
    learned = chains_of(table, lambda: table.walked() * 2)
    with pytest.raises(TooBusy, match=r"^the port ids of netlink sockets cannot be learned: their table is resized all"):
        learned.ports(1)


def test_ballast_in_a_table_that_is_always_resized_is_refused(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES_MAX", 3)

    @contextmanager
    def order_in() -> Iterator[Callable[[], bytes]]:
        numbers = iter(range(9))
        yield lambda: bytes([next(numbers)])

    before = where()
    with (
        pytest.raises(Unavailable, match=r"^the table of netlink sockets is resized all the time$"),
        ballast(namespace, order_in),
    ):
        pass
    assert where() == before


def test_more_chains_than_there_are_port_ids_for_are_refused(monkeypatch: pytest.MonkeyPatch, namespace: Namespace) -> None:
    with pytest.raises(Inconclusive, match=rf"^an iteration can have {CHAINS_MAX} chains here; the case needs 9$"):
        NetlinkSockets(namespace, chains_of(Table(monkeypatch, 64)), 9)


def test_a_socket_for_whose_chain_no_port_id_is_left_is_tried_again_with_more(namespace: Namespace) -> None:
    asked: list[int] = []

    class Few(Chains):
        def __init__(self) -> None:
            self._wanted = 0

        def ports(self, chains: int, wanted: int = 0) -> list[list[int]]:
            asked.append(wanted)
            return [[] for _ in range(chains)]

        def check(self) -> None:
            pass

    few = Few()
    sockets = NetlinkSockets(namespace, few, 1)
    with pytest.raises(TooBusy):
        sockets.add("A", "head", Bucket())
    assert few._wanted == CHAIN_MAX
    # For a race, all are learned in advance; but not any more once sockets are there.
    sockets.prepare(3)
    sockets._free[0].append(70_000)
    sockets.add("A", "head", Bucket())
    sockets.prepare(3)
    assert asked == [0, CHAIN_MAX]
    sockets.sweep()
    with pytest.raises(NotImplementedError):
        sockets.reinsert("A", "head")
    sockets.close()


def test_a_kernel_without_netlink_sockets_of_users_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise OSError(93, os.strerror(93))

    monkeypatch.setattr(module, "Socket", refused)
    with pytest.raises(Unavailable, match=r"^socket\(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK\): EPROTONOSUPPORT"):
        module.check_protocol()


# The file, messages, programs and sequences


TITLE = b"sk Eth Pid\n"


def file_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> None:
    (tmp_path / "netlink").write_bytes(TITLE + b"".join(lines))
    monkeypatch.setattr(walks, "_NETLINK_FILE", str(tmp_path / "netlink"))


def test_the_file_is_measured_by_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file_of(tmp_path, monkeypatch, b"x 0 9 11\n", b"x 2 9 12\n", b"x 4 9 13\n")
    walk = NetlinkFileWalk.measured(2)
    assert walk == NetlinkFileWalk(2, len(TITLE), 9, 1)
    reader = walk.open()
    assert (reader.read(1), reader.read(5), reader.read(5)) == ([12], [], [])
    assert (reader.shown([12]), reader.is_cut, reader.ages) == ([12], False, ())
    nothing: Any = None
    with pytest.raises(NotImplementedError):
        reader.read_with_stops(1, "records", nothing, nothing)
    reader.close()
    assert walk.records_max == (os.sysconf("SC_PAGE_SIZE") - 1) // 9


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((b"x 0 9 11\n", b"x 2 9 1234\n", b"x 4 9 13\n"), r"lines of \[9, 11\] bytes, of the protocols \[0, 2, 4\]"),
        ((b"x 2 9 12\n",), r"lines of \[9\] bytes, of the protocols \[2\]"),
        ((b"x 4 9 12\n",), r"lines of \[9\] bytes, of the protocols \[4\]"),
    ],
)
def test_a_file_of_other_lines_is_refused(
    lines: Sequence[bytes], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(tmp_path, monkeypatch, *lines)
    with pytest.raises(Unavailable, match=rf"netlink: {why}$"):
        NetlinkFileWalk.measured(2)


def test_a_missing_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "_NETLINK_FILE", str(tmp_path / "none"))
    for attempt in (lambda: NetlinkFileWalk.measured(2), NetlinkFileWalk(2, 1, 1, 0).open):
        with pytest.raises(Unavailable, match=r"^open .*none: ENOENT"):
            attempt()


def test_a_message_is_the_last_one_with_the_end_of_the_dump_or_an_error() -> None:
    record, end = netlink.with_header(b"1234", 20), netlink.with_header(b"\0" * 4, netlink.DONE)
    assert netlink.is_last(record + end)
    assert not netlink.is_last(record + record)


def test_a_dump_of_netlink_sockets_names_its_protocol() -> None:
    assert DiagWalk(netlink_request(7), NETLINK_COOKIE_AT).request[16:18] == bytes([socket.AF_NETLINK, 7])
    assert netlink_request(7, everything=False)[24:28] == bytes(4)


def test_a_program_can_leave_out_the_sockets_of_other_protocols() -> None:
    all_of_them = record_program(InContext(24))
    some = record_program(InContext(24), only=(8, 2))
    assert len(some) == len(all_of_them) + 2 * 8


def test_in_buckets_of_a_limited_size_the_seen_sockets_come_first() -> None:
    for operations in distinguishing_sequences(("",), 10, 4):
        opened = operations.index(Open())
        there = [op for op in operations[:opened] if isinstance(op, Add)]
        assert [op.bucket.number for op in there] == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 4


@of(KERNEL_NETLINK)
def test_room_in_chains_is_asked_for_before_a_socket_is_made(kernel_target: KernelTarget, session: KernelSession) -> None:
    elements = session.setup.make_elements(Shape())
    try:
        elements.check_room({Bucket(): 1})
        elements.check_room({Bucket(): CHAIN_MAX})
        with pytest.raises(
            Inconclusive, match=rf"^an iteration can have {CHAIN_MAX} sockets in a chain here; the case needs 9$"
        ):
            elements.check_room({Bucket(): 9})
    finally:
        elements.close()
