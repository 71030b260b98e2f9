"""Which scheme the running kernel walks by, found out by trying, not by its version.

Decided here: the short cases whose deliveries tell the schemes of one iterator apart. A distribution's kernel has what was
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


def probes(tables: Sequence[str]) -> list[tuple[Operation, ...]]:
    """Sequences that any kernel can carry out, by which the schemes differ."""
    first = Bucket(0, tables[0])
    one, everything = Read(1), Read(None)
    return [
        # What was seen closes: a count skips, a memory does not.
        (*_adds("CBA", first), Open(), one, Remove("A"), everything),
        # Something comes before what was seen: a count repeats.
        (*_adds("CBA", first), Open(), one, *_adds("D", first), everything),
        # A flag that is never taken down loses the rest of the bucket.
        (*_adds("BA", first), Open(), one, everything),
        # A rank counts across buckets, a place in a bucket does not.
        (*_adds("B", Bucket(1, tables[0])), *_adds("A", first), Open(), one, *_adds("C", first), everything),
    ]


def likeness(begin: Callable[[Shape], Backend], schemes: Sequence[str], tables: Sequence[str]) -> str | None:
    """The first of these schemes that delivers what this kernel does in all the probes; None if none does."""
    told = []
    for operations in probes(tables):
        backend = begin(shape_of(operations))
        for operation in operations:
            backend.apply(operation)
        told.append((operations, backend.history.reads))
        backend.close()
    for name in schemes:
        if all(_simulated(name, operations) == reads for operations, reads in told):
            return name
    return None


def _simulated(name: str, operations: Sequence[Operation]) -> object:
    simulation = Simulation(_BY_NAME[name], shape_of(operations))
    for operation in operations:
        simulation.apply(operation)
    return simulation.history.reads
