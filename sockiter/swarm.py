"""The fast driver: whole sequences from a seeded plain loop, each with a random subset of the hazards switched off.

Decided here: how sequences are drawn. A sequence in which everything may happen at once rarely shows what one thing does
alone; with a random subset switched off, every hazard is alone some of the time (swarm testing). Drawing knows nothing of
what the sequence will do: it is not told what was delivered, and which target it is for matters by its hazards and slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from random import Random

from sockiter.backend import SLOTS, Shape
from sockiter.claims import CHANGES, HAZARDS, Hazard
from sockiter.operations import Add, At, Bucket, Change, Fail, Open, Operation, Read, Rehash, Reinsert, Remove
from sockiter.simplify import name_of

BUCKETS = tuple(Bucket(number) for number in range(3))
# Small batches make growth and partial batches cheap to reach; the kernels' 16 slots keep it honest.
SLOTS_DRAWN = (1, 2, 3, 4, SLOTS)
NAMES = tuple(name_of(number) for number in range(128))

# A drawn operation is picked from these, not made: making one costs more than all the rest of drawing it.
_ADD_HEAD = tuple(tuple(Add(name, "head", bucket) for name in NAMES) for bucket in BUCKETS)
_ADD_TAIL = tuple(tuple(Add(name, "tail", bucket) for name in NAMES) for bucket in BUCKETS)
_REMOVE = tuple(Remove(name) for name in NAMES)
_REINSERT_HEAD = tuple(Reinsert(name, "head") for name in NAMES)
_REINSERT_TAIL = tuple(Reinsert(name, "tail") for name in NAMES)
_REHASH = tuple(tuple(Rehash(name, bucket) for name in NAMES) for bucket in BUCKETS)
_READ = tuple(Read(number) for number in range(1, 5))
_OPEN = Open()
_READ_ALL = Read(None)
_FAIL = Fail()

_INSIDE: frozenset[Hazard] = frozenset({"show", "realloc", "enomem"})


def slots_drawn(only: int | None) -> tuple[int, ...]:
    """The slots at open to choose from, for a target that can have these only, or with None any."""
    return SLOTS_DRAWN if only is None else (only,)


def shape_drawn(slots: int) -> Shape:
    """What a backend must be laid out for, whichever sequence is drawn."""
    return Shape((("", len(BUCKETS)),), slots)


class Swarm:
    """Draws sequences that `operations.check` accepts, each of them opened, and read to the end.

    The same seed, hazards, slots and aims give the same sequences, whatever the Python and its hash seed. Half of the
    sequences use just the hazards of one of `aims`, where there are any: what nobody has shown yet is worth aiming at.
    """

    def __init__(self, seed: int | str, hazards: Iterable[Hazard], *, slots: int | None = None) -> None:
        """`slots`: the only number of slots that the target can have; None: any."""
        self.aims: list[frozenset[Hazard]] = []
        self._random = Random(seed)
        self._hazards = [hazard for hazard in HAZARDS if hazard in set(hazards)]
        self._slots = slots_drawn(slots)

    def sequence(self) -> tuple[tuple[Operation, ...], int]:
        """The next sequence, and the slots at open that it is meant for."""
        chance = self._random.random
        if self.aims and chance() < 0.5:
            aim = self.aims[int(chance() * len(self.aims))]
            on = [hazard for hazard in self._hazards if hazard in aim]
        else:
            switches = self._random.getrandbits(len(self._hazards) or 1)
            on = [hazard for bit, hazard in enumerate(self._hazards) if switches >> bit & 1]
        kinds = [hazard for hazard in on if hazard in CHANGES]
        inside = [hazard for hazard in on if hazard in _INSIDE and (kinds or hazard == "enomem")]
        slots = self._slots[int(chance() * len(self._slots))]
        buckets = 1 + int(chance() * 2.2) if "rehash" in on else int(1 + 2.2 * chance() ** 3)
        # Now and then more sockets than the batch has slots, where those are many; few otherwise: what goes wrong goes wrong
        # with few, and sooner.
        sockets = slots + 1 + int(chance() * 8) if chance() * 16 < 1 else 1 + int(chance() * 6)
        unused = count(sockets)
        present = list(range(sockets))
        operations: list[Operation] = []
        for number in present:
            adds = _ADD_TAIL if chance() < 0.7 else _ADD_HEAD
            operations.append(adds[int(chance() * buckets)][number])
        operations.append(_OPEN)
        for _ in range(2 + int(chance() * 7)):
            if kinds and chance() < 0.55:
                if change := self._change(kinds, present, unused, buckets):
                    operations.append(change)
            elif inside and chance() < 0.5:
                operations.append(self._read(1 + int(chance() * 4), kinds, inside, present, unused, buckets))
            else:
                operations.append(_READ[int(chance() * chance() * 4)])
        if inside and chance() < 0.3:
            operations.append(self._read(None, kinds, inside, present, unused, buckets))
        operations.append(_READ_ALL)
        return tuple(operations), slots

    def _change(self, kinds: list[Hazard], present: list[int], unused: count[int], buckets: int) -> Change | None:
        # Carries the change over into `present`. None: it would need a socket, and there is none.
        chance = self._random.random
        kind = kinds[int(chance() * len(kinds))]
        if kind in ("add-head", "add-tail"):
            number = next(unused)
            present.append(number)
            return (_ADD_HEAD if kind == "add-head" else _ADD_TAIL)[int(chance() * buckets)][number]
        if not present:
            return None
        position = int(chance() * len(present))
        if kind == "remove":
            return _REMOVE[present.pop(position)]
        if kind == "reinsert":
            return (_REINSERT_HEAD if chance() < 0.5 else _REINSERT_TAIL)[present[position]]
        return _REHASH[int(chance() * buckets)][present[position]]

    def _read(
        self,
        size: int | None,
        kinds: list[Hazard],
        inside: list[Hazard],
        present: list[int],
        unused: count[int],
        buckets: int,
    ) -> Read:
        chance = self._random.random
        at: list[At] = []
        nth = 1
        for _ in range(1 + int(chance() * 3)):
            hazard = inside[int(chance() * len(inside))]
            nth += int(chance() * chance() * 3)
            if hazard == "enomem":
                at.append(At("realloc", nth, _FAIL))
            elif change := self._change(kinds, present, unused, buckets):
                at.append(At("show" if hazard == "show" else "realloc", nth, change))
        return Read(size, tuple(at))
