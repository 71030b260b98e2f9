"""Transitions as values, in terms of positions in the table: what a change or a read does to the sockets there."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from sockiter.operations import Change


class Shift(NamedTuple):
    """A change, in terms of positions in the table, from 0, over all buckets.

    `to`: the new position of each present socket (-1: it is removed). `added`: the position of a new socket. `moved`: the
    former position of a moved socket. -1 stands for none in both. `near`: for each present socket, whether the change
    touched its bucket.
    """

    to: tuple[int, ...]
    added: int = -1
    moved: int = -1
    before_open: bool = False
    near: tuple[bool, ...] = ()


class Turns(NamedTuple):
    """A read, or a part of one: the shown sockets by position, and the numbers of turns, looks and allocations.

    `turns` includes the turns of removed sockets, and `looks` counts visited buckets. `over`: the read returns; without a
    record and without an error, it returned the end. `stops`: it returns because it has all its records. `fresh`: its
    last turn made a record. `refused`: it returns an error, and `left` its records, if it has any. `handed`: it
    returned the records of a failed read, or a message of a dump. The shown sockets of a dump are those of the next message.
    `silent`: it returns no records, and without an error the end. `taken`: the records of a part of a message.
    """

    shown: tuple[int, ...] = ()
    turns: int = 0
    looks: int = 0
    allocations: int = 0
    over: bool = False
    stops: bool = False
    fresh: bool = False
    refused: bool = False
    left: bool = False
    handed: bool = False
    silent: bool = False
    taken: int = 0


class Opening(NamedTuple):
    """The iterator is opened. `shown`: the sockets of the first message of a dump."""

    shown: tuple[int, ...] = ()


class Reopening(NamedTuple):
    """A new iterator is opened, for the reader's pass of this number; `shown` as for `Opening`."""

    number: int = 2
    shown: tuple[int, ...] = ()


Effect: TypeAlias = Shift | Turns | Opening | Reopening


class Transition(NamedTuple):
    """A transition to the state with the number `to`. `label`: its line in a case, by position; None: it has no line.

    A `Change` in a label refers to a socket by its position, written as a number; an added socket has no name, or the
    number of the gap between keys (`keys.new_names`).
    """

    to: int
    effect: Effect
    label: Change | Literal["open", "again", "read", "read destroying", "fail"] | None
