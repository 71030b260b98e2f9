"""The soundness of the exhaustive search's reductions, by three independent checks.

- `everything` runs every sequence of a few lines on the real frame, and the real oracle judges it. This covers the whole
  search: its own frame, the property monitor, the equality of states, the order, and the way back to a case. It reaches 5
  and 6 lines.
- The same search without a scheme's canonical form merges only states that differ in names. This covers the canonical forms
  and the limit of slots by the number of sockets, with 6 and 7 lines.
- Whenever a state is merged into an earlier state, both must have the same transitions, to states merged in turn. This
  covers the same as the second check, and the variables that are declared irrelevant, without a limit on the lines. It uses
  the search's own frame.

Planted canonical forms that forget too much show that each check catches errors.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from sockiter.check import everything
from sockiter.check.merges import compared
from sockiter.check.result import Scope
from sockiter.check.search import search
from sockiter.check.states import SystemState
from sockiter.check.transitions import TransitionSystem
from sockiter.check.verify import Formless
from sockiter.claims import Hazard
from sockiter.errors import Unsound
from sockiter.readers import READERS, Reader
from sockiter.schemes import SCHEMES
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.index_detect import IndexDetect
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.index_snapshot import IndexSnapshot
from sockiter.schemes.partial_batch import PartialBatch
from sockiter.schemes.rank import Rank
from sockiter.schemes.restart import Restart
from sockiter.schemes.scheme import AnyScheme
from sockiter.table import Table
from sockiter.verdict import Signature
from tests.support.generator_schemes import Generated, Reading
from tests.support.wrong_canonical_forms import PLANTED, one_of_each_scheme, own_of, with_canonical

EVERY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
NARROW = pytest.mark.parametrize("scheme", [IndexNarrow(), IndexDetect()], ids=lambda scheme: scheme.name)

Set = tuple[Hazard, ...]
PLAIN: Set = ("add-head", "add-tail", "remove", "reinsert")
SHOWN: Set = ("add-head", "remove", "reinsert", "show")
REFUSED: Set = ("add-head", "remove", "realloc", "enomem")
MOVED: Set = ("remove", "rehash", "show")
BETWEEN: Set = ("add-head", "rehash", "between")

pytestmark = pytest.mark.slow


def verdict(
    scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope, reader: Reader | None = None
) -> dict[Signature, int]:
    """The violations of the search, with the lengths of their least cases."""
    result = search(scheme, hazards, scope, reader=reader)
    assert result.complete
    return {one.signature: one.operations for one in result.violations}


def agree(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope, reader: Reader | None = None) -> None:
    there = frozenset(hazards) & scheme.hazards
    assert verdict(scheme, there, scope, reader) == everything.shortest(scheme, there, scope, reader=reader)


# Every sequence there is


@EVERY_SCHEME
@pytest.mark.parametrize("hazards", [SHOWN, REFUSED], ids=["show", "realloc"])
def test_the_search_agrees_with_every_sequence_of_five_lines(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 1, 1, 5 if scheme.tables == ("",) else 4))


@EVERY_SCHEME
def test_the_search_agrees_with_every_sequence_of_four_lines_in_two_buckets(scheme: AnyScheme) -> None:
    agree(scheme, MOVED, Scope(2, 2, 1, 4))
    agree(scheme, BETWEEN, Scope(2, 2, 1, 4))


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [PLAIN, ("add-head", "remove", "show"), ("reinsert", "show"), REFUSED, ("reinsert", "realloc", "enomem"), MOVED],
    ids=["plain", "show", "reinsert-show", "realloc", "reinsert-realloc", "rehash"],
)
def test_the_search_agrees_with_every_sequence_of_six_lines(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 1, 1, 6))


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [PLAIN, MOVED, ("rehash", "realloc", "enomem"), ("add-head", "remove", "realloc")],
    ids=["plain", "rehash-show", "rehash-realloc", "realloc"],
)
def test_the_search_agrees_with_every_sequence_of_five_lines_in_two_buckets(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 2, 1, 5 if scheme.tables == ("",) else 4))


@pytest.mark.usefixtures("_two_bits")
@NARROW
@pytest.mark.parametrize("rollover", [(), ("rollover",)], ids=["wide", "rollover"])
def test_the_search_agrees_with_every_sequence_whose_versions_roll_over(scheme: AnyScheme, rollover: Set) -> None:
    agree(scheme, (*PLAIN, *rollover), Scope(3, 1, 1, 5))
    agree(scheme, ("add-tail", *rollover), Scope(2, 2, 1, 4))


@pytest.mark.deep
@pytest.mark.usefixtures("_two_bits")
@NARROW
@pytest.mark.parametrize("rollover", [(), ("rollover",)], ids=["wide", "rollover"])
def test_the_search_agrees_with_every_longer_sequence_whose_versions_roll_over(scheme: AnyScheme, rollover: Set) -> None:
    agree(scheme, (*PLAIN, *rollover), Scope(3, 1, 1, 6))
    agree(scheme, (*SHOWN, *rollover), Scope(3, 1, 1, 5))


@pytest.mark.usefixtures("_two_bits")
def test_versions_of_two_bits_roll_over_within_five_lines() -> None:
    assert everything.shortest(IndexNarrow(), frozenset(), Scope(2, 1, 1, 5)) == {}
    found = everything.shortest(IndexNarrow(), frozenset({"rollover"}), Scope(2, 1, 1, 5))
    assert found == {Signature("skip", elsewhere=True): 5}


# Steps without a line come before steps with one: each of these once had a case with one line too many.


class AgainAndAgain(Generated, Rank):  # type: ignore[misc]
    """Shows the first socket in every read, and lets things happen meanwhile."""

    hazards: frozenset[Hazard] = frozenset({"add-head", "show"})

    def read(self, state: Any, table: Table) -> Reading:
        for socket in table.buckets[0][:1]:
            _, table = yield socket
        return state, None


@pytest.mark.parametrize(
    ("scheme", "hazards", "signature", "lines"),
    [
        (AgainAndAgain(), ("show",), Signature("repeat", elsewhere=True), 3),
        (Restart(), ("remove", "show"), Signature("repeat"), 6),
        (Restart(), ("reinsert", "show"), Signature("repeat", moved=True), 6),
        (CookieUdp(), ("reinsert", "realloc", "enomem"), Signature("skip", moved=True), 6),
    ],
    ids=lambda value: value.name if isinstance(value, Rank | Restart | CookieUdp) else None,
)
def test_violations_by_several_reads_of_a_read_all_have_cases_as_short_as_any(
    scheme: AnyScheme, hazards: Set, signature: Signature, lines: int
) -> None:
    assert verdict(scheme, hazards, Scope(2, 1, 1))[signature] == lines
    assert verdict(scheme, hazards, Scope(2, 1, 1, lines))[signature] == lines
    assert signature not in verdict(scheme, hazards, Scope(2, 1, 1, lines - 1))


def test_the_search_agrees_with_every_read_all_of_three_lines() -> None:
    agree(AgainAndAgain(), AgainAndAgain.hazards, Scope(2, 1, 1, 4))


# The life of a socket, and the ways of reading

OF_LIVES = ("index", "offset-tcp", "cookie-tcp", "full-batch-held", "rank")
LIVES = pytest.mark.parametrize("scheme", [one for one in SCHEMES if one.name in OF_LIVES], ids=lambda scheme: scheme.name)


@LIVES
@pytest.mark.parametrize(
    "hazards",
    [
        ("close", "show"),
        ("accept", "show"),
        ("close", "accept"),
        ("destroy", "show"),
        ("add-head", "destroying"),
        ("close", "destroying"),
        ("accept", "reinsert"),
    ],
    ids="-".join,
)
def test_the_search_finds_the_violations_of_all_short_lives(scheme: AnyScheme, hazards: Set) -> None:
    agree(scheme, hazards, Scope(2, 1, 1, 5 if scheme.tables == ("",) else 4))


@LIVES
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_search_finds_the_violations_of_all_short_sequences_of_a_reader(scheme: AnyScheme, reader: Reader) -> None:
    agree(scheme, ("add-head", "remove", "show"), Scope(2, 1, 1, 4 if reader.passes == 1 else 5), reader)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_search_finds_the_violations_of_all_short_sequences_of_a_reader_with_errors(reader: Reader) -> None:
    agree(Restart(), ("remove", "reinsert"), Scope(2, 1, 1, 5), reader)
    agree(CookieUdp(), ("remove", "enomem"), Scope(2, 1, 1, 5), reader)


@pytest.mark.deep
@pytest.mark.parametrize("name", ["index", "rank", "removal-count"])
def test_the_search_finds_the_violations_of_all_lives_of_six_lines(name: str) -> None:
    scheme = next(one for one in SCHEMES if one.name == name)
    agree(scheme, ("close", "accept", "show"), Scope(2, 1, 1, 6))
    agree(scheme, ("close", "accept", "reinsert"), Scope(2, 1, 1, 6))


@EVERY_SCHEME
@pytest.mark.parametrize(
    "hazards",
    [(), ("add-head", "realloc", "enomem"), ("reinsert",), ("close",), ("rehash",)],
    ids=lambda hazards: "-".join(hazards) or "none",
)
def test_destroying_reads_add_no_violation_to_removals_inside_reads(scheme: AnyScheme, hazards: Set) -> None:
    # `claims.without_implied` relies on this: under remove and show, the search leaves destroying reads out.
    if "show" in scheme.hazards:
        on: frozenset[Hazard] = scheme.hazards & frozenset(hazards)
        for scope in (Scope(2, 1, 1), Scope(2, 2, 1)):
            destroying = verdict(scheme, on | {"remove", "destroying"}, scope).keys()
            assert destroying <= verdict(scheme, on | {"remove", "show"}, scope).keys()


# Nothing forgotten but names


def same_without(scheme: AnyScheme, hazards: Iterable[Hazard], scope: Scope) -> None:
    assert verdict(Formless(scheme), hazards, scope) == verdict(scheme, hazards, scope)


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


# Merged states continue alike

SCOPES = [Scope(3, 1, 2), Scope(2, 2, 1)]


@EVERY_SCHEME
def test_merged_states_continue_alike_for_ever(scheme: AnyScheme) -> None:
    of = compared(scheme, scheme.hazards - {"rollover"}, Scope(2, 1, 1), most=500)

    assert of.differences == ()
    assert of.compared > of.states


@pytest.mark.deep
@EVERY_SCHEME
@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: f"{scope.sockets}-{scope.buckets}-{scope.batch}")
def test_merged_states_continue_alike_in_larger_scopes(scheme: AnyScheme, scope: Scope) -> None:
    of = compared(scheme, scheme.hazards - {"rollover"}, scope, most=1000)

    assert of.differences == ()


@pytest.mark.usefixtures("_two_bits")
@NARROW
def test_merged_states_continue_alike_where_versions_roll_over(scheme: AnyScheme) -> None:
    of = compared(scheme, ("remove", "reinsert", "show", "rollover"), Scope(2, 1, 1), most=500)

    assert of.differences == ()
    assert of.compared > 400


# Planted: canonical forms that forget too much


@pytest.mark.parametrize(
    "forgets", one_of_each_scheme(name for name, planted in PLANTED.items() if "rollover" not in planted.hazards)
)
def test_a_canonical_form_that_forgets_too_much_is_caught_by_a_different_continuation(forgets: str) -> None:
    planted = PLANTED[forgets]
    scheme = with_canonical(planted.scheme, planted.form)

    assert compared(scheme, planted.hazards, planted.scope, most=500).differences


@pytest.mark.usefixtures("_two_bits")
@pytest.mark.parametrize("forgets", [name for name, planted in PLANTED.items() if "rollover" in planted.hazards])
def test_a_canonical_form_that_forgets_the_rollover_is_caught_by_a_different_continuation(forgets: str) -> None:
    planted = PLANTED[forgets]
    scheme = with_canonical(planted.scheme, planted.form)

    assert compared(scheme, planted.hazards, planted.scope, most=500).differences


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
def test_the_oracle_refutes_a_violation_by_a_form_that_forgets_too_much(forgets: str) -> None:
    planted = PLANTED[forgets]
    scheme = with_canonical(planted.scheme, planted.form)

    with pytest.raises(Unsound, match="but the oracle does not"):
        search(scheme, planted.hazards, planted.scope)


def test_a_form_that_forgets_how_old_a_socket_is_is_caught_by_every_sequence_and_by_the_literal_form() -> None:
    scheme, hazards, scope = (
        with_canonical(IndexSnapshot(), own_of(PartialBatch)),
        frozenset[Hazard](["reinsert"]),
        Scope(2, 1, 1, 5),
    )
    of_all = everything.shortest(scheme, hazards, scope)

    assert verdict(Formless(scheme), hazards, scope) == of_all
    assert verdict(scheme, hazards, scope) != of_all


def forgetful(state: SystemState, forgets: str, value: object) -> SystemState:
    other = copy.copy(state)
    setattr(other, forgets, value)
    return other


@pytest.mark.parametrize(("forgets", "value"), [("fresh", False), ("left", False)])
def test_a_state_of_which_too_much_is_forgotten_is_caught(
    forgets: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = TransitionSystem._key
    monkeypatch.setattr(TransitionSystem, "_key", lambda self, state: key(self, forgetful(state, forgets, value)))

    assert any(compared(scheme, scheme.hazards, Scope(2, 1, 1), most=500).differences for scheme in SCHEMES[-4:])
