"""A race: two sides without coordination, violations, saved findings, and the clean-up."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sockiter.backend import SLOTS, Shape
from sockiter.claims import Hazard, KnownFailure, known_failure
from sockiter.errors import Inconclusive, TooBusy, Unavailable
from sockiter.fuzzing.limits import Room
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.bpf.stops import OnStop, Stops
from sockiter.kernel.elements import Elements
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget, SessionSetup
from sockiter.kernel.walks import Walk
from sockiter.operations import Bucket, End, Unit
from sockiter.race import race
from sockiter.race import sides as module
from sockiter.race.judge import Round, TimedChange, WalkCall, WalkRecord
from sockiter.race.race import HEADER, RECORDS_KEPT, RERUNS, Arena, Race, draw_plan, race_session
from sockiter.race.sides import RACED, Mutator, RoundPlan
from tests.support.command import NO_KERNEL, sockiter

pytestmark = pytest.mark.interpreter

ANY: frozenset[Hazard] = frozenset(RACED)


def plan(*kinds: Hazard, **others: Any) -> RoundPlan:
    """A round in which everything is at hand, and which is over before it began, unless said otherwise."""
    fields = {"untouched": 2, "changing": 3, "changing_max": 5, "records_max": 4, "pause_s": 0.0, "seconds": 0.0, **others}
    return RoundPlan(seed="7", shape=Shape(), buckets=(Bucket(0), Bucket(1)), kinds=kinds, **fields)


# Stand-ins for a kernel. Those that walk are sent to another process.


class StubSockets:
    """Sockets of no kernel's. Each is known by the number in its name."""

    has_tail = has_head = True
    own_namespace = None

    def __init__(self) -> None:
        self.held: dict[str, Bucket] = {}
        self.done: list[tuple[Any, ...]] = []

    def prepare(self, changes: int) -> None:
        self.done.append(("prepare", changes))

    def add(self, name: str, end: End, bucket: Bucket) -> int:
        assert name not in self.held
        self.held[name] = bucket
        self.done.append(("add", name, end, bucket))
        return int(name[1:])

    def remove(self, name: str) -> None:
        del self.held[name]
        self.done.append(("remove", name))

    def destroy(self, name: str) -> None:
        del self.held[name]
        self.done.append(("destroy", name))

    def finish(self, name: str) -> None:
        assert self.connects(self.held[name])
        self.done.append(("finish", name))

    def connects(self, bucket: Bucket) -> bool:
        return bucket.number != 0

    def reinsert(self, name: str, end: End) -> None:
        assert ("finish", name) not in self.done
        self.done.append(("reinsert", name, end, self.held[name]))

    def rehash(self, name: str, bucket: Bucket) -> bool:
        moved = self.held[name] != bucket
        self.held[name] = bucket
        self.done.append(("rehash", name, bucket, moved))
        return moved

    def bucket(self, name: str) -> Bucket:
        return self.held[name]

    def close(self) -> None:
        self.held.clear()

    def sweep(self) -> None:
        pass


class StubNamespace:
    """Stands in for a namespace."""

    def enter(self) -> None:
        pass

    def left(self) -> AbstractContextManager[None]:
        return nullcontext()


class ScriptedReader:
    """Reads with scripted results; the last result is repeated for ever."""

    interrupted = False

    def __init__(self, *returns: Sequence[int] | OSError, ahead: Sequence[int] | None = None) -> None:
        self.returns = list(returns)
        self.ahead = ahead
        self.sizes: list[int] = []
        self.is_closed = False

    is_cut = False
    ages: Sequence[int] = ()

    def read(self, size: int, unit: Unit = "records") -> Sequence[int]:
        self.sizes.append(size)
        result = self.returns.pop(0) if len(self.returns) > 1 else self.returns[0]
        if isinstance(result, OSError):
            raise result
        return result

    def read_with_stops(self, size: int, unit: Unit, stops: Stops, on_stop: OnStop) -> Sequence[int]:
        raise NotImplementedError

    def shown(self, returned: Sequence[int]) -> Sequence[int]:
        return returned if self.ahead is None else self.ahead

    def close(self) -> None:
        self.is_closed = True


class ScriptedWalk:
    """Each walk is of a new `ScriptedReader`."""

    records_max = 100
    is_dump = False

    def __init__(self, *returns: Sequence[int] | OSError) -> None:
        self.returns = returns
        self.readers: list[ScriptedReader] = []

    def open(self) -> ScriptedReader:
        self.readers.append(ScriptedReader(*self.returns))
        return self.readers[-1]


class Lacking(ScriptedWalk):
    def open(self) -> ScriptedReader:
        raise Unavailable("there are no iterators today")


class Dying(ScriptedWalk):
    def open(self) -> ScriptedReader:
        os._exit(7)


class Silent(ScriptedWalk):
    def open(self) -> ScriptedReader:
        Event().wait()
        raise AssertionError


class Apart(ScriptedWalk):
    """Tells in which process, and on which processors, it is walked, as if those were sockets."""

    def open(self) -> ScriptedReader:
        return ScriptedReader((os.getpid(), *os.sched_getaffinity(0)), ())


