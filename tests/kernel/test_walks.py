"""Walks over the kernel's sockets: records of a program, lines of /proc/net, messages of sock_diag.

The answers are simulated first; then they are the kernel's own.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel import dumps, libc, netlink, udp, walks
from sockiter.kernel.bpf.loader import BUFFER_SIZE, Walker
from sockiter.kernel.bpf.programs import RECORD
from sockiter.kernel.diag import INET_COOKIE_AT, UNIX_COOKIE_AT, inet_request, unix_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.sockets.unix import inodes
from sockiter.kernel.target import KernelSession, KernelTarget, SessionSetup, with_destruction
from sockiter.kernel.udp import KERNEL_PROC_UDP, KERNEL_PROC_UDP6, KERNEL_UDP, KERNEL_UDP_DIAG
from sockiter.kernel.unix import KERNEL_UNIX, KERNEL_UNIX_DIAG
from sockiter.kernel.walks import BpfWalk, ProcWalk, UnpaddedWalk
from sockiter.operations import Add, Bucket, Open, Operation, Read, Rehash, Reinsert, Remove
from tests.support.kernel_reads import ONE, adds, begun, open_files


def reading(monkeypatch: pytest.MonkeyPatch, *replies: bytes) -> list[int]:
    """Reads return these; the sizes that were asked for."""
    left, asked = list(replies), list[int]()

    def read(_fd: int, size: int) -> bytes:
        asked.append(size)
        return left.pop(0)

    monkeypatch.setattr(os, "read", read)
    return asked


# Records of a program


def test_a_program_reports_sockets_by_their_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", lambda *_: os.open(os.devnull, os.O_RDONLY))
    walk = BpfWalk(Walker(b""))
    reader = walk.open()
    asked = reading(monkeypatch, RECORD.pack(1 << 63, 2, 0) + RECORD.pack(4, 5, 1), b"")
    assert reader.read(2) == [1 << 63, 4]
    assert reader.read(walk.records_max + 1) == []
    # As many as the kernel's buffer holds, one less, since it takes a record only if something is left behind it.
    assert asked == [2 * 16, BUFFER_SIZE]
    assert walk.records_max == BUFFER_SIZE // 16 - 1
    assert reader.shown([4]) == [4]
    reader.close()
    monkeypatch.undo()
    assert open_files() == before


def test_a_read_with_stops_is_left_to_those_who_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping:
        def read(self, fd: int, size: int, on_stop: object) -> bytes:
            return RECORD.pack(fd, 0, 0) * (size // 16)

    stopping: Any = Stopping()
    assert walks.BpfReader(7).read_with_stops(3, "records", stopping, lambda _: True) == [7] * 3
    reader = walks.BpfReader(7)
    assert (reader.read_with_stops(40, "bytes", stopping, lambda _: True), reader.is_cut) == ([7] * 2, False)


def test_a_record_counts_with_its_last_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    records = RECORD.pack(1, 0, 0) + RECORD.pack(2, 0, 0) + RECORD.pack(3, 0, 0)
    cuts = [0, 5, 16, 20, 31, 48, 48]
    asked = reading(monkeypatch, *(records[begin:end] for begin, end in pairwise(cuts)))
    reader = walks.BpfReader(7)
    sizes = [end - begin for begin, end in pairwise(cuts[:-1])] + [10]
    results = [(reader.read(size, "bytes"), reader.is_cut) for size in sizes]
    assert results == [([], True), ([1], False), ([], True), ([], True), ([2, 3], False), ([], False)]
    assert asked == sizes
    assert reader.ages == ()


def test_a_read_in_records_goes_on_inside_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    records = RECORD.pack(1, 0, 0) + RECORD.pack(2, 0, 0)
    asked = reading(monkeypatch, records[:3], records[3:19], records[19:])
    reader = walks.BpfReader(7)
    reader.read(3, "bytes")
    assert (reader.read(1), reader.is_cut) == ([1], True)
    assert (reader.read(1 << 20, "bytes"), reader.is_cut) == ([2], False)
    assert asked == [3, 16, BUFFER_SIZE]


# Lines of /proc/net


LINE = "  {bucket}: 00000000:8000 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 {inode} 2 0000 0"


def lines_of(*sockets: tuple[int, int]) -> bytes:
    return "".join(LINE.format(bucket=bucket, inode=inode).ljust(127) + "\n" for inode, bucket in sockets).encode()


@pytest.fixture
def proc(tmp_path: Path) -> ProcWalk:
    walk = ProcWalk("udp", 128)
    walk._path = str(tmp_path / "udp")
    (tmp_path / "udp").touch()
    return walk


def test_a_line_is_read_as_its_inode_and_its_bucket() -> None:
    text = b"   sl  local_address rem_address   st inode\n" + lines_of((44, 2), (33, 11))
    assert walks.lines(text) == [(44, 2), (33, 11)]


def test_the_title_is_read_with_the_first_socket(proc: ProcWalk, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = proc.open()
    asked = reading(monkeypatch, b"  sl  local_address\n", lines_of((44, 2), (33, 11)), b"")
    assert reader.read(2) == [44, 33]
    assert reader.read(7) == []
    assert asked == [128, 256, 7 * 128]
    assert reader.shown([44]) == [44]
    reader.close()


class File:
    """A file of /proc as the kernel reads it: what is left of lines first; then lines until there are enough bytes, and at
    least one. `lines` may change between two reads; `shown` has the numbers of all lines produced so far."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *inodes: int) -> None:
        self.inodes = list(inodes)
        self.left = b""
        self.shown: list[int] = []
        self.titled = False
        monkeypatch.setattr(os, "read", self.read)

    def read(self, _fd: int, size: int) -> bytes:
        if not self.titled:
            self.titled = True
            return b"sl".ljust(127) + b"\n"
        returned, self.left = self.left[:size], self.left[size:]
        size -= len(returned)
        if not self.left:
            at = len(self.shown)
            produced = b""
            while self.inodes[at:] and (not produced or len(produced) < size):
                produced += lines_of((self.inodes[at], 0))
                self.shown.append(self.inodes[at])
                at += 1
            returned, self.left = returned + produced[:size], produced[size:]
        return returned


