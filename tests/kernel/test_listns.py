"""The walk over namespaces by listns(2), and the process that makes and keeps them."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel import libc, listns
from sockiter.kernel import namespace_process as program
from sockiter.kernel.listns import KERNEL_LISTNS, ListedNamespaces, ListnsWalk, NamespaceProcess, namespace_process
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Add, Bucket, Open, Read, Remove
from tests.support.kernel_reads import adds
from tests.support.kernel_targets import here


class Anywhere(Namespace):
    """A namespace in which every thread is."""

    def __init__(self) -> None: ...

    def stay(self) -> None: ...


class Growing:
    """A process that makes namespaces with ever-growing ids, and lists them as the kernel does."""

    owner, first = 7, 100

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._made = self.first

    def make(self) -> int:
        self._made += 1
        self.ids.append(self._made)
        return self._made

    def give_up(self, number: int) -> None:
        self.ids.remove(number)

    def listns(self, request: bytes, ids: Any) -> int:
        size, last, kinds, owner = listns._REQUEST.unpack(request)
        assert (size, kinds) == (32, 0x04000000)
        if not owner:
            return 0  # a probe
        assert owner == self.owner
        found = [number for number in self.ids if number > last][: len(ids)]
        if not found:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        ids[: len(found)] = found
        return len(found)


@pytest.fixture
def growing(monkeypatch: pytest.MonkeyPatch) -> Growing:
    made = Growing()
    monkeypatch.setattr(libc, "listns", made.listns)
    return made


def elements(growing: Any) -> ListedNamespaces:
    return ListedNamespaces(Anywhere(), growing)


def test_a_call_returns_as_many_ids_as_it_has_room_for(growing: Growing) -> None:
    listed = elements(growing)
    numbers = [listed.add(name, "tail", Bucket()) for name in "ABC"]
    assert (len(listed), "B" in listed, listed.bucket("B")) == (3, True, Bucket())
    reader = ListnsWalk(growing.owner, growing.first).open()
    assert list(reader.read(2)) == numbers[:2]
    listed.remove("B")
    assert list(reader.shown(reader.read(2))) == numbers[2:]
    assert list(reader.read(2)) == []
    listed.close()
    assert growing.ids == []
    assert list(ListnsWalk(growing.owner, growing.first).open().read(2)) == []


def test_another_error_than_that_of_the_end_is_that_of_the_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(libc, "listns", failing)
    with pytest.raises(OSError, match="Invalid argument"):
        ListnsWalk(1, 2).open().read(1)
    with pytest.raises(Unavailable, match=r"^listns\(2\), which requires Linux 6.19 or later: EINVAL"):
        KERNEL_LISTNS.set_up().__enter__()


def test_a_call_is_never_stopped() -> None:
    nothing: Any = None
    reader = ListnsWalk(1, 2).open()
    with pytest.raises(NotImplementedError):
        reader.read_with_stops(1, "records", nothing, nothing)
    reader.close()


def test_an_iteration_has_no_more_namespaces_than_a_call_has_room_for(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listns, "RECORDS_MAX", 0)
    with pytest.raises(Inconclusive, match="0 namespaces at a time"):
        elements(growing).add("A", "tail", Bucket())


def test_a_session_lists_the_namespaces_of_its_process(growing: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listns, "private", _Given(Anywhere()))
    monkeypatch.setattr(listns, "namespace_process", _Given(growing))
    with KERNEL_LISTNS.set_up() as session:
        made = session.make_elements(Shape())
        number = made.add("A", "tail", Bucket())
        assert list(session.walk.open().read(9)) == [number]


class _Given:
    def __init__(self, value: object) -> None:
        self._value = value

    def __call__(self) -> _Given:
        return self

    def __enter__(self) -> object:
        return self._value

    def __exit__(self, *_: object) -> None: ...


def test_the_process_speaks_as_it_is_asked() -> None:
    answers = b"".join(number.to_bytes(8, "little") for number in (7, 100, 101, 0))
    echo = f"import os; os.write(1, {answers!r}); os.read(0, 99)"
    talking = subprocess.Popen([sys.executable, "-c", echo], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    with talking:
        process = NamespaceProcess(talking)
        assert (process.owner, process.first, process.make()) == (7, 100, 101)
        process.give_up(101)
        talking.kill()


def test_a_process_that_ends_at_once_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(Unavailable, match="has ended: unshare"):
        namespace_process().__enter__()


class TestTheProgram:
    @pytest.fixture
    def kernel(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        calls: list[str] = []
        next_id = iter(range(50, 99))

        class Library:
            def unshare(self, flags: int) -> int:
                calls.append(f"unshare {flags:#x}")
                return 0

            def setns(self, fd: int, flags: int) -> int:
                calls.append(f"setns {fd} {flags:#x}")
                return -1 if fd < 0 else 0

        fds = iter(range(10, 99))
        monkeypatch.setattr("sockiter.kernel.namespace_process.ctypes.CDLL", lambda *_, **__: Library())
        monkeypatch.setattr("sockiter.kernel.namespace_process.os.open", lambda *_: next(fds))
        monkeypatch.setattr("sockiter.kernel.namespace_process.os.close", lambda fd: calls.append(f"close {fd}"))
        monkeypatch.setattr(
            "sockiter.kernel.namespace_process.fcntl.ioctl", lambda *_: next(next_id).to_bytes(8, sys.byteorder)
        )
        return calls

    def served(self, monkeypatch: pytest.MonkeyPatch, *requests: int) -> Sequence[int]:
        left = [request.to_bytes(8, "little") for request in requests]
        answers: list[int] = []
        monkeypatch.setattr("sockiter.kernel.namespace_process.os.read", lambda *_: left.pop(0) if left else b"")
        monkeypatch.setattr(
            "sockiter.kernel.namespace_process.os.write", lambda _, answer: answers.append(int.from_bytes(answer, "little"))
        )
        program.serve()
        return answers

    def test_makes_namespaces_and_gives_them_up(self, kernel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.served(monkeypatch, 0, 52) == [50, 51, 52, 0]
        assert kernel == ["unshare 0x14000000", "unshare 0x4000000", "setns 10 0x4000000", "close 12"]

    def test_ends_with_an_error_of_the_kernel(self, kernel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program, "_opened", lambda _: -1)
        with pytest.raises(OSError, match=r"^\[Errno"):
            self.served(monkeypatch, 0)


def test_the_call_gives_the_kernel_the_room_for_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    class Call:
        argtypes: Any = ()
        restype: Any = None

        def __call__(self, *arguments: Any) -> int:
            given.extend(arguments)
            return 2

    monkeypatch.setattr(libc, "_library", lambda: {"syscall": Call()})
    ids = (ctypes.c_uint64 * 5)()
    assert libc.listns(b"request", ids) == 2
    assert given == [470, b"request", ids, 5, 0]


def test_a_walk_on_this_kernel_goes_on_behind_the_last_id() -> None:
    target = here(KERNEL_LISTNS)
    with target.session() as session:
        operations = (*adds("ABCD"), Open(), Read(2), Remove("B"), Add("E", "tail"), Read(None))
        assert [read.delivered for read in run(session, target, operations).reads] == [("A", "B"), ("C", "D", "E"), ()]
