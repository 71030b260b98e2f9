"""The steps of shrinking: ways in which a sequence could be simpler.

Decided here: which simpler sequences are worth a try, the big cuts before the small ones. A step may propose what cannot be
carried out as it stands (`operations.possible` mends it), what is longer, and what does not fail any more: it is `minimize`
that weighs, tries and chooses. No step brings in a hazard that the sequence has not. Not known here: what is simpler than
what (`cost`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, combinations, permutations
from typing import TypeAlias

from sockiter.backend import SLOTS
from sockiter.operations import (
    FIRST,
    Add,
    At,
    Bucket,
    Change,
    Fail,
    Open,
    Operation,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    possible,
)

Operations: TypeAlias = tuple[Operation, ...]
Candidate: TypeAlias = tuple[Operations, int]
"""A sequence, and the slots at open that it is run with."""


def name_of(number: int) -> str:
    """The name of a socket by its number from 0: a letter, and behind the last one a number."""
    return chr(ord("A") + number) if number < 26 else f"S{number}"


def _forget_sockets(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    names = names_in(operations)
    for number in range(min(len(names) - 1, 8), 0, -1):
        # The big cuts first: runs of neighbours, then, further down, pairs and single ones wherever they are.
        for start in range(0, len(names) - number + 1, number):
            yield _without_names(operations, set(names[start : start + number])), slots
    for pair in combinations(names, 2):
        yield _without_names(operations, set(pair)), slots


def _forget_and_batch_less(best: Candidate) -> Iterator[Candidate]:
    # Sockets that were only there to be too many for the batch go together with as many slots of it.
    operations, slots = best
    names = names_in(operations)
    if len(names) > slots:
        for number in range(slots - 1, 0, -1):
            for start in range(0, len(names) - number + 1, number):
                yield _without_names(operations, set(names[start : start + number])), slots - number


def _merge_sockets(best: Candidate) -> Iterator[Candidate]:
    # What was done to one socket is done to another, and the one is not needed any more.
    operations, slots = best
    names = names_in(operations)
    for gone in reversed(names):
        for other in names:
            if other != gone:
                yield tuple(_renamed(op, {gone: other}) for op in operations if not _adds(op, gone)), slots


def _cut_after(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    opened = operations.index(Open())
    for end in range(opened + 1, len(operations)):
        yield operations[:end], slots


def _drop_runs(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    lines = _lines(operations)
    size = len(lines) // 2
    while size > 1:
        for start in range(0, len(lines) - size + 1, size):
            yield _without_lines(operations, set(lines[start : start + size])), slots
        size //= 2


def _drop_lines(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for line in reversed(_lines(operations)):
        yield _without_lines(operations, {line}), slots


def _drop_pairs(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for pair in combinations(reversed(_lines(operations)), 2):
        yield _without_lines(operations, set(pair)), slots


def _merge_reads(best: Candidate) -> Iterator[Candidate]:
    # Two reads become one, be they neighbours or not, and what was inside them with them.
    operations, slots = best
    reads = [index for index, op in enumerate(operations) if type(op) is Read]
    for first, second in combinations(reads, 2):
        one, two = operations[first], operations[second]
        assert type(one) is Read
        assert type(two) is Read
        if one.count is None:
            merged = Read(None, one.at)
        elif two.count is None:
            merged = Read(None, one.at + tuple(replace(at, nth=at.nth + one.count) for at in two.at))
        else:
            merged = Read(one.count + two.count, one.at + two.at)
        rest = operations[first + 1 : second]
        yield (*operations[:first], merged, *rest, *operations[second + 1 :]), slots
        yield (*operations[:first], *rest, merged, *operations[second + 1 :]), slots


def _merge_moves(best: Candidate) -> Iterator[Candidate]:
    # Two moves become one, at the place of either, of any socket to anywhere: a move does harm in more ways than one, and
    # what two do together, one does at another place and to another socket.
    operations, slots = best
    opened = operations.index(Open())
    moves = [line for line in _lines(operations) if line[0] > opened and type(_what(operations, line)) in (Reinsert, Rehash)]
    for kept, gone in permutations(reversed(moves), 2):
        for name in names_in(operations):
            others: list[Change] = [Reinsert(name, "tail"), Reinsert(name, "head")]
            if type(_what(operations, kept)) is Rehash:
                others = [Rehash(name, bucket) for bucket in _buckets_in(operations)]
            for other in others:
                yield _without_lines(_with(operations, kept, other), {gone}), slots


def _merge_moves_and_read_less(best: Candidate) -> Iterator[Candidate]:
    # The one move that is left does it sooner.
    for merged in _merge_moves(best):
        yield from _lower_numbers(merged)


def _begin_where_moved_to(best: Candidate) -> Iterator[Candidate]:
    # A socket is added to the bucket that it is moved to, and one move is saved.
    operations, slots = best
    for line in _lines(operations):
        change = _what(operations, line)
        if type(change) is Rehash:
            name, bucket = change.name, change.bucket
            rest = _without_lines(operations, {line})
            yield tuple(replace(op, bucket=bucket) if type(op) is Add and op.name == name else op for op in rest), slots


def _batch_more(best: Candidate) -> Iterator[Candidate]:
    # A larger batch gets as far with an allocation less: what was at that goes, and what was at later ones is earlier.
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            for inside, gone in enumerate(op.at):
                if gone.point == "realloc":
                    rest = op.at[:inside] + op.at[inside + 1 :]
                    at = tuple(replace(a, nth=a.nth - 1) if a.point == "realloc" and a.nth > gone.nth else a for a in rest)
                    yield (*operations[:index], replace(op, at=at), *operations[index + 1 :]), slots + 1


def _forget_and_batch_more(best: Candidate) -> Iterator[Candidate]:
    # Sockets that were only there to make the batch grow go together with that allocation: it is larger from the start.
    operations, slots = best
    names = names_in(operations)
    for gone in chain(combinations(names, 1), combinations(names, 2)):
        rest = tuple(_allocating_less(op) for op in _without_names(operations, set(gone)))
        for more in range(1, 4):
            yield rest, slots + more


def _allocating_less(op: Operation) -> Operation:
    if type(op) is not Read or not any(at.point == "realloc" for at in op.at):
        return op
    return replace(op, at=tuple(replace(at, nth=at.nth - 1) if at.point == "realloc" and at.nth > 1 else at for at in op.at))


def _forget_and_read_less(best: Candidate) -> Iterator[Candidate]:
    # A socket that was only there to be counted goes together with one record of a read, or with one step to a point in it.
    operations, slots = best
    for name in reversed(names_in(operations)):
        without = _without_names(operations, {name})
        for other, _ in _lower_numbers((without, slots)):
            yield other, slots


def _forget_and_lower_bucket(best: Candidate) -> Iterator[Candidate]:
    # A socket that was only there to lead to a bucket goes together with that bucket's number.
    operations, slots = best
    for name in reversed(names_in(operations)):
        yield from _lower_buckets((_without_names(operations, {name}), slots))


def _change_before_open(best: Candidate) -> Iterator[Candidate]:
    # What is done between open and the first read is done before, where it is no hazard, and the table is put up anew.
    operations, slots = best
    opened = operations.index(Open())
    for index, op in enumerate(operations[opened + 1 :], opened + 1):
        if type(op) is Read:
            break
        moved = (*operations[:opened], op, Open(), *operations[opened + 1 : index], *operations[index + 1 :])
        yield from _settle_before_open((possible(moved), slots))


def _settle_before_open(best: Candidate) -> Iterator[Candidate]:
    # The table at open, put up in the plainest way; what a socket has been through before is forgotten.
    operations, slots = best
    opened = operations.index(Open())
    buckets: dict[Bucket, list[str]] = {}
    for change in chain.from_iterable(map(changes, operations[:opened])):
        match change:
            case Add(name, end, bucket):
                sockets = buckets.setdefault(bucket, [])
                sockets.insert(0 if end == "head" else len(sockets), name)
            case Remove(name):
                _bucket_of(buckets, name)[1].remove(name)
            case Reinsert(name, end):
                _, sockets = _bucket_of(buckets, name)
                sockets.remove(name)
                sockets.insert(0 if end == "head" else len(sockets), name)
            case _:
                bucket, sockets = _bucket_of(buckets, change.name)
                if bucket != change.bucket:
                    sockets.remove(change.name)
                    buckets.setdefault(change.bucket, []).insert(0, change.name)
    settled = tuple(Add(name, "tail", bucket) for bucket in sorted(buckets) for name in buckets[bucket])
    yield settled + operations[opened:], slots


def _out_of_reads(best: Candidate) -> Iterator[Candidate]:
    # A change inside a read is made before it or after it instead.
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            for inside, at in enumerate(op.at):
                if type(at.what) is not Fail:
                    rest = replace(op, at=op.at[:inside] + op.at[inside + 1 :])
                    for pair in ((at.what, rest), (rest, at.what)):
                        yield (*operations[:index], *pair, *operations[index + 1 :]), slots


def _read_on(best: Candidate) -> Iterator[Candidate]:
    # Nobody gives up at an error.
    operations, slots = best
    yield tuple(replace(op, gives_up=False) if type(op) is Read and op.gives_up else op for op in operations), slots


def _to_kernel_slots(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for fewer in (SLOTS, *range(1, slots)):
        yield operations, fewer


def _lower_buckets(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    buckets = _buckets_in(operations)
    for bucket in buckets:
        for lower in (FIRST, *(Bucket(number, bucket.table) for number in range(bucket.number))):
            yield tuple(_rebucketed(op, bucket, lower) for op in operations), slots
    for index, op in enumerate(operations):
        for bucket in buckets:
            yield (*operations[:index], _rebucketed(op, None, bucket), *operations[index + 1 :]), slots


def _lower_numbers(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            others: list[Read] = []
            if op.count is not None:
                others += [replace(op, count=fewer) for fewer in range(1, op.count)]
            for inside, at in enumerate(op.at):
                here = [a for a in op.at if (a.point, a.nth) == (at.point, at.nth)]
                for nth in range(1, at.nth):
                    others.append(replace(op, at=(*op.at[:inside], replace(at, nth=nth), *op.at[inside + 1 :])))
                    if len(here) > 1:
                        others.append(replace(op, at=tuple(replace(a, nth=nth) if a in here else a for a in op.at)))
            for other in others:
                yield (*operations[:index], other, *operations[index + 1 :]), slots


def _tails_for_heads(best: Candidate) -> Iterator[Candidate]:
    # Only where the sequence has the hazard of the tail already.
    operations, slots = best
    opened = operations.index(Open())
    after = {end for op in operations[opened:] for change in changes(op) if type(change) is Add for end in (change.end,)}
    for index, op in enumerate(operations):
        if type(op) is Reinsert or (type(op) is Add and (index < opened or "tail" in after)):
            yield (*operations[:index], replace(op, end="tail"), *operations[index + 1 :]), slots


def _swap_sockets(best: Candidate) -> Iterator[Candidate]:
    # Another socket suffers what one does: the same length, but names in order, or one more that can be forgotten.
    operations, slots = best
    opened = operations.index(Open())
    names = names_in(operations)
    for index, op in enumerate(operations[opened:], opened):
        for name in {change.name for change in changes(op) if type(change) is not Add}:
            for other in names:
                if other != name:
                    yield (*operations[:index], _renamed(op, {name: other}), *operations[index + 1 :]), slots


def _reorder(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for index in range(len(operations) - 1):
        swapped = (operations[index + 1], operations[index])
        if Open() not in swapped:
            yield (*operations[:index], *swapped, *operations[index + 2 :]), slots


def _rename(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    names = {name: name_of(number) for number, name in enumerate(names_in(operations))}
    yield tuple(_renamed(op, names) for op in operations), slots


STEPS: tuple[Callable[[Candidate], Iterator[Candidate]], ...] = (
    _cut_after,
    _settle_before_open,
    _forget_sockets,
    _forget_and_batch_less,
    _drop_runs,
    _drop_lines,
    _change_before_open,
    _merge_sockets,
    _forget_and_read_less,
    _merge_reads,
    _out_of_reads,
    _read_on,
    _to_kernel_slots,
    _lower_buckets,
    _forget_and_lower_bucket,
    _lower_numbers,
    _drop_pairs,
    _merge_moves,
    _merge_moves_and_read_less,
    _begin_where_moved_to,
    _batch_more,
    _forget_and_batch_more,
    _tails_for_heads,
    _swap_sockets,
    _reorder,
    _rename,
)


def names_in(operations: Operations) -> list[str]:
    # In the order in which they appear.
    return list(dict.fromkeys(change.name for op in operations for change in changes(op)))


def _adds(op: Operation, name: str) -> bool:
    return type(op) is Add and op.name == name


def _without_names(operations: Operations, names: set[str]) -> Operations:
    kept: list[Operation] = []
    for op in operations:
        if type(op) is Read:
            kept.append(replace(op, at=tuple(at for at in op.at if type(at.what) is Fail or at.what.name not in names)))
        elif type(op) is Open or op.name not in names:
            kept.append(op)
    return tuple(kept)


def _lines(operations: Operations) -> list[tuple[int, int]]:
    # Every line but open: the index of its operation, and 0 for the operation itself or, from 1, what is inside it.
    lines: list[tuple[int, int]] = []
    for index, op in enumerate(operations):
        if type(op) is not Open:
            lines.append((index, 0))
        if type(op) is Read:
            lines += [(index, inside) for inside in range(1, len(op.at) + 1)]
    return lines


def _without_lines(operations: Operations, lines: set[tuple[int, int]]) -> Operations:
    kept: list[Operation] = []
    for index, op in enumerate(operations):
        if (index, 0) in lines:
            continue
        if type(op) is Read and op.at:
            op = replace(op, at=tuple(at for inside, at in enumerate(op.at, 1) if (index, inside) not in lines))
        kept.append(op)
    return tuple(kept)


def _what(operations: Operations, line: tuple[int, int]) -> Operation | Fail:
    index, inside = line
    op = operations[index]
    return op.at[inside - 1].what if inside and type(op) is Read else op


def _with(operations: Operations, line: tuple[int, int], change: Change) -> Operations:
    # Another change in place of the one that this line is.
    index, inside = line
    op = operations[index]
    if type(op) is Read:
        at = replace(op.at[inside - 1], what=change)
        return (*operations[:index], replace(op, at=(*op.at[: inside - 1], at, *op.at[inside:])), *operations[index + 1 :])
    return (*operations[:index], change, *operations[index + 1 :])


def _buckets_in(operations: Operations) -> list[Bucket]:
    return sorted({change.bucket for op in operations for change in changes(op) if isinstance(change, (Add, Rehash))})


def _renamed(op: Operation, names: dict[str, str]) -> Operation:
    match op:
        case Open():
            return op
        case Read():
            return replace(op, at=tuple(_renamed_at(at, names) for at in op.at)) if op.at else op
        case _:
            return _renamed_change(op, names)


def _renamed_at(at: At, names: dict[str, str]) -> At:
    return at if type(at.what) is Fail else replace(at, what=_renamed_change(at.what, names))


def _renamed_change(change: Change, names: dict[str, str]) -> Change:
    return replace(change, name=names.get(change.name, change.name))


def _rebucketed(op: Operation, bucket: Bucket | None, lower: Bucket) -> Operation:
    # Every mention of `bucket`, or with None of any, becomes `lower`.
    match op:
        case Add(bucket=here) | Rehash(bucket=here) if bucket in (None, here):
            return replace(op, bucket=lower)
        case Read(at=inside) if inside:
            return replace(op, at=tuple(_rebucketed_at(at, bucket, lower) for at in inside))
        case _:
            return op


def _rebucketed_at(at: At, bucket: Bucket | None, lower: Bucket) -> At:
    match at.what:
        case Add(bucket=here) | Rehash(bucket=here) if bucket in (None, here):
            return replace(at, what=replace(at.what, bucket=lower))
        case _:
            return at


def _bucket_of(buckets: dict[Bucket, list[str]], name: str) -> tuple[Bucket, list[str]]:
    return next((bucket, sockets) for bucket, sockets in buckets.items() if name in sockets)
