"""The frame of the kernel's read(2): when a socket is shown, when a read stops, the state after an error, and the moments of
changes inside a read.

Two schemes without a real place show the frame by itself: `Steps` makes the given requests, one after the other, and
`Refusing` always fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import pytest

from sockiter.backend import Shape, Target
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.history import Event, GaveUp, Returned, Shown
from sockiter.operations import Add, At, Bucket, Change, End, Fail, Open, Operation, Read, Rehash, Reinsert, Remove
from sockiter.schemes import SCHEMES
from sockiter.schemes.index import Index
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import ANY_HAZARD, ONE_TABLE, AnyScheme, Between, Done, Grow, Show
from sockiter.simulation import OBJECTS_MAX, Allocation, SchemeTarget, Simulation
from sockiter.table import Socket, Table

OFFSET, INDEX = OffsetUdp(), Index()
ALL = Read(None)
END = Returned(())
GROW = Grow(24)
LOCKED = Grow(24, locked=True)

Step: TypeAlias = "str | Grow | Between | Exception"


class Asking(NamedTuple):
    """Waits at a step."""

    place: int
    step: str | Grow | Between

    @property
    def waits_for(self) -> Show | Grow | Between:
        return Show(Socket(self.step, 0)) if isinstance(self.step, str) else self.step


class Steps:
    """Asks for these steps one by one: a socket by its name, a growth, or to end the read with an error's name.

    The state is the number of steps that are behind. `log` tells what the frame did, and the table at the time; `answers`
    has whether it was to go on, for each request.
    """

    name = "steps"
    summary = "a script"
    progress = "Steps"
    hazards = ANY_HAZARD
    tables = ONE_TABLE
    known_failures = ()

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.log: list[str] = []
        self.answers: list[bool] = []

    def open(self, slots: int, table: Table) -> int:
        self.log.append(f"open {slots}: {tell(table)}")
        return 0

    def begin(self, state: int, table: Table) -> Asking | Done[int]:
        self.log.append(f"start at {state}: {tell(table)}")
        return self._ask(state)

    def resume(self, waiting: Asking, granted: bool, table: Table) -> Asking | Done[int]:
        place, step = waiting
        self.answers.append(granted)
        if isinstance(step, str) and not granted:
            self.log.append(f"stop before {step}: {tell(table)}")
            return Done(place)
        answer = f"behind {step}" if isinstance(step, str) else "granted" if granted else "refused"
        self.log.append(f"{answer}: {tell(table)}")
        return self._ask(place + 1)

    def _ask(self, place: int) -> Asking | Done[int]:
        if place == len(self.steps):
            return Done(place)
        step = self.steps[place]
        return Done(place + 1, str(step)) if isinstance(step, Exception) else Asking(place, step)

    def place(self, state: int) -> str:
        return f"{state} of {len(self.steps)}"


class Refusing(Steps):
    """Every read fails, and none comes to an end."""

    def begin(self, state: int, table: Table) -> Done[int]:
        return Done(state + 1, "ENOMEM")


def error(name: str) -> Exception:
    return OSError(name)


def tell(table: Table) -> str:
    return "|".join("".join(bucket) for bucket in table.names)


def adds(names: str, end: End = "tail", bucket: int = 0) -> list[Operation]:
    return [Add(name, end, Bucket(bucket)) for name in names]


def show(nth: int, what: Change) -> At:
    return At("show", nth, what)


def realloc(nth: int, what: Change | Fail) -> At:
    return At("realloc", nth, what)


def done(
    scheme: AnyScheme,
    *operations: Operation | Sequence[Operation],
    slots: int = 16,
    buckets: int = 1,
    **limits: Any,
) -> Simulation:
    """A simulation after these operations."""
    simulation = Simulation(scheme, Shape((("", buckets),), slots), **limits)
    for some in operations:
        for operation in some if isinstance(some, Sequence) else [some]:
            simulation.apply(operation)
    return simulation


def reads(scheme: AnyScheme, *operations: Operation | Sequence[Operation], **limits: Any) -> list[Returned]:
    return done(scheme, *operations, **limits).history.reads


def events(scheme: AnyScheme, *operations: Operation | Sequence[Operation], **limits: Any) -> list[Event]:
    return done(scheme, *operations, **limits).history.events


def log_of(*operations: Operation | Sequence[Operation], steps: Sequence[Step], **limits: Any) -> list[str]:
    """The actions of the frame with a scheme of these steps, from the first start on."""
    scheme = Steps(*steps)
    done(scheme, *operations, **limits)
    return scheme.log[1:]


def got(*names: str) -> list[Event]:
    return [*map(Shown, names), Returned(names)]


class TestOpen:
    def test_remembers_what_is_in_the_table_in_the_order_of_the_walk(self) -> None:
        made = done(Steps(), adds("A", bucket=1), adds("BC"), adds("D", "head"), Remove("C"), Open(), buckets=2)
        assert made.history.opened == ("D", "B", "A")

    def test_gives_the_scheme_its_slots_and_the_table(self) -> None:
        scheme = Steps()
        done(scheme, adds("AB"), Open(), slots=3)
        assert scheme.log == ["open 3: AB"]

    def test_is_where_the_record_begins(self) -> None:
        made = done(Steps(), adds("A"), Remove("A"), Open(), adds("B"))
        assert (made.history.opened, made.history.events) == ((), [Add("B", "tail")])

    def test_is_where_the_iterator_gets_a_place(self) -> None:
        assert done(Steps("A", "B"), adds("A")).place() == ""
        assert done(Steps("A", "B"), adds("A"), Open()).place() == "0 of 2"
        assert done(Steps("A", "B"), adds("A"), Open(), Read(1)).place() == "1 of 2"


class TestAChange:
    def test_is_recorded_as_it_was_carried_out(self) -> None:
        changes: list[Operation] = [Add("B", "head"), Rehash("A", Bucket(1)), Reinsert("B", "tail"), Remove("A")]
        made = done(Steps(), adds("A"), Open(), changes, buckets=2)
        assert made.history.events == changes
        assert made.state() == (("B",), ())

    def test_that_changes_nothing_is_not_recorded(self) -> None:
        assert events(Steps(), adds("A"), Open(), Rehash("A", Bucket(0))) == []

    def test_is_seen_by_the_next_read(self) -> None:
        log = log_of(adds("A"), Open(), adds("B"), Read(1), Remove("A"), Read(1), steps=[])
        assert log == ["start at 0: AB", "start at 0: B"]

    def test_to_a_socket_that_is_not_there_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(KeyError):
            done(Steps(), Remove("A"))


class TestARead:
    def test_steps_behind_the_last_shown_socket_before_it_looks_at_the_size(self) -> None:
        assert log_of(adds("ABC"), Open(), Read(2), steps="ABC") == [
            "start at 0: ABC",
            "behind A: ABC",
            "behind B: ABC",
            "stop before C: ABC",
        ]

    def test_stops_when_it_has_as_many_records_as_were_asked_for(self) -> None:
        assert reads(Steps(*"ABC"), adds("ABC"), Open(), Read(2), Read(1), Read(1)) == [
            Returned(("A", "B")),
            Returned(("C",)),
            END,
        ]

    def test_returns_what_there_is_at_the_end(self) -> None:
        assert reads(Steps(*"AB"), adds("AB"), Open(), Read(5), Read(5)) == [Returned(("A", "B")), END]

    def test_after_the_end_starts_again(self) -> None:
        assert log_of(Open(), Read(1), Read(1), steps=[]) == ["start at 0: ", "start at 0: "]

    def test_records_each_turn_before_the_return(self) -> None:
        assert events(Steps(*"AB"), adds("AB"), Open(), Read(2)) == got("A", "B")

    def test_makes_the_next_batch_although_it_has_what_was_asked_for(self) -> None:
        inside = realloc(1, Add("B", "tail"))
        log = log_of(adds("A"), Open(), Read(1, (inside,)), steps=["A", GROW, "B"])
        assert log == ["start at 0: A", "behind A: A", "granted: AB", "stop before B: AB"]

    def test_shows_a_socket_silently_that_is_gone(self) -> None:
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Remove("B"), Read(2))
        assert made.history.events == [Remove("B"), *got("A", "C")]

    def test_shows_a_socket_that_was_only_moved(self) -> None:
        moves: list[Operation] = [Reinsert("A", "head"), Rehash("B", Bucket(1))]
        assert reads(Steps(*"AB"), adds("AB"), Open(), moves, Read(2), buckets=2) == [Returned(("A", "B"))]

    def test_shows_a_socket_that_the_scheme_shows_twice(self) -> None:
        assert events(Steps(*"AA"), adds("A"), Open(), Read(2)) == got("A", "A")

    def test_shows_what_the_scheme_shows_even_if_it_never_was_there(self) -> None:
        assert events(Steps("X"), Open(), Read(1)) == got("X")

    def test_answers_each_request_with_yes_or_no(self) -> None:
        scheme = Steps("A", GROW, LOCKED, "B", "C")
        done(scheme, adds("ABC"), Open(), Read(2, (realloc(1, Fail()),)))
        assert scheme.answers == [True, False, True, True, False]


class TestAnError:
    def test_is_returned_when_the_first_batch_fails(self) -> None:
        assert reads(Steps(error("ENOMEM"), "A"), adds("A"), Open(), Read(1), Read(1)) == [
            Returned((), "ENOMEM"),
            Returned(("A",)),
        ]

    def test_is_returned_instead_of_what_was_shown_which_the_next_read_hands_out(self) -> None:
        made = done(Steps(*"AB", error("ENOMEM"), "C"), adds("ABC"), Open(), Read(2), Read(5), Read(5))
        assert made.history.events == [
            Shown("A"),
            Shown("B"),
            Returned((), "ENOMEM"),
            Returned(("A", "B")),
            *got("C"),
        ]

    def test_leaves_records_that_are_handed_out_without_a_step(self) -> None:
        log = log_of(adds("AB"), Open(), Read(5), Read(1), Read(1), steps=[*"AB", error("ENOMEM")])
        assert log == ["start at 0: AB", "behind A: AB", "behind B: AB"]

    def test_leaves_records_that_are_handed_out_in_portions(self) -> None:
        steps = Steps(*"ABCD", error("ENOMEM"), "E")
        assert reads(steps, adds("ABCDE"), Open(), Read(5), Read(1), Read(2), Read(2), Read(2), Read(1)) == [
            Returned((), "ENOMEM"),
            Returned(("A",)),
            Returned(("B", "C")),
            Returned(("D",)),
            Returned(("E",)),
            END,
        ]

    def test_leaves_records_of_sockets_that_are_gone_by_the_time_they_are_handed_out(self) -> None:
        made = done(Steps("A", error("ENOMEM")), adds("A"), Open(), Read(5), Remove("A"), Read(5))
        assert made.history.events == [Shown("A"), Returned((), "ENOMEM"), Remove("A"), Returned(("A",))]

    def test_keeps_the_place_that_the_scheme_left(self) -> None:
        assert done(Steps("A", error("ENOMEM"), "B"), adds("AB"), Open(), Read(5)).place() == "2 of 3"

    def test_may_come_twice_in_a_row(self) -> None:
        steps = Steps("A", error("ENOMEM"), error("ESTALE"), "B")
        assert reads(steps, adds("AB"), Open(), Read(5), Read(5), Read(5), Read(5)) == [
            Returned((), "ENOMEM"),
            Returned(("A",)),
            Returned((), "ESTALE"),
            Returned(("B",)),
        ]


class TestTheGreatestNumberOfObjects:
    """The kernel comes back for the scheduler's sake after a million; here after two."""

    def read(self, *operations: Operation, gone: str = "") -> list[Returned]:
        removals = [Remove(name) for name in gone]
        return reads(Steps(*"ABC"), adds("ABC"), Open(), removals, *operations, objects_max=2)

    def test_is_an_error_when_nothing_was_produced(self) -> None:
        assert self.read(Read(5), Read(5), gone="AB") == [Returned((), "EAGAIN"), Returned(("C",))]

    def test_is_a_stop_when_something_was_produced(self) -> None:
        assert self.read(Read(5), Read(5), gone="A") == [Returned(("B",)), Returned(("C",))]
        assert self.read(Read(5), Read(5), gone="B") == [Returned(("A",)), Returned(("C",))]

    def test_is_looked_at_after_the_step_so_that_the_end_is_still_found(self) -> None:
        assert reads(Steps(*"AB"), adds("AB"), Open(), Remove("A"), Remove("B"), Read(5), objects_max=2) == [END]

    def test_is_counted_in_each_read_anew(self) -> None:
        assert self.read(Read(1), Read(1), Read(1)) == [Returned(("A",)), Returned(("B",)), Returned(("C",))]

    def test_leaves_nothing_behind_and_is_not_the_end_of_reading_all(self) -> None:
        assert self.read(ALL, gone="AB") == [Returned((), "EAGAIN"), Returned(("C",)), END]

    def test_gives_way_to_an_error_of_the_step(self) -> None:
        steps = Steps("A", "B", error("ENOMEM"))
        assert reads(steps, adds("AB"), Open(), Remove("A"), Remove("B"), Read(5), objects_max=2) == [Returned((), "ENOMEM")]

    def test_does_not_count_allocations(self) -> None:
        assert reads(Steps(GROW, "A", GROW, "B"), adds("AB"), Open(), Read(5), objects_max=2) == [Returned(("A", "B"))]


