"""One iteration, with simulated answers of the kernel: operations as calls, the recorded events, and the behaviour of other
kernels. Needs no privileges.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from sockiter.errors import Inconclusive, Unavailable
from sockiter.history import Event, Reopened, Returned, Shown
from sockiter.kernel.bpf.stops import OnStop, Stop
from sockiter.kernel.iteration import Iteration
from sockiter.operations import (
    READS_MAX,
    Add,
    Again,
    At,
    Bucket,
    Destroy,
    End,
    Fail,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
)
from tests.support.kernel_reads import adds, at_show, events

Reads = list[str] | OSError


class Kernel:
    """A stand-in for all parts of an iteration: sockets, a walk with its reader, and stops.

    A socket is known by the number of its adding, from 1. `reads` are the answers of reads, the last one for ever; at each
    of the `stops` a read stands still.
    """

    records_max = 7
    has_head = True
    interrupted = False
    at_entry = False
    thread = 77

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.numbers: dict[str, int] = {}
        self.places: dict[str, Bucket] = {}
        self.reads: list[Reads] = [[]]
        self.stops: list[Stop] = []
        self.asked: list[int] = []
        self.destroyed: list[int] = []
        self.closed = 0
        self.is_cut = False
        self.ages: list[int] = []
        self.stored: list[list[str]] = []
        self.marked: list[str] = []

    # Sockets

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def enter(self) -> None:
        self.calls.append("enter")

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.calls.append(f"add {name} {end} {bucket}")
        if unwanted:
            self.marked.append(name)
        self.numbers[name] = len(self.numbers) + 1
        self.places[name] = bucket
        return self.numbers[name]

    def remove(self, name: str) -> None:
        self.calls.append(f"remove {name}")
        del self.places[name]

    release = remove

    def reinsert(self, name: str, end: End) -> None:
        self.calls.append(f"reinsert {name} {end}")

    def rehash(self, name: str, bucket: Bucket) -> bool:
        self.calls.append(f"rehash {name} {bucket}")
        moved = self.places[name] != bucket
        self.places[name] = bucket
        return moved

    def bucket(self, name: str) -> Bucket:
        return self.places[name]

    def check_room(self, elements: Mapping[Bucket, int]) -> None:
        self.wanted = dict(elements)

    def small(self, name: str) -> None:
        """None of them is smaller than a socket."""

    def prepare(self, changes: int) -> None:
        self.calls.append(f"prepare {changes}")

    def sweep(self) -> None:
        self.calls.append("sweep")

    def close(self) -> None:
        self.closed += 1

    # The walk, and its reader

    def open(self) -> Kernel:
        return self

    def _answer(self) -> Sequence[int]:
        answer = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        if isinstance(answer, OSError):
            raise answer
        return [self.numbers.get(name, 99) for name in answer]

    def read(self, count: int, unit: str = "records") -> Sequence[int]:
        self.asked.append(count)
        return self._answer()

    def read_with_stops(self, count: int, unit: str, stops: Any, on_stop: OnStop) -> Sequence[int]:
        while self.stops and on_stop(self.stops.pop(0)):
            pass
        return self.read(count, unit)

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned

    # Stops

    def begin(self, read: Read | None = None, *, filters: bool = False) -> bool:
        self.calls.append("begin" if read is None else f"mode{' filtering' * filters}")
        return read is not None and (read.silent or read.destroying or read.unit == "bytes")

    def end(self) -> None:
        self.calls.append("end")

    def take(self) -> list[int]:
        return [self.numbers[name] for name in self.stored.pop(0)]

    def destroy(self, cookie: int) -> None:
        self.destroyed.append(cookie)

    # Of tests

    def stop(self, at: str, nth: int, name: str = "", *, others_can_act: bool = True) -> None:
        point = "show" if at == "show" else "realloc"
        self.stops.append(Stop(point, nth, self.numbers.get(name, 0), others_can_act))  # type: ignore[arg-type]


Begin = Callable[..., Iteration]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def begin(kernel: Kernel) -> Iterator[Begin]:
    """Begins an iteration, and carries out these operations."""
    begun: list[Iteration] = []

    def begin_one(
        *operations: Operation, buckets: int = 1, stops: bool = True, destroys: bool = True, modes: bool = True
    ) -> Iteration:
        made: Any = kernel
        order = [Bucket(number, "first") for number in range(buckets)]
        stopping, switching = made if stops else None, made if modes else None
        one = Iteration("kernel:any", made, made, order, stopping, destroys=destroys, modes=switching)
        begun.append(one)
        for operation in operations:
            one.apply(operation)
        kernel.calls.clear()
        return one

    yield begin_one
    for one in begun:
        one.close()


AB = adds("BA", "head")


def happened(backend: Iteration) -> list[Event]:
    return list(backend.history.events)


# Before open


def test_before_open_no_socket_is_made(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Remove("B"), *adds("C"), Reinsert("A", "tail"))
    assert (kernel.numbers, backend.state(), events(backend)) == ({}, (("C", "A"),), [])


def test_what_is_arranged_is_what_a_table_would_be(begin: Begin) -> None:
    backend = begin(
        *adds("ABC"),
        *adds("D", "head", 1),
        Rehash("B", Bucket(1)),
        Rehash("D", Bucket(1, "first")),
        Reinsert("C", "head"),
        buckets=2,
    )
    assert backend.state() == (("C", "A"), ("B", "D"))


def test_at_open_they_are_made_bucket_by_bucket_last_first_at_the_head(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*adds("AB"), *adds("CD", "tail", 1), buckets=2)
    backend.apply(Open())
    made = [f"add {name} head first:{number}" for name, number in (("B", 0), ("A", 0), ("D", 1), ("C", 1))]
    assert kernel.calls == [*made, "enter"]
    assert backend.history.opened == ("A", "B", "C", "D")


def test_at_open_they_are_made_first_to_last_where_there_is_no_head(begin: Begin, kernel: Kernel) -> None:
    kernel.has_head = False
    begin(*adds("AB")).apply(Open())
    assert kernel.calls == ["add A tail first:0", "add B tail first:0", "enter"]


# Reads


def test_room_is_asked_for_before_a_socket_is_made(begin: Begin, kernel: Kernel) -> None:
    begin(*AB, *adds("C", bucket=1), Open(), buckets=2)
    assert kernel.wanted == {Bucket(0, "first"): 2, Bucket(1, "first"): 1}


def test_a_read_that_fails_returns_the_name_of_its_errno(begin: Begin, kernel: Kernel) -> None:
    kernel.reads = [OSError(errno.ENOMEM, ""), OSError(524, "")]
    backend = begin(*AB, Open(), Read(1), Read(1))
    assert happened(backend) == [Returned((), "ENOMEM"), Returned((), "524")]


def test_reading_to_the_end_goes_on_after_an_error(begin: Begin, kernel: Kernel) -> None:
    kernel.reads = [OSError(errno.ENOMEM, ""), ["A"], []]
    backend = begin(*AB, Open(), Read(None))
    assert happened(backend) == [Returned((), "ENOMEM"), Shown("A"), Returned(("A",)), Returned(())]
    assert kernel.asked == [8] * 3


def test_reading_until_an_error_ends_with_one(begin: Begin, kernel: Kernel) -> None:
    kernel.reads = [["A"], OSError(errno.ENOMEM, ""), ["B"]]
    backend = begin(*AB, Open(), Read(None, gives_up=True))
    assert happened(backend)[-1] == Returned((), "ENOMEM")


def test_reading_to_an_end_that_never_comes_is_given_up(begin: Begin, kernel: Kernel) -> None:
    kernel.reads = [["A"]]
    backend = begin(*AB, Open(), Read(None))
    assert len(kernel.asked) == READS_MAX
    assert events(backend)[-1] == "GaveUp()"


def test_a_socket_that_is_not_ours_is_an_internal_error(begin: Begin, kernel: Kernel) -> None:
    kernel.reads = [["foreign"]]
    backend = begin(*AB, Open())
    with pytest.raises(RuntimeError, match="kernel:any delivered socket number 99, which does not belong to this"):
        backend.apply(Read(1))


@pytest.mark.parametrize("reads", [[OSError(errno.ENOMEM, "")], [["A"]], [["A"], []]])
def test_a_state_from_an_incomplete_walk_is_unknown(reads: list[Reads], begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = reads
    closed = kernel.closed
    assert backend.state() is None
    assert kernel.closed == closed + 1


def test_a_state_is_the_result_of_a_fresh_walk(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, *adds("C", "head", 1), Open(), buckets=2)
    kernel.reads = [["B", "A"], ["C"], []]
    assert backend.state() == (("B", "A"), ("C",))
    assert backend.place() == ""


def test_a_move_to_where_a_socket_is_leaves_no_trace(begin: Begin) -> None:
    backend = begin(*AB, Open(), Rehash("A", Bucket(0)), Rehash("A", Bucket(1)), buckets=2)
    assert events(backend) == ["Rehash(name='A', bucket=Bucket(number=1, table=''))"]


def test_nothing_happens_inside_a_read_that_cannot_be_stopped(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open(), stops=False)
    with pytest.raises(Unavailable, match=r"^kernel:any does not support changes inside a read here$"):
        backend.apply(at_show(1, Remove("B")))


def test_closing_twice_closes_the_walk_once(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    backend.close()
    backend.close()
    assert kernel.closed == 3  # the walk, and the sockets, which do not mind


# Ways of reading


SILENT = Read(None, silent=True)


def test_a_silent_read_delivers_what_the_program_stored_and_is_the_end(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.stored = [["A", "B"]]
    backend.apply(SILENT)
    assert happened(backend) == [Shown("A"), Shown("B"), Returned(("A", "B"), silent=True)]
    assert kernel.calls == ["begin", "mode", "end", "sweep"]


def test_a_silent_read_that_fails_delivers_all_the_same(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = [OSError(errno.ENOMEM, ""), []]
    kernel.stored = [["A"], ["B"]]
    backend.apply(SILENT)
    assert happened(backend) == [
        Shown("A"),
        Returned(("A",), "ENOMEM", silent=True),
        Shown("B"),
        Returned(("B",), silent=True),
    ]


def test_a_silent_read_hands_out_first_what_was_left(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = [[], ["A"], []]
    kernel.is_cut = True
    kernel.stored = [["A"], [], ["B"]]
    backend.apply(Read(3, unit="bytes"))
    kernel.is_cut = False
    backend.apply(SILENT)
    assert happened(backend) == [
        Shown("A"),
        Returned((), cut=True),
        Returned(("A",)),
        Shown("B"),
        Returned(("B",), silent=True),
    ]


def test_a_destroyed_socket_leaves_once_it_was_shown(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = [OSError(errno.ENOMEM, ""), ["A"]]
    kernel.stored = [["A"], []]
    backend.apply(Read(1, destroying=True))
    backend.apply(Read(1, destroying=True))
    # A record that was stored by a read that failed is returned by the next one.
    assert happened(backend) == [Shown("A"), Destroy("A"), Returned((), "ENOMEM"), Returned(("A",))]
    assert (list(kernel.places), kernel.calls.count("remove A")) == (["B"], 1)


def test_a_change_of_a_destroyed_socket_has_no_effect(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = [["A"]]
    kernel.stored = [["A"]]
    backend.apply(Read(1, destroying=True))
    for change in (Remove("A"), Reinsert("A", "tail"), Rehash("A", Bucket(0)), Remove("B")):
        backend.apply(change)
    assert happened(backend)[3:] == [Remove("B")]


def test_a_socket_is_destroyed_between_its_stop_and_the_next(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open())
    watched.stop("show", 1, "A")
    watched.stop("show", 2, "B")
    watched.stored = [["A", "B"]]
    backend.apply(Read(None, (At("show", 2, Remove("A")), At("show", 2, Add("C", "head"))), silent=True, destroying=True))
    assert happened(backend) == [
        *(Shown("A"), Destroy("A"), Add("C", "head"), Shown("B"), Destroy("B")),
        Returned(("A", "B"), silent=True),
    ]


def test_bytes_left_by_a_read_that_stored_are_handed_out_by_any_read(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.reads = [[], ["A"]]
    kernel.is_cut = True
    kernel.stored = [["A"]]
    backend.apply(Read(3, unit="bytes"))
    backend.apply(Read(1))
    assert happened(backend) == [Shown("A"), Returned((), cut=True), Returned(("A",), cut=True)]


def test_an_unwanted_socket_is_marked_filtered_out_and_owed_to_nobody(begin: Begin, watched: Kernel) -> None:
    unwanted = [Add(name, "head", properties=("unwanted",)) for name in "UV"]
    backend = begin(*AB, unwanted[0], Open(), unwanted[1])
    assert (backend.history.opened, watched.marked) == (("A", "B"), ["U", "V"])
    watched.stop("show", 1, "U")
    watched.stop("show", 2, "A")
    watched.reads = [["A"]]
    backend.apply(at_show(2, Add("C", "head"), count=1))
    assert happened(backend) == [unwanted[1], Add("C", "head"), Shown("A"), Returned(("A",))]
    assert "mode filtering" in watched.calls


def test_a_second_pass_begins_with_a_new_walk(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.stored = [["A"]]
    kernel.is_cut = True
    backend.apply(Read(3, unit="bytes"))
    closed = kernel.closed
    backend.apply(Again())
    assert (kernel.closed, happened(backend)[-1]) == (closed + 1, Reopened())
    kernel.reads = [["A"]]
    kernel.is_cut = False
    backend.apply(Read(1))
    # What was left is gone, so that it is shown anew.
    assert happened(backend)[-2:] == [Shown("A"), Returned(("A",))]


def test_a_line_is_recorded_in_the_read_that_produced_it(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open(), modes=False)
    kernel.is_cut = True
    kernel.reads = [[], [], ["A", "B"]]
    two = Read(3, unit="bytes")
    for operation in (two, Remove("A"), two):
        backend.apply(operation)
    kernel.is_cut, kernel.ages = False, [2, 0]
    backend.apply(two)
    assert happened(backend) == [
        *(Shown("A"), Returned((), cut=True)),
        *(Remove("A"), Returned((), cut=True)),
        *(Shown("B"), Returned(("A", "B"))),
    ]


def test_a_line_is_not_recorded_before_its_socket_was_added(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open(), modes=False)
    new = Add("C", "head")
    kernel.reads = [["B"], ["C"]]
    for operation in (Read(3, unit="bytes"), *adds("D", "head"), new):
        backend.apply(operation)
    kernel.ages = [1]
    backend.apply(Read(3, unit="bytes"))
    assert happened(backend)[-3:] == [new, Shown("C"), Returned(("C",))]


# Stops at the entries of functions, where nothing is locked and gone sockets have their turns


@pytest.fixture
def watched(kernel: Kernel) -> Kernel:
    kernel.at_entry = True
    return kernel


def test_what_may_be_needed_is_learned_before_a_read_that_stops(begin: Begin, kernel: Kernel) -> None:
    begin(*AB, Open()).apply(at_show(1, *adds("CD", "head")))  # type: ignore[arg-type]  # adds are changes
    assert kernel.calls[:2] == ["prepare 2", "begin"]


def test_the_turn_of_each_socket_stands_before_what_happens_at_the_next(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open())
    watched.stop("show", 1, "A")
    watched.stop("show", 2, "B")
    watched.reads = [["A", "B"]]
    backend.apply(at_show(2, Add("C", "head"), count=2))
    assert [event.split("(")[0] for event in events(backend)] == ["Shown", "Add", "Shown", "Returned"]


def test_a_socket_that_is_removed_at_its_own_turn_is_released_to_the_program(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open())
    watched.stop("show", 1, "A")
    watched.reads = [["B"]]
    backend.apply(at_show(1, Remove("A"), count=1))
    assert watched.destroyed == [watched.numbers["A"]]
    assert [event.split("(")[0] for event in events(backend)] == ["Remove", "Shown", "Returned"]


def test_where_no_program_destroys_it_is_removed_by_a_call(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open(), destroys=False)
    watched.stop("show", 1, "A")
    watched.reads = [["B"]]
    backend.apply(at_show(1, Remove("A"), count=1))
    assert (watched.destroyed, "remove A" in watched.calls) == ([], True)


def test_the_very_socket_that_is_shown_can_be_moved_there(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open())
    watched.stop("show", 1, "A")
    watched.reads = [["A"]]
    backend.apply(at_show(1, Reinsert("A", "tail"), count=1))
    assert "reinsert A tail" in watched.calls


def test_the_turn_of_a_socket_that_is_gone_is_counted_and_shows_nothing(begin: Begin, watched: Kernel) -> None:
    backend = begin(*AB, Open())
    for nth, name in enumerate("ABA", start=1):
        watched.stop("show", nth, name)
    watched.reads = [["A"]]
    backend.apply(Read(3, (At("show", 1, Remove("B")), At("show", 3, Add("C", "head")))))
    assert [event.split("(")[0] for event in events(backend)] == ["Remove", "Shown", "Add", "Returned"]


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose next allocation was made to fail, and whose none."""
    done: list[str] = []
    monkeypatch.setattr("sockiter.kernel.iteration.fail_next", lambda thread: done.append(f"next of {thread}"))
    monkeypatch.setattr("sockiter.kernel.iteration.fail_none", lambda thread: done.append(f"none of {thread}"))
    return done


