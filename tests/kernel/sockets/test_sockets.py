"""The sockets of an iteration and their detected places, with simulated answers of the kernel. Needs no privileges."""

from __future__ import annotations

import _socket
import errno
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel.sockets import base as module
from sockiter.kernel.sockets import udp, unix
from sockiter.kernel.sockets.base import LocalPort, Sockets
from sockiter.kernel.sockets.tcp import ESTABLISHED_MAX, TcpSockets
from sockiter.operations import FIRST, Bucket, End

Trouble = OSError | KeyboardInterrupt | None


class Here:
    """The private namespace, which the thread is always in."""

    def __init__(self) -> None:
        self.entered = 0

    def stay(self) -> None:
        self.entered += 1


class Plain:
    """A socket that can be closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Kind(Sockets):
    """Sockets that record their operations; `trouble` is raised by the next insertion or removal."""

    def __init__(self) -> None:
        here: Any = Here()
        super().__init__(here, id)
        self.here = here
        self.did: list[str] = []
        self.made: list[Plain] = []
        self.trouble: Trouble = None

    def _new(self) -> Any:
        self.made.append(Plain())
        return self.made[-1]

    def _note(self, what: str) -> None:
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        self.did.append(what)

    def _put(self, new: object, bucket: Bucket, end: End) -> None:
        self._note(f"put {end} {bucket}")

    def _take(self, old: object, bucket: Bucket) -> None:
        self._note(f"take {bucket}")

    def _leave(self, gone: object, bucket: Bucket) -> None:
        self._note(f"leave {bucket}")


@pytest.fixture
def kind() -> Iterator[Kind]:
    sock = Kind()
    yield sock
    sock.close()
    assert {made.closed for made in sock.made} <= {1, 2}  # all are closed in the end


def test_a_socket_is_put_taken_and_moved_as_its_kind_does_it(kind: Kind) -> None:
    kind.add("A", "tail", FIRST)
    kind.reinsert("A", "head")
    assert kind.rehash("A", Bucket(1))
    assert not kind.rehash("A", Bucket(1))
    assert (kind.bucket("A"), len(kind), "A" in kind, "B" in kind) == (Bucket(1), 1, True, False)
    kind.remove("A")
    assert kind.did == ["put tail 0", "take 0", "put head 0", "take 0", "put head 1", "leave 1"]
    assert (len(kind), kind.made[0].closed) == (0, 1)
    # Each time, it was made sure of where this thread is.
    assert kind.here.entered == 3


@pytest.mark.parametrize(
    ("trouble", "raised", "message"),
    [
        (OSError(errno.EMFILE, ""), Unavailable, r"^one more socket at the tail of bucket 3: EMFILE"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_a_socket_that_cannot_be_put_is_closed(
    trouble: Trouble, raised: type[BaseException], message: str, kind: Kind
) -> None:
    kind.trouble = trouble
    with pytest.raises(raised, match=message):
        kind.add("A", "tail", Bucket(3))
    assert (kind.made[0].closed, len(kind)) == (1, 0)


def test_a_socket_that_cannot_even_be_made_is_reported(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EAFNOSUPPORT, "")

    monkeypatch.setattr(kind, "_new", refuse)
    with pytest.raises(Unavailable, match=r"^one more socket at the head of bucket 0: EAFNOSUPPORT"):
        kind.add("A", "head", FIRST)


@pytest.mark.parametrize("trouble", [OSError(errno.EINVAL, ""), KeyboardInterrupt()])
def test_a_socket_that_does_not_leave_is_closed_all_the_same(trouble: Trouble, kind: Kind) -> None:
    kind.add("A", "head", FIRST)
    kind.trouble = trouble
    with pytest.raises((OSError, KeyboardInterrupt)):
        kind.remove("A")
    assert kind.made[0].closed == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kind: kind.reinsert("A", "tail"), r"^a socket, again at the tail of bucket 0: EADDRINUSE"),
        (lambda kind: kind.rehash("A", Bucket(2)), r"^a socket, from bucket 0 to 2: EADDRINUSE"),
    ],
)
def test_a_change_that_the_kernel_refuses_is_reported(change: Callable[[Kind], object], message: str, kind: Kind) -> None:
    kind.add("A", "head", FIRST)
    kind.trouble = OSError(errno.EADDRINUSE, "")
    with pytest.raises(Unavailable, match=message):
        change(kind)
    assert kind.bucket("A") == FIRST


def test_what_somebody_else_takes_out_is_closed_when_it_is_swept(kind: Kind) -> None:
    kind.add("A", "head", FIRST)
    kind.release("A")
    assert (len(kind), kind.made[0].closed) == (0, 0)
    for _ in range(2):
        kind.sweep()
    assert (kind.made[0].closed, kind.did) == (1, ["put head 0"])


def test_closing_closes_what_was_released_too(kind: Kind) -> None:
    for name in "AB":
        kind.add(name, "head", FIRST)
    kind.release("A")
    for _ in range(2):
        kind.close()
    assert [sock.closed for sock in kind.made] == [1, 1]


def test_preparing_and_leaving_are_nothing_for_most_kinds() -> None:
    class Simple(Kind):
        _leave = Sockets._leave  # type: ignore[assignment]  # for any socket

    simple = Simple()
    simple.prepare(3)
    simple.add("A", "head", FIRST)
    simple.remove("A")
    assert (simple.did, simple.made[0].closed) == (["put head 0"], 1)


# The budget of open files


@pytest.mark.parametrize(("limit", "room"), [(20_000, 16_000), (502, 2), (100, 0), (resource.RLIM_INFINITY, 16_000)])
def test_as_many_sockets_fit_as_files_may_be_open_and_some_are_spared(
    limit: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    kind = Kind()
    for number in range(room):
        kind.add(str(number), "head", FIRST)
    message = f"^an iteration can have {room} sockets at a time here; the case needs more$"
    with pytest.raises(Unavailable, match=message):
        kind.add("more", "head", FIRST)
    if room:
        kind.remove("0")
        kind.add("more", "head", FIRST)
    assert len(kind) == room


def test_too_many_sockets_are_refused_before_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (600, 600))
    kind = Kind()
    kind.check_room({FIRST: 60, Bucket(1): 40})
    with pytest.raises(Unavailable, match=r"^an iteration can have 100 sockets at a time here; the case needs 101$"):
        kind.check_room({FIRST: 60, Bucket(1): 41})


def test_an_established_bucket_has_room_for_so_many_ports_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    sockets = TcpSockets(None, FewPorts(), "listening", 0)  # type: ignore[arg-type]  # no socket is made
    established = Bucket(2, "established")
    sockets.check_room({FIRST: 5_000, established: ESTABLISHED_MAX})
    why = "a bucket of established sockets has room for 3750 here; the case needs 3751 in bucket 2"
    with pytest.raises(Inconclusive, match=f"^{why}$"):
        sockets.check_room({established: ESTABLISHED_MAX + 1})


# The port that the kernel chooses


class Optional:
    """A socket whose every option is refused with this error, or none."""

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.options: list[tuple[object, ...]] = []

    def setsockopt(self, *args: object) -> None:
        if self.refused:
            raise OSError(self.refused, "")
        self.options.append(args)


@pytest.fixture
def ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_LOCAL_PORTS", str(tmp_path / "ports"))
    return tmp_path / "ports"


def test_a_socket_has_a_range_of_its_own_of_one_port(ports: Path) -> None:
    sock: Any = Optional()
    LocalPort().choose(sock, 40_000)
    assert sock.options == [(socket.IPPROTO_IP, 51, struct.pack("=HH", 40_000, 40_000))]
    assert not ports.exists()


def test_before_linux_6_3_it_is_the_namespaces_range_and_written_only_when_it_changes(ports: Path) -> None:
    chosen = LocalPort()
    sock: Any = Optional(errno.ENOPROTOOPT)
    chosen.choose(sock, 40_000)
    assert ports.read_text() == "40000 40000"
    ports.write_text("left alone")
    sock.refused = 0
    chosen.choose(sock, 40_000)
    assert (ports.read_text(), sock.options) == ("left alone", [])
    chosen.choose(sock, 40_001)
    assert ports.read_text() == "40001 40001"


def test_another_refusal_is_no_sign_of_an_old_kernel(ports: Path) -> None:
    sock: Any = Optional(errno.EPERM)
    with pytest.raises(PermissionError):
        LocalPort().choose(sock, 40_000)
    assert not ports.exists()


# UDP: which port and which address lead where


class Kernel:
    """A kernel whose UDP table has so many buckets, by port or by address too, and puts sockets at the `ends` it knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, buckets: int, *ends: End, by_address: bool = True) -> None:
        self.listed: list[tuple[int, int]] = []  # cookie and bucket
        self.made = 0
        self.buckets = buckets
        self.ends = ends
        self.by_address = by_address
        monkeypatch.setattr(udp, "Socket", lambda *_: InTheKernel(self))
        monkeypatch.setattr(udp, "disconnect", lambda sock: sock.leave())

    def places(self) -> udp.Places:
        here: Any = Here()
        return udp.Places(here, self.look, family=socket.AF_INET6)

    def look(self) -> list[tuple[int, int]]:
        return sorted(self.listed, key=lambda sock: sock[1])

    def order(self, bucket: int) -> list[int]:
        return [cookie for cookie, there in self.listed if there == bucket]