class TestAFullBuffer:
    """The kernel's holds 2047 records; here two."""

    def test_stops_the_read_at_the_record_that_did_not_fit(self) -> None:
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Read(3), Read(3), records_max=2)
        assert made.history.events == [*got("A", "B"), *got("C")]

    def test_is_found_by_running_the_program_in_vain(self) -> None:
        late = show(3, Add("N", "tail"))
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Read(3, (late,)), Read(1), records_max=2)
        assert made.history.events == [Shown("A"), Shown("B"), Add("N", "tail"), Returned(("A", "B")), *got("C")]

    def test_passes_over_a_socket_that_is_gone(self) -> None:
        log = log_of(adds("ABCD"), Open(), Remove("C"), Read(4), steps="ABCD", records_max=2)
        assert log[-2:] == ["behind C: ABD", "stop before D: ABD"]

    def test_is_not_met_by_a_read_of_as_many_records(self) -> None:
        late = show(3, Add("N", "tail"))
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Read(2, (late,)), records_max=2)
        assert made.history.events == [*got("A", "B"), Add("N", "tail")]

    @pytest.mark.parametrize("fit", ["AB", "ABC"])
    def test_is_met_by_a_read_of_all(self, fit: str) -> None:
        late = show(len(fit) + 1, Add("N", "tail"))
        made = done(Steps(*fit, "X"), adds(fit + "X"), Open(), Read(None, (late,)), records_max=len(fit))
        assert made.history.events == [
            *map(Shown, fit),
            Add("N", "tail"),
            Returned(tuple(fit)),
            *got("X"),
            END,
        ]

    def test_holds_as_many_records_as_the_kernels(self) -> None:
        names = [f"S{n}" for n in range(2048)]
        assert (RECORDS_MAX, OBJECTS_MAX) == (2047, 1_000_000)
        made = done(Steps(*names), Open(), Read(5000), Read(5000))
        assert [len(read.delivered) for read in made.history.reads] == [2047, 1]

    def test_and_the_greatest_number_of_objects_are_the_kernels_unless_said_otherwise(self) -> None:
        parameters = inspect.signature(Simulation).parameters
        assert parameters["records_max"].default is None
        assert parameters["objects_max"].default == OBJECTS_MAX


