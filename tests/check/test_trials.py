"""Schemes are verified by workers, which report their progress and their end."""

from __future__ import annotations

from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from sockiter.check.trials import Trial, Trials, work
from sockiter.check.verify import Progress
from sockiter.errors import SockiterError
from sockiter.schemes.rank import Rank
from sockiter.simulation import SchemeTarget


def test_a_worker_that_dies_is_reported_with_the_scheme() -> None:
    trials = Trials([SchemeTarget(Rank())], workers=1)
    (trial,) = trials.trials
    trials._on_death(trial, "ended with exit code 7")
    assert trial.trouble == "the worker that verified rank ended with exit code 7"


def test_the_progress_of_a_worker_is_received() -> None:
    trials = Trials([SchemeTarget(Rank())], workers=1)
    (trial,) = trials.trials
    trials._on_message(trial, ("doing", "rank: searches"))
    assert (trial.doing, trial.trouble) == ("rank: searches", "not verified")


def test_a_worker_reports_its_progress_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def verified(scheme: object, progress: Progress) -> None:
        for doing in ("searches", "compares", "ends"):
            progress(doing)
        raise SockiterError("over")

    clock = iter((100.0, 100.01, 100.2))
    monkeypatch.setattr("sockiter.check.trials.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("sockiter.check.trials.verify", verified)
    ours, theirs = Pipe()
    work("rank", theirs)
    assert [ours.recv() for _ in range(3)] == [("doing", "searches"), ("doing", "ends"), ("trouble", "over")]


def test_a_worker_stops_at_any_message() -> None:
    ours, theirs = Pipe()
    ours.send("stop")
    work("rank", theirs)
    assert ours.recv() == ("trouble", "interrupted")


def test_a_trial_without_a_result_is_not_verified() -> None:
    assert Trial(SchemeTarget(Rank())).trouble == "not verified"
