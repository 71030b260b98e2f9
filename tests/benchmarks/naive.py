"""The state machine of an ordinary Hypothesis user on the same simulation: the baseline of the benchmarks.

It has a Bundle of sockets, a rule for each operation, a draw for each argument, and judges at teardown. Hypothesis generates
and shrinks the examples.
"""

from __future__ import annotations

from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule

from sockiter.backend import Shape
from sockiter.operations import Add, Bucket, Open, Operation, Read, Remove
from sockiter.oracle import judge
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Kind

BUCKETS = st.sampled_from([Bucket(0), Bucket(1), Bucket(2)])


class NaiveViolation(AssertionError):
    """A violation on the naive machine; carries the operations."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        super().__init__("violated")
        self.operations = operations


class NaiveMachine(RuleBasedStateMachine):
    """Sockets come and go while an iterator is read; a violation of the kind that is sought fails the run."""

    target: ClassVar[SchemeTarget]
    seeks: ClassVar[Kind | None] = None
    sequences: ClassVar[int] = 0
    applied: ClassVar[int] = 0

    sockets = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.backend = self.target.begin(Shape((("", 3),)))
        self.operations: list[Operation] = []
        self.added = 0
        self.opened = False

    def apply(self, operation: Operation) -> None:
        self.operations.append(operation)
        self.backend.apply(operation)

    @rule(target=sockets, bucket=BUCKETS)
    def add_head(self, bucket: Bucket) -> str:
        name = f"S{self.added}"
        self.added += 1
        self.apply(Add(name, "head", bucket))
        return name

    @rule(target=sockets, bucket=BUCKETS)
    def add_tail(self, bucket: Bucket) -> str:
        name = f"S{self.added}"
        self.added += 1
        self.apply(Add(name, "tail", bucket))
        return name

    @rule(name=consumes(sockets))
    def remove(self, name: str) -> None:
        self.apply(Remove(name))

    @precondition(lambda self: not self.opened)
    @rule()
    def open(self) -> None:
        self.opened = True
        self.apply(Open())

    @precondition(lambda self: self.opened)
    @rule(count=st.integers(1, 4))
    def read(self, count: int) -> None:
        self.apply(Read(count))

    def teardown(self) -> None:
        if not self.opened:
            self.open()
        self.apply(Read(None))
        type(self).sequences += 1
        type(self).applied += len(self.operations)
        verdict = judge(self.backend.history)
        self.backend.close()
        if any(finding.kind == self.seeks for finding in verdict):
            raise NaiveViolation(tuple(self.operations))


def naive_machine(target: SchemeTarget, seeks: Kind | None = None) -> type[NaiveMachine]:
    """The machine on a target; None: it runs, and judges, and nothing fails."""
    return type("Naive", (NaiveMachine,), {"target": target, "seeks": seeks})
