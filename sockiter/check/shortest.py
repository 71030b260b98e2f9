"""The shortest case of a scheme, where a search can prove it: the end of shrinking.

Shrinking by passes ends where no pass helps, and there may be a shorter case all the same: another sequence may do the same
in fewer lines. For a scheme, all sequences of that length can be searched. Decided here: the scope, and which of several
shortest cases is chosen: always the same one, whatever it was found by. Not known here: how a search works, and how a case
was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sockiter.backend import SLOTS, shape_of
from sockiter.check.monitor import MONITORED
from sockiter.check.result import Scope
from sockiter.check.search import INTERRUPTED, StopSearch, search
from sockiter.claims import hazards_of
from sockiter.errors import Unsearchable
from sockiter.operations import Add, Operation, Read, Remove, changes, length
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.minimize import Fails, Patience, minimize
from sockiter.shrink.order import sort_key
from sockiter.verdict import Signature

# A search that reaches more states is given up: the case then is as short as it was shrunk to.
STATES_MAX = 60_000
SLOTS_TRIED = (SLOTS, 1, 2, 3, 4)


def shortest(
    scheme: AnyScheme,
    operations: tuple[Operation, ...],
    slots: int,
    signature: Signature,
    fails: Fails,
    *,
    patience: Patience | None = None,
    states_max: int = STATES_MAX,
) -> tuple[tuple[Operation, ...], int, bool]:
    """The shortest sequence with the same failure of a scheme, its slots, and whether that is certain.

    It is certain for sequences with the hazards of the given one, and with as many sockets at once, buckets and tables as it
    spans. Where it is not, or a search cannot find such a failure, or reaches some more states than `states_max`, or
    `patience` ends, the sequence is as it was given.
    """
    patience = patience or Patience()
    best = operations, slots
    if signature not in MONITORED or any(op.gives_up for op in operations if isinstance(op, Read)):
        return *best, False
    while True:
        found = _found(scheme, best, signature, fails, patience, states_max)
        if found is None:
            return *best, False
        if found == best:
            return *best, True
        # What was found may span less, and is sought there once more.
        best = found


def _found(
    scheme: AnyScheme,
    best: tuple[tuple[Operation, ...], int],
    signature: Signature,
    fails: Fails,
    patience: Patience,
    states_max: int,
) -> tuple[tuple[Operation, ...], int] | None:
    # The least of the shortest, one for each number of slots; None where a search was given up.
    operations, slots = best
    hazards = hazards_of(operations, narrow="rollover" in scheme.hazards)
    least: tuple[tuple[Operation, ...], int] | None = None
    lines = length(operations)
    for batch in dict.fromkeys((slots, *SLOTS_TRIED)):
        try:
            scope = _spanned(operations, batch, lines)
            result = search(scheme, hazards, scope, signatures=[signature], progress=_within(patience, states_max))
        except Unsearchable:
            return None
        if not result.complete:
            if result.incomplete == INTERRUPTED:
                patience.interrupt()
            return None
        for counterexample in result.violations:
            if not fails(counterexample.case.operations, batch):
                return None
            candidate = minimize(counterexample.case.operations, batch, fails, patience=patience)
            if patience.ended:
                return None
            if least is None or sort_key(candidate) < sort_key(least):
                least = candidate
                lines = length(least[0])
    return least


def _within(patience: Patience, states_max: int) -> Callable[[int, int], None]:
    def go_on(states: int, waiting: int) -> None:
        if states > states_max or not patience.is_left():
            raise StopSearch("given up")

    return go_on


def _spanned(operations: Sequence[Operation], batch: int, lines: int) -> Scope:
    # The scope that a sequence spans: its sockets at once, and as many buckets as its largest table has.
    present = most = 0
    for op in operations:
        for change in changes(op):
            present += isinstance(change, Add) - isinstance(change, Remove)
            most = max(most, present)
    return Scope(most, max(number for _, number in shape_of(operations).buckets), batch, lines)
