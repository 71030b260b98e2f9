"""The BPF programs, on a simulated machine: the records they write, the sockets they destroy, and their stops."""

from __future__ import annotations

import struct

import pytest

from sockiter.kernel.bpf.programs import (
    ABOUT,
    ALLOCATION,
    ALLOCATIONS,
    ARMED,
    ASKED,
    DESTROY,
    DESTROYING,
    FILTERING,
    IDLE,
    MODE,
    POINT,
    RECORD,
    SHOW,
    SHOWS,
    SILENT,
    STATE,
    STORED,
    STORING,
    THREAD,
    TIMED_OUT,
    UNWANTED,
    InContext,
    MarkOffsets,
    OfSocket,
    OfWalk,
    entry_stop_program,
    record_program,
)
from tests.support.bpf_machine import LOG, OBJECTS, Machine

META, SEQ, SOCKET, WALK = OBJECTS, OBJECTS + 64, OBJECTS + 128, OBJECTS + 192
COOKIE = 0x1122334455667788
ME, OTHER = 7, 8
NAMESPACE = (0x400000004, 0xF0000002)


def walking(*, socket: int = SOCKET) -> Machine:
    """Where the kernel runs the program for a socket, whose cookie is at 16, and bucket at 8."""
    machine = Machine(cookies={SOCKET: COOKIE})
    struct.pack_into("<Q", machine.objects, META - OBJECTS, SEQ)
    struct.pack_into("<Q", machine.objects, SEQ - OBJECTS + 24, WALK)
    struct.pack_into("<IQ", machine.objects, SOCKET - OBJECTS + 8, 5, 0)
    struct.pack_into("<Q", machine.objects, SOCKET - OBJECTS + 16, COOKIE)
    struct.pack_into("<II", machine.objects, WALK - OBJECTS + 4, 9, 1)
    machine.pass_on(META, socket, 0, 3)
    return machine


@pytest.mark.parametrize(
    ("bucket", "written"),
    [(InContext(24), (COOKIE, 3, 0)), (OfSocket(8), (COOKIE, 5, 0)), (OfWalk(24, 4, 8), (COOKIE, 9, 1))],
)
def test_a_record_has_the_cookie_the_bucket_and_the_table(
    bucket: InContext | OfSocket | OfWalk, written: tuple[int, int, int]
) -> None:
    machine = walking()
    machine.run(record_program(bucket))
    assert machine.written == [(SEQ, RECORD.pack(*written))]


@pytest.mark.parametrize("with_page", [False, True])
def test_at_the_end_there_is_no_socket_and_nothing_is_written(with_page: bool) -> None:
    machine = walking(socket=0)
    machine.put(STATE, ARMED)
    machine.run(record_program(InContext(24), page=3, destroy=4, stops=True) if with_page else record_program(InContext(24)))
    assert (machine.written, machine.word(SHOWS)) == ([], 0)


def test_the_socket_to_destroy_is_destroyed_once_and_not_written() -> None:
    machine = walking()
    machine.put(DESTROY, COOKIE)
    program = record_program(InContext(24), page=3, destroy=4)
    machine.run(program)
    assert (machine.destroyed, machine.written, machine.word(DESTROY)) == ([SOCKET], [], 0)
    machine.run(program)
    assert (machine.destroyed, len(machine.written)) == ([SOCKET], 1)


def test_no_other_socket_is_destroyed() -> None:
    machine = walking()
    machine.put(DESTROY, COOKIE + (1 << 40))
    machine.run(record_program(InContext(24), page=3, destroy=4))
    assert (machine.destroyed, len(machine.written)) == ([], 1)


def test_without_a_page_it_writes_all_the_same() -> None:
    machine = walking()
    machine.has_page = False
    machine.run(record_program(InContext(24), page=3, destroy=4, stops=True))
    assert len(machine.written) == 1


def test_an_armed_program_stands_still_at_each_show_until_it_is_answered() -> None:
    asked: list[tuple[int, ...]] = []

    def answer(machine: Machine) -> None:
        if machine.word(STATE) == ASKED:
            asked.append(tuple(machine.word(at) for at in (POINT, SHOWS, ABOUT)))
            machine.put(DESTROY, COOKIE)
            machine.put(STATE, ARMED)

    machine = walking()
    machine.meanwhile = answer
    machine.put(STATE, ARMED)
    program = record_program(InContext(24), page=3, destroy=4, stops=True)
    machine.run(program)
    machine.run(program)
    assert asked == [(SHOW, 1, COOKIE), (SHOW, 2, COOKIE)]
    # A socket marked while the program stood still is destroyed when it goes on.
    assert (machine.destroyed, machine.written, machine.word(TIMED_OUT)) == ([SOCKET] * 2, [], 0)


