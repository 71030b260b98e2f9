"""A campaign: shares of the time, saved findings, and the end of a worker, which does not end the others."""

from __future__ import annotations

import errno
import gc
import io
import math
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sockiter import __version__, workers
from sockiter.backend import Target
from sockiter.cases import Case, load, loads
from sockiter.claims import Hazard, hazards_of, known_failure
from sockiter.errors import Unavailable
from sockiter.fuzzing import campaign
from sockiter.fuzzing.campaign import (
    Began,
    Campaign,
    Drawn,
    Ended,
    FuzzJob,
    Message,
    SavedFinding,
    Tick,
    annotated,
    search,
    work,
)
from sockiter.fuzzing.drivers import DRIVERS, Bite
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.kernel import probe
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.target import KernelTarget
from sockiter.replay import replay
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.verdict import Signature
from sockiter.workers import interrupted_at, serving, starved_s
from tests.support.inline_workers import work_inline

pytestmark = pytest.mark.interpreter

SKIP, REPEAT = known_failure("skip", "remove"), known_failure("repeat", "add-head")
BOTH: frozenset[Hazard] = frozenset({"remove", "add-head"})
LONG_S = 600.0


def job(cases: Path, *, seconds: float = 0.0, since: float = 0.0, target: str = "offset-udp") -> FuzzJob:
    """A slice of swarm: after its time is up it still looks at the clock once, after its first bite."""
    return FuzzJob(target, "swarm", BOTH, "7/slice", cases, seconds, since, frozenset({SKIP, REPEAT}), frozenset())


def offset_udp() -> SchemeTarget:
    target = target_named("offset-udp")
    assert isinstance(target, SchemeTarget)
    return target


def two(cases: Path, *, seconds: float, workers: int = 2, drivers: tuple[str, ...] = ("swarm",)) -> Campaign:
    targets = [(target_named(name), BOTH) for name in ("offset-udp", "index")]
    return Campaign(targets, drivers=drivers, seed=7, seconds=seconds, workers=workers, cases=cases, slice_s=60)


def one(cases: Path, *, seconds: float, workers: int = 1, slice_s: float = 60, driver: str = "swarm") -> Campaign:
    targets = [(target_named("offset-udp"), BOTH)]
    return Campaign(targets, drivers=[driver], seed=7, seconds=seconds, workers=workers, cases=cases, slice_s=slice_s)


# A search, in this process.


def test_a_slice_reports_its_findings_its_work_and_its_end(tmp_path: Path) -> None:
    kept, tick, ended = search(job(tmp_path, since=30.0))
    assert isinstance(kept, SavedFinding)
    assert kept.path is not None
    assert kept.driver == "swarm"
    assert kept.seconds >= 30.0
    assert kept.found.known_failure in (SKIP, REPEAT)
    assert isinstance(tick, Tick)
    assert tick.operations > tick.sequences > 0
    assert isinstance(ended, Ended)
    assert (kept.found.signature, kept.found.known_failure.hazards) in ended.investigated
    assert ended.trouble == ""


def test_a_saved_finding_exists_and_replays_as_expected(tmp_path: Path) -> None:
    kept = next(search(job(tmp_path)))
    assert isinstance(kept, SavedFinding)
    assert kept.path is not None
    assert list(tmp_path.iterdir()) == [kept.path]
    case = load(kept.path)
    assert case == kept.found.case
    assert case.comment[0].endswith(", found on offset-udp by swarm.")
    assert case.comment[1] == "Seed 7/slice. No case with the same hazards, sockets, buckets and slots is shorter."
    target = offset_udp()
    with target.session() as session:
        assert replay(case, target, session).as_expected


def test_a_search_goes_on_until_its_time_is_up(tmp_path: Path) -> None:
    *sent, ended = search(job(tmp_path, seconds=0.1))
    assert isinstance(ended, Ended)
    assert sum(message.seconds for message in sent if isinstance(message, Tick)) >= 0.1


def test_a_search_whose_driver_has_no_more_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drive(
        triage: Triage, hazards: frozenset[Hazard], seed_text: str, sequences_max: float = math.inf, /
    ) -> Iterator[Bite]:
        yield Bite(2, 10)

    monkeypatch.setitem(DRIVERS, "swarm", drive)
    tick, ended = search(job(tmp_path, seconds=LONG_S))
    assert isinstance(tick, Tick)
    assert (tick.sequences, tick.operations) == (2, 10)
    assert ended == Ended(frozenset())


