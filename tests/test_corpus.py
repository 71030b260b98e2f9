"""The regression corpus: every case says of every scheme what comes of it, and upstream's scenarios are among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockiter.backend import Target, refusal, shape_of
from sockiter.cases import HEADER, Expect, dumps, load, loads
from sockiter.replay import replay
from sockiter.targets import SCHEME_TARGETS, TARGETS

CORPUS = sorted((Path(__file__).parent / "cases").glob("*.case"))
EVERY_CASE = pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)

# The scenarios of the kernel's own selftests, and the two that the RFC tells.
UPSTREAM = {"add_some", "force_realloc", "remove_all", "remove_seen", "remove_unseen", "two_ports"}
RFC = {"rfc_repeat", "rfc_skip"}


@EVERY_CASE
@pytest.mark.parametrize("target", SCHEME_TARGETS, ids=lambda target: target.name)
def test_a_case_comes_out_as_it_says(path: Path, target: Target) -> None:
    case = load(path)
    if why := refusal(target, case.operations, shape_of(case.operations, slots=case.slots)):
        pytest.skip(why)
    with target.session() as session:
        outcome = replay(case, target, session)
    assert {Expect.of(target.name, finding) for finding in outcome.verdict} == set(outcome.expected)
    assert outcome.as_expected


@EVERY_CASE
def test_a_case_is_the_same_when_it_was_written_and_read_again(path: Path) -> None:
    case = load(path)
    assert loads(dumps(case)) == case


@EVERY_CASE
def test_a_case_is_readable_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"{HEADER}\n# ")
    assert text.endswith("\n")
    assert load(path).comment
    assert all(len(line) <= 125 and line == line.rstrip() and "\t" not in line for line in text.splitlines())


@EVERY_CASE
def test_a_case_expects_something_only_of_targets_that_there_are(path: Path) -> None:
    assert {expect.target for expect in load(path).expects} <= {target.name for target in TARGETS}


def test_the_scenarios_of_upstream_and_of_the_rfc_are_in_the_corpus() -> None:
    assert {path.stem for path in CORPUS} >= UPSTREAM | RFC


def test_no_two_cases_are_the_same() -> None:
    sequences = [(load(path).operations, load(path).slots) for path in CORPUS]
    assert len(set(sequences)) == len(CORPUS)
