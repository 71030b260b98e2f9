"""The order of shrinking: which of two sequences with the same failure is simpler."""

from __future__ import annotations

from sockiter.backend import SLOTS
from sockiter.operations import (
    Accept,
    Add,
    Again,
    Close,
    Destroy,
    Open,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    length,
)
from sockiter.shrink.edits import name_of
from sockiter.shrink.passes import Candidate

_RANK = (Open, Read, Add, Remove, Destroy, Reinsert, Rehash, Close, Accept, Again)


def sort_key(candidate: Candidate) -> tuple[object, ...]:
    """The sort key of a candidate; a simpler candidate has a lower key.

    The criteria, in order: lines, sockets, changes inside reads, reads that give up or are no ordinary reads of records,
    properties of sockets, the kernel's slots, few and low buckets, small reads and early points, adds at the tail, and names
    in order. So similar candidates have one result.
    """
    operations, slots = candidate
    inside = numbers = heads = buckets = odd = properties = 0
    names: dict[str, int] = {}
    order: list[int] = []
    kinds: list[int] = []
    for op in operations:
        if type(op) is Read:
            numbers += op.count or 0
            odd += op.gives_up + op.silent + op.destroying + (op.unit == "bytes")
            for at in op.at:
                inside += 1
                numbers += at.nth
            kinds.append(_RANK.index(Read))
        else:
            kinds.append(_RANK.index(type(op)))
        for change in changes(op):
            order.append(names.setdefault(change.name, len(names)))
            match change:
                case Add(_, end, bucket):
                    properties += len(change.properties)
                    heads += end == "head"
                    buckets += bucket.number + (bucket.table != "")
                case Reinsert(_, end):
                    heads += end == "head"
                case Rehash(_, bucket):
                    buckets += bucket.number + (bucket.table != "")
    return (
        length(operations),
        len(names),
        inside,
        odd,
        properties,
        slots != SLOTS,
        slots,
        buckets,
        numbers,
        heads,
        order,
        kinds,
        [name != name_of(number) for name, number in names.items()],
    )
