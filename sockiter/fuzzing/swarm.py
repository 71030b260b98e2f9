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
from sockiter.fuzzing.limits import MESSAGE_MAX, Room
from sockiter.operations import (
    Accept,
    Add,
    Again,
    At,
    Bucket,
    Change,
    Close,
    Destroy,
    Fail,
    Life,
    Open,
    Operation,
    Point,
    Property,
    Read,
    Rehash,
    Reinsert,
    Remove,
    has_tail,
    life_of,
    prevents,
)
from sockiter.readers import Feature, Reader
from sockiter.shrink.edits import name_of, names_in, renamed

NAMES = tuple(name_of(number) for number in range(2 * MESSAGE_MAX + 128))
UNLIMITED = 1_000_000
BYTES_MAX = 256
"""The largest read in bytes: some records, or two lines of a file in /proc."""
RECORDS_WHOLE = 128
"""The records of a read that has room for all sockets."""
# Each of these features is on in one of so many sequences.
_FEATURES: tuple[Feature, ...] = ("bytes", "silent", "again", "unwanted")
_FEATURE_EVERY = 10
# With one of these hazards, sockets have lives of their own, or reads change the table.
_OF_LIVES: frozenset[Hazard] = frozenset({"close", "accept", "destroy", "destroying"})

_OPEN = Open()
_READ = tuple(Read(number) for number in range(1, 5))
_READ_ALL = Read(None)
_GIVE_UP = Read(None, gives_up=True)
_FAIL = Fail()
# Drawn operations come from these tables. Making an operation costs more than the rest of its drawing.
_REMOVE = tuple(Remove(name) for name in NAMES)
_REINSERT_HEAD = tuple(Reinsert(name, "head") for name in NAMES)
_REINSERT_TAIL = tuple(Reinsert(name, "tail") for name in NAMES)
_CLOSE = tuple(Close(name) for name in NAMES)
_ACCEPT = tuple(Accept(name) for name in NAMES)
_DESTROY = tuple(Destroy(name) for name in NAMES)
_AGAIN = Again()

_POINT_OF: dict[Hazard, Point] = {hazard: point for point, hazard in HAZARD_OF.items()}
_INSIDE: frozenset[Hazard] = frozenset({*_POINT_OF, "enomem"})