def test_a_growing_batch_lets_things_happen_or_fails(begin: Begin, watched: Kernel, failed: list[str]) -> None:
    backend = begin(*AB, Open())
    watched.stop("realloc", 1)
    watched.stop("realloc", 2, others_can_act=False)
    watched.reads = [OSError(errno.ENOMEM, "")]
    changes = (At("realloc", 1, Add("C", "head")), At("realloc", 2, Fail()), At("realloc", 2, Add("D", "head")))
    backend.apply(Read(1, changes))
    assert failed == ["next of 77", "none of 77"]
    # While the bucket's lock is held, no socket can be added; the addition happens after the read.
    assert [event.split("'")[1] for event in events(backend)] == ["C", "ENOMEM", "D"]


def test_an_allocation_that_never_comes_fails_nothing(begin: Begin, watched: Kernel, failed: list[str]) -> None:
    backend = begin(*AB, Open())
    watched.reads = [["A"]]
    backend.apply(Read(1, (At("realloc", 1, Fail()),)))
    assert failed == ["none of 77"]
    assert [event.split("(")[0] for event in events(backend)] == ["Shown", "Returned"]


# Stops in the program, which holds the socket's lock, and is not run for one that is gone


def test_a_socket_cannot_be_moved_while_it_is_shown(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.stop("show", 1, "A")
    with pytest.raises(Inconclusive, match=r"^kernel:any: this kernel holds the lock of socket A while it is shown$"):
        backend.apply(at_show(1, Reinsert("A", "tail")))


def test_behind_a_socket_that_is_gone_turns_are_not_counted(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*adds("CBA", "head"), Open())
    kernel.stop("show", 1, "A")
    kernel.stop("show", 2, "C")
    with pytest.raises(Inconclusive, match=r"the turn of a removed socket: B$"):
        backend.apply(Read(None, (At("show", 1, Remove("B")), At("show", 3, Add("D", "head")))))


def test_nor_are_those_that_never_came(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*adds("CBA", "head"), Open())
    kernel.stop("show", 1, "A")
    kernel.reads = [["A"]]
    with pytest.raises(Inconclusive, match=r"the turn of a removed socket: B$"):
        backend.apply(Read(1, (At("show", 1, Remove("B")), At("show", 2, Add("D", "head")))))


def test_a_change_that_is_past_before_its_socket_is_there_is_none(begin: Begin, kernel: Kernel) -> None:
    backend = begin(*AB, Open())
    kernel.stop("show", 1, "A")
    kernel.reads = [["A"]]
    inside = (At("show", 1, Remove("C")), At("show", 1, Rehash("A", Bucket(0))), At("show", 9, Add("C", "head")))
    backend.apply(Read(1, inside))
    assert [event.split("(")[0] for event in events(backend)] == ["Shown", "Returned", "Add"]
