"""A pool in place of processes: its workers do the jobs, and it says why one of them ended early."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sockiter.workers import Channel, Worker, Workers


class Doubling:
    """A worker, and the connection to it: it doubles a number, and ends early with a negative one."""

    exitcode = 0

    def __init__(self, number: int) -> None:
        self._messages = deque([2 * number] if number >= 0 else [])

    def recv(self) -> int:
        if not self._messages:
            raise EOFError
        return self._messages.popleft()

    def send(self, message: object) -> None:
        """It has nothing to stop."""

    kill = join = close = lambda self: None


class Pool:
    """Doubling workers, one at a time, at any place."""

    patience_s = 0.0

    def __init__(self) -> None:
        self.places: list[str] = []

    def has_room(self, place: str) -> bool:
        return True

    def start(self, place: str, job: int) -> tuple[Worker, Channel]:
        self.places.append(place)
        one = Doubling(job)
        return one, one

    def wait(self, channels: Sequence[Channel], timeout_s: float) -> list[Channel]:
        return list(channels)

    def why(self, worker: Worker) -> str:
        return "has left"


class Numbers(Workers[int, int]):
    """Numbers to double; `doubled` and `lost` have the results."""

    def __init__(self, numbers: Sequence[int], pool: Pool) -> None:
        super().__init__(numbers, workers=1, work=lambda job, connection: None, pool=pool)
        self.doubled: list[int] = []
        self.lost: list[tuple[int, str]] = []

    def _job(self, lot: int) -> int:
        return lot

    def _on_message(self, lot: int, message: int) -> None:
        self.doubled.append(message)

    def _on_death(self, lot: int, why: str) -> None:
        self.lost.append((lot, why))

    def _is_end(self, message: int | None) -> bool:
        return message is not None


def test_the_workers_of_a_pool_do_the_jobs_and_the_pool_says_why_one_ended_early() -> None:
    pool = Pool()
    numbers = Numbers([1, -1, 3], pool)
    numbers.run()
    assert sorted(numbers.doubled) == [2, 6]
    assert numbers.lost == [(-1, "has left")]
    assert pool.places == ["", "", ""]
