"""That the exhaustive search may forget what it forgets: three ways to see it, none of which rests on another.

- `everything` runs every sequence of a few lines on the real frame, and has the real oracle judge it. That covers all there
  is to the search: its own frame, what becomes of a followed socket, which moments are one, the order, and the way back to
  a case. It gets to 5 and 6 lines.
- The same search without a scheme's canonical form takes nothing for the same but what differs in names. That covers the
  canonical forms, and that no more slots are told than there can be sockets, with 6 and 7 lines.
- Whenever a moment is taken for one that was there before, both have to lead on in the same ways, to moments that are taken
  for the same in turn. That covers what the second covers, and the variables that are said not to matter, with no bound on
  the lines; it takes the search's own frame as it is.

Each of them is shown to see something: canonical forms that forget too much are planted, and caught.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

import pytest
from generators import Generated, Reading

from sockiter import claims, everything, skeleton
from sockiter.claims import Hazard
from sockiter.explore import Scope, search
from sockiter.schemes import SCHEMES, index_detect, index_narrow
from sockiter.schemes.cookie_tcp import CookieTcp
from sockiter.schemes.cookie_udp import CookieUdp, Showing, names
from sockiter.schemes.full_batch import FullBatch, FullBatchHeld
from sockiter.schemes.index import Index
from sockiter.schemes.index_detect import IndexDetect
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.partial_batch import PartialBatch
from sockiter.schemes.rank import Place, Rank
from sockiter.schemes.removal_count import RemovalCount
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme, Show, Where
from sockiter.schemes.unix import Unix
from sockiter.skeleton import Moment, Skeleton, Step
from sockiter.table import Table
from sockiter.verdict import Signature

EVERY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
NARROW = pytest.mark.parametrize("scheme", [IndexNarrow(), IndexDetect()], ids=lambda scheme: scheme.name)

Set = tuple[Hazard, ...]
PLAIN: Set = ("add-head", "add-tail", "remove", "reinsert")
SHOWN: Set = ("add-head", "remove", "reinsert", "show")
REFUSED: Set = ("add-head", "remove", "realloc", "enomem")
MOVED: Set = ("remove", "rehash", "show")
BETWEEN: Set = ("add-head", "rehash", "between")

pytestmark = [pytest.mark.slow, pytest.mark.interpreter]


def verdict(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope) -> dict[Signature, int]:
    """What the search finds, with the lines of the least case of each."""
    searched = search(scheme, hazards, scope)
    assert searched.complete
    return {one.signature: one.operations for one in searched.violations}


def agree(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope) -> None:
    there = frozenset(hazards) & scheme.hazards
    assert verdict(scheme, there, scope) == everything.shortest(scheme, there, scope)


# Every sequence there is


@EVERY_SCHEME
@pytest.mark.parametrize("hazards", [SHOWN, REFUSED], ids=["show", "realloc"])
def test_the_search_finds_what_every_sequence_of_five_lines_shows(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 1, 1, 5 if scheme.tables == ("",) else 4))


@EVERY_SCHEME
def test_the_search_finds_what_every_sequence_of_four_lines_in_two_buckets_shows(scheme: AnyScheme) -> None:
    agree(scheme, MOVED, Scope(2, 2, 1, 4))
    agree(scheme, BETWEEN, Scope(2, 2, 1, 4))


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [PLAIN, ("add-head", "remove", "show"), ("reinsert", "show"), REFUSED, ("reinsert", "realloc", "enomem"), MOVED],
    ids=["plain", "show", "reinsert-show", "realloc", "reinsert-realloc", "rehash"],
)
def test_the_search_finds_what_every_sequence_of_six_lines_shows(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 1, 1, 6))


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [PLAIN, MOVED, ("rehash", "realloc", "enomem"), ("add-head", "remove", "realloc")],
    ids=["plain", "rehash-show", "rehash-realloc", "realloc"],
)
def test_the_search_finds_what_every_sequence_of_five_lines_in_two_buckets_shows(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 2, 1, 5 if scheme.tables == ("",) else 4))


@pytest.fixture
def _two_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # As narrow as that, versions roll over with the second socket that is put in, within a few lines.
    monkeypatch.setattr(index_narrow, "VERSION_BITS", 2)
    monkeypatch.setattr(index_detect, "EPOCH", 2)
    monkeypatch.setattr(claims, "INSERTIONS_MAX", 1)
    monkeypatch.setattr(skeleton, "INSERTIONS_MAX", 1)


@pytest.mark.usefixtures("_two_bits")
@NARROW
@pytest.mark.parametrize("rollover", [(), ("rollover",)], ids=["wide", "rollover"])
def test_the_search_finds_what_every_sequence_shows_whose_versions_roll_over(scheme: AnyScheme, rollover: Set) -> None:
    agree(scheme, (*PLAIN, *rollover), Scope(3, 1, 1, 5))
    agree(scheme, ("add-tail", *rollover), Scope(2, 2, 1, 4))


@pytest.mark.deep
@pytest.mark.usefixtures("_two_bits")
@NARROW
@pytest.mark.parametrize("rollover", [(), ("rollover",)], ids=["wide", "rollover"])
def test_the_search_finds_what_every_longer_sequence_shows_whose_versions_roll_over(
    scheme: AnyScheme, rollover: Set
) -> None:
    agree(scheme, (*PLAIN, *rollover), Scope(3, 1, 1, 6))
    agree(scheme, (*SHOWN, *rollover), Scope(3, 1, 1, 5))


@pytest.mark.usefixtures("_two_bits")
def test_versions_of_two_bits_roll_over_within_five_lines() -> None:
    assert everything.shortest(IndexNarrow(), frozenset(), Scope(2, 1, 1, 5)) == {}
    found = everything.shortest(IndexNarrow(), frozenset({"rollover"}), Scope(2, 1, 1, 5))
    assert found == {Signature("skip", elsewhere=True): 5}


# What takes no line comes before what takes one: each of these was once found with a line more than it takes.


class AgainAndAgain(Generated, Rank):  # type: ignore[misc]  # begin and resume are those of Generated
    """Shows the first socket in every read, and lets things happen meanwhile."""

    hazards: frozenset[Hazard] = frozenset({"add-head", "show"})

    def read(self, state: Any, table: Table) -> Reading:
        for socket in table.buckets[0][:1]:
            _, table = yield socket
        return state, None


@pytest.mark.parametrize(
    ("scheme", "hazards", "harmed", "lines"),
    [
        (AgainAndAgain(), ("show",), Signature("repeat", elsewhere=True), 3),
        (Restart(), ("remove", "show"), Signature("repeat"), 6),
        (Restart(), ("reinsert", "show"), Signature("repeat", moved=True), 6),
        (CookieUdp(), ("reinsert", "realloc", "enomem"), Signature("skip", moved=True), 6),
    ],
    ids=lambda value: value.name if isinstance(value, Rank | Restart | CookieUdp) else None,
)
def test_what_more_than_one_read_of_a_read_all_comes_to_is_found_with_as_few_lines(
    scheme: AnyScheme, hazards: Set, harmed: Signature, lines: int
) -> None:
    assert verdict(scheme, hazards, Scope(2, 1, 1))[harmed] == lines
    assert verdict(scheme, hazards, Scope(2, 1, 1, lines))[harmed] == lines
    assert harmed not in verdict(scheme, hazards, Scope(2, 1, 1, lines - 1))


def test_what_a_read_all_comes_to_in_three_lines_is_what_every_sequence_shows() -> None:
    agree(AgainAndAgain(), AgainAndAgain.hazards, Scope(2, 1, 1, 4))


# Nothing forgotten but names


class _Hidden:
    def __get__(self, scheme: object, of: object) -> None:
        raise AttributeError("canonical")


def without_canonical(scheme: AnyScheme) -> AnyScheme:
    """The scheme as it would be if it had no canonical form."""
    return with_canonical(scheme, _Hidden())


def with_canonical(scheme: AnyScheme, canonical: Any) -> AnyScheme:
    """The scheme with another canonical form."""
    kind = type(scheme)
    changed: AnyScheme = type(kind.__name__, (kind,), {"canonical": canonical, "canonical_in_order": _Hidden()})()
    return changed


def same_without(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope) -> None:
    assert verdict(without_canonical(scheme), hazards, scope) == verdict(scheme, hazards, scope)


@EVERY_SCHEME
def test_a_canonical_form_changes_no_verdict_under_all_hazards_together(scheme: AnyScheme) -> None:
    same_without(scheme, scheme.hazards, Scope(2, 1, 1, 5))


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [("remove", "reinsert", "show"), REFUSED, ("reinsert", "realloc", "enomem")],
    ids=["show", "realloc", "reinsert-realloc"],
)
def test_a_canonical_form_changes_no_verdict_with_six_and_seven_lines(scheme: AnyScheme, hazards: Set) -> None:
    if scheme.tables == ("",):
        same_without(scheme, hazards, Scope(3, 1, 2, 6))
    same_without(scheme, hazards, Scope(2, 1, 1, 7))


@pytest.mark.deep
@pytest.mark.usefixtures("_two_bits")
@NARROW
def test_a_canonical_form_changes_no_verdict_where_versions_roll_over(scheme: AnyScheme) -> None:
    same_without(scheme, (*PLAIN, "rollover"), Scope(3, 1, 2, 6))
    same_without(scheme, (*SHOWN, "rollover"), Scope(2, 1, 1, 6))


@pytest.mark.deep
@EVERY_SCHEME
def test_a_canonical_form_changes_no_verdict_in_two_buckets(scheme: AnyScheme) -> None:
    same_without(scheme, ("rehash", "show"), Scope(2, 2, 1, 5))


# Whoever is taken for another goes on as that one does


class Compared(NamedTuple):
    """How many moments there are, how many stood for another one, how many of these were compared, and the differences."""

    moments: int
    merged: int
    compared: int
    differences: tuple[str, ...]


Ways = list[tuple[object, object, int]]


class _Merging(Skeleton):
    """Keeps what is taken for something else, each as it is, by what it is taken for."""

    def __init__(self, scheme: AnyScheme, hazards: frozenset[Hazard], scope: Scope) -> None:
        self.merged: dict[Hashable, tuple[int, Moment]] = {}
        super().__init__(scheme, hazards, scope.sockets, scope.buckets, scope.batch)

    def _number(self, moment: Moment) -> int:
        number = super()._number(moment)
        if (told := _told(moment)) != _told(self.moments[number]):
            self.merged.setdefault((number, told), (number, moment))
        return number

    def ways(self, number: int) -> Ways:
        steps: list[Step] = [*self.lines(number), *self.onwards(number)]
        return [(step.line, step.effect, step.to) for step in steps]

    def ways_of(self, moment: Moment) -> Ways:
        """Those of a moment that is known by another one."""
        number = len(self.moments)
        self.moments.append(moment)
        ways = self.ways(number)
        del self.moments[number]
        return ways


def _told(moment: Moment) -> Hashable:
    return moment.table, moment.at, moment.request


def compared(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope, *, most: int, rounds: int = 2) -> Compared:
    """Close a scope, and compare every moment that was taken for another one with that; and then, in further rounds, what
    these lead to and is taken for something else. In each round, `most` of them, drawn with a fixed seed.

    Two moments do the same if their ways are the same, in lines and in effects, and lead to moments that do the same. That
    is worked out first for those that stand for others, by taking all for the same and dividing them until nothing changes:
    a canonical form may tell apart what makes no difference.
    """
    merging = _Merging(scheme, frozenset(hazards) & scheme.hazards, scope)
    ways: list[Ways] = []
    while len(ways) < len(merging.moments):
        ways.append(merging.ways(len(ways)))
    alike = divided(ways)
    draw = random.Random(1)
    merged = count = 0
    differences: list[str] = []
    for _ in range(rounds):
        waiting = list(merging.merged.values())
        merging.merged = {}
        merged += len(waiting)
        for number, moment in draw.sample(waiting, most) if len(waiting) > most else waiting:
            count += 1
            its = merging.ways_of(moment)
            if len(merging.moments) > len(ways):
                differences.append(f"{_told(moment)}\nleads to where none was before")
                return Compared(len(ways), merged, count, tuple(differences))
            if seen(its, alike) != seen(ways[number], alike):
                differences.append(f"{_told(moment)}\nis taken for\n{_told(merging.moments[number])}")
    return Compared(len(ways), merged, count, tuple(differences))


def seen(ways: Ways, alike: list[int]) -> tuple[tuple[object, object, int], ...]:
    return tuple((line, effect, alike[to]) for line, effect, to in ways)


def divided(ways: list[Ways]) -> list[int]:
    """The number of a class for each moment, the same for those that do the same."""
    alike = [0] * len(ways)
    classes = 1
    while True:
        numbers: dict[Hashable, int] = {}
        alike = [numbers.setdefault((alike[at], seen(its, alike)), len(numbers)) for at, its in enumerate(ways)]
        if len(numbers) == classes:
            return alike
        classes = len(numbers)


SCOPES = [Scope(3, 1, 2), Scope(2, 2, 1)]


@EVERY_SCHEME
def test_what_is_taken_for_the_same_goes_on_in_the_same_way_for_ever(scheme: AnyScheme) -> None:
    of = compared(scheme, scheme.hazards - {"rollover"}, Scope(2, 1, 1), most=500)

    assert of.differences == ()
    assert of.compared > of.moments


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: f"{scope.sockets}-{scope.buckets}-{scope.batch}")
def test_what_is_taken_for_the_same_goes_on_in_the_same_way_in_larger_scopes(scheme: AnyScheme, scope: Scope) -> None:
    of = compared(scheme, scheme.hazards - {"rollover"}, scope, most=1000)

    assert of.differences == ()


@pytest.mark.usefixtures("_two_bits")
@NARROW
def test_what_is_taken_for_the_same_goes_on_in_the_same_way_where_versions_roll_over(scheme: AnyScheme) -> None:
    of = compared(scheme, ("remove", "reinsert", "show", "rollover"), Scope(2, 1, 1), most=500)

    assert of.differences == ()
    assert of.compared > 400


# Planted: canonical forms that forget too much

Form = Callable[[Any, Any, Table, Where], Hashable]


def own(changed: Any, at: Any, table: Table, where: Where) -> Hashable:
    """The canonical form of the scheme that this one was made of."""
    form: Hashable = super(type(changed), changed).canonical(at, table, where)
    return form


def fixed(**values: object) -> Form:
    """The scheme's own form of a state or waiting value in which these fields always have these values."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        if at is not None:
            at = at._replace(**{field: value for field, value in values.items() if field in at._fields})
        return own(self, at, table, where)

    return form


