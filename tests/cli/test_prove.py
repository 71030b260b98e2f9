"""`sockiter prove` reports the proofs for any number of sockets, and why there is none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sockiter.cli import prove as command
from sockiter.prove.logic import After, Observed
from sockiter.prove.relation import CONTROL, LOOKING, Candidate
from sockiter.prove.result import Claim, Difference, Induction, Proof, Tie
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from sockiter.verdict import Signature
from tests.support.command import sockiter
from tests.support.counting import Counting, CountingRelation

pytest.importorskip("z3")

from sockiter.prove import proof, tie
from sockiter.prove.environment import MONITOR, TABLE

NONE = frozenset()  # type: ignore[var-annotated]
SYMBOLS = (*CONTROL, *CountingRelation.symbols)


class Described(Counting):
    """With its relation, as a scheme of another package has it."""

    relation = CountingRelation()


class OfOthers(Counting):
    """Without a relation."""

    name = "of-others"


@pytest.fixture(autouse=True)
def _two_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {target.name: target for target in (SchemeTarget(Described()), SchemeTarget(OfOthers()))}
    monkeypatch.setattr(command, "SCHEME_TARGETS", tuple(targets.values()))
    monkeypatch.setattr(command, "PLUGIN_TARGETS", ())
    monkeypatch.setattr(command, "target_named", lambda name: targets.get(name) or target_named(name))


@pytest.fixture
def _no_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "CHANGES", ())


def counterexample() -> Induction:
    live, idx = {"s1": True, "s2": True, "s4": True}, {"s1": 2, "s2": 1, "s3": 3, "s4": 4}
    before = Observed(
        (*TABLE, *MONITOR, *SYMBOLS),
        ("s1", "s2", "s3", "s4", "s5"),
        {
            "live": live,
            "used": dict.fromkeys(idx, True),
            "idx": idx,
            "bucket": {"s4": 1},
            "owed": {"s1": True},
            "delivered": {"s1": True},
            "held": {"s2": True, "s3": True},
            "turn": {"s2": 1},
            "point": LOOKING,
            "fresh": True,
        },
    )
    return Induction("show", ("s3",), before, After(before, {"point": 0, "held": lambda socket: False}), SYMBOLS)


def planted(monkeypatch: pytest.MonkeyPatch, *claims: Claim, difference: Difference | None = None) -> None:
    result = Proof("z3 4.0.0", list(claims), {claim.hazards: (CANDIDATE,) for claim in claims}, 1234, 1.25, 2.0)
    monkeypatch.setattr(proof, "prove", lambda *given, **options: result)
    monkeypatch.setattr(tie, "tied", lambda *given, **options: Tie((3, 2, 1), 9, 1024, difference))


CANDIDATE = Candidate("nothing is lost", 0, lambda m: True)
PROVED = Claim(Signature("skip", moved=True), frozenset({"remove"}), "holds")


@pytest.mark.usefixtures("_no_changes")
def test_a_proved_scheme_is_status_0() -> None:
    result = sockiter("prove")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("counting: the relation allows all ")
    assert lines[1] == "  proved for any number: no refused under all these hazards"
    assert len(lines) == 12
    assert re.fullmatch(r"  z3 \S+: \d+ checks in \d+\.\d s", lines[-1])


def test_the_default_is_every_scheme_with_a_relation_and_a_pattern_leaves_the_others_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted(monkeypatch, PROVED)
    expected = (
        "counting: the relation allows all 2,048 calls of the code in 18 states\n"
        "  proved for any number: no skip (moved) under all these hazards\n"
        "  z3 4.0.0: 1,234 checks in 1.2 s\n"
    )
    for names in ((), ("counting",), ("*o*",)):
        result = sockiter("prove", *names)
        assert (result.exit_code, result.stdout) == (0, expected)


def test_a_hazard_that_the_relation_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, PROVED)
    monkeypatch.setattr(CountingRelation, "excluded", frozenset({"remove", "close"}))
    assert "\n  not in the relation: remove\n" in sockiter("prove").stdout


def test_a_claim_that_is_not_proved_is_status_1_with_its_counterexample_to_induction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted(monkeypatch, Claim(Signature("repeat", elsewhere=True), NONE, "fails", "show", counterexample()))
    result = sockiter("prove")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:-1] == [
        "  NOT PROVED: no repeat (elsewhere) without remove: show",
        "    A counterexample to induction, which need not be reachable:",
        "      bucket 0: s2 (1), s1 (2, owed, delivered)",
        "      bucket 1: s4 (4)",
        "      removed: s3 (3)",
        "      iterator: before a bucket, fresh true, place 0",
        "      held: s3, s2",
        "      then: show (s3)",
        "      bucket 0: s2 (1), s1 (2, owed, delivered)",
        "      bucket 1: s4 (4)",
        "      removed: s3 (3)",
        "      iterator: between two reads, fresh true, place 0",
    ]


def test_an_unknown_answer_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, Claim(Signature("stuck"), frozenset({"remove"}), "unknown", "begin"))
    result = sockiter("prove", "--timeout", "1")
    assert result.exit_code == 1
    assert "  NOT PROVED: no stuck under all these hazards: begin\n    The solver gives no answer in time" in result.stdout


@pytest.mark.parametrize("before", ["Last(idx=1)", ""])
def test_a_difference_from_the_code_is_status_1_and_nothing_is_proved(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    difference = Difference("begin", "bucket 0: empty", before, "Done()", "no such step")
    planted(monkeypatch, PROVED, difference=difference)
    result = sockiter("prove", "counting")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "counting: THE RELATION AND THE CODE DIFFER: no such step",
        "  table:  bucket 0: empty",
        f"  before: {before or 'not open'}",
        "  call:   begin",
        "  after:  Done()",
    ]
    (document,) = json.loads(sockiter("prove", "--json").stdout)
    assert (document["claims"], document["solver"]) == ([], None)
    assert [tie["difference"]["why"] for tie in document["ties"]] == ["no such step"]


def test_the_document_has_every_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, PROVED, Claim(Signature("repeat"), NONE, "fails", "show", counterexample()))
    result = sockiter("prove", "--json")
    (document,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (document["scheme"], document["excluded"], document["solver"]) == ("counting", [], "z3 4.0.0")
    tie_1 = {"sockets": 3, "buckets": 2, "batch": 1, "states": 9, "calls": 1024, "difference": None}
    assert document["ties"] == [tie_1, tie_1]
    proved, failing = document["claims"]
    assert proved == {
        "kind": "skip",
        "moved": True,
        "elsewhere": False,
        "hazards": ["remove"],
        "proved": True,
        "answer": "holds",
        "obligation": None,
        "counterexample": None,
        "invariant": ["nothing is lost"],
    }
    assert (failing["proved"], failing["obligation"]) == (False, "show")
    assert "then: show (s3)" in failing["counterexample"]


def test_a_scheme_without_a_relation_is_status_3_and_is_proved_only_by_search() -> None:
    result = sockiter("prove", "of-others")
    assert result.exit_code == 3
    assert result.stderr == (
        "sockiter: of-others has no relation: its claims are proved only by search, with `sockiter check of-others`; "
        "schemes with a relation: counting\n"
    )
    assert "none of these schemes has a relation: expected some of counting" in sockiter("prove", "of-o*").stderr


def test_a_kernel_target_is_wrong_usage() -> None:
    result = sockiter("prove", "kernel:udp")
    assert (result.exit_code, "an iterator of the running kernel" in result.stderr) == (2, True)


def test_without_the_solver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    result = sockiter("prove")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "pip install '.[prove]'" in result.stderr


def test_an_interrupted_command_reports_the_finished_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, PROVED)

    def interrupted(*given: Any, **options: Any) -> Proof:
        raise KeyboardInterrupt

    monkeypatch.setattr(proof, "prove", interrupted)
    result = sockiter("prove", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (130, [])


@pytest.mark.usefixtures("_no_changes")
def test_the_progress_of_a_proof_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watch(run: Any, update: Any, *, total: float, left: str) -> None:
        class Bar:
            def update(self, task: Any, *, completed: int, description: str) -> None:
                seen.append(f"{completed} of {total}: {description}")

        run(lambda: update(Bar(), None))

    monkeypatch.setattr(command, "watch", watch)
    assert sockiter("prove").exit_code == 0
    assert seen == ["0 of 1: counting: 0 states"] * 2 + ["0 of 1: counting: remove"]
