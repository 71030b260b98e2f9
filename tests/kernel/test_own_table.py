"""Models that walk the kernel's own table: it is read after every operation, and only the reads are compared.

So a scheme is checked also under operations of which no model knows where they put a socket.
"""

from __future__ import annotations

import pytest

from sockiter.backend import shape_of
from sockiter.conform import in_tables_of
from sockiter.errors import Inconclusive
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.operations import Add, Again, Bucket, Open, Operation, Read
from sockiter.schemes import SCHEMES
from sockiter.simulation import Simulation
from sockiter.table import Socket
from tests.support.kernel_targets import here

# A table that resizes has no order of its own from one walk to the next.
RESIZED = ("kernel:netlink", "kernel:netlink-diag", "kernel:proc-netlink")
WALKS = [pytest.param(target, id=target.name) for target in KERNEL_TARGETS if target.schemes and target.name not in RESIZED]
# Inside a read, the table cannot be read.
INSIDE = frozenset({"show", "between", "realloc", "enomem"})


class Follower:
    """A model whose table is the kernel's: it reads, and carries out no change."""

    def __init__(self, target: KernelTarget, operations: tuple[Operation, ...], slots: int, records_max: int) -> None:
        scheme = next(scheme for scheme in SCHEMES if scheme.name == target.detected_scheme)
        own = tuple(in_tables_of(operations, target.tables[0], scheme.tables[0]))
        self.model = Simulation(scheme, shape_of(own, slots=slots), records_max=records_max)
        phases = shape_of(operations, slots=slots).phases(target.tables)
        buckets = [Bucket(number, table) for table, count in phases for number in range(count)]
        self.positions = [self.model.table.number(bucket) for bucket in buckets]

    def follow(self, operation: Operation, state: tuple[tuple[str, ...], ...] | None) -> None:
        """Read if the operation does, and then take over the kernel's table."""
        if isinstance(operation, (Open, Read, Again)):
            self.model.apply(operation)
        elif isinstance(operation, Add) and operation.properties:
            self.model._note(operation)
        if state is None:
            raise Inconclusive("a walk does not return all sockets")
        table = self.model.table
        buckets: list[tuple[Socket, ...]] = [()] * len(table.buckets)
        for position, names in zip(self.positions, state, strict=True):
            buckets[position] = tuple(Socket(name, 0) for name in names)
        self.model.table = table._replace(buckets=tuple(buckets))


def compared(target: KernelTarget, session: KernelSession, sequences: int) -> int:
    """The number of reads, all of which delivered the same; a sequence that this kernel cannot carry out is left out."""
    swarm = Swarm("own-table", target.hazards - INSIDE, Room.of(target))
    reads = 0
    for _ in range(sequences):
        operations, slots = swarm.sequence()
        follower = Follower(target, operations, slots, target.message_of(slots) or session.records_max())
        try:
            backend = session.begin(shape_of(operations, slots=slots))
            for operation in operations:
                backend.apply(operation)
                follower.follow(operation, backend.state())
        except Inconclusive:
            continue
        assert follower.model.history.reads == backend.history.reads, operations
        reads += len(backend.history.reads)
    return reads


@pytest.mark.unmeasured
@pytest.mark.parametrize("target", WALKS)
def test_a_model_reads_the_kernels_own_table_as_the_kernel_does(target: KernelTarget) -> None:
    with here(target).session() as session:
        assert compared(target, session, 12) > 12


@pytest.mark.slow
@pytest.mark.parametrize("target", WALKS)
def test_it_does_so_in_thousands_of_reads(target: KernelTarget) -> None:
    with here(target).session() as session:
        assert compared(target, session, 1_000) > 4_000