class InTheKernel:
    """A socket of this kernel."""

    def __init__(self, kernel: Kernel) -> None:
        kernel.made += 1
        self.kernel, self.cookie = kernel, kernel.made
        self.port, self.end = 0, "head"

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option) == (socket.IPPROTO_IP, 51):
            self.port = struct.unpack("=HH", value)[0]
        if (level, option) == (socket.SOL_SOCKET, socket.SO_REUSEPORT):
            self.end = "tail" if value else "head"

    def bind(self, address: tuple[str, int]) -> None:
        assert address == ("", 0)
        self._put(self.port % self.kernel.buckets, self.end)

    def connect(self, address: tuple[str, int]) -> None:
        if self.kernel.by_address:
            third, last = address[0].rpartition(":")[2].split(".")[2:]
            number = int(third) * 250 + int(last)
            self._put((self.port + number) % self.kernel.buckets, "head")

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("=Q", self.cookie)

    def leave(self) -> None:
        self.kernel.listed = [sock for sock in self.kernel.listed if sock[0] != self.cookie]

    close = leave

    def _put(self, bucket: int, end: str) -> None:
        self.leave()
        known = end if end in self.kernel.ends else self.kernel.ends[0]
        self.kernel.listed.insert(0 if known == "head" else len(self.kernel.listed), (self.cookie, bucket))


