"""The tester is tested: the drivers and the corpus must catch a planted bug in every scheme."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from sockiter.cases import load
from sockiter.claims import in_order
from sockiter.fuzzing.drivers import drive_hypothesis, drive_swarm
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.operations import Add, Open
from sockiter.replay import refused, replay
from sockiter.schemes import SCHEMES
from sockiter.simulation import SchemeTarget
from tests.support.mutants import MUTANTS, Caught, Mutant, caught, mutated, original
from tests.support.paths import CASES, ROOT

PAGE = ROOT / "docs" / "measurements" / "mutants.md"
SEED = "1"

# A tenth of a second for swarm, and as many as the profile `ci` of fuzz/profiles.py has for Hypothesis.
SWARM = 2_000
HYPOTHESIS = 1_500
# Mutants that need two hazards at once: with these two alone, and with all hazards, where the two seldom meet.
SWARM_OF_TWO = 6_000
SWARM_LONG = 100_000


def each(mutants: Iterable[Mutant]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutant", [pytest.param(mutant, id=str(mutant)) for mutant in mutants])


EVERY_SCHEME = pytest.mark.parametrize("scheme", [scheme.name for scheme in SCHEMES])


def outcomes(target: SchemeTarget) -> dict[str, bool]:
    """For every case that a target can run: whether the result is the expected one of that scheme."""
    cases = {path.stem: load(path) for path in sorted(CASES.glob("*.case"))}
    return {name: replay(case, target, target).as_expected for name, case in cases.items() if not refused(case, target)}


def caught_as_in_ci(target: SchemeTarget) -> Caught | None:
    """As fuzz/test_claims.py has it: all hazards, and each by itself."""
    found = caught(target, drive_hypothesis, SEED, HYPOTHESIS)
    # From the last, since changes inside a read are drawn too rarely among all hazards.
    for hazard in reversed(in_order(target.hazards)):
        found = found or caught(target, drive_hypothesis, SEED, HYPOTHESIS, hazards={hazard})
    return found


def test_no_scheme_goes_without_a_mutant() -> None:
    assert {mutant.scheme for mutant in MUTANTS} == {scheme.name for scheme in SCHEMES}


def test_no_two_mutants_are_the_same() -> None:
    assert len({str(mutant) for mutant in MUTANTS}) == len({replace(m, wrong="", case="") for m in MUTANTS}) == len(MUTANTS)


def test_a_bug_that_cannot_be_planted_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r": 0 times in sockiter\.schemes"):
        mutated(replace(MUTANTS[0], old="no such text"))
    with pytest.raises(AssertionError, match=r": \d times in sockiter\.schemes"):
        mutated(replace(MUTANTS[0], old="sockets"))


class TestSwarm:
    """With all hazards that a scheme supports, but where that is too much to hope for."""

    @pytest.mark.slow
    @each(mutant for mutant in MUTANTS if not mutant.together and not mutant.before_open)
    def test_catches_a_mutant(self, mutant: Mutant) -> None:
        assert caught(mutated(mutant), drive_swarm, SEED, SWARM)

    @pytest.mark.slow
    @EVERY_SCHEME
    def test_has_nothing_to_say_of_a_scheme_as_it_is(self, scheme: str) -> None:
        assert caught(original(scheme), drive_swarm, SEED, SWARM // 4) is None

    @pytest.mark.slow
    @each(mutant for mutant in MUTANTS if mutant.together)
    def test_catches_a_mutant_of_two_hazards_with_these_two_alone(self, mutant: Mutant) -> None:
        assert caught(mutated(mutant), drive_swarm, SEED, SWARM_OF_TWO, hazards=mutant.together)
        assert caught(original(mutant.scheme), drive_swarm, SEED, SWARM_OF_TWO, hazards=mutant.together) is None

    @pytest.mark.slow
    @pytest.mark.deep
    @each(mutant for mutant in MUTANTS if mutant.together)
    def test_known_takes_long_where_two_hazards_have_to_meet_among_all(self, mutant: Mutant) -> None:
        found = caught(mutated(mutant), drive_swarm, SEED, SWARM_LONG)
        assert found
        assert caught(original(mutant.scheme), drive_swarm, SEED, found.sequences) is None

    @each(mutant for mutant in MUTANTS if mutant.before_open)
    def test_known_misses_a_mutant_that_needs_a_removal_before_open_since_it_only_adds_there(self, mutant: Mutant) -> None:
        target = mutated(mutant)
        swarm = Swarm(SEED, target.hazards, Room.of(target))
        sequences = [swarm.sequence()[0] for _ in range(SWARM)]
        assert {type(op) for operations in sequences for op in operations[: operations.index(Open())]} == {Add}
        assert caught(target, drive_swarm, SEED, SWARM) is None


@pytest.mark.slow
class TestHypothesis:
    """As much of it as the profile `ci` has, which takes minutes for all of them; a few are caught soon."""

    @each(mutant for mutant in MUTANTS if mutant.scheme in ("restart", "full-batch") and not mutant.together)
    def test_catches_a_mutant(self, mutant: Mutant) -> None:
        assert caught_as_in_ci(mutated(mutant))

    @pytest.mark.deep
    @each(mutant for mutant in MUTANTS if not mutant.together)
    def test_catches_every_mutant(self, mutant: Mutant) -> None:
        assert caught_as_in_ci(mutated(mutant))

    @pytest.mark.deep
    @EVERY_SCHEME
    def test_has_nothing_to_say_of_a_scheme_as_it_is(self, scheme: str) -> None:
        """With all hazards, and not for long; fuzz/test_claims.py holds us to the rest."""
        assert caught(original(scheme), drive_hypothesis, SEED, HYPOTHESIS // 5) is None


class TestTheCorpus:
    @pytest.mark.unmeasured
    @each(MUTANTS)
    def test_has_a_case_that_a_mutant_does_not_pass(self, mutant: Mutant) -> None:
        case = load(CASES / f"{mutant.case}.case")
        target = mutated(mutant)
        assert not replay(case, target, target).as_expected

    @pytest.mark.unmeasured
    @EVERY_SCHEME
    def test_is_passed_by_a_scheme_as_it_is(self, scheme: str) -> None:
        outcome = outcomes(original(scheme))
        assert [name for name, as_expected in outcome.items() if not as_expected] == []
        assert set(outcome) >= {mutant.case for mutant in MUTANTS if mutant.scheme == scheme}


@pytest.mark.skipif(not PAGE.is_file(), reason=f"no {PAGE}: this is not a checkout")
def test_the_page_lists_every_mutant() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = [(row[0].strip("| `"), row[1]) for row in rows]
    assert listed == [(m.scheme, m.wrong) for m in MUTANTS], "python -m tests.report_mutants > docs/measurements/mutants.md"