def test_the_same_seed_finds_the_same_first(tmp_path: Path) -> None:
    first, second = next(search(job(tmp_path))), next(search(job(tmp_path)))
    assert isinstance(first, SavedFinding)
    assert isinstance(second, SavedFinding)
    assert first.found == second.found


def test_an_unsaved_finding_is_kept_in_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(case: Case, directory: Path, stem: str) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(campaign, "save", save)
    kept = next(search(job(tmp_path)))
    assert isinstance(kept, SavedFinding)
    assert kept.path is None
    assert kept.trouble == f"{tmp_path}: No space left on device"
    assert len(kept.found.case.operations) == 6


def lacking() -> AbstractContextManager[None]:
    raise Unavailable("no such program type")


def test_a_target_that_the_machine_cannot_run_is_trouble_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_udp(), "session", lacking)
    assert list(search(job(tmp_path))) == [Ended(frozenset(), "no such program type")]


def found(
    case: Case, *, moved: bool = False, target: str = "offset-udp", reproduced: int = 1, reruns: int = 1
) -> TriagedFinding:
    return TriagedFinding(target, "skip", moved, case, hazards_of(case.operations), None, 9, reproduced, reruns)


MOVED = loads("add A tail\nadd B tail\nopen\nread 1\nreinsert A tail\nread all\n")


def test_a_case_has_its_finding_in_words_and_in_its_name() -> None:
    with offset_udp().session() as session:
        case = annotated(found(MOVED, moved=True), session, driver="swarm", seed="1")
    assert case.comment[0] == "Skip of a socket that moved under reinsert, found on offset-udp by swarm."
    assert found(MOVED, moved=True).stem == "offset-udp-skip-moved-reinsert"
    assert found(MOVED).stem == "offset-udp-skip-reinsert"


def test_a_case_without_any_hazard_is_described_as_such() -> None:
    with offset_udp().session() as session:
        case = annotated(found(loads("add A tail\nopen\nread all\n")), session, driver="swarm", seed="1")
    assert case.comment[0] == "Skip under no hazard, found on offset-udp by swarm."


def test_a_case_of_a_kernel_has_the_release_and_the_number_of_reproductions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_udp(), "is_real", True)
    with offset_udp().session() as session:
        case = annotated(found(MOVED, reproduced=3, reruns=5), session, driver="swarm", seed="1")
    assert f"found on offset-udp (Linux {os.uname().release}, 3 of 5 runs) by swarm." in case.comment[0]
    assert {expect.target for expect in case.expects} >= {"offset-udp"}


@pytest.mark.parametrize(("commit", "said"), [("0123456789ab", ", commit 0123456789ab"), (None, "")])
def test_a_case_names_its_driver_and_seed(commit: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "commit", lambda: commit)
    with offset_udp().session() as session:
        case = annotated(found(MOVED, moved=True), session, driver="swarm", seed="1")
    assert case.comment[1:] == ("Seed 1.", f"sockiter {__version__}{said}, on Linux {os.uname().release}.")


# A worker, in this process.


