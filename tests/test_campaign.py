"""A campaign: the time is shared, what is found is kept, and no worker's end is the end of the others."""

from __future__ import annotations

import errno
import gc
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from inline import work_inline

from sockiter import campaign, workers
from sockiter.campaign import Campaign, Ended, Job, Kept, Message, Tick, annotated, search, work
from sockiter.cases import Case, load, loads
from sockiter.claims import Hazard, harm, hazards_of
from sockiter.drivers import DRIVERS, Bite
from sockiter.errors import MachineLacks
from sockiter.hunt import Found, Hunt
from sockiter.replay import replay
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.workers import heard

pytestmark = pytest.mark.interpreter

SKIP, REPEAT = harm("skip", "remove"), harm("repeat", "add-head")
BOTH: frozenset[Hazard] = frozenset({"remove", "add-head"})
LONG_S = 600.0


def job(cases: Path, *, seconds: float = 0.0, since: float = 0.0, target: str = "offset-udp") -> Job:
    """A slice of swarm: after its time is up it still looks at the clock once, after its first bite."""
    return Job(target, "swarm", BOTH, "7/slice", cases, seconds, since, frozenset({SKIP, REPEAT}), frozenset())


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


def test_a_search_says_what_it_kept_what_it_did_and_that_it_is_over(tmp_path: Path) -> None:
    kept, tick, ended = search(job(tmp_path, since=30.0))
    assert isinstance(kept, Kept)
    assert kept.path is not None
    assert kept.driver == "swarm"
    assert kept.seconds >= 30.0
    assert kept.found.harm in (SKIP, REPEAT)
    assert isinstance(tick, Tick)
    assert tick.operations > tick.sequences > 0
    assert isinstance(ended, Ended)
    assert (kept.found.signature, kept.found.harm.hazards) in ended.followed
    assert ended.trouble == ""


def test_what_a_search_says_to_be_saved_is_there_and_comes_out_as_it_expects(tmp_path: Path) -> None:
    kept = next(search(job(tmp_path)))
    assert isinstance(kept, Kept)
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
    *said, ended = search(job(tmp_path, seconds=0.1))
    assert isinstance(ended, Ended)
    assert sum(message.seconds for message in said if isinstance(message, Tick)) >= 0.1


def test_a_search_whose_driver_has_no_more_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drive(hunt: Hunt, hazards: frozenset[Hazard], seed_text: str) -> Iterator[Bite]:
        yield Bite(2, 10)

    monkeypatch.setitem(DRIVERS, "swarm", drive)
    tick, ended = search(job(tmp_path, seconds=LONG_S))
    assert isinstance(tick, Tick)
    assert (tick.sequences, tick.operations) == (2, 10)
    assert ended == Ended(frozenset())


def test_the_same_seed_finds_the_same_first(tmp_path: Path) -> None:
    first, second = next(search(job(tmp_path))), next(search(job(tmp_path)))
    assert isinstance(first, Kept)
    assert isinstance(second, Kept)
    assert first.found == second.found


def test_what_cannot_be_saved_is_kept_in_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(case: Case, directory: Path, stem: str) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(campaign, "save", save)
    kept = next(search(job(tmp_path)))
    assert isinstance(kept, Kept)
    assert kept.path is None
    assert kept.trouble == f"{tmp_path}: No space left on device"
    assert len(kept.found.case.operations) == 6


def lacking() -> AbstractContextManager[None]:
    raise MachineLacks("no such program type")


def test_a_target_that_the_machine_cannot_run_is_trouble_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_udp(), "session", lacking)
    assert list(search(job(tmp_path))) == [Ended(frozenset(), "no such program type")]


def found(case: Case, *, moved: bool = False, target: str = "offset-udp", reproduced: int = 1, reruns: int = 1) -> Found:
    return Found(target, "skip", moved, case, hazards_of(case.operations), None, 9, reproduced, reruns)


MOVED = loads("add A tail\nadd B tail\nopen\nread 1\nreinsert A tail\nread all\n")


