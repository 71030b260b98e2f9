"""A parallel fuzz of so many sequences for each target and driver: with the same seed, the same run with any workers.

Decided here: what a slice knows of other slices. A slice has a number, a fixed count of sequences, and a seed of its own. It
begins when a fixed number of earlier slices of its track are over, and knows what these have found, taken over in the order
of their numbers: never what happened to be over first. So the cases, and all counts, depend on no clock and on no number of
workers, as long as the target is deterministic, which a model is and a running kernel nearly. Not known here: what a slice
does, and how the results are shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from sockiter.backend import Target
from sockiter.cases import dumps
from sockiter.claims import Hazard, KnownFailure
from sockiter.files import write_whole
from sockiter.fuzzing.campaign import (
    Campaign,
    Drawn,
    Ended,
    FuzzJob,
    Message,
    SavedFinding,
    Tick,
    Track,
    saved_as_drawn,
    tracks_of,
    without_kernel,
    work,
)
from sockiter.fuzzing.triage import FindingKey
from sockiter.kernel.probe import known
from sockiter.workers import Pool, Workers

# About a second each, so that starting a process for one does not matter, and one that is cut loses little.
SLICE: Mapping[str, int] = {"hypothesis": 500, "swarm": 20_000}
SLICE_REAL: Mapping[str, int] = {"hypothesis": 200, "swarm": 1_000}
# At most so many slices of a track run side by side, after those that the next one knows of.
AHEAD = 8


def known_slices(number: int) -> int:
    """How many slices of a track are over when the slice of this number begins: half of those before it, or all but some.

    The first slices find most, and what slices find side by side they all shrink.
    """
    return max((number + 1) // 2, number - AHEAD)


@dataclass(slots=True)
class _Order:
    # The slices of a track in their order. `merged`: how many of them were taken over; `over`: those that are over, but come
    # after one that is not; `left`: the sequences of those that are not queued yet.

    track: Track
    place: int
    size: int
    left: int
    queued: int = 0
    merged: int = 0
    over: dict[int, _Slice] = field(default_factory=dict)
    is_broken: bool = False


@dataclass(slots=True, eq=False)
class _Slice:
    order: _Order
    number: int
    sequences: int
    pending: frozenset[KnownFailure]
    investigated: frozenset[FindingKey]
    found: list[SavedFinding] = field(default_factory=list)
    ended: Ended | None = None


class CountedCampaign(Workers[_Slice, FuzzJob]):
    """Targets, each with its hazards, times drivers, each with so many sequences, on so many workers.

    `seconds`: it is cut when so many are over, from the first sequence on. `slice_sequences`: the sequences of a slice,
    instead of `SLICE` and `SLICE_REAL`.
    """

    def __init__(
        self,
        targets: Iterable[tuple[Target, frozenset[Hazard]]],
        *,
        drivers: Iterable[str],
        seed: int,
        sequences: int,
        workers: int,
        cases: Path,
        seconds: float = math.inf,
        slice_sequences: int | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.seed = seed
        self.sequences = sequences
        self.tracks = tracks_of(targets, drivers)
        super().__init__((), workers=workers, work=work, pool=pool)
        self._seconds = seconds
        self._cases = cases
        self._orders = [
            _Order(track, place, slice_sequences or (SLICE_REAL if track.target.is_real else SLICE)[track.driver], sequences)
            for place, track in enumerate(self.tracks)
        ]
        # Every slice that has begun, by its track and its number.
        self._begun: dict[tuple[int, int], _Slice] = {}
        for order in self._orders:
            self._queue(order)

    @property
    def is_whole(self) -> bool:
        """Whether all sequences were run: neither the time, an interrupt nor a trouble has cut it short."""
        ended = [one.ended for one in self._begun.values()]
        return all(
            order.left == 0 and order.merged == order.queued and not order.is_broken for order in self._orders
        ) and not any(end is None or end.is_cut for end in ended)

    def _queue(self, order: _Order) -> None:
        # The slices that may begin by now. Each is queued when just those are merged that it knows of.
        track = order.track
        while order.left and not order.is_broken and known_slices(order.queued) <= order.merged:
            sequences = min(order.size, order.left)
            self._waiting.append(_Slice(order, order.queued, sequences, track.pending, track.investigated))
            order.left -= sequences
            order.queued += 1

    def _place(self, part: _Slice) -> str:
        return part.order.track.target.name

    def _job(self, part: _Slice) -> FuzzJob:
        order = part.order
        track = order.track
        self._begun[order.place, part.number] = part
        track.slices += 1
        # A cluster's kernel target has the seeds that it has without a cluster.
        name = without_kernel(track.target.name)
        return FuzzJob(
            track.target.name,
            track.driver,
            track.hazards,
            f"{self.seed}/{name}/{track.driver}/{part.number}",
            self._cases,
            math.inf,
            track.seconds,
            part.pending,
            part.investigated,
            self._seconds if self._until == math.inf else self._until - time.monotonic(),
            None if self._until == math.inf else self._until,
            part.sequences,
            part.number * order.size,
            known(track.target.name),
        )

    def _on_message(self, part: _Slice, message: Message) -> None:
        if self._until == math.inf:
            self._until = time.monotonic() + self._seconds
        match message:
            case Tick(sequences, operations, seconds):
                track = part.order.track
                track.sequences += sequences
                track.operations += operations
                track.seconds += seconds
            case SavedFinding():
                part.found.append(message)
            case Ended():
                self._end(part, message)

    def _on_death(self, part: _Slice, why: str) -> None:
        part.order.track.troubles.append(f"a worker on {part.order.track.target.name} {why}")

    def _is_end(self, message: Message | None) -> bool:
        return isinstance(message, Ended)

    def _on_unfinished(self, part: _Slice, last: Message | None) -> None:
        if isinstance(last, Drawn):
            part.found.append(saved_as_drawn(last, part.order.track.driver, self.seed, self._cases))
        self._end(part, Ended(frozenset(), is_cut=True))

    def _on_over(self) -> None:
        # Slices that were stopped, whose ends nobody reported, and those that come after them.
        for _, part in sorted(self._begun.items()):
            if part.ended is None or part.number in part.order.over:
                self._merge(part)
        self._agree()

    def _end(self, part: _Slice, ended: Ended) -> None:
        if part.ended is not None:
            return
        part.ended = ended
        order = part.order
        order.over[part.number] = part
        while (part_over := order.over.pop(order.merged, None)) is not None:
            self._merge(part_over)
            order.merged += 1
            self._queue(order)

    def _merge(self, part: _Slice) -> None:
        track = part.order.track
        for saved in part.found:
            track.keep(saved)
        if part.ended is not None:
            track.investigated |= part.ended.investigated
            if part.ended.trouble:
                track.troubles.append(part.ended.trouble)
                # What stopped one slice would stop the next.
                part.order.is_broken = True
                for waiting in [one for one in self._waiting if one.order is part.order]:
                    self._waiting.remove(waiting)

    def _agree(self) -> None:
        # Slices may find the same case, and whose comment is in the file depends on which was there first: it is to be that
        # of the first track, and of its first slice.
        texts: dict[Path, list[str]] = {}
        for _, part in sorted(self._begun.items()):
            for saved in part.found:
                if saved.path is not None:
                    texts.setdefault(saved.path, []).append(dumps(saved.found.case))
        for path, (first, *others) in texts.items():
            # A file that is there from before stays.
            with suppress(OSError):
                if any(text != first for text in others) and path.read_text(encoding="utf-8") in others:
                    write_whole(path, first)


AnyCampaign: TypeAlias = Campaign | CountedCampaign
"""A campaign of either kind, as it is reported."""
