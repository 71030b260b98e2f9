"""The survey of a kernel whose iterators are models, and its data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockiter import cases
from sockiter.cases import Case
from sockiter.conform import ConformanceTrial
from sockiter.errors import Inconclusive, InputError, Unavailable
from sockiter.fuzzing.drivers import DRIVERS, FASTEST, Bite
from sockiter.fuzzing.triage import Triage
from sockiter.kernel.target import KernelTarget
from sockiter.kernel.tcp import KERNEL_TCP
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.survey import survey as module
from sockiter.survey.survey import Amount, Plan, Survey, TargetSurvey, corpus_in, document, merged, survey, survey_of
from tests.support.modelled_kernel import model_kernel
from tests.support.paths import CASES

SKIP, REPEAT = "rank-skip-elsewhere-remove.case", "rank-repeat-elsewhere-add-head.case"


def plan(tmp_path: Path, *names: str, seconds: float = 0.0, **how: Any) -> Plan:
    corpus = {name: cases.load(CASES / name) for name in names}
    return Plan(**{
        "kernel": "a kernel", "targets": [KERNEL_UDP], "corpus": corpus, "seconds": seconds, "seed": 1, "found": tmp_path,
        **how,
    })  # fmt: skip


def test_a_survey_has_the_scheme_and_a_case_for_each_known_failure_that_the_corpus_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model_kernel(monkeypatch, "rank")
    result = survey(plan(tmp_path, SKIP, REPEAT, "cookie-udp-skip-rehash-enomem.case"))
    assert result.is_good
    (udp,) = result.targets
    assert (udp.target, udp.scheme, udp.not_run) == ("kernel:udp", "rank", 1)
    shown = {str(failure): failure.case for failure in udp.failures if failure.case}
    assert shown == {"skip (elsewhere) under remove": SKIP, "repeat (elsewhere) under add-head": REPEAT}
    assert [(one.case, one.findings) for one in udp.replayed] == [(SKIP, ("skip B",)), (REPEAT, ("repeat A",))]
    assert set(result.cases) >= {name for failure in udp.failures if (name := failure.case)}


def test_the_survey_so_far_is_kept_after_each_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    kept: list[Survey] = []
    notes: list[str] = []
    result = survey(plan(tmp_path, SKIP, targets=[KERNEL_UDP, KERNEL_TCP]), kept.append, notes.append)
    assert [len(one.targets) for one in kept] == [1, 2, 2, 2, 2]
    assert [one.is_complete for one in kept] == [False] * 4 + [True]
    assert kept[-1] == result
    assert notes[0] == "kernel:udp: walks by rank"


def test_random_sequences_are_counted_and_their_findings_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    result = survey(plan(tmp_path, seconds=0.1))
    (udp,) = result.targets
    assert result.news == ()
    assert udp.fuzzed is not None
    assert udp.conformed is not None
    assert udp.fuzzed.sequences > 0
    assert udp.conformed.operations > udp.conformed.sequences > 0
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {failure.case for failure in udp.failures if failure.case}
    assert found <= set(result.cases)


def test_a_kernel_that_breaks_its_claims_is_news(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It walks by another scheme than the detected one."""
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    monkeypatch.setattr(module, "_conform", skipped)
    result = survey(plan(tmp_path, SKIP, seconds=1e-9))
    assert not result.is_good
    assert [news.by for news in result.news][:2] == ["replay", "fuzz"]
    assert result.news[0].text == "skip B breaks a claim"
    assert result.news[1].case in result.cases
    assert (tmp_path / result.news[1].case).read_text() == result.cases[result.news[1].case]


