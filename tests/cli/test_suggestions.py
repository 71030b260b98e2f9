"""`sockiter fuzz --suggest`: the known failures to declare, as lines to paste and as a field of the document."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from sockiter.claims import KnownFailure, known_failure
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from sockiter.targets import target_named
from tests.support.command import sockiter
from tests.support.inline_workers import work_inline


class Liar(OffsetUdp):
    name = "liar"
    known_failures: tuple[KnownFailure, ...] = ()  # type: ignore[assignment]


class RealLiar(SchemeTarget):
    """A kernel's iterator with a failure that its scheme does not declare."""

    is_real = True


@pytest.fixture(params=[SchemeTarget(Liar())])
def liar(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme that claims to have no known failure is a target, and no worker is a process."""
    work_inline(monkeypatch)
    targets = (target_named("index"), request.param)
    for module in ("sockiter.targets", "sockiter.cli.subject"):
        monkeypatch.setattr(import_module(module), "TARGETS", targets)


def fuzz(name: str, cases: Path, *options: str) -> tuple[int, str]:
    hazards = ("--hazard", "remove", "--hazard", "show")
    quick = ("--driver", "swarm", "--workers", "1", "--seed", "7", "--seconds", "0.2", "--cases", str(cases))
    result = sockiter("fuzz", name, *hazards, *quick, *options)
    return result.exit_code, result.stdout


@pytest.mark.usefixtures("liar")
def test_the_known_failures_to_declare_are_lines_to_paste(tmp_path: Path) -> None:
    status, out = fuzz("liar", tmp_path, "--suggest")
    assert status == 1
    suggestion = out[out.index("\nFor `known_failures` of liar") :]
    assert suggestion.splitlines() == [
        "",
        "For `known_failures` of liar, with `from sockiter.claims import known_failure`:",
        "",
        '        known_failure("skip", "remove"),',
    ]


@pytest.mark.usefixtures("liar")
def test_the_document_has_the_same_lines_in_a_field_that_is_null_otherwise(tmp_path: Path) -> None:
    document = json.loads(fuzz("liar", tmp_path, "--suggest", "--json")[1])
    assert document["suggested"] == {"liar": ['known_failure("skip", "remove")']}
    assert json.loads(fuzz("liar", tmp_path, "--json")[1])["suggested"] is None


@pytest.mark.usefixtures("liar")
def test_where_no_claim_is_broken_there_is_nothing_to_declare(tmp_path: Path) -> None:
    status, out = fuzz("index", tmp_path, "--suggest")
    assert (status, out.splitlines()[-1]) == (0, "Nothing to declare: no scheme broke a claim.")


@pytest.mark.parametrize("liar", [RealLiar(Liar())], indirect=True)
@pytest.mark.usefixtures("liar")
def test_nothing_is_declared_for_an_iterator_of_the_kernel(tmp_path: Path) -> None:
    status, out = fuzz("liar", tmp_path, "--suggest")
    assert (status, out.splitlines()[-1]) == (1, "Nothing to declare: no scheme broke a claim.")


def test_the_liar_would_be_right_with_the_known_failure_that_is_suggested() -> None:
    assert known_failure("skip", "remove") in OffsetUdp.known_failures
