"""An error in a scheme of another package: one line with the class, the method and the field."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint
from itertools import count
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from sockiter import guard, plugins
from sockiter.backend import Shape, run
from sockiter.cases import loads
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.errors import InputError, SchemeFault, Unavailable
from sockiter.guard import Guarded, guarded, in_a_line, stop_clock, text, unhashable
from sockiter.history import Returned
from sockiter.operations import Add, Open, Read
from sockiter.plugins import BrokenPlugin
from sockiter.schemes.cookie_udp import CookieUdp, State
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from sockiter.schemes.scheme import Between, Done, Grow, Room, Show, Where
from sockiter.simulation import SchemeTarget, Simulation
from sockiter.table import Socket, empty

TABLE = empty((("", 1),)).after(Add("A", "tail"))


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    """Signals are as they were before, whatever a test does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGVTALRM)}
    yield
    stop_clock()
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LIMIT_S", 0.02)


def scheme(**members: Any) -> Guarded:
    """A scheme of another package that is `cookie-udp`, but for these methods."""
    return Guarded(type("Foreign", (CookieUdp,), {"name": "foreign", **members})())


class Waits(NamedTuple):
    waits_for: Any
    seen: Any = ()


def giving(value: object) -> Callable[..., object]:
    return lambda self, *arguments: value


def fault(call: Callable[[], object]) -> str:
    with pytest.raises(SchemeFault) as raised:
        call()
    return str(raised.value)


def read(foreign: Guarded) -> None:
    simulation = Simulation(foreign, Shape())
    for operation in (Add("A", "tail"), Open(), Read(None)):
        simulation.apply(operation)


def test_the_guard_does_not_change_a_scheme_without_mistakes() -> None:
    case = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
    own, foreign = SchemeTarget(CookieUdp()), SchemeTarget(scheme())
    assert run(own, own, case.operations).reads == run(foreign, foreign, case.operations).reads
    hazards = CookieUdp.hazards
    of_own, of_foreign = (search(target.scheme, hazards, Scope(2, 1, 1)) for target in (own, foreign))
    assert (of_own.states, of_own.violations) == (of_foreign.states, of_foreign.violations)
    assert foreign.scheme.place(State(0, ("A",), 2)) == "0:A"


def test_a_scheme_without_a_canonical_form_has_none_under_guard() -> None:
    assert hasattr(scheme(), "canonical")
    assert not hasattr(scheme(canonical=property()), "canonical")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"open": giving(None)}, "open returned None: expected a state, which is any other hashable value"),
        ({"open": giving([1])}, "open returned a value that has no hash: list is [1], a list"),
        (
            {"open": giving(State(0, ["A"], 2))},  # type: ignore[arg-type]
            "open returned a value that has no hash: State.cookies is ['A'], a list",
        ),
        ({"begin": giving(None)}, "begin returned None: expected Done, or a value that has `waits_for`"),
        ({"begin": giving((1, 2))}, "begin returned (1, 2): expected Done, or a value that has `waits_for`"),
        (
            {"begin": giving(Done(None))},
            "begin returned Done with the state None: expected a state, which is any other hashable value",
        ),
        ({"begin": giving(Done(State(0, {}, 2)))}, "begin returned a value that has no hash: State.cookies is {}, a dict"),  # type: ignore[arg-type]
        (
            {"begin": giving(Done(1, 5))},  # type: ignore[arg-type]
            "begin returned Done with the error 5: expected the name of an errno, or None",
        ),
        ({"begin": giving(Done(1, ""))}, "begin returned Done with the error '': expected the name of an errno, or None"),
        (
            {"begin": giving(Waits(Between(), [{}]))},
            "begin returned a value that has no hash: Waits.seen is [{}], a list",
        ),
        (
            {"begin": giving(Waits("A"))},
            "begin returned Waits, whose waits_for is 'A': expected Show, Grow, Between or Room",
        ),
        (
            {"begin": giving(Waits(Show("A")))},  # type: ignore[arg-type]
            "begin returned Waits, whose waits_for is a Show of socket='A': expected a Socket of the table",
        ),
        (
            {"begin": giving(Waits(Show(Socket("Z", 1))))},
            "begin returned Waits, whose waits_for is a Show of Socket(name='Z', idx=1), which never was in the table",
        ),
        (
            {"begin": giving(Waits(Grow(0)))},
            "begin returned Waits, whose waits_for is a Grow of slots=0: expected a positive int",
        ),
        (
            {"begin": giving(Waits(Grow(True)))},
            "begin returned Waits, whose waits_for is a Grow of slots=True: expected a positive int",
        ),
        (
            {"begin": giving(Waits(Grow(1, 0)))},  # type: ignore[arg-type]
            "begin returned Waits, whose waits_for is a Grow of locked=0: expected a bool",
        ),
        (
            {"begin": giving(Waits(Room(1)))},
            "begin returned Waits, whose waits_for is a Room, in the frame 'bpf_seq': expected one in a loop",
        ),
        (
            {"begin": giving(Waits(Room(0))), "frame": "loop"},
            "begin returned Waits, whose waits_for is a Room of sockets=0: expected a positive int",
        ),
        (
            {"begin": giving(Waits(Room(9999))), "resume": giving(Waits(Room(1))), "frame": "loop"},
            "resume returned Waits(waits_for=Room(sockets=1), seen=()) for a Room that was refused: expected Done",
        ),
        ({"resume": giving(7)}, "resume returned 7: expected Done, or a value that has `waits_for`"),
    ],
)
def test_a_wrong_return_value_is_one_line(members: dict[str, Any], message: str) -> None:
    assert fault(lambda: read(scheme(**members))) == f"foreign failed: Foreign.{message}"


