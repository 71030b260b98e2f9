"""Walks over tracked connections: how their buckets are learned, and what ctnetlink and /proc/net/nf_conntrack return."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel import conntrack, tracker
from sockiter.kernel.conntrack import KERNEL_CONNTRACK, KERNEL_PROC_CONNTRACK, Connections
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.namespace import Namespace, private
from sockiter.kernel.tracker import ADDRESS_AT, NETFILTER, Tracker, address, entries_request, groups, number_in_walk, sources
from sockiter.operations import Bucket, Open, Read, Remove
from tests.support.kernel_reads import adds
from tests.support.kernel_targets import here


class Anywhere(Namespace):
    """A namespace in which every thread is."""

    def __init__(self) -> None: ...

    def stay(self) -> None: ...


class Hashed(Tracker):
    """A table of connections in the memory of this process, with so many buckets."""

    def __init__(self, buckets: int = 16) -> None:
        self._seed = buckets
        self.buckets: list[list[int]] = [[] for _ in range(buckets)]

    def bucket(self, number: int) -> list[int]:
        return self.buckets[Random(number).randrange(self._seed)]

    def make(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.bucket(number).insert(0, number)

    def delete(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.bucket(number).remove(number)

    def listed(self) -> list[int]:
        return [number_in_walk(number) for bucket in self.buckets for number in bucket]

    def close(self) -> None: ...


def test_the_buckets_of_connections_are_learned_from_two_dumps() -> None:
    table = Hashed()
    expected = [sorted((n for n in range(60) if table.bucket(n) is bucket), reverse=True) for bucket in table.buckets]
    assert groups(table, 60) == [bucket for bucket in expected if bucket]
    assert table.listed() == []


def test_a_connection_is_put_at_the_head_of_its_bucket_and_used_once() -> None:
    table = Hashed(2)
    connections = Connections(Anywhere(), table, groups(table, 6))
    first = connections.add("A", "head", Bucket(1))
    assert (len(connections), "A" in connections, connections.bucket("A")) == (1, True, Bucket(1))
    connections.remove("A")
    assert connections.add("B", "head", Bucket(1)) != first
    assert table.buckets[0] == []
    connections.close()
    connections.close()
    assert table.listed() == []
    with pytest.raises(Inconclusive, match="no more connections get into bucket 2 here"):
        connections.add("C", "head", Bucket(2))
    for number in range(len(table_of_six := groups(table, 6)[0])):
        connections.add(str(number), "head", Bucket())
    assert len(table.buckets[0]) == len(table_of_six)
    with pytest.raises(Inconclusive, match="bucket 0 here"):
        connections.add("D", "head", Bucket())


def test_an_address_has_the_same_width_for_every_number() -> None:
    texts = [".".join(map(str, address(number))) for number in (0, 127, 128, 99_999, (1 << 21) - 1)]
    assert texts == ["10.100.100.100", "10.100.100.227", "10.100.101.100", "10.106.113.131", "10.227.227.227"]


def test_a_line_is_read_by_its_source_address() -> None:
    line = b"ipv4 2 udp 17 9 src=10.100.100.101 dst=10.99.99.99 [UNREPLIED] src=10.99.99.99 dst=10.100.100.101 use=2\n"
    assert sources(line + b"a line of another kind\n") == [(number_in_walk(1), 0)]


@pytest.mark.parametrize(("buckets", "problem"), [("262144\n", "has 262144 buckets"), (None, "ENOENT"), ("512\n", None)])
def test_a_large_table_is_unavailable(
    buckets: str | None, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nf_conntrack_buckets"
    monkeypatch.setattr(tracker, "_BUCKETS", file)
    if buckets is not None:
        file.write_text(buckets)
    if problem is None:
        assert tracker.need_small_table(1024) == 512
    else:
        with pytest.raises(Unavailable, match=problem):
            tracker.need_small_table(1024)


def test_a_kernel_without_ctnetlink_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))

    monkeypatch.setattr(socket, "socket", refused)
    with pytest.raises(Unavailable, match="a socket of NETLINK_NETFILTER: EPROTONOSUPPORT"):
        Tracker()


class Small:
    """Stands in for a session's set-up: a small table in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table = Hashed(2)
        monkeypatch.setattr(conntrack, "private", lambda: self)
        monkeypatch.setattr(conntrack, "need_small_table", lambda _: 2)
        monkeypatch.setattr(conntrack, "Tracker", lambda: self.table)

    def __enter__(self) -> Namespace:
        return Anywhere()

    def __exit__(self, *_: object) -> None: ...


