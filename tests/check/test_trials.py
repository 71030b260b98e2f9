"""Schemes are verified by workers, which report their progress and their end."""

from __future__ import annotations

from multiprocessing import Pipe

from sockiter.check.trials import Trial, Trials, work
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


def test_a_worker_stops_at_any_message() -> None:
    ours, theirs = Pipe()
    ours.send("stop")
    work("rank", theirs)
    assert ours.recv() == ("trouble", "interrupted")


def test_a_trial_without_a_result_is_not_verified() -> None:
    assert Trial(SchemeTarget(Rank())).trouble == "not verified"
