"""The loops of user space over a BPF hash map: a call for each key, or calls for whole buckets."""

from __future__ import annotations

from collections.abc import Sequence

from sockiter.frames.loop import RECORDS_MAX
from sockiter.kernel.bpf.hash_map import HashMap
from sockiter.kernel.loops import LoopReader
from sockiter.kernel.maps.keys import number_of
from sockiter.operations import Unit


class NextKeyWalk:
    """A loop of BPF_MAP_GET_NEXT_KEY."""

    records_max = RECORDS_MAX
    is_dump = False

    def __init__(self, hash_map: HashMap) -> None:
        self._map = hash_map

    def open(self) -> NextKeyReader:
        return NextKeyReader(self._map)


class BatchWalk:
    """A loop of BPF_MAP_LOOKUP_BATCH."""

    records_max = RECORDS_MAX
    is_dump = False

    def __init__(self, hash_map: HashMap) -> None:
        self._map = hash_map

    def open(self) -> BatchReader:
        return BatchReader(self._map)


class NextKeyReader(LoopReader):
    """A call for every element of a read."""

    __slots__ = ("_key", "_map")

    def __init__(self, hash_map: HashMap) -> None:
        super().__init__()
        self._map = hash_map
        self._key: bytes | None = None

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        numbers: list[int] = []
        while len(numbers) < count and not self._ended:
            if (key := self._map.next_key(self._key)) is None:
                self._ended = True
            else:
                self._key = key
                numbers.append(number_of(key))
        return numbers


class BatchReader(LoopReader):
    """A read is one call. Where it has too little room for the next bucket, the error is ENOSPC."""

    __slots__ = ("_map", "_place")

    def __init__(self, hash_map: HashMap) -> None:
        super().__init__()
        self._map = hash_map
        self._place: bytes | None = None

    def read(self, count: int, unit: Unit = "records") -> Sequence[int]:
        if self._ended:
            return ()
        batch = self._map.batch(self._place, min(count, RECORDS_MAX))
        self._place, self._ended = batch.place, batch.is_end
        if batch.error is not None:
            raise batch.error
        return batch.values