def pretending(walk: ScriptedWalk) -> KernelTarget:
    """A target with such walks, over pretended sockets."""
    session_setup = SessionSetup(cast(Any, StubNamespace()), cast(Walk, walk), lambda shape: cast(Elements, StubSockets()))

    @contextmanager
    def session() -> Iterator[Any]:
        yield SimpleNamespace(setup=session_setup)

    return cast(KernelTarget, SimpleNamespace(session=session))


def having(*known_failures: KnownFailure) -> KernelTarget:
    """A target that has these."""
    names = {"name": "kernel:pretended", "detected_scheme": "rank", "features": frozenset()}
    return cast(
        KernelTarget,
        SimpleNamespace(
            **names,
            all_known_failures=known_failures,
            hazards=ANY,
            tables=("",),
            buckets_max=None,
            slots=SLOTS,
            has_tail=True,
        ),
    )


# The two sides of a round.


def until_asked(times: int) -> Callable[[], bool]:
    """Changes go on until it was asked so often."""
    asked = count(1)
    return lambda: next(asked) > times


def test_a_walk_is_read_to_its_end_in_reads_of_random_sizes_and_closed() -> None:
    walks = ScriptedWalk((1, 2), (3,), ())
    walk_record, _ = module.walk_repeatedly(walks, plan(records_max=4), until_asked(3), sys.maxsize)
    assert [step.delivered for step in walk_record.calls] == [(), (1, 2), (3,), ()]
    assert (walk_record.ended, walk_record.stuck) == (True, False)
    times = [time for step in walk_record.calls for time in (step.start, step.end)]
    assert times == sorted(times)
    assert all(reader.is_closed for reader in walks.readers)
    sizes = [size for reader in walks.readers for size in reader.sizes]
    assert len(sizes) == 6
    assert set(sizes) <= {1, 2, 3, 4}
    again = ScriptedWalk((1, 2), (3,), ())
    module.walk_repeatedly(again, plan(records_max=4), until_asked(3), sys.maxsize)
    assert [size for reader in again.readers for size in reader.sizes] == sizes


def test_the_last_walk_is_brought_to_its_end_when_nothing_changes_any_more() -> None:
    (only,) = module.walk_repeatedly(ScriptedWalk((1,), (2,), (3,), ()), plan(), until_asked(0), sys.maxsize)
    assert only.ended


def test_a_walk_that_does_not_end_is_stuck_after_so_many_reads_in_which_nothing_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "READS_WHEN_QUIET", 5)
    walks = ScriptedWalk((1,))
    (only,) = module.walk_repeatedly(walks, plan(), until_asked(30), sys.maxsize)
    assert (only.ended, only.stuck) == (False, True)
    assert len(only.calls) == 1 + 30 + 5
    assert walks.readers[0].is_closed


def test_a_walk_that_does_not_end_while_there_are_changes_is_left_when_its_time_is_up_and_is_not_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock(monkeypatch)
    (only,) = module.walk_repeatedly(ScriptedWalk((1,)), plan(), lambda: False, 50)
    assert (only.ended, only.stuck) == (False, False)
    assert only.calls[-1].start > 50


def test_a_read_that_is_refused_is_reported_by_its_name_and_the_walk_goes_on() -> None:
    odd = OSError(9999, "nobody knows")
    (only,) = module.walk_repeatedly(
        ScriptedWalk(OSError(errno.ENOMEM, ""), (1,), odd, ()), plan(), until_asked(0), sys.maxsize
    )
    assert [step.error for step in only.calls] == ["", "ENOMEM", "", "9999", ""]
    assert [step.delivered for step in only.calls] == [(), (), (1,), (), ()]
    assert only.ended


def test_sockets_shown_ahead_are_recorded_with_the_opening() -> None:
    walks = ScriptedWalk()
    walks.open = lambda: ScriptedReader((1,), (), ahead=(1, 2))  # type: ignore[method-assign]
    (only,) = module.walk_repeatedly(walks, plan(), until_asked(0), sys.maxsize)
    assert (only.calls[0].shown, only.calls[0].delivered) == ((1, 2), ())


def clock(monkeypatch: pytest.MonkeyPatch, pauses: list[float] | None = None) -> None:
    """A clock that ticks at each call; no test sleeps."""
    ticks = count()
    slept: list[float] = [] if pauses is None else pauses
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: next(ticks), sleep=slept.append))


