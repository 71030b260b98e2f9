"""The elements of a BPF hash map, each in a given bucket, at its head: these buckets have no tail.

The value of an element is its number in a walk. An element is identified by its key: one that is deleted and added again is
the same to user space. So the kernel's own way of an update, a new element at the head instead of the old one, is
`reinsert`.
"""

from __future__ import annotations

from contextlib import suppress

from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.hash_map import HashMap
from sockiter.kernel.elements import NumberedElements
from sockiter.kernel.libc import unavailable
from sockiter.kernel.maps.keys import key_of
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Bucket, End

ELEMENTS_MAX = 4096
"""The most elements of a map, which has as many buckets."""


class MapElements(NumberedElements):
    """The elements of one iteration over a map, which is empty before and afterwards."""

    has_tail = False

    def __init__(self, namespace: Namespace, hash_map: HashMap) -> None:
        super().__init__(namespace)
        self._map = hash_map

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.enter()
        if len(self._held) >= ELEMENTS_MAX:
            raise Inconclusive(f"a map has at most {ELEMENTS_MAX} elements here; the case needs more")
        self._map.made += 1
        number = self._map.made
        self._held[name] = number, bucket
        self.reinsert(name, end)
        return number

    def reinsert(self, name: str, end: End) -> None:
        number, bucket = self._held[name]
        try:
            self._map.update(key_of(number, bucket.number), number)
        except OSError as error:
            raise unavailable(f"an element at the {end} of bucket {bucket}", error) from error

    def _end(self, number: int, bucket: Bucket) -> None:
        self._map.delete(key_of(number, bucket.number))

    def close(self) -> None:
        while self._held:
            # An element is held before it is in the map, so that an interrupt in between leaves none behind.
            with suppress(FileNotFoundError):
                self.remove(next(iter(self._held)))