@pytest.fixture
def handlers() -> Iterator[None]:
    """A worker ignores signals for the campaign."""
    yield
    assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)} == {signal.SIG_IGN}


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_on_request_after_its_present_step(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.send("stop")
    work(job(tmp_path, seconds=LONG_S), theirs)
    assert [type(ours.recv()) for _ in range(4)] == [Began, Drawn, SavedFinding, Tick]
    with pytest.raises(ConnectionResetError):  # since it has not read the message
        ours.recv()
    ours.close()


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_when_its_connection_is_closed(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    work(job(tmp_path, seconds=LONG_S), theirs)
    assert theirs.closed


@pytest.mark.usefixtures("handlers")
def test_an_unread_message_is_not_left_to_the_garbage_collector() -> None:
    """CPython 3.12.1 does not survive collecting a message with a view of it, and 3.13 complains."""
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    gc.collect()
    gc.disable()
    try:
        with serving(theirs):
            theirs.send("x")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not any(isinstance(one, io.BytesIO) for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert theirs.closed


def test_a_worker_sends_all_messages_until_its_end(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    work(job(tmp_path), theirs)
    assert [type(ours.recv()) for _ in range(5)] == [Began, Drawn, SavedFinding, Tick, Ended]
    with pytest.raises(EOFError):
        ours.recv()
    ours.close()


# A campaign whose workers send the messages of the test.

Search = Callable[[FuzzJob, object], Iterator[Message]]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[FuzzJob]:
    """The slices in the order of their start. Each of them uses up all of its time, in no time."""
    started: list[FuzzJob] = []

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        started.append(job)
        yield Tick(10, 100, job.seconds)
        yield Ended(frozenset())

    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", search)
    clock(monkeypatch, lambda: 1000.0)
    return started


def clock(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """The clock of a campaign. Only the wait for workers uses the real clock."""
    for module in (campaign, workers):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=now))


def test_the_time_of_all_workers_is_shared_equally_and_every_track_has_a_short_first_slice(
    jobs: list[FuzzJob], tmp_path: Path
) -> None:
    run = two(tmp_path, seconds=100, workers=3, drivers=tuple(sorted(DRIVERS)))
    assert run.left_s == 100
    run.run()
    assert run.left_s == pytest.approx(0)
    assert [(job.target, job.driver) for job in jobs[:4]] == [
        ("offset-udp", "swarm"),
        ("index", "swarm"),
        ("offset-udp", "hypothesis"),
        ("index", "hypothesis"),
    ]
    for track in run.tracks:
        of_track = [job for job in jobs if (job.target, job.driver) == (track.target.name, track.driver)]
        assert [job.seconds for job in of_track] == [1, 60, pytest.approx(14)]
        assert [job.since for job in of_track] == [0, 1, 61]
        assert (track.seconds, track.sequences, track.operations) == (75, 30, 300)
    assert not run.interrupted


def test_the_fast_driver_runs_first_and_kernels_before_models(tmp_path: Path) -> None:
    kernel = SimpleNamespace(name="kernel:pretended", known_failures=(), is_real=True)
    run = Campaign(
        [(target_named("index"), BOTH), (cast(Target, kernel), BOTH)],
        drivers=sorted(DRIVERS),
        seed=7,
        seconds=LONG_S,
        workers=1,
        cases=tmp_path,
    )
    order = [(track.driver, track.target.name) for track in run._waiting]
    assert order == [
        ("swarm", "kernel:pretended"),
        ("swarm", "index"),
        ("hypothesis", "kernel:pretended"),
        ("hypothesis", "index"),
    ]


def test_the_first_slices_of_a_short_campaign_leave_time_to_shrink_their_findings(
    jobs: list[FuzzJob], tmp_path: Path
) -> None:
    two(tmp_path, seconds=2, drivers=tuple(sorted(DRIVERS))).run()
    assert [job.seconds for job in jobs[:4]] == [0.25] * 4


def test_every_slice_draws_from_a_seed_of_its_own(jobs: list[FuzzJob], tmp_path: Path) -> None:
    two(tmp_path, seconds=100, drivers=tuple(sorted(DRIVERS))).run()
    assert jobs[0].seed == "7/offset-udp/swarm/0"
    assert len({job.seed for job in jobs}) == len(jobs) == 8


def test_more_workers_than_tracks_work_on_one_of_them_side_by_side(jobs: list[FuzzJob], tmp_path: Path) -> None:
    calls: list[int] = []
    one(tmp_path, seconds=3, workers=4, slice_s=3).run(lambda: calls.append(len(jobs)))
    assert [job.since for job in jobs] == [0, 1, 4, 7, 10]
    assert calls[0] == 4


def say(monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", search)


def test_a_finding_of_two_slices_is_saved_once_and_not_sought_by_a_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
    longer = loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n")
    pending: list[frozenset[object]] = []

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        pending.append(frozenset(job.pending))
        for one in (case, longer) if len(pending) == 2 else (case,):
            yield SavedFinding(replace(found(one), known_failure=SKIP), "swarm", 0.5, tmp_path / "x.case")
        yield Ended(frozenset({(Signature("skip"), SKIP.hazards)}))

    say(monkeypatch, search)
    run = one(tmp_path, seconds=2, workers=2, slice_s=2)
    run.run()
    (track,) = run.tracks
    assert [kept.found.case for kept in track.kept] == [case, longer]
    assert [SKIP in of for of in pending] == [True, True, False]
    assert track.pending == {REPEAT}
    assert track.investigated == {(Signature("skip"), SKIP.hazards)}


def test_a_broken_claim_is_saved_beside_known_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield SavedFinding(found(MOVED), "swarm", 0.5, tmp_path / "x.case")
        yield SavedFinding(found(MOVED), "swarm", 0.6, tmp_path / "x.case")

    say(monkeypatch, search)
    run = one(tmp_path, seconds=0.5)
    run.run()
    assert [kept.seconds for kept in run.tracks[0].kept] == [0.5]
    assert run.tracks[0].pending == {SKIP, REPEAT}


@pytest.mark.parametrize("workers", [1, 4])
def test_trouble_ends_a_track_and_not_the_others(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices: list[str] = []

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        slices.append(job.target)
        if job.target == "index":
            yield Tick(1, 1, job.seconds)
        yield Ended(frozenset(), "out of memory" if job.target == "offset-udp" else "")

    say(monkeypatch, search)
    run = two(tmp_path, seconds=500, workers=workers)
    run.run()
    broken, whole = run.tracks
    # Each slice that had begun before the first message arrived has this trouble.
    assert broken.troubles == ["out of memory"] * slices.count("offset-udp")
    assert slices.count("offset-udp") <= workers
    assert (whole.troubles, whole.seconds) == ([], 250 * workers)


# With workers that are processes.


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def worker() -> BaseProcess:
    return multiprocessing.active_children()[0]


def test_workers_find_and_save_and_are_gone_afterwards(tmp_path: Path) -> None:
    run = two(tmp_path / "made", seconds=0.6)
    run.run()
    offset, index = run.tracks
    assert {kept.found.known_failure for kept in offset.kept} <= {SKIP, REPEAT}
    assert sorted(kept.path for kept in offset.kept if kept.path) == sorted((tmp_path / "made").iterdir()) != []
    assert index.kept == []
    assert min(offset.sequences, index.sequences) > 0
    assert (offset.troubles, index.troubles) == ([], [])
    assert run.left_s < 0.1


def test_a_worker_that_is_killed_is_trouble_and_the_others_go_on(tmp_path: Path) -> None:
    run = one(tmp_path, seconds=LONG_S, workers=2)
    (track,) = run.tracks
    killed: list[int] = []
    slices: list[int] = []

    def is_enough() -> bool:
        if not killed:
            killed.append(worker().pid or 0)
            slices.append(track.slices)
            os.kill(killed[0], signal.SIGKILL)
        return (
            bool(track.troubles)
            and track.slices > slices[0]
            and {kept.found.known_failure for kept in track.kept} == {SKIP, REPEAT}
        )

    run.run(interrupt_once(run, is_enough))
    assert track.troubles == ["a worker on offset-udp ended with exit code -9: the scheme or the system ended it"]


def test_a_worker_that_ends_without_a_word_of_its_end_is_trouble_whatever_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield Tick(10, 100, job.seconds)

    say(monkeypatch, search)
    run = one(tmp_path, seconds=0.1)
    run.run()
    assert set(run.tracks[0].troubles) == {
        "a worker on offset-udp ended with exit code 0: the scheme or the system ended it"
    }


def test_a_worker_that_fails_is_trouble(tmp_path: Path) -> None:
    run = one(tmp_path, seconds=0.1, driver="nonsense")
    run.run()
    assert set(run.tracks[0].troubles) == {
        "a worker on offset-udp ended with exit code 1: the scheme or the system ended it"
    }


def test_a_session_that_the_machine_cannot_run_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_inline(monkeypatch)
    monkeypatch.setattr(offset_udp(), "session", lacking)
    run = one(tmp_path, seconds=LONG_S)
    run.run()
    assert run.tracks[0].troubles == ["no such program type"]


def interrupt_once(run: Campaign, when: Callable[[], bool]) -> Callable[[], None]:
    def progress() -> None:
        if not run.interrupted and when():
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_campaign_stops_and_keeps_its_findings(tmp_path: Path) -> None:
    run = two(tmp_path, seconds=LONG_S)
    run.run(interrupt_once(run, lambda: bool(run.tracks[0].kept)))
    assert run.interrupted
    assert 0 < run.tracks[0].seconds < LONG_S
    # Nobody was killed: each ended by itself, and all that was saved was also heard of.
    assert [track.troubles for track in run.tracks] == [[], []]
    assert {kept.path for kept in run.tracks[0].kept} == set(tmp_path.iterdir())


def interrupting(text: str) -> str:
    signal.raise_signal(signal.SIGINT)
    return text


class Interrupting(str):
    """A text in whose reception Ctrl-C is pressed."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        return interrupting, (str(self),)


def test_a_message_that_arrives_during_an_interrupt_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield SavedFinding(found(MOVED), Interrupting("swarm"), 0.5, tmp_path / "x.case")
        yield Tick(1, 6, 0.1)
        yield Ended(frozenset())

    say(monkeypatch, search)
    run = one(tmp_path, seconds=0.5)
    run.run()
    assert run.interrupted
    assert [kept.driver for kept in run.tracks[0].kept] == ["swarm"]
    assert run.tracks[0].sequences == 1


def test_a_campaign_that_is_interrupted_twice_waits_for_no_worker(tmp_path: Path) -> None:
    def progress() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two(tmp_path, seconds=LONG_S).run(progress)


def test_an_interrupted_campaign_without_workers_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield Tick(1, 1, 1.0)

    say(monkeypatch, search)
    run = one(tmp_path, seconds=LONG_S)
    run.run(interrupt_once(run, lambda: True))
    assert run.interrupted


def test_a_worker_that_does_not_stop_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_S", 0.05)
    run = one(tmp_path, seconds=LONG_S)

    def hang() -> bool:
        os.kill(worker().pid or 0, signal.SIGSTOP)
        return True

    run.run(interrupt_once(run, hang))
    assert run.interrupted


def test_a_campaign_leaves_the_callers_handlers_as_they_were(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    one(tmp_path, seconds=0.1).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


# Time.


def test_the_time_is_up_for_all_at_once_however_much_of_its_share_one_has_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    clock(monkeypatch, lambda: now)
    begun: list[tuple[str, float]] = []

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        nonlocal now
        begun.append((job.target, job.seconds))
        now += 4.0  # the first second is drawing, the others are shrinking
        yield Tick(10, 100, 4.0)
        yield Ended(frozenset())

    say(monkeypatch, search)
    run = two(tmp_path, seconds=10, workers=1)
    run.run()
    # From the first message on there are 10 s, and of those 6 are left for the second slices of both.
    assert [target for target, _ in begun] == ["offset-udp", "index", "offset-udp", "index"]
    assert [seconds for _, seconds in begun[:3]] == [1.0, 1.0, 3.0]
    assert run.left_s == 0


ENDLESS = FuzzJob("offset-udp", "swarm", BOTH, "7/slice", Path("/nowhere"), 1.0, 0.0, frozenset(), frozenset(), left_s=0.01)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that comes to the end of no bite, and an alarm that does not keep anybody waiting."""

    def drive(
        triage: Triage, hazards: frozenset[Hazard], seed_text: str, sequences_max: float = math.inf, /
    ) -> Iterator[Bite]:
        signal.pause()
        yield Bite(1, 1)

    monkeypatch.setitem(DRIVERS, "swarm", drive)
    monkeypatch.setattr(campaign, "INTERRUPTED_S", 0.0)


@pytest.mark.usefixtures("endless")
def test_a_sequence_without_an_end_is_interrupted_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(search(ENDLESS)) == [Ended(frozenset())]
    monkeypatch.setattr(campaign, "ENDLESS_S", 0.0)
    assert list(search(ENDLESS)) == [Ended(frozenset(), "no sequence finished within 0 s")]


def test_a_finding_is_saved_as_far_as_it_was_shrunk_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "SHRINKING_S", 0.0)
    kept, _, ended = search(replace(job(tmp_path), left_s=0.0))
    assert isinstance(kept, SavedFinding)
    assert kept.found.cut_short
    assert not kept.found.shortest
    assert kept.path is not None
    assert load(kept.path).comment[1] == "Seed 7/slice. Not shrunk to the end: the time was up."
    assert len(load(kept.path).operations) == kept.found.drawn
    assert ended == Ended(frozenset({(Signature(kept.found.kind), kept.found.hazards)}))


def test_an_interrupt_while_a_finding_is_shrunk_saves_it_without_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sockiter.fuzzing.triage.minimize", interrupt)
    monkeypatch.setattr(campaign, "annotated", interrupt)
    *sent, _ = search(job(tmp_path))
    assert isinstance(sent[0], SavedFinding)
    assert sent[0].found.cut_short
    assert [case.expects for case in map(load, tmp_path.iterdir())] == [()]


class Talking:
    """The connection of a worker that gets a message to stop."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def poll(self) -> bool:
        return True


def test_a_worker_that_must_stop_still_shrinks_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "SHRINKING_S", 0.0)
    line = Talking()
    kept, *_ = search(job(tmp_path, seconds=LONG_S), line)
    assert isinstance(kept, SavedFinding)
    assert kept.found.cut_short
    assert [type(message) for message in line.sent] == [Began, Drawn]


@pytest.mark.parametrize("known_failure", [SKIP, None])
def test_a_finding_of_a_dead_worker_is_saved_as_it_was_drawn(
    known_failure: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield Drawn(replace(found(MOVED), known_failure=SKIP if known_failure else None, cut_short=True), 0.5)
        raise OSError

    say(monkeypatch, search)
    monkeypatch.setattr("tests.support.inline_workers.Worker.exitcode", -9)
    run = one(tmp_path, seconds=0.5)
    run.run()
    (track,) = run.tracks
    (path,) = tmp_path.iterdir()
    assert load(path).operations == MOVED.operations
    assert [kept.path for kept in track.kept] == [path]
    assert track.troubles[0] == "a worker on offset-udp ended with exit code -9: the scheme or the system ended it"


def test_a_worker_that_goes_on_when_the_time_is_up_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_S", 0.05)
    run = one(tmp_path, seconds=LONG_S)
    stopped: list[int] = []

    def stop() -> None:
        if run.tracks[0].sequences and not stopped:
            stopped.append(worker().pid or 0)
            os.kill(stopped[0], signal.SIGSTOP)
            run._until = time.monotonic()

    run.run(stop)
    assert run.tracks[0].troubles == ["a worker on offset-udp was killed: it went on for 0 s after the time was up"]
    assert not run.interrupted


def test_a_slow_set_up_is_no_part_of_the_time(tmp_path: Path) -> None:
    run = one(tmp_path, seconds=10)
    (track,) = run.tracks
    run._on_message(track, Began(9.0))
    until = run._until
    run._on_message(track, Began(0.5))
    assert run._until == until
    run._on_message(track, Began(5.0))
    assert run._until == until + 4.0


def test_a_slice_takes_over_what_was_found_out_about_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(target: KernelTarget) -> None:
        raise Unavailable("no session today")

    monkeypatch.setattr(probe, "_capabilities", {})
    monkeypatch.setattr(KernelTarget, "session", fail)
    capabilities = Capabilities(scheme="rank", unable={"show": "why not"})
    assert pickle.loads(pickle.dumps(capabilities)) == capabilities
    nothing: frozenset[Any] = frozenset()
    job = FuzzJob("kernel:udp", "swarm", nothing, "1", tmp_path, 1.0, 0.0, nothing, nothing, capabilities=capabilities)
    assert list(search(job)) == [Ended(nothing, "no session today")]
    assert probe.known("kernel:udp") == capabilities


def test_a_campaign_without_interrupts_sets_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with interrupted_at(math.inf):
        assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(KeyboardInterrupt), interrupted_at(time.monotonic()):
        signal.pause()
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_error_behind_an_interrupt_is_the_interrupt_and_any_other_error_stays() -> None:
    # Hypothesis calls its data inconsistent if an interrupt ends a test in the middle of a draw.
    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGALRM)
        finally:
            raise ValueError("inconsistent")

    with pytest.raises(KeyboardInterrupt), interrupted_at(time.monotonic() + 600):
        interrupted()
    with pytest.raises(ValueError, match="early"), interrupted_at(time.monotonic() + 600):
        raise ValueError("early")


def test_an_interrupt_in_a_callback_that_cannot_raise_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGALRM)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("another")

    others: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: others.append(unraisable.exc_type))
    hook = sys.unraisablehook

    def work() -> None:
        Faulty()
        Deaf()
        signal.pause()

    with pytest.raises(KeyboardInterrupt), interrupted_at(time.monotonic() + 600):
        work()
    assert (others, sys.unraisablehook) == ([ValueError], hook)


def test_time_without_a_processor_is_no_time_of_a_sequence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert starved_s() >= 0
    path = tmp_path / "schedstat"
    monkeypatch.setattr(workers, "_SCHEDSTAT", path)
    assert starved_s() == 0
    path.write_text("276158 1500000000 2\n")
    assert starved_s() == 1.5
    path.write_text("")
    assert starved_s() == 0


@pytest.mark.usefixtures("endless")
def test_a_worker_that_got_no_processor_has_no_endless_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    starved = iter([0.0, 600.0])
    monkeypatch.setattr(campaign, "starved_s", lambda: next(starved))
    monkeypatch.setattr(campaign, "ENDLESS_S", 0.0)
    assert list(search(ENDLESS)) == [Ended(frozenset())]


@pytest.mark.parametrize(("load", "times"), [(0.5, 1.0), (2.0, 1.0), (6.0, 3.0), (400.0, 8.0)])
def test_workers_get_more_time_on_a_busy_machine(load: float, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert workers.patience_s() == workers.PATIENCE_S * times