def mutated(*kinds: Hazard, changes: int, has_tail: bool = True, **others: Any) -> tuple[Mutator, StubSockets]:
    """A side that sets up a round, makes this many changes if enough sockets are left, and then ends."""
    sockets, numbers = StubSockets(), count(1)
    sockets.has_tail = has_tail
    round_plan = plan(*kinds, **{"seconds": changes / 1e9, **others})
    mutator = Mutator(cast(Elements, sockets), round_plan, lambda: f"s{next(numbers)}")
    mutator.make_elements()
    mutator.mutate()
    return mutator, sockets


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock ticks a nanosecond when it is asked, which is three times for a change at most."""
    clock(monkeypatch)


@pytest.mark.usefixtures("ticking")
def test_sockets_that_are_to_be_left_alone_are_and_all_else_is_noted() -> None:
    mutator, sockets = mutated(*RACED, changes=3000, untouched=4, changing=3, changing_max=6)
    laid, later = mutator.changes[:7], mutator.changes[7:]
    assert [change.name for change in laid] == [f"s{n}" for n in range(1, 8)]
    assert {change.hazard for change in laid} == {"add-head", "add-tail"}
    assert {change.hazard for change in later} == set(RACED)
    touched = {change.name for change in later}
    assert len({change.name for change in laid} - touched) == 4
    assert len(mutator.changes) == sum(what[0] != "prepare" and what[-1] is not False for what in sockets.done)
    assert sockets.done[0] == ("prepare", 20)
    finished = {what[1] for what in sockets.done if what[0] == "finish"}
    assert finished == {change.name for change in later if change.hazard == "close"}
    times = [time for change in mutator.changes for time in (change.start, change.end)]
    assert times == sorted(times)
    gone = {change.name for change in mutator.changes if change.hazard in ("remove", "destroy")}
    assert set(sockets.held) == {change.name for change in mutator.changes} - gone
    mutator.remove_all()
    assert sockets.held == {}
    gone = {change.name for change in mutator.changes if change.hazard in ("remove", "destroy")}
    assert gone == {change.name for change in mutator.changes}


@pytest.mark.usefixtures("ticking")
def test_the_number_of_sockets_never_exceeds_the_plan() -> None:
    mutator, sockets = mutated("add-head", "add-tail", changes=3000, untouched=2, changing=1, changing_max=4)
    assert len(sockets.held) == 2 + 4
    assert len(mutator.changes) == 6  # and then there was nothing left to do


@pytest.mark.usefixtures("ticking")
def test_a_round_of_removals_is_over_when_all_are_gone_that_are_not_left_alone() -> None:
    mutator, sockets = mutated("remove", changes=3000, untouched=2, changing=5)
    assert len(sockets.held) == 2
    assert [change.hazard for change in mutator.changes[7:]] == ["remove"] * 5
    assert [change.bucket for change in mutator.changes[7:]] == [None] * 5


@pytest.mark.usefixtures("ticking")
def test_where_there_is_no_tail_everything_goes_to_the_head() -> None:
    mutator, sockets = mutated(*RACED, changes=300, has_tail=False)
    assert "add-tail" not in {change.hazard for change in mutator.changes}
    assert {what[2] for what in sockets.done if what[0] in ("add", "reinsert")} == {"head"}


@pytest.mark.usefixtures("ticking")
def test_a_table_without_a_tail_is_not_added_to_at_the_tail() -> None:
    buckets = Bucket(0), Bucket(0, "established")
    sockets, numbers = StubSockets(), count(1)
    round_plan = RoundPlan("7", Shape(), buckets, ("add-tail", "remove"), 2, 3, 8, 1, 0.0, 1e-6)
    mutator = Mutator(cast(Elements, sockets), round_plan, lambda: f"s{next(numbers)}")
    mutator.make_elements()
    mutator.mutate()
    added = [what for what in sockets.done if what[0] == "add"]
    assert {what[3] for what in added[5:]} == {Bucket(0)}
    assert {what[2] for what in added if what[3].table} == {"head"}


@pytest.mark.usefixtures("ticking")
def test_a_socket_is_put_in_again_in_its_own_bucket_at_either_end() -> None:
    mutator, sockets = mutated("reinsert", changes=300, untouched=0)
    assert {what[2] for what in sockets.done if what[0] == "reinsert"} == {"head", "tail"}
    where = {change.name: change.bucket for change in mutator.changes[:3]}
    assert all(change.bucket == where[change.name] for change in mutator.changes)


def test_between_two_changes_there_is_the_pause_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    clock(monkeypatch, pauses)
    mutated("remove", changes=300, pause_s=0.5, changing=4)
    assert pauses == [0.5] * 4
    mutated("remove", changes=300, changing=4)
    assert len(pauses) == 4


# The plan of a round.


def test_the_same_seed_draws_the_same_round_and_another_one_another() -> None:
    plans = [draw_plan(f"7/{number}", Room(), ANY) for number in range(40)]
    assert plans == [draw_plan(f"7/{number}", Room(), ANY) for number in range(40)]
    assert len({repr(round_plan).partition("shape")[2] for round_plan in plans}) > 30


def test_a_round_has_at_least_one_kind_of_change_and_none_that_was_not_asked_for() -> None:
    for number in range(100):
        round_plan = draw_plan(f"7/{number}", Room(("",)), frozenset({"remove", "rehash"}))
        assert round_plan.kinds
        assert set(round_plan.kinds) <= {"remove", "rehash"}
        assert round_plan.changing_max >= round_plan.changing > 0
    assert draw_plan("7", Room(), frozenset({"rehash"})).kinds == ("rehash",)


# The two processes.


def sides(walk: ScriptedWalk, *plans: RoundPlan) -> list[Round]:
    with race_session(pretending(walk)) as arena:
        return [arena.run(round_plan) for round_plan in plans]


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_it_is_another_process_on_another_processor_that_walks() -> None:
    (race_round,) = sides(Apart(), plan("remove", "add-head", seconds=0.05))
    walker, processor = race_round.walks[0].calls[1].delivered
    assert walker != os.getpid()
    assert processor in os.sched_getaffinity(0)
    assert len(race_round.changes) >= 5 + 5  # added and removed
    assert race_round.walks[-1].ended


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_a_round_knows_the_removed_sockets_of_the_round_before() -> None:
    first, second = sides(ScriptedWalk(()), plan("remove"), plan("remove"))
    gone = [change for change in first.changes if change.hazard == "remove"]
    assert len(gone) == 5
    assert second.changes[:5] == tuple(gone)
    assert {change.name for change in first.changes}.isdisjoint(change.name for change in second.changes[5:])


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_a_missing_prerequisite_for_walking_is_reported_on_request() -> None:
    with pytest.raises(Unavailable, match=r"^there are no iterators today$"):
        sides(Lacking(), plan("remove", seconds=0.05))


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_a_process_that_ends_while_it_walks_is_reported() -> None:
    with race_session(pretending(Dying())) as arena:
        with pytest.raises(Unavailable, match=r"^the walking process has ended"):
            arena.run(plan("remove", seconds=0.05))
        with pytest.raises(Unavailable, match=r"^the walking process has ended: Broken pipe$"):
            arena.run(plan("remove"))


class Late:
    """A connection of a process that is not ready for a while, or ends."""

    def __init__(self, looks: int, *, ends: bool = False) -> None:
        self.looks = looks
        self._ends = ends

    def poll(self, timeout: float) -> bool:
        self.looks -= 1
        return self.looks <= 0

    def recv(self) -> None:
        if self._ends:
            raise EOFError

    def is_alive(self) -> bool:
        return not self._ends


def test_a_process_that_starts_slowly_is_no_process_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(100)
    race._await(cast(Any, late), cast(Any, late))
    assert late.looks == 0
    ended = Late(100, ends=True)
    with pytest.raises(Unavailable, match=r"^the walking process has ended$"):
        race._await(cast(Any, ended), cast(Any, ended))
    assert ended.looks == 99
    monkeypatch.setattr(race, "START_S", 0.0)
    late = Late(100)
    with pytest.raises(Unavailable, match=r"^the walking process was not ready after 0 s$"):
        race._await(cast(Any, late), cast(Any, late))


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_a_process_that_is_silent_is_waited_for_so_long_and_then_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "PATIENCE_S", 0.1)
    with pytest.raises(Unavailable, match=r"^the walking process has not answered for 0 s$"):
        sides(Silent(), plan("remove", seconds=0.05), plan("remove"))


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_an_interrupted_round_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:

    def interrupted(mutator: Mutator) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mutator, "mutate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sides(ScriptedWalk((1,)), plan("remove"))


@pytest.mark.usefixtures("two_processors", "nothing_left")
def test_a_process_that_could_not_be_started_need_not_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    target = pretending(ScriptedWalk(()))
    with target.session() as session:
        session.setup.walk.open = lambda: cast(Any, None)  # type: ignore[method-assign]  # which cannot be sent
    with pytest.raises(Exception, match=r"pickle|Can't get local object"), race_session(target):
        raise AssertionError


def test_with_one_processor_there_is_no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockiter.kernel.bpf.stops.os.sched_getaffinity", lambda pid: {0})
    with pytest.raises(Unavailable, match=r"^a race requires two processors; there is one$"):
        sides(ScriptedWalk(()))


# Violations, and their records.

A, B = 1, 2
ADDED = (TimedChange("add-head", "s1", A, 1000, 2000, Bucket()), TimedChange("add-tail", "s2", B, 3000, 4000, Bucket(1)))
REMOVED = TimedChange("remove", "s1", A, 12_000, 13_500)


def walk(*reads: tuple[int, ...] | str, **how: bool) -> WalkRecord:
    """Opened at 10 µs; it, and each read, takes one."""
    calls = [WalkCall(10_000, 11_000, (), ())]
    for at, returned in enumerate(reads, start=11):
        delivered = returned if isinstance(returned, tuple) else ()
        calls.append(
            WalkCall(at * 1000, at * 1000 + 900, delivered, delivered, returned if isinstance(returned, str) else "")
        )
    return WalkRecord(tuple(calls), **{"ended": True, "stuck": False, **how})


FINE = Round(ADDED, [walk((A, B), ())])
# In a round that has a violation, A is never touched, unless it is in REMOVED.
SKIPS = Round(ADDED, [walk((A, B), ()), walk((B,), ())])
SKIPS_UNDER_REMOVAL = Round((*ADDED, REMOVED), [walk((A,), ())])


INTERRUPT = KeyboardInterrupt()


class ScriptedArena(list[Round]):
    """Stands in for an arena: these rounds, and the last of them for ever, or up to an interrupt or an error."""

    def __init__(self, *rounds: Round, then: BaseException | None = None) -> None:
        super().__init__(rounds)
        self.plans: list[RoundPlan] = []
        self.then = then

    def run(self, plan: RoundPlan) -> Round:
        self.plans.append(plan)
        if len(self) > 1 or self.then is not None:
            if not self:
                assert self.then is not None
                raise self.then
            return self.pop(0)
        return self[0]

    @contextmanager
    def __call__(self, target: KernelTarget) -> Iterator[Arena]:
        yield self


def raced(
    tmp_path: Path, *rounds: Round, known_failures: Sequence[KnownFailure] = (), then: BaseException = INTERRUPT
) -> Race:
    """A race of these rounds and no more."""
    the_race = Race(having(*known_failures), seed="7", kinds=ANY, cases=tmp_path)
    the_race.run(60, arena=ScriptedArena(*rounds, then=then))
    return the_race


def test_a_race_in_which_nothing_happens_has_no_violation_and_keeps_nothing(tmp_path: Path) -> None:
    the_race = raced(tmp_path, FINE, FINE)
    assert (the_race.result.rounds, the_race.result.violation_count, the_race.result.violations) == (2, 0, [])
    assert (the_race.result.counts.walks, the_race.result.counts.reads) == (2, 4)
    assert the_race.result.raced_s == pytest.approx(2 * 2.9e-6)
    assert list(tmp_path.iterdir()) == []


def test_overlaps_of_the_sides_are_counted(tmp_path: Path) -> None:
    during = [(9_000, 10_500), (10_100, 10_200), (11_100, 11_200), (11_500, 11_950), (11_910, 11_990), (20_000, 20_001)]
    changes = [TimedChange("add-head", f"s{n}", n, *when, Bucket()) for n, when in enumerate(during, start=3)]
    counts = raced(tmp_path, Round((*ADDED, *changes), [walk((A, B), ())])).result.counts
    # Made in the time of the walks; with a part of it in a read; all of it.
    assert (counts.changes, counts.during_reads, counts.inside_reads) == (5, 2, 1)


PLANTED = {
    "skip": walk((B,), ()),
    "repeat": walk((A, B), (A,), ()),
    "stale": walk((A, B), (26,), ()),
    "stuck": walk((A,), (B,), ended=False, stuck=True),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_failure_that_is_not_known_is_a_violation_which_is_kept_and_reproduced(tmp_path: Path, kind: str) -> None:
    gone = TimedChange("remove", "s26", 26, 10, 20)
    race_round = Round((gone, *ADDED), [PLANTED[kind]])
    the_race = raced(tmp_path, *[race_round] * 5, FINE, *[race_round] * 5)
    assert the_race.result.violation_count == 1
    (violation,) = the_race.result.violations
    assert (violation.kinds, violation.seed, violation.walk) == ((kind,), "7/0", 0)
    assert (violation.reproduced, violation.reruns) == (RERUNS - 1, RERUNS)
    assert violation.path is not None
    assert list(tmp_path.iterdir()) == [violation.path]
    assert re.fullmatch(rf"kernel-pretended-{kind}-[0-9a-f]{{8}}\.race", violation.path.name)


@pytest.mark.parametrize("kind", PLANTED)
def test_a_known_failure_is_counted_and_no_violation(tmp_path: Path, kind: Any) -> None:
    gone = TimedChange("remove", "s26", 26, 10, 20)
    admitted = known_failure(kind, "show")
    the_race = raced(tmp_path, Round((gone, *ADDED), [PLANTED[kind], walk((A, B), ())]), known_failures=[admitted])
    assert the_race.result.failures == {(kind, admitted): 1}
    assert (the_race.result.violation_count, the_race.result.violations, list(tmp_path.iterdir())) == (0, [], [])


def test_a_known_failure_explains_a_walk_only_where_it_met_the_changes_that_cause_it(tmp_path: Path) -> None:
    admitted = known_failure("skip", "remove")
    assert raced(tmp_path, SKIPS_UNDER_REMOVAL, known_failures=[admitted]).result.violation_count == 0
    assert raced(tmp_path, SKIPS, known_failures=[admitted]).result.violation_count == 1


def test_a_violation_has_precedence_over_a_known_failure(tmp_path: Path) -> None:
    (both,) = raced(tmp_path, Round(ADDED, [walk((B, B), ())]), known_failures=[known_failure("repeat")]).result.violations
    assert both.kinds == ("skip",)


def test_memory_that_is_short_is_no_violation_and_not_put_down_to_the_iterator(tmp_path: Path) -> None:
    the_race = raced(tmp_path, Round(ADDED, [walk("ENOMEM", (B,), ())]), known_failures=[known_failure("skip", "enomem")])
    assert the_race.result.failures == {("skip", known_failure("skip", "enomem")): 1, ("refused", None): 1}
    assert the_race.result.violation_count == 0


def test_the_record_has_the_walk_and_the_concurrent_changes(tmp_path: Path) -> None:
    gone = TimedChange("remove", "s9", 9, 500, 600)
    race_round = Round(
        (gone, *ADDED, TimedChange("rehash", "s3", 3, 11_200, 11_300, Bucket(2))), [walk((B,), "ENOMEM", (77,), ())]
    )
    the_race = raced(tmp_path, race_round)
    (violation,) = the_race.result.violations
    assert violation.path is not None
    text = violation.path.read_text()
    assert re.sub(r"Linux [^)]+", "Linux", text).splitlines() == [
        HEADER,
        "# Skip on kernel:pretended (Linux), detected scheme rank:",
        "# no known failure under add-head, remove, rehash, show, between, realloc, enomem.",
        "# Seed 7/0, walk 0. Found: skip s1, refused.",
        "# Microseconds from the opening of the walk, before and behind each call.",
        "",
        "        -9.0         -8.0      add-head s1 in 0",
        "         0.0          1.0  open",
        "         1.0          1.9  1: s2",
        "         1.2          1.3      rehash s3 in 2",
        "         2.0          2.9  2: ENOMEM",
        "         3.0          3.9  3: <77>",
        "         4.0          4.9  4: the end",
    ]


def test_a_walk_of_very_many_reads_is_reported_by_its_first_and_its_last(tmp_path: Path) -> None:
    reads = [(A,)] * 1000
    (violation,) = raced(tmp_path, Round(ADDED, [walk(*reads, ended=False, stuck=True)])).result.violations
    numbers = [int(number) for number in re.findall(r"  (\d+): s1", violation.text)]
    assert numbers == [*range(1, 201), *range(801, 1001)]


def test_of_very_many_violations_all_are_counted_and_the_first_of_each_kind_kept(tmp_path: Path) -> None:
    walks = [walk((B,), ())._replace(calls=tuple(s._replace(start=s.start + n, end=s.end + n) for s in walk((B,), ()).calls))
             for n in range(50)]  # fmt: skip
    the_race = raced(tmp_path, Round(ADDED, [*walks, walk((A, A, B), ())]))
    assert the_race.result.failures == {("skip", None): 50, ("repeat", None): 1}
    assert [violation.kinds for violation in the_race.result.violations] == [("skip",)] * RECORDS_KEPT + [("repeat",)]
    assert len(list(tmp_path.iterdir())) == RECORDS_KEPT + 1


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of the race, a second passes from one round to the next."""
    seconds = count()
    monkeypatch.setattr(race, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


@pytest.mark.usefixtures("a_second_each")
def test_rounds_go_on_until_the_time_is_up_and_each_has_a_seed_of_its_own(tmp_path: Path) -> None:
    arena, calls = ScriptedArena(FINE), []
    the_race = Race(having(), seed="7", kinds=ANY, cases=tmp_path)
    the_race.run(3, lambda: calls.append(1), arena=arena)
    assert not the_race.interrupted
    assert [plan.seed for plan in arena.plans] == ["7/0", "7/1", "7/2"]
    assert the_race.result.rounds == len(calls) == 3


@pytest.mark.usefixtures("a_second_each")
def test_there_is_a_round_however_short_the_time(tmp_path: Path) -> None:
    the_race = Race(having(), seed="7", kinds=ANY, cases=tmp_path)
    the_race.run(0.1, arena=ScriptedArena(FINE))
    assert the_race.result.rounds == 1


def test_a_violation_is_run_again_from_the_seed_of_its_round(tmp_path: Path) -> None:
    arena = ScriptedArena(FINE, SKIPS, then=KeyboardInterrupt())
    the_race = Race(having(), seed="7", kinds=ANY, cases=tmp_path)
    arena.extend([SKIPS] * RERUNS)
    the_race.run(60, arena=arena)
    assert [plan.seed for plan in arena.plans] == ["7/0", *["7/1"] * (1 + RERUNS), "7/2"]
    assert the_race.interrupted


def test_an_interrupt_while_a_violation_is_run_again_leaves_the_results_so_far_on_the_disk(tmp_path: Path) -> None:
    (violation,) = raced(tmp_path, SKIPS, SKIPS, FINE).result.violations
    assert (violation.reproduced, violation.reruns) == (1, 2)
    assert violation.path is not None
    assert "# Again in 1 of 2 rounds from this seed.\n" in violation.path.read_text()


def test_a_missing_prerequisite_ends_a_race_and_is_reported(tmp_path: Path) -> None:
    the_race = raced(tmp_path, FINE, then=Unavailable("no more sockets"))
    assert (the_race.interrupted, the_race.result.trouble, the_race.result.rounds) == (False, "no more sockets", 1)


def test_an_unsaved_record_is_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (violation,) = raced(tmp_path / "file", SKIPS).result.violations
    assert violation.path is None
    assert violation.trouble == f"{tmp_path / 'file'}: File exists"
    assert "skip s1" in violation.text


# The command.


@pytest.fixture
def capabilities(monkeypatch: pytest.MonkeyPatch) -> dict[str, Capabilities]:
    """The probed capabilities of each target; by default it runs here, and its scheme is `rank`."""
    capabilities: dict[str, Capabilities] = {}
    monkeypatch.setattr(
        "sockiter.kernel.target.probe", lambda target, attempt: capabilities.get(target, Capabilities(scheme="rank"))
    )
    return capabilities


@pytest.fixture
def rounds(capabilities: dict[str, Capabilities], monkeypatch: pytest.MonkeyPatch) -> list[Round]:
    """The rounds of every race, which ends behind the last one."""
    rounds: list[Round] = [FINE]
    monkeypatch.setattr(
        race, "race_session", lambda target: ScriptedArena(*rounds, then=Unavailable("no more rounds"))(target)
    )
    return rounds


UNTIL_STOPPED = ("--seed", 7, "--seconds", 60)


@pytest.mark.usefixtures("capabilities", "a_second_each")
def test_a_race_without_a_violation_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "race_session", ScriptedArena(FINE))
    result = sockiter("race", "kernel:proc-udp", "--seed", 7, "--seconds", 3, "--cases", tmp_path)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.search(r"^sockiter race: seed 7, \d+ s, Linux ", result.stdout, re.MULTILINE)
    assert re.search(r"kernel:proc-udp +rank +3 ", result.stdout)
    assert "No violation in 3 walks." in result.stdout


