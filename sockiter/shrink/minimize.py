"""Shrinking: from a sequence that fails to a least one that fails in the same way.

Decided here: which simplifications are tried in which order, when it is over, and what is left of a shrinking that has to
end before. A predicate says whether a sequence still fails; what failing means, and on which target, is not known here.

Dropping one operation at a time gets stuck: a socket goes only together with all that is done to it, a removal may be
needed but of another socket, two reads have to become one before the rest can go. So the passes are the edits of a person
who understands the sequence, and every pass is tried until none helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sockiter.operations import Operation, Read, possible
from sockiter.shrink.edits import Operations
from sockiter.shrink.order import sort_key
from sockiter.shrink.passes import PASSES, Candidate

Fails: TypeAlias = Callable[[Operations, int], bool]
"""Whether a sequence, run with so many slots at open, still fails in the way that is being shrunk.

It is asked about other slots than those it fails with, too, and has to say no to what its target cannot have."""


@dataclass(slots=True)
class Patience:
    """How long a shrinking may go on: until `is_over` says no more, or until a KeyboardInterrupt.

    `ended` is true from then on: what was shrunk is not shrunk to the end. `interrupted`: by a KeyboardInterrupt.
    """

    is_over: Callable[[], bool] = lambda: False
    ended: bool = False
    interrupted: bool = False

    def is_left(self) -> bool:
        """Whether it may go on."""
        self.ended = self.ended or self.is_over()
        return not self.ended

    def interrupt(self) -> None:
        """There is none left, by a KeyboardInterrupt."""
        self.ended = self.interrupted = True


def minimize(
    operations: Sequence[Operation], slots: int, fails: Fails, *, patience: Patience | None = None
) -> tuple[Operations, int]:
    """The least sequence that the passes lead to, and its slots; it fails, ends in `read all`, and is 1-minimal.

    1-minimal: it does not fail any more without any one of its lines. Its sockets are named A, B, C in the order in which
    they appear. Never longer, and never with a hazard that the given one has not. A sequence that does not fail, or not
    when it is read to the end, is returned as it is. `fails` is asked at most once for every sequence. Where `patience` ends
    sooner, the least sequence so far.
    """
    patience = patience or Patience()
    best: Candidate = (tuple(operations), slots)
    asked: dict[Candidate, bool] = {}

    def holds(candidate: Candidate) -> bool:
        if candidate not in asked and patience.is_left():
            try:
                asked[candidate] = bool(candidate[0]) and fails(*candidate)
            except KeyboardInterrupt:
                patience.interrupt()
        return asked.get(candidate, False)

    drained = (_drained(best[0]), slots)
    if not holds(drained):
        return best
    best = drained
    least_key = sort_key(best)
    # After a pass that helped, the cheap and big ones are worth another try before the expensive ones: from the top.
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
    # Judged to its end, whatever the last read was.
    if not operations or (type(last := operations[-1]) is Read and last.count is None):
        return operations
    return (*operations, Read(None))
