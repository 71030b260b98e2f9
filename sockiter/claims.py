"""Hazards, and what a target promises under them.

Decided here: which hazards a sequence of operations uses, and which known failures explain a finding. Not known here: how a
failure is found, and which target has which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from sockiter.operations import (
    Accept,
    Add,
    At,
    Change,
    Close,
    Destroy,
    Fail,
    Open,
    Operation,
    Point,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
)
from sockiter.verdict import CAUSED_NEARBY, VIOLATIONS, Kind, Signature, Verdict, signatures_of

Hazard: TypeAlias = Literal[
    "add-head",
    "add-tail",
    "remove",
    "reinsert",
    "rehash",
    "close",
    "accept",
    "destroy",
    "destroying",
    "show",
    "between",
    "realloc",
    "enomem",
    "rollover",
]
HAZARDS: tuple[Hazard, ...] = get_args(Hazard)
# Each of these is one kind of change. The others are a reader that changes the table, a point of time, a refused
# allocation, and narrow versions.
CHANGES: tuple[Hazard, ...] = ("add-head", "add-tail", "remove", "reinsert", "rehash", "close", "accept", "destroy")

MOVES: frozenset[Hazard] = frozenset({"reinsert", "rehash", "close", "accept"})
"""The changes of a socket that stays in the table, of which a finding is `moved`."""

IMPLIES: dict[Hazard, frozenset[Hazard]] = {
    "accept": frozenset({"close"}),
    "destroy": frozenset({"remove"}),
    "destroying": frozenset({"remove", "show"}),
}
"""The hazards whose known failures also explain findings under another hazard, since the walk sees the same change.

