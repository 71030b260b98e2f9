"""Wrong canonical forms are found, with the field that each one forgets."""

from __future__ import annotations

from typing import Any

import pytest

from sockiter.check import verify as verification
from sockiter.check.result import Scope
from sockiter.check.verify import Formless, Merged, verify
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.rank import Rank
from tests.support.wrong_canonical_forms import PLANTED, Planted, fixed, with_canonical

SMALL: Any = (
    (("remove", "show"), Scope(2, 1, 1, 5)),
    (("add-head", "enomem"), Scope(2, 1, 1, 5)),
)
MERGES: Any = ((("add-head", "remove", "show"), Scope(3, 1, 1)), (("reinsert", "rollover"), Scope(2, 1, 1)))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SEARCHES", SMALL)
    monkeypatch.setattr(verification, "MERGES", MERGES)


def merged(planted: Planted) -> Merged:
    scheme = with_canonical(planted.scheme, planted.form)
    hazards = frozenset(planted.hazards) & scheme.hazards
    return verification._merged(scheme, hazards, planted.scope, lambda doing: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "forgets",
    [
        pytest.param(name, marks=[pytest.mark.deep] * (not name.startswith(("unix: that", "cookie-udp: its", "restart"))))
        for name, planted in PLANTED.items()
        if planted.fields
    ],
)
def test_the_field_that_a_canonical_form_forgets_is_named(forgets: str) -> None:
    wrong = merged(PLANTED[forgets]).wrong
    assert wrong is not None
    assert wrong.fields == PLANTED[forgets].fields
    assert wrong.sides[0] != wrong.sides[1]
    assert wrong.after
    assert wrong.does[0] != wrong.does[1] or "not possible" in wrong.does


def test_known_a_form_that_forgets_how_far_an_epoch_is_passes_where_versions_are_as_wide_as_they_are() -> None:
    # All versions before open are one state then, and no other one is ever near the end of an epoch.
    assert merged(PLANTED["index-detect: how far its epoch is"]).wrong is None


def test_two_concrete_states_and_the_operation_that_separates_them_are_reported() -> None:
    wrong = merged(PLANTED["unix: that it is done"]).wrong
    assert wrong is not None
    (one, other) = wrong.sides
    assert one.at.replace("done=True", "done=False") == other.at.replace("done=True", "done=False")
    assert {"done=True" in one.at, "done=True" in other.at} == {True, False}
    assert one.table.startswith("[s")
    assert " ver=" in one.table
    assert wrong.after == ("the socket is shown, and the read continues",)


def test_a_form_that_is_right_is_found_right() -> None:
    reported: list[str] = []
    result = verify(CookieUdp(), reported.append)
    assert result.agrees
    assert result.has_form
    assert [one.canonical for one in result.searches] == [one.everything for one in result.searches]
    assert any(one.everything for one in result.searches)
    (merge,) = result.merges  # its versions do not roll over
    assert (merge.complete, merge.wrong, merge.agrees) == (True, None, True)
    assert merge.compared > merge.states > 0
    assert reported[0] == "cookie-udp under remove, show: searches"
    assert reported[-1] == "cookie-udp under add-head, remove, show: merged states"
    assert any(doing.endswith("sequences") for doing in reported)


def test_a_scheme_without_a_canonical_form_is_compared_with_every_sequence_alone() -> None:
    result = verify(Formless(Rank()))
    assert (result.has_form, result.merges, result.agrees) == (False, (), True)
    assert {one.canonical for one in result.searches} == {None}


def test_a_search_that_reports_a_false_violation_disagrees() -> None:
    wrong = with_canonical(OffsetUdp(), fixed(bucket=9))
    one = verification._compare(wrong, frozenset({"remove", "show"}), Scope(2, 2, 1, 5), lambda doing: None)
    assert not one.agrees
    assert (one.canonical, "but the oracle does not" in one.why) == (None, True) or one.canonical != one.literal
