"""An iterator of the running kernel as it is meant to be: with the scheme of its promise, whatever was detected."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from sockiter.claims import HAZARDS, Hazard
from sockiter.kernel.target import KernelTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedTarget(KernelTarget):
    """An iterator with the known failures of the scheme that is `promised`, None for no known failure.

    `only`: the hazards that are tried.
    """

    promised: str | None
    only: frozenset[Hazard]

    @property
    def detected_scheme(self) -> str | None:
        return self.promised

    @property
    def hazards(self) -> frozenset[Hazard]:
        return self.offers.difference(self._capabilities.unable) & self.only


def promised(target: KernelTarget, scheme: str | None, hazards: Collection[Hazard]) -> PromisedTarget:
    """An iterator as it is meant to be. `hazards`: those that are tried; empty for all."""
    parts = {part.name: getattr(target, part.name) for part in fields(target)}
    return PromisedTarget(**parts, promised=scheme, only=frozenset(hazards or HAZARDS))
