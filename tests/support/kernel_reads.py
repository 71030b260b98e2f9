"""Helpers for the kernel's iterators: sequences, deliveries of reads, and open resources of this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from sockiter.backend import Backend, Session, patiently, run, shape_of
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, At, Bucket, Change, End, Operation, Read
from sockiter.targets import target_named

ONE = Read(1)

_FD = "/proc/self/fd"
# Schemes that recognize the sockets they have to show, whatever else changes.
_REMEMBERING = ("cookie-udp", "cookie-tcp")


def adds(names: Iterable[str], end: End = "tail", bucket: int = 0, table: str = "") -> list[Operation]:
    return [Add(name, end, Bucket(bucket, table)) for name in names]


def at_show(nth: int, *changes: Change, count: int | None = None) -> Read:
    """A read of so many records, or to the end, with these changes at the n-th show of it."""
    return Read(count, tuple(At("show", nth, change) for change in changes))


def begun(session: Session, operations: Sequence[Operation]) -> Backend:
    """An iteration, so far carried out."""

    def begin() -> Backend:
        backend = session.begin(shape_of(operations))
        for operation in operations:
            backend.apply(operation)
        return backend

    return patiently(begin)


def reads(target: KernelTarget, session: Session, operations: Sequence[Operation]) -> list[str]:
    """The deliveries of each read, for sockets whose names are single letters."""
    history = run(session, target, operations)
    assert all(read.error is None for read in history.reads)
    return ["".join(read.delivered) for read in history.reads]


def due(target: KernelTarget, operations: Sequence[Operation], remembering: list[str]) -> list[str]:
    """The expected deliveries of each read: `remembering`, or those of a kernel that uses an older scheme."""
    if target.detected_scheme is None or target.detected_scheme in _REMEMBERING:
        return remembering
    model = target_named(target.detected_scheme)
    with model.session() as session:
        return ["".join(read.delivered) for read in run(session, model, operations).reads]


def events(backend: Backend) -> list[str]:
    """The events, in words."""
    return [str(event) for event in backend.history.events]


def open_files() -> dict[str, str]:
    """The open files of this process, but for the listing itself."""
    found = {}
    for fd in os.listdir(_FD):
        try:
            found[fd] = os.readlink(f"{_FD}/{fd}")
        except FileNotFoundError:
            continue
    return found
