"""The fast driver: whole sequences from a seeded plain loop, each with a random subset of the hazards switched off.

Decided here: how sequences are drawn. A sequence with all hazards rarely shows the effect of a single hazard. With a
random subset switched off, every hazard is alone in some sequences (swarm testing). Not known here: the effects of a
sequence, its deliveries, and the target, except for its `Room`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from random import Random

from sockiter.claims import CHANGES, HAZARD_OF, HAZARDS, Hazard
from sockiter.fuzzing.limits import Room
from sockiter.operations import (
    Add,
    At,
    Bucket,
    Change,
    Fail,
    Open,
    Operation,
    Point,
    Read,
    Rehash,
    Reinsert,
    Remove,
    has_tail,
)
from sockiter.shrink.edits import name_of

NAMES = tuple(name_of(number) for number in range(128))
UNLIMITED = 1_000_000

_OPEN = Open()
_READ = tuple(Read(number) for number in range(1, 5))
_READ_ALL = Read(None)
_GIVE_UP = Read(None, gives_up=True)
_FAIL = Fail()
# Drawn operations come from these tables. Making an operation costs more than the rest of its drawing.
_REMOVE = tuple(Remove(name) for name in NAMES)
_REINSERT_HEAD = tuple(Reinsert(name, "head") for name in NAMES)
_REINSERT_TAIL = tuple(Reinsert(name, "tail") for name in NAMES)

_POINT_OF: dict[Hazard, Point] = {hazard: point for point, hazard in HAZARD_OF.items()}
_INSIDE: frozenset[Hazard] = frozenset({*_POINT_OF, "enomem"})


class Swarm:
    """Draws sequences that `operations.check` accepts, each with an open, and with a last read to the end or to an error.

    The same seed, hazards, room and aims give the same sequences, for every Python version and hash seed. If there are
    `aims`, half of the sequences use only the hazards of one of them: a failure that no case has shown yet is worth an
    aim.
    """

    def __init__(self, seed: int | str, hazards: Iterable[Hazard], room: Room | None = None) -> None:
        room = room or Room()
        self.aims: list[frozenset[Hazard]] = []
        self._random = Random(seed)
        self._hazards = [hazard for hazard in HAZARDS if hazard in set(hazards)]
        self._slots = room.slots_drawn
        self._insertions = UNLIMITED if room.insertions is None else room.insertions
        self._places = [_Places(room.buckets[: 1 + number], room.has_tail) for number in range(len(room.buckets))]
        # Mostly one bucket of one table; more for several tables, and for moves between buckets.
        self._more = 0.73 * len(room.buckets)
        self._crowding = 3 if len(room.tables) == 1 else 1.5

    def sequence(self) -> tuple[tuple[Operation, ...], int]:
        """The next sequence, and its slots at open."""
        chance = self._random.random
        if self.aims and chance() < 0.5:
            aim = self.aims[int(chance() * len(self.aims))]
            on = [hazard for hazard in self._hazards if hazard in aim]
        else:
            switches = self._random.getrandbits(len(self._hazards) or 1)
            on = [hazard for bit, hazard in enumerate(self._hazards) if switches >> bit & 1]
        slots = self._slots[int(chance() * len(self._slots))]
        buckets = chance() * self._more if "rehash" in on else self._more * chance() ** self._crowding
        # Occasionally more sockets than a large batch has slots; otherwise few, since most failures need few sockets and
        # appear
        # sooner with few. A rollover needs more.
        sockets = slots + 1 + int(chance() * 8) if chance() * 16 < 1 else 1 + int(chance() * 6)
        insertions = self._insertions
        if "rollover" in on:
            sockets += int(chance() * 8)
            insertions = UNLIMITED
        return _Sequence(self._random, on, self._places[int(buckets)], min(sockets, insertions), insertions).drawn(), slots


class _Places:
    # Some buckets to draw from, with an operation for each bucket and name.

    def __init__(self, buckets: Sequence[Bucket], has_tail_again: bool) -> None:
        self.reinsert_tail = _REINSERT_TAIL if has_tail_again else _REINSERT_HEAD
        self.add_head = [tuple(Add(name, "head", bucket) for name in NAMES) for bucket in buckets]
        self.add_tail = [tuple(Add(name, "tail", bucket) for name in NAMES) for bucket in buckets if has_tail(bucket.table)]
        self.rehash = [tuple(Rehash(name, bucket) for name in NAMES) for bucket in buckets]
        # If all buckets have tails, the tables of the sockets need no tracking.
        self.have_tails = len(self.add_tail) == len(buckets)


class _Sequence:
    # One sequence during its construction: its possible operations, and the present sockets.

    __slots__ = ("chance", "insertions", "inside", "kinds", "places", "present", "tailless", "unused")

    def __init__(self, random: Random, on: Sequence[Hazard], places: _Places, sockets: int, insertions: int) -> None:
        self.chance = random.random
        self.kinds = [hazard for hazard in on if hazard in CHANGES]
        self.inside = [hazard for hazard in on if hazard in _INSIDE and (self.kinds or hazard == "enomem")]
        self.places = places
        self.present = list(range(sockets))
        self.unused = count(sockets)
        self.insertions = insertions - sockets
        # The present sockets in tables without tails.
        self.tailless: set[int] = set()

    def drawn(self) -> tuple[Operation, ...]:
        chance = self.chance
        operations: list[Operation] = [self.add(number, chance() < 0.7) for number in self.present]
        operations.append(_OPEN)
        for _ in range(2 + int(chance() * 7)):
            if self.kinds and chance() < 0.55:
                if change := self.change():
                    operations.append(change)
            elif self.inside and chance() < 0.5:
                operations.append(self.read(1 + int(chance() * 4)))
            else:
                operations.append(_READ[int(chance() * chance() * 4)])
        if self.inside and chance() < 0.3:
            operations.append(self.read(None))
        operations.append(_READ_ALL if chance() < 0.9 else _GIVE_UP)
        return tuple(operations)

    def add(self, number: int, at_tail: bool) -> Add:
        adds = self.places.add_tail if at_tail else self.places.add_head
        add = adds[int(self.chance() * len(adds))][number]
        if not self.places.have_tails and not has_tail(add.bucket.table):
            self.tailless.add(number)
        return add

    def change(self) -> Change | None:
        # Applies the change to `present`. None: it needs a socket or a version, and none is left.
        chance = self.chance
        kind = self.kinds[int(chance() * len(self.kinds))]
        if kind != "remove":
            if not self.insertions:
                return None
            self.insertions -= 1
        if kind in ("add-head", "add-tail"):
            number = next(self.unused)
            self.present.append(number)
            return self.add(number, kind == "add-tail")
        if not self.present:
            return None
        position = int(chance() * len(self.present))
        if kind == "remove":
            return _REMOVE[self.present.pop(position)]
        number = self.present[position]
        if kind == "reinsert":
            return (_REINSERT_HEAD if chance() < 0.5 or number in self.tailless else self.places.reinsert_tail)[number]
        rehash = self.places.rehash[int(chance() * len(self.places.rehash))][number]
        if not self.places.have_tails:
            (self.tailless.discard if has_tail(rehash.bucket.table) else self.tailless.add)(number)
        return rehash

    def read(self, size: int | None) -> Read:
        chance = self.chance
        at: list[At] = []
        nth = 1
        for _ in range(1 + int(chance() * 3)):
            hazard = self.inside[int(chance() * len(self.inside))]
            nth += int(chance() * chance() * 3)
            if hazard == "enomem":
                at.append(At("realloc", nth, _FAIL))
            elif change := self.change():
                at.append(At(_POINT_OF[hazard], nth, change))
        return Read(size, tuple(at))
