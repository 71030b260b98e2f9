"""The verdict on an iteration: kinds of findings, and the socket that each concerns.

Decided here: the words. Not known here: how they are arrived at (`oracle`) and who promises what (`claims`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

Kind: TypeAlias = Literal["skip", "repeat", "stale", "stuck", "refused", "incomplete"]

KINDS: tuple[Kind, ...] = get_args(Kind)
# Kinds that concern a certain socket, so that a finding of one names it.
OF_A_SOCKET: frozenset[Kind] = frozenset({"skip", "repeat", "stale"})
# Kinds that a change to another socket of the same bucket may bring about, so that it matters where the changes are.
CAUSED_NEARBY: frozenset[Kind] = frozenset({"skip", "repeat"})
# Kinds that are the iterator's fault. A refusal is honest, and an incomplete iteration was not judged to its end.
VIOLATIONS: tuple[Kind, ...] = ("skip", "repeat", "stale", "stuck")


class Signature(NamedTuple):
    """A class of findings, whichever socket suffers them.

    `moved`: the socket had itself been put in again or moved. `elsewhere`: it had not, and nothing at all had changed in its
    bucket since open (in the case of a repeat: by its second delivery).
    """

    kind: Kind
    moved: bool = False
    elsewhere: bool = False


def signatures_of(kinds: Iterable[Kind]) -> tuple[Signature, ...]:
    """All signatures that findings of some kinds can have, in the order of the kinds."""
    signatures = []
    for kind in kinds:
        signatures.append(Signature(kind))
        if kind in CAUSED_NEARBY:
            signatures.append(Signature(kind, elsewhere=True))
        if kind in OF_A_SOCKET:
            signatures.append(Signature(kind, moved=True))
    return tuple(signatures)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding about an iteration: its kind, the socket that suffers it (None for the iteration as a whole), and whether
    that socket `moved`, or everything that changed was `elsewhere` (`Signature`)."""

    kind: Kind
    socket: str | None = None
    moved: bool = False
    elsewhere: bool = False

    @property
    def signature(self) -> Signature:
        return Signature(self.kind, self.moved, self.elsewhere)

    def __str__(self) -> str:
        return f"{self.kind} {self.socket}" if self.socket is not None else self.kind


Verdict: TypeAlias = tuple[Finding, ...]
"""Everything that is to be said of an iteration, by kind and then by socket; empty: exactly once, to the end."""


def describe(verdict: Verdict) -> str:
    """The verdict in one line, "ok" for an empty one."""
    return ", ".join(str(finding) for finding in verdict) or "ok"
