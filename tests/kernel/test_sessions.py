"""Sessions on all of the running kernel's iterators: they leave the host alone, leak nothing, and do not interfere."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sockiter.backend import Session, Shape
from sockiter.kernel import libc, probe
from sockiter.kernel.bpf_map import KERNEL_MAP_NEXT_KEY
from sockiter.kernel.namespace import private, where
from sockiter.kernel.sockets.base import Sockets
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.tcp import KERNEL_TCP_DIAG
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.kernel.unix import KERNEL_PROC_UNIX
from sockiter.operations import Add, Bucket, Change, Open, Operation, Read, Remove
from tests.support.command import members, started, unmeasured, wait_until
from tests.support.kernel_reads import adds, at_show, begun, events, open_files
from tests.support.kernel_targets import here

pytestmark = pytest.mark.each_way

HERE = "/proc/thread-self/ns/net"
SETTINGS = [
    Path("/proc/sys/net/ipv4") / name
    for name in ("udp_child_hash_entries", "tcp_child_ehash_entries", "ip_local_port_range")
]


def sequence(target: KernelTarget) -> list[Operation]:
    """A short sequence within the hazards of this target."""
    if "add-head" not in target.hazards:
        return [*adds("FABCD", "tail"), Open(), Read(1), Remove("B"), *adds("E", "tail"), Read(None)]
    inside: list[Change] = [Remove("A"), Add("E", "head")] if "show" in target.hazards else []
    second = Bucket(0, target.tables[-1]) if len(target.tables) > 1 or target.buckets_max == 1 else Bucket(1)
    operations: list[Operation] = [*adds("ABC", "head"), Add("D", "head", second), Open()]
    return [*operations, at_show(1, *inside, count=1), Remove("B"), *adds("F", "head"), Read(None)]


def walks_sockets(target: KernelTarget) -> bool:
    """Whether the elements of a walk are sockets; BPF maps, threads and tracked connections have others."""
    return not any(part in target.name for part in ("map", "threads", "conntrack", "listns", "nsid"))


def held() -> tuple[dict[str, str], int, str]:
    """The resources of this process: open files, threads, and the namespace of this thread."""
    return open_files(), len(os.listdir("/proc/self/task")), where()


def holds(before: tuple[dict[str, str], int, str]) -> bool:
    """Whether this process has the same resources as before; a joined thread is gone some microseconds later."""
    files, threads, namespace = before
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= threads)
    return (open_files(), where()) == (files, namespace)


def kinds_of(files: dict[str, str]) -> Counter[str]:
    """How many open files there are of each kind, without the numbers of sockets and namespaces."""
    return Counter(name.partition("[")[0] for name in files.values())


def settings() -> list[str]:
    return [setting.read_text() for setting in SETTINGS if setting.exists()]


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as session:
        yield session


def test_a_machine_that_has_everything_is_missing_nothing_and_nothing_is_left_of_trying(kernel_target: KernelTarget) -> None:
    probe.forget()
    before = held()
    assert kernel_target.missing() is None
    assert holds(before)


def test_a_sequence_is_carried_out_and_the_state_is_known(kernel_target: KernelTarget, session: KernelSession) -> None:
    backend = begun(session, sequence(kernel_target))
    assert backend.history.reads[-1].delivered == ()
    state = backend.state()
    assert state is not None
    there = {"C", "D", "F", "E"} if "show" in kernel_target.hazards else {"A", "C", "D", "F"}
    if "add-head" not in kernel_target.hazards:
        there = set("FACDE")
    assert {name for bucket in state for name in bucket} == there
    assert (state[0][0], backend.place()) == ("F", "")


# The host


def test_a_session_is_in_a_namespace_of_its_own_and_the_host_sees_nothing_of_it(kernel_target: KernelTarget) -> None:
    before = where()
    host = os.open(HERE, os.O_RDONLY)
    try:
        with kernel_target.session() as session:
            begun(session, sequence(kernel_target))
            assert where() != before
            ours = {name[8:-1] for name in open_files().values() if name.startswith("socket:[")}
            with ThreadPoolExecutor(1, initializer=libc.setns, initargs=(host, libc.CLONE_NEWNET)) as outside:
                seen = outside.submit(sockets_of_the_namespace).result()
    finally:
        os.close(host)
    assert ours or not walks_sockets(kernel_target)
    assert ours & seen == set()
    assert where() == before


def sockets_of_the_namespace() -> set[str]:
    """The inodes of the sockets in the calling thread's namespace."""
    found: set[str] = set()
    for name, column in {"udp": 9, "udp6": 9, "tcp": 9, "tcp6": 9, "unix": 6, "packet": 8}.items():
        lines = Path("/proc/thread-self/net", name).read_bytes().splitlines()[1:]
        found.update(line.split()[column].decode() for line in lines)
    # Those of the protocol that the walks over netlink sockets cover.
    lines = Path("/proc/thread-self/net/netlink").read_bytes().splitlines()[1:]
    found.update(line.split()[9].decode() for line in lines if line.split()[1] == b"2")
    return found


