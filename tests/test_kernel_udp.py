"""The running kernel's UDP iterator behind the protocols of `backend`: upstream's scenarios, and that the sockets get to
where they are wanted, the host is left alone and nothing leaks."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sockiter.backend import Backend, Session, Shape, refusal, run, shape_of
from sockiter.errors import MachineLacks
from sockiter.kernel import KERNEL_TARGETS, answers, btf, libc
from sockiter.kernel.bpf import MANY
from sockiter.kernel.namespace import private, where
from sockiter.kernel.udp import KernelUdp, UdpSession
from sockiter.operations import Add, Bucket, End, Open, Operation, Read, Remove
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget

ENDS: tuple[End, ...] = ("head", "tail")
FD = "/proc/self/fd"


@pytest.fixture
def session(kernel_udp: KernelUdp) -> Iterator[UdpSession]:
    with kernel_udp.session() as session:
        yield session


def adds(names: str, end: End = "tail", bucket: int = 0) -> list[Add]:
    return [Add(name, end, Bucket(bucket)) for name in names]


def begun(session: Session, operations: Sequence[Operation]) -> Backend:
    backend = session.begin(shape_of(operations))
    for operation in operations:
        backend.apply(operation)
    return backend


def reads(session: Session, operations: Sequence[Operation]) -> list[str]:
    """What each read delivered, of sockets whose names are single letters."""
    history = run(session, KernelUdp(), operations)
    assert all(read.error is None for read in history.reads)
    return ["".join(read.delivered) for read in history.reads]


def due(session: Session, operations: Sequence[Operation], remembering: list[str]) -> list[str]:
    """What each read ought to deliver: `remembering`, or what a kernel that counts (Linux 6.8 to 6.15) makes of it."""
    model = SchemeTarget(OffsetUdp())
    probe: list[Operation] = [*adds("AB"), Open(), Read(1), Remove("A"), Read(1)]
    if reads(session, probe) == ["A", ""]:
        return ["".join(read.delivered) for read in run(model, model, operations).reads]
    return remembering


def open_files() -> dict[str, str]:
    """The open files of this process, but for the listing itself."""
    found = {}
    for fd in os.listdir(FD):
        try:
            found[fd] = os.readlink(f"{FD}/{fd}")
        except FileNotFoundError:
            continue
    return found


# The order of the walk


def test_a_socket_added_at_the_tail_is_delivered_last(session: UdpSession) -> None:
    assert reads(session, [*adds("AB"), Open(), *adds("C"), Read(None)]) == ["ABC", ""]


def test_a_socket_added_at_the_head_is_delivered_first(session: UdpSession) -> None:
    assert reads(session, [*adds("AB"), *adds("C", "head"), Open(), *adds("D", "head"), Read(None)]) == ["DCAB", ""]


def test_heads_and_tails_mix_in_one_bucket(session: UdpSession) -> None:
    backend = begun(session, [*adds("A", "head"), *adds("B"), *adds("C", "head"), *adds("D"), *adds("E", "head"), Open()])
    assert backend.state() == (("E", "C", "A", "B", "D"),)
    assert backend.history.opened == ("E", "C", "A", "B", "D")


def test_buckets_are_walked_in_ascending_order(session: UdpSession) -> None:
    operations: list[Operation] = [
        *adds("A", bucket=2),
        *adds("B", bucket=0),
        *adds("C", bucket=1),
        *adds("D", bucket=0),
        Open(),
        Read(None),
    ]
    assert reads(session, operations) == ["BDCA", ""]


def test_buckets_without_sockets_are_part_of_the_state(session: UdpSession) -> None:
    backend = begun(session, [*adds("A", bucket=3), *adds("B", bucket=1), Remove("A")])
    assert backend.state() == ((), ("B",), (), ())


def test_what_is_gone_before_open_is_not_in_the_history(session: UdpSession) -> None:
    history = begun(session, [*adds("ABC"), *adds("D", bucket=1), Remove("B"), Remove("D"), Open()]).history
    assert (history.opened, history.events) == (("A", "C"), [])


def test_a_history_has_changes_turns_and_reads_in_order(session: UdpSession) -> None:
    history = begun(session, [*adds("ABC"), Open(), Read(1), *adds("D"), Remove("C"), Read(5), Read(1)]).history
    assert [str(event) for event in history.events] == [
        "Shown(name='A')",
        "Returned(delivered=('A',), error=None)",
        "Add(name='D', end='tail', bucket=Bucket(number=0, table=''))",
        "Remove(name='C')",
        "Shown(name='B')",
        "Shown(name='D')",
        "Returned(delivered=('B', 'D'), error=None)",
        "Returned(delivered=(), error=None)",
    ]


def test_reading_an_empty_table_to_its_end_takes_one_read(session: UdpSession) -> None:
    assert reads(session, [Open(), Read(None)]) == [""]


def test_reading_the_state_does_not_move_the_iterator(session: UdpSession) -> None:
    backend = begun(session, [*adds("ABC"), Open(), Read(1)])
    for _ in range(2):
        assert backend.state() == (("A", "B", "C"),)
    backend.apply(Read(1))
    assert backend.history.reads[-1].delivered == ("B",)


# Upstream's scenarios, with reads of one record

ONE = Read(1)
FOUR = {"head": "DCBA", "tail": "ABCD"}


@pytest.mark.parametrize("end", ENDS)
def test_a_seen_socket_that_is_removed_hides_no_other(end: End, session: UdpSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, ONE, ONE, Remove(order[1]), ONE, ONE]
    assert reads(session, operations) == due(session, operations, [*order, ""])


@pytest.mark.parametrize("end", ENDS)
def test_an_unseen_socket_that_is_removed_is_not_delivered(end: End, session: UdpSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, Remove(order[1]), ONE, ONE, ONE]
    assert reads(session, operations) == [order[0], order[2], order[3], ""]


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_delivered_when_all_unseen_sockets_are_removed(end: End, session: UdpSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, *map(Remove, order[1:]), ONE]
    assert reads(session, operations) == [order[0], ""]


def test_sockets_added_at_the_head_behind_the_iterator_are_not_seen(session: UdpSession) -> None:
    operations: list[Operation] = [*adds("ABCD", "head"), Open(), ONE, ONE, ONE, *adds("EFGH", "head"), ONE, ONE]
    assert reads(session, operations) == due(session, operations, [*"DCBA", ""])


def test_a_batch_that_has_to_grow_delivers_each_of_the_first_sixteen_once(session: UdpSession) -> None:
    first, more = "ABCDEFGHIJKLMNOP", "abcdefghijklmnop"
    delivered = reads(session, [*adds(first), Open(), ONE, *adds(more), Read(None)])
    assert delivered == ["A", first[1:] + more, ""]


@pytest.mark.parametrize("end", ENDS)
def test_a_bucket_of_more_than_sixteen_is_delivered_one_by_one(end: End, session: UdpSession) -> None:
    names = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
    operations: list[Operation] = [*adds(names, end), Open(), *[ONE] * (len(names) + 1)]
    assert reads(session, operations) == [*(names if end == "tail" else names[::-1]), ""]


@pytest.mark.parametrize("end", ENDS)
def test_a_port_whose_sockets_all_close_hides_no_other_port(end: End, session: UdpSession) -> None:
    first, second = [*adds("ABCD", end)], [*adds("EFGH", end, 1)]
    order = FOUR[end] + ("HGFE" if end == "head" else "EFGH")
    operations: list[Operation] = [*first, *second, Open(), ONE, ONE, ONE, *map(Remove, "ABCD"), *[ONE] * 5]
    assert reads(session, operations) == [*order[:3], *order[4:], ""]


# Limits


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for some 3,000 sockets; skips where the hard limit forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"RLIMIT_NOFILE: the hard limit is {hard}; this takes {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_one_read_returns_a_record_less_than_eight_pages_hold(session: UdpSession) -> None:
    names = tuple(f"s{number}" for number in range(3000))
    backend = begun(session, [*(Add(name, "tail") for name in names), Open(), Read(4096), Read(None)])
    returned = [read.delivered for read in backend.history.reads]
    room = min(MANY - 1, 3000)
    assert returned == [delivered for delivered in (names[:room], names[room:], ()) if delivered or room < 3000]
    assert backend.state() == (names,)


def test_a_small_table_has_as_many_buckets_as_are_asked_for(session: UdpSession) -> None:
    with pytest.raises(MachineLacks, match=r"the kernel's UDP table has \d+ buckets here; the case asks for 1000000"):
        session.begin(Shape((("", 1_000_000),)))
    backend = session.begin(Shape((("", 128),)))
    for number in range(128):
        backend.apply(Add(str(number), "tail", Bucket(number)))
    assert backend.state() == tuple((str(number),) for number in range(128))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (Shape((("", 1), ("established", 1))), "kernel:udp has no table named 'established'"),
        (Shape(slots=2), "kernel:udp has 16 slots at open; the case asks for 2"),
    ],
)
def test_a_shape_that_udp_does_not_have_is_refused(shape: Shape, told: str, session: UdpSession) -> None:
    with pytest.raises(MachineLacks, match=told):
        session.begin(shape)


# The target


def test_the_target_says_what_it_is() -> None:
    (target,) = KERNEL_TARGETS
    assert (target.name, target.slots, target.is_real, target.progress, target.harms) == ("kernel:udp", 16, True, "", ())
    assert target.hazards == {"add-head", "add-tail", "remove"}
    assert refusal(target, [Open(), *adds("A"), Read(None)], Shape()) is None


def test_a_machine_that_has_everything_is_missing_nothing(kernel_udp: KernelUdp) -> None:
    answers.forget()
    before = open_files(), where()
    assert kernel_udp.missing() is None
    assert (open_files(), where()) == before


@pytest.mark.usefixtures("kernel_udp")
def test_the_walk_through_the_kernels_types_is_short() -> None:
    data = Path(btf.VMLINUX).read_bytes()
    begin = time.process_time()
    assert btf.function_id(data, "bpf_iter_udp")
    assert time.process_time() - begin < 0.5  # some 0.02 on an idle machine


@pytest.mark.usefixtures("kernel_udp")
def test_a_function_that_is_no_iterator_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.kernel.udp._FUNCTION", "udp_sendmsg")
    answers.forget()
    said = KernelUdp().missing()
    answers.forget()
    assert said is not None
    assert said.startswith("bpf(BPF_PROG_LOAD) for udp_sendmsg")
    assert f": EINVAL ({os.strerror(errno.EINVAL)})" in said


# The host


def test_a_session_leaves_the_host_alone(kernel_udp: KernelUdp) -> None:
    before = where()

    def inside() -> tuple[str, set[str]]:
        with kernel_udp.session() as session:
            begun(session, [*adds("AB"), *adds("C", "head"), Open(), Read(1)])
            ours = {name[8:-1] for name in open_files().values() if name.startswith("socket:[")}
            with ThreadPoolExecutor(1, initializer=libc.setns, initargs=(host, libc.CLONE_NEWNET)) as outside:
                seen = outside.submit(sockets_of_the_namespace).result()
            return where(), ours & seen

    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        private_name, seen = inside()
    finally:
        os.close(host)
    assert private_name != before
    assert seen == set()
    assert where() == before


def sockets_of_the_namespace() -> set[str]:
    """The inodes of the UDP sockets in the calling thread's namespace."""
    net = Path("/proc/thread-self/net")
    lines = [line for name in ("udp", "udp6") for line in (net / name).read_text().splitlines()[1:]]
    return {line.split()[9] for line in lines}