def only_first(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    """The scheme's own form, without the rest of a batch that is being shown."""
    if isinstance(getattr(at, "waits_for", None), Show):
        at = at._replace(batch=at.batch[:1])
    return own(self, at, table, where)


def own_of(kind: Any) -> Form:
    """The form of what the scheme is a kind of."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        of_kind: Hashable = kind.canonical(self, at, table, where)
        return of_kind

    return form


def only_of_those_there(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    if isinstance(at, Showing):
        return at.bucket, at.slots, tuple(where[name] for name in names(at.batch) if name in where)
    return own(self, at, table, where)


def in_any_order(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    if isinstance(at, Showing):
        return at.bucket, at.slots, tuple(sorted(where.of(at.batch)))
    return own(self, at, table, where)


def mattering(matters: Callable[..., Hashable]) -> Form:
    """The form of a batch in which of a place there matters only this."""

    def form(self: Any, at: Any, table: Table, where: Where) -> Hashable:
        told: Any = type("Told", (type(self).__bases__[0],), {"matters": matters})()
        of_told: Hashable = told.canonical(at, table, where)
        return of_told

    return form


def as_captured(self: Any, at: Any, table: Table, where: Where) -> Hashable:
    # As if a socket that is gone were as it was captured, whatever became of it before it went.
    return own(self, at, table._replace(gone=()), where)


class Planted(NamedTuple):
    scheme: AnyScheme
    form: Form
    hazards: tuple[Hazard, ...] = (*claims.CHANGES, "show", "realloc", "enomem")
    scope: Scope = Scope(3, 1, 1)


PLANTED = {
    "offset-udp: where it is in a bucket": Planted(OffsetUdp(), fixed(place=0)),
    "offset-udp: that it is done": Planted(OffsetUdp(), fixed(is_whole=False), scope=Scope(2, 2, 1)),
    "offset-udp: which bucket it is in": Planted(OffsetUdp(), fixed(bucket=0), scope=Scope(2, 2, 1)),
    "offset-udp: the rest of its batch": Planted(OffsetUdp(), only_first),
    "offset-udp: its slots": Planted(OffsetUdp(), fixed(slots=1)),
    "offset-tcp: which table it is in": Planted(OffsetTcp(), fixed(phase=0), scope=Scope(2, 1, 1)),
    "offset-tcp: its count": Planted(OffsetTcp(), fixed(offset=0, left=0), scope=Scope(2, 1, 1)),
    "rank: its rank": Planted(Rank(), fixed(place=Place(0, None, 0))),
    "unix: that it is done": Planted(Unix(), fixed(done=False)),
    "unix: the rest of its batch": Planted(Unix(), only_first),
    "index: where it is in a bucket": Planted(Index(), mattering(lambda *_: None)),
    "index: how a socket was when it left": Planted(Index(), as_captured),
    "index-snapshot: who is old": Planted(IndexSnapshot(), own_of(PartialBatch)),
    "index-narrow: the indexes": Planted(IndexNarrow(), own_of(PartialBatch), ("reinsert", "rollover"), Scope(2, 1, 1)),
    "index-detect: how far its epoch is": Planted(
        IndexDetect(), own_of(PartialBatch), ("reinsert", "rollover"), Scope(2, 1, 1)
    ),
    "removal-count: the removals": Planted(
        RemovalCount(), mattering(lambda self, table, bucket, place, waiting: place.offset)
    ),
    "full-batch: its count": Planted(FullBatch(), fixed(offset=0)),
    "full-batch-held: its batch": Planted(FullBatchHeld(), fixed(batch=())),
    "restart: whether any was removed": Planted(
        Restart(), mattering(lambda self, table, bucket, place, waiting: place.offset)
    ),
    "cookie-udp: turns of those that are gone": Planted(CookieUdp(), only_of_those_there),
    "cookie-udp: the order of its cookies": Planted(CookieUdp(), in_any_order),
    "cookie-tcp: its cookies": Planted(CookieTcp(), fixed(cookies=()), scope=Scope(2, 1, 1)),
    "cookie-tcp: turns of those that are gone": Planted(CookieTcp(), only_of_those_there, scope=Scope(2, 1, 1)),
}


@pytest.mark.parametrize("forgets", [name for name, planted in PLANTED.items() if "rollover" not in planted.hazards])
def test_a_canonical_form_that_forgets_too_much_is_caught_by_what_goes_on_in_another_way(forgets: str) -> None:
    scheme, form, hazards, scope = PLANTED[forgets]

    assert compared(with_canonical(scheme, form), hazards, scope, most=5000).differences


@pytest.mark.usefixtures("_two_bits")
@pytest.mark.parametrize("forgets", [name for name, planted in PLANTED.items() if "rollover" in planted.hazards])
def test_a_canonical_form_that_forgets_what_rolls_over_is_caught_by_what_goes_on_in_another_way(forgets: str) -> None:
    scheme, form, hazards, scope = PLANTED[forgets]

    assert compared(with_canonical(scheme, form), hazards, scope, most=5000).differences


@pytest.mark.parametrize(
    "forgets",
    [
        "offset-udp: that it is done",
        "offset-udp: the rest of its batch",
        "rank: its rank",
        "unix: that it is done",
        "index: where it is in a bucket",
        "removal-count: the removals",
        "restart: whether any was removed",
        "cookie-tcp: its cookies",
    ],
)
def test_what_the_search_says_on_the_word_of_a_form_that_forgets_too_much_the_oracle_does_not(forgets: str) -> None:
    scheme, form, hazards, scope = PLANTED[forgets]

    with pytest.raises(AssertionError, match="of what the oracle does not"):
        search(with_canonical(scheme, form), hazards, scope)


def test_a_form_that_forgets_how_old_a_socket_is_is_caught_by_every_sequence_and_by_the_literal_form() -> None:
    scheme, hazards, scope = (
        with_canonical(IndexSnapshot(), own_of(PartialBatch)),
        frozenset[Hazard](["reinsert"]),
        Scope(2, 1, 1, 5),
    )
    of_all = everything.shortest(scheme, hazards, scope)

    assert verdict(without_canonical(scheme), hazards, scope) == of_all
    assert verdict(scheme, hazards, scope) != of_all


def forgetful(moment: Moment, forgets: str, value: object) -> Moment:
    other = copy.copy(moment)
    setattr(other, forgets, value)
    return other


@pytest.mark.parametrize(("forgets", "value"), [("fresh", False), ("left", False)])
def test_a_moment_of_which_too_much_is_forgotten_is_caught(
    forgets: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Skeleton._key
    monkeypatch.setattr(Skeleton, "_key", lambda self, moment: key(self, forgetful(moment, forgets, value)))

    assert any(compared(scheme, scheme.hazards, Scope(2, 1, 1), most=500).differences for scheme in SCHEMES[-4:])
