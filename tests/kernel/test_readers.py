"""The ways of reading on the running kernel: silent, destroying, in bytes, with a filter, and a second time.

The kernel delivers as the model of its scheme, also in random sequences.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from sockiter.backend import Shape, refusal, run, shape_of
from sockiter.conform import Conformance
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.history import Event, Reopened, Returned, Shown
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.diag import INET_COOKIE_AT, inet_request
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.tcp import KERNEL_PROC_TCP, KERNEL_TCP, KERNEL_TCP_DIAG, KERNEL_TCP_ESTABLISHED
from sockiter.kernel.udp import KERNEL_PROC_UDP, KERNEL_UDP, KERNEL_UDP_DIAG
from sockiter.kernel.unix import KERNEL_UNIX, KERNEL_UNIX_DIAG
from sockiter.operations import Add, Again, Bucket, Destroy, Open, Operation, Read, Rehash, Remove
from sockiter.oracle import judge
from sockiter.readers import Feature
from sockiter.schemes import SCHEMES
from tests.support.kernel_reads import adds, at_show, begun
from tests.support.kernel_targets import here

PROGRAMS = (KERNEL_UDP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED, KERNEL_UNIX)
FILES = (KERNEL_PROC_UDP, KERNEL_PROC_TCP)
DUMPS = (KERNEL_UDP_DIAG, KERNEL_TCP_DIAG, KERNEL_UNIX_DIAG)
ABC = adds("CBA", "head")
SILENT = Read(None, silent=True)


def of(*targets: KernelTarget) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kernel_target", targets, ids=lambda target: target.name, indirect=True)


@pytest.fixture
def session(kernel_target: KernelTarget) -> Iterator[KernelSession]:
    with kernel_target.session() as session:
        yield session


def need(target: KernelTarget, *features: Feature, destroying: bool = False) -> None:
    """The test is skipped where the kernel lacks one of these, with the reason."""
    for feature in features:
        if feature in target.lacks:
            pytest.skip(target.lacks[feature])
    if destroying and "destroying" in target.unable:
        pytest.skip(target.unable["destroying"])


def happened(session: KernelSession, *operations: Operation) -> list[Event]:
    return begun(session, operations).history.events


def byte_reads(*counts: int) -> list[Operation]:
    return [Read(count, unit="bytes") for count in counts]


# One by one


@of(KERNEL_UDP, KERNEL_TCP, KERNEL_UNIX)
def test_a_silent_walk_delivers_all_in_one_read(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, "silent")
    names = [f"s{number}" for number in range(2_100)]  # more than the buffer of a read has records
    history = run(session, kernel_target, [*adds(reversed(names), "head"), Open(), SILENT])
    assert history.reads == [Returned(tuple(names), silent=True)]
    state = begun(session, [*ABC, Open(), SILENT]).state()
    assert state is not None
    assert state[0] == ("A", "B", "C")


@of(*PROGRAMS)
def test_a_silent_walk_takes_no_part_of_an_earlier_one(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, "silent")
    assert happened(session, *ABC, Open(), SILENT, Again(), SILENT, Again(), SILENT)[4:] == [
        *([Reopened(), Shown("A"), Shown("B"), Shown("C"), Returned(("A", "B", "C"), silent=True)] * 2),
    ]


@of(KERNEL_UDP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED)
def test_each_socket_that_a_destroying_walk_shows_leaves(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, destroying=True)
    backend = begun(session, [*ABC, Open(), Read(2, destroying=True), Remove("A")])
    assert backend.history.events == [
        *(Shown("A"), Destroy("A"), Shown("B"), Destroy("B")),
        Returned(("A", "B")),
    ]
    state = backend.state()
    assert state is not None
    assert state[0] == ("C",)
    for operation in (Add("D", "head"), Read(None, silent=True, destroying=True), Again(), Read(None)):
        backend.apply(operation)
    assert backend.history.reads[-1] == Returned(())


@of(KERNEL_UDP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED)
def test_a_socket_is_destroyed_before_the_next_is_shown(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, destroying=True)
    if "show" not in kernel_target.hazards:
        pytest.skip(kernel_target.unable["show"])
    read = replace(at_show(2, Remove("A"), Add("D", "head")), destroying=True)
    assert happened(session, *ABC, Open(), read)[:5] == [
        *(Shown("A"), Destroy("A"), Add("D", "head"), Shown("B"), Destroy("B")),
    ]


@of(KERNEL_UDP, KERNEL_TCP)
def test_sockets_without_room_for_their_records_are_not_destroyed(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    need(kernel_target, destroying=True)
    names = [f"s{number}" for number in range(2_100)]
    backend = begun(session, [*adds(reversed(names), "head"), Open(), Read(5_000, destroying=True)])
    destroyed = [event.name for event in backend.history.events if isinstance(event, Destroy)]
    assert destroyed == list(backend.history.reads[0].delivered) == names[:2_047]
    state = backend.state()
    assert state is not None
    assert list(state[0]) == names[2_047:]


@of(*PROGRAMS)
def test_unwanted_sockets_are_in_the_table_and_not_in_the_walk(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, "unwanted", "silent")
    unwanted = [Add(name, "head", properties=("unwanted",)) for name in "UV"]
    backend = begun(session, [unwanted[0], *ABC, Open(), unwanted[1], SILENT, Again(), Read(None)])
    assert [read.delivered for read in backend.history.reads] == [("A", "B", "C"), ("A", "B", "C"), ()]
    assert backend.history.opened == ("A", "B", "C")
    state = backend.state()
    assert state is not None
    assert state[0] == ("V", "A", "B", "C", "U")


@of(KERNEL_UDP, KERNEL_TCP, KERNEL_TCP_ESTABLISHED)
def test_records_are_read_in_bytes(kernel_target: KernelTarget, session: KernelSession) -> None:
    need(kernel_target, "bytes")
    assert happened(session, *ABC, Open(), *byte_reads(3, 20, 1, 16, 17, 1)) == [
        *(Shown("A"), Returned((), cut=True)),
        Returned(("A",)),  # what was left, and no step of the walk
        *(Shown("B"), Returned((), cut=True)),
        Returned(("B",)),
        *(Shown("C"), Returned(("C",))),
        Returned(()),
    ]


@of(*FILES)
def test_lines_are_read_in_bytes_and_the_kernel_goes_one_line_ahead(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    width = 128 if kernel_target is KERNEL_PROC_UDP else 150
    first, second = byte_reads(width - 28, 28)
    backend = begun(session, [*ABC, Open(), first, second, Remove("B"), first, Read(None)])
    assert backend.history.events[:6] == [
        *(Shown("A"), Returned((), cut=True)),
        # With the last byte of a line, the kernel produces the next one, which is delivered although its socket is gone.
        *(Shown("B"), Returned(("A",)), Remove("B")),
        Returned((), cut=True),
    ]
    # It counts for the place of the walk as well: `C` now stands where the walk has been.
    assert [read.delivered for read in backend.history.reads[3:]] == [("B",), ()]


@of(*FILES)
def test_lines_read_in_bytes_of_any_size_are_those_of_whole_reads(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    names = [f"s{number}" for number in range(40)]
    random = Random("bytes")
    for most in (5, 300, 5_000):
        reads = byte_reads(*(random.randrange(1, most) for _ in range(40)))
        backend = begun(session, [*adds(reversed(names), "head"), Open(), *reads, Read(None)])
        assert [name for read in backend.history.reads for name in read.delivered] == names
        assert [event.name for event in backend.history.events if isinstance(event, Shown)] == names


@of(*FILES, *DUMPS)
def test_a_second_pass_begins_at_the_first_socket(kernel_target: KernelTarget, session: KernelSession) -> None:
    backend = begun(session, [*ABC, Open(), Read(2), Again(), Read(None), Again(), Read(None)])
    assert [read.delivered for read in backend.history.reads if read.delivered] == [
        ("A", "B"),
        ("A", "B", "C"),
        ("A", "B", "C"),
    ]
    assert [event for event in backend.history.events if isinstance(event, Reopened)] == [Reopened()] * 2


INET_DUMPS = (KERNEL_UDP_DIAG, KERNEL_TCP_DIAG)


@of(*INET_DUMPS)
def test_a_reader_of_a_dump_destroys_each_socket_that_it_received(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    need(kernel_target, destroying=True)
    backend = begun(session, [*ABC, Open(), Read(2, destroying=True), Remove("A")])
    assert backend.history.events[3:] == [Returned(("A", "B")), Destroy("A"), Destroy("B")]
    state = backend.state()
    assert state is not None
    assert state[0] == ("C",)


@of(*INET_DUMPS)
def test_a_dump_of_several_messages_that_destroys_skips_sockets_although_nothing_else_changes(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    need(kernel_target, destroying=True)
    room = kernel_target.records_max
    names = [f"s{number}" for number in range(5 * room)]
    history = run(session, kernel_target, [*adds(reversed(names), "head"), Open(), Read(None, destroying=True)])
    # The first message is destroyed when the second is filled, and the third begins one message too far.
    skipped = [finding.socket for finding in judge(history) if finding.kind == "skip"]
    assert skipped == sorted(names[2 * room : 3 * room] + names[4 * room :])


@of(*DUMPS)
def test_known_sock_diag_does_not_say_that_a_dump_was_interrupted(
    kernel_target: KernelTarget, session: KernelSession
) -> None:
    names = [f"s{number}" for number in range(3 * kernel_target.records_max)]
    changes: list[Operation] = [Read(1), Remove("s5"), Add("new", "head"), Read(100), Remove("new"), Read(100)]
    history = run(session, kernel_target, [*adds(reversed(names), "head"), Open(), *changes, Read(None)])
    assert not any(read.interrupted for read in history.reads)
    assert history.reads[-1].is_the_end


def test_of_udp_sockets_that_share_a_port_only_the_first_is_destroyed() -> None:
    with here(KERNEL_UDP_DIAG).session() as session:
        need(KERNEL_UDP_DIAG, destroying=True)
        backend = begun(session, [*ABC, Open(), Add("D", "head"), Read(None, destroying=True)])
        assert not any(isinstance(event, Destroy) for event in backend.history.events)


def test_an_established_socket_that_returns_to_its_bucket_has_its_addresses_again() -> None:
    with here(KERNEL_TCP_DIAG).session() as session:
        need(KERNEL_TCP_DIAG, destroying=True)
        there, elsewhere = Bucket(0, "established"), Bucket(1, "established")
        operations: list[Operation] = [
            Add("A", "head", there),
            Open(),
            Rehash("A", elsewhere),
            Add("B", "head", there),
            Rehash("A", there),
        ]
        backend = begun(session, [*operations, Read(1, destroying=True)])
        assert backend.history.events[-1] == Destroy("A")
        backend.apply(Rehash("B", elsewhere))
        backend.apply(Remove("B"))


def test_known_sock_destroy_of_a_listener_that_shares_its_address_may_meet_another() -> None:
    # The kernel chooses one of them by a hash. So no target has such sockets: each listening socket has its own address.
    with here(KERNEL_TCP_DIAG).session() as session:
        need(KERNEL_TCP_DIAG, destroying=True)
        session.begin(Shape())
        with ExitStack() as stack:
            for _ in range(8):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind(("127.0.0.1", 45_000))
                sock.listen()
            walk = DiagWalk(inet_request(socket.AF_INET, socket.IPPROTO_TCP), INET_COOKIE_AT)

            def dumped() -> tuple[list[int], int]:
                reader = walk.open()
                received: list[int] = []
                destroyed = 0
                while some := list(reader.read(100)):
                    received += some
                    destroyed += sum(map(reader.destroy, some))
                reader.close()
                return received, destroyed

            listening = [dumped() for _ in range(3)]
        # All that were destroyed have left; the requests for the others met a socket with another cookie.
        for (before, destroyed), (after, _) in pairwise(listening):
            assert len(after) == len(before) - destroyed


# What does not go together


@pytest.mark.parametrize(
    ("target", "operation", "reason"),
    [
        (KERNEL_PROC_UDP, SILENT, "a silent `walk` (no program runs for its sockets)"),
        (KERNEL_UDP_DIAG, Read(5, unit="bytes"), "reads in bytes (the kernel chooses the size of a message)"),
        (KERNEL_UNIX, Read(5, destroying=True), ": destroying (bpf_sock_destroy takes TCP and UDP sockets only)"),
        (KERNEL_PROC_TCP, Read(5, destroying=True), ": destroying (no program runs for its sockets)"),
        (
            KERNEL_UNIX_DIAG,
            Read(5, destroying=True),
            ": destroying (the kernel destroys only TCP and UDP sockets on request)",
        ),
        (
            KERNEL_TCP_DIAG,
            Add("B", "head", properties=("unwanted",)),
            "sockets that the reader filters out, with `unwanted` (no program runs for its sockets)",
        ),
    ],
)
def test_a_reader_that_a_target_does_not_have_is_refused_with_the_reason(
    target: KernelTarget, operation: Operation, reason: str
) -> None:
    operations: list[Operation] = [Add("A", "head"), Open(), operation]
    why = refusal(target, operations, shape_of(operations))
    assert why is not None
    assert why.text == f"{target.name} does not support{'' if reason[0] == ':' else ' '}{reason}"


# As the model


Change = Callable[[Operation, Random], list[Operation]]


def read_again(operation: Operation, random: Random) -> list[Operation]:
    return [operation, Again()] if type(operation) is Read and random.random() < 0.3 else [operation]


def read_bytes(operation: Operation, random: Random) -> list[Operation]:
    if type(operation) is Read and (operation.count is not None or random.random() < 0.3):
        count = random.randrange(1, 70) if random.random() < 0.9 else random.randrange(1, 4_000)
        operation = replace(operation, count=count, unit="bytes", gives_up=False)
    return [operation]


def read_silently(operation: Operation, random: Random) -> list[Operation]:
    if type(operation) is Read and (operation.count is None or random.random() < 0.3):
        operation = replace(operation, count=None, unit="records", silent=True)
    return [operation]


def destroy(operation: Operation, random: Random) -> list[Operation]:
    return [replace(operation, destroying=random.random() < 0.7) if type(operation) is Read else operation]


def filter_out(operation: Operation, random: Random) -> list[Operation]:
    return [replace(operation, properties=("unwanted",)) if type(operation) is Add and random.random() < 0.4 else operation]


def in_any_way(*changes: Change) -> Change:
    def change(operation: Operation, random: Random) -> list[Operation]:
        operations = [operation]
        for one in changes:
            if random.random() < 0.5:
                operations = [new for old in operations for new in one(old, random)]
        return operations

    return change


READERS: dict[str, tuple[Change, frozenset[Feature], bool]] = {
    "again": (read_again, frozenset({"again"}), False),
    "bytes": (read_bytes, frozenset({"bytes"}), False),
    "silent": (read_silently, frozenset({"silent"}), False),
    "destroying": (destroy, frozenset(), True),
    "unwanted": (filter_out, frozenset({"unwanted"}), False),
    "mixed": (
        in_any_way(filter_out, read_bytes, read_silently, destroy, read_again),
        frozenset({"again", "bytes", "silent", "unwanted"}),
        True,
    ),
    "mixed-sparing": (
        in_any_way(filter_out, read_bytes, read_silently, read_again),
        frozenset({"again", "bytes", "silent", "unwanted"}),
        False,
    ),
}


def compared(target: KernelTarget, session: KernelSession, reader: str, sequences: int) -> None:
    """The kernel and the model of its scheme deliver the same in random sequences, read in this way."""
    change, features, destroying = READERS[reader]
    need(target, *features, destroying=destroying)
    scheme = next(scheme for scheme in SCHEMES if scheme.name == target.detected_scheme)
    conformance = Conformance(target, session, scheme, records_max=session.records_max, message_of=target.message_of)
    hazards = target.hazards & scheme.hazards - {"destroying"}
    room = replace(Room.of(target), features=frozenset())  # ordinary reads, which are changed here
    swarm, random = Swarm(f"readers/{reader}", hazards, room), Random(reader)
    done = 0
    for _ in range(3 * sequences):
        operations, slots = swarm.sequence()
        changed = tuple(new for old in operations for new in change(old, random))
        try:
            difference = conformance.compare((*changed, Read(None)), slots)
        except Inconclusive:
            continue
        if difference is not None:
            pytest.fail(str(conformance.case(conformance.shrunk(difference))))
        done += 1
        if done == sequences:
            return
    pytest.fail(f"only {done} sequences could be carried out")


# A file of /proc is read in another frame than the model's, and only again.
PAIRS = [
    pytest.param(target, reader, id=f"{target.name}-{reader}")
    for target in KERNEL_TARGETS
    for reader, (_, features, destroying) in READERS.items()
    if target.schemes and features <= target.reads and (not destroying or "destroying" in target.offers)
]
as_the_model = pytest.mark.parametrize(("kernel_target", "reader"), PAIRS, indirect=["kernel_target"])


@as_the_model
def test_a_reader_of_the_kernel_is_that_of_the_model(
    reader: str, kernel_target: KernelTarget, session: KernelSession
) -> None:
    compared(kernel_target, session, reader, 60)


@pytest.mark.slow
@as_the_model
def test_it_is_so_in_many_sequences(reader: str, kernel_target: KernelTarget, session: KernelSession) -> None:
    compared(kernel_target, session, reader, 1_000)