To a walk, a completed handshake is a closed connection: a successor with the same cookie. A destroyed socket is a removed
one. A reader that destroys removes each socket as it is shown.
"""

# The hazard of a change at each point inside a read.
HAZARD_OF: dict[Point, Hazard] = {"show": "show", "bucket": "between", "realloc": "realloc"}

VERSION_BITS = 4
"""The width of narrow versions, which are signed numbers."""
INSERTIONS_MAX = (1 << VERSION_BITS - 1) - 1
"""The number of insertions that narrow versions can count. The next insertion rolls the version over."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A failure that a target is known to have: its kind, and the least hazards that cause it.

    Known failures and claims are complements: a kind of failure that no known failure explains under the hazards of a run
    cannot happen in that run. `moved`: the affected socket was itself reinserted or moved. `elsewhere`: the failure also
    happens where nothing changes in the bucket of the affected socket. A known failure without `elsewhere` does not explain
    findings with `elsewhere`.
    """

    kind: Kind
    hazards: frozenset[Hazard]
    moved: bool = False
    elsewhere: bool = False

    def __str__(self) -> str:
        mark = f" ({self._mark})" if self._mark else ""
        return f"{self.kind}{mark} under {', '.join(in_order(self.hazards)) or 'no hazard'}"

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    def explains(self, signature: Signature) -> bool:
        """Whether this known failure explains a finding with this signature, given its hazards."""
        kind, moved, elsewhere = signature
        return self.kind == kind and self.moved == moved and (self.elsewhere or not elsewhere)

    def stem(self, target: str) -> str:
        """The stem of a case file for this failure on a target, as in the corpus: the target, the kind, and the hazards."""
        mark = [self._mark] if self._mark else []
        return "-".join([target, self.kind, *mark, *in_order(self.hazards)])

    @property
    def _mark(self) -> str:
        # Without any change, "elsewhere" goes without saying.
        if self.moved:
            return "moved"
        return "elsewhere" if self.elsewhere and self.hazards & set(CHANGES) else ""


def known_failure(kind: Kind, *hazards: Hazard, moved: bool = False, elsewhere: bool = False) -> KnownFailure:
    """Build a `KnownFailure`, as schemes declare it.

    A skip or repeat of a socket that did not move, under hazards that change no bucket, is always `elsewhere`.
    """
    changes_nothing = kind in CAUSED_NEARBY and not moved and not set(hazards) & set(CHANGES)
    return KnownFailure(kind, frozenset(hazards), moved, elsewhere or changes_nothing)


Harm: TypeAlias = KnownFailure
harm = known_failure
"""Earlier names, for schemes of other packages."""


def in_order(hazards: Iterable[Hazard]) -> list[Hazard]:
    """The hazards in the order of `HAZARDS`, each once."""
    present = set(hazards)
    return [hazard for hazard in HAZARDS if hazard in present]


def hazards_of(operations: Sequence[Operation], *, narrow: bool = False) -> frozenset[Hazard]:
    """The hazards that this sequence uses: its operations after `Open`, and with `narrow` versions also the rollover.

    Narrow versions roll over when the sequence has more insertions, before and after `Open`, than the version can count.
    Every move counts as an insertion, even a move to the same bucket, and a move of a `bound` socket counts as two, since
    `Destroy` may move it back. So a sequence without this hazard certainly causes no rollover.
    """
    used: set[Hazard] = set()
    opened = False
    insertions = 0
    bound: set[str] = set()
    # Bound sockets in another bucket than their own, to which a destruction moves them back.
    away: set[str] = set()
    for op in operations:
        if type(op) is Open:
            opened = True
            continue
        if type(op) is Read and op.destroying:
            used.update(("destroying", "rehash") if away else ("destroying",))
        for change in changes(op):
            insertions += type(change) not in _WITHOUT_INSERTION
            if type(change) is Add and "bound" in change.properties:
                bound.add(change.name)
            elif type(change) is Rehash and change.name in bound:
                insertions += 1
                away.add(change.name)
            if opened and type(change) is Destroy and change.name in away:
                used.add("rehash")
            if opened:
                used.add(_hazard(change))
        if type(op) is Read:
            used.update(_inside(at) for at in op.at)
    if narrow and insertions > INSERTIONS_MAX:
        used.add("rollover")
    return frozenset(used)


def implied(hazards: Iterable[Hazard]) -> frozenset[Hazard]:
    """These hazards, and those that they imply."""
    there = frozenset(hazards)
    return there.union(*(IMPLIES[hazard] for hazard in there & IMPLIES.keys()))


def without_implied(hazards: frozenset[Hazard]) -> frozenset[Hazard]:
    """These hazards without those whose implied hazards are all among them, which show a walk nothing new."""
    return frozenset(hazard for hazard in hazards if hazard not in IMPLIES or not IMPLIES[hazard] <= hazards)


def within(known_failures: Iterable[KnownFailure], hazards: Iterable[Hazard]) -> frozenset[KnownFailure]:
    """The known failures that need no other hazards than these, and those that these imply."""
    there = implied(hazards)
    return frozenset(failure for failure in known_failures if failure.hazards <= there)


def largest_claims(
    known_failures: Sequence[KnownFailure], hazards: frozenset[Hazard]
) -> dict[frozenset[Hazard], set[Signature]]:
    """All claims: the largest subsets of these hazards, each with the signatures of failures that cannot happen under it.

    A failure that happens without any hazard is in no subset.
    """
    claims: dict[frozenset[Hazard], set[Signature]] = {}
    for signature in signatures_of((*VIOLATIONS, "refused")):
        # Every known failure loses at least one of its hazards. A subset that leaves out more than necessary is dropped.
        left_out: set[frozenset[Hazard]] = {frozenset()}
        for failure in (failure for failure in known_failures if failure.explains(signature)):
            left_out = {
                out if not failure.hazards <= implied(hazards - out) else out | _causing(hazard)
                for out in left_out
                for hazard in failure.hazards
            }
            left_out = {out for out in left_out if not any(less < out for less in left_out)}
        for out in sorted(left_out, key=in_order):
            claims.setdefault(hazards - out, set()).add(signature)
    return claims


def _causing(hazard: Hazard) -> frozenset[Hazard]:
    # A hazard, and those that imply it.
    return frozenset({hazard, *(other for other, hazards in IMPLIES.items() if hazard in hazards)})


def explaining(
    known_failures: Sequence[KnownFailure], signature: Signature, hazards: frozenset[Hazard]
) -> list[KnownFailure]:
    """The known failures that explain a finding with this signature under these hazards; empty: a claim is broken."""
    there = implied(hazards)
    return [
        known_failure
        for known_failure in known_failures
        if known_failure.explains(signature) and known_failure.hazards <= there
    ]


def unexplained(known_failures: Sequence[KnownFailure], verdict: Verdict, hazards: frozenset[Hazard]) -> Verdict:
    """The findings of a verdict that break a claim under these hazards; an incomplete iteration breaks none."""
    return tuple(
        finding
        for finding in verdict
        if finding.kind != "incomplete" and not explaining(known_failures, finding.signature, hazards)
    )


_WITHOUT_INSERTION = (Remove, Destroy)


def _hazard(change: Change) -> Hazard:
    match change:
        case Add(end=end):
            return "add-head" if end == "head" else "add-tail"
        case Remove():
            return "remove"
        case Reinsert():
            return "reinsert"
        case Rehash():
            return "rehash"
        case Close():
            return "close"
        case Accept():
            return "accept"
    return "destroy"


def _inside(at: At) -> Hazard:
    if isinstance(at.what, Fail):
        return "enomem"
    return HAZARD_OF[at.point]