class TestAReadOfAll:
    def test_goes_on_until_a_read_returns_nothing(self) -> None:
        assert reads(Steps(*"AB"), adds("AB"), Open(), ALL) == [Returned(("A", "B")), END]
        assert reads(Steps(), Open(), ALL) == [END]

    def test_goes_on_after_an_error(self) -> None:
        steps = Steps(error("ENOMEM"), "A", error("ENOMEM"), "B")
        assert reads(steps, adds("AB"), Open(), ALL) == [
            Returned((), "ENOMEM"),
            Returned((), "ENOMEM"),
            Returned(("A",)),
            Returned(("B",)),
            END,
        ]

    @pytest.mark.parametrize("inside", [0, 3])
    def test_gives_up_after_a_hundred_reads_and_one_for_everything_inside(self, inside: int) -> None:
        points = tuple(realloc(9, Fail()) for _ in range(inside))
        made = done(Refusing(), Open(), Read(None, points))
        assert made.history.events == [Returned((), "ENOMEM")] * (100 + inside) + [GaveUp()]

    def test_does_not_give_up_when_the_last_read_that_it_may_make_is_the_end(self) -> None:
        made = done(Steps(*([error("ENOMEM")] * 99)), Open(), ALL)
        assert made.history.events == [Returned((), "ENOMEM")] * 99 + [END]

    def test_gives_up_when_that_read_is_not_the_end(self) -> None:
        made = done(Steps(*([error("ENOMEM")] * 100)), Open(), ALL, Read(1))
        assert made.history.events == [Returned((), "ENOMEM")] * 100 + [GaveUp(), END]

    def test_carries_out_what_was_not_reached_when_it_gave_up(self) -> None:
        made = done(Refusing(), Open(), Read(None, (show(1, Add("N", "tail")),)))
        assert made.history.events[-2:] == [GaveUp(), Add("N", "tail")]

    def test_hands_out_first_what_an_earlier_read_left(self) -> None:
        steps = Steps(*"AB", error("ENOMEM"), "C")
        assert reads(steps, adds("ABC"), Open(), Read(9), ALL)[1:] == [Returned(("A", "B")), Returned(("C",)), END]


