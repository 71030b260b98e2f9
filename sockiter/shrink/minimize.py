"""Shrinking: from a failing sequence to a minimal sequence with the same failure.

A predicate decides whether a sequence still fails. Dropping one operation at a time gets stuck: a socket can go only
together with all its changes, a removal may be needed for another socket, and two reads must become one before the rest
can go. So the passes make the edits of a person who understands the sequence, and all passes are tried until none helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sockiter.operations import Operation, Read, possible
from sockiter.shrink.edits import Operations
from sockiter.shrink.order import sort_key
from sockiter.shrink.passes import PASSES, Candidate, is_crowd, renamed_in_order

Fails: TypeAlias = Callable[[Operations, int], bool]
"""Whether a sequence, run with this number of slots at open, still has the failure that is being shrunk.

The predicate is also called with other slots than the original ones. It must return False for slots that its target
cannot have."""


@dataclass(slots=True)
class Patience:
    """The time limit of a shrinking: it ends when `is_over` returns True, or at a KeyboardInterrupt.

    `ended`: it has ended, so the result may not be minimal. `interrupted`: a KeyboardInterrupt ended it.
    """

    is_over: Callable[[], bool] = lambda: False
    ended: bool = False
    interrupted: bool = False

    def is_left(self) -> bool:
        """Whether shrinking may continue."""
        self.ended = self.ended or self.is_over()
        return not self.ended

    def interrupt(self) -> None:
        """End the shrinking because of a KeyboardInterrupt."""
        self.ended = self.interrupted = True


def minimize(
    operations: Sequence[Operation], slots: int, fails: Fails, *, patience: Patience | None = None
) -> tuple[Operations, int]:
    """The simplest failing sequence that the passes reach, and its slots; it ends in `read all`, and is 1-minimal.

    1-minimal: without any one of its lines, it no longer fails. Its sockets are named A, B, C in the order of their
    appearance. The result is never longer, and never has a new hazard. A sequence that does not fail, or not when it is
    read to the end, is returned unchanged. `fails` is called at most once for every sequence. If `patience` ends early,
    the result is the simplest sequence so far.
    """
    patience = patience or Patience()
    best: Candidate = (tuple(operations), slots)
    asked: dict[Candidate, bool] = {}

    def holds(candidate: Candidate) -> bool:
        # In a crowd, whichever socket is left out: mostly, the rest is the same but for its names.
        key = renamed_in_order(candidate) if is_crowd(candidate[0]) else candidate
        if key not in asked and patience.is_left():
            try:
                asked[key] = bool(candidate[0]) and fails(*candidate)
            except KeyboardInterrupt:
                patience.interrupt()
        return asked.get(key, False)

    drained = (_drained(best[0]), slots)
    if not holds(drained):
        return best
    best = drained
    least_key = sort_key(best)
    # After a pass that helped, start again with the cheap and large cuts, before the expensive ones.
    helped = True
    while helped and not patience.ended:
        helped = False
        for shrink_pass in PASSES:
            for candidate in shrink_pass(best):
                candidate = (_drained(possible(candidate[0])), candidate[1])
                if (key := sort_key(candidate)) < least_key and holds(candidate):
                    best, least_key = candidate, key
                    helped = True
                if helped or patience.ended:
                    break
            if helped or patience.ended:
                break
    return best


def _drained(operations: Operations) -> Operations:
    # The sequence with a `read all` at its end, so that it is judged to the end of the iteration.
    if not operations or (type(last := operations[-1]) is Read and last.count is None):
        return operations
    return (*operations, Read(None))
