"""`fuzz --cluster`: the command, its table and its documents, on the workers of a cluster."""

from __future__ import annotations

import builtins
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs Dask's package distributed: the extra `cluster`")

from sockiter.cluster import pool as of_pool
from sockiter.cluster.pool import ClusterPool, Restart
from tests.support.clusters import do
from tests.support.command import sockiter

FUZZ = (
    "fuzz",
    "--driver",
    "swarm",
    "--seed",
    "7",
    "--hazard",
    "remove",
    "--sequences",
    "4",
    "--cluster",
    "local:1",
    "--cases",
)

pytestmark = pytest.mark.usefixtures("on_any_machine")


class Troubled(ClusterPool):
    """A pool of which everything is to be reported."""

    def __enter__(self) -> ClusterPool:
        super().__enter__()
        self.restarts = [Restart("box", "Linux 6.1", ("7/kernel:udp", "8/kernel:udp"))]
        self.unconfirmed, self.disbelieved = ["a doubt"], ["a lie"]
        self.notes, self.lost = ["a note"], 3
        return self


@pytest.fixture(autouse=True)
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "ClusterPool", partial(ClusterPool, do=do))


def test_a_campaign_on_a_cluster_has_its_workers_in_the_summary(tmp_path: Path) -> None:
    result = sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp")
    assert result.exit_code == 0
    assert "\nWorkers of local:1: 1 on Linux " in result.stdout
    assert "No claim was broken in 4 sequences on offset-udp" in result.stdout


def test_what_became_of_the_workers_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "ClusterPool", partial(Troubled, do=do))
    result = sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp")
    assert result.exit_code == 1
    assert "; 3 jobs were lost with their workers, and done again\n  a note\n" in result.stdout
    assert "CLUSTER the kernel of box (Linux 6.1) restarted under these seeds: 7/kernel:udp, 8/kernel:udp\n" in result.stdout
    assert "CLUSTER a doubt\nCLUSTER a lie\n" in result.stdout
    document = json.loads(sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp", "--json").stdout)
    assert document["cluster"]["restarts"] == [
        {"host": "box", "kernel": "Linux 6.1", "seeds": ["7/kernel:udp", "8/kernel:udp"]}
    ]
    assert [worker["threads"] for worker in document["cluster"]["workers"]] == [1]
    assert document["targets"][0]["kernel"] is None


def test_a_finding_that_is_in_doubt_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubtful(Troubled):
        def __enter__(self) -> ClusterPool:
            super().__enter__().restarts.clear()
            return self

    monkeypatch.setattr(of_pool, "ClusterPool", partial(Doubtful, do=do))
    assert sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp").exit_code == 3


def test_a_target_that_no_worker_has_is_left_out_unless_it_is_named(tmp_path: Path) -> None:
    result = sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-ud?", "kernel:ud?")
    assert "Not fuzzed: kernel:udp: on no worker of local:1: " in result.stdout
    for name in ("kernel:udp", "kernel:ud?"):
        result = sockiter(*FUZZ, "local:1", "--cases", tmp_path, name)
        assert result.exit_code == 3
        assert "sockiter: kernel:udp does not run there: on no worker of local:1: " in result.stderr


def test_without_dask_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "sockiter.cluster.pool":
            raise ImportError("no module named 'distributed'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp")
    assert result.exit_code == 3
    assert "no module named 'distributed'; install sockiter with the extra `cluster`" in result.stderr


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_bar_has_the_number_of_workers(tmp_path: Path) -> None:
    assert ", 1 workers" in sockiter(*FUZZ, "local:1", "--cases", tmp_path, "offset-udp").stderr
