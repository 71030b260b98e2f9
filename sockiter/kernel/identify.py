"""Detects the scheme that the running kernel uses, by short sequences and not by its version.

Distribution kernels contain backports, so their versions prove nothing. The sequences are chosen so that the schemes of
one iterator deliver differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from sockiter.backend import SLOTS, Backend, Shape, patiently, shape_of
from sockiter.claims import Hazard
from sockiter.errors import Inconclusive
from sockiter.history import Returned, Shown
from sockiter.operations import Accept, Add, Bucket, Close, Destroy, Open, Operation, Read, Remove
from sockiter.schemes import SCHEMES
from sockiter.simulation import Simulation

AHEAD_MAX = 150
"""More elements than a message of a dump has records: the smallest have 28 bytes."""

_BY_NAME = {scheme.name: scheme for scheme in SCHEMES}


def _adds(names: Iterable[str], bucket: Bucket) -> list[Operation]:
    return [Add(name, "head", bucket) for name in names]


def distinguishing_sequences(tables: Sequence[str], ahead: int = 1, holds: int | None = None) -> list[tuple[Operation, ...]]:
    """Sequences that any kernel can carry out, and that distinguish the schemes.

    `ahead`: the number of sockets that the walk shows before the first change: one, or the records of a dump's message.
    `holds`: the most sockets in a bucket, if there is a limit; the seen ones then fill buckets in front of the others.
    """
    first = Bucket(0, tables[0])
    if holds is not None:
        return _in_chains(tables[0], ahead, holds)
    read_one, read_all = Read(1), Read(None)
    # From tail to head.
    seen = [f"A{n}" for n in reversed(range(ahead))]
    return [
        # A seen socket closes: a count skips, a list of remembered sockets does not.
        (*_adds(["C", "B", *seen], first), Open(), read_one, Remove("A0"), read_all),
        # A socket enters in front of a seen one: a count repeats.
        (*_adds(["C", "B", *seen], first), Open(), read_one, *_adds("D", first), read_all),
        # A flag that is never cleared loses the rest of the bucket.
        (*_adds(["B", *seen], first), Open(), read_one, read_all),
        # A rank counts across buckets, a place within a bucket does not.
        (*_adds("B", Bucket(1, tables[0])), *_adds(seen, first), Open(), read_one, *_adds("C", first), read_all),
        # A dump that ends with its first message does not go on with what enters behind it.
        (*_adds(seen, first), Open(), read_one, Add("B", "tail", first), read_all),
        # A file is walked again from its beginning behind its end, a table of places is not.
        (*_adds(seen, first), Open(), read_all, *_adds("B", first), read_all),
    ]


def _in_chains(table: str, ahead: int, holds: int) -> list[tuple[Operation, ...]]:
    # The same for buckets of a limited size: so many sockets fill a message, and three more are in one bucket behind them.
    seen = [Add(f"A{n}", "head", Bucket(n // holds, table)) for n in range(ahead)]
    last = Bucket((ahead - 1) // holds + 1, table)
    there: list[Operation] = [*seen, *_adds("EDCB", last), Open()]
    read_one, read_all = Read(1), Read(None)
    return [
        # The record that does not fit is lost, or not.
        (*there, read_all),
        # A seen socket closes: a count over the whole table skips, a count in a chain does not.
        (*there, read_one, Remove("A0"), read_all),
        # The socket that was taken last closes: a count skips another one.
        (*there, read_one, Remove("B"), read_all),
        (*there, read_one, *_adds("F", last), read_all),
    ]


def sockets_ahead(begin: Callable[[Shape], Backend], tables: Sequence[str]) -> int:
    """The number of sockets that a kernel shows when the walk is opened: 0, or the records of a dump's message."""
    backend = begin(Shape(slots=1))
    for operation in (*_adds([f"A{n}" for n in range(AHEAD_MAX)], Bucket(0, tables[0])), Open()):
        backend.apply(operation)
    ahead = sum(isinstance(event, Shown) for event in backend.history.events)
    backend.close()
    return ahead


def identify(
    begin: Callable[[Shape], Backend],
    schemes: Sequence[str],
    tables: Sequence[str],
    ahead: int = 0,
    is_able: Callable[[Sequence[Operation]], bool] = lambda _: True,
    holds: int | None = None,
) -> str | None:
    """The first of these schemes that delivers the same as this kernel in all sequences; None if there is none.

    `ahead`: the records of a dump's message, or 0. `is_able`: whether this kernel can carry out a sequence. `holds`: the
    most sockets in a bucket.
    """
    deliveries = []
    for operations in filter(is_able, distinguishing_sequences(tables, ahead or 1, holds)):
        reads = patiently(partial(_delivered, begin, operations, 1 if ahead else SLOTS))
        deliveries.append((operations, reads))
    for name in schemes:
        if all(_simulated(name, operations, ahead or None) == reads for operations, reads in deliveries):
            return name
    return None


def is_in_place(begin: Callable[[Shape], Backend], hazard: Hazard, table: str) -> bool:
    """Whether this kernel puts the successor of a socket into its predecessor's place, and not at the head of the bucket.

    `hazard`: close or accept. Raises `Inconclusive`, also for any other place, and `Unavailable`.
    """
    adds = [Add(name, "head", _bucket(table), ("request",) if hazard == "accept" else ()) for name in "CBA"]
    order = _walked(begin, (*adds, Open(), Accept("B") if hazard == "accept" else Close("B")))
    if order not in ("ABC", "BAC"):
        raise Inconclusive(f"after {hazard} of the second of three sockets, a walk returned {order or 'nothing'}")
    return order == "ABC"


def leaves(begin: Callable[[Shape], Backend], table: str) -> None:
    """Raise `Inconclusive` if a destroyed socket does not leave the table."""
    order = _walked(begin, (*_adds("BA", _bucket(table)), Open(), Destroy("A")))
    if order != "B":
        raise Inconclusive(f"after destroying the first of two sockets, a walk returned {order or 'nothing'}")


def _bucket(table: str) -> Bucket:
    # Not the first one: `offset-tcp` skips that of the established sockets if nobody listens.
    return Bucket(1, table)


def _walked(begin: Callable[[Shape], Backend], operations: Sequence[Operation]) -> str:
    # The names of all sockets after these operations, from a new walk.
    backend = begin(shape_of(operations))
    try:
        for operation in operations:
            backend.apply(operation)
        return "".join(chain.from_iterable(backend.state() or ()))
    finally:
        backend.close()


def _delivered(begin: Callable[[Shape], Backend], operations: Sequence[Operation], slots: int) -> list[Returned]:
    # With one slot, the messages of a dump are as small as they get.
    backend = begin(shape_of(operations, slots=slots))
    try:
        for operation in operations:
            backend.apply(operation)
        return backend.history.reads
    finally:
        backend.close()


def _simulated(name: str, operations: Sequence[Operation], records_max: int | None) -> object:
    simulation = Simulation(_BY_NAME[name], shape_of(operations), records_max=records_max)
    for operation in operations:
        simulation.apply(operation)
    return simulation.history.reads
