"""The elements of one iteration over a table of the kernel, by name, for every kind of table.

A walk identifies each element by a number. Not known here: the kind of the elements, and how a table is walked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from sockiter.kernel.bpf.stops import Small
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Bucket, End


class Elements(ABC):
    """The elements of one iteration. A target does not offer operations that its kind of elements lacks."""

    has_tail = True
    has_head = True
    """Whether elements can be put at the head of a bucket; otherwise they go to its tail."""
    own_namespace: Namespace | None = None
    """The private namespace of these elements alone; None: they are in the session's, or in none."""
    destroys_by_walk = False
    """Whether a destruction walks the table, and so waits for the lock of an element that is shown meanwhile."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of elements in the table."""

    @abstractmethod
    def __contains__(self, name: object) -> bool:
        """Whether an element of this name is in the table."""

    @abstractmethod
    def bucket(self, name: str) -> Bucket:
        """The current bucket of an element."""

    @abstractmethod
    def add(self, name: str, end: End, bucket: Bucket, *, bound: bool = False, unwanted: bool = False) -> int:
        """Put a new element at this end of a bucket, and return its number in a walk; raises `Inconclusive`.

        `bound`: a socket that is bound by number. `unwanted`: with the mark by which the iterating program filters it out.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove an element for good."""

    @abstractmethod
    def close(self) -> None:
        """Remove all elements; a second call does nothing."""

    def enter(self) -> None:  # noqa: B027
        """Make sure that the calling thread is in the private namespace, if there is one."""

    def check_room(self, elements: Mapping[Bucket, int]) -> None:  # noqa: B027
        """Raise `Inconclusive` if this number of elements does not fit into each of these buckets, before any is made."""

    def prepare(self, changes: int) -> None:  # noqa: B027
        """Learn in advance what this number of changes may need: inside a read, a walk would wait for it."""

    def reinsert(self, name: str, end: End) -> None:
        """Take an element out of its bucket, and put it in again at that end."""
        raise NotImplementedError  # for kinds that can be put in again

    def rehash(self, name: str, bucket: Bucket) -> bool:
        """Move an element to the head of another bucket; return False, without a change, if it is in that bucket already."""
        raise NotImplementedError  # for kinds that can move

    def add_request(self, name: str, bucket: Bucket, *, unwanted: bool = False) -> int:
        """Put a request socket at the head of its bucket, and return its number in a walk; raises `Inconclusive`.

        `unwanted`: with the mark by which the iterating program filters it out.
        """
        raise NotImplementedError  # for kinds with connections

    def prepare_requests(self, changes: int) -> None:
        """Learn in advance what this number of request sockets needs, as `prepare` does."""
        raise NotImplementedError  # for kinds with connections

    def finish(self, name: str) -> None:
        """Close a connection from both sides. The kernel puts a successor into its bucket."""
        raise NotImplementedError  # for kinds with connections

    def accept(self, name: str) -> None:
        """Complete the handshake of a request socket. The kernel puts a successor into its bucket."""
        raise NotImplementedError  # for kinds with connections

    def connects(self, bucket: Bucket) -> bool:
        """Whether the sockets of this bucket are connections."""
        return False

    def small(self, name: str) -> Small | None:
        """The kind of the object in the table, if it is smaller than a socket; None for a socket."""
        return None

    def destroy(self, name: str) -> Bucket | None:
        """Destroy an element as another process does. It leaves, unless it is bound by number; then its new bucket."""
        raise NotImplementedError  # for kinds that can be destroyed

    def release(self, name: str) -> None:
        """Stop tracking an element that the kernel removes; `sweep` closes it."""
        raise NotImplementedError  # for kinds that can be destroyed

    def has_returned(self, name: str, home: Bucket) -> bool:
        """Record the bucket of a bound socket that the program destroyed; return whether it was in another one."""
        raise NotImplementedError  # for kinds that can be bound by number

    def sweep(self) -> None:  # noqa: B027
        """Close released elements; does nothing if there are none."""


class NumberedElements(Elements):
    """Elements in one namespace, each known by the number with which it was made. A kind implements `add` and `_end`."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._held: dict[str, tuple[int, Bucket]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def bucket(self, name: str) -> Bucket:
        return self._held[name][1]

    def enter(self) -> None:
        self._namespace.stay()

    def remove(self, name: str) -> None:
        self._end(*self._held.pop(name))

    def close(self) -> None:
        while self._held:
            self.remove(next(iter(self._held)))

    @abstractmethod
    def _end(self, number: int, bucket: Bucket) -> None:
        """Remove the element with this number from its bucket."""
