"""A campaign on the workers of a cluster: the same cases and counts, however many there are and whatever becomes of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="needs Dask's package distributed: the extra `cluster`")

from sockiter.cases import loads
from sockiter.claims import KnownFailure, known_failure
from sockiter.cluster import pool as of_pool
from sockiter.cluster.member import Abilities, Identity, RemoteTarget, identity
from sockiter.cluster.pool import ClusterPool, Member, Remote
from sockiter.cluster.wire import Plain, message_data
from sockiter.errors import InputError, Unavailable
from sockiter.fuzzing.campaign import Began, Campaign, Drawn, Ended, FuzzJob, SavedFinding, Tick
from sockiter.fuzzing.counted import CountedCampaign
from sockiter.fuzzing.triage import TriagedFinding
from sockiter.targets import target_named
from tests.support.clusters import answering, blocking, do, introduce, introducing

UDP = target_named("offset-udp")
CASE = loads("add A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
FOUND = TriagedFinding("offset-udp", "skip", False, CASE, frozenset({"remove"}), known_failure("skip", "remove"), 12, 1, 1)
ENDED = message_data(Ended(frozenset()))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "POLL_S", 0.02)
    # A worker is silent where the test says so, not where the machine is busy.
    monkeypatch.setattr(of_pool, "SILENT_S", 1e9)


@contextmanager
def still(workers: int = 2, **functions: Any) -> Iterator[ClusterPool]:
    """A pool whose members are as the test says: it does not ask the scheduler again."""
    with ClusterPool(f"local:{workers}", ["offset-udp"], **{"do": do, **functions}) as pool:
        pool._closing.set()
        yield pool


def job_in(cases: Path | None = None, **other: Any) -> FuzzJob:
    pending = frozenset(UDP.known_failures)
    seed = other.pop("seed", "77")
    return FuzzJob(
        "offset-udp", "swarm", frozenset({"remove"}), seed, cases, 60.0, 0.0, pending, frozenset(), sequences=20, **other
    )


def finished(pool: ClusterPool, remote: Remote) -> list[object]:
    """All messages of a job, until it is over."""
    messages: list[object] = []
    deadline = time.monotonic() + 30
    while remote.exitcode is None or remote.inbox:
        assert time.monotonic() < deadline, "the job does not end"
        for _ in pool.wait([remote], 0.05):
            while remote.inbox:
                messages.append(remote.recv())
    return messages


def start(pool: ClusterPool, job: FuzzJob, place: str = "offset-udp") -> Remote:
    worker, _ = pool.start(place, job)
    assert isinstance(worker, Remote)
    return worker


def campaign(cases: Path, pool: ClusterPool | None, workers: int = 1) -> tuple[dict[str, bytes], list[object]]:
    """The case files of a campaign, and its counts."""
    run = CountedCampaign(
        [(UDP, frozenset({"remove"}))],
        drivers=["swarm"],
        seed=77,
        sequences=12,
        workers=workers,
        cases=cases,
        slice_sequences=4,
        pool=pool,
    )
    run.run()
    assert run.is_whole
    counts: list[object] = [(track.sequences, track.operations, sorted(map(str, track.pending))) for track in run.tracks]
    return {path.name: path.read_bytes() for path in cases.iterdir()}, counts


def sending(*answers: Any) -> AbstractContextManager[None]:
    """Workers that answer every job with these messages."""
    return answering(lambda request: [*answers])


# Campaigns.


def test_a_campaign_is_the_same_with_any_number_of_workers_and_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.inline_workers import work_inline

    with ClusterPool("local:1", ["offset-udp"], do=do) as pool:
        alone = campaign(tmp_path / "alone", pool)
    with ClusterPool("local:3", ["offset-udp"], do=do) as pool:
        many = campaign(tmp_path / "many", pool, workers=pool.threads)
    work_inline(monkeypatch)
    assert campaign(tmp_path / "here", None) == alone == many
    assert len(alone[0]) == 1


def test_a_kernel_target_of_a_cluster_has_the_seeds_that_it_has_without_one(tmp_path: Path) -> None:
    seeds = []
    for target in (target_named("kernel:udp"), kernel("Linux 6.1"), kernel("Linux 6.12")):
        run = CountedCampaign([(target, UDP.hazards)], drivers=["swarm"], seed=77, sequences=9, workers=1, cases=tmp_path)
        seeds.append(run._job(run._waiting[0]).seed)
    assert seeds == ["77/kernel:udp/swarm/0"] * 3


def test_a_timed_campaign_ends_in_time(tmp_path: Path) -> None:
    answers = [message_data(message) for message in (Began(), Tick(1, 2, 0.1), Ended(frozenset()))]
    with answering(lambda request: answers), still() as pool:
        run = Campaign(
            [(UDP, UDP.hazards)], drivers=["swarm"], seed=1, seconds=0.2, workers=2, cases=tmp_path, slice_s=0.1, pool=pool
        )
        run.run()
    assert run.tracks[0].sequences
    assert not run.tracks[0].troubles


def test_an_interrupt_keeps_what_was_found_and_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterPool, "patience_s", 0.1)
    with sending(ENDED), blocking(9) as release, still() as pool:
        run = CountedCampaign(
            [(UDP, UDP.hazards)], drivers=["swarm"], seed=1, sequences=9, workers=2, cases=tmp_path, pool=pool
        )

        def progress() -> None:
            if run.interrupted:
                return
            for remote in pool._remotes:
                assert remote.attempt is not None
                found = message_data(SavedFinding(FOUND, "swarm", 1.0, None))
                pool._events.put({"task": remote.attempt.name, "worker": "a", "nth": 0, "answer": found})
                raise KeyboardInterrupt

        started = time.monotonic()
        run.run(progress)
        assert run.interrupted
        assert time.monotonic() - started < 2
        assert [kept.found for kept in run.tracks[0].kept] == [FOUND]
        release.set()
    assert [path.name for path in tmp_path.iterdir()] == ["offset-udp-skip-remove-65dd39ff.case"]


# Members.


@pytest.mark.parametrize("address", ["local:0", "local:x", "scheduler", "tcp://host"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="is no cluster: expected"), ClusterPool(address, []):
        pass


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "CONNECTING_S", 0.1)
    with (
        pytest.raises(Unavailable, match=r"tcp://127\.0\.0\.1:9: no scheduler answers"),
        ClusterPool("tcp://127.0.0.1:9", []),
    ):
        pass


def test_a_worker_of_another_version_is_refused_by_its_name() -> None:
    refused = pytest.raises(Unavailable, match=r"^inproc\S+ is not used: it has sockiter 0\.0\.1; here: sockiter")
    with introducing(release="sockiter 0.0.1"), refused:
        ClusterPool("local:1", [], do=do, introduce=introduce).__enter__()


def _unable() -> Plain:
    raise ModuleNotFoundError("no sockiter")


def _lying(request: Plain, name: str, topic: str) -> Plain:
    return {"worker": "", "answers": [{"is": "abilities", "abilities": 7}]}


def test_a_worker_that_cannot_report_is_refused() -> None:
    with pytest.raises(Unavailable, match="it cannot report: ModuleNotFoundError: no sockiter; here"):
        ClusterPool("local:1", [], do=do, introduce=_unable).__enter__()
    with pytest.raises(Unavailable, match="it cannot report its targets: its abilities have another form"):
        ClusterPool("local:1", [], do=_lying).__enter__()


def test_a_cluster_whose_workers_do_not_report_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "PROBING_S", 0.0)
    with pytest.raises(Unavailable, match="local:1: no worker has reported within 0 s"):
        ClusterPool("local:1", [], do=do).__enter__()


def test_a_target_is_there_where_a_worker_has_it() -> None:
    rank, real = target_named("rank"), target_named("kernel:udp")
    with still() as pool:
        assert pool.targets(UDP) == [UDP]
        assert pool.targets(rank) == []
        assert pool.missing(rank) == "on no worker of local:2: none knows it"
        one, other = kernel("Linux 6.1"), kernel("Linux 6.12")
        for member, targets, missing in zip(pool.joined, [(one,), (one, other)], [{"rank": "no"}, {}], strict=True):
            member.abilities = Abilities(frozenset(), targets, missing)
        assert pool.targets(real) == [one, other]
        assert pool.missing(rank) == "on no worker of local:2: no"
        assert pool.status == ", 2 workers"


def kernel(where: str = "Linux 6.1") -> RemoteTarget:
    failures: tuple[KnownFailure, ...] = UDP.known_failures
    return RemoteTarget("kernel:udp", where, "", UDP.hazards, failures, None)


def test_a_root_worker_on_an_open_port_is_named() -> None:
    with still() as pool:
        member = pool.members["tcp://10.0.0.1:1"] = Member("tcp://10.0.0.1:1", 1, heard=time.monotonic())
        for _ in range(2):
            member.identity = None
            pool._introductions[member.address] = attempt_of(pool, {**identity(), "user": 0})
            pool._meet(member)
        assert pool.notes == ["tcp://10.0.0.1:1 is a root worker without TLS: whoever reaches that port is root there"]


def attempt_of(pool: ClusterPool, result: Any) -> Any:
    """An attempt that has this result already."""
    attempt = pool._submit(lambda: result, (), frozenset(pool.members))
    assert attempt is not None
    outcome: Any = futures.Future()
    outcome.set_exception(result) if isinstance(result, BaseException) else outcome.set_result(result)
    attempt.outcome.cancel()
    attempt.outcome = outcome
    return attempt


def test_what_was_asked_of_a_lost_scheduler_is_asked_again() -> None:
    cancelled = futures.CancelledError()
    with still() as pool:
        (member, _) = pool.joined
        here = member.identity
        assert here is not None
        member.identity = member.abilities = None
        pool._introductions[member.address] = attempt_of(pool, cancelled)
        pool._meet(member)
        assert pool._introductions == {}
        member.identity = replace(here, python="3.99")
        pool._probes[member.identity] = attempt_of(pool, cancelled)
        pool._meet(member)
        assert pool._probes == {}
        assert member.abilities is None


# What becomes of jobs.


def test_a_job_has_room_where_a_worker_is_free(tmp_path: Path) -> None:
    with sending(ENDED), blocking(9) as release, still() as pool:
        first, _ = pool.joined
        first.abilities = Abilities(frozenset({"offset-udp"}), (kernel(),), {})
        place = kernel().name
        assert pool.has_room(place)
        start(pool, job_in(), place)
        assert not pool.has_room(place)
        assert pool.has_room("offset-udp")
        remote = start(pool, job_in())
        assert not pool.has_room("offset-udp")
        assert pool.has_room("rank")
        start(pool, job_in(), "rank")
        assert not pool.has_room("rank")
        remote.send("stop")
        remote.close()
        remote.join()
        remote.kill()
        assert pool.why(remote) == "was stopped"
        with pytest.raises(EOFError):
            remote.recv()
        release.set()


def test_a_job_that_no_worker_can_do_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pool, "ALONE_S", -1.0)
    with still() as pool:
        remote = start(pool, job_in(), "rank")
        assert remote.exitcode == 1
        assert remote.why == "is missing: for -1 s, no worker had this target; seed 77"


def test_a_job_waits_for_a_worker_and_for_a_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    with sending(ENDED), still() as pool:
        (first, second) = pool.joined
        able, first.abilities, second.abilities = first.abilities, None, None
        remote = start(pool, job_in())
        assert vars(remote)["attempt"] is None
        first.abilities = able
        client: Any = pool._client
        nobody: Any = None
        pool._client = nobody
        pool._advance(remote)
        assert remote.attempt is not None
        assert remote.attempt.outcome.cancelled()
        pool._client = client
        assert isinstance(finished(pool, remote)[-1], Ended)


def test_a_job_of_a_silent_worker_is_done_by_another_one() -> None:
    with sending(ENDED), blocking() as release, still() as pool:
        remote = start(pool, job_in())
        deadline = time.monotonic() + 30
        while not (remote.attempt and remote.attempt.worker):
            assert time.monotonic() < deadline
            pool.wait([], 0.05)
        member = pool.members[remote.attempt.worker]
        member.beat, member.heard = float(pool._workers[member.address]["last_seen"]), -1e10
        assert isinstance(finished(pool, remote)[-1], Ended)
        assert remote.attempts == pool.lost == 1
        release.set()


def _killed(request: Plain) -> list[Plain]:
    raise RuntimeError("killed")


def test_a_job_that_was_lost_with_worker_after_worker_is_given_up() -> None:
    with answering(_killed), still() as pool:
        remote = start(pool, job_in())
        assert finished(pool, remote) == []
        assert remote.why == "was lost 4 times, each time with the same job: seed 77"
        assert len(pool.notes) == pool.lost == 4


def test_a_kernel_that_restarted_is_a_finding_with_the_seeds_of_its_jobs() -> None:
    with sending(ENDED), blocking(9) as release, still() as pool:
        remote = start(pool, job_in(seed="77/kernel:udp"))
        assert remote.attempt is not None
        first, second = pool.joined
        assert first.identity is not None
        remote.attempt.worker = first.address
        pool._workers = {second.address: pool._workers[second.address]}
        pool.wait([], 0.0)
        assert pool.lost == 1
        again = Identity(**{**vars(first.identity), "boot_id": "another"})
        pool._notice_boot(again)
        (restart,) = pool.restarts
        assert str(restart) == (f"the kernel of {again.host} ({again.kernel}) restarted under these seeds: 77/kernel:udp")
        pool._notice_boot(replace(again, boot_id="a third"))
        assert pool.notes == [f"the kernel of {again.host} restarted, and had no job"]
        release.set()


def test_the_jobs_of_a_lost_scheduler_are_given_to_the_next_one() -> None:
    with sending(ENDED), ClusterPool("local:2", ["offset-udp"], do=do) as pool:
        remote = start(pool, job_in())
        first = remote.attempt
        pool._scheduler = "another"
        deadline = time.monotonic() + 30
        while pool._generation == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if remote.attempt is first and remote.end is None:
            pool._retry(remote, counts=False)
        assert isinstance(finished(pool, remote)[-1], Ended)
        assert pool.lost == 0
        pool._client.close()
        before = pool._generation
        while pool._generation == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert pool._client.status == "running"


def test_a_job_is_given_again_after_a_change_of_schedulers_and_after_a_cancellation() -> None:
    with sending(ENDED), blocking() as release, still() as pool:
        remote = start(pool, job_in())
        first = remote.attempt
        assert first is not None
        pool._generation += 1
        pool.wait([], 0.0)
        second = remote.attempt
        assert second is not first
        assert second is not None
        second.outcome.cancel()
        release.set()
        assert isinstance(finished(pool, remote)[-1], Ended)
        assert remote.attempts == pool.lost == 0
        remote.kill()
        assert remote.exitcode == 0


def test_a_refused_worker_is_passed_over() -> None:
    with still() as pool:
        address = pool.joined[0].address
        pool._refuse(address, "it is old")
        pool.wait([], 0.0)
        assert address not in pool.members
        assert pool.notes == [f"{address} is not used: it is old"]


# Findings.


def test_what_a_worker_sends_that_is_not_so_is_named_and_is_no_finding(tmp_path: Path) -> None:
    lie = SavedFinding(replace(FOUND, moved=True, known_failure=None), "swarm", 1.0, None)
    with sending(message_data(Began()), message_data(lie), ENDED), still() as pool:
        remote = start(pool, job_in(tmp_path))
        messages = finished(pool, remote)
        assert messages == [Began()]
        assert remote.why == "sent no end of its job"
        assert "is not believed: " in pool.disbelieved[0]
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_died_has_the_workers_reason(tmp_path: Path) -> None:
    with sending("nonsense", {"is": "died", "why": "ended with exit code 9"}), still() as pool:
        remote = start(pool, job_in(tmp_path))
        assert finished(pool, remote) == []
        assert remote.why == "ended with exit code 9"


def test_an_answer_that_came_early_is_heard_once(tmp_path: Path) -> None:
    found = SavedFinding(FOUND, "swarm", 1.0, None)
    answers = [message_data(message) for message in (Began(), Tick(1, 2, 3.0), found, Drawn(FOUND, 0.5))]
    with sending(*answers, ENDED), blocking() as release, still() as pool:
        remote = start(pool, job_in(tmp_path))
        assert remote.attempt is not None
        early = {"task": remote.attempt.name, "worker": "a"}
        for nth in (0, 1, 2):
            pool._events.put({**early, "nth": nth, "answer": answers[nth]})
        pool._events.put({**early, "nth": 9, "answer": {"is": "sudo"}})
        pool._events.put({**early, "task": "of another attempt"})
        pool.wait([], 0.0)
        assert pool.disbelieved == ["a is not believed: no message of a worker is named 'sudo'"]
        remote.attempt.heard.discard(1)  # counts are taken from the result only
        release.set()
        messages = finished(pool, remote)
        assert [type(message) for message in messages] == [Began, SavedFinding, Tick, Drawn, Ended]


def on_kernel(message: type[Drawn] | type[SavedFinding] = SavedFinding) -> Plain:
    found = replace(FOUND, target="kernel:udp")
    return message_data(SavedFinding(found, "swarm", 1.0, None) if message is SavedFinding else Drawn(found, 1.0))


@contextmanager
def kernel_pool(workers: int, *, shown: bool, address: str = "tcp://h:1") -> Iterator[ClusterPool]:
    """A pool of workers of one kernel, all of which report a finding; a replay shows it, or does not."""

    def answers(request: Plain) -> list[Plain]:
        if request["do"] == "replay":
            if not shown:
                raise RuntimeError("lost")
            return [{"is": "replayed", "signatures": [["skip", False, False]]}]
        return [on_kernel(Drawn), on_kernel(), ENDED]

    with answering(answers), still(workers) as pool:
        for identity_of in [*pool._abilities]:
            pool._abilities[identity_of] = able = Abilities(frozenset(), (kernel(),), {})
        for member in pool.joined:
            member.abilities = able
        pool.address = address
        yield pool


def test_a_kernels_finding_is_replayed_on_another_worker_of_that_kernel(tmp_path: Path) -> None:
    with kernel_pool(2, shown=True) as pool:
        remote = start(pool, job_in(tmp_path), kernel().name)
        found, end = finished(pool, remote)
        assert isinstance(found, SavedFinding)
        assert found.path is not None
        assert found.path.parent == tmp_path
        assert isinstance(end, Ended)
        assert pool.unconfirmed == []


def test_a_kernels_finding_that_no_other_worker_shows_is_kept_apart(tmp_path: Path) -> None:
    with kernel_pool(2, shown=False) as pool:
        assert [type(message) for message in finished(pool, start(pool, job_in(tmp_path), kernel().name))] == [Ended]
        (text,) = pool.unconfirmed
        assert "a replay on another worker did not show it" in text
    assert [path.parent.name for path in tmp_path.rglob("*.case")] == ["unconfirmed"]


def test_the_only_worker_of_a_kernel_is_not_believed_alone_but_where_it_is_this_process(tmp_path: Path) -> None:
    with kernel_pool(1, shown=True) as pool:
        finished(pool, start(pool, job_in(), kernel().name))
        finished(pool, start(pool, job_in(), kernel().name))
        (text,) = pool.unconfirmed
        assert "# sockiter case" in text
    with kernel_pool(1, shown=True, address="local:1") as pool:
        found, _ = finished(pool, start(pool, job_in(tmp_path), kernel().name))
        assert isinstance(found, SavedFinding)


def test_a_finding_whose_replay_is_lost_is_kept_apart(tmp_path: Path) -> None:
    with blocking(9, what="replay") as release, kernel_pool(2, shown=True) as pool:
        lost, stopped = (start(pool, job_in(tmp_path), kernel().name) for _ in range(2))
        deadline = time.monotonic() + 30
        while not (lost.checks and stopped.checks):
            assert time.monotonic() < deadline
            pool.wait([], 0.05)
        lost.checks[0].attempt.generation -= 1
        stopped.kill()
        assert [type(message) for message in finished(pool, lost)] == [Ended]
        assert len(pool.unconfirmed) == 2
        release.set()
