"""A table that counts the elements that a walk looks at, and a walk over it.

A bucket is a list: to come to an element, a walk passes those before it. One call of a scheme passes each element of a
bucket at most once, however often its text does. From one call to the next, in the same read, a walk goes on from where it
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sockiter.schemes.scheme import AnyScheme, Done, Show
from sockiter.table import Phase, Socket, Table


class Looks:
    """The counts: of all elements that were looked at, and whether versions or removals were."""

    def __init__(self) -> None:
        self.elements = 0
        self.uses_counts = False
        # In this call: for each bucket, the position up to which it was passed.
        self._passed: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        # In this read: the last bucket, and the position behind the last element taken from it.
        self._at: tuple[int, int] = (-1, 0)

    def call(self, *, begins: bool = False) -> None:
        """Begin a call of the scheme, and of a read."""
        # Whoever asked for a length and took nothing went on to the end of the list.
        for bucket, length in self._lengths.items():
            if bucket not in self._passed:
                before, behind = self._at
                self._count(bucket, behind if before == bucket else 0, length)
        self._passed, self._lengths = {}, {}
        if begins:
            self._at = (-1, 0)

    def take(self, bucket: int, position: int) -> None:
        """An element was taken by its position."""
        before, behind = self._at
        start = behind if before == bucket and position >= behind else 0
        self._count(bucket, start, position + 1)
        self._at = bucket, position + 1

    def pass_over(self, bucket: int, end: int) -> None:
        """All elements up to a position were passed."""
        self._count(bucket, 0, end)

    def ask_length(self, bucket: int, length: int) -> None:
        """The length of a bucket was asked for."""
        self._lengths[bucket] = length

    def _count(self, bucket: int, start: int, end: int) -> None:
        start = max(start, self._passed.get(bucket, 0))
        if end > start:
            self.elements += end - start
            self._passed[bucket] = end


class CountedBucket(tuple[Socket, ...]):
    """A bucket that counts."""

    looks: Looks
    number: int

    def __bool__(self) -> bool:
        return super().__len__() > 0

    def __len__(self) -> int:
        self.looks.ask_length(self.number, super().__len__())
        return super().__len__()

    def __iter__(self) -> Iterator[Socket]:
        self.looks.pass_over(self.number, super().__len__())
        return super().__iter__()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            self.looks.pass_over(self.number, super().__len__() if key.stop is None else min(key.stop, super().__len__()))
        else:
            self.looks.take(self.number, key)
        return super().__getitem__(key)


class CountedTable(Table):
    """A table that counts, without an index by name."""

    looks: Looks

    @property
    def ver(self) -> int:
        self.looks.uses_counts = True
        return super().ver

    @property
    def removals(self) -> tuple[int, ...]:
        self.looks.uses_counts = True
        return super().removals

    def now(self, socket: Socket) -> Socket:
        # A walk has a reference to the element.
        return socket


def counted(elements: int, buckets: int, *, scrambled: bool = False) -> CountedTable:
    """So many elements, spread evenly over some buckets; `scrambled`: with indexes in no order."""
    looks = Looks()
    made = []
    for number in range(buckets):
        bucket = CountedBucket(
            Socket(f"{nth:06}", nth * 7919 % 1009 if scrambled else nth + 1) for nth in range(number, elements, buckets)
        )
        bucket.looks, bucket.number = looks, number
        made.append(bucket)
    table = CountedTable(tuple(made), elements, (0,) * buckets, (Phase("", 0, buckets),))
    table.looks = looks
    return table


class Walked(NamedTuple):
    """The elements that a whole walk looked at, the most of one read, the final slots, and what the iterator used."""

    shown: int
    looked_at: int
    most: int
    holds_references: bool
    uses_counts: bool


def walked(
    scheme: AnyScheme, elements: int, buckets: int, records: int, slots: int = 16, *, scrambled: bool = False
) -> Walked:
    """A whole walk in reads of so many records, without changes."""
    table = counted(elements, buckets, scrambled=scrambled)
    looks = table.looks
    state = scheme.open(slots, table)
    shown = most = 0
    holds = False
    while True:
        before, in_read = looks.elements, 0
        looks.call(begins=True)
        step = scheme.begin(state, table)
        while not isinstance(step, Done):
            granted = True
            if isinstance(step.waits_for, Show):
                granted = in_read < records
                in_read += granted
            looks.call()
            step = scheme.resume(step, granted, table)
        looks.call()
        state = step.state
        shown += in_read
        most = max(most, looks.elements - before)
        holds = holds or _has_socket(state)
        if not in_read:
            return Walked(shown, looks.elements, most, holds, looks.uses_counts)


def _has_socket(value: Any) -> bool:
    return isinstance(value, Socket) or (isinstance(value, tuple) and any(map(_has_socket, value)))