def test_an_idle_program_does_not_stand_still() -> None:
    machine = walking()
    machine.run(record_program(InContext(24), page=3, destroy=4, stops=True))
    assert (len(machine.written), machine.word(SHOWS), machine.word(STATE)) == (1, 0, IDLE)


def test_a_program_without_an_answer_times_out_and_records_it() -> None:
    machine = walking()
    machine.put(STATE, ARMED)
    machine.run(record_program(InContext(24), page=3, stops=True))
    assert (machine.word(TIMED_OUT), len(machine.written)) == (1, 1)


# Modes


RECORD_BYTES = RECORD.pack(COOKIE, 3, 0)
MODES = record_program(InContext(24), page=3, destroy=4, log=LOG)


def in_mode(mode: int, **options: bool) -> Machine:
    machine = walking()
    for option, value in options.items():
        setattr(machine, option, value)
    machine.put(MODE, mode)
    return machine


def test_a_program_without_a_mode_writes_its_records_and_stores_none() -> None:
    machine = in_mode(0)
    machine.run(MODES)
    assert (machine.written, machine.word(STORED), machine.destroyed) == ([(SEQ, RECORD_BYTES)], 0, [])


def test_a_silent_program_stores_its_records_in_order_and_writes_none() -> None:
    machine = in_mode(STORING | SILENT)
    machine.run(MODES)
    machine.cookies[SOCKET] = 5
    machine.run(MODES)
    assert (machine.written, machine.word(STORED), machine.destroyed) == ([], 2, [])
    assert bytes(machine.log) == RECORD_BYTES + RECORD.pack(5, 3, 0)


def test_a_full_log_counts_on_and_nothing_is_destroyed() -> None:
    machine = in_mode(STORING | SILENT | DESTROYING)
    for _ in range(3):
        machine.run(MODES)
    assert (machine.word(STORED), machine.destroyed) == (3, [SOCKET, SOCKET])


def test_a_destroying_program_writes_and_stores_the_record_first() -> None:
    machine = in_mode(STORING | DESTROYING)
    machine.run(MODES)
    assert (machine.written, machine.word(STORED), machine.destroyed) == ([(SEQ, RECORD_BYTES)], 1, [SOCKET])


def test_a_socket_whose_record_does_not_fit_is_neither_stored_nor_destroyed() -> None:
    machine = in_mode(STORING | DESTROYING, has_room=False)
    machine.run(MODES)
    assert (machine.written, machine.word(STORED), machine.destroyed) == ([], 0, [])


def test_a_program_that_cannot_destroy_stores_all_the_same() -> None:
    machine = in_mode(STORING)
    machine.run(record_program(InContext(24), page=3, log=LOG))
    assert (len(machine.written), machine.word(STORED)) == (1, 1)


def test_without_a_page_there_is_no_mode() -> None:
    machine = in_mode(STORING | DESTROYING, has_page=False)
    machine.run(MODES)
    assert (len(machine.written), machine.word(STORED), machine.destroyed) == (1, 0, [])


MARKS = MarkOffsets(state=24, socket=28, request=32, time_wait=36)
FILTER = record_program(InContext(24), page=3, marks=MARKS)


@pytest.mark.parametrize(("state", "at"), [(1, 28), (10, 28), (12, 32), (6, 36)])
def test_an_unwanted_socket_is_left_out_by_the_mark_of_its_kind(state: int, at: int) -> None:
    machine = in_mode(FILTERING)
    machine.objects[SOCKET - OBJECTS + 24] = state
    machine.objects[SOCKET - OBJECTS + 25] = 0xFF  # the next member
    machine.run(FILTER)
    assert len(machine.written) == 1
    struct.pack_into("<I", machine.objects, SOCKET - OBJECTS + at, UNWANTED)
    machine.run(FILTER)
    assert len(machine.written) == 1
    machine.put(MODE, 0)
    machine.run(FILTER)
    assert len(machine.written) == 2


