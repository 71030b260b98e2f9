"""The frames: which bytes or messages a call returns, and how far the walk goes for it.

Schemes that follow a script stand in for a walk.
"""

from __future__ import annotations

import pytest

from sockiter.backend import run
from sockiter.cases import loads
from sockiter.frames import FRAMES, frame_of, reads
from sockiter.frames.bpf_seq import RECORD_BYTES
from sockiter.frames.seq_file import PAGE
from sockiter.history import Reopened, Returned, Shown
from sockiter.operations import Add, Again, Open, Operation, Read, Remove
from sockiter.readers import PARTIAL, READERS, SILENT, WHOLE
from sockiter.schemes import SCHEMES
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.proc_tcp import ProcTcp
from sockiter.schemes.proc_udp import ProcUdp
from sockiter.schemes.scheme import FrameName
from sockiter.schemes.udp_diag import UdpDiag
from sockiter.schemes.unix_diag import UnixDiag
from sockiter.simulation import SchemeTarget, Simulation
from tests.test_simulation import Steps, adds, done, error

END = Returned(())


class Lines(Steps):
    """A file with lines of ten bytes."""

    frame: FrameName = "seq_file"
    line_bytes = 10


class Messages(Steps):
    """A dump."""

    frame: FrameName = "netlink"


def opened(scheme: Steps, **limits: int) -> Simulation:
    return done(scheme, adds("".join(str(step) for step in scheme.steps if isinstance(step, str))), Open(), **limits)


def read_bytes(simulation: Simulation, *sizes: int) -> list[Returned]:
    before = len(simulation.history.reads)
    for size in sizes:
        simulation.apply(Read(size, unit="bytes"))
    return simulation.history.reads[before:]


def got(names: str, *, cut: bool = False) -> Returned:
    return Returned(tuple(names), cut=cut)


def shown(simulation: Simulation) -> str:
    return "".join(event.name for event in simulation.history.events if isinstance(event, Shown))


def test_a_scheme_without_a_frame_is_walked_by_a_bpf_iterator() -> None:
    assert frame_of(CookieUdp()) is frame_of(Steps()) is FRAMES["bpf_seq"]
    assert [frame_of(scheme) for scheme in (ProcUdp(), ProcTcp(), UdpDiag())] == [
        *[FRAMES["seq_file"]] * 2,
        FRAMES["netlink"],
    ]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_target_has_the_features_of_its_frame(scheme: Steps) -> None:
    assert SchemeTarget(scheme).features == frame_of(scheme).features


def test_only_programs_can_be_silent_and_no_reader_of_a_file_destroys() -> None:
    assert all(reads(CookieUdp(), reader) for reader in READERS)
    assert [reader for reader in READERS if reads(UdpDiag(), reader)] == [r for r in READERS if not r.silent]
    for scheme in (ProcUdp(), UnixDiag()):
        assert [reader for reader in READERS if reads(scheme, reader)] == [
            reader for reader in READERS if not reader.silent and not reader.destroys
        ]
        assert (reads(scheme, PARTIAL), reads(scheme, WHOLE), reads(scheme, SILENT)) == (True, True, False)


class TestABpfIterator:
    def test_returns_a_record_with_its_last_byte(self) -> None:
        simulation = opened(Steps(*"ABC"))
        assert read_bytes(simulation, 20, 11, 1, 99, 99) == [got("A", cut=True), got("", cut=True), got("B"), got("C"), END]

    def test_returns_the_rest_of_a_record_alone(self) -> None:
        simulation = opened(Steps(*"ABC"))
        assert read_bytes(simulation, 20, 12) == [got("A", cut=True), got("B")]
        assert shown(simulation) == "AB"
        assert read_bytes(simulation, 5 * RECORD_BYTES) == [got("C")]