class TestAPointInsideARead:
    def test_is_reached_before_the_socket_is_shown(self) -> None:
        inside = show(2, Add("N", "head"))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(2, (inside,)))
        assert made.history.events == [Shown("A"), Add("N", "head"), Shown("B"), Returned(("A", "B"))]

    def test_is_reached_before_the_kernel_looks_whether_the_socket_is_still_there(self) -> None:
        inside = show(2, Remove("B"))
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Read(2, (inside,)))
        assert made.history.events == [Shown("A"), Remove("B"), Shown("C"), Returned(("A", "C"))]

    def test_is_seen_by_the_scheme_as_it_steps_behind_the_socket(self) -> None:
        log = log_of(adds("AB"), Open(), Read(2, (show(1, Add("N", "head")),)), steps="AB")
        assert log == ["start at 0: AB", "behind A: NAB", "behind B: NAB"]

    def test_counts_the_socket_that_is_gone(self) -> None:
        inside = show(3, Add("N", "head"))
        made = done(Steps(*"ABC"), adds("ABC"), Open(), Remove("A"), Read(2, (inside,)))
        assert made.history.events[1:] == [Shown("B"), Add("N", "head"), Shown("C"), Returned(("B", "C"))]

    def test_counts_anew_in_the_next_read(self) -> None:
        read = Read(1, (show(1, Add("N", "tail")),))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(1), read)
        assert made.history.events == [*got("A"), Add("N", "tail"), *got("B")]

    def test_counts_on_in_all_the_reads_of_a_read_of_all(self) -> None:
        points = (show(2, Add("N", "tail")), realloc(2, Add("M", "tail")))
        steps: list[Step] = [GROW, "A", error("ENOMEM"), GROW, "B"]
        made = done(Steps(*steps), adds("AB"), Open(), Read(None, points))
        assert made.history.events == [
            Shown("A"),
            Returned((), "ENOMEM"),
            Returned(("A",)),
            Add("M", "tail"),
            Add("N", "tail"),
            *got("B"),
            END,
        ]

    def test_that_is_named_several_times_is_carried_out_in_order(self) -> None:
        inside = (show(1, Add("N", "head")), show(1, Reinsert("N", "tail")), show(1, Remove("N")))
        made = done(Steps("A"), adds("A"), Open(), Read(1, inside))
        assert made.history.events == [*(at.what for at in inside), *got("A")]

    def test_is_carried_out_when_it_is_reached_and_not_where_it_stands(self) -> None:
        inside = (show(2, Add("N", "tail")), show(1, Add("M", "tail")))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(2, inside))
        assert made.history.events == [
            Add("M", "tail"),
            Shown("A"),
            Add("N", "tail"),
            Shown("B"),
            Returned(("A", "B")),
        ]

    def test_is_of_one_kind_only(self) -> None:
        inside = (realloc(1, Add("N", "tail")), show(1, Add("M", "tail")))
        made = done(Steps("A", GROW), adds("A"), Open(), Read(1, inside))
        assert made.history.events == [Add("M", "tail"), Shown("A"), Add("N", "tail"), Returned(("A",))]

    def test_that_is_not_reached_is_carried_out_when_the_operation_is_over(self) -> None:
        inside = (show(2, Add("N", "tail")), realloc(1, Remove("A")), show(1, Add("M", "tail")))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(1, inside), Read(1))
        assert made.history.events == [Add("M", "tail"), *got("A"), Add("N", "tail"), Remove("A"), *got("B")]
        assert made.state() == (("B", "M", "N"),)

    def test_that_is_not_reached_is_not_left_for_the_next_read(self) -> None:
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(1, (show(2, Add("N", "tail")),)), Read(2))
        assert made.history.events == [*got("A"), Add("N", "tail"), *got("B")]

    def test_that_changes_a_socket_which_is_not_there_yet_is_without_effect(self) -> None:
        inside = (show(2, Add("N", "tail")), show(1, Remove("N")), show(1, Reinsert("N", "head")))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(2, inside))
        assert made.history.events == [Shown("A"), Add("N", "tail"), Shown("B"), Returned(("A", "B"))]

    def test_that_changes_a_socket_which_is_gone_already_is_without_effect(self) -> None:
        inside = (show(2, Reinsert("A", "head")), show(3, Rehash("A", Bucket(1))), show(1, Remove("A")))
        made = done(Steps(*"AB"), adds("AB"), Open(), Read(1, inside), buckets=2)
        assert made.history.events == [Remove("A"), *got("B")]

    def test_that_changes_nothing_is_not_recorded(self) -> None:
        assert events(Steps("A"), adds("A"), Open(), Read(1, (show(1, Rehash("A", Bucket(0))),))) == got("A")