def test_a_violation_is_reported_with_its_record_and_has_status_1(rounds: list[Round], tmp_path: Path) -> None:
    rounds[:] = [SKIPS, *[SKIPS] * RERUNS]
    result = sockiter("race", "kernel:proc-udp", *UNTIL_STOPPED, "--cases", tmp_path)
    assert result.exit_code == 1
    (record,) = tmp_path.iterdir()
    assert f"VIOLATION kernel:proc-udp: skip, reproduced 10 of 10; record: {record}\n" in result.stdout
    assert re.search(r"kernel:proc-udp +skip +1 +50\.000% +no", result.stdout)
    assert "No violation" not in result.stdout
    assert "trouble (kernel:proc-udp): no more rounds" in result.stdout


def test_a_known_failure_is_reported_with_its_rate(rounds: list[Round], tmp_path: Path) -> None:
    rounds[:] = [SKIPS_UNDER_REMOVAL, FINE, FINE, Round(ADDED, [walk("ENOMEM", (A, B), ())])]
    result = sockiter("race", "kernel:proc-udp", *UNTIL_STOPPED, "--cases", tmp_path)
    assert result.exit_code == 3
    assert re.search(r"kernel:proc-udp +skip +1 +25\.000% +skip \(elsewhere\) under remove", result.stdout)
    assert re.search(r"kernel:proc-udp +refused +1 +25\.000% +memory was short", result.stdout)
    assert "No violation in 4 walks. That is no proof." in result.stdout


