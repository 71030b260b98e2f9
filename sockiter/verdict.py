"""What can be said of an iteration: kinds of harm, and which socket suffered it.

Decided here: the words. Not known here: how they are arrived at (`oracle`) and who promises what (`claims`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["skip", "repeat", "stale", "stuck", "refused", "incomplete"]

KINDS: tuple[Kind, ...] = get_args(Kind)
# Kinds that harm a certain socket, so that a finding of one names it.
OF_A_SOCKET: frozenset[Kind] = frozenset({"skip", "repeat", "stale"})
# Kinds that are the iterator's fault. A refusal is honest, and an incomplete iteration was not judged to its end.
VIOLATIONS: tuple[Kind, ...] = ("skip", "repeat", "stale", "stuck")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is said: its kind, the socket it befell (None where it befell none), and whether that one had moved."""

    kind: Kind
    socket: str | None = None
    moved: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.socket}" if self.socket is not None else self.kind


Verdict: TypeAlias = tuple[Finding, ...]
"""Everything that is to be said of an iteration, by kind and then by socket; empty: exactly once, to the end."""


def describe(verdict: Verdict) -> str:
    """The verdict in one line, "ok" for an empty one."""
    return ", ".join(str(finding) for finding in verdict) or "ok"
