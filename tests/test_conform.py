"""The comparison of a target with a scheme: differences are found, shrunk and reported; undecidable ones are left out."""

from __future__ import annotations

import errno
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import Result

from sockiter.backend import SLOTS, Shape
from sockiter.cases import load
from sockiter.claims import HAZARDS, Hazard
from sockiter.conform import Conformance, Difference
from sockiter.errors import Inconclusive
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.operations import Add, At, Bucket, Open, Operation, Read, Rehash, Remove
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget, Simulation
from tests.support.command import sockiter
from tests.support.ktap import parsed

ALL = frozenset(HAZARDS)


class Likeness(SchemeTarget):
    """A kernel's iterator that behaves exactly like a scheme; `records_max`: the most records of a read."""

    is_real = True
    records_max = RECORDS_MAX

    def __init__(self, scheme: AnyScheme, *, name: str = "kernel:twin", lack: str | None = None) -> None:
        super().__init__(scheme)
        self.name = name
        self.slots = SLOTS
        self.lack = lack
        self.detected_scheme = scheme.name

    def missing(self) -> str | None:
        return self.lack

    def message_of(self, slots: int) -> int:
        return 0

    def begin(self, shape: Shape) -> Simulation:
        return Simulation(self.scheme, shape, records_max=self.records_max)


class Mute(Likeness):
    """One that cannot tell of sequences with a removal."""

    def begin(self, shape: Shape) -> Simulation:
        return _Mute(self.scheme, shape)


class _Mute(Simulation):
    def apply(self, operation: Operation) -> None:
        if isinstance(operation, Remove):
            raise Inconclusive("nobody knows")
        super().apply(operation)


def compared(target: Likeness, scheme: AnyScheme, count: int, *, hazards: frozenset[Hazard] = ALL) -> Conformance:
    """After so many sequences without a difference; the first difference fails."""
    conformance = Conformance(target, target, scheme)
    for found in conformance.differences("test", hazards):
        assert found is None, found
        if conformance.counts.sequences == count:
            break
    return conformance


@pytest.mark.unmeasured
@pytest.mark.parametrize("scheme", [OffsetUdp(), CookieUdp(), OffsetTcp(), CookieTcp(), Rank()], ids=lambda s: s.name)
def test_a_scheme_does_not_differ_from_itself(scheme: AnyScheme) -> None:
    counts = compared(Likeness(scheme), scheme, 200).counts
    assert (counts.sequences, counts.left_out) == (200, 0)
    assert counts.operations > 200


def test_now_and_then_there_is_a_crowd() -> None:
    assert compared(Likeness(OffsetUdp()), OffsetUdp(), 200).counts.sockets > 100


def test_every_sequence_can_have_a_crowd_and_large_reads() -> None:
    target = Likeness(CookieUdp())
    conformance = Conformance(target, target, CookieUdp(), records_max=lambda: RECORDS_MAX)
    found = conformance.differences("test", ALL, 600)
    assert [next(found) for _ in range(4)] == [None] * 4
    assert 300 < conformance.counts.sockets < 640


def test_a_difference_is_shrunk_to_the_least_and_located_at_its_read() -> None:
    target = Likeness(OffsetUdp())
    conformance = Conformance(target, target, CookieUdp())
    found = next(found for found in conformance.differences("test", frozenset({"remove"})) if found is not None)
    least = conformance.shrunk(found)
    assert [type(op).__name__ for op in least.operations] == ["Add", "Add", "Open", "Read", "Remove", "Read"]
    assert least.at == 2
    assert conformance.case(least).comment[0].endswith(" and cookie-udp differ at read 2.")
    assert conformance.case(least).comment[1:] == ("kernel:twin: A; nothing", "cookie-udp: A; B; nothing")


def test_a_difference_that_does_not_come_again_is_kept_as_it_was() -> None:
    target = Likeness(OffsetUdp())
    conformance = Conformance(target, target, CookieUdp())
    found = next(found for found in conformance.differences("test", frozenset({"remove"})) if found is not None)
    target.scheme = CookieUdp()
    assert conformance.shrunk(found) is found


def test_an_end_that_comes_a_read_sooner_is_a_difference() -> None:
    target = Likeness(OffsetUdp())
    target.records_max = 2
    operations: tuple[Operation, ...] = (*(Add(name, "tail") for name in "ABC"), Open(), Read(None))
    difference = Conformance(target, target, OffsetUdp()).compare(operations, SLOTS)
    assert difference is not None
    assert difference.at == 1
    assert Conformance(target, target, OffsetUdp(), records_max=2).compare(operations, SLOTS) is None


def test_sequences_that_cannot_be_judged_are_left_out_and_counted() -> None:
    target = Mute(OffsetUdp())
    conformance = compared(target, OffsetUdp(), 100)
    assert conformance.counts.sequences == 100
    assert conformance.counts.left_out > 10
    with pytest.raises(Inconclusive, match="nobody knows"):
        conformance.compare((Add("A", "tail"), Remove("A"), Open(), Read(None)), SLOTS)