def test_the_document_has_all_of_it_and_is_the_only_output(rounds: list[Round], tmp_path: Path) -> None:
    rounds[:] = [SKIPS_UNDER_REMOVAL, SKIPS, FINE]
    result = sockiter("race", "kernel:proc-udp", "kernel:proc-udp", *UNTIL_STOPPED, "--cases", tmp_path, "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    document = json.loads(result.stdout)
    assert (document["seed"], document["interrupted"], document["not_here"]) == (7, False, [])
    (target,) = document["targets"]
    assert (target["target"], target["walks_by"], target["trouble"]) == ("kernel:proc-udp", "rank", "no more rounds")
    assert target["hazards"] == ["add-head", "remove", "reinsert", "rehash", "destroy"]
    # A repeated round is not counted.
    assert (target["rounds"], target["walks"], target["reads"], target["changes"]) == (2, 3, 6, 1)
    assert (target["changes_during_reads"], target["changes_inside_one_read"]) == (1, 0)
    assert target["harms"] == [
        {"kind": "skip", "walks": 1, "admitted": {"kind": "skip", "moved": False, "elsewhere": True, "hazards": ["remove"]}},
        {"kind": "skip", "walks": 1, "admitted": None},
    ]
    (record,) = tmp_path.iterdir()
    where = {"seed": "7/kernel:proc-udp/1", "walk": 1, "record": str(record)}
    assert target["violations"] == [{"kinds": ["skip"], **where, "reproduced": 0, "reruns": 1}]


def test_a_record_that_cannot_be_saved_is_printed(rounds: list[Round], tmp_path: Path) -> None:
    rounds[:] = [SKIPS]
    (tmp_path / "file").write_text("")
    result = sockiter("race", "kernel:proc-udp", *UNTIL_STOPPED, "--cases", tmp_path / "file" / "cases")
    assert result.exit_code == 1
    assert (
        f"sockiter: {tmp_path / 'file' / 'cases'}: Not a directory: this record could not be saved there:" in result.stderr
    )
    assert "Found: skip s1." in result.stderr
    assert "; not saved\n" in result.stdout


def test_an_interrupted_race_reports_its_results(
    capabilities: dict[str, Capabilities], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(race, "race_session", lambda target: ScriptedArena(FINE, then=KeyboardInterrupt())(target))
    result = sockiter("race", *UNTIL_STOPPED, "--cases", tmp_path)
    assert (result.exit_code, result.stderr) == (130, "sockiter: interrupted\n")
    assert ", interrupted\n" in result.stdout
    assert "No violation in 1 walks." in result.stdout
    assert re.search(r"kernel:unix +rank +0 +0 ", result.stdout)


def test_without_named_targets_the_others_are_left_out_and_reported(
    capabilities: dict[str, Capabilities], rounds: list[Round], tmp_path: Path
) -> None:
    capabilities["kernel:udp"] = Capabilities(NO_KERNEL)
    capabilities["kernel:tcp"] = Capabilities(scheme=None)
    result = sockiter("race", "--hazard", "rehash", *UNTIL_STOPPED, "--cases", tmp_path)
    assert f"Not raced: kernel:udp: kernel:udp does not run here: {NO_KERNEL}\n" in result.stdout
    assert "Not raced: kernel:unix: kernel:unix supports none of: rehash\n" in result.stdout
    assert re.search(r"kernel:tcp +unknown ", result.stdout)


@pytest.mark.parametrize("names", [(), ("kernel:udp",)])
def test_where_nothing_can_be_raced_the_reason_is_reported(
    capabilities: dict[str, Capabilities], names: tuple[str, ...]
) -> None:
    capabilities.update({target.name: Capabilities(NO_KERNEL) for target in KERNEL_TARGETS})
    result = sockiter("race", *names)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith(f"kernel:udp does not run here: {NO_KERNEL}\n")


def test_a_hazard_that_a_named_iterator_cannot_be_put_through_is_refused(capabilities: dict[str, Capabilities]) -> None:
    result = sockiter("race", "kernel:udp", "kernel:unix", "--hazard", "remove", "--hazard", "rehash")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("sockiter: kernel:unix does not support: rehash")


def test_a_scheme_or_an_unknown_target_cannot_be_raced(capabilities: dict[str, Capabilities]) -> None:
    scheme, nothing = sockiter("race", "rank"), sockiter("race", "nothing")
    assert (scheme.exit_code, nothing.exit_code) == (2, 2)
    assert "rank is no kernel's iterator: expected one of kernel:udp, kernel:tcp, " in scheme.stderr
    assert "no target is named 'nothing'" in nothing.stderr


@pytest.mark.usefixtures("terminal")
def test_progress_is_shown_on_a_terminal(rounds: list[Round], tmp_path: Path) -> None:
    rounds[:] = [SKIPS, FINE]
    result = sockiter("race", "kernel:udp", "kernel:tcp", *UNTIL_STOPPED, "--cases", tmp_path)
    assert "kernel:udp: 2 walks, 0 changes during reads, 1 violations" in result.stderr
    assert "s left" in result.stderr


def test_a_plan_for_buckets_of_a_limited_size_has_few_sockets_in_all_buckets() -> None:
    room = Room(buckets_drawn=8, holds=8)
    for number in range(60):
        round_plan = draw_plan(f"7/{number}", room, frozenset({"add-head", "remove"}))
        assert round_plan.buckets == room.buckets
        assert round_plan.untouched + round_plan.changing_max <= 8 * 8 // 2


@pytest.mark.usefixtures("ticking")
def test_a_full_bucket_takes_no_more_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    added = StubSockets.add

    def add(sockets: StubSockets, name: str, end: End, bucket: Bucket) -> int:
        if len(sockets.held) == 5:
            raise Inconclusive("it is full")
        return added(sockets, name, end, bucket)

    monkeypatch.setattr(StubSockets, "add", add)
    mutator, sockets = mutated("add-head", changes=50, untouched=2, changing=1, changing_max=9)
    assert len(sockets.held) == 5
    assert len(mutator.changes) == 5


@pytest.mark.usefixtures("ticking")
def test_sockets_without_a_head_are_added_at_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubSockets, "has_head", False)
    mutator, _ = mutated("add-tail", changes=50, untouched=2, changing=1, changing_max=4)
    assert {change.hazard for change in mutator.changes} == {"add-tail"}


def test_the_walks_of_a_table_that_was_resized_meanwhile_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def sweep(_: StubSockets) -> None:
        raise TooBusy("resized")

    monkeypatch.setattr(StubSockets, "sweep", sweep)
    (race_round,) = sides(Apart(), plan("remove", "add-head", seconds=0.05))
    assert not race_round.walks
    assert race_round.changes


def test_elements_are_walked_in_their_own_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubSockets, "own_namespace", Own())
    (race_round,) = sides(Where(), plan("remove", "add-head", seconds=0.05))
    assert race_round.walks[0].calls[1].delivered == (7,)


class Own:
    """Stands in for a namespace of its own, which only a process that enters it is in."""

    here = 0

    def enter(self) -> None:
        Own.here = 7

    def end(self) -> None:
        Own.here = 0


class Where(ScriptedWalk):
    def open(self) -> ScriptedReader:
        return ScriptedReader((Own.here,), ())