def test_a_session_of_a_dump_measures_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small(monkeypatch)
    measured: list[int] = []

    def measure(walk: DiagWalk, elements: Connections) -> DiagWalk:
        measured.append(elements.add("measured", "head", Bucket()))
        elements.close()
        return walk

    monkeypatch.setattr(DiagWalk, "measured", measure)
    with KERNEL_CONNTRACK.set_up() as session:
        assert session.make_elements(Shape()).add("A", "head", Bucket(1)) != measured[0]
    assert len(small.table.listed()) == 1


@pytest.mark.parametrize(("width", "problem"), [(180, None), (190, "has 190 bytes on this kernel: expected 180")])
def test_a_session_of_the_file_needs_lines_of_a_known_width(
    width: int, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Small(monkeypatch)
    monkeypatch.setattr(os, "open", lambda *_: os.pipe()[0])
    monkeypatch.setattr(os, "read", lambda *_: b"x" * (width - 1) + b"\n")
    if problem is None:
        with KERNEL_PROC_CONNTRACK.set_up() as session:
            assert session.walk.records_max == 22
            assert len(session.make_elements(Shape())) == 0
    else:
        with pytest.raises(Unavailable, match=problem):
            KERNEL_PROC_CONNTRACK.set_up().__enter__()


@pytest.fixture
def real() -> Iterator[Tracker]:
    """The kernel's own table, whatever its size, in a private namespace."""
    try:
        namespace = private()
        with namespace:
            table = Tracker()
            try:
                table.make([0])
                table.delete([0])
                yield table
            finally:
                table.close()
    except Unavailable as lack:
        pytest.skip(str(lack))


class TestOnThisKernel:
    def test_entries_come_and_go_and_a_dump_lists_them(self, real: Tracker) -> None:
        real.make(range(450))
        assert sorted(real.listed()) == sorted(map(number_in_walk, range(450)))
        walk = DiagWalk(entries_request(), ADDRESS_AT, 4, NETFILTER, "ctnetlink")
        assert walk.whole() == real.listed()
        real.delete(range(450))
        assert real.listed() == []

    def test_an_entry_that_is_there_cannot_be_made_again(self, real: Tracker) -> None:
        real.make([7])
        with pytest.raises(Unavailable, match="ctnetlink: EEXIST"):
            real.make([7])
        real.delete([7])
        with pytest.raises(Unavailable, match="ctnetlink: ENOENT"):
            real.delete([7])

    def test_a_bucket_is_a_list_with_a_head(self, real: Tracker) -> None:
        learned = groups(real, 2_000)
        assert sum(map(len, learned)) == 2_000
        together = next((bucket for bucket in learned if len(bucket) > 1), None)
        if together is None:
            pytest.skip("no two of 2,000 connections are in one bucket")
        for order in (together, together[::-1]):
            real.make(order)
            assert real.listed() == [number_in_walk(number) for number in reversed(order)]
            real.delete(order)

    def test_a_dump_repeats_a_bucket_whose_next_entry_was_deleted(self) -> None:
        target = here(KERNEL_CONNTRACK)
        more = target.message_records
        names = [f"A{number}" for number in range(more)]
        with target.session() as session:
            operations = (*adds(reversed([*names, "B"]), "head"), Open(), Remove("B"), Read(None))
            reads = run(session, target, operations).reads
        assert [read.delivered for read in reads] == [tuple(names), tuple(names), ()]