def test_a_place_that_is_no_text_is_one_line() -> None:
    message = "foreign failed: Foreign.place returned 7: expected a str"
    assert fault(lambda: scheme(place=giving(7)).place(State(0, (), 2))) == message


def test_after_a_show_that_was_refused_a_read_is_over() -> None:
    foreign = scheme(resume=lambda self, waiting, granted, table: waiting)
    waiting = Waits(Show(TABLE.buckets[0][0]))
    assert foreign.resume(waiting, True, TABLE) == waiting
    message = fault(lambda: foreign.resume(waiting, False, TABLE))
    assert message == f"foreign failed: Foreign.resume returned {waiting} for a Show that was refused: expected Done"
    assert foreign.resume(Waits(Grow(2)), False, TABLE) == Waits(Grow(2))


def test_a_socket_that_is_gone_may_have_its_turn() -> None:
    waiting = Waits(Show(Socket("B", 2)))
    gone = TABLE._replace(gone=(Socket("B", 2),))
    assert scheme(begin=giving(waiting)).begin(State(0, (), 2), gone) == waiting


def test_a_read_that_never_ends_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WAITS_MAX", 50)
    again = lambda self, waiting, granted, table: Waits(Grow(len(waiting.seen) + 1), (*waiting.seen, 1))  # noqa: E731
    message = fault(lambda: read(scheme(begin=giving(Waits(Between())), resume=again)))
    assert message == "foreign failed: Foreign.resume never ends a read: it waited 50 times and showed nothing"


def test_reads_that_a_search_goes_on_with_again_are_no_read_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WAITS_MAX", 5)
    foreign = scheme(resume=giving(Waits(Between())))
    for _ in range(20):
        foreign.resume(Waits(Between(), 1), True, TABLE)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([1], "canonical returned a value that has no hash: list is [1], a list"),
        ((1, (2, {3})), "canonical returned a value that has no hash: tuple[1][1] is {3}, a set"),
        (iter("A"), "canonical returned <str_ascii_iterator object at"),
    ],
)
def test_a_canonical_form_that_is_no_value_is_one_line(form: object, message: str) -> None:
    foreign = scheme(canonical=giving(form))
    assert fault(lambda: search(foreign, (), Scope(1, 1, 1))).startswith(f"foreign failed: Foreign.{message}")