def test_a_session_sees_its_sockets_where_the_host_does_not(session: UdpSession) -> None:
    begun(session, [*adds("AB"), *adds("C", "head")])
    assert len(sockets_of_the_namespace()) == 3


def test_a_socket_of_the_host_is_not_delivered(kernel_udp: KernelUdp) -> None:
    with private(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.bind(("0.0.0.0", 0))
        assert len(sockets_of_the_namespace()) == 1
        with kernel_udp.session() as session:
            assert reads(session, [*adds("A"), Open(), Read(None)]) == ["A", ""]


def test_the_setting_for_small_tables_is_not_made_in_the_host(kernel_udp: KernelUdp) -> None:
    setting = Path("/proc/sys/net/ipv4/udp_child_hash_entries")
    before = setting.read_text() if setting.exists() else ""
    with kernel_udp.session():
        pass
    assert (setting.read_text() if setting.exists() else "") == before


# Sessions among each other


def test_two_sessions_of_one_thread_can_take_turns(kernel_udp: KernelUdp) -> None:
    with kernel_udp.session() as one, kernel_udp.session() as other:
        first, second = one.begin(Shape()), other.begin(Shape())
        operations: list[Operation] = [*adds("AB"), Open(), Read(1), *adds("C"), Read(None)]
        for operation in operations:
            first.apply(operation)
            second.apply(operation)
        assert first.state() == second.state() == (("A", "B", "C"),)
        assert first.history == second.history


def test_a_session_that_begins_anew_ends_what_it_began(session: UdpSession) -> None:
    first = begun(session, [*adds("A"), Open()])
    second = begun(session, adds("A"))
    assert second.state() == (("A",),)
    first.close()
    assert second.state() == (("A",),)


def test_another_thread_cannot_use_a_session(session: UdpSession) -> None:
    backend = session.begin(Shape())
    with ThreadPoolExecutor(1) as threads:
        for use in (lambda: session.begin(Shape()), lambda: backend.apply(Add("A", "tail"))):
            with pytest.raises(RuntimeError, match="another thread than the one that began it"):
                threads.submit(use).result()


def test_a_session_cannot_be_used_after_its_end(kernel_udp: KernelUdp) -> None:
    with kernel_udp.session() as session:
        backend = session.begin(Shape())
    for use in (lambda: session.begin(Shape()), lambda: backend.apply(Add("A", "tail")), backend.state):
        with pytest.raises(RuntimeError, match="a session is used after its end"):
            use()


# Leaks


def test_descriptors_are_not_inherited(kernel_udp: KernelUdp) -> None:
    before = open_files()
    with kernel_udp.session() as session:
        begun(session, [*adds("A"), *adds("B", "head"), Open()])
        new = [int(fd) for fd in open_files() if fd not in before]
        assert len(new) == 6  # the link, two namespaces, two sockets, the iterator
        assert not any(map(os.get_inheritable, new))


def test_nothing_is_left_open_after_many_iterations(session: UdpSession) -> None:
    begun(session, [*adds("A"), Open()]).close()
    before = open_files()
    for _ in range(100):
        backend = begun(session, [*adds("AB"), Open(), Read(1), *adds("C", "head"), Read(None)])
        backend.close()
        backend.close()
    assert open_files() == before


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(trouble: type[BaseException], kernel_udp: KernelUdp) -> None:
    def troubled() -> None:
        with kernel_udp.session() as session:
            begun(session, [*adds("AB"), Open(), Read(1)])
            raise trouble

    before = open_files(), where()
    with pytest.raises(trouble):
        troubled()
    assert (open_files(), where()) == before


VICTIM = """
import os, sys
from sockiter.backend import Shape
from sockiter.kernel.namespace import where
from sockiter.kernel.udp import KernelUdp
from sockiter.operations import Add, Open, Read
with KernelUdp().session() as session:
    backend = session.begin(Shape())
    for operation in (Add("A", "head"), Add("B", "tail"), Open(), Read(1)):
        backend.apply(operation)
    links = [fd for fd in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{fd}").endswith("bpf_link")]
    infos = [open(f"/proc/self/fdinfo/{fd}").read().split() for fd in links]
    print(where(), *(info[info.index("prog_id:") + 1] for info in infos), flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("kernel_udp")
def test_nothing_survives_a_kill() -> None:
    before = where()
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout is not None
        name, program = victim.stdout.readline().split()
        assert name != before
        assert program_is_loaded(int(program))
        assert name in namespaces_in_use()
        victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert name not in namespaces_in_use()
    assert where() == before
    deadline = time.monotonic() + 30
    while program_is_loaded(int(program)) and time.monotonic() < deadline:  # the kernel frees it some time later
        time.sleep(0.001)
    assert not program_is_loaded(int(program))


def namespaces_in_use() -> set[str]:
    """The network namespaces of all processes that can be looked at."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add(os.readlink(process / "ns/net"))
        except OSError:
            continue
    return found


def program_is_loaded(number: int) -> bool:
    """Whether the kernel has a program of this id."""
    try:
        os.close(libc.bpf(13, struct.pack("=III", number, 0, 0), 12))  # BPF_PROG_GET_FD_BY_ID
    except FileNotFoundError:
        return False
    return True
