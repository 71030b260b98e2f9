"""A fuzz by counts: with one seed it is one run, whatever the number of workers and whichever slice is over first."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sockiter.backend import Target
from sockiter.cases import Case, dumps, loads, save
from sockiter.claims import Hazard, hazards_of, known_failure
from sockiter.fuzzing import campaign
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, Message, SavedFinding, Tick, search
from sockiter.fuzzing.counted import AHEAD, CountedCampaign, known_slices
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.verdict import Signature
from tests.support.inline_workers import work_inline

SKIP, REPEAT = known_failure("skip", "remove"), known_failure("repeat", "add-head")
HAZARDS: frozenset[Hazard] = frozenset({"remove", "add-head", "reinsert"})
CASE = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
LONGER = loads("add A tail\nadd B tail\nadd C tail\nopen\nread 1\nremove A\nread all\n")


def run_of(
    cases: Path,
    *,
    sequences: int = 40,
    workers: int = 1,
    slice_sequences: int | None = 10,
    names: tuple[str, ...] = ("offset-udp",),
    drivers: tuple[str, ...] = ("swarm",),
    seconds: float = math.inf,
) -> CountedCampaign:
    targets: list[tuple[Target, frozenset[Hazard]]] = [(target_named(name), HAZARDS) for name in names]
    return CountedCampaign(
        targets,
        drivers=drivers,
        seed=77,
        sequences=sequences,
        workers=workers,
        cases=cases,
        seconds=seconds,
        slice_sequences=slice_sequences,
    )


# With workers that are processes.


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def whole(run: CountedCampaign, cases: Path) -> tuple[dict[str, bytes], list[object]]:
    """The case files of a run, byte for byte, and all of its counts."""
    run.run()
    assert run.is_whole
    counts: list[object] = [
        (
            track.target.name,
            track.driver,
            track.sequences,
            track.operations,
            sorted(map(str, track.pending)),
            [(kept.found, kept.sequences, kept.path and kept.path.name) for kept in track.kept],
        )
        for track in run.tracks
    ]
    return {path.name: path.read_bytes() for path in cases.iterdir()}, counts


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("names", "drivers", "sequences", "slice_sequences"),
    [
        (("offset-udp", "removal-count"), ("swarm",), 120, 30),
        pytest.param(("offset-udp",), ("hypothesis", "swarm"), 40, 20, marks=pytest.mark.slow),
    ],
)
def test_one_seed_is_one_run_with_any_number_of_workers(
    names: tuple[str, ...], drivers: tuple[str, ...], sequences: int, slice_sequences: int, tmp_path: Path
) -> None:
    runs = []
    for number, workers in enumerate((1, 2, 3)):
        cases = tmp_path / str(number)
        run = run_of(
            cases,
            sequences=sequences,
            workers=workers,
            slice_sequences=slice_sequences,
            names=names,
            drivers=drivers,
        )
        runs.append(whole(run, cases))
    assert runs == [runs[0]] * 3
    assert len(runs[0][0]) > 2


def test_an_interrupted_run_keeps_its_findings_and_is_not_whole(tmp_path: Path) -> None:
    run = run_of(tmp_path, sequences=10_000_000, workers=2, slice_sequences=5_000_000)

    def interrupt() -> None:
        if run.tracks[0].sequences and not run.interrupted:
            raise KeyboardInterrupt

    run.run(interrupt)
    (track,) = run.tracks
    assert run.interrupted
    assert not run.is_whole
    assert 0 < track.sequences < 10_000_000
    assert {kept.path for kept in track.kept} == set(tmp_path.iterdir()) != set()
    assert track.troubles == []


def test_a_run_that_the_time_cuts_is_not_whole(tmp_path: Path) -> None:
    run = run_of(tmp_path, sequences=10_000_000, slice_sequences=5_000_000, seconds=0.1)
    run.run()
    assert not run.interrupted
    assert not run.is_whole
    assert 0 < run.tracks[0].sequences < 10_000_000


# The findings that a slice knows.


def test_a_slice_knows_of_half_of_those_before_it_and_of_all_but_some_later() -> None:
    assert [known_slices(number) for number in range(8)] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert known_slices(1000) == 1000 - AHEAD
    # No slice waits for itself, or for one behind it.
    assert all(known_slices(number) <= number for number in range(100))


class Workshop:
    """Slices in this process, each with the findings of the test and all of its sequences."""

    def __init__(self) -> None:
        self.jobs: list[FuzzJob] = []
        self.findings: dict[int, list[SavedFinding]] = {}
        self.trouble: dict[int, str] = {}

    def search(self, job: FuzzJob, line: object) -> Iterator[Message]:
        number = len(self.jobs)
        self.jobs.append(job)
        yield Began()
        yield from self.findings.get(number, ())
        yield Tick(job.sequences or 0, 100, 0.5)
        yield Ended(frozenset({(Signature("skip"), frozenset({f"h{number}"}))}), self.trouble.get(number, ""))  # type: ignore[arg-type]


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", made.search)
    return made


def found(case: Case = CASE, *, known: object = SKIP, path: Path | None = None, driver: str = "swarm") -> SavedFinding:
    of = SKIP if known is SKIP else None
    triaged = TriagedFinding("offset-udp", "skip", False, case, hazards_of(case.operations), of, 9, 1, 1)
    return SavedFinding(triaged, driver, 0.5, path)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_slice_has_its_share_a_seed_of_its_own_and_the_knowledge_of_a_fixed_number(
    workers: int, workshop: Workshop, tmp_path: Path
) -> None:
    workshop.findings = {1: [found()]}
    run = run_of(tmp_path, sequences=45, workers=workers)
    run.run()
    jobs = workshop.jobs
    assert [job.seed for job in jobs] == [f"77/offset-udp/swarm/{number}" for number in range(5)]
    assert [(job.sequences, job.done) for job in jobs] == [(10, 0), (10, 10), (10, 20), (10, 30), (5, 40)]
    assert [len(job.investigated) for job in jobs] == [known_slices(number) for number in range(5)]
    assert [SKIP in job.pending for job in jobs] == [True, True, True, False, False]
    assert (run.tracks[0].sequences, run.tracks[0].slices, run.is_whole) == (45, 5, True)


def test_the_same_finding_of_two_slices_is_kept_once_in_the_order_of_the_slices(workshop: Workshop, tmp_path: Path) -> None:
    workshop.findings = {0: [found()], 1: [found(LONGER), found()], 2: [found(known=None)]}
    run = run_of(tmp_path)
    run.run()
    kept = [(one.found.case, one.found.known_failure) for one in run.tracks[0].kept]
    assert kept == [(CASE, SKIP), (LONGER, SKIP), (CASE, None)]


def test_a_trouble_ends_a_track_and_not_the_others(workshop: Workshop, tmp_path: Path) -> None:
    workshop.trouble = {0: "out of memory"}
    run = run_of(tmp_path, names=("offset-udp", "index"))
    run.run()
    broken, other = run.tracks
    assert (broken.troubles, broken.slices, broken.sequences) == (["out of memory"], 1, 10)
    assert (other.troubles, other.slices, other.sequences) == ([], 4, 40)
    assert not run.is_whole


def test_a_trouble_ends_slices_of_its_track_that_wait(workshop: Workshop, tmp_path: Path) -> None:
    # The second and the third slice wait for the first, and the third begins with the second.
    workshop.trouble = {1: "out of memory"}
    run = run_of(tmp_path)
    run.run()
    assert (run.tracks[0].slices, run.tracks[0].troubles) == (2, ["out of memory"])


def test_slices_of_a_kernel_are_smaller(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of(tmp_path, sequences=100_000, slice_sequences=None).run()
    assert {job.sequences for job in workshop.jobs} == {20_000}
    workshop.jobs.clear()
    monkeypatch.setattr(target_named("offset-udp"), "is_real", True)
    run_of(tmp_path, sequences=3_000, slice_sequences=None).run()
    assert {job.sequences for job in workshop.jobs} == {1_000}


# The events of a slice.


def saved_in(directory: Path, comment: str, driver: str) -> SavedFinding:
    case = replace(CASE, comment=(comment,))
    return found(case, path=save(case, directory, "offset-udp-skip-remove"), driver=driver)


def test_a_file_that_several_slices_found_has_the_comment_of_the_first(workshop: Workshop, tmp_path: Path) -> None:
    late, early = saved_in(tmp_path, "late", "swarm"), saved_in(tmp_path, "early", "hypothesis")
    assert late.path == early.path
    workshop.findings = {0: [early], 1: [late]}
    run_of(tmp_path, sequences=10, drivers=("hypothesis", "swarm")).run()
    (path,) = tmp_path.iterdir()
    assert path.read_text(encoding="utf-8") == dumps(early.found.case)


def test_a_file_that_was_there_before_stays_as_it_was(workshop: Workshop, tmp_path: Path) -> None:
    saved_in(tmp_path, "before", "swarm")
    workshop.findings = {0: [saved_in(tmp_path, "early", "swarm")], 1: [saved_in(tmp_path, "late", "swarm")]}
    run_of(tmp_path).run()
    (path,) = tmp_path.iterdir()
    assert "# before\n" in path.read_text(encoding="utf-8")


def dying(monkeypatch: pytest.MonkeyPatch, *messages: Message) -> None:
    """A worker that dies behind these messages."""

    def search(job: FuzzJob, line: object) -> Iterator[Message]:
        yield from messages
        raise OSError

    work_inline(monkeypatch)
    monkeypatch.setattr(campaign, "search", search)
    monkeypatch.setattr("tests.support.inline_workers.Worker.exitcode", -9)


def test_the_finding_that_a_dead_worker_was_shrinking_is_saved_as_it_was_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(monkeypatch, Drawn(found().found, 0.5))
    run = run_of(tmp_path, sequences=20)
    run.run()
    (track,) = run.tracks
    (path,) = tmp_path.iterdir()
    assert [kept.path for kept in track.kept] == [path]
    assert set(track.troubles) == {"a worker on offset-udp ended with exit code -9: the scheme or the system ended it"}
    assert (track.slices, run.is_whole) == (2, False)


def test_a_worker_that_dies_when_its_slice_is_over_is_trouble_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(monkeypatch, found(), Ended(frozenset()))
    run = run_of(tmp_path, sequences=10)
    run.run()
    assert [kept.found.case for kept in run.tracks[0].kept] == [CASE]
    assert len(run.tracks[0].troubles) == 1


# A search of so many sequences, in this process.


def job(cases: Path, *, sequences: int, driver: str = "swarm", left_s: float = math.inf) -> FuzzJob:
    return FuzzJob(
        *("offset-udp", driver, HAZARDS, "7/slice", cases, math.inf, 0.0, frozenset({SKIP, REPEAT}), frozenset()),
        left_s=left_s,
        sequences=sequences,
        done=1000,
    )


@pytest.mark.parametrize(("driver", "most"), [("swarm", 700), ("hypothesis", 120)])
def test_a_search_runs_as_many_sequences_as_it_has(driver: str, most: int, tmp_path: Path) -> None:
    messages = list(search(job(tmp_path, sequences=most, driver=driver)))
    ended = messages[-1]
    assert isinstance(ended, Ended)
    assert not ended.is_cut
    total = sum(message.sequences for message in messages if isinstance(message, Tick))
    assert total == most if driver == "swarm" else most - 5 <= total <= most
    saved = [message.sequences for message in messages if isinstance(message, SavedFinding)]
    assert saved == sorted(number for number in saved if number is not None) != []
    assert 1000 <= (saved[0] or 0) <= 1000 + most


def test_a_search_that_runs_out_of_time_is_reported_as_cut(tmp_path: Path) -> None:
    *_, ended = search(job(tmp_path, sequences=10_000_000, left_s=0.0))
    assert isinstance(ended, Ended)
    assert ended.is_cut


def test_an_interrupted_search_is_reported_as_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SchemeTarget, "begin", interrupt, raising=False)
    (ended,) = search(job(tmp_path, sequences=10))
    assert ended == Ended(frozenset(), is_cut=True)