def test_a_session_sees_its_sockets_where_the_host_does_not(kernel_target: KernelTarget, session: KernelSession) -> None:
    begun(session, [*adds("ABC", "head" if "add-head" in kernel_target.hazards else "tail"), Open()])
    ours = {name[8:-1] for name in open_files().values() if name.startswith("socket:[")}
    # Sessions of TCP have sockets for packets and requests as well.
    assert (len(sockets_of_the_namespace() & ours) >= 3) == walks_sockets(kernel_target)


def test_the_settings_for_small_tables_are_not_made_in_the_host(kernel_target: KernelTarget) -> None:
    before = settings()
    with kernel_target.session() as session:
        begun(session, sequence(kernel_target)).close()
    assert settings() == before


def test_sockets_that_a_session_did_not_open_are_neither_delivered_nor_destroyed(kernel_target: KernelTarget) -> None:
    with private(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as listening:
        bring_up_loopback()
        datagram.bind(("127.0.0.1", 0))
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()) as one, listening.accept()[0] as other:
            one.settimeout(10)
            outside = sockets_of_the_namespace()
            assert len(outside) == 4
            with kernel_target.session() as session:
                for _ in range(3):
                    delivered = [
                        name for read in begun(session, sequence(kernel_target)).history.reads for name in read.delivered
                    ]
                    assert set(delivered) <= set("ABCDEF")
            assert sockets_of_the_namespace() == outside
            other.sendall(b"still there")
            assert one.recv(20) == b"still there"
            assert datagram.sendto(b"so am I", datagram.getsockname()) == 7
            assert datagram.recv(20) == b"so am I"


def bring_up_loopback() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


# Sessions among each other


# One for each way to walk: a program, a dump, a file, and a loop.
WAYS = [KERNEL_UDP, KERNEL_TCP_DIAG, KERNEL_PROC_UNIX, KERNEL_MAP_NEXT_KEY]


@pytest.mark.parametrize("other", WAYS, ids=lambda target: target.name)
def test_two_sessions_of_one_thread_can_take_turns(kernel_target: KernelTarget, other: KernelTarget) -> None:
    with kernel_target.session() as one, here(other).session() as another:
        first, second = one.begin(Shape()), another.begin(Shape())
        for operation in (*adds("ABC", "head"), Open(), Read(1), Remove("A"), Read(None)):
            first.apply(operation)
            second.apply(operation)
        for backend in (first, second):
            assert set((backend.state() or ((),))[0]) == {"B", "C"}


def test_a_session_that_begins_anew_ends_what_it_began(session: KernelSession) -> None:
    first = begun(session, [*adds("A", "head"), Open()])
    second = begun(session, [*adds("A", "head"), Open()])
    assert second.state() == (("A",),)
    first.close()
    assert second.state() == (("A",),)


def test_another_thread_cannot_use_a_session(session: KernelSession) -> None:
    backend = session.begin(Shape())
    with ThreadPoolExecutor(1) as threads:
        for use in (lambda: session.begin(Shape()), lambda: backend.apply(Open())):
            with pytest.raises(RuntimeError, match="another thread than the one that began it"):
                threads.submit(use).result()


def test_a_session_cannot_be_used_after_its_end(kernel_target: KernelTarget) -> None:
    with kernel_target.session() as session:
        backend = begun(session, adds("A", "head"))
    for use in (lambda: session.begin(Shape()), lambda: backend.apply(Open())):
        with pytest.raises(RuntimeError, match="a session is used after its end"):
            use()


# Leaks


def test_descriptors_are_not_inherited(kernel_target: KernelTarget) -> None:
    before = open_files()
    with kernel_target.session() as session:
        begun(session, [*adds("AB", "head"), Open()])
        new = [int(fd) for fd in open_files() if fd not in before]
        assert len(new) >= 3 + 2 * walks_sockets(kernel_target)  # two namespaces, two sockets, the walk or its table
        assert not any(map(os.get_inheritable, new))


