"""What becomes of one socket that is followed, or of nobody, through the steps of a skeleton.

Decided here: what of a socket's past can still matter to a verdict, and which harm a step does to it. That is the oracle's
rule said once more, for one socket and a step at a time; tests hold the two together. Not known here: which steps there
are, and in which order they are searched.

A record counts as delivered when its socket is shown. It is handed out by this read or, after an error, by the next, and
until then nothing else is: so it is delivered before the end can be said, and in every case that is read to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

from sockiter.check.transitions import Opening, Shift, Turns
from sockiter.verdict import Kind, Signature, signatures_of

HARMED: tuple[Signature, ...] = signatures_of(("skip", "repeat", "stuck", "refused"))
"""All that can happen. Nothing stale is among it: the frame looks whether a socket is still there before it shows it."""

Mode: TypeAlias = Literal["one", "all", "on"]
"""A read for so many records begins, or a `read all`; or what is under way goes on."""

FREE, OWED, ONCE, TWICE = range(4)
"""A fate: nothing is owed and nothing was delivered; it is owed; it was delivered; it was delivered again."""
ELSEWHERE, NEAR, MOVED = range(3)
"""The changes since open: none in the bucket of the followed socket; some, of others; it has itself moved."""
FATES = 12


class Label(NamedTuple):
    """Who is followed, by position (-1: nobody), its fate, and what changed around it; whether the end was said by then,
    whether this is inside a `read all`, and whether the read(2) under way has a record."""

    position: int = -1
    fate: int = FREE
    changed: int = ELSEWHERE
    ended: bool = False
    in_all: bool = False
    some: bool = False

    @property
    def number(self) -> int:
        followed = 0 if self.position < 0 else 1 + self.position * FATES + self.fate * 3 + self.changed
        return ((followed * 2 + self.ended) * 2 + self.in_all) * 2 + self.some


@cache
def labels(sockets: int) -> tuple[Label, ...]:
    """All labels for so many sockets, by number."""
    everybody = [Label(p, fate, changed) for p in range(sockets) for fate in range(4) for changed in range(3)]
    flags = list(product((False, True), repeat=3))
    return tuple(Label(*label[:3], *flag) for label in (Label(), *everybody) for flag in flags)


class Outcome(NamedTuple):
    """What a step does to a label: which comes of it (-1: none, the step is not for this one, or the socket is out of the
    table), which others besides, and what happens to the followed socket, or to the iteration."""

    to: int = -1
    others: tuple[int, ...] = ()
    harms: tuple[Signature, ...] = ()


class Effect(dict[int, Outcome]):
    """What a step does to each label, by number, worked out where it is asked for: most labels never meet most steps.

    In a table of so many `sockets`; from inside a read if it is `paused`.
    """

    def __init__(
        self, what: Shift | Turns | Opening, among: Sequence[Label], sockets: int, mode: Mode, *, paused: bool
    ) -> None:
        super().__init__()
        self._what, self._among, self._sockets, self._mode, self._paused = what, among, sockets, mode, paused

    def __missing__(self, number: int) -> Outcome:
        outcome = self[number] = self._outcome(self._among[number])
        return outcome

    def _outcome(self, label: Label) -> Outcome:
        what = self._what
        after: Label | None = None
        others: list[Label] = []
        harms: list[Signature] = []
        if isinstance(what, Turns):
            after = _read(what, label, harms, self._mode, paused=self._paused)
        elif isinstance(what, Shift):
            # In a `read all`, there is nothing between two reads.
            if self._paused or not label.in_all:
                after = _shifted(what, label, harms)
                if label.position < 0 and what.added >= 0 and not what.before_open:
                    others = [label._replace(position=what.added, changed=NEAR)]
        elif label == Label():
            after = label
            others = [Label(position, OWED) for position in range(self._sockets)]
        return Outcome(-1 if after is None else after.number, tuple(other.number for other in others), tuple(harms))


# Shrinking searches many small scopes one after the other, in which the same steps happen: working out what they do would
# take longer than the searches.
@lru_cache(maxsize=65_536)
def effect(of: Shift | Turns | Opening, most: int, sockets: int, mode: Mode, *, paused: bool) -> Effect:
    """The effect of a step in a scope of at most so many sockets, as `Effect` has it; always the same object."""
    return Effect(of, labels(most), sockets, mode, paused=paused)


@cache
def alive(most: int, wanted: frozenset[Signature], *, moves: bool) -> tuple[bool, ...]:
    """By number of a label, whether anything that is wanted can come of it."""
    return tuple(can_come(label, wanted, moves=moves) for label in labels(most))


def can_come(label: Label, wanted: frozenset[Signature], *, moves: bool) -> bool:
    """Whether anything that is wanted can come of a label, where sockets are moved or not."""
    if label.position < 0:
        return True
    # Moves count until the end is said.
    may_move = moves and not label.ended
    if label.fate == TWICE:
        return may_move and label.changed != MOVED and Signature("repeat", moved=True) in wanted
    # A label that has seen fewer changes may see more.
    may_come = [_harm("skip", changed) for changed in range(label.changed, 3)] if label.fate == OWED else []
    may_come += [_harm("repeat", changed) for changed in range(label.changed, 3)]
    return any(one in wanted and (not one.moved or may_move or label.changed == MOVED) for one in may_come)


def _harm(kind: Kind, changed: int) -> Signature:
    return Signature(kind, changed == MOVED, changed == ELSEWHERE)


def _shifted(what: Shift, label: Label, harms: list[Signature]) -> Label | None:
    if label.position < 0:
        return label
    position = what.to[label.position]
    if position < 0:
        return None
    changed = label.changed
    if what.before_open:
        return label._replace(position=position)
    if label.position == what.moved and not label.ended:
        if changed != MOVED and label.fate == TWICE:
            harms.append(Signature("repeat", moved=True))
        changed = MOVED
    elif what.near[label.position]:
        changed = max(changed, NEAR)
    return label._replace(position=position, changed=changed)


def _read(what: Turns, label: Label, harms: list[Signature], mode: Mode, *, paused: bool) -> Label | None:
    # A `read all` goes on by itself, and never stops for the number of its records.
    goes_on = mode == "on"
    in_all = label.in_all if goes_on else mode == "all"
    some = label.some or bool(what.shown)
    if what.refused and what.left != some:
        return None
    if (in_all and what.stops) or (goes_on and not paused and not in_all) or (not goes_on and label.in_all):
        return None
    fate, changed = label.fate, label.changed
    for position in what.shown:
        if position == label.position:
            if fate == ONCE:
                harms.append(_harm("repeat", changed))
                # From now on, only a move still makes a difference.
                changed = max(changed, NEAR)
            fate = ONCE if fate in (FREE, OWED) else TWICE
    if what.refused:
        harms.append(Signature("refused"))
    ended = what.over and not (some or what.refused or what.handed)
    if ended and fate == OWED:
        harms.append(_harm("skip", changed))
        fate = FREE
    return Label(label.position, fate, changed, label.ended or ended, in_all and not ended, some and not what.over)
