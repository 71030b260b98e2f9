"""The workers of a Dask cluster as a pool of a campaign: their identities, their jobs, and their answers.

Dask decides which of the workers that can do a job does it, and does it again elsewhere if that one is gone. Decided here:
which workers can do a job, when a silent worker or a lost scheduler makes another attempt necessary, and which answers
count.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, LocalCluster

from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.cluster import task
from sockiter.cluster.belief import happens_here
from sockiter.cluster.member import Abilities, Identity, release
from sockiter.cluster.wire import Disbelieved, Plain, job_data, message_of, text_of
from sockiter.errors import InputError, Unavailable
from sockiter.fuzzing.campaign import Began, Drawn, Ended, FuzzJob, Message, SavedFinding, Tick, saved, without_kernel
from sockiter.targets import target_named
from sockiter.workers import Channel, Worker

LOCAL = "local:"
UNCONFIRMED = "unconfirmed"
"""The directory, among the cases, of those that one worker reported and nobody else has seen."""
_EXPECTED = f"the address of a Dask scheduler, as tcp://HOST:8786 or tls://HOST:8786, or {LOCAL}N"
POLL_S = 1.0
"""The interval at which the scheduler is asked for its workers."""
CONNECTING_S = 10.0
"""The time in which a scheduler must answer, and a first worker must come."""
PROBING_S = 180.0
"""The time in which a worker must report which targets run there: it opens a session of each."""
SILENT_S = 10.0
"""A worker that sends no heartbeat for so long is passed over, and its jobs are done by others."""
ALONE_S = 60.0
"""A job that no worker can do is given up after this time."""
ATTEMPTS_MAX = 4
"""A job that was lost with so many workers is given up: it may be what ends them."""


@dataclass
class Member:
    """A Dask worker: its threads, when it was last heard of, and what it reported."""

    address: str
    threads: int
    beat: float = 0.0
    heard: float = 0.0
    identity: Identity | None = None
    abilities: Abilities | None = None

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self.heard > SILENT_S


@dataclass(frozen=True, slots=True)
class Restart:
    """A kernel that started anew while its machine had these jobs, named by their seeds."""

    host: str
    kernel: str
    seeds: tuple[str, ...]

    def __str__(self) -> str:
        return f"the kernel of {self.host} ({self.kernel}) restarted under these seeds: {', '.join(self.seeds)}"


@dataclass(slots=True)
class _Attempt:
    # One submission of a task. `worker`: where it has begun, as far as known.

    name: str
    able: frozenset[str]
    outcome: futures.Future[Plain]
    generation: int
    began: float
    worker: str = ""
    heard: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Check:
    # A finding that waits for a replay on another worker.

    message: SavedFinding | Drawn
    worker: str
    attempt: _Attempt


class Remote:
    """A job on the cluster, as a worker and as the connection to it."""

    def __init__(self, pool: ClusterPool, place: str, job: FuzzJob) -> None:
        self.exitcode: int | None = None
        self.why = ""
        self.place = place
        self.job = job
        self.attempt: _Attempt | None = None
        self.attempts = 0
        self.inbox: deque[Message] = deque()
        self.checks: list[_Check] = []
        self.end: Ended | None = None
        self._pool = pool

    def recv(self) -> Message:
        if not self.inbox:
            raise EOFError
        return self.inbox.popleft()

    def send(self, message: object) -> None:
        """A stop: what the worker has sent so far is all that is wanted."""

    def close(self) -> None:
        """Nothing is open."""

    def join(self) -> None:
        """It is over already."""

    def kill(self) -> None:
        self._pool.give_up(self, "was stopped")


class ClusterPool:
    """The workers at an address: that of a scheduler, or `local:N` for N workers of this process.

    `targets`: the targets that members are asked for; `introduce` and `do`: the functions that members call. A context: at
    its end, no connection and no process is left.
    """

    patience_s = 1.0

    def __init__(
        self,
        address: str,
        targets: Iterable[str],
        *,
        do: Callable[[Plain, str, str], Plain] = task.do,
        introduce: Callable[[], Plain] = task.introduce,
    ) -> None:
        self.address = address
        self.members: dict[str, Member] = {}
        self.refused: dict[str, str] = {}
        self.restarts: list[Restart] = []
        self.disbelieved: list[str] = []
        self.unconfirmed: list[str] = []
        self.notes: list[str] = []
        self.lost = 0
        self._targets = list(targets)
        self._do = do
        self._introduce = introduce
        self._stack = ExitStack()
        self._topic = f"sockiter-{uuid4().hex}"
        self._names = (f"{self._topic}-{number}" for number in count())
        self._events: queue.SimpleQueue[Plain] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._generation = 0
        self._scheduler = ""
        self._workers: Mapping[str, Mapping[str, Any]] = {}
        self._introductions: dict[str, _Attempt] = {}
        self._probes: dict[Identity, _Attempt] = {}
        self._abilities: dict[Identity, Abilities] = {}
        self._remotes: list[Remote] = []
        self._boots: dict[str, Identity] = {}
        self._lost_on: dict[str, list[str]] = {}
        self._hosts: dict[str, Identity] = {}
        # Since when no member can do jobs at a place.
        self._alone: dict[str, float] = {}
        self._connect: Callable[[], Client] = self._to_scheduler
        self._client: Client

    # Coming and going.

    def __enter__(self) -> ClusterPool:
        # Lost connections, and tasks that nobody waits for, are reported here in other words.
        for name in ("distributed", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with ExitStack() as stack:
            if self.address.startswith(LOCAL):
                self._start_cluster(stack)
            elif not re.fullmatch(r"\w+://\S+:[0-9]+", self.address):
                raise InputError(f"{self.address!r} is no cluster: expected {_EXPECTED}")
            try:
                self._client = self._connect()
            except (OSError, ValueError, TypeError, ImportError, RuntimeError) as error:
                raise Unavailable(f"{self.address}: no scheduler answers: {error}; expected {_EXPECTED}") from None
            stack.callback(self._disconnect)
            self._follow_scheduler()
            watcher = threading.Thread(target=self._watch, name="sockiter-cluster", daemon=True)
            watcher.start()
            stack.callback(watcher.join, 0.5)
            stack.callback(self._closing.set)
            self._gather_members()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        for remote in [*self._remotes]:
            self.give_up(remote, "was stopped")
        self._stack.close()

    def _start_cluster(self, stack: ExitStack) -> None:
        number = self.address.removeprefix(LOCAL)
        if not number.isdecimal() or not 1 <= int(number) <= 256:
            raise InputError(f"{self.address!r} is no cluster: expected {LOCAL}N, with N from 1 to 256")
        # The workers are threads that talk in memory: another user of this machine can connect to none of them. Dask opens
        # an HTTP port in any case; it is on the loopback and serves nothing. The jobs have processes of their own.
        settings: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
        with dask.config.set(settings):
            cluster = LocalCluster(
                n_workers=int(number),
                threads_per_worker=1,
                processes=False,
                protocol="inproc://",
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                memory_limit=0,
            )
        stack.callback(cluster.close)
        # First, since Dask waits for its threads.
        stack.callback(task.close_hosts)
        self._connect = lambda: Client(cluster, set_as_default=False)

    def _to_scheduler(self) -> Client:
        return Client(self.address, timeout=CONNECTING_S, set_as_default=False)

    def _disconnect(self) -> None:
        with suppress(Exception):
            self._client.close(timeout=0.5)

    def _follow_scheduler(self) -> None:
        info = self._client.scheduler_info()
        self._scheduler = info["id"]
        self._workers = info["workers"]
        self._client.subscribe_topic(self._topic, self._on_event)

    async def _on_event(self, event: tuple[float, Plain]) -> None:
        self._events.put(event[1])
        self._wake.set()

    def _watch(self) -> None:
        # In a thread of its own: a scheduler that hangs must not stop the campaign's clock.
        while not self._closing.wait(POLL_S):
            try:
                if self._client.status != "running":
                    raise OSError
                info = self._client.scheduler_info()
                if info["id"] != self._scheduler:
                    raise OSError
                self._workers = info["workers"]
            except Exception:
                self._workers = {}
                self._reconnect()
            self._wake.set()

    def _reconnect(self) -> None:
        self._disconnect()
        with suppress(Exception):
            self._client = self._connect()
            self._follow_scheduler()
            # What was given to the lost scheduler is given again.
            self._generation += 1

    def _gather_members(self) -> None:
        # Wait until all members that are here have reported; of a machine that probes its kernel, that takes a while.
        started = time.monotonic()
        while True:
            self._poll()
            waited = time.monotonic() - started
            pending = [member for member in self.members.values() if member.abilities is None and not member.is_silent]
            if not pending and (self.joined or (self.refused and waited > POLL_S)):
                break
            if waited > (PROBING_S if self.members else CONNECTING_S):
                break
            self._wake.wait(0.05)
            self._wake.clear()
        if not self.joined:
            raise Unavailable("; ".join([*self.notes, f"{self.address}: no worker has reported within {waited:.0f} s"]))

    # Members.

    @property
    def joined(self) -> list[Member]:
        """The members that have reported, and that do jobs."""
        return [member for member in self.members.values() if member.abilities is not None]

    @property
    def threads(self) -> int:
        """How many jobs the members can do at once."""
        return sum(member.threads for member in self.joined)

    @property
    def status(self) -> str:
        """The state of the cluster, as the end of a line about a campaign."""
        return f", {len(self.joined)} workers"

    def able(self, place: str) -> list[str]:
        """The addresses of the members that can do jobs at a place, and that are heard of."""
        return [
            member.address
            for member in self.joined
            if member.abilities is not None and member.abilities.can(place) and not member.is_silent
        ]

    def targets(self, target: Target) -> list[Target]:
        """A model, if a member has it; of a kernel target, one for each kernel that has it."""
        if not target.is_real:
            return [target] if self.able(target.name) else []
        found = [
            remote
            for member in self.joined
            if member.abilities is not None
            for remote in member.abilities.targets
            if remote.target == target.name
        ]
        return [*dict.fromkeys(found)]

    def missing(self, target: Target) -> str:
        """Why no member has a target, in the words of the first."""
        whys = [member.abilities.missing.get(target.name) for member in self.joined if member.abilities is not None]
        return f"on no worker of {self.address}: {next(filter(None, whys), 'none knows it')}"

    def _poll(self) -> None:
        now = time.monotonic()
        workers = self._workers
        for address in [address for address in self.members if address not in workers]:
            del self.members[address]
            self._introductions.pop(address, None)
        for address, info in workers.items():
            if address in self.refused:
                continue
            member = self.members.get(address)
            if member is None:
                member = self.members[address] = Member(address, int(info.get("nthreads", 1)), heard=now)
            if (beat := float(info.get("last_seen", 0.0))) != member.beat:
                member.beat, member.heard = beat, now
            if member.abilities is None:
                self._meet(member)

    def _meet(self, member: Member) -> None:
        address = member.address
        if member.identity is None:
            attempt = self._introductions.get(address)
            if attempt is None or attempt.generation != self._generation:
                self._introductions[address] = self._submit(self._introduce, (), frozenset({address}))
                return
            if not attempt.outcome.done():
                return
            del self._introductions[address]
            try:
                identity = Identity.of(attempt.outcome.result())
            except (futures.CancelledError, asyncio.CancelledError):
                return
            except Exception as error:
                # Without this module, or with another one, it cannot be of this release.
                self._refuse(address, f"it cannot report: {type(error).__name__}: {error}; here: {release()}")
                return
            if identity.release != release():
                self._refuse(address, f"it has {identity.release}; here: {release()}")
                return
            member.identity = identity
            self._notice_boot(identity)
            if identity.user == 0 and address.startswith("tcp://") and not address.startswith("tcp://127."):
                note = f"{address} is a root worker without TLS: whoever reaches that port is root there"
                if note not in self.notes:  # it may have been met before
                    self.notes.append(note)
        identity = member.identity
        if identity in self._abilities:
            member.abilities = self._abilities[identity]
            self._hosts[address] = identity
            return
        probe = self._probes.get(identity)
        if probe is None or probe.generation != self._generation or not probe.able & self.members.keys():
            arguments = ({"do": "abilities", "targets": self._targets},)
            self._probes[identity] = self._submit(self._do, arguments, frozenset({address}))
        elif probe.outcome.done():
            del self._probes[identity]
            try:
                answers = probe.outcome.result()["answers"]
                self._abilities[identity] = Abilities.of(answers[0].get("abilities"), identity.kernel)
            except (futures.CancelledError, asyncio.CancelledError):
                return
            except Exception as error:
                self._refuse(address, f"it cannot report its targets: {error}")

    def _refuse(self, address: str, why: str) -> None:
        self.refused[address] = why
        self.notes.append(f"{address} is not used: {why}")
        self.members.pop(address, None)

    def _notice_boot(self, identity: Identity) -> None:
        before = self._boots.get(identity.host)
        self._boots[identity.host] = identity
        if before is not None and before.boot_id != identity.boot_id:
            if seeds := self._lost_on.pop(identity.host, []):
                self.restarts.append(Restart(identity.host, before.kernel, tuple(dict.fromkeys(seeds))))
            else:
                self.notes.append(f"the kernel of {identity.host} restarted, and had no job")

    # Jobs.

    def has_room(self, place: str) -> bool:
        able = frozenset(self.able(place))
        running = [remote for remote in self._remotes if remote.exitcode is None]
        if not able:
            # It waits; but not for ever.
            return not any(remote.place == place for remote in running)
        threads = {member.address: member.threads for member in self.joined if not member.is_silent}
        ours = [remote for remote in running if remote.attempt is not None and remote.attempt.able <= able]
        return len(running) < sum(threads.values()) and len(ours) < sum(threads[address] for address in able)

    def start(self, place: str, job: FuzzJob) -> tuple[Worker, Channel]:
        remote = Remote(self, place, job)
        self._remotes.append(remote)
        self._give(remote)
        return remote, remote

    def why(self, worker: Worker) -> str:
        assert isinstance(worker, Remote)
        return worker.why

    def wait(self, channels: Sequence[Channel], timeout_s: float) -> list[Channel]:
        self._wake.wait(timeout_s)
        self._wake.clear()
        self._poll()
        while not self._events.empty():
            self._on_answer(self._events.get())
        for remote in [*self._remotes]:
            self._advance(remote)
        return [
            channel
            for channel in channels
            if isinstance(channel, Remote) and (channel.inbox or channel.exitcode is not None)
        ]

    def give_up(self, remote: Remote, why: str) -> None:
        """End a job without its result. A finding that waits for its confirmation is kept apart."""
        for check in remote.checks:
            self._set_apart(remote, check.message, f"{check.worker} reported it, and the run ended before a replay")
        remote.checks.clear()
        self._drop(remote)
        self._over(remote, 1, why)

    def _over(self, remote: Remote, exitcode: int, why: str = "") -> None:
        if remote.exitcode is None:
            remote.exitcode, remote.why = exitcode, why
            self._remotes.remove(remote)

    def _give(self, remote: Remote) -> None:
        able = frozenset(self.able(remote.place))
        if not able:
            if time.monotonic() - self._alone.setdefault(remote.place, time.monotonic()) > ALONE_S:
                self.give_up(remote, f"is missing: for {ALONE_S:.0f} s, no worker had this target; seed {remote.job.seed}")
            return
        self._alone.pop(remote.place, None)
        if remote.attempts == ATTEMPTS_MAX:
            why = f"was lost {ATTEMPTS_MAX} times, each time with the same job: seed {remote.job.seed}"
            self.give_up(remote, why)
            return
        left_s = remote.job.left_s if remote.job.until is None else remote.job.until - time.monotonic()
        request = {"do": "fuzz", "job": job_data(remote.job, without_kernel(remote.place), left_s)}
        remote.attempt = self._submit(self._do, (request,), able)

    def _submit(self, function: Callable[..., Plain], arguments: tuple[Any, ...], able: frozenset[str]) -> _Attempt:
        # Without a scheduler, as just now, the attempt is cancelled at once.
        name = next(self._names)
        client, generation = self._client, self._generation
        if function is not self._introduce:
            arguments = (*arguments, name, self._topic)
        try:
            future = client.submit(
                function, *arguments, key=name, workers=sorted(able), allow_other_workers=False, pure=False
            )
            outcome = asyncio.run_coroutine_threadsafe(_gathered(client, future), client.loop.asyncio_loop)
        except Exception:
            outcome = futures.Future()
            outcome.cancel()
        outcome.add_done_callback(lambda _: self._wake.set())
        return _Attempt(name, able, outcome, generation, time.monotonic())

    def _drop(self, remote: Remote) -> None:
        # The result of this attempt is of no interest any more.
        if remote.attempt is not None:
            remote.attempt.outcome.cancel()
            remote.attempt = None

    def _retry(self, remote: Remote, *, counts: bool) -> None:
        if remote.attempt is not None and counts:
            remote.attempts += 1
            self._note_loss(remote, remote.attempt)
        self._drop(remote)
        self._give(remote)

    def _note_loss(self, remote: Remote, attempt: _Attempt) -> None:
        self.lost += 1
        if (identity := self._hosts.get(attempt.worker)) is not None:
            self._lost_on.setdefault(identity.host, []).append(remote.job.seed)

    def _advance(self, remote: Remote) -> None:
        self._check(remote)
        attempt = remote.attempt
        if remote.end is not None:
            if not remote.checks:
                remote.inbox.append(remote.end)
                self._over(remote, 0)
        elif attempt is None:
            self._give(remote)
        elif attempt.outcome.done():
            self._finish(remote, attempt)
        elif attempt.generation != self._generation:
            self._retry(remote, counts=False)
        else:
            self._look_after(remote, attempt)

    def _look_after(self, remote: Remote, attempt: _Attempt) -> None:
        # An attempt that is under way. While one of its workers is there, Dask does it again where a worker is gone.
        here = attempt.able & self.members.keys()
        if attempt.worker and attempt.worker not in self.members:
            self._note_loss(remote, attempt)
            attempt.worker = ""
        silent = {address for address in here if self.members[address].is_silent}
        waited = time.monotonic() - attempt.began > SILENT_S
        if not here or attempt.worker in silent or (not attempt.worker and silent and waited):
            self._retry(remote, counts=attempt.worker in silent)

    def _finish(self, remote: Remote, attempt: _Attempt) -> None:
        try:
            result = attempt.outcome.result()
            answers = result["answers"]
            attempt.worker = attempt.worker or str(result["worker"])
            for nth, answer in enumerate(answers):
                if nth not in attempt.heard:
                    self._hear(remote, attempt.worker, answer, is_final=True)
        except (futures.CancelledError, asyncio.CancelledError):
            self._retry(remote, counts=False)
            return
        except Disbelieved as error:
            self._disbelieve(attempt.worker, error)
        except Exception as error:
            # The worker was killed with it more than once, or cannot do it.
            self.notes.append(f"{attempt.worker or self.address}: {type(error).__name__}: {error}")
            self._retry(remote, counts=True)
            return
        remote.attempt = None
        if remote.end is None:
            self.give_up(remote, remote.why or "sent no end of its job")

    def _on_answer(self, event: Plain) -> None:
        # An answer that came before the result. Attempts that were given up are over.
        for remote in self._remotes:
            attempt = remote.attempt
            if attempt is not None and attempt.name == event.get("task"):
                attempt.worker = str(event.get("worker"))
                if "answer" in event:
                    attempt.heard.add(event["nth"])
                    try:
                        self._hear(remote, attempt.worker, event["answer"], is_final=False)
                    except Disbelieved as error:
                        self._disbelieve(attempt.worker, error)

    def _hear(self, remote: Remote, worker: str, answer: Plain, *, is_final: bool) -> None:
        if not isinstance(answer, dict) or answer.get("is") == "end":
            return
        if answer.get("is") == "died":
            remote.why = str(answer.get("why"))
            return
        message = message_of(answer)
        match message:
            case Began():
                remote.inbox.append(message)
            case Drawn() | SavedFinding():
                self._judge(remote, worker, message)
            case Ended():
                remote.end = message
            case Tick() if is_final:
                remote.inbox.append(message)

    # Findings.

    def _judge(self, remote: Remote, worker: str, message: SavedFinding | Drawn) -> None:
        target = self._target_at(remote.place)
        if happens_here(message.found, target):
            remote.inbox.append(_stored(message, remote.job))
            return
        if isinstance(message, Drawn):
            return  # it is judged when it is shrunk
        others = frozenset(self.able(remote.place)) - {worker}
        text, name = text_of(message.found.case)
        signature = list(message.found.signature)
        request = {"do": "replay", "target": message.found.target, "case": text, "name": name, "signature": signature}
        attempt = self._submit(self._do, (request,), others) if others else None
        if attempt is None and self.address.startswith(LOCAL):
            remote.inbox.append(_stored(message, remote.job))  # this process reported it
        elif attempt is None:
            self._set_apart(remote, message, f"only {worker} has this kernel, and reported it")
        else:
            remote.checks.append(_Check(message, worker, attempt))

    def _target_at(self, place: str) -> Target:
        # A kernel's target of members, or a model.
        targets = (target for ability in self._abilities.values() for target in ability.targets)
        return next((target for target in targets if target.name == place), None) or target_named(without_kernel(place))

    def _check(self, remote: Remote) -> None:
        for check in [check for check in remote.checks if check.attempt.outcome.done()]:
            remote.checks.remove(check)
            try:
                answers = check.attempt.outcome.result()["answers"]
                shown = answers[0].get("signatures", [])
            except Exception:
                shown = []
            if list(check.message.found.signature) in shown:
                remote.inbox.append(_stored(check.message, remote.job))
            else:
                self._set_apart(
                    remote, check.message, f"{check.worker} reported it, and a replay on another worker did not show it"
                )
        for check in remote.checks:
            if not check.attempt.able & self.members.keys() or check.attempt.generation != self._generation:
                check.attempt.outcome.cancel()

    def _set_apart(self, remote: Remote, message: SavedFinding | Drawn, why: str) -> None:
        found, cases = message.found, remote.job.cases
        kept = saved(found, remote.job.driver, None if cases is None else cases / UNCONFIRMED, message.seconds)
        text = f"{remote.place}: {found} is not confirmed: {why}: {kept.path or dumps(found.case)}"
        if text not in self.unconfirmed:
            self.unconfirmed.append(text)

    def _disbelieve(self, worker: str, error: Disbelieved) -> None:
        self.disbelieved.append(f"{worker} is not believed: {error}")


def _stored(message: SavedFinding | Drawn, job: FuzzJob) -> SavedFinding | Drawn:
    if isinstance(message, Drawn):
        return message
    kept = saved(message.found, message.driver, job.cases, message.seconds)
    return replace(kept, sequences=message.sequences)


async def _gathered(client: Client, future: Any) -> Plain:
    result: Plain = await client.gather(future, asynchronous=True)
    return result