def test_ports_are_learned_until_there_are_enough_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 512, "head", "tail")
    places = kernel.places()
    before = kernel.made
    assert len(places.ports(1)) == 1
    assert kernel.made == before + 256
    ports = places.ports(512)
    assert [bucket for bucket, _ in ports] == list(range(512))
    assert all(port % 512 == bucket for bucket, port in ports)
    assert kernel.listed == []


def test_more_buckets_than_the_table_has_are_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Kernel(monkeypatch, 256, "head", "tail").places()
    for _ in range(2):
        with pytest.raises(Unavailable, match="the kernel's UDP table has 256 buckets here; the case needs 257"):
            places.ports(257)
    assert len(places.ports(256)) == 256


@pytest.mark.parametrize("ends", [("head", "tail"), ("head",)])
def test_whether_there_is_a_tail_is_learned(ends: tuple[End, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 8, *ends)
    assert kernel.places().has_tail == ("tail" in ends)
    assert kernel.listed == []


def test_a_kernel_that_knows_only_the_tail_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 8, "tail")
    with pytest.raises(Unavailable, match="added at head, tail and head are walked in no known order"):
        kernel.places()
    assert kernel.listed == []


@pytest.mark.parametrize("by_address", [True, False])
def test_whether_connecting_moves_a_socket_is_learned(by_address: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Kernel(monkeypatch, 8, "head", by_address=by_address).places().by_address == by_address


def test_a_bucket_that_no_address_leads_to_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 8, "head", by_address=False)
    with pytest.raises(Unavailable, match="none of 2048 addresses leads from port 32768 to bucket 3 of the UDP table"):
        kernel.places().learn(32768, 3)
    assert kernel.listed == []


def laid(kernel: Kernel, buckets: int) -> udp.UdpSockets:
    places = kernel.places()
    here: Any = Here()
    return udp.UdpSockets(here, places, places.ports(buckets))