def test_a_kernel_that_differs_from_its_scheme_is_news(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    monkeypatch.setattr(module, "_fuzz", skipped)
    notes: list[str] = []
    (news,) = (result := survey(plan(tmp_path, seconds=60), note=notes.append)).news
    assert news.text.startswith("kernel:udp and cookie-udp differ at read ")
    assert (tmp_path / news.case).read_text() == result.cases[news.case]
    assert notes[-1].endswith(" sequences compared with cookie-udp, A DIFFERENCE")


def skipped(plan: Plan, target: KernelTarget, known: TargetSurvey, texts: dict[str, str]) -> tuple[TargetSurvey, str]:
    """In place of a step."""
    return known, ""


def test_a_case_that_comes_out_otherwise_than_expected_is_news(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    case = cases.loads("expect rank stuck\nadd A tail\nopen\nread all\n")
    (news,) = survey(plan(tmp_path, corpus={"a.case": case})).news
    assert (news.text, news.case) == ("ok, not stuck", "a.case")
    case = cases.loads((CASES / SKIP).read_text().replace("expect rank skip B", "expect unix stuck"))
    (news,) = survey(plan(tmp_path, corpus={"a.case": replace(case, expects=case.expects[:1])})).news
    assert news.text == "skip B, not ok"


def test_a_kernel_without_a_known_scheme_is_not_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank", detected=None)
    notes: list[str] = []
    (udp,) = survey(plan(tmp_path, seconds=0.01), note=notes.append).targets
    assert (udp.scheme, udp.conformed) == (None, None)
    assert notes[-1] == "kernel:udp: not compared: no known scheme matches"


@pytest.mark.usefixtures("absent_kernel")
def test_a_target_that_does_not_run_has_the_reason_and_nothing_else(tmp_path: Path) -> None:
    result = survey(plan(tmp_path, SKIP, seconds=1))
    (udp,) = result.targets
    assert udp.missing is not None
    assert (udp.replayed, udp.fuzzed, udp.conformed) == ((), None, None)
    assert result.trouble == f"no target runs there: {udp.missing}"


def test_a_step_that_fails_is_a_trouble_of_its_target_and_ends_its_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model_kernel(monkeypatch, "rank")

    def fail(self: KernelTarget) -> None:
        raise Unavailable("no room")

    monkeypatch.setattr(KernelTarget, "session", fail)
    result = survey(plan(tmp_path, SKIP, seconds=1))
    (udp,) = result.targets
    assert (udp.trouble, udp.scheme, udp.fuzzed) == ("no room", "rank", None)
    assert not result.is_good


def test_a_case_that_cannot_be_judged_counts_as_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")

    def fail(case: Case, *rest: object) -> None:
        raise Inconclusive("too busy")

    monkeypatch.setattr(module, "replay", fail)
    (udp,) = survey(plan(tmp_path, SKIP)).targets
    assert (udp.not_run, udp.replayed) == (1, ())


def test_a_finding_is_saved_before_it_is_shrunk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")

    def crash(*rest: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sockiter.fuzzing.triage.minimize", crash)
    monkeypatch.setattr(module, "annotated", crash)
    with pytest.raises(KeyboardInterrupt):
        survey(plan(tmp_path, seconds=30))
    assert [path.name.partition("-drawn-")[1] for path in tmp_path.iterdir()] == ["-drawn-"]


def test_a_directory_that_cannot_be_written_is_a_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    (tmp_path / "file").touch()
    notes: list[str] = []
    (udp,) = survey(plan(tmp_path, seconds=1e-9, found=tmp_path / "file"), note=notes.append).targets
    assert udp.trouble == f"{tmp_path}/file: File exists"
    assert notes[-1] == "kernel:udp: a case could not be saved"


def test_a_difference_that_cannot_be_saved_is_news_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    monkeypatch.setattr(module, "_fuzz", skipped)
    (tmp_path / "file").touch()
    result = survey(plan(tmp_path, seconds=60, found=tmp_path / "file"))
    (news,) = result.news
    assert news.case == "kernel:udp-difference"
    assert result.cases[news.case].startswith("# sockiter case v1\n")
    assert result.targets[0].trouble == f"{tmp_path}/file: File exists"


def test_an_interrupt_of_a_comparison_loses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")

    def interrupted(self: ConformanceTrial, *rest: object) -> None:
        self.counts.sequences = 7
        self.interrupted = True

    monkeypatch.setattr(ConformanceTrial, "run", interrupted)
    kept: list[Survey] = []
    with pytest.raises(KeyboardInterrupt):
        survey(plan(tmp_path, seconds=0.01), kept.append)
    conformed = kept[-1].targets[0].conformed
    assert conformed is not None
    assert conformed.sequences == 7


def test_a_known_failure_that_a_case_has_shown_is_not_shrunk_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    pending: list[set[str]] = []

    def drive(triage: Triage, *rest: object) -> Iterator[Bite]:
        pending.append(set(map(str, triage.pending)))
        return iter(())

    monkeypatch.setitem(DRIVERS, FASTEST, drive)
    monkeypatch.setattr(module, "_conform", skipped)
    survey(plan(tmp_path, seconds=60))
    survey(plan(tmp_path, SKIP, seconds=60))
    assert pending[0] - pending[1] == {"skip (elsewhere) under remove"}


def test_the_sequences_of_all_bites_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    monkeypatch.setitem(DRIVERS, FASTEST, lambda *rest: iter([Bite(3, 20), Bite(4, 30)]))
    monkeypatch.setattr(module, "_conform", skipped)
    (udp,) = survey(plan(tmp_path, seconds=60)).targets
    assert udp.fuzzed == Amount(7, 50)


def test_cases_for_which_there_is_no_time_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    notes: list[str] = []
    (udp,) = survey(plan(tmp_path, SKIP, REPEAT, replay_s=0.0), note=notes.append).targets
    assert (udp.left_out, udp.not_run, udp.replayed) == (2, 0, ())
    assert notes[-1] == "kernel:udp: 0 cases replayed, 0 with findings, 2 left out for want of time"


def test_more_targets_of_a_kernel_are_merged_with_those_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank")
    udp = survey(plan(tmp_path, SKIP))
    both = merged(udp, survey(plan(tmp_path, REPEAT, targets=[KERNEL_TCP])))
    assert [one.target for one in both.targets] == ["kernel:udp", "kernel:tcp"]
    assert set(both.cases) == {SKIP, REPEAT}
    assert merged(both, udp).targets == (both.targets[1], udp.targets[0])


def test_a_survey_is_the_same_after_it_was_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    result = survey(plan(tmp_path, SKIP, seconds=1e-9))
    data = json.loads(json.dumps(document(result)))
    assert survey_of(data) == result
    assert survey_of({**data, "later": 1}) == result
    with pytest.raises(KeyError):
        survey_of({})


def test_a_corpus_is_the_cases_of_a_directory_by_their_names(tmp_path: Path) -> None:
    assert SKIP in corpus_in(CASES)
    (tmp_path / "no.case").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"no\.case:1: "):
        corpus_in(tmp_path)
