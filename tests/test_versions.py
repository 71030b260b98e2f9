"""The map from kernel releases to schemes: consistent, in line with every measured kernel, and printed correctly."""

from __future__ import annotations

from itertools import combinations

import pytest

from sockiter.schemes import SCHEMES
from sockiter.schemes.versions import KNOWN, NEWEST, Known, in_words, mainline
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "schemes.md"


def parts(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def covers(known: Known, release: tuple[int, ...]) -> bool:
    first = parts(known.first or "0.0")
    if len(first) == 3 and release[:2] != first[:2]:
        return False
    last = (999,) if known.last == NEWEST else parts(known.last)
    return first <= release[: len(first)] and release[: len(last)] <= last


def schemes_of(walk: str, release: str) -> list[str]:
    """Stable branches first: they overrule mainline."""
    found = [known for known in KNOWN if known.walk == walk and covers(known, parts(release))]
    branches = [known.scheme for known in found if known.first.count(".") == 2]
    return branches or [known.scheme for known in found]


@pytest.mark.parametrize(
    ("release", "udp", "tcp"),
    [
        ("6.1.170", "rank", "offset-tcp"),
        ("6.1.182", "rank", "offset-tcp"),
        ("6.1.183", "rank", "cookie-tcp"),
        ("6.1.192", "rank", "cookie-tcp"),
        ("6.6.13", "", "offset-tcp"),
        ("6.6.14", "offset-udp", "offset-tcp"),
        ("6.6.152", "offset-udp", "cookie-tcp"),
        ("6.7.1", "", "offset-tcp"),
        ("6.7.2", "offset-udp", "offset-tcp"),
        ("6.12.101", "offset-udp", "offset-tcp"),
        ("6.12.104", "offset-udp", "cookie-tcp"),
        ("6.12.117", "offset-udp", "cookie-tcp"),
        ("6.16.0", "cookie-udp", "offset-tcp"),
        ("6.18.44", "cookie-udp", "cookie-tcp"),
    ],
)
def test_a_release_has_the_schemes_that_were_measured_or_merged(release: str, udp: str, tcp: str) -> None:
    assert schemes_of("UDP", release) == [udp]
    assert schemes_of("TCP", release) == [tcp]
    assert schemes_of("/proc/net/udp", release) == ["proc-udp"]
    assert schemes_of("UNIX", release) == ["unix"]


def test_ranges_of_one_walk_overlap_only_where_a_branch_overrules_mainline() -> None:
    for one, other in combinations(KNOWN, 2):
        if one.walk == other.walk and one.first.count(".") == other.first.count("."):
            assert not covers(one, parts(other.first)), (one, other)


def test_every_range_names_a_scheme_of_the_project_and_a_basis() -> None:
    names = {scheme.name for scheme in SCHEMES}
    assert {known.scheme for known in KNOWN} - names == {""}
    assert all(known.basis for known in KNOWN)


def test_a_summary_names_the_mainline_releases() -> None:
    summaries = {scheme.name: scheme.summary for scheme in SCHEMES}
    for name in {known.scheme for known in KNOWN if known.scheme}:
        assert summaries[name].endswith(f"({mainline(name)})")
    assert mainline("cookie-tcp") == "TCP, mainline 6.17 and later"
    assert mainline("offset-tcp") == "TCP, mainline 5.15 to 6.16"
    assert mainline("rank") == "UDP, mainline up to 6.4"
    assert mainline("proc-udp") == "/proc/net/udp, mainline 6.1 to 7.2"


@pytest.mark.skipif(not PAGE.is_file(), reason=f"no {PAGE}: this is not a checkout")
def test_the_reference_page_has_the_map_as_it_is() -> None:
    rows = [
        f"| {known.walk} | {in_words(known)} | {f'`{known.scheme}`' if known.scheme else 'no model'} | {known.basis} |"
        for known in KNOWN
    ]
    assert "\n".join(rows) in PAGE.read_text(encoding="utf-8")