class Swarm:
    """Draws sequences that `operations.check` accepts, each with an open, and with a last read to the end or to an error.

    The same seed, hazards, room, reader and aims give the same sequences, for every Python version and hash seed. If there
    are `aims`, half of the sequences use only the hazards of one of them, and no feature that these do not need: a failure
    that no case has shown yet is worth an aim. With a `reader`, all reads are made in its way, and each of its passes is
    read to the end; the room must have its features.
    """

    def __init__(
        self, seed: int | str, hazards: Iterable[Hazard], room: Room | None = None, *, reader: Reader | None = None
    ) -> None:
        room = room or Room()
        self.aims: list[frozenset[Hazard]] = []
        self._random = Random(seed)
        drawable = room.drawable(hazards)
        if reader is not None:
            drawable -= {"destroying"}
        self._hazards = [hazard for hazard in HAZARDS if hazard in drawable]
        self._reader = reader
        # A reader decides how all reads are made.
        self._features = [feature for feature in _FEATURES[3 if reader else 0 :] if feature in room.features]
        self._binds = "bound" in room.features
        self._slots = room.slots_drawn
        self._insertions = UNLIMITED if room.insertions is None else room.insertions
        self._places = [_Places(room.buckets[: 1 + number], room) for number in range(len(room.buckets))]
        # Mostly one bucket of one table; more for several tables, and for moves between buckets.
        self._more = 0.73 * len(room.buckets)
        self._message = room.message
        self._holds = room.holds
        self._has_keys = room.has_keys
        self._crowding = 3 if len(room.tables) == 1 else 1.5

    def sequence(self) -> tuple[tuple[Operation, ...], int]:
        """The next sequence, and its slots at open."""
        operations, slots = self._sequence()
        return (self._in_any_order(operations), slots) if self._has_keys else (operations, slots)

    def _in_any_order(self, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        # The same sequence, with its names in another order.
        names = names_in(operations)
        keys = self._random.sample(names, len(names))
        return tuple([renamed(operation, dict(zip(names, keys, strict=True))) for operation in operations])

    def _sequence(self) -> tuple[tuple[Operation, ...], int]:
        chance = self._random.random
        features: Sequence[Feature] = ()
        if self.aims and chance() < 0.5:
            aim = self.aims[int(chance() * len(self.aims))]
            on = [hazard for hazard in self._hazards if hazard in aim]
        else:
            switches = self._random.getrandbits(len(self._hazards) or 1)
            on = [hazard for bit, hazard in enumerate(self._hazards) if switches >> bit & 1]
            if self._features:
                features = [feature for feature in self._features if chance() * _FEATURE_EVERY < 1]
        slots = self._slots[int(chance() * len(self._slots))]
        buckets = chance() * self._more if "rehash" in on else self._more * chance() ** self._crowding
        # Occasionally more sockets than a large batch has slots; otherwise few, since most failures need few sockets and
        # appear
        # sooner with few. A rollover needs more.
        sockets = slots + 1 + int(chance() * 8) if chance() * 16 < 1 else 1 + int(chance() * 6)
        insertions = self._insertions
        if self._message and chance() * 3 < 1:
            # Around the end of a message, mostly the first one.
            sockets = max(slots * (2 if chance() < 0.2 else 1) - 2 + int(chance() * 8), 1)
        if "rollover" in on:
            sockets += int(chance() * 8)
            insertions = UNLIMITED
        spreads = self._holds is not None and sockets > self._holds // 2
        places = self._places[-1 if spreads else int(buckets)]
        sockets = min(sockets, insertions)
        if features or self._reader or not _OF_LIVES.isdisjoint(on):
            lively = _LivelySequence(self._random, on, places, sockets, insertions)
            lively.read_by(self._reader, features)
            lively.binds = self._binds and (lively.destroys or "destroy" in on)
            lively.message, lively.spreads = slots if self._message else 0, spreads
            return lively.drawn(), slots
        plain = _Sequence(self._random, on, places, sockets, insertions)
        plain.message, plain.spreads = slots if self._message else 0, spreads
        return plain.drawn(), slots


class _Places:
    # Some buckets to draw from, with an operation for each bucket and name.

    def __init__(self, buckets: Sequence[Bucket], room: Room) -> None:
        names = NAMES[: room.sockets_max]
        self.reinsert_tail = _REINSERT_TAIL if room.has_tail else _REINSERT_HEAD
        self.add_head = [tuple(Add(name, "head", bucket) for name in names) for bucket in buckets]
        self.add_tail = [tuple(Add(name, "tail", bucket) for name in names) for bucket in buckets if has_tail(bucket.table)]
        self.rehash = [tuple(Rehash(name, bucket) for name in names) for bucket in buckets]
        # If all buckets have tails, the tables of the sockets need no tracking.
        self.have_tails = len(self.add_tail) == len(buckets)
        # The buckets whose sockets can be connections.
        self.connecting = frozenset(bucket for bucket in buckets if room.connects(bucket.table))


class _Sequence:
    # One sequence during its construction: its possible operations, and the present sockets.

    __slots__ = ("chance", "insertions", "inside", "kinds", "message", "places", "present", "spreads", "tailless", "unused")

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
        # The records of a message, if some reads return a whole one.
        self.message = 0
        self.spreads = False

    def drawn(self) -> tuple[Operation, ...]:
        chance = self.chance
        operations: list[Operation] = [self.add(number, chance() < 0.7) for number in self.present]
        operations.append(_OPEN)
        self.walk(operations)
        return tuple(operations)

    def walk(self, operations: list[Operation]) -> None:
        # One pass: changes and reads, and a read to the end.
        chance = self.chance
        for _ in range(2 + int(chance() * 7)):
            if self.kinds and chance() < 0.55:
                if change := self.change():
                    operations.append(change)
            elif self.inside and chance() < 0.5:
                operations.append(self.read(1 + int(chance() * 4)))
            elif self.message and chance() < 0.3:
                operations.append(Read(self.message))
            else:
                operations.append(_READ[int(chance() * chance() * 4)])
        if self.inside and chance() < 0.3:
            operations.append(self.read(None))
        operations.append(_READ_ALL if chance() < 0.9 else _GIVE_UP)

    def add(self, number: int, at_tail: bool) -> Add:
        adds = self.places.add_tail if at_tail else self.places.add_head
        # Where a bucket has little room, the sockets that fill a message are spread.
        nth = number % len(adds) if self.spreads and number < len(self.present) else int(self.chance() * len(adds))
        add = adds[nth][number]
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


class _LivelySequence(_Sequence):
    # A sequence in which sockets have lives of their own, or reads differ from ordinary reads of records.

    __slots__ = ("accepts", "binds", "connected", "destroys", "features", "lives", "reader")

    def __init__(self, random: Random, on: Sequence[Hazard], places: _Places, sockets: int, insertions: int) -> None:
        super().__init__(random, on, places, sockets, insertions)
        self.accepts = "accept" in on
        self.destroys = "destroying" in on
        # Whether sockets are bound by number, which matters to those that are destroyed.
        self.binds = False
        self.features: frozenset[Feature] = frozenset()
        self.reader: Reader | None = None
        # The lives of the present sockets, and those in tables of connections.
        self.lives: dict[int, Life] = {}
        self.connected: set[int] = set()

    def read_by(self, reader: Reader | None, features: Iterable[Feature]) -> None:
        # All reads are made in this reader's way; with None, each read in a way of its own, with these features.
        self.reader, self.features = reader, frozenset(features)
        if reader is not None:
            self.destroys = reader.destroys

    def drawn(self) -> tuple[Operation, ...]:
        operations = list(super().drawn())
        if self.reader.passes > 1 if self.reader else "again" in self.features:
            if self.reader is None and self.chance() < 0.3:
                operations.pop()  # the first pass is not read to its end
            operations.append(_AGAIN)
            self.walk(operations)
        return tuple([self.made(op) if type(op) is Read else op for op in operations])

    def made(self, read: Read) -> Read:
        # An ordinary read of records, as it is made in this sequence.
        if self.reader is not None:
            count = read.count if self.reader.stops or read.count is None else RECORDS_WHOLE
            silent = self.reader.silent
            return Read(None if silent else count, read.at, silent=silent, destroying=self.reader.destroys)
        chance = self.chance
        destroying = self.destroys and chance() < 0.5
        if "silent" in self.features and chance() < 0.5:
            return Read(None, read.at, read.gives_up, silent=True, destroying=destroying)
        if read.count is not None and "bytes" in self.features and chance() < 0.7:
            return Read(1 + int(chance() * chance() * BYTES_MAX), read.at, unit="bytes", destroying=destroying)
        return Read(read.count, read.at, read.gives_up, destroying=destroying)

    def add(self, number: int, at_tail: bool) -> Add:
        chance = self.chance
        add = super().add(number, at_tail)
        connects = add.bucket in self.places.connecting
        if connects:
            self.connected.add(number)
        properties: list[Property] = []
        if "unwanted" in self.features and chance() < 0.3:
            properties.append("unwanted")
        if connects and self.accepts and chance() < 0.4:
            properties.append("request")
        elif self.binds and chance() < 0.4:
            properties.append("bound")
        if properties:
            add = Add(add.name, add.end, add.bucket, tuple(properties))
            if (life := life_of(add)) is not None:
                self.lives[number] = life
        return add

    def change(self) -> Change | None:
        # None also if no socket can change in this way.
        chance = self.chance
        kind = self.kinds[int(chance() * len(self.kinds))]
        if kind in ("add-head", "add-tail"):
            if self.insertions < 1:
                return None
            self.insertions -= 1
            number = next(self.unused)
            self.present.append(number)
            return self.add(number, kind == "add-tail")
        changes = self.changes_of(kind)
        able = [
            number
            for number in self.present
            if (kind != "close" or number in self.connected) and not prevents(self.lives.get(number), changes[number])
        ]
        if not able:
            return None
        number = able[int(chance() * len(able))]
        if kind == "remove" or kind == "destroy":
            if kind == "remove" or self.lives.get(number) != "bound":
                self.present.remove(number)
            return changes[number]
        # A bound socket that moved may return when it is destroyed.
        insertions = 2 if kind == "rehash" and self.lives.get(number) == "bound" else 1
        if self.insertions < insertions:
            return None
        self.insertions -= insertions
        if kind == "close":
            self.lives[number] = "closed"
        elif kind == "accept":
            del self.lives[number]
        elif kind == "reinsert":
            if chance() < 0.5 and number not in self.tailless:
                return self.places.reinsert_tail[number]
        else:
            bucket = self.places.rehash[int(chance() * len(self.places.rehash))][number].bucket
            (self.connected.add if bucket in self.places.connecting else self.connected.discard)(number)
            (self.tailless.discard if has_tail(bucket.table) else self.tailless.add)(number)
            return Rehash(NAMES[number], bucket)
        return changes[number]

    def changes_of(self, kind: Hazard) -> Sequence[Change]:
        # For each number of a socket, a change of this kind.
        match kind:
            case "remove":
                return _REMOVE
            case "destroy":
                return _DESTROY
            case "close":
                return _CLOSE
            case "accept":
                return _ACCEPT
            case "reinsert":
                return _REINSERT_HEAD
        return self.places.rehash[0]
