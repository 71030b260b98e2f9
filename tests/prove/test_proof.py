"""Claims are proved for any number of sockets, or the failing obligation has a counterexample to induction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sockiter.claims import Hazard, known_failure
from sockiter.prove.environment import CHANGES
from sockiter.prove.logic import Moment, Symbol, Term, both, either, implies
from sockiter.prove.relation import ERROR, NOTHING, Candidate, Rank, Step, Updates
from sockiter.prove.relations import RELATIONS
from sockiter.prove.result import Claim, Proof
from sockiter.schemes.scheme import AnyScheme
from sockiter.targets import scheme_of, target_named
from sockiter.verdict import VIOLATIONS, Signature, signatures_of
from tests.support.counting import Counting, CountingRelation

pytest.importorskip("z3")

from sockiter.prove import proof as proofs
from sockiter.prove.proof import prove
from sockiter.prove.solver import Counted, Query, Symbolic

NOTHING_CHANGES: frozenset[Hazard] = frozenset()


@pytest.fixture
def _few_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    # What these tests are about happens after open.
    few = tuple(change for change in CHANGES if change.name in ("add tail", "remove"))
    monkeypatch.setattr(proofs, "CHANGES", few)


few_changes = pytest.mark.usefixtures("_few_changes")


class Quiet(Counting):
    """Without any hazard, so that few transitions have to be proved."""

    hazards = NOTHING_CHANGES


def claim(proof: Proof, kind: str, *, moved: bool = False, elsewhere: bool = False) -> Claim:
    (found,) = (claim for claim in proof.claims if claim.signature == (kind, moved, elsewhere))
    return found


def answers(proof: Proof) -> dict[Signature, str]:
    return {claim.signature: claim.answer for claim in proof.claims}


@few_changes
def test_the_claims_of_a_simple_scheme_are_proved_for_any_number_of_sockets() -> None:
    doing: list[str] = []
    proof = prove(Counting(), CountingRelation(), progress=doing.append)
    assert answers(proof) == dict.fromkeys(signatures_of((*VIOLATIONS, "refused")), "holds")
    assert doing == ["remove"]
    assert proof.solver.startswith("z3 ")
    assert proof.checks > 20
    (invariant,) = proof.invariants.values()
    assert "an owed socket is delivered, or left" in {candidate.name for candidate in invariant}


def test_the_keys_of_sockets_are_any_that_differ_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "CHANGES", tuple(change for change in CHANGES if change.name == "add tail"))

    class WithKeys(CountingRelation):
        has_keys = True
        steps = ()

        def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
            yield Candidate("every key is 0", 1, lambda m, s: m.key(s) == 0)
            yield Candidate(
                "keys differ", 2, lambda m, s, t: implies(both(s != t, m.live(s), m.live(t)), m.key(s) != m.key(t))
            )

    proof = prove(Quiet(), WithKeys())
    (invariant,) = proof.invariants.values()
    assert {"keys differ", "every key is 0"} & {candidate.name for candidate in invariant} == {"keys differ"}


@few_changes
def test_a_wrong_relation_has_a_counterexample_to_induction() -> None:
    class FromThePlaceOn(CountingRelation):
        def is_behind(self, m: Moment, s: Term) -> Term:
            return either(m.fresh, m.idx(s) >= m.place)

    proof = prove(Quiet(), FromThePlaceOn())
    repeat = claim(proof, "repeat", elsewhere=True)
    assert (repeat.answer, repeat.obligation) == ("fails", "show")
    assert repeat.counterexample is not None
    before, turn, after = repeat.counterexample.lines()[0], "then: show (s1)", repeat.counterexample.lines()[-3]
    assert turn in repeat.counterexample.lines()
    assert "delivered" in before
    assert "twice" in after
    assert claim(proof, "stuck").answer == "fails"
    assert claim(proof, "refused").answer == "holds"


@few_changes
def test_a_read_that_fails_refutes_that_none_does() -> None:
    class Failing(CountingRelation):
        @property
        def steps(self) -> tuple[Step, ...]:
            fails = Step("fail", "begin", 0, 0, lambda m: True, lambda m: {"outcome": ERROR})
            return (*super().steps, fails)

    proof = prove(Quiet(), Failing())
    assert claim(proof, "refused").obligation == "fail"
    assert claim(proof, "stuck").answer == "holds"


@few_changes
def test_a_refused_allocation_is_a_step_only_under_its_hazard() -> None:
    class Allocating(CountingRelation):
        @property
        def steps(self) -> tuple[Step, ...]:
            refused = Step("refused", "refused", 2, 0, lambda m: m.point == 2, lambda m: {"outcome": ERROR})
            grows = Step("grow", "begin", 0, 0, lambda m: True, lambda m: {"point": 2, "outcome": 0})
            keeps = Step("keep", "refused", 2, 0, lambda m: True, lambda m: {"point": 2, "outcome": NOTHING})
            return (grows, refused, keeps)

    class Enomem(Counting):
        hazards: frozenset[Hazard] = frozenset({"enomem", "destroying"})
        known_failures = (known_failure("refused", "enomem"),)

    proof = prove(Enomem(), Allocating())
    refused = claim(proof, "refused")
    assert (refused.answer, refused.hazards) == ("holds", frozenset({"destroying"}))
    assert claim(proof, "skip").hazards == {"enomem", "destroying"}


@few_changes
def test_an_answer_in_no_time_proves_nothing() -> None:
    class Hard(CountingRelation):
        symbols = (*CountingRelation.symbols, Symbol("x", 0), Symbol("y", 0))

        @property
        def start(self) -> Updates:
            return {"fresh": True, "x": 1}

        def candidates(self, hazards: frozenset[Hazard]) -> Iterator[Candidate]:
            yield Candidate("false at the start", 0, lambda m: m.x == 5)
            yield Candidate("no sum of two cubes", 0, lambda m: m.x * m.x * m.x + m.y * m.y * m.y != 1_000_001)

        @property
        def steps(self) -> tuple[Step, ...]:
            return (Step("step", "begin", 0, 0, lambda m: True, self.updates),)

        def updates(self, m: Moment) -> dict[str, Any]:
            return {"outcome": 0, "x": m.x + m.y * m.y, "y": m.y - m.x * m.x}

        def rank(self, moment: Moment) -> Sequence[Rank]:
            x, y = moment.x, moment.y
            return (x * x * x * y - y * y * x * 7,)

    proof = prove(Quiet(), Hard(), timeout_ms=20)
    (invariant,) = proof.invariants.values()
    assert "no sum of two cubes" not in {candidate.name for candidate in invariant}
    assert claim(proof, "stuck").answer in ("fails", "unknown")


def test_a_question_without_an_answer_in_time_is_unknown() -> None:
    symbols = Symbolic([Symbol(name, 0) for name in "xyz"])
    x, y, z = symbols.x, symbols.y, symbols.z
    counted = Counted()
    query = Query([True, x > 1, y > 1, z > 1], 20, counted)
    assert query.follows([x * x * x + y * y * y != z * z * z]) == ("unknown", None)
    assert Query([False], 20, counted).follows([False]) == ("holds", None)
    assert counted.checks == 2


def test_a_quantifier_over_a_constant_is_that_constant() -> None:
    symbols = Symbolic([])
    assert symbols.every(lambda s: True) is True
    assert symbols.some(lambda s: False) is False
    with pytest.raises(AttributeError, match="place"):
        _ = symbols.place


def scheme_named(name: str) -> AnyScheme:
    scheme = scheme_of(target_named(name))
    assert scheme is not None
    return scheme


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("name", RELATIONS)
def test_every_claim_of_a_scheme_is_proved_for_any_number_of_sockets(name: str) -> None:
    proof = prove(scheme_named(name), RELATIONS[name])
    assert {claim.signature for claim in proof.claims if claim.answer != "holds"} == set()