def test_a_case_tells_in_words_and_in_its_name_what_befell_whom() -> None:
    with offset_udp().session() as session:
        case = annotated(found(MOVED, moved=True), session, driver="swarm", seed="1")
    assert case.comment[0] == "Skip of a socket that moved under reinsert, found on offset-udp by swarm."
    assert found(MOVED, moved=True).stem == "offset-udp-skip-moved-reinsert"
    assert found(MOVED).stem == "offset-udp-skip-reinsert"


def test_a_case_without_any_hazard_says_so() -> None:
    with offset_udp().session() as session:
        case = annotated(found(loads("add A tail\nopen\nread all\n")), session, driver="swarm", seed="1")
    assert case.comment[0] == "Skip under no hazard, found on offset-udp by swarm."


def test_a_case_of_a_kernel_tells_which_one_and_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_udp(), "is_real", True)
    with offset_udp().session() as session:
        case = annotated(found(MOVED, reproduced=3, reruns=5), session, driver="swarm", seed="1")
    assert f"found on offset-udp (Linux {os.uname().release}, 3 of 5 runs) by swarm." in case.comment[0]
    assert {expect.target for expect in case.expects} >= {"offset-udp"}


# A worker, in this process.


@pytest.fixture
def handlers() -> Iterator[None]:
    """A worker ignores what is meant for the campaign."""
    yield
    assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_IGN}


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_when_it_is_told_to_after_what_it_is_at(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.send("stop")
    work(job(tmp_path, seconds=LONG_S), theirs)
    assert [type(ours.recv()) for _ in range(2)] == [Kept, Tick]
    with pytest.raises(ConnectionResetError):  # since it has not read what it was told
        ours.recv()
    ours.close()


@pytest.mark.usefixtures("handlers")
def test_a_worker_stops_when_nobody_listens(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    work(job(tmp_path, seconds=LONG_S), theirs)
    assert theirs.closed


@pytest.mark.usefixtures("handlers")
def test_what_nobody_listens_to_is_not_left_to_the_garbage_collector() -> None:
    """CPython 3.12.1 does not survive collecting a message with a view of it, and 3.13 complains."""
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    gc.collect()
    gc.disable()
    try:
        with heard(theirs):
            theirs.send("x")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not any(isinstance(one, io.BytesIO) for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert theirs.closed


def test_a_worker_says_everything_until_it_is_over(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    work(job(tmp_path), theirs)
    assert [type(ours.recv()) for _ in range(3)] == [Kept, Tick, Ended]
    with pytest.raises(EOFError):
        ours.recv()
    ours.close()


# A campaign whose workers say what the test wants.

Search = Callable[[Job], Iterator[Message]]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The slices in the order of their start. Each of them uses up all of its time, in no time."""
    started: list[Job] = []

    def search(job: Job) -> Iterator[Message]:
        started.append(job)
        yield Tick(10, 100, job.seconds)
        yield Ended(frozenset())

    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", search)
    return started


def test_the_time_of_all_workers_is_shared_equally_and_every_track_has_a_short_first_slice(
    jobs: list[Job], tmp_path: Path
) -> None:
    run = two(tmp_path, seconds=100, workers=3, drivers=tuple(sorted(DRIVERS)))
    assert run.left_s == 100
    run.run()
    assert run.left_s == pytest.approx(0)
    assert [(job.target, job.driver) for job in jobs[:4]] == [
        ("offset-udp", "hypothesis"),
        ("offset-udp", "swarm"),
        ("index", "hypothesis"),
        ("index", "swarm"),
    ]
    for track in run.tracks:
        of_track = [job for job in jobs if (job.target, job.driver) == (track.target.name, track.driver)]
        assert [job.seconds for job in of_track] == [1, 60, pytest.approx(14)]
        assert [job.since for job in of_track] == [0, 1, 61]
        assert (track.seconds, track.sequences, track.operations) == (75, 30, 300)
    assert not run.interrupted


def test_every_slice_draws_from_a_seed_of_its_own(jobs: list[Job], tmp_path: Path) -> None:
    two(tmp_path, seconds=100, drivers=tuple(sorted(DRIVERS))).run()
    assert jobs[0].seed == "7/offset-udp/hypothesis/0"
    assert len({job.seed for job in jobs}) == len(jobs) == 8


def test_more_workers_than_tracks_work_on_one_of_them_side_by_side(jobs: list[Job], tmp_path: Path) -> None:
    calls: list[int] = []
    one(tmp_path, seconds=3, workers=4, slice_s=3).run(lambda: calls.append(len(jobs)))
    assert [job.since for job in jobs] == [0, 1, 4, 7, 10]
    assert calls[0] == 4


def say(monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", search)


def test_what_two_slices_find_alike_is_kept_once_and_not_sought_by_a_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
    longer = loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n")
    pending: list[frozenset[object]] = []

    def search(job: Job) -> Iterator[Message]:
        pending.append(frozenset(job.pending))
        for one in (case, longer) if len(pending) == 2 else (case,):
            yield Kept(replace(found(one), harm=SKIP), "swarm", 0.5, tmp_path / "x.case")
        yield Ended(frozenset({(SKIP.signature, SKIP.hazards)}))

    say(monkeypatch, search)
    run = one(tmp_path, seconds=2, workers=2, slice_s=2)
    run.run()
    (track,) = run.tracks
    assert [kept.found.case for kept in track.kept] == [case, longer]
    assert [SKIP in of for of in pending] == [True, True, False]
    assert track.pending == {REPEAT}
    assert track.followed == {(SKIP.signature, SKIP.hazards)}


def test_a_broken_claim_is_kept_beside_what_is_admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(job: Job) -> Iterator[Message]:
        yield Kept(found(MOVED), "swarm", 0.5, tmp_path / "x.case")
        yield Kept(found(MOVED), "swarm", 0.6, tmp_path / "x.case")

    say(monkeypatch, search)
    run = one(tmp_path, seconds=0.5)
    run.run()
    assert [kept.seconds for kept in run.tracks[0].kept] == [0.5]
    assert run.tracks[0].pending == {SKIP, REPEAT}


@pytest.mark.parametrize("workers", [1, 4])
def test_trouble_ends_a_track_and_not_the_others(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices: list[str] = []

    def search(job: Job) -> Iterator[Message]:
        slices.append(job.target)
        if job.target == "index":
            yield Tick(1, 1, job.seconds)
        yield Ended(frozenset(), "out of memory" if job.target == "offset-udp" else "")

    say(monkeypatch, search)
    run = two(tmp_path, seconds=500, workers=workers)
    run.run()
    broken, whole = run.tracks
    # What ran side by side before the first of them was heard of is told of each.
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
    assert {kept.found.harm for kept in offset.kept} <= {SKIP, REPEAT}
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
            bool(track.troubles) and track.slices > slices[0] and {kept.found.harm for kept in track.kept} == {SKIP, REPEAT}
        )

    run.run(interrupt_once(run, is_enough))
    assert track.troubles == ["a worker on offset-udp ended with exit code -9"]


def test_a_worker_that_fails_is_trouble(tmp_path: Path) -> None:
    run = one(tmp_path, seconds=0.1, driver="nonsense")
    run.run()
    assert run.tracks[0].troubles == ["a worker on offset-udp ended with exit code 1"]


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


def test_an_interrupted_campaign_stops_and_keeps_what_was_found(tmp_path: Path) -> None:
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


def test_what_is_being_received_when_a_campaign_is_interrupted_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(job: Job) -> Iterator[Message]:
        yield Kept(found(MOVED), Interrupting("swarm"), 0.5, tmp_path / "x.case")
        yield Tick(1, 6, 0.1)
        yield Ended(frozenset())

    say(monkeypatch, search)
    run = one(tmp_path, seconds=0.5)
    run.run()
    assert run.interrupted
    assert [kept.driver for kept in run.tracks[0].kept] == ["swarm"]
    assert run.tracks[0].sequences == 1


def test_a_campaign_that_is_interrupted_twice_waits_for_nobody(tmp_path: Path) -> None:
    def progress() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two(tmp_path, seconds=LONG_S).run(progress)


def test_an_interrupted_campaign_that_has_nobody_left_to_tell_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(job: Job) -> Iterator[Message]:
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
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    one(tmp_path, seconds=0.1).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