def test_a_canonical_form_that_raises_is_one_line() -> None:
    def canonical(self: object, at: object, table: object, where: Where) -> object:
        raise LookupError("no")

    message = fault(lambda: search(scheme(canonical=canonical), (), Scope(1, 1, 1)))
    assert message.startswith("foreign failed: Foreign.canonical raised LookupError: no (")
    assert "test_guard.py:" in message


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Mute(), "Mute: its message cannot be formatted"),
        (ValueError("a\n \x1b[31mb"), "ValueError: a ?[31mb"),
        (KeyError(), "KeyError"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_whatever_a_scheme_raises_is_one_line(error: BaseException, words: str) -> None:
    def begin(self: object, state: object, table: object) -> object:
        raise error

    message = fault(lambda: read(scheme(begin=begin)))
    assert message.startswith(f"foreign failed: Foreign.begin raised {words} (")


def test_a_method_that_cannot_be_called_so_has_no_place() -> None:
    message = fault(lambda: read(scheme(begin=lambda self: None)))
    assert message.startswith("foreign failed: Foreign.begin raised TypeError: ")
    assert message.endswith("given")


class Unspeakable:
    def __repr__(self) -> str:
        raise SystemExit


class Endless(Exception):
    def __str__(self) -> str:
        return str(max(1 for _ in count()))

    __repr__ = __str__


def test_a_value_that_cannot_be_written_is_its_type() -> None:
    assert text(Unspeakable()) == "a Unspeakable"


@dataclass(frozen=True)
class Frozen:
    place: Any


@dataclass
class Loose:
    place: Any


def test_the_part_without_a_hash_is_found_in_whatever_has_parts() -> None:
    assert unhashable(Frozen(([],))) == ("Frozen.place[0]", [])
    assert unhashable(Loose(1)) == ("Loose", Loose(1))
    assert unhashable((1, Waits({}))) == ("tuple[1].waits_for", {})


class OddTuple(tuple[int, ...]):
    def __hash__(self) -> int:
        raise TypeError


@dataclass(frozen=True)
class OddRecord:
    place: int = 1

    def __hash__(self) -> int:
        raise TypeError


@pytest.mark.parametrize("odd", [OddTuple((1,)), OddRecord()])
def test_a_value_without_a_hash_whose_parts_all_have_one_is_itself_reported(odd: object) -> None:
    assert unhashable(odd) == (type(odd).__name__, odd)
    assert unhashable((odd,)) == ("tuple[0]", odd)


class Late(Exception):
    def __str__(self) -> str:
        raise guard.Overdue

    __repr__ = __str__


@pytest.mark.parametrize("words", [in_a_line, text])
def test_a_call_that_is_over_time_ends_while_its_words_are_sought(words: Callable[[Any], str]) -> None:
    with pytest.raises(guard.Overdue):
        words(Late())


# Calls that do not end


def forever(*arguments: object) -> None:
    for _ in count():
        pass


def stubborn(*arguments: object) -> None:
    for _ in range(3):
        try:
            forever()
        except BaseException:
            continue
    forever()


@pytest.mark.usefixtures("_hurry")
@pytest.mark.parametrize("endless", [forever, stubborn])
def test_a_call_that_does_not_end_is_one_line(endless: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "AGAIN_S", 0.001)
    message = "foreign failed: Foreign.begin did not end within 0.02 s of processor time"
    assert fault(lambda: read(scheme(begin=endless))) == message
    # And the next one has as long again.
    read(scheme())


@pytest.mark.usefixtures("_hurry")
@pytest.mark.parametrize("words", [in_a_line, text])
def test_an_error_whose_message_does_not_end_is_one_line(words: Callable[[Any], str]) -> None:
    message = fault(lambda: guarded("Foreign.begin", "foreign", lambda: words(Endless())))
    assert message.startswith("foreign failed: Foreign.begin did not end")


def test_a_call_that_cannot_be_ended_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Exited(Exception):
        pass

    def leave(status: int) -> None:
        raise Exited(status)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(guard, "TRIES", 2)
    watch = guard._Watch()
    watch.begin("Foreign.begin")
    for _ in range(3):
        watch._tick(signal.SIGVTALRM, None) if watch._ticks < 1 else None
    for _ in range(2):
        with pytest.raises(guard.Overdue):
            watch._tick(signal.SIGVTALRM, None)
    with pytest.raises(Exited, match="3"):
        watch._tick(signal.SIGVTALRM, None)
    watch.stop()
    assert capfd.readouterr().err == "sockiter: Foreign.begin does not end, and catches the exceptions that should end it\n"


def test_the_clock_stops_where_no_call_is_under_way() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    assert guarded("Foreign.begin", "foreign", lambda: 7) == 7
    assert signal.getsignal(signal.SIGVTALRM) != before
    signal.raise_signal(signal.SIGVTALRM)
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_handler_of_other_code_stays() -> None:
    before = signal.getsignal(signal.SIGINT)
    guarded("Foreign.begin", "foreign", lambda: 7)
    other = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGINT, other)
    stop_clock()
    assert signal.signal(signal.SIGINT, before) is other


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        guarded("Foreign.begin", "foreign", lambda: 7)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        stop_clock()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


