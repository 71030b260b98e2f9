"""The passes of shrinking: each pass proposes sequences that may be simpler.

Large cuts come before small ones. A pass may propose a sequence that is impossible (`operations.possible` repairs it),
longer, or without the failure: `minimize` compares, tries and chooses. No pass adds a hazard to a sequence, except for
`remove` in place of `destroy`, and `close` in place of `accept`: to a walk, each pair is the same change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, combinations, permutations
from typing import TypeAlias

from sockiter.backend import SLOTS
from sockiter.frames.bpf_seq import RECORD_BYTES
from sockiter.operations import (
    FIRST,
    Accept,
    Add,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    Fail,
    Open,
    Operation,
    Property,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    possible,
)
from sockiter.shrink.edits import (
    Line,
    Operations,
    adds,
    buckets_in,
    lines_of,
    name_of,
    names_in,
    operation_at,
    rebucketed,
    renamed,
    with_change,
    without_lines,
    without_names,
)

Candidate: TypeAlias = tuple[Operations, int]
"""A sequence and its slots at open."""

CROWD = 40
"""With more sockets, as for a dump with many records in a message, no pass tries all pairs."""


def is_crowd(operations: Operations) -> bool:
    """Whether a sequence has so many sockets that most of them only fill a message or a batch."""
    return len(names_in(operations)) > CROWD


def _smallest_message(best: Candidate) -> Iterator[Candidate]:
    # The smallest message of a dump.
    operations, _ = best
    if is_crowd(operations):
        yield operations, SLOTS
        yield operations, 1


def _changing(operations: Operations) -> list[str]:
    # The sockets with changes after open.
    opened = operations.index(Open())
    return list(dict.fromkeys(change.name for op in operations[opened:] for change in changes(op)))


def _fillers(operations: Operations) -> list[list[str]]:
    # The other sockets, in runs of neighbours: whichever of a run is left out, the rest is the same but for its names.
    changing = set(_changing(operations))
    runs: list[list[str]] = []
    before: Operation | None = None
    for op in operations[: operations.index(Open())]:
        if type(op) is Add and op.name not in changing and not op.properties:
            if type(before) is Add and (before.end, before.bucket) == (op.end, op.bucket):
                runs[-1].append(op.name)
            else:
                runs.append([op.name])
            before = op
        else:
            before = None
    return runs


def _names_to_try(operations: Operations, *, fillers: bool = True) -> list[str]:
    # All names; of a crowd, the changing sockets, and one of each run of `fillers`.
    if not is_crowd(operations):
        return names_in(operations)
    return _changing(operations) + ([run[0] for run in _fillers(operations)] if fillers else [])


def _lines_to_try(operations: Operations) -> list[Line]:
    # All lines except open; of a crowd, those behind it.
    lines = lines_of(operations)
    if not is_crowd(operations):
        return lines
    opened = operations.index(Open())
    return [line for line in lines if line[0] > opened]


def _forget_sockets(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    names = names_in(operations)
    if is_crowd(operations):
        for run in _fillers(operations):
            for number in (*_halves(len(run)), *range(min(len(run), 8), 0, -1)):
                yield without_names(operations, set(run[:number])), slots
        changing = _changing(operations)
        for gone in chain(combinations(changing, 1), combinations(changing, 2)):
            yield without_names(operations, set(gone)), slots
        return
    for number in range(min(len(names) - 1, 8), 0, -1):
        # Large cuts first: runs of neighbours. Later: pairs and single sockets anywhere.
        for start in range(0, len(names) - number + 1, number):
            yield without_names(operations, set(names[start : start + number])), slots
    for pair in combinations(names, 2):
        yield without_names(operations, set(pair)), slots


def _halves(number: int) -> Iterator[int]:
    # Less and less than a number, but more than 8.
    while (number := number // 2) > 8:
        yield number


def _forget_and_batch_less(best: Candidate) -> Iterator[Candidate]:
    # Sockets that only fill the batch are removed together with the same number of its slots.
    operations, slots = best
    names = names_in(operations)
    if len(names) > slots and not is_crowd(operations):
        for number in range(slots - 1, 0, -1):
            for start in range(0, len(names) - number + 1, number):
                yield without_names(operations, set(names[start : start + number])), slots - number


def _merge_sockets(best: Candidate) -> Iterator[Candidate]:
    # One socket's changes are applied to another socket, and the first socket is removed.
    operations, slots = best
    names = _names_to_try(operations, fillers=False)
    for gone in reversed(names):
        for heir in names:
            if heir != gone:
                yield tuple(renamed(op, {gone: heir}) for op in operations if not adds(op, gone)), slots


def _cut_after(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    opened = operations.index(Open())
    for end in range(opened + 1, len(operations)):
        yield operations[:end], slots


def _drop_runs(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    lines = _lines_to_try(operations)
    size = len(lines) // 2
    while size > 1:
        for start in range(0, len(lines) - size + 1, size):
            yield without_lines(operations, set(lines[start : start + size])), slots
        size //= 2


def _drop_lines(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for line in reversed(_lines_to_try(operations)):
        yield without_lines(operations, {line}), slots


def _drop_pairs(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for pair in combinations(reversed(_lines_to_try(operations)), 2):
        yield without_lines(operations, set(pair)), slots


def _merge_reads(best: Candidate) -> Iterator[Candidate]:
    # Two reads, neighbours or not, become one read with the changes of both.
    operations, slots = best
    reads = [index for index, op in enumerate(operations) if type(op) is Read]
    for first_index, second_index in combinations(reads, 2):
        first, second = operations[first_index], operations[second_index]
        assert type(first) is Read
        assert type(second) is Read
        merged = _merged(first, second)
        rest = operations[first_index + 1 : second_index]
        yield (*operations[:first_index], merged, *rest, *operations[second_index + 1 :]), slots
        yield (*operations[:first_index], *rest, merged, *operations[second_index + 1 :]), slots


def _merged(first: Read, second: Read) -> Read:
    destroying = first.destroying or second.destroying
    if first.count is None:
        return Read(None, first.at, silent=first.silent, destroying=destroying)
    if second.count is None:
        later = tuple(replace(at, nth=at.nth + _records(first)) for at in second.at)
        return Read(None, first.at + later, silent=second.silent, destroying=destroying)
    if first.unit == second.unit:
        return replace(first, count=first.count + second.count, at=first.at + second.at, destroying=destroying)
    return Read(_records(first) + _records(second), first.at + second.at, destroying=destroying)


def _records(read: Read) -> int:
    # The records of a read that stops early.
    assert read.count is not None
    return read.count if read.unit == "records" else -(-read.count // RECORD_BYTES)


def _merge_moves(best: Candidate) -> Iterator[Candidate]:
    # Two moves become one, at the place of either, of any socket to anywhere. A move can have several effects, so one move
    # at another place and of another socket may replace two.
    operations, slots = best
    opened = operations.index(Open())
    moves = [
        line
        for line in lines_of(operations)
        if line[0] > opened and type(operation_at(operations, line)) in (Reinsert, Rehash)
    ]
    for kept, gone in permutations(reversed(moves), 2):
        for name in names_in(operations):
            moves_to_try: list[Change] = [Reinsert(name, "tail"), Reinsert(name, "head")]
            if type(operation_at(operations, kept)) is Rehash:
                moves_to_try = [Rehash(name, bucket) for bucket in buckets_in(operations)]
            for move in moves_to_try:
                yield without_lines(with_change(operations, kept, move), {gone}), slots


def _merge_moves_and_read_less(best: Candidate) -> Iterator[Candidate]:
    # The single remaining move may have its effect earlier.
    for merged in _merge_moves(best):
        yield from _lower_numbers(merged)


def _begin_where_moved_to(best: Candidate) -> Iterator[Candidate]:
    # A socket is added to the bucket that it moves to, and the move is saved.
    operations, slots = best
    for line in lines_of(operations):
        change = operation_at(operations, line)
        if type(change) is Rehash:
            name, bucket = change.name, change.bucket
            rest = without_lines(operations, {line})
            yield tuple(replace(op, bucket=bucket) if type(op) is Add and op.name == name else op for op in rest), slots


def _batch_more(best: Candidate) -> Iterator[Candidate]:
    # A larger batch saves an allocation: the changes at that allocation are removed, and those at later ones are renumbered.
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            for inside, gone in enumerate(op.at):
                if gone.point == "realloc":
                    rest = op.at[:inside] + op.at[inside + 1 :]
                    at = tuple(replace(a, nth=a.nth - 1) if a.point == "realloc" and a.nth > gone.nth else a for a in rest)
                    yield (*operations[:index], replace(op, at=at), *operations[index + 1 :]), slots + 1


def _forget_and_batch_more(best: Candidate) -> Iterator[Candidate]:
    # Sockets that only make the batch grow are removed together with that allocation: the batch is larger from the start.
    operations, slots = best
    names = _names_to_try(operations, fillers=False)
    for gone in chain(combinations(names, 1), combinations(names, 2)):
        rest = tuple(_allocating_less(op) for op in without_names(operations, set(gone)))
        for more in range(1, 4):
            yield rest, slots + more


def _allocating_less(op: Operation) -> Operation:
    if type(op) is not Read or not any(at.point == "realloc" for at in op.at):
        return op
    return replace(op, at=tuple(replace(at, nth=at.nth - 1) if at.point == "realloc" and at.nth > 1 else at for at in op.at))


def _forget_and_read_less(best: Candidate) -> Iterator[Candidate]:
    # A socket that is only counted is removed together with one record of a read, or with one step to a point in the read.
    operations, slots = best
    for name in reversed(_names_to_try(operations)):
        without = without_names(operations, {name})
        for lowered, _ in _lower_numbers((without, slots)):
            yield lowered, slots


def _forget_and_lower_bucket(best: Candidate) -> Iterator[Candidate]:
    # A socket that only leads to a bucket is removed, and that bucket gets a lower number.
    operations, slots = best
    for name in reversed(_names_to_try(operations)):
        yield from _lower_buckets((without_names(operations, {name}), slots))


def _change_before_open(best: Candidate) -> Iterator[Candidate]:
    # A change between open and the first read is made before open, where it is no hazard, and the table is rebuilt.
    operations, slots = best
    opened = operations.index(Open())
    for index, op in enumerate(operations[opened + 1 :], opened + 1):
        if type(op) is Read:
            break
        moved = (*operations[:opened], op, Open(), *operations[opened + 1 : index], *operations[index + 1 :])
        yield from _settle_before_open((possible(moved), slots))


def _settle_before_open(best: Candidate) -> Iterator[Candidate]:
    # The table at open is rebuilt with the fewest operations. The earlier changes of its sockets are dropped.
    operations, slots = best
    opened = operations.index(Open())
    buckets: dict[Bucket, list[str]] = {}
    properties: dict[str, tuple[Property, ...]] = {}
    for change in chain.from_iterable(map(changes, operations[:opened])):
        match change:
            case Add(name, end, bucket):
                properties[name] = change.properties
                sockets = buckets.setdefault(bucket, [])
                sockets.insert(0 if end == "head" else len(sockets), name)
            case Remove(name) | Destroy(name) if type(change) is Remove or "bound" not in properties[name]:
                _bucket_of(buckets, name)[1].remove(name)
            case Reinsert(name, end):
                _, sockets = _bucket_of(buckets, name)
                sockets.remove(name)
                sockets.insert(0 if end == "head" else len(sockets), name)
            case Rehash():
                bucket, sockets = _bucket_of(buckets, change.name)
                if bucket != change.bucket:
                    sockets.remove(change.name)
                    buckets.setdefault(change.bucket, []).insert(0, change.name)
            case _:
                return  # no other operation makes a closed or accepted socket; a destroyed one depends on its life
    settled = tuple(Add(name, "tail", bucket, properties[name]) for bucket in sorted(buckets) for name in buckets[bucket])
    yield settled + operations[opened:], slots


def _out_of_reads(best: Candidate) -> Iterator[Candidate]:
    # A change inside a read is made before or after the read instead.
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            for inside, at in enumerate(op.at):
                if type(at.what) is not Fail:
                    rest = replace(op, at=op.at[:inside] + op.at[inside + 1 :])
                    for pair in ((at.what, rest), (rest, at.what)):
                        yield (*operations[:index], *pair, *operations[index + 1 :]), slots


def _read_on(best: Candidate) -> Iterator[Candidate]:
    # No read gives up at an error.
    operations, slots = best
    yield tuple(replace(op, gives_up=False) if type(op) is Read and op.gives_up else op for op in operations), slots


def _read_plainly(best: Candidate) -> Iterator[Candidate]:
    # Ordinary reads of records in place of silent or destroying reads, and of reads in bytes; all of them, then each.
    operations, slots = best
    odd = [index for index, op in enumerate(operations) if type(op) is Read and _simpler_reads(op)]
    for indexes in (odd, *([index] for index in odd)):
        for chosen in range(3):
            changed: dict[int, Operation] = {}
            for index in indexes:
                op = operations[index]
                assert type(op) is Read
                simpler = _simpler_reads(op)
                changed[index] = simpler[min(chosen, len(simpler) - 1)]
            if changed:
                yield tuple(changed.get(index, op) for index, op in enumerate(operations)), slots


def _simpler_reads(op: Read) -> list[Read]:
    # The plainest read first.
    simpler: list[Read] = []
    plain = replace(op, silent=False, destroying=False)
    if op.unit == "bytes":
        simpler.append(replace(plain, count=_records(op), unit="records"))
        if op.destroying:
            simpler += [replace(op, count=_records(op), unit="records"), plain]
    elif op.silent or op.destroying:
        simpler.append(plain)
        if op.silent and op.destroying:
            simpler += [replace(op, silent=False), replace(op, destroying=False)]
    return simpler


def _drop_properties(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Add and op.properties:
            for properties in ((), *combinations(op.properties, len(op.properties) - 1)):
                yield (*operations[:index], replace(op, properties=properties), *operations[index + 1 :]), slots


def _usual_changes(best: Candidate) -> Iterator[Candidate]:
    # A removal in place of a destroyed socket, and a closed connection in place of a completed handshake: all, then each.
    operations, slots = best
    lines = [line for line in lines_of(operations) if type(operation_at(operations, line)) in (Destroy, Accept)]
    for chosen in (lines, *([line] for line in lines)):
        usual = operations
        for line in chosen:
            change = operation_at(usual, line)
            if type(change) is Destroy:
                usual = with_change(usual, line, Remove(change.name))
            else:
                assert type(change) is Accept
                usual = with_change(usual, line, Close(change.name))
                usual = tuple(_without_request(op, change.name) for op in usual)
        yield usual, slots


def _to_kernel_slots(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for fewer in (SLOTS, *range(1, slots)):
        yield operations, fewer


def _lower_buckets(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    buckets = buckets_in(operations)
    for bucket in buckets:
        for lower in (FIRST, *(Bucket(number, bucket.table) for number in range(bucket.number))):
            yield tuple(rebucketed(op, bucket, lower) for op in operations), slots
    for index, op in enumerate(operations):
        for bucket in buckets:
            yield (*operations[:index], rebucketed(op, None, bucket), *operations[index + 1 :]), slots


def _lower_numbers(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    for index, op in enumerate(operations):
        if type(op) is Read:
            lowered_reads: list[Read] = []
            if op.count is not None:
                lowered_reads += [replace(op, count=fewer) for fewer in range(1, op.count)]
            for inside, at in enumerate(op.at):
                same_point = [a for a in op.at if (a.point, a.nth) == (at.point, at.nth)]
                for nth in range(1, at.nth):
                    lowered_reads.append(replace(op, at=(*op.at[:inside], replace(at, nth=nth), *op.at[inside + 1 :])))
                    if len(same_point) > 1:
                        lowered_reads.append(
                            replace(op, at=tuple(replace(a, nth=nth) if a in same_point else a for a in op.at))
                        )
            for lowered in lowered_reads:
                yield (*operations[:index], lowered, *operations[index + 1 :]), slots


def _tails_for_heads(best: Candidate) -> Iterator[Candidate]:
    # Only if the sequence already has the hazard of the tail.
    operations, slots = best
    opened = operations.index(Open())
    after = {end for op in operations[opened:] for change in changes(op) if type(change) is Add for end in (change.end,)}
    for index, op in enumerate(operations):
        if type(op) is Reinsert or (type(op) is Add and (index < opened or "tail" in after)):
            yield (*operations[:index], replace(op, end="tail"), *operations[index + 1 :]), slots


def _swap_sockets(best: Candidate) -> Iterator[Candidate]:
    # A change is applied to another socket: the same length, but names in order, or one more socket that can be removed.
    operations, slots = best
    opened = operations.index(Open())
    names = _names_to_try(operations)
    for index, op in enumerate(operations[opened:], opened):
        for name in {change.name for change in changes(op) if type(change) is not Add}:
            for substitute in names:
                if substitute != name:
                    yield (*operations[:index], renamed(op, {name: substitute}), *operations[index + 1 :]), slots


def _reorder(best: Candidate) -> Iterator[Candidate]:
    operations, slots = best
    first = operations.index(Open()) if is_crowd(operations) else 0
    for index in range(first, len(operations) - 1):
        swapped = (operations[index + 1], operations[index])
        if Open() not in swapped:
            yield (*operations[:index], *swapped, *operations[index + 2 :]), slots


def _rename(best: Candidate) -> Iterator[Candidate]:
    yield renamed_in_order(best)


def renamed_in_order(candidate: Candidate) -> Candidate:
    """The same with the names A, B, C in the order of their appearance."""
    operations, slots = candidate
    names = {name: name_of(number) for number, name in enumerate(names_in(operations))}
    return tuple(renamed(op, names) for op in operations), slots


def _without_request(op: Operation, name: str) -> Operation:
    match op:
        case Add(name=added) if added == name:
            return replace(op, properties=tuple(word for word in op.properties if word != "request"))
        case Read(at=inside) if inside:
            return replace(op, at=tuple(_at_without_request(at, name) for at in inside))
    return op


def _at_without_request(at: At, name: str) -> At:
    match at.what:
        case Add(name=added, properties=properties) if added == name:
            return replace(at, what=replace(at.what, properties=tuple(word for word in properties if word != "request")))
    return at


PASSES: tuple[Callable[[Candidate], Iterator[Candidate]], ...] = (
    _cut_after,
    _settle_before_open,
    _smallest_message,
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
    _read_plainly,
    _drop_properties,
    _usual_changes,
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


def _bucket_of(buckets: dict[Bucket, list[str]], name: str) -> tuple[Bucket, list[str]]:
    return next((bucket, sockets) for bucket, sockets in buckets.items() if name in sockets)
