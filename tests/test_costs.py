"""The stated costs of schemes against counted ones, and the page that has both."""

from __future__ import annotations

import pytest

from sockiter.schemes.costs import Costs, costs_of
from sockiter.schemes.key_order import KeyOrder
from sockiter.schemes.listns import Listns
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.schemes.scheme import AnyScheme
from tests.report_choosing import CHOICES, beginning
from tests.support.counted_table import walked
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "explanation" / "choosing.md"
EVERY_CHOICE = pytest.mark.parametrize("scheme", CHOICES, ids=lambda scheme: scheme.name)


def stated_by(scheme: AnyScheme) -> Costs:
    costs = costs_of(scheme)
    assert costs is not None
    return costs


@EVERY_CHOICE
def test_a_scheme_holds_references_only_if_it_states_so(scheme: AnyScheme) -> None:
    assert walked(scheme, 20, 2, 3).holds_references == stated_by(scheme).holds_references


@EVERY_CHOICE
def test_a_scheme_that_looks_at_counts_of_the_table_states_bytes_for_them(scheme: AnyScheme) -> None:
    costs = stated_by(scheme)
    assert (costs.bucket or costs.table) or not walked(scheme, 20, 2, 3).uses_counts


@EVERY_CHOICE
def test_a_scheme_depends_on_indexes_only_if_it_states_bytes_for_elements(scheme: AnyScheme) -> None:
    in_order, scrambled = (walked(scheme, 40, 1, 3, scrambled=value) for value in (False, True))
    assert (scrambled != in_order) == (stated_by(scheme).element > 0)


def test_a_scheme_may_state_no_costs() -> None:
    assert costs_of(Listns()) is None


def test_a_count_begins_a_bucket_anew_in_each_read_so_that_a_walk_is_quadratic() -> None:
    small, large = (walked(OffsetUdp(), size, 1, 10).looked_at for size in (100, 1_000))
    assert large > 80 * small


def test_a_walk_of_one_read_looks_at_each_element_once_or_twice() -> None:
    assert walked(KeyOrder(), 10, 1, 100).looked_at == 10
    assert walked(OffsetUdp(), 100, 1, 1_000).looked_at == 200  # before and after the batch grows


@pytest.mark.skipif(not PAGE.is_file(), reason=f"no {PAGE}: this is not a checkout")
def test_the_page_has_every_scheme_with_its_promises_and_costs() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    expected = [beginning(scheme).removesuffix(" |").split(" | ") for scheme in CHOICES]
    # The column of proofs is not compared: more schemes may have one for any number.
    assert [row[:4] + row[5:9] for row in rows] == [row[:4] + row[5:] for row in expected]
