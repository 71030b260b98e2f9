"""The walk over the threads of a process, and the process whose threads come and go."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.kernel import thread_process as program
from sockiter.kernel import threads
from sockiter.kernel.threads import KERNEL_THREADS, ThreadProcess, Threads, thread_process
from sockiter.operations import Add, Bucket, Open, Read, Remove
from tests.support.command import wait_until
from tests.support.kernel_reads import adds
from tests.support.kernel_targets import here


@pytest.fixture
def process() -> Iterator[ThreadProcess]:
    if sys.platform != "linux":
        pytest.skip("threads are listed by Linux")
    with thread_process() as made:
        yield made


def threads_of(pid: int) -> set[int]:
    return set(map(int, os.listdir(f"/proc/{pid}/task")))


def test_threads_come_and_go_on_request(process: ThreadProcess) -> None:
    first, second = process.start(), process.start()
    assert threads_of(process.pid) == {process.pid, first, second}
    process.end(first)
    assert threads_of(process.pid) == {process.pid, second}


def test_the_process_ends_with_its_input() -> None:
    with thread_process() as made:
        made.start()
    wait_until(lambda: not os.path.exists(f"/proc/{made.pid}"))


def test_a_thread_that_does_not_exit_is_given_up(process: ThreadProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    number = process.start()
    monkeypatch.setattr(threads, "_PATIENCE_S", -1.0)
    monkeypatch.setattr(threads, "_is_there", lambda _: True)
    with pytest.raises(TooBusy, match="takes too long to exit"):
        process.end(number)


def test_a_process_that_has_ended_is_unavailable(process: ThreadProcess) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process._process.wait()
    with pytest.raises((Unavailable, BrokenPipeError)):
        process.start()


def test_a_process_that_says_nothing_is_unavailable() -> None:
    silent = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with silent, pytest.raises(Unavailable, match="has ended"):
        ThreadProcess(silent)


def serving(monkeypatch: pytest.MonkeyPatch, *requests: int, room: bool = True) -> list[int]:
    """What the process answers to these requests, behind its id."""
    left = [request.to_bytes(4, "little") for request in requests]
    answers: list[int] = []
    monkeypatch.setattr("sockiter.kernel.thread_process.os.read", lambda *_: left.pop(0) if left else b"")
    monkeypatch.setattr(
        "sockiter.kernel.thread_process.os.write", lambda _, answer: answers.append(int.from_bytes(answer, "little"))
    )
    monkeypatch.setattr("sockiter.kernel.thread_process._thread.stack_size", lambda _: None)
    if not room:

        def full(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr("sockiter.kernel.thread_process._thread.start_new_thread", full)
    program.serve()
    assert answers[0] == os.getpid()
    return answers[1:]


def test_a_request_for_a_thread_is_answered_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    (number,) = serving(monkeypatch, 0)
    assert number != os.getpid()


def test_a_thread_exits_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.kernel.thread_process._thread.get_native_id", lambda: 77)
    assert serving(monkeypatch, 0, 77) == [77]


def test_a_thread_says_its_id_and_stays_until_it_is_released() -> None:
    made: list[int] = []
    lock, started = _thread.allocate_lock(), _thread.allocate_lock()
    started.acquire()
    program.stay(made, lock, started)
    assert (len(made), lock.locked(), started.locked()) == (1, True, False)


def test_a_process_without_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serving(monkeypatch, 0, room=False) == [0]
    answering = object.__new__(ThreadProcess)
    monkeypatch.setattr(ThreadProcess, "_ask", lambda *_: None)
    monkeypatch.setattr(ThreadProcess, "_answer", lambda _: 0)
    with pytest.raises(Inconclusive, match="no room for another thread"):
        answering.start()


def test_other_ids_than_those_of_the_program_are_unavailable(process: ThreadProcess) -> None:
    class Elsewhere:
        def open(self) -> Any:
            return self

        def read(self, count: int) -> list[int]:
            return [count]

        def close(self) -> None: ...

    elsewhere: Any = Elsewhere()
    with pytest.raises(Unavailable, match=r"with one thread \d+ showed \[9\]: is this a PID namespace"):
        threads._need_same_ids(process, elsewhere)


class TestOnThisKernel:
    def test_a_walk_ends_when_the_thread_that_comes_next_exits(self) -> None:
        target = here(KERNEL_THREADS)
        with target.session() as session:
            operations = (*adds("ABCD"), Open(), Read(1), Remove("B"), Read(None))
            assert [read.delivered for read in run(session, target, operations).reads] == [("A",), ()]

    def test_a_walk_shows_new_threads_last(self) -> None:
        target = here(KERNEL_THREADS)
        with target.session() as session:
            operations = (*adds("AB"), Open(), Read(1), Add("C", "tail"), Read(None))
            assert [read.delivered for read in run(session, target, operations).reads] == [("A",), ("B", "C"), ()]

    def test_a_session_leaves_no_process(self) -> None:
        target = here(KERNEL_THREADS)
        with target.session() as session:
            elements = session.setup.make_elements(Shape())
            assert isinstance(elements, Threads)
            elements.add("A", "tail", Bucket())
            pid = elements._process.pid
            assert (len(elements), "A" in elements, elements.bucket("A")) == (1, True, Bucket())
            elements.close()
            assert threads_of(pid) == {pid}
        assert not os.path.exists(f"/proc/{pid}")
