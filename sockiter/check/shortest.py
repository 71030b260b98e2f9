"""Finds the shortest case of a scheme by searches: the last step of shrinking.

Shrinking by passes ends when no pass helps. Another sequence may still cause the same failure in fewer lines. For a
scheme, all sequences up to that length can be searched. Of several shortest cases, the same one is always chosen,
independent of the driver that found the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sockiter.backend import SLOTS, carried_out, shape_of
from sockiter.check.everything import most_at_once
from sockiter.check.monitor import MONITORED
from sockiter.check.result import Scope
from sockiter.check.search import INTERRUPTED, StopSearch, search
from sockiter.claims import hazards_of
from sockiter.errors import Unsearchable
from sockiter.operations import Add, Destroy, Open, Operation, Read, Remove, changes, length
from sockiter.schemes.scheme import AnyScheme
from sockiter.shrink.minimize import Fails, Patience, minimize
from sockiter.shrink.order import sort_key
from sockiter.simulation import Simulation
from sockiter.verdict import Signature

# A search beyond this number of states is abandoned; the shrunk case is then kept.
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
    """The shortest sequence with the same failure of a scheme, its slots, and whether it is certainly the shortest.

    Certain means: among the sequences with its hazards, and with at most as many sockets at once, buckets and tables. The
    result is the given sequence, without certainty, in three cases: a search cannot find this failure, reaches more than
    about `states_max` states, or `patience` ends.
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
        # A shorter sequence may have a smaller scope, which is searched once more.
        best = found


def _found(
    scheme: AnyScheme,
    best: tuple[tuple[Operation, ...], int],
    signature: Signature,
    fails: Fails,
    patience: Patience,
    states_max: int,
) -> tuple[tuple[Operation, ...], int] | None:
    # The simplest of the shortest sequences over all numbers of slots; None if a search was abandoned.
    operations, slots = best
    hazards = hazards_of(operations, narrow="rollover" in scheme.hazards)
    least: tuple[tuple[Operation, ...], int] | None = None
    lines = length(operations)
    for batch in dict.fromkeys((slots, *SLOTS_TRIED)):
        try:
            scope = spanned(scheme, operations, batch, lines)
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
            raise StopSearch("abandoned")

    return go_on


def spanned(scheme: AnyScheme, operations: Sequence[Operation], batch: int, lines: int) -> Scope:
    """The scope of a sequence: its most sockets at once, and the buckets of its largest table.

    The sockets that a destroying read leaves in the table depend on the scheme.
    """
    shape = shape_of(operations, slots=batch)
    most = _most(operations)
    if any(op.destroying for op in operations if isinstance(op, Read)):
        before = _most(operations[: operations.index(Open())])
        most = max(before, most_at_once(carried_out(Simulation(scheme, shape), operations)))
    return Scope(most, max(number for _, number in shape.buckets), batch, lines)


def _most(operations: Sequence[Operation]) -> int:
    # The most sockets at once, if reads destroy none.
    present = most = 0
    for op in operations:
        for change in changes(op):
            present += isinstance(change, Add) - isinstance(change, (Remove, Destroy))
            most = max(most, present)
    return most
