"""Readers: the ways in which user space uses a walk.

Decided here: the kinds of readers, and the features of a sequence that a target may lack. Not known here: how a frame
carries out a read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from sockiter.operations import Add, Again, Operation, Read, changes

Feature: TypeAlias = Literal["bytes", "silent", "again", "unwanted", "request", "bound"]
"""A part of a sequence, beside its hazards, that not every target supports."""
FEATURES: tuple[Feature, ...] = get_args(Feature)
SPELLED: dict[Feature, str] = {
    "bytes": "reads in bytes",
    "silent": "a silent `walk`",
    "again": "a second pass with `again`",
    "unwanted": "sockets that the reader filters out, with `unwanted`",
    "request": "request sockets, with `request`",
    "bound": "sockets bound by number, with `bound`",
}


def features_of(operations: Iterable[Operation]) -> frozenset[Feature]:
    """The features that a sequence uses."""
    used: set[Feature] = set()
    for op in operations:
        if type(op) is Again:
            used.add("again")
            continue
        if type(op) is Read:
            if op.silent:
                used.add("silent")
            if op.unit == "bytes":
                used.add("bytes")
        for change in changes(op):
            if type(change) is Add and change.properties:
                used.update(change.properties)
    return frozenset(used)


def lacking(features: Iterable[Feature], supported: frozenset[Feature]) -> list[Feature]:
    """The features that are not supported, in the order of `FEATURES`."""
    missing = frozenset(features) - supported
    return [feature for feature in FEATURES if feature in missing]


@dataclass(frozen=True, slots=True)
class Reader:
    """A way to read to the end, and to use the records.

    `advice`: what to do to read in this way. `stops`: a read may return before the end, with a few records. Otherwise every
    read has room for all sockets. `silent`: the program stores the records in a map and writes nothing; it never stops.
    `destroys`: the program destroys every socket that it shows. `passes`: the number of walks; deliveries are joined by
    cookie.
    """

    name: str
    advice: str
    stops: bool = False
    silent: bool = False
    destroys: bool = False
    passes: int = 1

    def is_offered(self, features: frozenset[Feature], *, destroys: bool) -> bool:
        """Whether a walk with these features, whose sockets a reader can destroy or not, can be read in this way."""
        return (
            (not self.silent or "silent" in features)
            and (not self.destroys or destroys)
            and (self.passes == 1 or "again" in features)
        )

    def allows(self, operations: Sequence[Operation]) -> bool:
        """Whether a sequence reads in this way, apart from the sizes of its reads; it may end before the last pass."""
        reads = [op for op in operations if type(op) is Read]
        passes = 1 + sum(type(op) is Again for op in operations)
        return passes <= self.passes and all((op.silent, op.destroying) == (self.silent, self.destroys) for op in reads)


PARTIAL = Reader("partial", "read a few records at a time", stops=True)
WHOLE = Reader("whole", "read with room for all records")
SILENT = Reader("silent", "let the program store its records in a map", silent=True)


FROM_A_PROGRAM = " from a program that destroys each socket"


def _destroying(reader: Reader) -> Reader:
    advice = (
        "let the program destroy each socket and store its record in a map"
        if reader.silent
        else f"{reader.advice}{FROM_A_PROGRAM}"
    )
    return replace(reader, name=f"{reader.name}-destroying", advice=advice, destroys=True)


def _twice(reader: Reader) -> Reader:
    advice = f"{reader.advice}; walk twice, and join both walks by cookie"
    return replace(reader, name=f"{reader.name}-twice", advice=advice, passes=2)


_SINGLE = (PARTIAL, WHOLE, SILENT)
READERS: tuple[Reader, ...] = (
    *_SINGLE,
    *map(_twice, _SINGLE),
    *map(_destroying, _SINGLE),
    *(_twice(_destroying(reader)) for reader in _SINGLE),
)


def reader_named(name: str) -> Reader:
    """The reader with this name; KeyError if there is none."""
    return {reader.name: reader for reader in READERS}[name]
