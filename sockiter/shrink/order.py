"""The order of shrinking: which of two sequences with the same failure is simpler."""

from __future__ import annotations

from sockiter.backend import SLOTS
from sockiter.operations import Add, Open, Read, Rehash, Reinsert, Remove, changes, length
from sockiter.shrink.edits import name_of
from sockiter.shrink.passes import Candidate

_RANK = (Open, Read, Add, Remove, Reinsert, Rehash)


def sort_key(candidate: Candidate) -> tuple[object, ...]:
    """The sort key of a candidate; a simpler candidate has a lower key.

    The criteria, in order: lines, sockets, changes inside reads, reads that give up, the kernel's slots, few and low
    buckets, small reads and early points, adds at the tail, and names in order. So similar candidates have one result.
    """
    operations, slots = candidate
    inside = numbers = heads = buckets = given_up = 0
    names: dict[str, int] = {}
    order: list[int] = []
    kinds: list[int] = []
    for op in operations:
        if type(op) is Read:
            numbers += op.count or 0
            given_up += op.gives_up
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
        given_up,
        slots != SLOTS,
        slots,
        buckets,
        numbers,
        heads,
        order,
        kinds,
        [name != name_of(number) for name, number in names.items()],
    )