class TestAnAllocation:
    def test_is_granted_unless_it_is_said_to_fail(self) -> None:
        log = log_of(Open(), Read(1, (realloc(2, Fail()),)), steps=[GROW, GROW, LOCKED])
        assert log == ["start at 0: ", "granted: ", "refused: ", "granted: "]

    def test_that_is_refused_is_so_once(self) -> None:
        log = log_of(Open(), Read(1, (realloc(1, Fail()),)), Read(1), steps=[GROW, "A", GROW])
        assert log[1:] == ["refused: ", "behind A: ", "granted: ", "start at 3: "]

    def test_that_is_never_made_refuses_nothing(self) -> None:
        made = done(Steps("A", GROW), Open(), Read(1, (realloc(2, Fail()),)), Read(1))
        assert made.history.events == [*got("A"), END]

    def test_of_either_kind_counts(self) -> None:
        log = log_of(Open(), Read(1, (realloc(2, Fail()),)), steps=[LOCKED, GROW])
        assert log == ["start at 0: ", "granted: ", "refused: "]

    def test_is_a_window_for_changes(self) -> None:
        inside = (realloc(1, Add("N", "head")), realloc(1, Remove("A")))
        log = log_of(adds("A"), Open(), Read(1, inside), steps=[GROW, "N"])
        assert log == ["start at 0: A", "granted: N", "behind N: N"]

    @pytest.mark.parametrize("refused_first", [True, False], ids=["before", "behind"])
    def test_that_is_refused_is_a_window_all_the_same(self, refused_first: bool) -> None:
        inside = [realloc(1, Fail()), realloc(1, Add("N", "head"))]
        points = tuple(inside if refused_first else reversed(inside))
        assert log_of(adds("A"), Open(), Read(1, points), steps=[GROW]) == ["start at 0: A", "refused: NA"]

    def test_with_the_lock_held_is_no_window_and_the_change_comes_when_the_operation_is_over(self) -> None:
        inside = (realloc(1, Remove("A")), realloc(1, Add("N", "head")))
        scheme = Steps(LOCKED, "A", GROW)
        made = done(scheme, adds("A"), Open(), Read(1, inside))
        assert scheme.log[1:] == ["start at 0: A", "granted: A", "behind A: A", "granted: A"]
        assert made.history.events == [*got("A"), Remove("A"), Add("N", "head")]

    def test_with_the_lock_held_can_be_refused(self) -> None:
        inside = (realloc(1, Add("N", "head")), realloc(1, Fail()))
        log = log_of(adds("A"), Open(), Read(1, inside), Read(1), steps=[LOCKED, "A"])
        assert log == ["start at 0: A", "refused: A", "behind A: A", "start at 2: NA"]

    def test_that_is_made_once_more_in_a_later_read_is_the_first_there(self) -> None:
        log = log_of(Open(), Read(1), Read(1, (realloc(1, Fail()),)), steps=[GROW, "A", "B", GROW])
        assert log == [
            "start at 0: ",
            "granted: ",
            "behind A: ",
            "stop before B: ",
            "start at 2: ",
            "behind B: ",
            "refused: ",
        ]

    def test_is_told_with_the_turns_before_it_and_whether_it_was_granted(self) -> None:
        steps = Steps(GROW, "A", LOCKED, error("ENOMEM"), GROW, "B")
        made = done(steps, adds("AB"), Open(), Read(None, (realloc(2, Fail()),)))
        assert made.allocations == [Allocation(0, True), Allocation(1, False), Allocation(1, True)]

    def test_is_told_of_until_the_next_read(self) -> None:
        steps = Steps("A", GROW, "B")
        assert done(steps, adds("AB"), Open()).allocations == []
        assert done(steps, adds("AB"), Open(), Read(1), Remove("A")).allocations == [Allocation(1, True)]
        assert done(steps, adds("AB"), Open(), Read(1), Read(1)).allocations == []


