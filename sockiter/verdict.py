"""The verdict on an iteration: kinds of findings, and the socket that each finding concerns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

Kind: TypeAlias = Literal["skip", "repeat", "stale", "stuck", "refused", "incomplete"]

KINDS: tuple[Kind, ...] = get_args(Kind)
# Kinds that concern one socket. Their findings name the socket.
OF_A_SOCKET: frozenset[Kind] = frozenset({"skip", "repeat", "stale"})
# Kinds that a change to another socket of the same bucket can cause, so that the place of the changes matters.
CAUSED_NEARBY: frozenset[Kind] = frozenset({"skip", "repeat"})
# Kinds that are the iterator's fault. A refusal is reported honestly, and an incomplete iteration was not judged to its end.
VIOLATIONS: tuple[Kind, ...] = ("skip", "repeat", "stale", "stuck")


class Signature(NamedTuple):
    """A class of findings, independent of the affected socket.

    `moved`: the socket itself was reinserted or moved. `elsewhere`: the socket was not, and nothing at all changed in its
    bucket since open (for a repeat: until its second delivery).
    """

    kind: Kind
    moved: bool = False
    elsewhere: bool = False


def signatures_of(kinds: Iterable[Kind]) -> tuple[Signature, ...]:
    """All possible signatures of findings of some kinds, in the order of the kinds."""
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
    """One finding about an iteration: its kind, and the affected socket (None for the iteration as a whole).

    `moved` and `elsewhere` are as in `Signature`.
    """

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
"""All findings of an iteration, by kind and then by socket; empty: every socket exactly once, to the end."""


def describe(verdict: Verdict) -> str:
    """The verdict in one line, "ok" for an empty one."""
    return ", ".join(str(finding) for finding in verdict) or "ok"
