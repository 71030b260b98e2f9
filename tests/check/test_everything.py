"""Every short sequence, as the reference for the search."""

from __future__ import annotations

import pytest

from sockiter.check import everything
from sockiter.check.result import Scope
from sockiter.claims import Hazard
from sockiter.operations import Add
from sockiter.schemes.index_narrow import IndexNarrow
from sockiter.schemes.offset_tcp import OffsetTcp
from sockiter.verdict import Signature


@pytest.mark.usefixtures("_two_bits")
def test_every_sequence_leaves_out_those_whose_versions_roll_over_and_must_not() -> None:
    scope = Scope(2, 1, 1, 5)
    assert everything.shortest(IndexNarrow(), frozenset(), scope) == {}
    assert everything.shortest(IndexNarrow(), frozenset({"rollover"}), scope) == {Signature("skip", elsewhere=True): 5}


def test_every_sequence_leaves_out_a_tail_where_a_table_has_none() -> None:
    hazards: frozenset[Hazard] = frozenset({"add-tail"})
    every = list(everything.sequences(OffsetTcp(), hazards, Scope(1, 1, 1, 3)))
    assert every
    assert not any(
        isinstance(one, Add) and one.end == "tail" and one.bucket.table == "established"
        for operations in every
        for one in operations
    )
