"""The limit of every walk from bucket to bucket: docs/explanation/impossible.md."""

from __future__ import annotations

from sockiter.cases import load
from sockiter.replay import replay
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import has_fixed_hash
from sockiter.simulation import SchemeTarget
from sockiter.verdict import Finding
from tests.support.paths import CASES


def test_every_walk_from_bucket_to_bucket_skips_an_element_that_moves_unless_the_hash_is_fixed() -> None:
    case = load(CASES / "moved_where_the_walk_was.case")
    targets = [SchemeTarget(scheme) for scheme in SCHEMES if {"rehash", "between"} <= scheme.hazards]
    verdicts = {target.name: replay(case, target, target).verdict for target in targets}
    exact = {target.name for target in targets if has_fixed_hash(target.scheme)}
    assert (len(targets), exact) == (18, {"key-home"})
    assert verdicts == {name: () if name in exact else (Finding("skip", "A", moved=True),) for name in verdicts}