class TestAFile:
    def test_returns_whole_lines_as_a_bpf_iterator_returns_records(self) -> None:
        simulations = [opened(Steps(*"ABCDE")), opened(Lines(*"ABCDE"))]
        for simulation in simulations:
            for operation in (Read(2), Read(1), Read(None)):
                simulation.apply(operation)
        assert simulations[0].history.events == simulations[1].history.events

    def test_goes_on_behind_the_rest_of_a_line(self) -> None:
        simulation = opened(Lines(*"ABCD"))
        assert read_bytes(simulation, 15, 15, 20) == [got("A", cut=True), got("BC"), got("D")]

    def test_goes_one_line_ahead_where_a_read_ends_with_the_rest_of_a_line(self) -> None:
        simulation = opened(Lines(*"ABCD"))
        assert read_bytes(simulation, 15) == [got("A", cut=True)]
        assert shown(simulation) == "AB"
        assert read_bytes(simulation, 5) == [got("B")]
        assert shown(simulation) == "ABC"
        # The line that is ahead comes whole with the next read, even if its socket has gone.
        simulation.apply(Remove("C"))
        assert read_bytes(simulation, 20, 10) == [got("CD"), END]

    def test_makes_no_step_while_a_line_is_left(self) -> None:
        scheme = Lines(*"AB")
        simulation = opened(scheme)
        assert read_bytes(simulation, 3, 3, 3) == [got("", cut=True)] * 3
        assert [line for line in scheme.log if line.startswith("start")] == ["start at 0: AB"]
        assert read_bytes(simulation, 1, 10, 1) == [got("A"), got("B"), END]

    def test_ends_with_the_rest_of_its_last_line(self) -> None:
        assert read_bytes(opened(Lines("A")), 4, 6, 6) == [got("", cut=True), got("A"), END]

    def test_has_a_buffer_of_one_page_that_needs_space_behind_a_line(self) -> None:
        names = [f"S{n}" for n in range(500)]
        simulation = done(Lines(*names), [Add(name, "tail") for name in names], Open(), Read(None))
        assert [len(read.delivered) for read in simulation.history.reads] == [(PAGE - 1) // 10, 500 - (PAGE - 1) // 10, 0]
        assert [frame_of(scheme)(1, scheme.line_bytes, None).records_max for scheme in (ProcUdp(), ProcTcp())] == [31, 27]

    def test_returns_an_error_at_the_beginning_of_a_read_and_drops_one_behind_a_line(self) -> None:
        simulation = opened(Lines("A", error("EIO"), "B"))
        for operation in (Read(5), Read(5), Read(5)):
            simulation.apply(operation)
        assert simulation.history.reads == [got("A"), got("B"), END]
        simulation = opened(Lines(error("EIO"), "A"))
        assert read_bytes(simulation, 10, 10) == [Returned((), "EIO"), got("A")]

    def test_returns_the_rest_of_a_line_before_an_error(self) -> None:
        simulation = opened(Lines("A", "B", error("EIO"), "C"))
        # B was about to be shown when the first read stopped.
        assert read_bytes(simulation, 5, 15, 10, 10) == [got("", cut=True), got("AB"), got("C"), END]
        simulation = opened(Lines("A", error("EIO"), error("EIO"), "B"))
        assert read_bytes(simulation, 5, 15, 10) == [got("", cut=True), got("A"), got("B")]

    def test_starts_again_in_a_second_pass(self) -> None:
        simulation = opened(Lines(*"AB"))
        assert read_bytes(simulation, 5) == [got("", cut=True)]
        simulation.apply(Again())
        assert read_bytes(simulation, 40) == [got("AB")]


class TestADump:
    def test_shows_a_message_at_open_and_each_other_when_the_one_before_is_received(self) -> None:
        simulation = opened(Messages(*"ABCDE"), slots=2)
        assert shown(simulation) == "AB"
        simulation.apply(Read(9))
        assert shown(simulation) == "ABCD"
        simulation.apply(Read(9))
        assert shown(simulation) == "ABCDE"
        for _ in range(3):
            simulation.apply(Read(9))
        assert simulation.history.reads == [got("AB"), got("CD"), got("E"), END, END]

    def test_returns_the_rest_of_one_message(self) -> None:
        simulation = opened(Messages(*"ABCDE"), slots=3)
        for _ in range(2):
            simulation.apply(Read(2))
        assert simulation.history.reads == [got("AB"), got("C")]
        assert shown(simulation) == "ABCDE"

    def test_has_messages_of_as_many_records_as_a_batch_has_slots_or_as_a_kernels_have(self) -> None:
        for limits in ({"slots": 2}, {"slots": 16, "records_max": 2}):
            simulation = opened(Messages(*"ABC"), **limits)
            simulation.apply(Read(None))
            assert simulation.history.reads == [got("AB"), got("C"), END]

    def test_delivers_a_socket_that_left_behind_its_message(self) -> None:
        simulation = opened(Messages(*"ABC"), slots=2)
        operations: list[Operation] = [Remove("B"), Remove("C"), Read(None)]
        for operation in operations:
            simulation.apply(operation)
        # C was in no message yet.
        assert simulation.history.reads == [got("AB"), END]

    def test_of_an_empty_table_is_an_end(self) -> None:
        simulation = opened(Messages())
        simulation.apply(Read(1))
        assert simulation.history.reads == [END]

    def test_returns_an_error_once_behind_the_records_before_it(self) -> None:
        simulation = opened(Messages("A", error("ENOMEM"), "B"))
        for _ in range(3):
            simulation.apply(Read(9))
        assert simulation.history.reads == [got("A"), Returned((), "ENOMEM"), END]

    def test_fills_a_message_again_in_a_second_pass(self) -> None:
        simulation = opened(Messages(*"ABC"), slots=2)
        for operation in (Read(1), Again(), Read(None)):
            simulation.apply(operation)
        assert simulation.history.reads == [got("A"), got("AB"), got("C"), END]
        passes = [event for event in simulation.history.events if event in (Reopened(), Shown("A"))]
        assert passes == [Shown("A"), Reopened(), Shown("A")]


class Counting(UdpDiag):
    """A dump that keeps a generation counter."""

    name = "counting"
    has_generation = True


def interruptions(text: str, scheme: UdpDiag) -> list[tuple[str, bool]]:
    target = SchemeTarget(scheme)
    operations = loads(text).operations
    return [("".join(read.delivered), read.interrupted) for read in run(target, target, operations, slots=2).reads]


def test_a_dump_that_counts_generations_is_interrupted_by_a_change_between_two_messages() -> None:
    table = "batch 2\n" + "".join(f"add {name} tail\n" for name in "ABCDEF") + "open\n"
    changed = f"{table}remove F\nread 1\nread 1\nread 1\nadd G tail\nread all\n"
    # The first record of a message has the flag, and the end has it.
    expected = [("A", False), ("B", False), ("C", True), ("D", False), ("E", False), ("", True)]
    assert interruptions(changed, Counting()) == expected
    assert interruptions(changed, UdpDiag()) == [(names, False) for names, _ in expected]
    late = f"{table}read 4\nread 4\nremove A\nread all\nread all\n"
    assert interruptions(late, Counting()) == [("AB", False), ("CD", False), ("EF", False), ("", True), ("", False)]
    again = f"{table}remove A\nagain\nread all\n"
    assert not any(interrupted for _, interrupted in interruptions(again, Counting()))
