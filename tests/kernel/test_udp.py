"""The running kernel's UDP iterator behind the protocols of `backend`.

The tests cover upstream's scenarios, the placement of sockets, and the absence of effects on the host.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence

import pytest

from sockiter.backend import Session, Shape
from sockiter.errors import Unavailable
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.operations import Add, Bucket, End, Open, Operation, Read, Remove
from tests.support import kernel_reads
from tests.support.kernel_reads import adds, begun

ENDS: tuple[End, ...] = ("head", "tail")
FD = "/proc/self/fd"


@pytest.fixture
def session(kernel_udp: KernelTarget) -> Iterator[KernelSession]:
    with kernel_udp.session() as session:
        yield session


def reads(session: Session, operations: Sequence[Operation]) -> list[str]:
    return kernel_reads.reads(KERNEL_UDP, session, operations)


def due(operations: Sequence[Operation], remembering: list[str]) -> list[str]:
    return kernel_reads.due(KERNEL_UDP, operations, remembering)


# The order of the walk


def test_a_socket_added_at_the_tail_is_delivered_last(session: KernelSession) -> None:
    assert reads(session, [*adds("AB"), Open(), *adds("C"), Read(None)]) == ["ABC", ""]


def test_a_socket_added_at_the_head_is_delivered_first(session: KernelSession) -> None:
    assert reads(session, [*adds("AB"), *adds("C", "head"), Open(), *adds("D", "head"), Read(None)]) == ["DCAB", ""]


def test_heads_and_tails_mix_in_one_bucket(session: KernelSession) -> None:
    backend = begun(session, [*adds("A", "head"), *adds("B"), *adds("C", "head"), *adds("D"), *adds("E", "head"), Open()])
    assert backend.state() == (("E", "C", "A", "B", "D"),)
    assert backend.history.opened == ("E", "C", "A", "B", "D")


def test_buckets_are_walked_in_ascending_order(session: KernelSession) -> None:
    operations: list[Operation] = [
        *adds("A", bucket=2),
        *adds("B", bucket=0),
        *adds("C", bucket=1),
        *adds("D", bucket=0),
        Open(),
        Read(None),
    ]
    assert reads(session, operations) == ["BDCA", ""]


def test_buckets_without_sockets_are_part_of_the_state(session: KernelSession) -> None:
    backend = begun(session, [*adds("A", bucket=3), *adds("B", bucket=1), Remove("A")])
    assert backend.state() == ((), ("B",), (), ())


def test_what_is_gone_before_open_is_not_in_the_history(session: KernelSession) -> None:
    history = begun(session, [*adds("ABC"), *adds("D", bucket=1), Remove("B"), Remove("D"), Open()]).history
    assert (history.opened, history.events) == (("A", "C"), [])


def test_a_history_has_changes_turns_and_reads_in_order(session: KernelSession) -> None:
    history = begun(session, [*adds("ABC"), Open(), Read(1), *adds("D"), Remove("C"), Read(5), Read(1)]).history
    assert history.events == [
        Shown("A"),
        Returned(("A",)),
        Add("D", "tail"),
        Remove("C"),
        Shown("B"),
        Shown("D"),
        Returned(("B", "D")),
        Returned(()),
    ]


def test_reading_an_empty_table_to_its_end_takes_one_read(session: KernelSession) -> None:
    assert reads(session, [Open(), Read(None)]) == [""]


def test_reading_the_state_does_not_move_the_iterator(session: KernelSession) -> None:
    backend = begun(session, [*adds("ABC"), Open(), Read(1)])
    for _ in range(2):
        assert backend.state() == (("A", "B", "C"),)
    backend.apply(Read(1))
    assert backend.history.reads[-1].delivered == ("B",)


# Upstream's scenarios, with reads of one record

ONE = Read(1)
FOUR = {"head": "DCBA", "tail": "ABCD"}


@pytest.mark.parametrize("end", ENDS)
def test_a_seen_socket_that_is_removed_hides_no_other(end: End, session: KernelSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, ONE, ONE, Remove(order[1]), ONE, ONE]
    assert reads(session, operations) == due(operations, [*order, ""])


@pytest.mark.parametrize("end", ENDS)
def test_an_unseen_socket_that_is_removed_is_not_delivered(end: End, session: KernelSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, Remove(order[1]), ONE, ONE, ONE]
    assert reads(session, operations) == [order[0], order[2], order[3], ""]


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_delivered_when_all_unseen_sockets_are_removed(end: End, session: KernelSession) -> None:
    order = FOUR[end]
    operations: list[Operation] = [*adds("ABCD", end), Open(), ONE, *map(Remove, order[1:]), ONE]
    assert reads(session, operations) == [order[0], ""]


def test_sockets_added_at_the_head_behind_the_iterator_are_not_seen(session: KernelSession) -> None:
    operations: list[Operation] = [*adds("ABCD", "head"), Open(), ONE, ONE, ONE, *adds("EFGH", "head"), ONE, ONE]
    assert reads(session, operations) == due(operations, [*"DCBA", ""])


def test_a_batch_that_has_to_grow_delivers_each_of_the_first_sixteen_once(session: KernelSession) -> None:
    first, more = "ABCDEFGHIJKLMNOP", "abcdefghijklmnop"
    delivered = reads(session, [*adds(first), Open(), ONE, *adds(more), Read(None)])
    assert delivered == ["A", first[1:] + more, ""]


@pytest.mark.parametrize("end", ENDS)
def test_a_bucket_of_more_than_sixteen_is_delivered_one_by_one(end: End, session: KernelSession) -> None:
    names = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
    operations: list[Operation] = [*adds(names, end), Open(), *[ONE] * (len(names) + 1)]
    assert reads(session, operations) == [*(names if end == "tail" else names[::-1]), ""]


@pytest.mark.parametrize("end", ENDS)
def test_a_port_whose_sockets_all_close_hides_no_other_port(end: End, session: KernelSession) -> None:
    first, second = [*adds("ABCD", end)], [*adds("EFGH", end, 1)]
    order = FOUR[end] + ("HGFE" if end == "head" else "EFGH")
    operations: list[Operation] = [*first, *second, Open(), ONE, ONE, ONE, *map(Remove, "ABCD"), *[ONE] * 5]
    assert reads(session, operations) == [*order[:3], *order[4:], ""]


# Limits


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for some 3,000 sockets; skips where the hard limit forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 3200
    if hard != resource.RLIM_INFINITY and hard < files:
        pytest.skip(f"RLIMIT_NOFILE: the hard limit is {hard}; this takes {files}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_one_read_returns_a_record_less_than_eight_pages_hold(session: KernelSession) -> None:
    names = tuple(f"s{number}" for number in range(3000))
    backend = begun(session, [*(Add(name, "tail") for name in names), Open(), Read(4096), Read(None)])
    returned = [read.delivered for read in backend.history.reads]
    room = KERNEL_UDP.records_max
    assert returned == [delivered for delivered in (names[:room], names[room:], ()) if delivered or room < 3000]
    assert backend.state() == (names,)


def test_a_small_table_has_as_many_buckets_as_are_asked_for(session: KernelSession) -> None:
    with pytest.raises(Unavailable, match=r"the kernel's UDP table has \d+ buckets here; the case needs 1000000"):
        session.begin(Shape((("", 1_000_000),)))
    backend = session.begin(Shape((("", 128),)))
    for number in range(128):
        backend.apply(Add(str(number), "tail", Bucket(number)))
    assert backend.state() == tuple((str(number),) for number in range(128))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape((("", 1), ("established", 1))), "kernel:udp has no table named 'established'"),
        (Shape(slots=2), "kernel:udp has 16 slots at open; the case needs 2"),
    ],
)
def test_a_shape_that_udp_does_not_have_is_refused(shape: Shape, message: str, session: KernelSession) -> None:
    with pytest.raises(Unavailable, match=message):
        session.begin(shape)
