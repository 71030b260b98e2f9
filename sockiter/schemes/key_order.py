"""`key-order` and `key-home`: the place is a bucket and the key of the element shown last in it.

No kernel uses it. A key is anything that is unique among the living elements and never changes while an element lives: a
socket's address in memory, or its cookie. A look at a bucket takes the least keys above the remembered one, as many as the
batch has slots. So the batch never grows, nothing is allocated, and no field of an element is read but its key. The order of
a bucket's list does not matter, so nothing that enters, leaves, or is inserted again can shift the place. A later element
may have the key of a removed one, as a new socket may have the address of an old one: such an element is owed to nobody.

Of a model, the key of an element is its name, and keys are compared as text. `has_keys` says so. A case chooses the names,
so it chooses the order of the keys. A search gives each new element a key anywhere in the order of the other keys: below
all, above all, or between any two keys that the table has or the iterator remembers. So keys are in any order, whatever
the order of insertion and of the list is. A fuzzer draws the names in any order too.

`key-home` is the same over a table whose hash never changes, such as the table of UDP sockets by port. `connect` changes the
address, and so it moves a socket in the table by address and port (udp_lib_rehash of net/ipv4/udp.c). The table by port
stays as it is. The model is of the table by port, and `has_fixed_hash` says so: a `rehash` is a move of the element, but
not in the walked table. A socket that gives up its port leaves the table by port, which is a `remove`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple, TypeAlias

from sockiter.claims import KnownFailure, known_failure
from sockiter.schemes.costs import Costs
from sockiter.schemes.scheme import ANY_HAZARD, BETWEEN, ONE_TABLE, SUCCESSIONS, Between, Done, Show, Where
from sockiter.table import Socket, Table

Key: TypeAlias = str | None
"""None: no element of the bucket was shown yet."""


class State(NamedTuple):
    """`key`: of the element of `bucket` that was shown last. `slots`: the size of the batch."""

    bucket: int
    key: Key
    slots: int


class Looking(NamedTuple):
    """`bucket` is about to be locked, to take the least keys above `key`."""

    bucket: int
    key: Key
    slots: int

    @property
    def waits_for(self) -> Between:
        return BETWEEN


class Showing(NamedTuple):
    """`batch[0]` is about to be shown, and `key` is the key before it. `is_whole`: the batch had all keys above that."""

    bucket: int
    key: Key
    slots: int
    batch: tuple[Socket, ...]
    is_whole: bool

    @property
    def waits_for(self) -> Show:
        return Show(self.batch[0])


Step: TypeAlias = Looking | Showing | Done[State]


class KeyOrder:
    """Claims: exactly once for every element that stays in its bucket, also if it is inserted again there; no stale element,
    always an end, no error. An element that moves to another bucket may be skipped or repeated. A successor has the key of
    its predecessor; it is skipped only if it enters while the batch holds the predecessor."""

    name = "key-order"
    summary = "bucket and key of the element shown last in it, with the least keys above that as the next batch"
    progress = "Bucket Key"
    costs = Costs(iterator=16, slot=8)
    hazards = (ANY_HAZARD | SUCCESSIONS) - {"realloc", "enomem"}
    tables = ONE_TABLE
    has_keys = True
    known_failures: tuple[KnownFailure, ...] = (
        known_failure("skip", "rehash", moved=True),
        known_failure("skip", "close", "show", moved=True),
        known_failure("repeat", "rehash", moved=True),
    )

    def open(self, slots: int, table: Table) -> State:
        return State(0, None, slots)

    def begin(self, state: State, table: Table) -> Step:
        return self._onwards(*state, table)

    def resume(self, waiting: Looking | Showing, granted: bool, table: Table) -> Step:
        if isinstance(waiting, Looking):
            return self._look(*waiting, table)
        bucket, key, slots, batch, is_whole = waiting
        if not granted:
            return Done(State(bucket, key, slots))
        key = batch[0].name
        if len(batch) > 1:
            return Showing(bucket, key, slots, batch[1:], is_whole)
        return self._onwards(bucket + 1, None, slots, table) if is_whole else self._onwards(bucket, key, slots, table)

    def _onwards(self, bucket: int, key: Key, slots: int, table: Table) -> Looking | Done[State]:
        filled = table.first_filled(bucket)
        if filled < len(table.buckets):
            return Looking(filled, key if filled == bucket else None, slots)
        return Done(State(filled, None, slots))

    def _look(self, bucket: int, key: Key, slots: int, table: Table) -> Step:
        above = [element for element in table.buckets[bucket] if key is None or element.name > key]
        if above:
            # Elements are sorted by key.
            return Showing(bucket, key, slots, tuple(sorted(above)[:slots]), len(above) <= slots)
        return self._onwards(bucket + 1, None, slots, table)

    def canonical(self, at: State | Looking | Showing | None, table: Table, where: Where) -> Hashable:
        # Keys are only compared. So their order matters, and not the keys themselves.
        batch = at.batch if isinstance(at, Showing) else ()
        remembered = at.key if at else None
        ranks = _ranks([*where, *(name for name, _ in batch), *([] if remembered is None else [remembered])])
        keys = tuple([ranks[name] for name in where])
        if at is None:
            return keys
        key = None if remembered is None else ranks[remembered]
        shown = tuple([(where.position(element), ranks[element.name]) for element in batch])
        return keys, at.bucket, key, where.slots(at.slots), shown, isinstance(at, Showing) and at.is_whole

    def place(self, state: State) -> str:
        return f"{state.bucket}:{state.key or '-'}"


class KeyHome(KeyOrder):
    """Claims: exactly once for every element, also for those that move; no stale element, always an end, no error."""

    name = "key-home"
    summary = "as key-order, over a table whose hash never changes, such as UDP's table by port"
    hazards = KeyOrder.hazards - SUCCESSIONS
    known_failures = ()
    has_fixed_hash = True


def _ranks(keys: Iterable[str]) -> dict[str, int]:
    return {key: rank for rank, key in enumerate(sorted(set(keys)))}
