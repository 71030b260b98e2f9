"""Random sequences in which sockets are closed, accepted and destroyed, for comparisons of a kernel with a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal, TypeAlias

from sockiter.operations import (
    LISTENING,
    Accept,
    Add,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    End,
    Impossible,
    Open,
    Operation,
    Property,
    Read,
    Rehash,
    Reinsert,
    Remove,
    check,
    has_tail,
)

Kind: TypeAlias = Literal["add", "close", "accept", "destroy", "remove", "reinsert", "rehash"]

CONNECTIONS: tuple[Kind, ...] = (
    "add",
    "add",
    "close",
    "close",
    "accept",
    "accept",
    "destroy",
    "remove",
    "reinsert",
    "rehash",
)
DATAGRAMS: tuple[Kind, ...] = ("add", "destroy", "destroy", "remove", "reinsert", "rehash", "rehash")


def lives(
    seed: int, buckets: Sequence[Bucket], kinds: Sequence[Kind], special: Property, *, inside: bool = False
) -> Iterator[tuple[Operation, ...]]:
    """Sequences that `operations.check` accepts, without end.

    `special`: the property of every second socket, except of listening ones. With `inside`, some changes are at shows.
    """
    random = Random(seed)
    while True:
        yield _Sequence(random, buckets, kinds, special, inside).drawn()


ENDS: tuple[End, ...] = ("head", "tail")


class _Sequence:
    def __init__(
        self, random: Random, buckets: Sequence[Bucket], kinds: Sequence[Kind], special: Property, inside: bool
    ) -> None:
        self._random = random
        self._buckets = buckets
        self._kinds = kinds
        self._special = special
        self._inside = inside
        self._operations: list[Operation] = []
        self._names = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        self._connections: list[str] = []
        self._others: list[str] = []

    def drawn(self) -> tuple[Operation, ...]:
        random = self._random
        for _ in range(random.randrange(2, 7)):
            self._extend(self._change())
        self._extend(Open())
        for _ in range(random.randrange(2, 9)):
            if random.random() < 0.4:
                self._extend(Read(random.randrange(1, 4)))
            elif self._inside and random.random() < 0.5:
                at = At("show", random.randrange(1, 4), self._change())
                self._extend(Read(random.choice((1, 2, 3, None)), (at,)))
            else:
                self._extend(self._change())
        self._extend(Read(None))
        return tuple(self._operations)

    def _extend(self, operation: Operation) -> None:
        # Without operations that are not possible here.
        is_open = Open() in self._operations or operation == Open()
        try:
            check([*self._operations, operation, *([] if is_open else [Open()])])
        except Impossible:
            return
        self._operations.append(operation)

    def _change(self) -> Change:
        random = self._random
        kind = random.choice(self._kinds)
        names = self._connections if kind in ("close", "accept") else [*self._connections, *self._others]
        if kind == "add" or not names:
            return self._add(random.choice(self._buckets))
        name = random.choice(names)
        match kind:
            case "close":
                return Close(name)
            case "accept":
                return Accept(name)
            case "destroy":
                return Destroy(name)
            case "remove":
                return Remove(name)
            case "reinsert":
                return Reinsert(name, "head")
            case _:
                # A connection that becomes a listening socket could not be closed.
                is_listening = name in self._others and any(bucket.table for bucket in self._buckets)
                return Rehash(name, random.choice([b for b in self._buckets if (b.table == LISTENING) == is_listening]))

    def _add(self, bucket: Bucket) -> Add:
        random = self._random
        name = next(self._names)
        (self._others if bucket.table == LISTENING else self._connections).append(name)
        is_special = bucket.table != LISTENING and random.random() < 0.5
        end: End = random.choice(ENDS) if has_tail(bucket.table) else "head"
        return Add(name, end, bucket, (self._special,) if is_special else ())