class TestASchemeAsATarget:
    @pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
    def test_tells_what_the_scheme_tells(self, scheme: AnyScheme) -> None:
        target = SchemeTarget(scheme)
        assert (target.name, target.summary, target.progress) == (scheme.name, scheme.summary, scheme.progress)
        assert (target.hazards, target.known_failures) == (scheme.hazards, scheme.known_failures)

    def test_runs_everywhere_with_any_number_of_slots_and_one_table(self) -> None:
        target: Target = SchemeTarget(OFFSET)
        assert (target.is_real, target.slots, target.tables, target.missing()) == (False, None, ("",), None)
        assert target.unable == {}

    def test_begins_with_an_empty_table_of_the_shape_and_an_iterator_that_is_not_open(self) -> None:
        scheme = Steps()
        with SchemeTarget(scheme).session() as session:
            backend = session.begin(Shape((("", 3), ("other", 9)), slots=5))
        assert (backend.state(), backend.place(), backend.history.events) == (((), (), ()), "", [])
        backend.apply(Open())
        assert scheme.log == ["open 5: ||"]

    def test_begins_afresh_each_time(self) -> None:
        with SchemeTarget(Steps()).session() as session:
            first = session.begin(Shape())
            first.apply(Add("A", "tail"))
            second = session.begin(Shape())
        assert (first.state(), second.state()) == ((("A",),), ((),))

    def test_is_closed_as_often_as_one_likes(self) -> None:
        made = done(Steps("A"), adds("A"), Open())
        made.close()
        made.close()
        assert made.state() == (("A",),)


