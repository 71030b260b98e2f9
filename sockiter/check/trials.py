"""Verifies the canonical forms of several schemes in parallel, each in its own process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from sockiter.backend import Target
from sockiter.check.verify import Progress, Verified, verify
from sockiter.errors import SockiterError
from sockiter.targets import scheme_of, target_named
from sockiter.workers import Workers, serving

_SECONDS = 0.1


@dataclass(slots=True)
class Trial:
    """A scheme to verify. `result`: the comparisons; without a result, `trouble` is the reason."""

    target: Target
    result: Verified | None = None
    trouble: str = "not verified"
    doing: str = ""


class Trials(Workers[Trial, str]):
    """Verifies schemes on several workers; a KeyboardInterrupt in `run` keeps the results so far."""

    def __init__(self, targets: Iterable[Target], *, workers: int) -> None:
        self.trials = [Trial(target) for target in targets]
        super().__init__(self.trials, workers=workers, work=work)

    def _job(self, lot: Trial, /) -> str:
        return lot.target.name

    def _on_message(self, lot: Trial, message: tuple[str, str] | Verified, /) -> None:
        match message:
            case Verified():
                lot.result, lot.trouble = message, ""
            case "doing", doing:
                lot.doing = doing
            case _:
                lot.trouble = message[1]

    def _is_end(self, message: tuple[str, str] | Verified | None, /) -> bool:
        return isinstance(message, Verified) or (message is not None and message[0] == "trouble")

    def _on_death(self, lot: Trial, why: str, /) -> None:
        lot.trouble = f"the worker that verified {lot.target.name} {why}"


def work(job: str, connection: Connection) -> None:
    """Verify the scheme of that name and send the result; stop early at a message, or when the connection is closed."""
    last = 0.0

    def report(doing: str) -> None:
        nonlocal last
        if connection.poll():
            raise KeyboardInterrupt
        if (now := time.monotonic()) - last >= _SECONDS:
            last = now
            connection.send(("doing", doing))

    with serving(connection):
        connection.send(outcome(job, report))


def outcome(name: str, progress: Progress) -> Verified | tuple[str, str]:
    """The result of a scheme's verification, or the reason why there is none, in words."""
    try:
        scheme = scheme_of(target_named(name))
        assert scheme is not None
        return verify(scheme, progress)
    except SockiterError as error:
        return "trouble", str(error)
    except TypeError as error:
        return "trouble", f"{name} cannot be verified: {error}"
    except KeyboardInterrupt:
        return "trouble", "interrupted"
