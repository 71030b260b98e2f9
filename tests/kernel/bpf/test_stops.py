"""Stops inside a read, with a thread in place of the kernel: requirements, and failed allocations. Needs no privileges."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockiter.errors import TooBusy, Unavailable
from sockiter.kernel.bpf import faults, setup
from sockiter.kernel.bpf import stops as module
from sockiter.kernel.bpf.loader import Walker
from sockiter.kernel.bpf.programs import (
    ABOUT,
    ALLOCATION,
    ALLOCATIONS,
    ARMED,
    ASKED,
    DESTROY,
    IDLE,
    PAGE,
    POINT,
    SHOW,
    SHOWS,
    STATE,
    THREAD,
    TIMED_OUT,
    InContext,
    MarkOffsets,
    entry_stop_program,
    record_program,
)
from sockiter.kernel.bpf.setup import LoadedIterator, load_iterator
from sockiter.kernel.bpf.stops import Stop, Stops, stoppable_reads, two_processors

FD, SIZE = 1000, 32


class Kernel:
    """A read of it stops at these points (each with its subject), as the programs do, and returns this."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *points: tuple[int, int], returns: bytes | OSError = b"done"
    ) -> None:
        self.words = memoryview(bytearray(PAGE)).cast("Q")
        self.points = points
        self.returns = returns
        self.given: tuple[int, int] = (0, 0)
        self.reader = 0
        self.met: list[int] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
        monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
        monkeypatch.setattr(os, "read", self.read)

    def read(self, fd: int, size: int) -> bytes:
        self.given, self.reader = (fd, size), threading.get_native_id()
        for point, about in self.points:
            if self.words[STATE // 8] != ARMED:
                break
            count = SHOWS if point == SHOW else ALLOCATIONS
            self.words[count // 8] += 1
            self.words[POINT // 8], self.words[ABOUT // 8] = point, about
            self.words[STATE // 8] = ASKED
            while self.words[STATE // 8] == ASKED:
                time.sleep(0)
            self.met.append(about)
        if isinstance(self.returns, OSError):
            raise self.returns
        return self.returns


def test_a_read_without_stops_is_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        assert stopping.read(FD, SIZE, lambda _: True) == b"done"
        assert stopping.at_entry
        assert kernel.words[THREAD // 8] == stopping.thread == kernel.reader != threading.get_native_id()
    assert kernel.given == (FD, SIZE)


def test_it_stands_still_at_each_point_and_says_which_until_there_is_nothing_left(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, (SHOW, 11), (ALLOCATION, 1), (ALLOCATION, 0), (SHOW, 12), (SHOW, 13))
    stops: list[Stop] = []

    def on_stop(stop: Stop) -> bool:
        stops.append(stop)
        return len(stops) < 4

    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        stopping.begin()
        assert stopping.read(FD, SIZE, on_stop) == b"done"
    assert stops == [Stop("show", 1, 11), Stop("realloc", 1), Stop("realloc", 2, others_can_act=False), Stop("show", 2, 12)]
    assert kernel.met == [11, 1, 0, 12]
    assert kernel.words[STATE // 8] == IDLE


def test_counting_begins_again_on_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, (SHOW, 11))
    stops: list[Stop] = []
    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        for begins in (True, False, True):
            if begins:
                stopping.begin()
            stopping.read(FD, SIZE, lambda stop: stops.append(stop) or True)  # type: ignore[func-returns-value]
    assert [stop.nth for stop in stops] == [1, 2, 1]


def test_an_error_of_a_read_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, (SHOW, 11), returns=OSError(errno.ENOMEM, "no"))
    with stoppable_reads(kernel.words, at_entry=True) as stopping, pytest.raises(OSError, match="no"):
        stopping.read(FD, SIZE, lambda _: True)


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt])
def test_trouble_while_a_read_stands_still_lets_it_go_on_to_its_end(
    trouble: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch, (SHOW, 11), (SHOW, 12))

    def on_stop(stop: Stop) -> bool:
        raise trouble

    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        with pytest.raises(trouble):
            stopping.read(FD, SIZE, on_stop)
        assert (kernel.met, kernel.words[STATE // 8]) == ([11], IDLE)
        assert stopping.read(FD, SIZE, lambda _: False) == b"done"


def test_a_program_that_timed_out_makes_its_result_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, (SHOW, 11))

    def on_stop(stop: Stop) -> bool:
        kernel.words[TIMED_OUT // 8] = 1
        return True

    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        with pytest.raises(TooBusy, match=r"^a stopped read timed out and continued: this machine is too busy$"):
            stopping.read(FD, SIZE, on_stop)
        # And the next one is not late for that.
        assert stopping.read(FD, SIZE, lambda _: True) == b"done"


def test_the_socket_to_destroy_stands_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    with stoppable_reads(kernel.words, at_entry=False) as stopping:
        stopping.destroy(1 << 63)
        assert kernel.words[DESTROY // 8] == 1 << 63
        assert not stopping.at_entry


# Processors


@pytest.mark.parametrize("processors", [{0, 1}, {2, 5}, {0, 1, 2}, {0, 1, 2, 3}, {1, 2, 4, 5, 8, 9, 10}])
def test_no_process_has_its_main_thread_where_the_reads_of_another_stand_still(
    processors: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two would wait for each other: a stopped program blocks all others on its processor."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)
    mains, readers = set(), set()
    for process in range(1000, 1020):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        main, reader = two_processors()
        assert {main, reader} <= processors
        mains.add(main)
        readers.add(reader)
    assert not mains & readers
    # All pairs are used.
    assert len(mains) == len(readers) == len(processors) // 2


def test_one_processor_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(Unavailable, match=r"^stopping a read requires two processors; there is one$"):
        two_processors()


# Watching functions of the kernel


class Types:
    """A kernel's types: these functions, each with the names of its arguments."""

    def __init__(self, **functions: list[str]) -> None:
        self.functions = functions

    def function(self, name: str) -> int | None:
        return list(self.functions).index(name) + 1 if name in self.functions else None

    def argument(self, function: int, name: str) -> int | None:
        names = list(self.functions.values())[function - 1]
        return names.index(name) if name in names else None

    def known(self, name: str) -> int:
        if (iterator := self.function(name)) is None:
            raise Unavailable(f"no {name}")
        return iterator


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """The watched functions, each with its program."""
    watched: list[tuple[str, bytes]] = []

    @contextmanager
    def at_entry(function: str, program: bytes) -> Iterator[None]:
        watched.append((function, program))
        yield
        watched.append((function, b""))

    monkeypatch.setattr(module, "at_entry", at_entry)
    monkeypatch.setattr(module, "kernel_member", lambda of, name: {"skc_cookie": 72, "skc_state": 18}[name])
    return watched


def kernel_has(monkeypatch: pytest.MonkeyPatch, types: Types) -> None:
    monkeypatch.setattr(module, "kernel_types", lambda: types)
    monkeypatch.setattr(module, "kernel_function", types.known)


GROWTH = "bpf_iter_udp_realloc_batch"


@pytest.mark.parametrize(
    ("types", "watched", "argument", "unwarned"),
    [
        (Types(**{GROWTH: ["iter", "new_batch_sz", "flags"]}), GROWTH, 2, False),
        (Types(**{GROWTH: ["iter", "new_batch_sz"]}), GROWTH, None, False),
        (Types(__kvmalloc_node_noprof=["size", "flags", "node"]), "__kvmalloc_node_noprof", 1, True),
        (Types(kvmalloc_node=["size", "flags", "node"]), "kvmalloc_node", 1, True),
    ],
    ids=["since 6.16", "before", "part of another function", "the same, before 6.10"],
)
def test_what_shows_and_what_allocates_is_watched(
    types: Types,
    watched: str,
    argument: int | None,
    unwarned: bool,
    entries: list[tuple[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel_has(monkeypatch, types)
    message = os.stat("/proc/self/ns/pid")
    namespace = message.st_dev, message.st_ino
    with module.attach_stops("udp", 3):
        assert entries == [
            (
                "bpf_iter_udp_seq_show",
                entry_stop_program("show", page=3, namespace=namespace, argument=1, cookie=72, state=18),
            ),
            (
                watched,
                entry_stop_program("allocation", page=3, namespace=namespace, argument=argument, unwarned=unwarned),
            ),
        ]
    assert [name for name, program in entries if not program] == [watched, "bpf_iter_udp_seq_show"]


def test_where_nothing_is_known_to_allocate_nothing_is_watched(
    entries: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_has(monkeypatch, Types())
    with pytest.raises(Unavailable, match=r"^no kvmalloc_node$"), module.attach_stops("udp", 3):
        pass
    assert entries == []


# Sessions without some capabilities


class Loader:
    """The kernel's ways to refuse: these calls, in these words; and which programs were loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **refused: str) -> None:
        self.refused = refused
        self.loaded: list[bytes] = []
        self.words = memoryview(bytearray(PAGE)).cast("Q")
        for name, outcome in {
            "shared_array": self._shared_array,
            "attach_stops": None,
            "stoppable_reads": self._stoppable_reads,
        }.items():
            monkeypatch.setattr(setup, name, self._context(name, outcome))
        monkeypatch.setattr(setup, "walker", self._walker)
        monkeypatch.setattr(setup, "kernel_function", self._function)
        monkeypatch.setattr(setup, "kernel_member", self._member)
        monkeypatch.setattr(setup, "need_faults", lambda: self._ask("need_faults"))

    def load_iterator(self, *, destroys: bool = True) -> LoadedIterator:
        with ExitStack() as stack:
            return load_iterator(stack, "udp", InContext(24), destroys=destroys)

    def _ask(self, name: str) -> None:
        if name in self.refused:
            raise Unavailable(self.refused[name])

    def _context(self, name: str, outcome: object) -> Callable[..., object]:
        @contextmanager
        def context(*given: int, **options: bool) -> Iterator[object]:
            self._ask(name)
            yield outcome(*given, **options) if callable(outcome) else outcome

        return context

    def _shared_array(self, _size: int, count: int = 1) -> tuple[int, memoryview]:
        if count > 1:
            self._ask("log")
        return (6 if count > 1 else 3), self.words

    def _stoppable_reads(self, _: memoryview, *, at_entry: bool) -> str:
        return "at entries" if at_entry else "in the program"

    @contextmanager
    def _walker(self, function: str, program: bytes) -> Iterator[Walker]:
        if b"\xe5" in program[::8]:
            self._ask("stopping")
        if program[::8].count(0x18) > 1:  # more maps than the page
            self._ask("storing")
        self._ask("walker")
        self.loaded.append(program)
        yield Walker(function.encode())

    def _function(self, name: str) -> int:
        assert name == "bpf_sock_destroy"
        self._ask("destroy")
        return 5

    def _member(self, of: str, name: str) -> int:
        self._ask(name)
        return {"skc_state": 8, "sk_mark": 12, "ir_mark": 16, "tw_mark": 20}[name]


PLAIN = record_program(InContext(24))
MARKS = MarkOffsets(8, 12, 16, 20)


def program(**options: Any) -> bytes:
    """The program with everything, but for these parts."""
    return record_program(InContext(24), **{"page": 3, "destroy": 5, "log": 6, "marks": MARKS, **options})


def test_with_everything_nothing_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch)
    iterator = loader.load_iterator()
    assert (iterator.walker, str(iterator.stops)) == (Walker(b"bpf_iter_udp"), "at entries")
    assert (iterator.destroys, iterator.unable, iterator.lacks) == (True, {}, {})
    assert loader.loaded == [program()]


def test_where_functions_cannot_be_watched_the_program_stops_itself_and_growth_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader = Loader(monkeypatch, attach_stops="it must not")
    iterator = loader.load_iterator()
    why = "functions of this kernel cannot be traced: it must not"
    assert str(iterator.stops) == "in the program"
    assert (iterator.destroys, iterator.unable) == (True, {"realloc": why, "enomem": why})
    assert loader.loaded == [program(stops=True)]


def test_without_fault_injection_only_refused_allocations_are_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Loader(monkeypatch, need_faults="not built in").load_iterator().unable == {"enomem": "not built in"}
    unable = Loader(monkeypatch, need_faults="not built in", attach_stops="no").load_iterator().unable
    assert unable == {"enomem": "not built in", "realloc": "functions of this kernel cannot be traced: no"}


@pytest.mark.parametrize("trouble", ["stopping", "stoppable_reads"])
def test_where_a_read_cannot_be_stopped_the_program_stores_and_destroys_all_the_same(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 6.9, whose verifier knows no loop of the program's kind, or with one processor."""
    loader = Loader(monkeypatch, attach_stops="no", **{trouble: "unknown opcode e5"})
    iterator = loader.load_iterator()
    why = "a read cannot be stopped, which requires Linux 6.9 or later: unknown opcode e5"
    assert (iterator.stops, iterator.destroys) == (None, True)
    assert iterator.unable == dict.fromkeys(("show", "realloc", "enomem"), why)
    assert (iterator.lacks, loader.loaded[-1]) == ({}, program())


def test_where_no_program_stores_records_reads_are_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch, storing="too large")
    iterator = loader.load_iterator()
    why = "this kernel does not load a program that stores records: too large"
    assert (str(iterator.stops), iterator.destroys) == ("at entries", True)
    assert (iterator.unable, iterator.lacks) == ({"destroying": why}, dict.fromkeys(("bytes", "silent", "unwanted"), why))
    assert loader.loaded == [program(log=None, marks=None)]


def test_where_nothing_else_can_be_loaded_the_plain_program_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch, attach_stops="no", stopping="unknown opcode e5", storing="too large")
    iterator = loader.load_iterator()
    assert (iterator.stops, iterator.destroys, loader.loaded) == (None, False, [PLAIN])
    assert set(iterator.unable) == {"show", "realloc", "enomem", "destroying"}
    assert set(iterator.lacks) == {"bytes", "silent", "unwanted"}


def test_without_a_map_there_is_no_log_and_without_offsets_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = Loader(monkeypatch, log="no memory", tw_mark="no such member")
    iterator = loader.load_iterator()
    no_log = "the program has no map for its records: no memory"
    assert iterator.unable == {"destroying": no_log}
    no_marks = "the program cannot see the mark of a socket: no such member"
    assert iterator.lacks == {"bytes": no_log, "silent": no_log, "unwanted": no_marks}
    assert loader.loaded == [program(log=None, marks=None)]


@pytest.mark.parametrize("destroys", [True, False])
def test_a_kernel_without_bpf_sock_destroy_closes_sockets_only(destroys: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 6.5; and UNIX sockets, nowhere."""
    loader = Loader(monkeypatch, **({"destroy": "no such function"} if destroys else {}))
    iterator = loader.load_iterator(destroys=destroys)
    assert not iterator.destroys
    why = "a program cannot destroy sockets, which requires Linux 6.5 or later: no such function"
    assert iterator.unable == ({"destroying": why} if destroys else {})
    assert loader.loaded == [program(destroy=None)]


def test_without_the_iterator_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"^no bpf_iter_udp$"):
        Loader(monkeypatch, walker="no bpf_iter_udp").load_iterator()


# Allocations that fail


@pytest.fixture
def injection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files of a kernel with fault injection for all processes."""
    monkeypatch.setattr(faults, "_FAIL_NTH", tmp_path / "fail-nth")
    monkeypatch.setattr(faults, "_FAILSLAB", tmp_path / "ignore-gfp-wait")
    (tmp_path / "fail-nth").write_text("0\n")
    (tmp_path / "ignore-gfp-wait").write_text("N\n")
    return tmp_path


def test_a_kernel_with_fault_injection_lacks_nothing(injection: Path) -> None:
    faults.need_faults()


def test_a_kernel_without_fault_injection_is_reported_what_it_takes(injection: Path) -> None:
    (injection / "fail-nth").unlink()
    message = f"no {injection}/fail-nth: the kernel was built without fault injection; see docs/how-to/other-kernels.md"
    with pytest.raises(Unavailable) as caught:
        faults.need_faults()
    assert str(caught.value) == message


def test_without_debugfs_it_is_not_known_whom_it_spares(injection: Path) -> None:
    (injection / "ignore-gfp-wait").unlink()
    with pytest.raises(Unavailable, match=rf"^open {injection}/ignore-gfp-wait: ENOENT"):
        faults.need_faults()


def test_a_setting_that_spares_what_can_wait_is_reported_and_left(injection: Path) -> None:
    (injection / "ignore-gfp-wait").write_text("Y\n")
    with pytest.raises(Unavailable, match=r"is 'Y', so only allocations that cannot wait fail; write N to it$"):
        faults.need_faults()
    assert (injection / "ignore-gfp-wait").read_text() == "Y\n"


def test_the_next_allocation_of_a_thread_fails_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(Path, "write_text", lambda self, text: written.append((str(self), text)))
    faults.fail_next(42)
    faults.fail_none(42)
    assert written == [("/proc/self/task/42/fail-nth", "1"), ("/proc/self/task/42/fail-nth", "0")]


def test_a_reader_is_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    before = threading.active_count()
    with stoppable_reads(kernel.words, at_entry=True) as stopping:
        assert isinstance(stopping, Stops)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
