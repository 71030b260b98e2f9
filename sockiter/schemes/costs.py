"""What exactness costs: the memory and the work that a scheme needs, as it states them in its attribute `costs`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes on a 64-bit kernel, beyond those that the table has anyway, and work for others than the iterator.

    `element`, `bucket`, `table` and `iterator`: the bytes of each; `slot`: of each slot of the iterator's batch. `insert`,
    `remove` and `move`: the extra work of such a change, in words, or "". `holds_references`: between two reads. Any number
    of iterators can walk at once, since no scheme here writes into elements.
    """

    iterator: int
    slot: int = 0
    element: int = 0
    bucket: int = 0
    table: int = 0
    insert: str = ""
    remove: str = ""
    move: str = ""
    holds_references: bool = False


def costs_of(scheme: object) -> Costs | None:
    """The stated costs of a scheme; None if it states none."""
    costs: Costs | None = getattr(scheme, "costs", None)
    return costs