def test_nothing_is_left_open_after_many_iterations(kernel_target: KernelTarget, session: KernelSession) -> None:
    operations = sequence(kernel_target)
    begun(session, operations).close()
    files, threads, namespace = kinds_of(open_files()), len(os.listdir("/proc/self/task")), where()
    for _ in range(30):
        backend = begun(session, operations)
        backend.close()
        backend.close()
    # Packet sockets are closed a moment later.
    wait_until(lambda: kinds_of(open_files()) <= files and len(os.listdir("/proc/self/task")) <= threads)
    assert where() == namespace


def test_nothing_is_left_after_a_session(kernel_target: KernelTarget) -> None:
    before = held()
    for _ in range(2):
        with kernel_target.session() as session:
            begun(session, sequence(kernel_target))
    assert holds(before)


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(trouble: type[BaseException], kernel_target: KernelTarget) -> None:
    def troubled() -> None:
        with kernel_target.session() as session:
            begun(session, [*adds("AB", "head"), Open(), Read(1)])
            raise trouble

    before = held()
    with pytest.raises(trouble):
        troubled()
    assert holds(before)


def test_nothing_is_left_after_ctrl_c_while_a_read_stands_still(
    kernel_target: KernelTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "show" not in kernel_target.hazards:
        pytest.skip(f"{kernel_target.name} cannot stand still: {kernel_target.unable['show']}")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def troubled(session: Session) -> None:
        backend = begun(session, [*adds("AB", "head"), Open()])
        monkeypatch.setattr(Sockets, "add", interrupted)
        backend.apply(at_show(1, Add("C", "head")))

    before = held()
    with kernel_target.session() as session:
        with pytest.raises(KeyboardInterrupt):
            troubled(session)
        monkeypatch.undo()
        # And the session is as good as before.
        assert str(Add("E", "head")) in events(begun(session, sequence(kernel_target)))
    assert holds(before)


VICTIM = """
import os, sys
from sockiter.backend import Shape
from sockiter.kernel.namespace import where
from sockiter.operations import Add, At, Open, Read
from sockiter.targets import target_named
target = target_named(sys.argv[1])
inside = (At("show", 2, Add("C", "head")),) if "show" in target.hazards else ()
with target.session() as session:
    if sys.argv[2] == "once":
        backend = session.begin(Shape())
        for operation in (Add("A", "head"), Add("B", "head"), Open(), Read(1)):
            backend.apply(operation)
    links = [fd for fd in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{fd}").endswith("bpf_link")]
    infos = [open(f"/proc/self/fdinfo/{fd}").read().split() for fd in links]
    print(where(), *(info[info.index("prog_id:") + 1] for info in infos), flush=True)
    while sys.argv[2] != "once":
        backend = session.begin(Shape())
        for operation in (Add("A", "head"), Add("B", "head"), Open(), Read(None, inside)):
            backend.apply(operation)
    sys.stdin.read()
"""


@pytest.mark.parametrize(("does", "number"), [("once", signal.SIGKILL), ("on and on", signal.SIGINT)])
def test_nothing_survives_a_process_that_is_killed(kernel_target: KernelTarget, does: str, number: signal.Signals) -> None:
    before = where(), settings()
    with started(
        [sys.executable, "-c", VICTIM, kernel_target.name, does],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=unmeasured(),
    ) as victim:
        assert victim.stdout is not None
        name, *programs = victim.stdout.readline().split()
        assert name != before[0]
        assert all(program_is_loaded(int(program)) for program in programs)
        now = os.readlink(f"/proc/{victim.pid}/ns/net")
        # An iteration over one list has a namespace of its own.
        assert now == name or (kernel_target.buckets_max == 1 and now != before[0])
        victim.send_signal(number)
        victim.wait(30)
    assert victim.returncode == -number
    wait_until(lambda: members(victim.pid) == {})  # a helper process ends when its standard input does
    assert (where(), settings()) == before
    wait_until(lambda: not any_is_loaded(programs))  # the kernel frees them some time later


def any_is_loaded(programs: Sequence[str]) -> bool:
    return any(program_is_loaded(int(program)) for program in programs)


def program_is_loaded(number: int) -> bool:
    """Whether the kernel has a program of this id."""
    try:
        os.close(libc.bpf(13, struct.pack("=III", number, 0, 0), 12))  # BPF_PROG_GET_FD_BY_ID
    except FileNotFoundError:
        return False
    return True
