"""The program in the guest: its order, its report, and the targets as they are meant to be. No kernel is asked."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sockiter.claims import HAZARDS
from sockiter.errors import Unavailable
from sockiter.kernel.udp import KERNEL_UDP
from sockiter.promise import observe
from sockiter.promise.promised import promised
from sockiter.promise.verdict import Tried, judged
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.survey.survey import Plan, Survey, TargetSurvey, survey_of
from tests.support.kernel_targets import LIMITED, with_capabilities
from tests.support.modelled_kernel import model_kernel

CASE = "# sockiter case v1\nadd A head\nadd B head\nopen\nread 1\n{}read all\n"


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans of surveys; each of them finds one target, and none is carried out."""
    made: list[Plan] = []

    def survey(plan: Plan, keep: Callable[[Survey], None], note: Callable[[str], None]) -> Survey:
        made.append(plan)
        note("kernel:udp: walks")
        found = Survey(plan.kernel, "6.12", targets=(TargetSurvey("kernel:udp"),))
        keep(found)
        return found

    monkeypatch.setattr(observe, "survey", survey)
    with_capabilities(monkeypatch, replace(LIMITED, scheme="offset-udp"))
    return made


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    """An order to survey one target, with two cases."""
    for name, line in (("calm", ""), ("remove", "remove A\n")):
        (tmp_path / f"{name}.case").write_text(CASE.format(line))
    return {
        "targets": {"kernel:udp": None},
        "corpus": [str(tmp_path)],
        "hazards": [],
        "seconds": 1.0,
        "seed": 7,
        "found": str(tmp_path),
        "report": str(tmp_path / "report.json"),
        "shows_progress": False,
    }


def test_a_target_has_the_known_failures_and_the_scheme_that_it_is_meant_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with_capabilities(monkeypatch, replace(LIMITED, scheme="cookie-udp"))
    target = promised(KERNEL_UDP, "offset-udp", ["remove"])
    assert (target.name, target.detected_scheme) == ("kernel:udp", "offset-udp")
    assert target.hazards == {"remove"}
    assert target.all_known_failures == OffsetUdp.known_failures
    assert promised(KERNEL_UDP, None, ()).all_known_failures == ()
    assert promised(KERNEL_UDP, None, ()).hazards == KERNEL_UDP.hazards


def test_a_target_is_taken_for_the_detected_scheme_or_for_the_meant_one(plans: list[Plan], order: dict[str, Any]) -> None:
    assert observe.main(json.dumps(order)) == 0
    assert observe.main(json.dumps({**order, "targets": {"kernel:udp": "cookie-udp"}})) == 0
    assert [plan.targets[0].detected_scheme for plan in plans] == ["offset-udp", "cookie-udp"]
    report = json.loads(Path(order["report"]).read_text())
    assert report["schemes"] == {"kernel:udp": "offset-udp"}
    assert report["survey"]["targets"][0]["target"] == "kernel:udp"


def test_only_cases_with_these_hazards_are_replayed(plans: list[Plan], order: dict[str, Any]) -> None:
    observe.main(json.dumps(order))
    observe.main(json.dumps({**order, "hazards": ["add-head"]}))
    assert [sorted(plan.corpus) for plan in plans] == [["calm.case", "remove.case"], ["calm.case"]]
    assert [plan.targets[0].hazards <= {"add-head"} for plan in plans] == [False, True]
    assert plans[0].seed == 7
    assert set(HAZARDS) >= plans[0].targets[0].hazards


def test_progress_is_shown_on_request(plans: list[Plan], order: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    observe.main(json.dumps(order))
    observe.main(json.dumps({**order, "shows_progress": True}))
    assert capsys.readouterr().err.splitlines() == [
        "sockiter: kernel:udp: detected as offset-udp, judged as offset-udp",
        "sockiter: kernel:udp: walks",
    ]


@pytest.mark.parametrize(("error", "status"), [(Unavailable("no room"), 3), (OSError("no disk"), 3)])
def test_an_error_is_one_line_and_a_status(
    plans: list[Plan],
    order: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(observe, "survey", fail)
    assert observe.main(json.dumps(order)) == status
    assert capsys.readouterr().err == f"sockiter: {error}\n"


def test_the_program_takes_its_order_as_its_argument(
    order: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["observe", json.dumps({**order, "targets": {"kernel:upd": None}})])
    monkeypatch.delitem(sys.modules, "sockiter.promise.observe")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("sockiter.promise.observe", run_name="__main__")
    assert capsys.readouterr().err.startswith("sockiter: no target is named 'kernel:upd'")


def test_a_target_that_does_not_run_there_has_no_detected_scheme(
    plans: list[Plan], order: dict[str, Any], absent_kernel: None
) -> None:
    assert observe.main(json.dumps(order)) == 0
    assert json.loads(Path(order["report"]).read_text())["schemes"] == {"kernel:udp": None}


def test_a_kernel_that_walks_by_a_weaker_scheme_breaks_the_promise_in_a_case(
    order: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_kernel(monkeypatch, "offset-udp")
    (tmp_path / "skip.case").write_text("# sockiter case v1\nadd A tail\nadd B tail\nopen\nread 1\nremove A\nread all\n")
    promise = {"kernel:udp": "cookie-udp"}
    assert observe.main(json.dumps({**order, "targets": promise, "seconds": 0})) == 0
    report = json.loads(Path(order["report"]).read_text())
    (verdict,) = judged(Tried(survey_of(report["survey"]), report["schemes"]), promise)
    assert (verdict.promised, verdict.walks_by, verdict.unlike) == ("cookie-udp", "offset-udp", True)
    assert [(news.text, news.case) for news in verdict.broken] == [("skip B breaks a claim", "skip.case")]
