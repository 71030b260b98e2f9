"""The elements of a BPF hash map, each in a given bucket, at its head: these buckets have no tail.

The value of an element is its number in a walk. An element is identified by its key: one that is deleted and added again is
the same to user space. So the kernel's own way of an update, a new element at the head instead of the old one, is
`reinsert`.
"""

from __future__ import annotations

from sockiter.errors import Inconclusive
from sockiter.kernel.bpf.hash_map import HashMap
from sockiter.kernel.elements import Elements
from sockiter.kernel.libc import unavailable
from sockiter.kernel.maps.keys import key_of
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Bucket, End

ELEMENTS_MAX = 4096
"""The most elements of a map, which has as many buckets."""


class MapElements(Elements):
    """The elements of one iteration over a map, which is empty before and afterwards."""

    has_tail = False

    def __init__(self, namespace: Namespace, hash_map: HashMap) -> None:
        self._namespace = namespace
        self._map = hash_map
        self._held: dict[str, tuple[bytes, int, Bucket]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def bucket(self, name: str) -> Bucket:
        return self._held[name][2]

    def enter(self) -> None:
        self._namespace.stay()

    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        self.enter()
        if len(self._held) >= ELEMENTS_MAX:
            raise Inconclusive(f"a map has at most {ELEMENTS_MAX} elements here; the case needs more")
        self._map.made += 1
        number = self._map.made
        self._held[name] = key_of(number, bucket.number), number, bucket
        self.reinsert(name, end)
        return number

    def reinsert(self, name: str, end: End) -> None:
        key, number, bucket = self._held[name]
        try:
            self._map.update(key, number)
        except OSError as error:
            raise unavailable(f"an element at the {end} of bucket {bucket}", error) from error

    def remove(self, name: str) -> None:
        self._map.delete(self._held.pop(name)[0])

    def close(self) -> None:
        while self._held:
            self.remove(next(iter(self._held)))
