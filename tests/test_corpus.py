"""The regression corpus: every case has the expected findings of every scheme, and upstream's scenarios are among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockiter.backend import Target
from sockiter.cases import HEADER, dumps, load, loads
from sockiter.claims import KnownFailure, hazards_of
from sockiter.kernel import KERNEL_TARGETS
from sockiter.replay import refused, replay
from sockiter.schemes import SCHEMES
from sockiter.simulation import SchemeTarget
from sockiter.verdict import describe
from tests.support.paths import CASES

CORPUS = sorted(CASES.glob("*.case"))
EVERY_CASE = pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)

# Cases that a driver found and minimized, of those written by hand.
FOUND = [path for path in CORPUS if "found on" in path.read_text(encoding="utf-8")]
# The project's own schemes, whatever else is installed.
OWN = [SchemeTarget(scheme) for scheme in SCHEMES]

# The scenarios of the kernel's own selftests, and the two of the RFC.
UPSTREAM = {"add_some", "force_realloc", "remove_all", "remove_seen", "remove_unseen", "two_ports"}
RFC = {"rfc_repeat", "rfc_skip"}


@EVERY_CASE
def test_a_case_has_its_expected_findings(path: Path) -> None:
    case = load(path)
    able = [target for target in OWN if not refused(case, target)]
    assert able
    for target in able:
        with target.session() as session:
            outcome = replay(case, target, session)
        assert outcome.as_expected, f"{target.name}: {describe(outcome.verdict)}"


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("target", "known_failure"), [pytest.param(t, h, id=f"{t.name}-{h}") for t in OWN for h in t.known_failures]
)
def test_every_known_failure_has_a_case_that_the_fuzzer_found(target: Target, known_failure: KnownFailure) -> None:
    """With just the hazards that the known failure names, and with its signature."""
    for path in FOUND:
        case = load(path)
        hazards = hazards_of(case.operations, narrow="rollover" in target.hazards)
        if hazards == known_failure.hazards and not refused(case, target):
            with target.session() as session:
                verdict = replay(case, target, session).verdict
            if any(finding.signature == known_failure.signature for finding in verdict):
                return
    pytest.fail(
        f"no case shows it: sockiter fuzz {target.name} --cases tests/cases, and sockiter replay --record tests/cases"
    )


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
    known = {*(target.name for target in OWN), *(target.name for target in KERNEL_TARGETS)}
    assert {expect.target for expect in load(path).expects} <= known
    assert {expect.scheme for expect in load(path).expects} <= {None, *(target.name for target in OWN)}


def test_the_scenarios_of_upstream_and_of_the_rfc_are_in_the_corpus() -> None:
    assert {path.stem for path in CORPUS} >= UPSTREAM | RFC


def test_no_two_cases_are_the_same() -> None:
    sequences = [(load(path).operations, load(path).slots) for path in CORPUS]
    assert len(set(sequences)) == len(CORPUS)