def test_a_sequence_that_the_target_cannot_run_is_not_compared() -> None:
    target = Likeness(OffsetUdp())
    with pytest.raises(Inconclusive, match="16 slots at open; the case needs 2"):
        Conformance(target, target, OffsetUdp()).compare((Add("A", "tail"), Open(), Read(None)), 2)


def test_the_first_table_of_a_target_is_the_schemes_table_of_that_name() -> None:
    """With nobody listening, offset-tcp passes over the first established bucket: a listening one it would not."""
    target = Likeness(OffsetTcp())
    target.tables = ("established",)
    output: list[Operation] = []

    class RecordingSimulation(Simulation):
        def apply(self, operation: Operation) -> None:
            output.append(operation)
            super().apply(operation)

    inside = (At("show", 1, Rehash("A", Bucket(1))), At("show", 1, Remove("B")))
    operations = (Add("A", "head"), Add("B", "head"), Open(), Rehash("A", Bucket(1)), Read(2, inside), Read(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sockiter.conform.Simulation", RecordingSimulation)
        Conformance(target, target, OffsetTcp()).compare(operations, SLOTS)
    there = Bucket(1, "established")
    assert output[0] == Add("A", "head", Bucket(0, "established"))
    assert output[3] == Rehash("A", there)
    assert output[4] == Read(2, (At("show", 1, Rehash("A", there)), At("show", 1, Remove("B"))))


# The command


@contextmanager
def kernels(*targets: Likeness) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("sockiter.cli.conform"), "KERNEL_TARGETS", targets)
        yield


def conform(*arguments: object) -> Result:
    return sockiter("conform", *arguments)


def test_an_equal_result_is_reported_with_the_work(tmp_path: Path) -> None:
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "--sequences", 30, "--seed", 1, "--cases", tmp_path)
        assert result.exit_code == 0
        assert " and offset-udp: 30 sequences, " in result.output
        assert result.output.endswith("All reads delivered the same. That is no proof.\n")
        again = json.loads(conform("kernel:twin", "--sequences", 30, "--seed", 1, "--json", "--cases", tmp_path).output)
    assert again["sequences"] == 30
    assert again["difference"] is None
    assert again["hazards"] == [hazard for hazard in HAZARDS if hazard in OffsetUdp.hazards]
    assert not list(tmp_path.iterdir())


def test_a_crowd_is_in_the_document(tmp_path: Path) -> None:
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "--sequences", 2, "--crowd", 200, "--seed", 3, "--json", "--cases", tmp_path)
    document = json.loads(result.output)
    assert (document["crowd"], document["sequences"]) == (200, 2)
    assert document["sockets"] > 30


def test_sequences_that_cannot_be_judged_are_counted_in_words() -> None:
    with kernels(Mute(OffsetUdp())):
        output = conform("kernel:twin", "--sequences", 30).output
        document = json.loads(conform("kernel:twin", "--sequences", 30, "--json").output)
    assert re.search(r"^\d+ sequences were left out as inconclusive; the first: nobody knows$", output, re.MULTILINE)
    assert document["left_out"] > 0
    assert document["why_left_out"] == "nobody knows"


def test_a_difference_is_kept_as_a_case_and_is_status_1(tmp_path: Path) -> None:
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path)
        output = json.loads(conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path, "--json").output)
    assert result.exit_code == 1
    assert "A DIFFERENCE at read 2 of this case" in result.output
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("kernel-twin-cookie-udp-difference-")
    assert load(path).operations[-1] == Read(None)
    assert output["difference"] == {"case": str(path), "read": 2, "least": True}


def test_the_ktap_of_a_comparison_has_one_test_that_fails_with_its_case(tmp_path: Path) -> None:
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "--sequences", 30, "--seed", 1, "--cases", tmp_path, "--ktap")
        (fine,) = parsed(result.stdout)
        assert (result.exit_code, fine.name, fine.is_ok) == (0, "kernel:twin and offset-udp", True)
        assert re.fullmatch(r"30 sequences, \d+ operations, 0 left out, seed 1", fine.lines[0])
        result = conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path, "--ktap")
        (differs,) = parsed(result.stdout)
        assert (result.exit_code, differs.is_ok) == (1, False)
        (path,) = tmp_path.iterdir()
        assert differs.lines[1] == f"a difference at read 2 of {path}"


def test_the_ktap_of_an_interrupted_comparison_is_a_skipped_test(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, Conformance, "compare")
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "--seed", 1, "--ktap")
    (only,) = parsed(result.stdout)
    assert (result.exit_code, only.directive, only.why) == (130, "SKIP", "interrupted")


def test_a_difference_that_cannot_be_saved_is_reported_whole(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path / "taken" / "in")
    assert result.exit_code == 1
    assert "this case could not be saved:\n# sockiter case v1\n" in result.output


def interrupted(monkeypatch: pytest.MonkeyPatch, of: type, method: str) -> None:
    """Ctrl-C is pressed when this is called."""

    def press(self: object, *args: object) -> object:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    monkeypatch.setattr(of, method, press)


