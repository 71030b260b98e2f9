"""Shrinking: what every result is like, over many seeds; that it is as short as can be; and each step by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import pytest

from sockiter import simplify
from sockiter.backend import SLOTS, Target, run
from sockiter.cases import loads, spell
from sockiter.claims import Harm, Hazard, hazards_of
from sockiter.minimize import minimize
from sockiter.operations import (
    Add,
    At,
    Bucket,
    Change,
    End,
    Fail,
    Open,
    Operation,
    Point,
    Read,
    Rehash,
    Reinsert,
    Remove,
    changes,
    check,
    length,
    possible,
)
from sockiter.oracle import judge
from sockiter.simplify import Candidate, name_of, names_in
from sockiter.swarm import Swarm
from sockiter.targets import SCHEME_TARGETS, target_named
from sockiter.verdict import Kind

Operations = tuple[Operation, ...]
Fails = Callable[[Operations, int], bool]

SEEDS = 50


def ops(text: str) -> Operations:
    """Operations from their lines, with bars between."""
    lines = [line.strip() for line in text.split("|")]
    return loads("\n".join(f" {line}" if line.startswith("at ") else line for line in lines)).operations


def text(operations: Operations) -> str:
    """The same the other way round, for whatever a step proposes."""
    return " | ".join(line.strip() for op in operations for line in spell(op))


def failing(target: Target, kind: Kind, moved: bool = False) -> Fails:
    """Whether a socket is harmed in that way."""

    def fails(operations: Operations, slots: int) -> bool:
        with target.session() as session:
            verdict = judge(run(session, target, operations, slots=slots))
        return any((finding.kind, finding.moved) == (kind, moved) for finding in verdict)

    return fails


# What every result is like


def findings(target: Target, seed: int) -> Iterator[tuple[Operations, int, Fails]]:
    """The first sequence for each kind of harm among the first 150 with everything switched on now and then."""
    swarm = Swarm(seed, target.hazards)
    met: set[tuple[Kind, bool]] = set()
    with target.session() as session:
        for _ in range(150):
            operations, slots = swarm.sequence()
            for finding in judge(run(session, target, operations, slots=slots)):
                if finding.kind in ("skip", "repeat") and (finding.kind, finding.moved) not in met:
                    met.add((finding.kind, finding.moved))
                    yield operations, slots, failing(target, finding.kind, finding.moved)


def without_line(operations: Operations, line: int) -> Operations:
    """The sequence without one of its lines, mended and read to its end; the same where it is `open` or that end."""
    above = 0
    for index, op in enumerate(operations):
        inside = line - above - 1
        above += length((op,))
        if line < above and type(op) is not Open:
            at = op.at[:inside] + op.at[inside + 1 :] if type(op) is Read else ()
            less = (replace(op, at=at),) if type(op) is Read and inside >= 0 else ()
            rest = possible((*operations[:index], *less, *operations[index + 1 :]))
            return rest if type(last := rest[-1]) is Read and last.count is None else (*rest, Read(None))
    return operations


@pytest.mark.parametrize("target", SCHEME_TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("seed", range(12))
def test_a_result_is_least_possible_plain_and_reached_without_asking_twice(target: Target, seed: int) -> None:
    for operations, slots, fails in findings(target, seed):
        asked: list[Candidate] = []

        def ask(candidate: Operations, slots: int, asked: list[Candidate] = asked, fails: Fails = fails) -> bool:
            check(candidate)
            asked.append((candidate, slots))
            return fails(candidate, slots)

        least, least_slots = minimize(operations, slots, ask)

        assert len(asked) == len(set(asked))
        assert (least, least_slots) in asked
        assert fails(least, least_slots)
        assert least[-1] == Read(None, least[-1].at if type(least[-1]) is Read else ())
        assert length(least) <= length(operations)
        assert hazards_of(least) <= hazards_of(operations)
        assert names_in(least) == [name_of(number) for number in range(len(names_in(least)))]
        for line in range(length(least)):
            shorter = without_line(least, line)
            assert shorter == least or not fails(shorter, least_slots)
        assert minimize(least, least_slots, fails) == (least, least_slots)


def test_every_kind_of_harm_was_among_those_that_were_shrunk() -> None:
    for target in SCHEME_TARGETS:
        with target.session() as session:
            kinds = {
                (finding.kind, finding.moved)
                for seed in range(12)
                for operations, slots, _ in findings(target, seed)
                for finding in judge(run(session, target, operations, slots=slots))
            }
        assert kinds == {("skip", False), ("skip", True), ("repeat", False), ("repeat", True)}


def test_a_sequence_that_does_not_fail_comes_back_as_it_is() -> None:
    operations = ops("add B head | open | read 1")
    asked = []

    def never(candidate: Operations, slots: int) -> bool:
        asked.append((text(candidate), slots))
        return False

    assert minimize(list(operations), 3, never) == (operations, 3)
    assert asked == [("add B head | open | read 1 | read all", 3)]


def test_a_sequence_that_fails_only_as_long_as_it_is_not_read_to_its_end_comes_back_as_it_is() -> None:
    operations = ops("add B head | open | read 1")

    assert minimize(operations, 4, lambda candidate, slots: candidate == operations) == (operations, 4)


def test_no_operations_at_all_come_back_and_nobody_is_asked() -> None:
    assert minimize((), SLOTS, lambda candidate, slots: pytest.fail("asked")) == ((), SLOTS)


def test_what_always_fails_ends_as_an_iterator_over_nothing() -> None:
    operations = ops("add A head in 2 | open | read 2 |at show 1: rehash A to 1|at realloc 2: fail | reinsert A head")

    assert minimize(operations, 2, lambda candidate, slots: True) == (ops("open | read all"), SLOTS)


def test_a_second_table_costs_more_than_a_first_one() -> None:
    operations = ops("add A tail in established:1 | add B tail | open | rehash B to established:0 | read all")

    def fails(candidate: Operations, slots: int) -> bool:
        return any(type(op) is Rehash for op in candidate)

    least, _ = minimize(operations, SLOTS, fails)

    assert text(least) == "add A tail | open | rehash A to 0 | read all"


# As short as can be


def moves(hazards: frozenset[Hazard], present: tuple[str, ...], added: int, buckets: int) -> Iterator[Change]:
    """Every change that is allowed."""
    ends: list[End] = [end for end in ("head", "tail") if f"add-{end}" in hazards]
    for end in ends:
        yield from (Add(name_of(added), end, Bucket(number)) for number in range(buckets))
    for name in present:
        if "remove" in hazards:
            yield Remove(name)
        if "reinsert" in hazards:
            yield from (Reinsert(name, "head"), Reinsert(name, "tail"))
        if "rehash" in hazards:
            yield from (Rehash(name, Bucket(number)) for number in range(buckets))


def after(change: Change, present: tuple[str, ...], added: int) -> tuple[tuple[str, ...], int]:
    """The sockets that there are, and how many there have been, after a change."""
    match change:
        case Add(name):
            return (*present, name), added + 1
        case Remove(name):
            return tuple(other for other in present if other != name), added
        case _:
            return present, added


Inside = tuple[tuple[At, ...], tuple[str, ...], int]


def insides(hazards: frozenset[Hazard], lines: int, present: tuple[str, ...], added: int, buckets: int) -> Iterator[Inside]:
    """So many lines inside a read, and what is left afterwards."""
    if lines == 0:
        yield (), present, added
        return
    for nth in (1, 2):
        if "enomem" in hazards:
            for rest, left, seen in insides(hazards, lines - 1, present, added, buckets):
                yield (At("realloc", nth, Fail()), *rest), left, seen
        points: list[Point] = [point for point in ("show", "realloc") if point in hazards]
        for point in points:
            for change in moves(hazards, present, added, buckets):
                for rest, left, seen in insides(hazards, lines - 1, *after(change, present, added), buckets):
                    yield (At(point, nth, change), *rest), left, seen


def endings(
    hazards: frozenset[Hazard], lines: int, present: tuple[str, ...], added: int, buckets: int
) -> Iterator[Operations]:
    """What can be done behind `open` in so many lines and one more, `read all`."""
    for at, _, _ in insides(hazards, lines, present, added, buckets):
        yield (Read(None, at),)
    if lines:
        for change in moves(hazards, present, added, buckets):
            for rest in endings(hazards, lines - 1, *after(change, present, added), buckets):
                yield (change, *rest)
        for inside in range(lines):
            for at, left, seen in insides(hazards, inside, present, added, buckets):
                for rest in endings(hazards, lines - 1 - inside, left, seen, buckets):
                    yield from ((Read(1, at), *rest), (Read(2, at), *rest))


def tables(sockets: int, buckets: int) -> Iterator[Operations]:
    """Every table of so many sockets, but for their names."""
    for first in range(sockets, -1, -1) if buckets == 2 else [sockets]:
        yield tuple(Add(name_of(number), "tail", Bucket(int(number >= first))) for number in range(sockets))


def shortest(target: Target, harm: Harm) -> int:
    """The least length at which this harm can be done, by trying out everything that is shorter."""
    fails = failing(target, harm.kind, harm.moved)
    buckets = 2 if "rehash" in harm.hazards else 1
    for total in range(2, 8):
        for sockets in range(min(3, total - 2), -1, -1):
            # Batches are all alike that have room for every socket.
            batches = [*range(1, sockets), SLOTS]
            present = tuple(name_of(number) for number in range(sockets))
            for ending in endings(harm.hazards, total - 2 - sockets, present, sockets, buckets):
                if hazards_of((Open(), *ending)) == harm.hazards:
                    for table in tables(sockets, buckets):
                        if any(fails((*table, Open(), *ending), slots) for slots in batches):
                            return total
    raise AssertionError(f"no {harm} in up to 7 lines")


def minimized(target: Target, harm: Harm, seed: int) -> int:
    """The length of the case that comes of the first harm of this kind that a swarm meets."""
    swarm = Swarm(seed, harm.hazards)
    swarm.aims = [harm.hazards]
    fails = failing(target, harm.kind, harm.moved)
    while True:
        operations, slots = swarm.sequence()
        if hazards_of(operations) == harm.hazards and fails(operations, slots):
            return length(minimize(operations, slots, fails)[0])


@pytest.mark.parametrize(
    ("target", "harm"),
    [
        pytest.param(target, harm, id=f"{target.name}: {harm}")
        for target in SCHEME_TARGETS
        for harm in target.harms
    ],
)
def test_of_all_that_are_minimized_nineteen_in_twenty_are_as_short_as_can_be(target: Target, harm: Harm) -> None:
    least = shortest(target, harm)
    lengths = [minimized(target, harm, seed) for seed in range(SEEDS)]

    print(f"\n{target.name}: {harm}: {least}, {median(lengths)}, {max(lengths)}, {lengths.count(least) / SEEDS:.0%}")
    assert min(lengths) == median(lengths) == least
    assert lengths.count(least) >= 0.95 * SEEDS


@pytest.mark.parametrize(("kind", "hazard"), [("skip", "remove"), ("repeat", "add-head")])
def test_the_skip_and_the_repeat_of_the_rfc_take_six_operations(kind: Kind, hazard: Hazard) -> None:
    assert shortest(target_named("offset-udp"), Harm(kind, frozenset({hazard}))) == 6