@pytest.mark.parametrize("by_address", [True, False])
def test_a_socket_moves_to_any_bucket_and_back(by_address: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 8, "head", "tail", by_address=by_address)
    sockets = laid(kernel, 3)
    for name in "AB":
        sockets.add(name, "head", FIRST)
    moved, other = kernel.made - 1, kernel.made
    for number in (1, 2, 0, 2, 1, 0):
        assert sockets.rehash("A", Bucket(number))
        assert [bucket for cookie, bucket in kernel.listed if cookie == moved] == [number]
        assert kernel.order(number)[0] == moved
    sockets.reinsert("A", "tail")
    assert kernel.order(0) == [other, moved]
    sockets.close()
    assert kernel.listed == []


@pytest.mark.parametrize(("by_address", "learned"), [(True, {1, 2, 0}), (False, set())])
def test_what_moves_may_need_is_learned_before_them(
    by_address: bool, learned: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch, 8, "head", by_address=by_address)
    sockets = laid(kernel, 3)
    sockets.prepare(1)
    made = kernel.made
    sockets.prepare(1)
    assert kernel.made == made
    assert {bucket for known in sockets._places._addresses.values() for bucket in known} >= learned
    assert bool(sockets._places._addresses) == by_address


# UNIX: which names lead where


def test_a_name_is_as_long_as_can_be_and_its_number_leaves_its_sum_alone() -> None:
    def sum_of(name: bytes) -> int:
        words: int = sum(struct.unpack(f"<{len(name) // 2}H", name))
        while words >> 16:
            words = (words & 0xFFFF) + (words >> 16)
        return words

    names = [unix.name(7, number) for number in (0, 1, 0xFFFF, 0x10000, 123_456)]
    assert {len(name) for name in names} == {108}
    assert len(set(names)) == len(names)
    assert len({sum_of(name) for name in names}) == 1
    assert sum_of(unix.name(8, 0)) != sum_of(names[0])


def test_a_unix_socket_has_its_name_for_good() -> None:
    here: Any = Here()
    with pytest.raises(NotImplementedError):
        unix.UnixSockets(here, [(0, 0)])._take(None, FIRST)  # type: ignore[arg-type]  # it is not looked at


def test_more_unix_buckets_than_names_lead_to_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix, "_NAMES_MAX", 1024)
    listed: list[tuple[int, int]] = []

    class Named:
        def __init__(self, *_: int) -> None:
            self.cookie = 0

        def bind(self, name: bytes) -> None:
            beginning = struct.unpack_from("<H", name, 2)[0]
            self.cookie = beginning + 1
            listed.append((self.cookie, beginning % 5))

        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("=Q", self.cookie)

        def close(self) -> None:
            listed.remove((self.cookie, (self.cookie - 1) % 5))

    monkeypatch.setattr(unix, "Socket", Named)
    here: Any = Here()
    places = unix.Places(here, lambda: [(999_999, 0), *listed])
    assert places.buckets(5) == [(bucket, bucket) for bucket in range(5)]
    with pytest.raises(Unavailable, match=r"^names get into 5 UNIX buckets here; the case needs 6$"):
        places.buckets(6)
    assert listed == []


def test_what_proc_calls_a_socket_is_its_inode() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert module.inode(sock) == os.fstat(sock.fileno()).st_ino


class FewPorts:
    """Addresses of which the second has no port for bucket 0, and the others none for bucket 1."""

    family = socket.AF_INET6
    peer = None

    def listening(self, number: int, bucket: int) -> tuple[str, int] | None:
        return (f"fd00::{number}", 2000) if (number == 2) == (bucket == 1) else None


def test_a_socket_gets_an_address_that_has_a_port_for_its_bucket_and_keeps_it_until_it_is_gone() -> None:
    sockets = TcpSockets(None, FewPorts(), "listening", 0)  # type: ignore[arg-type]  # no socket is made
    sock, other, third = (_socket.socket.__new__(_socket.socket) for _ in range(3))
    assert (sockets.connects(Bucket(0, "established")), sockets.connects(Bucket())) == (True, False)
    assert sockets._address(sock, 0) == ("fd00::1", 2000)
    assert sockets._address(other, 0) == ("fd00::3", 2000)  # the second has no port, and is left
    assert sockets._address(third, 1) == ("fd00::2", 2000)
    sockets._forget(third)
    assert sockets._address(third, 0) == ("fd00::4", 2000)  # the second is free, and has no port