def test_an_unwanted_socket_is_neither_stored_nor_destroyed() -> None:
    machine = in_mode(STORING | SILENT | DESTROYING | FILTERING)
    struct.pack_into("<I", machine.objects, SOCKET - OBJECTS + 28, UNWANTED)
    machine.run(record_program(InContext(24), page=3, destroy=4, log=LOG, marks=MARKS))
    assert (machine.word(STORED), machine.destroyed) == (0, [])


# At the entries of functions


def entered(*arguments: int, thread: int | None = ME, armed: bool = True) -> Machine:
    """A thread enters a function of the kernel, and the test lets it continue."""

    def answer(machine: Machine) -> None:
        machine.put(STATE, ARMED)

    machine = walking()
    machine.meanwhile = answer
    machine.thread = thread
    machine.pass_on(*arguments)
    machine.put(THREAD, ME)
    machine.put(STATE, ARMED if armed else IDLE)
    return machine


def stopped(machine: Machine) -> tuple[int, ...]:
    """The point, its subject, and the numbers of shows and allocations."""
    return tuple(machine.word(at) for at in (POINT, ABOUT, SHOWS, ALLOCATIONS))


AT_SHOW = entry_stop_program("show", page=3, namespace=NAMESPACE, argument=1, cookie=16)
AT_GROWTH = entry_stop_program("allocation", page=3, namespace=NAMESPACE, argument=2)
AT_ANY = entry_stop_program("allocation", page=3, namespace=NAMESPACE, argument=1, unwarned=True)
AT_OLD_GROWTH = entry_stop_program("allocation", page=3, namespace=NAMESPACE, argument=None)
MAY_WAIT, UNWARNED = 0x80, 0x2000


def test_our_thread_stands_still_where_a_socket_is_about_to_be_shown() -> None:
    machine = entered(0, SOCKET)
    machine.run(AT_SHOW)
    assert stopped(machine) == (SHOW, COOKIE, 1, 0)
    assert machine.namespaces == [NAMESPACE]


def test_what_is_shown_before_the_first_socket_is_none() -> None:
    machine = entered(0, 1)
    machine.run(AT_SHOW)
    assert stopped(machine) == (0, 0, 0, 0)


@pytest.mark.parametrize("program", [AT_SHOW, AT_GROWTH, AT_ANY])
@pytest.mark.parametrize(
    "machine",
    [entered(0, SOCKET, thread=OTHER), entered(0, SOCKET, thread=None), entered(0, SOCKET, armed=False)],
    ids=["another thread", "nobody of ours", "not armed"],
)
def test_another_thread_is_not_stopped(machine: Machine, program: bytes) -> None:
    machine.run(program)
    assert stopped(machine) == (0, 0, 0, 0)


def test_without_a_page_no_thread_is_stopped() -> None:
    machine = entered(0, SOCKET)
    machine.has_page = False
    machine.run(AT_SHOW)
    assert stopped(machine) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("program", "flags", "others_can_act"),
    [(AT_GROWTH, (0, 0, MAY_WAIT), 1), (AT_GROWTH, (0, 0, 0x20), 0), (AT_OLD_GROWTH, (0, 0, 0), 1)],
    ids=["may wait", "holds a lock", "before there were flags"],
)
def test_a_growing_batch_stands_still_and_says_whether_a_lock_is_held(
    program: bytes, flags: tuple[int, ...], others_can_act: int
) -> None:
    machine = entered(*flags)
    machine.run(program)
    assert stopped(machine) == (ALLOCATION, others_can_act, 0, 1)


def test_only_allocations_without_warnings_belong_to_a_batch() -> None:
    machine = entered(0, MAY_WAIT)
    machine.run(AT_ANY)
    assert stopped(machine) == (0, 0, 0, 0)
    machine = entered(0, MAY_WAIT | UNWARNED)
    machine.run(AT_ANY)
    assert stopped(machine) == (ALLOCATION, 1, 0, 1)
    machine = entered(0, UNWARNED)
    machine.run(AT_ANY)
    assert stopped(machine) == (ALLOCATION, 0, 0, 1)


def test_a_program_at_an_entry_without_an_answer_times_out_too() -> None:
    machine = entered(0, SOCKET)
    machine.meanwhile = lambda _: None
    machine.run(AT_SHOW)
    assert machine.word(TIMED_OUT) == 1