def test_a_line_counts_with_its_last_byte_and_is_as_old_as_the_read_that_produced_it(
    proc: ProcWalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(monkeypatch, 1, 2, 3, 4, 5)
    reader = proc.open()
    results = []
    for size in (100, 20, 8, 128, 30, 226, 300, 300):
        before = len(file.shown)
        ids = reader.read(size, "bytes")
        results.append((ids, list(reader.ages), reader.is_cut, file.shown[before:]))
    assert results == [
        ([], [], True, [1]),
        ([], [], True, []),
        # The rest of the line ends the read, and the kernel goes on to the next line. So it does again.
        ([1], [2], False, [2]),
        ([2], [1], False, [3]),
        ([], [], True, []),
        ([3, 4], [2, 0], False, [4]),
        ([5], [0], False, [5]),
        ([], [], False, []),
    ]


def test_behind_a_cut_line_reads_of_lines_are_followed_until_nothing_is_kept(
    proc: ProcWalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(monkeypatch, 1, 2, 3, 4)
    reader = proc.open()
    assert (reader.read(28, "bytes"), reader.is_cut) == ([], True)
    assert (reader.read(1), list(reader.ages), reader.is_cut) == ([1], [1], True)
    assert (reader.read(100, "bytes"), list(reader.ages), reader.is_cut) == ([2], [1], False)
    assert (reader.read(1), list(reader.ages)) == ([3], [1])
    assert (reader.read(2), list(reader.ages)) == ([4], [1])
    # At the end, nothing is kept, and whatever comes then is new.
    assert (reader.read(2), list(reader.ages)) == ([], [])
    file.inodes.append(5)
    assert (reader.read(2), list(reader.ages)) == ([5], [])


def test_a_line_that_the_kernel_could_not_go_on_to_is_not_old(proc: ProcWalk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(monkeypatch, 1)
    reader = proc.open()
    assert [reader.read(size, "bytes") for size in (100, 28, 128)] == [[], [1], []]
    file.inodes.append(2)
    assert (reader.read(128, "bytes"), list(reader.ages)) == ([2], [0])


def test_a_page_holds_so_many_lines(proc: ProcWalk) -> None:
    assert proc.records_max == (os.sysconf("SC_PAGE_SIZE") - 1) // 128
    if os.sysconf("SC_PAGE_SIZE") == 4096:
        assert KERNEL_PROC_UDP.records_max == proc.records_max == 31


TITLE = b"  sl  local_address         remote_address         st\n"


@pytest.fixture
def unpadded(tmp_path: Path) -> UnpaddedWalk:
    walk = UnpaddedWalk("udp6", 170)
    walk._path = str(tmp_path / "udp6")
    return walk


def lines6(*numbers: int) -> bytes:
    return b"".join(LINE.format(bucket=1, inode=number).encode() + b"\n" for number in numbers)


def test_the_width_of_unpadded_lines_is_measured_before_each_walk(unpadded: UnpaddedWalk) -> None:
    file = Path(unpadded._path)
    page = os.sysconf("SC_PAGE_SIZE")
    for numbers in ((1001, 1002, 1003), (10_001, 10_002, 10_003)):
        file.write_bytes(TITLE + lines6(*numbers))
        reader = unpadded.open()
        assert unpadded.records_max == (page - 1) // len(lines6(numbers[0]))
        assert [list(reader.read(2)), list(reader.read(2)), list(reader.read(2))] == [[*numbers[:2]], [numbers[2]], []]
        reader.close()
    # Without a line, the width is that of the walk before.
    file.write_bytes(TITLE)
    reader = unpadded.open()
    file.write_bytes(TITLE + lines6(10_004))
    assert reader.read(1) == [10_004]
    reader.close()


@pytest.mark.parametrize("numbers", [(1001, 10_002), (10_001, 1002)], ids=["wider", "narrower"])
def test_lines_of_unequal_width_are_inconclusive(numbers: tuple[int, int], unpadded: UnpaddedWalk) -> None:
    Path(unpadded._path).write_bytes(TITLE + lines6(*numbers))
    reader = unpadded.open()
    with pytest.raises(Inconclusive, match=r"^lines of this file are not all [0-9]+ bytes wide: "):
        reader.read(2)
    reader.close()


def test_an_unpadded_file_that_cannot_be_opened_is_unavailable(unpadded: UnpaddedWalk) -> None:
    with pytest.raises(Unavailable, match=r"^open .*/udp6: ENOENT"):
        unpadded.open()


def test_a_file_that_cannot_be_opened_is_unavailable(proc: ProcWalk, tmp_path: Path) -> None:
    (tmp_path / "udp").unlink()
    with pytest.raises(Unavailable, match=rf"^open {tmp_path}/udp: ENOENT"):
        proc.open()


def test_nothing_stops_inside_a_file_or_a_dump(proc: ProcWalk) -> None:
    with_stops: Any = proc.open().read_with_stops, dumps.DiagReader.read_with_stops
    for read in with_stops:
        with pytest.raises(NotImplementedError):
            read(*[None] * (4 if read is with_stops[0] else 5))


def test_a_table_that_proc_does_not_walk_by_port_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        by_address = True

    monkeypatch.setattr(udp, "bring_up", lambda _: None)
    monkeypatch.setattr(udp, "Places", lambda *_, **__: Elsewhere())
    monkeypatch.setattr(udp, "load_destroyer", lambda *_: None)
    nothing: Any = None
    with pytest.raises(Unavailable, match=r"^/proc/net/udp does not list sockets in the order of the table by port$"):
        udp._by_port(nothing, nothing, nothing, nothing)


# Messages of sock_diag


def message(kind: int, body: bytes, flags: int = 2) -> bytes:
    size = 16 + len(body)
    return (struct.pack("=IHHII", size, kind, flags, 0, 0) + body).ljust(size + 3 & ~3, b"\0")


def about(*cookies: int) -> bytes:
    """A message of the kernel's with sockets of this kind: the cookie 8 bytes into each, and a byte too many behind."""
    return b"".join(message(20, bytes(8) + struct.pack("=Q", cookie) + b"\x01") for cookie in cookies)


DONE = message(netlink.DONE, struct.pack("=i", 0))


class Asking:
    """A socket of netlink: these messages, one by one."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = list(messages)
        self.sent = b""
        self.closed = False
        self.refuses: OSError | None = None

    def setsockopt(self, *_: int) -> None:
        pass

    def send(self, request: bytes) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.sent = request

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self.messages[0] if flags & socket.MSG_PEEK else self.messages.pop(0)

    def close(self) -> None:
        self.closed = True


Ask = Callable[..., Asking]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """These messages answer the next request."""

    def with_capabilities(*messages: bytes) -> Asking:
        asking = Asking(*messages)
        monkeypatch.setattr("sockiter.kernel.dumps.socket.socket", lambda *_: asking)
        return asking

    return with_capabilities


WALK = DiagWalk(b"request", 8)


def test_a_dump_is_handed_out_message_by_message_and_shown_one_ahead(asked: Ask) -> None:
    asking = asked(about(1, 2, 3), about(4, 5), DONE)
    reader = WALK.open()
    assert asking.sent == b"request"
    # The kernel filled the first message when it was asked, the next when that was taken, and so on.
    assert reader.shown(()) == [1, 2, 3]
    assert reader.read(2) == [1, 2]
    assert reader.shown([1, 2]) == [4, 5]
    assert reader.read(2) == [3]
    assert reader.shown([3]) == []
    assert reader.read(9) == [4, 5]
    assert reader.read(9) == []
    assert reader.read(9) == []
    reader.close()
    assert asking.closed


def test_the_read_that_begins_a_message_with_the_flag_is_interrupted(asked: Ask) -> None:
    flagged = message(20, bytes(8) + struct.pack("=Q", 3), flags=18)
    asked(about(1, 2), flagged + about(4), message(netlink.DONE, struct.pack("=i", 0), flags=18))
    reader = WALK.open()
    reads = [(list(reader.read(1)), reader.interrupted) for _ in range(6)]
    assert reads == [([1], False), ([2], False), ([3], True), ([4], False), ([], True), ([], False)]


def test_an_end_may_stand_in_the_message_of_the_last_sockets(asked: Ask) -> None:
    asked(about(1, 2) + DONE)
    reader = WALK.open()
    assert [reader.read(1), reader.read(5), reader.read(5)] == [[1], [2], []]


INET = DiagWalk(inet_request(socket.AF_INET, socket.IPPROTO_UDP), INET_COOKIE_AT)


def acknowledged(error: int = 0) -> bytes:
    return message(netlink.ERROR, struct.pack("=i", -error))


def test_a_socket_is_destroyed_by_the_addresses_in_its_own_record(asked: Ask) -> None:
    records = [bytes([2, 7, 0, 0]) + bytes([n]) * 40 + struct.pack("=Q", n) + bytes(20) for n in (1, 2)]
    asking = asked(b"".join(message(20, record) for record in records), DONE)
    reader = INET.open()
    assert reader.read(5) == [1, 2]
    asking.messages += [acknowledged(), acknowledged(errno.ENOENT), acknowledged(errno.EPERM)]
    del asking.messages[0]
    assert reader.destroy(2)
    header = struct.pack("=IHHII", 16 + 56, 21, 5, 0, 0)  # SOCK_DESTROY, to be acknowledged
    assert asking.sent == header + struct.pack("=BBHI", socket.AF_INET, socket.IPPROTO_UDP, 0, 0x1FFF) + records[1][4:52]
    assert not reader.destroy(1)
    with pytest.raises(PermissionError):
        reader.destroy(1)
    reader.close()


@pytest.mark.parametrize(
    ("error", "why"),
    [(errno.ENOENT, ""), (errno.EOPNOTSUPP, f"SOCK_DESTROY: {os.strerror(errno.EOPNOTSUPP)}")],
    ids=["supported", "not supported"],
)
def test_a_request_about_no_socket_shows_whether_the_kernel_destroys(error: int, why: str, asked: Ask) -> None:
    asking = asked(DONE, acknowledged(error))
    asking.recv = lambda size, flags=0: asking.messages[0] if flags else acknowledged(error)  # type: ignore[method-assign]
    assert INET.cannot_destroy() == why
    nothing: Any = None
    setup = SessionSetup(nothing, nothing, nothing, unable={"destroy": "no"})
    assert with_destruction(setup, INET).unable == {"destroy": "no", **({"destroying": why} if why else {})}


@pytest.mark.parametrize("kind", [netlink.ERROR, netlink.DONE])
def test_an_error_in_a_dump_is_raised(kind: int, asked: Ask) -> None:
    asked(about(1), message(kind, struct.pack("=i", -errno.ENOMEM)))
    reader = WALK.open()
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        reader.read(1)


def test_a_dump_whose_first_message_is_an_error_leaves_no_socket_open(asked: Ask) -> None:
    asking = asked(message(netlink.ERROR, struct.pack("=i", -errno.ENOENT)))
    with pytest.raises(FileNotFoundError):
        WALK.open()
    assert asking.closed


def test_a_dump_that_is_refused_is_unavailable(asked: Ask) -> None:
    asking = asked()
    asking.refuses = OSError(errno.EPERM, "")
    with pytest.raises(Unavailable, match=r"^sock_diag: EPERM"):
        WALK.open()
    assert asking.closed


def test_requests_are_laid_out_as_the_kernel_reads_them() -> None:
    inet = inet_request(socket.AF_INET6, socket.IPPROTO_TCP)
    assert struct.unpack_from("=IHH", inet) == (len(inet), 20, 0x301)
    assert struct.unpack_from("=BBBBI", inet, 16) == (socket.AF_INET6, socket.IPPROTO_TCP, 0xFF, 0, 0x1FFF)
    unix = unix_request()
    assert struct.unpack_from("=IHH", unix) == (len(unix), 20, 0x301)
    assert struct.unpack_from("=BBHIII", unix, 16) == (socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, 0x7F)
    assert (INET_COOKIE_AT, UNIX_COOKIE_AT) == (44, 8)


# Bringing a namespace up


class Here:
    def enter(self) -> None:
        """It is entered."""


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([errno.EPERM], "netlink: a loopback device: EPERM (Operation not permitted); this requires root, or CAP_NET_ADMIN"),
        ([0, errno.ENODEV], "netlink: a local route: ENODEV (No such device)"),
    ],
)
def test_a_namespace_that_cannot_be_brought_up_is_unavailable(
    errors: list[int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(errors)

    class Refusing(Asking):
        def __enter__(self) -> Refusing:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def recv(self, size: int, flags: int = 0) -> bytes:
            return message(netlink.ERROR, struct.pack("=i", -left.pop(0)))

    monkeypatch.setattr("sockiter.kernel.netlink.socket.socket", lambda *_: Refusing())
    here: Any = Here()
    with pytest.raises(Unavailable) as caught:
        netlink.bring_up(here)
    assert str(caught.value) == expected


# The kernel's own answers


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as session:
        yield session


def of(*targets: KernelTarget) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kernel_target", targets, ids=lambda target: target.name, indirect=True)


def delivered(target: KernelTarget, session: KernelSession, *operations: Operation) -> list[str]:
    return ["".join(read.delivered) for read in run(session, target, operations).reads]


UDP = (KERNEL_UDP, KERNEL_PROC_UDP, KERNEL_PROC_UDP6, KERNEL_UDP_DIAG)
UNIX = (KERNEL_UNIX, KERNEL_UNIX_DIAG)


@of(*UDP, *UNIX)
def test_buckets_are_walked_in_order_each_from_its_head(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations = [*adds("AB", "head", 2), *adds("CD", "head", 0), *adds("E", "head", 1), Open(), Read(None)]
    assert "".join(delivered(kernel_target, session, *operations)) == "DCEBA"


@of(*UDP)
def test_a_udp_socket_is_put_in_again_and_moved_around(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations: list[Operation] = [*adds("ABC", "head"), *adds("D", "head", 1), Open(), Reinsert("A", "head")]
    assert begun(session, operations).state() == (("A", "C", "B"), ("D",))
    moves = [Rehash("B", Bucket(number)) for number in (1, 2, 1, 0, 2)]
    assert begun(session, [*operations, *moves, Rehash("D", Bucket(2))]).state() == (("A", "C"), (), ("D", "B"))


@of(*UNIX)
def test_a_unix_socket_is_added_and_removed(kernel_target: KernelTarget, session: KernelSession) -> None:
    backend = begun(session, [*adds("ABC", "head"), *adds("D", "head", 1), Open(), Remove("B"), *adds("E", "head", 1)])
    assert backend.state() == (("C", "A"), ("E", "D"))


@of(*UDP, *UNIX)
def test_hundreds_of_sockets_in_many_buckets_are_delivered_once_each(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    there = [Add(f"s{n}", "head", Bucket(n % 9)) for n in range(600)]
    reads = [Read(None)] if kernel_target.detected_scheme == "unix" else [*[Read(7)] * 20, Read(None)]
    backend = begun(session, [*there, Open(), *reads])
    assert [name for read in backend.history.reads for name in read.delivered] == list(backend.history.opened)
    assert len(backend.history.opened) == 600


@of(KERNEL_PROC_UDP)
def test_a_read_of_a_file_returns_as_many_lines_as_a_page_holds(kernel_target: KernelTarget, session: KernelSession) -> None:
    names = [f"s{n}" for n in range(80)]
    backend = begun(session, [*adds(names, "head"), Open(), Read(None)])
    room = kernel_target.records_max
    assert [len(read.delivered) for read in backend.history.reads] == [room, room, 80 - 2 * room, 0]


@of(KERNEL_UDP_DIAG, KERNEL_UNIX_DIAG)
def test_a_dump_shows_a_message_before_it_delivers_it(kernel_target: KernelTarget, session: KernelSession) -> None:
    backend = begun(session, [*adds([f"s{n}" for n in range(200)], "head"), Open(), ONE])
    turns = [str(event) for event in backend.history.events if str(event).startswith("Shown")]
    assert 1 < len(turns) < 200
    # A shown socket is delivered although it is gone.
    for name in ("s198", "s0"):
        backend.apply(Remove(name))
    backend.apply(Read(None))
    returned = [name for read in backend.history.reads for name in read.delivered]
    assert "s198" in returned
    assert "s0" not in returned


@of(KERNEL_UNIX)
def test_more_unix_buckets_than_the_kernel_has_are_refused(kernel_target: KernelTarget, session: KernelSession) -> None:
    with pytest.raises(Unavailable, match=r"^names get into \d+ UNIX buckets here; the case needs 1000$"):
        session.begin(Shape((("", 1000),)))


@of(*UDP)
def test_more_udp_buckets_than_the_kernel_has_are_refused(kernel_target: KernelTarget, session: KernelSession) -> None:
    with pytest.raises(Unavailable, match=r"^the kernel's UDP table has \d+ buckets here; the case needs 1000000$"):
        session.begin(Shape((("", 1_000_000),)))
    assert begun(session, [Open(), Add("A", "head", Bucket(127))]).state() == (*[()] * 127, ("A",))


def test_a_message_that_is_cut_off_is_reported() -> None:
    reader = object.__new__(dumps.DiagReader)
    reader._walk = WALK
    message = struct.pack("=IHHII", 5000, 20, 0, 0, 0)
    with pytest.raises(Unavailable, match=r"^sock_diag: this kernel fills messages of more than [0-9]+ bytes$"):
        reader._numbers(message)


def test_a_line_that_a_read_has_cut_was_shown_in_that_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only races meet lines of another width, such as those of UNIX sockets that have no name yet.
    def line(inode: int) -> bytes:
        return b"0000000000000000: 00000002 00000000 00010000 0001 01 %5d @name\n" % inode

    monkeypatch.setattr(os, "open", lambda *_: 7)
    reader = ProcWalk("unix", 80, title=3, parse=inodes).open()
    title_and_lines = [b"Num", line(11) + line(12)[:9], line(12)[9:] + line(13), b""]
    asked = reading(monkeypatch, *title_and_lines)
    shown = []
    for _ in range(3):
        returned = reader.read(1)
        shown.append((list(returned), list(reader.shown(returned)), reader.is_cut))
    assert shown == [([11], [11], True), ([12, 13], [13], False), ([], [], False)]
    assert asked == [3, 80, 80, 80]