def test_an_interrupt_ends_the_comparison_and_the_work_so_far_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, Conformance, "compare")
    with kernels(Likeness(OffsetUdp())):
        output = conform("kernel:twin", "--seed", 1)
        document = json.loads(conform("kernel:twin", "--seed", 1, "--json").stdout)
    assert (output.exit_code, output.stderr) == (130, "sockiter: interrupted\n")
    assert " and offset-udp: 0 sequences, 0 operations, up to 0 sockets, seed 1, interrupted\n" in output.output
    assert document["interrupted"] is True


def test_a_difference_is_on_the_disk_before_it_is_shrunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interrupted(monkeypatch, Conformance, "shrunk")
    arguments = ("kernel:twin", "cookie-udp", "--hazard", "remove", "--seed", 1, "--cases", tmp_path)
    with kernels(Likeness(OffsetUdp())):
        output = conform(*arguments)
        (as_found,) = tmp_path.iterdir()
        document = json.loads(conform(*arguments, "--json").stdout)
        monkeypatch.undo()
    assert output.exit_code == 130
    assert f"which is saved as {as_found}, not completely shrunk:\n" in output.output
    assert document["difference"]["least"] is False
    with kernels(Likeness(OffsetUdp())):
        conform(*arguments)
    # The shrunk case has taken its place.
    (least,) = tmp_path.iterdir()
    assert least != as_found


def test_where_only_the_first_could_be_saved_both_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def shrunk(self: Conformance, difference: Difference, *options: object) -> Difference:
        monkeypatch.setattr("sockiter.conform.save", refused)
        return difference

    def refused(*args: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Conformance, "shrunk", shrunk)
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path)
    (path,) = tmp_path.iterdir()
    assert f"{tmp_path}: No space left on device: this case could not be saved:\n# sockiter case v1\n" in result.stderr
    assert f"of this case, which is not saved; the unshrunk case is saved as {path}:\n" in result.stdout


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_progress_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sockiter.conform._PROGRESS_S", 0.02)
    with kernels(Likeness(OffsetUdp())):
        result = conform("kernel:twin", "cookie-udp", "--hazard", "remove", "--cases", tmp_path)
    assert "kernel:twin and cookie-udp: " in result.stderr
    assert " operations compared" in result.stderr
    assert " of 10,000 sequences" in result.stderr
    assert "shrinking a difference" in result.stderr


def test_seconds_end_it_sooner() -> None:
    with kernels(Likeness(OffsetUdp())):
        result = json.loads(conform("kernel:twin", "--seconds", 0.01, "--json").output)
    assert 1 <= result["sequences"] < 10_000


def test_seconds_end_a_comparison_without_any_judgement() -> None:
    class Dumb(Mute):
        def begin(self, shape: Shape) -> Simulation:
            raise Inconclusive("nobody knows")

    with kernels(Dumb(OffsetUdp())):
        result = json.loads(conform("kernel:twin", "--seconds", 0.01, "--json").output)
    assert (result["sequences"], result["why_left_out"], result["difference"]) == (0, "nobody knows", None)


def test_a_difference_that_is_shrunk_when_the_time_is_up_is_kept_as_far_as_it_was_shrunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sockiter.conform.SHRINKING_S", -1.0)
    with kernels(Likeness(OffsetUdp())):
        arguments = ("kernel:twin", "cookie-udp", "--hazard", "remove", "--seconds", 1, "--cases", tmp_path, "--json")
        result = conform(*arguments)
    assert result.exit_code == 1
    assert json.loads(result.output)["difference"]["least"] is False


def of_no_known_scheme() -> Likeness:
    target = Likeness(OffsetUdp(), name="kernel:new")
    target.detected_scheme = None
    return target


@pytest.mark.parametrize(
    ("arguments", "status", "output"),
    [
        (
            ("offset-udp",),
            2,
            "offset-udp is no kernel's iterator: expected one of kernel:twin, kernel:absent, kernel:new",
        ),
        (("nobody",), 2, "no target is named 'nobody'"),
        (("kernel:twin", "nobody"), 2, "no scheme is named 'nobody': expected one of offset-udp, "),
        (("kernel:absent",), 3, "kernel:absent does not run here: not today"),
        (("kernel:twin", "--hazard", "rollover"), 3, "kernel:twin does not support: rollover"),
        (("kernel:twin", "rank", "--hazard", "remove", "--hazard", "show"), 3, "rank does not support: show"),
        (("kernel:new",), 3, "kernel:new uses no known scheme; name a SCHEME to compare it with"),
    ],
)
def test_an_impossible_comparison_is_refused_in_one_line(arguments: tuple[str, ...], status: int, output: str) -> None:
    absent = Likeness(OffsetUdp(), name="kernel:absent", lack="not today")
    with kernels(Likeness(OffsetUdp()), absent, of_no_known_scheme()):
        result = conform(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (status, 1)
    assert output in result.output
