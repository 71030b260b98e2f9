"""Detects the scheme that the running kernel uses, by short sequences and not by its version.

Distribution kernels contain backports, so their versions prove nothing. The sequences are chosen so that the schemes of
one iterator deliver differently.
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
    """Sequences that any kernel can carry out, and that distinguish the schemes."""
    first = Bucket(0, tables[0])
    read_one, read_all = Read(1), Read(None)
    return [
        # A seen socket closes: a count skips, a list of remembered sockets does not.
        (*_adds("CBA", first), Open(), read_one, Remove("A"), read_all),
        # A socket enters in front of a seen one: a count repeats.
        (*_adds("CBA", first), Open(), read_one, *_adds("D", first), read_all),
        # A flag that is never cleared loses the rest of the bucket.
        (*_adds("BA", first), Open(), read_one, read_all),
        # A rank counts across buckets, a place within a bucket does not.
        (*_adds("B", Bucket(1, tables[0])), *_adds("A", first), Open(), read_one, *_adds("C", first), read_all),
    ]


def identify(begin: Callable[[Shape], Backend], schemes: Sequence[str], tables: Sequence[str]) -> str | None:
    """The first of these schemes that delivers the same as this kernel in all sequences; None if there is none."""
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
