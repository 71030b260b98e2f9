"""The scheme that the running kernel uses, detected by short cases, not by its version.

Decided here: the short cases whose deliveries distinguish the schemes of one iterator. A distribution's kernel has what was
brought back to it, whatever it is called. Not known here: how the kernel is driven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sockiter.backend import Backend, Shape, shape_of
from sockiter.operations import Add, Bucket, End, Open, Operation, Read, Remove
from sockiter.schemes import SCHEMES
from sockiter.simulation import Simulation

_BY_NAME = {scheme.name: scheme for scheme in SCHEMES}


def _adds(names: str, bucket: Bucket, end: End = "head") -> list[Operation]:
    return [Add(name, end, bucket) for name in names]


def distinguishing_sequences(tables: Sequence[str]) -> list[tuple[Operation, ...]]:
    """Sequences that any kernel can carry out, by which the schemes differ."""
    first = Bucket(0, tables[0])
    read_one, read_all = Read(1), Read(None)
    return [
        # What was seen closes: a count skips, a memory does not.
        (*_adds("CBA", first), Open(), read_one, Remove("A"), read_all),
        # Something comes before what was seen: a count repeats.
        (*_adds("CBA", first), Open(), read_one, *_adds("D", first), read_all),
        # A flag that is never taken down loses the rest of the bucket.
        (*_adds("BA", first), Open(), read_one, read_all),
        # A rank counts across buckets, a place in a bucket does not.
        (*_adds("B", Bucket(1, tables[0])), *_adds("A", first), Open(), read_one, *_adds("C", first), read_all),
    ]


def identify(begin: Callable[[Shape], Backend], schemes: Sequence[str], tables: Sequence[str]) -> str | None:
    """The first of these schemes that delivers the same as this kernel in all sequences; None if none does."""
    deliveries = []
    for operations in distinguishing_sequences(tables):
        backend = begin(shape_of(operations))
        for operation in operations:
            backend.apply(operation)
        deliveries.append((operations, backend.history.reads))
        backend.close()
    for name in schemes:
        if all(_simulated(name, operations) == reads for operations, reads in deliveries):
            return name
    return None


def _simulated(name: str, operations: Sequence[Operation]) -> object:
    simulation = Simulation(_BY_NAME[name], shape_of(operations))
    for operation in operations:
        simulation.apply(operation)
    return simulation.history.reads