def hushed() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        raise ValueError from None


def swallowed() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        return


@pytest.mark.parametrize("call", [interrupted, hushed, swallowed])
def test_an_interrupt_by_the_user_stays_one_whatever_the_scheme_makes_of_it(call: Callable[[], None]) -> None:
    with pytest.raises(KeyboardInterrupt):
        guarded("Foreign.begin", "foreign", call)
    assert guarded("Foreign.begin", "foreign", lambda: 7) == 7


def test_an_interrupt_between_two_calls_is_no_call_s() -> None:
    guarded("Foreign.begin", "foreign", lambda: 7)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert guarded("Foreign.begin", "foreign", lambda: 7) == 7


def test_a_call_within_a_call_leaves_the_outer_one_watched() -> None:
    def outer() -> int:
        call = guard._WATCH.call
        assert guarded("Foreign.place", "foreign", lambda: 7) == 7
        assert guard._WATCH.call == call
        return 8

    assert guarded("Foreign.begin", "foreign", outer) == 8
    assert fault(lambda: guarded("outer", "a", lambda: guarded("inner", "b", lambda: 1 // 0))).startswith("b failed: inner")


def test_in_a_thread_there_is_no_limit_and_the_rest_is_the_same() -> None:
    found: list[object] = []

    def work() -> None:
        found.append(guarded("Foreign.begin", "foreign", lambda: 7))
        found.append(fault(lambda: guarded("Foreign.begin", "foreign", lambda: 1 // 0)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] == 7
    assert str(found[1]).startswith("foreign failed: Foreign.begin raised ZeroDivisionError: ")


def test_offsets_and_ranks_are_as_they_are_without_a_guard() -> None:
    for own in (OffsetUdp(), Rank()):
        target = SchemeTarget(Guarded(own))
        operations = loads("add A tail\nopen\nread all\n").operations
        assert run(target, target, operations).reads == [Returned(("A",)), Returned(())]


# The value of an entry point, and its users


def loaded(given: object, monkeypatch: pytest.MonkeyPatch) -> object:
    module = ModuleType("given_by_a_test")
    module.given = given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "given_by_a_test", module)
    return plugins._load(EntryPoint("foreign", "given_by_a_test:given", plugins.GROUP))


@pytest.mark.usefixtures("_hurry")
def test_a_package_whose_import_does_not_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = loaded(forever, monkeypatch)
    assert reason == "given_by_a_test:given cannot be loaded: its entry point did not end within 0.02 s of processor time"


def test_a_canonical_form_has_to_be_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    given = type("Foreign", (CookieUdp,), {"name": "foreign", "canonical": 7})
    assert loaded(given, monkeypatch) == "given_by_a_test:given is no scheme: `canonical` is 7: expected a method"


def test_conform_takes_schemes_of_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    target = loaded(type("Foreign", (CookieUdp,), {"name": "foreign"}), monkeypatch)
    broken = BrokenPlugin("broken", "", "it is broken")
    command: Any = import_module("sockiter.cli") and import_module("sockiter.cli.conform")
    monkeypatch.setattr(command, "PLUGIN_TARGETS", (target, broken))
    assert command._scheme("foreign").name == "foreign"
    assert command._scheme("index").name == "index"
    with pytest.raises(Unavailable, match="broken does not run here: it is broken"):
        command._scheme("broken")
    with pytest.raises(InputError, match=r"no scheme is named 'nobody': expected one of offset-udp, .*, foreign, broken"):
        command._scheme("nobody")
