"""The sequences per second of a C program, the physical limit of driving the kernel, beside those of `swarm`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from sockiter.backend import run
from sockiter.cases import Case
from sockiter.claims import Hazard
from sockiter.export.source import c_program
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.kernel.target import KernelSession
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.operations import Add, Bucket, Open, Operation, Read, Rehash, Reinsert, Remove, changes
from sockiter.oracle import judge
from tests.benchmarks.conftest import Ratio
from tests.support.programs import compiled, compilers

HAZARDS: frozenset[Hazard] = frozenset({"add-head", "add-tail", "remove", "reinsert", "rehash"})
SEQUENCES = 300


def drawn() -> list[tuple[Operation, ...]]:
    """The first sequences of `swarm`, without stops inside a read and with ordinary reads."""
    swarm = Swarm("1", HAZARDS, replace(Room.of(KERNEL_UDP), features=frozenset()))
    return [swarm.sequence()[0] for _ in range(SEQUENCES)]


def everything(sequences: Sequence[tuple[Operation, ...]]) -> Case:
    """A case that needs all parts of a program that any of the sequences needs."""
    used = [change for operations in sequences for op in operations for change in changes(op)]
    names = list(dict.fromkeys(change.name for change in used if isinstance(change, Add)))
    buckets = 1 + max(change.bucket.number for change in used if isinstance(change, (Add, Rehash)))
    adds = [Add(name, "head", Bucket(nth % buckets)) for nth, name in enumerate(names)]
    moves = [
        Rehash(names[home], Bucket(bucket)) for home in range(buckets) for bucket in (*range(buckets), home) if buckets > 1
    ]
    rest = (Reinsert(names[0], "tail"), Remove(names[-1]), Read(1), Read(None, gives_up=True), Read(None))
    return Case((*adds, Open(), *moves, *rest))


def call(operation: Operation, numbers: dict[str, int]) -> str:
    match operation:
        case Add(name, end, bucket):
            return f"add(socks[{numbers[name]}], {end.upper()}, {bucket.number});"
        case Reinsert(name, end):
            return f"reinsert(socks[{numbers[name]}], {end.upper()});"
        case Rehash(name, bucket):
            return f"rehash(socks[{numbers[name]}], {bucket.number});"
        case Remove(name):
            return f"remove_sock(socks[{numbers[name]}]);"
        case Read(None, gives_up=True):
            return "read_until_error();"
        case Read(None):
            return "read_all();"
        case Read(count):
            return f"read_once(RECORDS({count}));"
    return "open_first();"


def arranged(operations: Sequence[Operation]) -> Iterator[Operation]:
    """The operations, with a table at open that is put in as a session does: each socket at the head."""
    opened = operations.index(Open())
    order: dict[Bucket, list[Add]] = {}
    for add in operations[:opened]:
        assert isinstance(add, Add)
        bucket = order.setdefault(add.bucket, [])
        bucket.insert(0 if add.end == "head" else len(bucket), add)
    for bucket in order.values():
        yield from (replace(add, end="head") for add in reversed(bucket))
    yield from operations[opened:]


def loop(sequences: Sequence[tuple[Operation, ...]]) -> str:
    """A program that carries out all sequences by turns, and prints how many it makes in a second."""
    case = everything(sequences)
    source = c_program(case, KERNEL_UDP, "loop")
    numbers = {change.name: nth for nth, change in enumerate(op for op in case.operations if isinstance(op, Add))}
    before, _, rest = source.partition("static void run_case(void)\n")
    functions = [
        f"static void run_{nth}(void)\n{{\n" + "".join(f"\t{call(op, numbers)}\n" for op in arranged(operations)) + "}\n"
        for nth, operations in enumerate(sequences)
    ]
    assert "int main(void)" in rest
    return (
        before.replace("#include <errno.h>\n", "#include <errno.h>\n#include <time.h>\n")
        + "\n".join(functions)
        + """
static void start_again(void)
{
	close(walk);
	for (size_t i = 0; i < NR_SOCKS; i++) {
		if (socks[i]->is_present)
			left(socks[i]);
		socks[i]->id = socks[i]->delivered = socks[i]->is_skipped = socks[i]->is_stale = 0;
	}
	has_ended = false;
}

int main(void)
{
	static void (*const all[])(void) = { """
        + ", ".join(f"run_{nth}" for nth in range(len(sequences)))
        + """ };
	size_t n = sizeof(all) / sizeof(all[0]);
	struct timespec begun, now;

	prepare();
	for (int round = 0; round < 5; round++) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
		for (size_t i = 0; i < n; i++) {
			all[i]();
			judge();
			start_again();
		}
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
		fprintf(stderr, "%.0f\\n", n / (now.tv_sec - begun.tv_sec + (now.tv_nsec - begun.tv_nsec) / 1e9));
	}
	return 0;
}
"""
    )


def by_swarm(session: KernelSession) -> float:
    """The sequences in a second of processor time that `swarm` draws, carries out and judges."""
    swarm = Swarm("1", HAZARDS, replace(Room.of(KERNEL_UDP), features=frozenset()))
    begun = time.process_time()
    for _ in range(SEQUENCES):
        operations, slots = swarm.sequence()
        judge(run(session, KERNEL_UDP, operations, slots=slots))
    return SEQUENCES / (time.process_time() - begun)


def in_c(program: Path) -> float:
    """The sequences in a second of processor time that the program carries out and judges."""
    done = subprocess.run([str(program)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return median(map(float, done.stderr.split()))


def test_known_swarm_makes_a_small_part_of_the_sequences_of_a_c_program(ratio: Ratio, tmp_path: Path) -> None:
    # Half is the goal. Most of the time of `swarm` is Python's: drawing, checking, the history, the verdict.
    if lack := KERNEL_UDP.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    program = compiled(loop(drawn()), tmp_path / "loop", compiler=compilers()[0])
    with KERNEL_UDP.session() as session:
        by_swarm(session)  # learns the places of sockets
        what = "sequences a second on kernel:udp, swarm against a C program"
        assert ratio(what, lambda: by_swarm(session), lambda: in_c(program), 0.05) >= 0.05
