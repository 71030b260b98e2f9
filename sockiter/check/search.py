"""Exhaustive search in a scope, shortest histories first: a proof or a shortest counterexample.

A violation concerns one socket, and a scheme does not know which sockets were delivered. So the search tracks one socket
at a time: any socket, from any state of the system on. A search state is a system state with a fate, that is, a state of the
monitor. There are a few fates for each system state, and not one for each combination of all sockets' statuses. For the
other sockets, only their positions matter. All fates of a system state take a transition at once, as a set (`fates`).

Every counterexample is run and judged like any other case before it is returned. A case without the violation is an error.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable

from sockiter.backend import run
from sockiter.cases import Case, dumps
from sockiter.check.counterexample import Unmerged
from sockiter.check.edges import Edge, Edges
from sockiter.check.fates import NOT_FOLLOWED, Fates, Ways, fates_of, numbers_of, relevant_fates, ways_of
from sockiter.check.histories import STUCK, Histories
from sockiter.check.monitor import MONITORED, monitor_states
from sockiter.check.result import Counterexample, Scope, SearchResult
from sockiter.check.transitions import TransitionSystem
from sockiter.claims import MOVES, Hazard
from sockiter.errors import Unsound
from sockiter.oracle import judge
from sockiter.readers import Reader
from sockiter.schemes.scheme import AnyScheme, has_keys
from sockiter.shrink.order import sort_key
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Signature

# The number of states between two progress reports.
REPORT = 4096
INTERRUPTED = "interrupted"


class StopSearch(Exception):
    """Raised by `progress` to stop a search; the message is the reason in one line."""


def at_most(states_max: int) -> Callable[[int, int], None]:
    """A `progress` of `search` that stops it when it has come to some more states."""

    def progress(states: int, waiting: int) -> None:
        if states > states_max:
            raise StopSearch("given up")

    return progress


def search(
    scheme: AnyScheme,
    hazards: Iterable[Hazard],
    scope: Scope,
    *,
    reader: Reader | None = None,
    signatures: Collection[Signature] = MONITORED,
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> SearchResult:
    """Search all histories of a scheme under some hazards in a scope, or until all `signatures` have happened.

    `reader`: how all reads are made; None for reads of any size. `read until error` is left out, since single reads have
    the same effects. `progress` gets the numbers of reached and of waiting states after every few thousand states, and may
    raise `StopSearch`. After that, or after a KeyboardInterrupt, the search is incomplete. Raises `Unsearchable` for a
    scheme whose states have no canonical form.
    """
    # A search keeps all its objects to its end, and they have no reference cycles. The garbage collector would take half of
    # the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Search(scheme, frozenset(hazards) & scheme.hazards, scope, reader, frozenset(signatures)).run(progress)
    finally:
        if collects:
            gc.enable()


class _Search:
    # A breadth-first search over system states, each with the set of fates with which it was reached.

    def __init__(
        self,
        scheme: AnyScheme,
        hazards: frozenset[Hazard],
        scope: Scope,
        reader: Reader | None,
        signatures: frozenset[Signature],
    ) -> None:
        self.reader = reader
        self.joins = reader is not None and reader.passes > 1
        if self.joins:
            signatures = frozenset(signature for signature in signatures if signature.kind != "repeat")
        self.scheme, self.hazards, self.scope, self.signatures = scheme, hazards, scope, signatures
        self.system = TransitionSystem(scheme, hazards, scope.sockets, scope.buckets, scope.batch, reader)
        self.relevant = self._relevant(signatures)
        self.edges = Edges(self.system, scope.sockets, joins=self.joins, relevant=self.relevant)
        # By system state: the fates with which it was not reached.
        self.all_fates = fates_of(scope.sockets)
        self.unreached: list[Fates] = [self.all_fates ^ 1]
        self.states = 1
        # By system state: its internal edges, and its edges that are lines of a case.
        self.internal: dict[int, Ways] = {}
        self.labelled: dict[int, Ways] = {}
        # By system state: the fates that took its internal edges, and those that took the others.
        self.continued: dict[int, Fates] = {}
        self.changed: dict[int, Fates] = {}
        # By signature: the lines of its shortest cases.
        self.found: dict[Signature, int] = {}
        # By number of lines: the system states, with the fates that were first reached with so many lines.
        self.layers: list[dict[int, Fates]] = []

    def run(self, progress: Callable[[int, int], None]) -> SearchResult:
        started = time.perf_counter()
        incomplete = ""
        try:
            self._breadth_first(progress)
        except StopSearch as stop:
            incomplete = str(stop)
        except KeyboardInterrupt:
            incomplete = INTERRUPTED
        found = sorted(self.found.items(), key=lambda item: (item[1], MONITORED.index(item[0])))
        histories = Histories(
            self.system,
            self.edges,
            self.layers,
            self.internal,
            self.labelled,
            self.found,
            self.reader,
            self._unmerged if has_keys(self.scheme) else None,
        )
        violations = tuple(
            Counterexample(signature.kind, signature.moved, self._confirmed(signature, histories), signature.elsewhere)
            for signature, _ in found
        )
        return SearchResult(
            self.scheme.name,
            self.hazards,
            self.scope,
            self.states,
            self._transitions(),
            time.perf_counter() - started,
            violations,
            incomplete,
        )

    def _breadth_first(self, progress: Callable[[int, int], None]) -> None:
        # The states of no line, then those of one line, and so on. An internal transition stays in its layer.
        waiting: dict[int, Fates] = {0: 1}
        lines = popped = 0
        while waiting and not self.signatures <= self.found.keys():
            # Fates that lead to no new violation are dropped, but only between layers: within one, all lengths are equal.
            self.relevant = self._relevant(self.signatures.difference(self.found))
            # Internal transitions come first, so that each fate gets its smallest number of lines.
            here: dict[int, Fates] = {}
            self.layers.append(here)
            while waiting:
                batch, waiting = waiting, {}
                for number, fates in batch.items():
                    before, popped = popped, popped + fates.bit_count()
                    if popped // REPORT > before // REPORT:
                        progress(self.states, self.states - popped)
                    if fates := fates & self.relevant:
                        # First: an interrupt may come anywhere, and the layers lead to all that was found.
                        ways = self._internal(number)
                        here[number] = here.get(number, 0) | fates
                        if fates & NOT_FOLLOWED and not self.edges.terminates(number):
                            self._record_stuck(fates, lines)
                        self._take(fates, ways, waiting, lines)
                        self.continued[number] = self.continued.get(number, 0) | fates
            if self.scope.ops is None or lines < self.scope.ops:
                for number, fates in here.items():
                    self._take(fates, self._labelled(number), waiting, lines + 1)
                    self.changed[number] = self.changed.get(number, 0) | fates
            lines += 1

    def _transitions(self) -> int:
        # Each fate takes the edges of its system state once.
        taken = ((self.continued, self.internal), (self.changed, self.labelled))
        return sum(
            (fates & part).bit_count() * times
            for fates_of, ways_of_all in taken
            for number, fates in fates_of.items()
            for part, times in ways_of_all[number].counts
        )

    def _relevant(self, signatures: frozenset[Signature]) -> Fates:
        return relevant_fates(self.scope.sockets, signatures, moves=bool(self.hazards & MOVES), twice=self.joins)

    def _take(self, fates: Fates, ways: Ways, waiting: dict[int, Fates], lines: int) -> None:
        for part, signatures, late in ways.violations:
            if fates & part:
                self._record(signatures, lines + late)
        unreached, relevant = self.unreached, self.relevant
        for way in ways.ways:
            to, image = way.to, way.image(fates)
            image &= unreached[to] & relevant
            if image:
                unreached[to] ^= image
                self.states += image.bit_count()
                waiting[to] = waiting.get(to, 0) | image

    def _record(self, signatures: Iterable[Signature], lines: int) -> None:
        if self.scope.ops is None or lines <= self.scope.ops:
            for signature in signatures:
                if signature in self.signatures and lines < self.found.get(signature, lines + 1):
                    self.found[signature] = lines

    def _record_stuck(self, fates: Fates, lines: int) -> None:
        # A `read all` that runs already takes no line more.
        for number in numbers_of(fates & NOT_FOLLOWED):
            self._record(STUCK, lines + (not monitor_states(self.scope.sockets)[number].in_all))

    def _internal(self, number: int) -> Ways:
        ways = self.internal.get(number)
        if ways is None:
            ways = self.internal[number] = self._ways_of(self.edges.internal(number))
        return ways

    def _labelled(self, number: int) -> Ways:
        ways = self.labelled.get(number)
        if ways is None:
            ways = self.labelled[number] = self._ways_of(self.edges.labelled(number))
        return ways

    def _ways_of(self, edges: Iterable[Edge]) -> Ways:
        self.unreached += [self.all_fates] * (len(self.system.states) - len(self.unreached))
        return ways_of([(edge.transition.to, edge.steps.of_a_set(edge.transition.effect), edge.is_late) for edge in edges])

    def _unmerged(self) -> Unmerged:
        scope = self.scope
        return Unmerged(self.scheme, self.hazards, scope.sockets, scope.buckets, scope.batch, self.reader)

    def _confirmed(self, signature: Signature, histories: Histories) -> Case:
        # The simplest of the shortest cases.
        operations = min(histories.of(signature), key=lambda operations: sort_key((operations, self.scope.batch)))
        case = Case(operations, self.scope.batch)
        target = SchemeTarget(self.scheme)
        verdict = judge(run(target, target, case.operations, slots=case.slots))
        if not any(finding.signature == signature for finding in verdict):
            raise Unsound(
                f"{self.scheme.name}: the search reports {tuple(signature)}, but the oracle does not: "
                f"{'; '.join(dumps(case).splitlines()[2:])}; run `sockiter check --verify {self.scheme.name}` for details"
            )
        return case