class TestTheSchemesInTheFrame:
    """The RFC's two scenarios and changes inside a read, through frame and scheme together."""

    @pytest.mark.parametrize(
        ("scheme", "rest"), [(OFFSET, ["C", "D", ""]), (INDEX, ["B", "C", "D"])], ids=["offset-udp", "index"]
    )
    def test_a_seen_socket_that_closes_makes_offset_skip(self, scheme: AnyScheme, rest: list[str]) -> None:
        made = reads(scheme, adds("ABCD"), Open(), Read(1), Remove("A"), Read(1), Read(1), Read(1))
        assert ["".join(read.delivered) for read in made[1:]] == rest

    @pytest.mark.parametrize(
        ("scheme", "rest"), [(OFFSET, ["A", "B", "C"]), (INDEX, ["B", "C", "D"])], ids=["offset-udp", "index"]
    )
    def test_a_socket_that_enters_at_the_head_makes_offset_repeat(self, scheme: AnyScheme, rest: list[str]) -> None:
        made = reads(scheme, adds("ABCD"), Open(), Read(1), Add("E", "head"), Read(1), Read(1), Read(1))
        assert ["".join(read.delivered) for read in made[1:]] == rest

    @pytest.mark.parametrize(("scheme", "place"), [(OFFSET, "0:1"), (INDEX, "0:1")], ids=["offset-udp", "index"])
    def test_the_place_is_reported_between_reads(self, scheme: AnyScheme, place: str) -> None:
        assert done(scheme, adds("AB"), Open(), Read(1)).place() == place

    @pytest.mark.parametrize("scheme", [OFFSET, INDEX], ids=["offset-udp", "index"])
    def test_a_refused_growth_is_no_error(self, scheme: AnyScheme) -> None:
        made = done(scheme, adds("ABC"), Open(), Read(None, (realloc(1, Fail()),)), slots=2)
        assert made.history.reads == [Returned(("A", "B", "C")), END]
